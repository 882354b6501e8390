"""Lesions in a volume: what is measured of each of a label map.

All measures are those of the voxels of a mask, in millimetres of the patient, whatever the
orientation of the array: a coronal or a feet-first series gives the same numbers.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from itertools import product
from typing import Any

import numpy as np
from jaxtyping import Bool, Float64
from scipy import ndimage
from scipy.spatial import ConvexHull, SphericalVoronoi
from scipy.spatial.distance import cdist

from breastseg.core.errors import GeometryError
from breastseg.core.image import Image, LabelMap
from breastseg.core.orientation import Affine, anatomy_of, require_right_angles

_CHUNK = 512
_DIGITS = 9
_EQUAL_MM = 10**-_DIGITS

Mask = Bool[np.ndarray, "slices rows columns"]
Points = Float64[np.ndarray, "points dimensions"]
Position = tuple[float, float, float]
Box = tuple[int, int, int, int, int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class VolumeLesion:
    """One finding in a volume. Positions are LPS millimetres.

    number: its label in the label map.
    probability: the largest inside it, in [0, 1]; None where no model has marked it.
    volume_mm3: number of voxels times the volume of one.
    surface_mm2: by Crofton's formula over 13 directions, see surface_area.
    long_axis_mm: in the axial plane: the largest distance between two corners of its voxels
        within one plane, over all planes (as in RECIST 1.1).
    short_axis_mm: its width in that plane at right angles to the long axis.
    long_axis_ends: the two corners, in LPS mm.
    diameter_3d_mm: the largest distance between two corners of its voxels (Feret diameter).
    width_3d_mm: the largest width at right angles to that diameter.
    mean_hu, sd_hu: of its voxels; the standard deviation divides by their number. None where
        the image has no HU.
    bounding_box: (slice_start, row_start, column_start, slice_stop, row_stop, column_stop) of
        the array, stops exclusive.
    centroid: mean position of its voxels in LPS mm.
    """

    number: int
    probability: float | None
    num_voxels: int
    volume_mm3: float
    surface_mm2: float
    long_axis_mm: float
    short_axis_mm: float
    long_axis_ends: tuple[Position, Position]
    diameter_3d_mm: float
    width_3d_mm: float
    mean_hu: float | None
    sd_hu: float | None
    bounding_box: Box
    centroid: Position

    def to_document(self) -> dict[str, Any]:
        """Return what lesions.json says of it; fractions have 4 digits."""
        return {name: _as_json(value) for name, value in asdict(self).items()}

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> "VolumeLesion":
        """Read what to_document wrote; other keys are passed over.

        Raises:
            TypeError, KeyError: the document is not one of a lesion.
        """
        values = {each.name: document[each.name] for each in fields(cls)}
        start, end = (tuple(point) for point in values["long_axis_ends"])
        values |= {name: tuple(values[name]) for name in ("bounding_box", "centroid")}
        return cls(**{**values, "long_axis_ends": (start, end)})


def _as_json(value: Any) -> Any:
    if isinstance(value, float):
        return round(value, 4)
    return [_as_json(each) for each in value] if isinstance(value, tuple) else value


def measure_lesions(
    image: Image,
    labels: LabelMap,
    *,
    in_hu: bool,
    probability: Float64[np.ndarray, "slices rows columns"] | None = None,
) -> tuple[VolumeLesion, ...]:
    """Measure each lesion of a label map.

    Args:
        image: with an affine; HU where in_hu.
        labels: 0 for background; each other number is one lesion, connected or not.
        probability: lesion probability in [0, 1] of each voxel, where a model gave it.

    Returns:
        The lesions in the order of their numbers.

    Raises:
        GeometryError: shapes differ, or the affine is missing or sheared.
    """
    affine = _checked(image, labels)
    lesions = []
    for number, window in enumerate(ndimage.find_objects(labels), start=1):
        if window is None:
            continue
        inside = labels[window] == number
        values = image.pixels[window][inside].astype(np.float64) if in_hu else None
        peak = None if probability is None else float(probability[window][inside].max())
        lesions.append(_measured(number, inside, window, affine, values, peak))
    return tuple(lesions)


def _checked(image: Image, labels: LabelMap) -> Affine:
    if image.affine is None:
        raise GeometryError(
            "a volume must say where its voxels lie in millimetres; its affine is missing. "
            "Read it from a DICOM series or a NIfTI file."
        )
    if labels.shape != image.pixels.shape:
        raise GeometryError(
            f"the label map must have the image's shape {image.pixels.shape} (slices, rows, "
            f"columns), got {labels.shape}. Resample the mask to the grid of the image."
        )
    require_right_angles(image.affine)
    return image.affine


def _measured(
    number: int,
    inside: Mask,
    window: tuple[slice, ...],
    affine: Affine,
    values: Float64[np.ndarray, " voxels"] | None,
    probability: float | None,
) -> VolumeLesion:
    start = np.array([each.start for each in window])
    stop = np.array([each.stop for each in window])
    axes, origin = affine[:3, :3], affine[:3, :3] @ start + affine[:3, 3]
    num_voxels = int(inside.sum())
    long_axis, short_axis, ends = _axial_axes(inside, affine)
    diameter, width = _axes_3d(inside, axes)
    centre = axes @ (np.argwhere(inside).mean(axis=0)) + origin
    return VolumeLesion(
        number=number,
        probability=probability,
        num_voxels=num_voxels,
        volume_mm3=num_voxels * float(abs(np.linalg.det(axes))),
        surface_mm2=surface_area(inside, axes),
        long_axis_mm=long_axis,
        short_axis_mm=short_axis,
        long_axis_ends=(_position(axes @ ends[0] + origin), _position(axes @ ends[1] + origin)),
        diameter_3d_mm=diameter,
        width_3d_mm=width,
        mean_hu=None if values is None else float(values.mean()),
        sd_hu=None if values is None else float(values.std()),
        bounding_box=tuple(int(edge) for edge in (*start, *stop)),  # type: ignore[arg-type]
        centroid=_position(centre),
    )


def _position(point: Float64[np.ndarray, "3"]) -> Position:
    left, posterior, head = (float(value) for value in point)
    return left, posterior, head


def surface_area(inside: Mask, axes: Float64[np.ndarray, "3 3"]) -> float:
    """Return the surface of a mask in mm2, by Crofton's formula over 13 directions.

    The lines of the grid along each direction are cut where they enter or leave the mask; the
    surface is twice the mean number of cuts per area, over directions that are weighted by the
    part of the sphere nearest to them. Counting voxel faces instead would give 3/2 of the
    surface of a sphere, however fine the grid.

    Args:
        axes: step of each array axis in mm, as columns.

    Source: Legland, Kieu and Devaux 2007, Image Analysis and Stereology 26:83, with Voronoi
    weights for grids that are not cubic.
    """
    padded = np.pad(inside, 1)
    steps = np.array([step for step in product((-1, 0, 1), repeat=3) if step > (0, 0, 0)])
    lengths = np.linalg.norm(steps @ axes.T, axis=1)
    directions = steps @ axes.T / lengths[:, None]
    weights = SphericalVoronoi(np.concatenate([directions, -directions])).calculate_areas()[:13]
    line_area = abs(np.linalg.det(axes)) / lengths
    cuts = np.array([_count_cuts(padded, step) for step in steps])
    return float(2 * (weights * cuts * line_area).sum() / weights.sum())


def _count_cuts(padded: Mask, step: Any) -> int:
    here = tuple(
        slice(max(0, -k), size - max(0, k)) for k, size in zip(step, padded.shape, strict=True)
    )
    there = tuple(
        slice(max(0, k), size + min(0, k)) for k, size in zip(step, padded.shape, strict=True)
    )
    return int(np.count_nonzero(padded[here] != padded[there]))


def _axial_axes(inside: Mask, affine: Affine) -> tuple[float, float, Points]:
    """Return the axes in the axial plane where the long one is longest, and its ends as indices.

    The planes are those of the array that are nearest to axial. Ends lie on voxel corners of
    the plane's middle, so a voxel reaches from -0.5 to 0.5 around its index.
    """
    across = anatomy_of(affine).axes[2]
    in_plane = [axis for axis in range(3) if axis != across]
    scale = np.linalg.norm(affine[:3, in_plane], axis=0)
    best: tuple[float, float, Points] | None = None
    for plane, mask in enumerate(np.moveaxis(inside, across, 0)):
        if not mask.any():
            continue
        corners = _corners(mask)
        hull = corners[ConvexHull(corners * scale).vertices]
        long_axis, short_axis, ends = _axes_in_plane(hull * scale)
        axes = round(long_axis, _DIGITS), short_axis
        if best is None or axes > best[:2]:
            best = *axes, np.insert(hull[ends], across, plane, axis=1)
    if best is None:
        raise GeometryError("an empty mask has no axes. Measure lesions of a label map alone.")
    return best


def _axes_in_plane(hull: Points) -> tuple[float, float, list[int]]:
    """Return the longest axis, the width at right angles to it, and which points end it.

    Of several longest axes, as a square has, that with the largest width.
    """
    distances = cdist(hull, hull)
    longest = float(distances.max())
    best: tuple[float, list[int]] = (0.0, [])
    for start, end in np.argwhere(np.triu(distances) >= longest - _EQUAL_MM):
        width = _width(hull, hull[start], hull[end])
        if width > best[0]:
            best = width, [int(start), int(end)]
    return longest, *best


def _axes_3d(inside: Mask, axes: Float64[np.ndarray, "3 3"]) -> tuple[float, float]:
    """Return the largest distance between corners, and the largest width across it."""
    corners = _corners(inside) @ axes.T
    hull = corners[ConvexHull(corners).vertices]
    diameter, start, end = _farthest(hull)
    along = (hull[end] - hull[start]) / diameter
    across = np.linalg.svd(along[None])[2][1:]
    flat = hull @ across.T
    width, _, _ = _farthest(flat[ConvexHull(flat).vertices])
    return diameter, width


def _corners(inside: np.ndarray) -> Points:
    """Return the corners of the first and last voxel of each line: a hull needs no others.

    In indices, where a voxel reaches from -0.5 to 0.5 around its own.
    """
    lines = inside.any(axis=-1)
    first = inside.argmax(axis=-1)[lines] - 0.5
    last = inside.shape[-1] - inside[..., ::-1].argmax(axis=-1)[lines] - 0.5
    where = np.argwhere(lines).astype(np.float64)
    shifts = product((-0.5, 0.5), repeat=inside.ndim - 1)
    return np.concatenate(
        [np.column_stack([where + shift, side]) for shift in shifts for side in (first, last)]
    )


def _farthest(points: Points) -> tuple[float, int, int]:
    """Return the largest distance between two points, and which they are."""
    best = (0.0, 0, 0)
    for begin in range(0, len(points), _CHUNK):
        distances = cdist(points[begin : begin + _CHUNK], points)
        row, column = np.unravel_index(distances.argmax(), distances.shape)
        if distances[row, column] > best[0]:
            best = float(distances[row, column]), begin + int(row), int(column)
    return best


def _width(points: Points, start: Points, end: Points) -> float:
    """Return the width of points in a plane at right angles to a line."""
    along = (end - start) / np.linalg.norm(end - start)
    return float(np.ptp(points @ np.array([-along[1], along[0]])))
