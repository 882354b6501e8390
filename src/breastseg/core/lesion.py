"""Lesions in a probability map: connected components and what is measured of them."""

from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Bool, Float64
from scipy import ndimage
from scipy.spatial import ConvexHull
from scipy.spatial.distance import cdist

from breastseg.core.errors import GeometryError, InputError
from breastseg.core.image import LabelMap, Pixels

DEFAULT_THRESHOLD = 0.5
_EIGHT_NEIGHBOURS = np.ones((3, 3), np.int32)

Component = Bool[np.ndarray, "rows columns"]
Points = Float64[np.ndarray, "points 2"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Lesion:
    """One finding in a 2D image. Millimetres are None where the spacing is not known.

    number: its label in the label map, from 1 for the most probable.
    probability: the largest inside it, in [0, 1]; None where no model has marked it.
    bounding_box: (row_start, column_start, row_stop, column_stop), stops exclusive.
    long_axis: the largest distance between two corners of its pixels (Feret diameter).
    short_axis: its width at right angles to the long axis. Axes in mm are searched in mm:
        where pixels are not square, they may lie otherwise than those in pixels.
    depth_to_width: height over width of the bounding box in mm; above 1 it is taller than wide.
        None where millimetres are not known, or nobody has said that rows run with the depth.
    """

    number: int
    probability: float | None
    area_px: int
    area_mm2: float | None
    bounding_box: tuple[int, int, int, int]
    long_axis_px: float
    long_axis_mm: float | None
    short_axis_px: float
    short_axis_mm: float | None
    depth_to_width: float | None = None

    def to_document(self) -> dict[str, Any]:
        """Return what lesions.json says of it; fractions have 4 digits."""
        return {name: _as_json(value) for name, value in asdict(self).items()}

    @classmethod
    def from_document(cls, document: dict[str, Any]) -> "Lesion":
        """Read what to_document wrote.

        Raises:
            TypeError, KeyError: the document is not one of a lesion.
        """
        return cls(**{**document, "bounding_box": tuple(document["bounding_box"])})


def _as_json(value: Any) -> Any:
    if isinstance(value, float):
        return round(value, 4)
    return list(value) if isinstance(value, tuple) else value


def find_lesions(
    probability: Pixels, *, threshold: float, spacing_mm: tuple[float, float, float] | None
) -> tuple[LabelMap, tuple[Lesion, ...]]:
    """Find the lesions: what is outlined, and which of it is shown.

    The candidates are the 8-connected components of the pixels with a probability of at least
    0.5, or of the threshold where that is lower. Shown are those whose most probable pixel
    reaches the threshold: raising it drops whole lesions and leaves the outlines as they are.

    Args:
        probability: lesion probability in [0, 1], axes (slice, row, column); one slice.
        threshold: the operating threshold, in (0, 1].
        spacing_mm: distance of pixel centres along (slice, row, column); None if not known.

    Returns:
        The label map, 0 for background, and the lesions in the order of their labels: by
        probability, then area, both falling, then position from the top left.

    Raises:
        GeometryError: there is not exactly one slice.
        InputError: the threshold is out of range.

    >>> probability = np.zeros((1, 4, 6), np.float32)
    >>> probability[0, 1:3, 1:5] = 0.9
    >>> labels, (lesion,) = find_lesions(probability, threshold=0.5, spacing_mm=(1, 0.5, 0.5))
    >>> lesion.bounding_box, lesion.area_px, lesion.area_mm2, round(lesion.long_axis_px, 3)
    ((1, 1, 3, 5), 8, 2.0, 4.472)
    """
    _check(probability, threshold)
    outline = min(threshold, DEFAULT_THRESHOLD)
    components, _ = ndimage.label(probability[0] >= outline, structure=_EIGHT_NEIGHBOURS)
    candidates = []
    for label, window in enumerate(ndimage.find_objects(components), start=1):
        inside = components[window] == label
        peak = float(probability[0][window][inside].max())
        if peak < threshold:
            continue
        candidates.append((-peak, -int(inside.sum()), label, window, inside))
    candidates.sort(key=lambda candidate: candidate[:3])
    labels = np.zeros(probability.shape, np.int32)
    lesions = []
    for number, (minus_peak, _, _, window, inside) in enumerate(candidates, start=1):
        labels[0][window][inside] = number
        lesions.append(_measured(number, -minus_peak, window, inside, spacing_mm))
    return labels, tuple(lesions)


def measure_planar_lesions(
    labels: LabelMap,
    *,
    spacing_mm: tuple[float, float, float] | None,
    rows_run_with_depth: bool = False,
) -> tuple[Lesion, ...]:
    """Measure each lesion of a label map of one image, as a reader drew them.

    Args:
        labels: axes (slice, row, column), one slice; each number above 0 is one lesion.
        spacing_mm: distance of pixel centres along (slice, row, column); None if not known.
        rows_run_with_depth: the probe lies at the upper or lower edge, as in a B-mode image.

    Returns:
        The lesions in the order of their numbers, without a probability.

    Raises:
        GeometryError: there is not exactly one slice.

    >>> labels = np.array([[[0, 1, 1], [0, 1, 1], [0, 1, 1]]], np.int32)
    >>> (lesion,) = measure_planar_lesions(
    ...     labels, spacing_mm=(1, 0.2, 0.2), rows_run_with_depth=True)
    >>> round(lesion.area_mm2, 3), round(lesion.depth_to_width, 3)
    (0.24, 1.5)
    """
    if labels.ndim != 3 or labels.shape[0] != 1:
        raise GeometryError(
            f"the label map of an image must have the shape (1, rows, columns), got {labels.shape}."
            " Measure a volume by lesion_volume.measure_lesions()."
        )
    lesions = []
    for number, window in enumerate(ndimage.find_objects(labels[0]), start=1):
        if window is None:
            continue
        lesion = _measured(number, None, window, labels[0][window] == number, spacing_mm)
        if rows_run_with_depth and spacing_mm is not None:
            top, left, bottom, right = lesion.bounding_box
            ratio = (bottom - top) * spacing_mm[1] / ((right - left) * spacing_mm[2])
            lesion = replace(lesion, depth_to_width=float(ratio))
        lesions.append(lesion)
    return tuple(lesions)


def _check(probability: Pixels, threshold: float) -> None:
    if probability.ndim != 3 or probability.shape[0] != 1:
        raise GeometryError(
            "the probability map must have the shape (1, rows, columns), got "
            f"{probability.shape}. Lesions of volumes are not measured yet: pass one slice."
        )
    check_threshold(threshold)


def check_threshold(threshold: float) -> None:
    """Refuse what is no threshold of a probability.

    Raises:
        InputError: the threshold is not in (0, 1].
    """
    if not 0 < threshold <= 1:
        raise InputError(
            f"the threshold must be a probability above 0 and at most 1, got {threshold}. "
            "Usual is 0.5."
        )


def _measured(
    number: int,
    probability: float | None,
    window: tuple[slice, slice],
    inside: Component,
    spacing_mm: tuple[float, float, float] | None,
) -> Lesion:
    rows, columns = window
    area = int(inside.sum())
    corners = _corners(inside)
    long_px, short_px = _axes(corners)
    area_mm2 = long_mm = short_mm = None
    if spacing_mm is not None:
        pixel_mm = np.array(spacing_mm[1:], np.float64)
        area_mm2 = float(area * pixel_mm.prod())
        long_mm, short_mm = _axes(corners * pixel_mm)
    return Lesion(
        number=number,
        probability=probability,
        area_px=area,
        area_mm2=area_mm2,
        bounding_box=(rows.start, columns.start, rows.stop, columns.stop),
        long_axis_px=long_px,
        long_axis_mm=long_mm,
        short_axis_px=short_px,
        short_axis_mm=short_mm,
    )


def _corners(inside: Component) -> Points:
    """Return the corners of the first and last pixel of each row: the hull needs no others."""
    rows = np.flatnonzero(inside.any(axis=1))
    first = inside[rows].argmax(axis=1)
    stop = inside.shape[1] - inside[rows, ::-1].argmax(axis=1)
    corners = [(rows + below, side) for below in (0, 1) for side in (first, stop)]
    return np.concatenate([np.stack(pair, axis=1) for pair in corners]).astype(np.float64)


def _axes(corners: Points) -> tuple[float, float]:
    """Return the largest Feret diameter and the width at right angles to it."""
    hull = corners[ConvexHull(corners).vertices]
    distances = cdist(hull, hull)
    start, end = np.unravel_index(distances.argmax(), distances.shape)
    long_axis = float(distances[start, end])
    along_row, along_column = (hull[end] - hull[start]) / long_axis
    across = hull @ np.array([-along_column, along_row])
    return long_axis, float(np.ptp(across))
