"""Measuring the fingerprint of a data set, one image at a time, and keeping it in the cache."""

import hashlib
import logging
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool
from scipy import ndimage

from breastseg.core.errors import GeometryError
from breastseg.core.fingerprint import Fingerprint, PictureFacts, Triple, VolumeFacts
from breastseg.core.image import Case, Image, LabelMap
from breastseg.core.orientation import anatomy_of
from breastseg.datasets.cases import CaseFiles, DataSet, read_case
from breastseg.io import cache
from breastseg.io.raster import file_sha256
from breastseg.pipeline.breast_region import find_breasts

Progress = Callable[[str, int, int], None]
Region = Bool[np.ndarray, "slices rows columns"]

WINDOW_HU = (-200.0, 300.0)
"""Soft tissue, fat and contrast medium; lesions outside of it widen it."""
_BODY_HU = -400.0
_PERCENTILES = (0.5, 99.5)
_CACHE, _METHOD = "fingerprints", "fingerprint 1"
"""The second goes into the key: to be changed with anything that is measured, or how."""

log = logging.getLogger(__name__)


def measure(data_set: DataSet, progress: Progress) -> Fingerprint:
    """Measure every case of a data set; the same contents are measured once.

    The cache keeps numbers alone, under a digest of all images and masks together.

    Raises:
        LayoutError: pictures beside volumes.
        ImageFileError, ReferenceMaskError, GeometryError: a case that cannot be used.
    """
    key = _key(data_set.cases)
    if (known := _known(key)) is not None:
        log.info("the fingerprint of %d images is known from earlier", len(data_set.cases))
        return known
    are_volumes = data_set.holds_volumes
    volumes, pictures = [], []
    for done, files in enumerate(data_set.cases, start=1):
        case = read_case(files)
        if are_volumes:
            volumes.append(describe_volume(case))
        else:
            pictures.append(_describe_picture(case))
        progress("Measuring images and lesions", done, len(data_set.cases))
    found = Fingerprint(volumes=tuple(volumes), pictures=tuple(pictures))
    cache.keep(_CACHE, key, found.to_document())
    return found


def _known(key: str) -> Fingerprint | None:
    document: Any = cache.load(_CACHE, key)
    try:
        return None if document is None else Fingerprint.from_document(document)
    except (TypeError, KeyError):
        return None


def _key(cases: Sequence[CaseFiles]) -> str:
    lines = sorted(
        " ".join([case.sha256(), *sorted(map(file_sha256, case.mask_paths or ()))])
        + " ".join(case.lesion_structures)
        for case in cases
    )
    return hashlib.sha256("\n".join([_METHOD, *lines]).encode()).hexdigest()


def describe_volume(case: Case) -> VolumeFacts:
    """Measure one CT volume; the breasts are looked for as in a training.

    Raises:
        GeometryError: the image has no affine.
    """
    image = case.image
    if image.affine is None or image.spacing_mm is None:
        raise GeometryError(
            f"case '{case.case_id}': a volume must say where its voxels lie in millimetres; its "
            "affine is missing."
        )
    order = anatomy_of(image.affine).axes[::-1]
    spacing = np.array(image.spacing_mm)[list(order)]
    shape = np.array(image.pixels.shape)[list(order)]
    breasts = find_breasts(image)
    region = image.pixels > _BODY_HU if breasts.refusal else breasts.labels > 0
    labels = np.zeros(image.pixels.shape, np.int32) if case.reference is None else case.reference
    return VolumeFacts(
        spacing_mm=_triple(spacing),
        size_mm=_triple(spacing * shape),
        breast_mm=None if breasts.refusal else _largest_box(image, breasts.labels, spacing),
        lesion_mm=_diameters_mm(labels, float(spacing.prod())),
        num_in_breasts=0 if breasts.refusal else _num_inside(labels, region),
        lesion_hu=_percentiles(image, labels),
        region_hu=_mean_and_sd(image, region),
    )


def _triple(values: np.ndarray) -> Triple:
    first, second, third = (round(float(each), 4) for each in values)
    return first, second, third


def _largest_box(image: Image, labels: np.ndarray, spacing: np.ndarray) -> Triple:
    """Return the sides, along each axis, that hold either breast."""
    assert image.affine is not None
    view = anatomy_of(image.affine).to_lps(labels)
    boxes = [box for box in ndimage.find_objects(view) if box is not None]
    sides = np.array([[side.stop - side.start for side in box] for box in boxes])
    return _triple(sides.max(axis=0) * spacing)


def _diameters_mm(labels: LabelMap, voxel_mm3: float) -> tuple[float, ...]:
    counts = np.bincount(labels.ravel())[1:]
    diameters = np.cbrt(counts[counts > 0] * (voxel_mm3 * 6 / np.pi))
    return tuple(round(float(each), 2) for each in diameters)


def _num_inside(labels: LabelMap, region: Region) -> int:
    counts = np.bincount(labels.ravel())[1:]
    inside = np.bincount(labels[region], minlength=len(counts) + 1)[1:]
    return int(np.count_nonzero((counts > 0) & (2 * inside >= counts)))


def _percentiles(image: Image, labels: LabelMap) -> tuple[float, float] | None:
    values = image.pixels[labels > 0]
    if not values.size:
        return None
    low, high = np.percentile(values, _PERCENTILES)
    return round(float(low), 1), round(float(high), 1)


def _mean_and_sd(image: Image, region: Region) -> tuple[float, float]:
    values = np.clip(image.pixels[region], *WINDOW_HU) if region.any() else np.zeros(1)
    return round(float(values.mean(dtype=np.float64)), 1), round(float(values.std()), 1)


def _describe_picture(case: Case) -> PictureFacts:
    rows, columns = case.image.pixels.shape[1:]
    labels = np.zeros(1, np.int32) if case.reference is None else case.reference
    areas = np.bincount(labels.ravel())[1:]
    diameters = (2 * np.sqrt(area / np.pi) for area in areas if area)
    return PictureFacts(
        size=(rows, columns), lesion_px=tuple(round(float(each), 2) for each in diameters)
    )
