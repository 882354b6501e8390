"""Where the voxels of a phantom lie, and smooth noise that is fixed in the patient.

Anatomy is a function of the position in millimetres, so that it is the same on any grid.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Float64
from scipy import ndimage

# Any shape that broadcasts against (slice, row, column).
Field = Float32[np.ndarray, "*slices_rows_columns"]
Affine = Float64[np.ndarray, "4 4"]
Points = Float32[np.ndarray, "points 3"]

_SLAB = 6
_LATTICE = 40
_SMOOTHING = 1.0


@dataclass(frozen=True, slots=True)
class Grid:
    """Positions of voxel centres in LPS mm: x to the left, y to posterior, z to the head.

    x, y, z: of shapes (1, 1, columns), (1, rows, 1) and (slices, 1, 1).
    affine: (slice, row, column) to LPS.
    """

    x: Field
    y: Field
    z: Field
    affine: Affine

    @property
    def axes(self) -> tuple[Field, Field, Field]:
        """Positions along (slice, row, column), where the voxels are in the scanner."""
        return self.z.ravel(), self.y.ravel(), self.x.ravel()

    @property
    def shape(self) -> tuple[int, int, int]:
        """(slices, rows, columns)."""
        along_slice, along_row, along_column = self.axes
        return along_slice.size, along_row.size, along_column.size

    @property
    def spacing_mm(self) -> tuple[float, float, float]:
        """Distance between voxel centres along (slice, row, column)."""
        along_slice, along_row, along_column = np.linalg.norm(self.affine[:3, :3], axis=0)
        return float(along_slice), float(along_row), float(along_column)

    def window(self, cut: tuple[slice, slice, slice]) -> "Grid":
        """Return a part of the grid."""
        affine = self.affine.copy()
        affine[:3, 3] += self.affine[:3, :3] @ [part.start for part in cut]
        slices, rows, columns = cut
        return Grid(self.x[:, :, columns], self.y[:, rows], self.z[slices], affine)

    def slabs(self) -> Iterator[tuple[slice, "Grid"]]:
        """Yield the grid in parts that fit into the processor's cache."""
        for start in range(0, self.z.size, _SLAB):
            part = slice(start, min(start + _SLAB, self.z.size))
            yield part, self.window((part, slice(0, self.y.size), slice(0, self.x.size)))

    def around(self, low_mm: np.ndarray, high_mm: np.ndarray) -> tuple[slice, slice, slice] | None:
        """Return the voxels in a box of LPS mm, or None where it holds none."""
        axes = zip((self.x, self.y, self.z), low_mm, high_mm, strict=True)
        parts = []
        for positions, low, high in axes:
            inside = np.flatnonzero((positions.ravel() >= low) & (positions.ravel() <= high))
            if not inside.size:
                return None
            parts.append(slice(int(inside[0]), int(inside[-1]) + 1))
        return parts[2], parts[1], parts[0]


@dataclass(frozen=True, slots=True)
class BentGrid(Grid):
    """A grid as the patient sees it who does not lie straight: x, y and z have its full shape."""

    straight: Grid

    @property
    def axes(self) -> tuple[Field, Field, Field]:
        """Positions along (slice, row, column), where the voxels are in the scanner."""
        return self.straight.axes


def make_grid(
    shape: tuple[int, int, int],
    spacing_mm: tuple[float, float, float],
    centre_mm: tuple[float, float, float],
    *,
    prone: bool,
) -> Grid:
    """Return a grid of axial slices, as a scanner stores them head first.

    Args:
        shape: (slices, rows, columns).
        spacing_mm: along (slice, row, column).
        centre_mm: LPS position of the middle of the volume.
        prone: rows run to anterior and columns to the right, so that the table is below in the
            picture as it is for a supine patient.
    """
    side = -1.0 if prone else 1.0
    affine = np.zeros((4, 4))
    affine[2, 0], affine[1, 1], affine[0, 2] = (
        spacing_mm[0],
        side * spacing_mm[1],
        side * spacing_mm[2],
    )
    affine[3, 3] = 1
    affine[:3, 3] = np.round(centre_mm - affine[:3, :3] @ ((np.array(shape) - 1) / 2), 3)
    return grid_of(affine, shape)


def grid_of(affine: Affine, shape: tuple[int, int, int]) -> Grid:
    """Return the positions of an axial grid, whose axes lie along those of the patient."""
    z, y, x = (
        np.asarray(affine[row, 3] + affine[row, axis] * np.arange(shape[axis]), np.float32)
        for axis, row in enumerate((2, 1, 0))
    )
    return Grid(x[None, None, :], y[None, :, None], z[:, None, None], affine)


class Noise:
    """Smooth noise of mean 0 and variance 1, periodic, fixed in space."""

    def __init__(self, random: np.random.Generator, scale_mm: float) -> None:
        """Draw the noise.

        Args:
            random: the stream; each noise draws the same number of values from it.
            scale_mm: about half the width of its blobs.
        """
        white = random.standard_normal((_LATTICE,) * 3, np.float32)
        lattice = ndimage.gaussian_filter(white, _SMOOTHING, mode="wrap")
        self._lattice = (lattice / lattice.std()).astype(np.float32)
        self._pitch = scale_mm / (1.5 * _SMOOTHING)

    def on(self, grid: Grid) -> Field:
        """Return its values on a grid, by linear interpolation along each axis."""
        weights = [self._weights(axis) for axis in grid.axes]
        along_z = np.tensordot(weights[0], self._lattice, axes=(1, 0))
        values: Field = (weights[1] @ along_z) @ weights[2].T
        return values

    def at(self, points: Points) -> Float32[np.ndarray, " points"]:
        """Return its values at points, in the same order of the axes as the points'."""
        values: Field = ndimage.map_coordinates(
            self._lattice, points.T / self._pitch, order=1, mode="grid-wrap"
        )
        return values

    def _weights(self, positions: np.ndarray) -> np.ndarray:
        places = positions / self._pitch
        below = np.floor(places).astype(int)
        share = (places - below).astype(np.float32)
        weights = np.zeros((places.size, _LATTICE), np.float32)
        rows = np.arange(places.size)
        weights[rows, below % _LATTICE] = 1 - share
        weights[rows, (below + 1) % _LATTICE] += share
        return weights


def inside(distance_mm: Field, width_mm: float) -> Field:
    """Return the share of a voxel inside a surface, from its distance (negative inside)."""
    share: Field = np.clip(0.5 - distance_mm / width_mm, 0, 1)
    return share


def ellipsoid(offsets: tuple[Field, Field, Field], semi_axes: tuple[float, float, float]) -> Field:
    """Return the distance in mm to an ellipsoid along the ray from its centre; inside < 0."""
    radius = np.sqrt(sum(np.square(offset) for offset in offsets))
    scaled = np.sqrt(
        sum(np.square(offset / axis) for offset, axis in zip(offsets, semi_axes, strict=True))
    )
    distance: Field = radius - radius / np.maximum(scaled, 1e-3)
    return distance


def smooth_union(first: Field, second: Field, blend_mm: float) -> Field:
    """Return the distance to two bodies whose seam is filled over a width.

    Source: the polynomial smooth minimum, iquilezles.org/articles/smin.
    """
    excess = np.maximum(blend_mm - np.abs(first - second), 0)
    union: Field = np.minimum(first, second) - np.square(excess) / (4 * blend_mm)
    return union
