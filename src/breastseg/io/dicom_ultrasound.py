"""Reading DICOM ultrasound: frames as luminance, with the size of a pixel where it is certain."""

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float64
from pydicom import Dataset
from pydicom.pixels.processing import apply_color_lut

from breastseg.core.image import Area, Image
from breastseg.core.scan_faults import ScanError, ScanFault
from breastseg.core.series import Series, series_case_id
from breastseg.io.dicom_files import ULTRASOUND, read_header, refusing_malformed
from breastseg.io.dicom_pixels import decode_frame, transfer_syntax_of
from breastseg.io.pydicom_silence import pydicom_silenced
from breastseg.io.raster import Colours, Luminance, Mask, drawn_over, luminance

# DICOM PS3.3, section C.8.5.5.1: RegionSpatialFormat 2D, PhysicalUnits centimetres.
_TWO_DIMENSIONAL = 1
_CENTIMETRES = 3
_MM_PER_CM = 10.0
_CORNERS = (
    "RegionLocationMinY0",
    "RegionLocationMaxY1",
    "RegionLocationMinX0",
    "RegionLocationMaxX1",
)
# A region of fewer pixels along a side is a mistake, or no scan of a breast.
_SMALLEST_AREA = 32
# Calibrations are written with six digits or more.
_SAME_SIZE = 1e-3

Frame = tuple[Luminance, Mask | None]

_GREY = ("MONOCHROME1", "MONOCHROME2")
_PALETTE = "PALETTE COLOR"
_COLOURS = ("RGB", "YBR_FULL", "YBR_FULL_422", "YBR_PARTIAL_420", "YBR_ICT", "YBR_RCT")


@pydicom_silenced()
def read_ultrasound(path: Path, frame: int | None = None) -> Series:
    """Read a DICOM ultrasound file: one frame, or all of them.

    Args:
        frame: its number, from 0; None reads all, one behind the other along the slice axis,
            which is then time.

    Returns:
        The frames in the unit of the file (8 bit: 0 to 255); colour becomes luminance. The affine
        is that of the picture, not of the patient: column and row steps in mm, and a step of 1
        from frame to frame that means nothing; None where the size of a pixel is not certain.

    Raises:
        ScanError: modality, no-pixels, photometry, truncated-pixels, undecodable-pixels,
            transfer-syntax, not-dicom, damaged-file.
    """
    with refusing_malformed(path):
        return _read(path, read_header(path), frame)


