"""From polygons to pixels: which pixel centres a contour encloses, and slices between outlines.

No DICOM in here. Points are (row, column) in pixels; the centre of the first pixel is (0, 0).
"""

import math
from collections.abc import Iterable, Sequence
from itertools import combinations

import numpy as np
from jaxtyping import Bool, Float64
from scipy import ndimage

Polygon = Float64[np.ndarray, "points 2"]
Plane = Bool[np.ndarray, "rows columns"]

# Of the smaller of two contours: inside the other from here on, beside it up to there.
_INSIDE = 0.9
_BESIDE = 0.1


class CrossingError(ValueError):
    """Two contours overlap by a share that is neither a hole nor none; the text gives it."""


def enclosed(polygon: Polygon, shape: tuple[int, int]) -> Plane:
    """Mark the pixels whose centres a closed polygon encloses, by the even-odd rule.

    The polygon is taken exactly, not rounded to pixels, and may touch or cross itself: a keyhole
    (outer outline, channel, inner outline, channel back) leaves its hole out. A pixel is marked
    whole or not at all. Of a centre that lies on an outline, nothing is promised but that of two
    polygons with a common edge at most one has it.

    Args:
        polygon: its corners, 3 or more; the last is joined to the first.
        shape: (rows, columns); what lies outside is cut off.
    """
    from matplotlib.path import Path as Outline

    plane: Plane = np.zeros(shape, bool)
    rows, columns = (_span(polygon[:, axis], shape[axis]) for axis in (0, 1))
    if not rows or not columns:
        return plane
    centres = np.stack(np.meshgrid(rows, columns, indexing="ij"), axis=-1).reshape(-1, 2)
    inside = Outline(np.vstack([polygon, polygon[:1]])).contains_points(centres)
    plane[rows.start : rows.stop, columns.start : columns.stop] = inside.reshape(
        len(rows), len(columns)
    )
    return plane


def _span(coordinates: Float64[np.ndarray, " points"], length: int) -> range:
    """Return the indices of the pixel centres between the outermost coordinates."""
    start = max(0, math.ceil(coordinates.min()))
    return range(start, max(start, min(length, math.floor(coordinates.max()) + 1)))


def combine(planes: Sequence[Plane], *, exclusive: bool) -> Plane:
    """Combine the contours of one structure on one slice.

    A contour inside another is a hole, one inside a hole is an island again (even-odd). A contour
    that is there twice counts once.

    Args:
        planes: what each contour encloses, at least one.
        exclusive: combine by exclusive or whatever overlaps, as DICOM PS3.3, section C.8.8.6.3
            asks for contours of the type CLOSEDPLANAR_XOR.

    Raises:
        CrossingError: two contours overlap, and neither lies inside the other; not where
            exclusive.
    """
    if not exclusive:
        planes = _different(planes)
        for one, other in combinations(planes, 2):
            _check_overlap(one, other)
    combined: Plane = np.logical_xor.reduce(planes)
    return combined


def _different(planes: Iterable[Plane]) -> list[Plane]:
    kept: list[Plane] = []
    for plane in planes:
        if not any(np.array_equal(plane, each) for each in kept):
            kept.append(plane)
    return kept


def _check_overlap(one: Plane, other: Plane) -> None:
    smaller = min(np.count_nonzero(one), np.count_nonzero(other))
    shared = np.count_nonzero(one & other)
    if smaller and _BESIDE * smaller < shared < _INSIDE * smaller:
        raise CrossingError(f"{shared / smaller:.0%} of the smaller contour lie in the other")


def between(below: Plane, above: Plane, share: float) -> Plane:
    """Interpolate a slice between two outlines by their distances.

    Args:
        share: where the slice lies, from 0 (below) to 1 (above).

    Source: Raya and Udupa 1990, IEEE Trans. Med. Imaging 9(1):32, shape-based interpolation.
    """
    within: Plane = (1 - share) * _depth(below) + share * _depth(above) > 0
    return within


def _depth(plane: Plane) -> Float64[np.ndarray, "rows columns"]:
    """Return the distance to the outline: above 0 inside, below 0 outside."""
    inside = ndimage.distance_transform_edt(np.pad(plane, 1))[1:-1, 1:-1]
    depth: Float64[np.ndarray, "rows columns"] = inside - ndimage.distance_transform_edt(~plane)
    return depth
