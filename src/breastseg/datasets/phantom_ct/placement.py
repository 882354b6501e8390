"""Where lesions lie: in a breast, off skin, chest wall and each other, mostly in gland."""

import numpy as np
from jaxtyping import Bool, Float32
from scipy import ndimage

from breastseg.datasets.phantom_ct.anatomy import Anatomy, Tissue
from breastseg.datasets.phantom_ct.grid import Grid
from breastseg.datasets.phantom_ct.lesions import (
    Lesion,
    LesionShape,
    Margin,
    draw_contrast_hu,
    draw_form,
    equivalent_volume,
)

_IN_GLAND = 0.8
_OFF_EDGE_MM = 3.0
_APART_MM = 6.0
_TRIES = 12
_SHRINK = 0.8

Mask = Bool[np.ndarray, "slices rows columns"]
Truth = tuple[np.ndarray, np.ndarray, Grid]


def draw_lesions(
    random: np.random.Generator,
    count: int,
    diameters_mm: tuple[float, float],
    anatomy: Anatomy,
    truth: Truth,
) -> tuple[tuple[Lesion, ...], tuple[int, ...]]:
    """Draw lesions and their places.

    Args:
        random: the stream.
        count: how many; fewer where the breasts have no room.
        diameters_mm: least and largest diameter of a sphere of the same volume; small ones are
            more frequent (even in the logarithm).
        anatomy: of the chest.
        truth: tissues, breasts (1 right, 2 left) and their grid.

    Returns:
        The lesions, and 1 or 2 for the side of each.
    """
    tissues, breasts, grid = truth
    room = room_mm(breasts, grid)
    gland = tissues == Tissue.GLAND
    lesions, sides = [], []
    for _ in range(count):
        wanted = float(np.exp(random.uniform(*np.log(diameters_mm))))
        margin, form = draw_form(random)
        placed = place(random, form, wanted, diameters_mm[0], (room, gland, grid))
        if placed is None:
            continue
        shape, voxel = placed
        contrast = draw_contrast_hu(random, anatomy.phase)
        lesion = _lesion(random, shape, margin, anatomy.hu[Tissue.GLAND], contrast, grid, voxel)
        lesions.append(lesion)
        sides.append(int(breasts[voxel]))
        room = np.minimum(room, distance_from(grid, lesion.centre) - shape.reach_mm - _APART_MM)
    return tuple(lesions), tuple(sides)


def _lesion(
    random: np.random.Generator,
    shape: LesionShape,
    margin: Margin,
    gland_hu: float,
    contrast: float,
    grid: Grid,
    voxel: tuple[int, int, int],
) -> Lesion:
    return Lesion(
        centre=centre_of(random, grid, voxel),
        shape=shape,
        margin=margin,
        hu=gland_hu + contrast,
        contrast_hu=contrast,
    )


def room_mm(breasts: np.ndarray, grid: Grid) -> Float32[np.ndarray, "slices rows columns"]:
    """Return how far each voxel of a breast lies from what is not that breast."""
    room = np.zeros(grid.shape, np.float32)
    for side in (1, 2):
        window = ndimage.find_objects((breasts == side).astype(np.uint8))
        if not window:
            continue
        # Where the volume ends, the breast is taken to go on.
        inside = breasts[window[0]] == side
        padded = np.pad(
            inside, [_margins(part, size) for part, size in zip(window[0], grid.shape, strict=True)]
        )
        cropped = tuple(
            slice(before, before + size)
            for (before, _), size in zip(
                (_margins(part, size) for part, size in zip(window[0], grid.shape, strict=True)),
                inside.shape,
                strict=True,
            )
        )
        far = ndimage.distance_transform_edt(padded, sampling=grid.spacing_mm)[cropped]
        room[window[0]] = np.maximum(room[window[0]], far)
    return room


def _margins(part: slice, size: int) -> tuple[int, int]:
    return int(part.start > 0), int(part.stop < size)


def place(
    random: np.random.Generator,
    form: LesionShape,
    diameter_mm: float,
    least_mm: float,
    where: tuple[np.ndarray, Mask, Grid],
) -> tuple[LesionShape, tuple[int, int, int]] | None:
    """Return a lesion's shape and the voxel of its centre; it shrinks until it fits.

    None where even the least diameter has no room.
    """
    room, gland, _ = where
    within_gland = random.random() < _IN_GLAND
    size = diameter_mm
    for _ in range(_TRIES):
        shape = form.scaled_to(equivalent_volume(max(size, least_mm)))
        # Spicules may reach into the skin; the body of the lesion stays off it.
        fits = room > max(size, least_mm) / 2 + _OFF_EDGE_MM
        for allowed in (fits & gland, fits) if within_gland else (fits,):
            places = np.flatnonzero(allowed)
            if places.size:
                chosen = places[int(random.integers(places.size))]
                slices, row, column = np.unravel_index(chosen, room.shape)
                return shape, (int(slices), int(row), int(column))
        if size <= least_mm:
            return None
        size *= _SHRINK
    return None


def centre_of(random: np.random.Generator, grid: Grid, voxel: tuple[int, int, int]) -> np.ndarray:
    """Return a point in a voxel, in LPS mm."""
    shifted = np.array(voxel) + random.uniform(-0.5, 0.5, 3)
    place: np.ndarray = grid.affine[:3, :3] @ shifted + grid.affine[:3, 3]
    return place


def distance_from(grid: Grid, point: np.ndarray) -> Float32[np.ndarray, "slices rows columns"]:
    """Return the distance of each voxel from a point in mm."""
    squares = (
        np.square(axis - np.float32(at))
        for axis, at in zip((grid.x, grid.y, grid.z), point, strict=True)
    )
    distance: Float32[np.ndarray, "slices rows columns"] = np.sqrt(sum(squares))
    return distance