def _read(path: Path, header: Dataset, frame: int | None) -> Series:
    modality = str(header.get("Modality", ""))
    if header.SOPClassUID not in ULTRASOUND:
        found = f"expected ultrasound, found {header.SOPClassUID.name} of modality '{modality}'"
        raise ScanError(ScanFault.MODALITY, path, found)
    numbers = range(num_frames(header)) if frame is None else [frame]
    frames = [_read_frame(path, header, number) for number in numbers]
    pixels = np.stack([grey for grey, _ in frames])
    size, notes = _pixel_size(header)
    area = _scan_area(header, pixels.shape[1:])
    affine = None if size is None else _picture_affine(*size)
    return Series(
        case_id=series_case_id(str(header.SeriesInstanceUID), "US"),
        modality="US",
        image=Image(pixels=pixels, affine=affine, scan_area=area, drawn=_drawn(frames)),
        series_instance_uid=str(header.SeriesInstanceUID),
        study_instance_uid=str(header.get("StudyInstanceUID", "")),
        instance_paths=(path,),
        notes=(*notes, *_annotation_notes(header)),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Instance:
    """One ultrasound file; digits are 8 hex digits of the SHA-256 of its SOPInstanceUID."""

    path: Path
    digits: str
    num_frames: int


@pydicom_silenced()
def read_instance(path: Path) -> Instance:
    """Read how a file is told from others of its series; errors of read_header."""
    header = read_header(
        path, ["SOPClassUID", "SeriesInstanceUID", "SOPInstanceUID", "NumberOfFrames"]
    )
    uid = str(header.get("SOPInstanceUID", ""))
    digits = hashlib.sha256(uid.encode("ascii", "replace")).hexdigest()[:8]
    return Instance(path=path, digits=digits, num_frames=num_frames(header))


def num_frames(header: Dataset) -> int:
    """Return how many frames an object has; 1 where it does not say."""
    try:
        return max(1, int(header.get("NumberOfFrames") or 1))
    except (TypeError, ValueError):
        return 1


def _drawn(frames: Sequence[Frame]) -> Bool[np.ndarray, "slices rows columns"] | None:
    if all(drawn is None for _, drawn in frames):
        return None
    return np.stack(
        [np.zeros(grey.shape, bool) if drawn is None else drawn for grey, drawn in frames]
    )


def _read_frame(path: Path, header: Dataset, number: int) -> Frame:
    """Return the luminance of a frame, and where it is coloured, see drawn_over."""
    kind = str(header.get("PhotometricInterpretation", ""))
    if not header.get("Rows") or not header.get("Columns"):
        raise ScanError(ScanFault.NO_PIXELS, path, "expected Rows and Columns above 0")
    if kind not in (*_GREY, _PALETTE, *_COLOURS):
        found = f"expected a PhotometricInterpretation of grey or colour, found '{kind}'"
        raise ScanError(ScanFault.PHOTOMETRY, path, found)
    stored = decode_frame(path, number, transfer_syntax_of(header), raw=False)
    if kind == _PALETTE:
        stored = _through_palette(path, header, stored)
    if kind in _GREY:
        grey = stored.astype(np.float32)
        top = float(2 ** int(header.BitsStored) - 1)
        return np.asarray(top - grey if kind == "MONOCHROME1" else grey), None
    drawn = drawn_over(stored) if stored.dtype == np.uint8 else None
    return luminance(stored.astype(np.float32)), drawn


def _through_palette(path: Path, header: Dataset, stored: np.ndarray) -> Colours:
    """Return red, green and blue of 0 to 255; palettes often have 16 bits where 8 are shown."""
    try:
        colours = apply_color_lut(stored, header)
    except (AttributeError, ValueError, IndexError, NotImplementedError) as error:
        found = f"the palette cannot be applied ({type(error).__name__})"
        raise ScanError(ScanFault.PHOTOMETRY, path, found) from None
    if colours.dtype == np.uint16:
        colours = colours >> 8
    return np.asarray(colours[..., :3], np.uint8)


def _picture_affine(row_mm: float, column_mm: float) -> Float64[np.ndarray, "4 4"]:
    affine = np.zeros((4, 4))
    affine[0, 2], affine[1, 1], affine[2, 0], affine[3, 3] = column_mm, row_mm, 1.0, 1.0
    return affine


def _pixel_size(header: Dataset) -> tuple[tuple[float, float] | None, tuple[str, ...]]:
    """Return (row, column) steps in mm, where all 2D regions of the picture agree on them."""
    regions = header.get("SequenceOfUltrasoundRegions") or []
    sizes = {size for region in regions if (size := _region_size(region)) is not None}
    if not sizes:
        return None, ("The file does not say how large a pixel is: sizes are in pixels.",)
    lowest, highest = np.min(list(sizes), axis=0), np.max(list(sizes), axis=0)
    if not np.allclose(lowest, highest, rtol=_SAME_SIZE, atol=0):
        return None, ("The regions of the picture have different scales: sizes are in pixels.",)
    return min(sizes), ()


def _region_size(region: Dataset) -> tuple[float, float] | None:
    """Return (row, column) steps of a region in mm; None for M-mode, spectra, and no scale."""
    units = (region.get("PhysicalUnitsXDirection"), region.get("PhysicalUnitsYDirection"))
    if region.get("RegionSpatialFormat") != _TWO_DIMENSIONAL or units != (_CENTIMETRES,) * 2:
        return None
    steps = [_step(region.get(name)) for name in ("PhysicalDeltaY", "PhysicalDeltaX")]
    if steps[0] is None or steps[1] is None:
        return None
    return steps[0], steps[1]


def _scan_area(header: Dataset, shape: tuple[int, ...]) -> Area | None:
    """Return what all 2D regions of the picture lie in; None where that is all, or not certain."""
    regions = header.get("SequenceOfUltrasoundRegions") or []
    flat = [each for each in regions if each.get("RegionSpatialFormat") == _TWO_DIMENSIONAL]
    corners = [[each.get(name) for name in _CORNERS] for each in flat]
    if not corners or not all(isinstance(edge, int) for each in corners for edge in each):
        return None
    tops, lasts, lefts, ends = zip(*corners, strict=True)
    rows, columns = shape
    if any(
        top > last or left > end or top >= rows or left >= columns
        for top, last, left, end in corners
    ):
        return None
    area = Area(
        top=max(0, min(tops)),
        bottom=min(rows, max(lasts) + 1),
        left=max(0, min(lefts)),
        right=min(columns, max(ends) + 1),
    )
    if min(area.shape) < _SMALLEST_AREA or area == (0, rows, 0, columns):
        return None
    return area


def _step(value: Any) -> float | None:
    """Return a distance in mm; the sign is a direction, and 0 or NaN no distance."""
    if not isinstance(value, float | int) or not math.isfinite(value) or value == 0:
        return None
    return abs(float(value)) * _MM_PER_CM


def _annotation_notes(header: Dataset) -> tuple[str, ...]:
    if str(header.get("BurnedInAnnotation", "")).upper() == "YES":
        return (
            "Text is burnt into the picture (BurnedInAnnotation YES); it may name the patient.",
        )
    return ()
