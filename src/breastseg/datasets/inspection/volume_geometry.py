"""A volume in plain values: its grid, how it lies in the patient, and how its values are spread."""

from typing import Any

import numpy as np

from breastseg.core.image import Image, Pixels
from breastseg.core.orientation import direction_letters, slices_in_words
from breastseg.core.series import Series

LOWEST_HU, HIGHEST_HU, HU_BIN = -1024, 3072, 32
_NUM_BINS = 128

TISSUES: dict[str, tuple[float | None, float | None]] = {
    "air and lung": (None, -200),
    "fat": (-150, -50),
    "soft tissue": (0, 100),
    "bone": (300, None),
}
"""Where tissues lie in HU, roughly; between them lie mixtures, contrast medium and metal."""

_POSITIONS = {
    "HF": "head first",
    "FF": "feet first",
    "LF": "left first",
    "RF": "right first",
    "AF": "anterior first",
    "PF": "posterior first",
}
_SIDES = {"S": "supine", "P": "prone", "DR": "on the right side", "DL": "on the left side"}


def describe_series(series: Series) -> dict[str, Any]:
    """Return what describe_geometry says of its image, and what the files claim of it."""
    return {
        **describe_geometry(series.image),
        "slice_thickness_mm": series.slice_thickness_mm,
        "patient_position": series.patient_position,
        "padded_share": round(series.padded_share, 4),
    }


def describe_geometry(image: Image, *, in_hu: bool = True) -> dict[str, Any]:
    """Return shape, spacing, extent, directions and values of a volume, in plain values.

    directions: where each index leads, such as "H", "P", "L" for (slice, row, column) to
    head, posterior and left; with further letters where the grid is oblique, as in DICOM.

    Args:
        in_hu: whether the values are HU; those of a NIfTI file may be anything.
    """
    spacing = image.spacing_mm
    low, middle, high = (float(each) for each in np.percentile(image.pixels, (0, 50, 100)))
    described: dict[str, Any] = {
        "shape": list(image.pixels.shape),
        "in_hu": in_hu,
        "hu": {"min": low, "median": middle, "max": high},
        "histogram": _histogram(image.pixels, *_bins(low, high, in_hu)),
        "tissues": _tissue_shares(image.pixels) if in_hu else None,
        "spacing_mm": None,
        "extent_mm": None,
        "directions": None,
        "slices": None,
        "oblique_degrees": None,
    }
    if spacing is not None and image.affine is not None:
        cosines = image.affine[:3, :3] / np.array(spacing)
        described["spacing_mm"] = [round(each, 4) for each in spacing]
        extent = np.array(spacing) * image.pixels.shape
        described["extent_mm"] = [round(float(each), 1) for each in extent]
        described["directions"] = [direction_letters(column) for column in cosines.T]
        described["slices"] = slices_in_words(image.affine, len(image.pixels))
        off = np.degrees(np.arccos(np.clip(np.abs(cosines).max(axis=0), 0, 1))).max()
        described["oblique_degrees"] = round(float(off), 2)
    return described


def _bins(low: float, high: float, in_hu: bool) -> tuple[float, float, int]:
    """Return where the first bin begins, how wide each is, and how many there are."""
    if not in_hu:
        return low, max(high - low, 1e-6) / _NUM_BINS, _NUM_BINS
    top = min(max(high, 1000), HIGHEST_HU)
    return LOWEST_HU, HU_BIN, int(np.ceil((top - LOWEST_HU) / HU_BIN))


def _histogram(pixels: Pixels, start: float, width: float, count: int) -> dict[str, Any]:
    """Count values, slice by slice so that no copy is held; the end bins hold what is beyond."""
    counts = np.zeros(count, np.int64)
    for each in pixels:
        places = np.clip((each - start) / width, 0, count - 1).astype(np.int32)
        counts += np.bincount(places.ravel(), minlength=count)
    return {"start": start, "width": width, "counts": counts.tolist()}


def _tissue_shares(pixels: Pixels) -> dict[str, float]:
    """Return the share of all voxels in the range of each tissue."""
    shares = {}
    for name, (low, high) in TISSUES.items():
        above, below = -np.inf if low is None else low, np.inf if high is None else high
        inside = sum(np.count_nonzero((each >= above) & (each <= below)) for each in pixels)
        shares[name] = round(inside / pixels.size, 4)
    return shares


def position_in_words(position: str) -> str:
    """Spell a PatientPosition out; unknown codes stay as they are.

    Source: DICOM PS3.3, C.7.3.1.1.2.

    >>> position_in_words("FFP"), position_in_words("HFDR"), position_in_words("odd")
    ('feet first, prone', 'head first, on the right side', 'odd')
    """
    first, side = _POSITIONS.get(position[:2]), _SIDES.get(position[2:])
    return f"{first}, {side}" if first and side else position
