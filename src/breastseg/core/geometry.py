"""Grids of voxels in the patient, and images and label maps carried from one to another."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64
from scipy import ndimage

from breastseg.core.image import Image, LabelMap
from breastseg.core.orientation import Affine

Shape = tuple[int, int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """Where voxels lie.

    shape: number of voxels along (slice, row, column).
    affine: voxel index (slice, row, column) to patient LPS position in mm.
    """

    shape: Shape
    affine: Float64[np.ndarray, "4 4"]

    @property
    def spacing_mm(self) -> tuple[float, float, float]:
        """Distance between voxel centres along (slice, row, column)."""
        slices, rows, columns = np.linalg.norm(self.affine[:3, :3], axis=0)
        return float(slices), float(rows), float(columns)

    def with_spacing(self, spacing_mm: tuple[float, float, float]) -> "Grid":
        """Return a grid of another spacing that covers the same box, its voxels' corners included.

        The number of voxels is rounded, so that the box may grow or shrink by half a voxel; its
        centre stays.

        >>> grid = Grid(shape=(10, 20, 20), affine=np.diag([3.0, 1, 1, 1])).with_spacing((1, 1, 2))
        >>> grid.shape, grid.spacing_mm, grid.affine[:3, 3].tolist()
        ((30, 20, 10), (1.0, 1.0, 2.0), [-1.0, 0.0, 0.5])
        """
        factors = np.asarray(spacing_mm) / self.spacing_mm
        slices, rows, columns = np.maximum(1, np.rint(self.shape / factors)).astype(int).tolist()
        shape = (slices, rows, columns)
        affine = self.affine @ np.diag([*factors, 1.0])
        middle = (np.asarray(self.shape) - 1) / 2
        affine[:3, 3] += self.affine[:3, :3] @ middle - affine[:3, :3] @ ((np.array(shape) - 1) / 2)
        return Grid(shape=shape, affine=affine)


def resample(image: Image, grid: Grid, *, outside: float) -> Image:
    """Return the image on another grid, by linear interpolation.

    Coarser grids are sampled, not averaged: blur before where that matters.

    Args:
        image: with an affine.
        outside: the value of voxels whose centre lies beyond the outermost centres of the image.
    """
    assert image.affine is not None
    pixels = ndimage.affine_transform(
        image.pixels,
        _to_source(image.affine, grid),
        output_shape=grid.shape,
        order=1,
        mode="constant",
        cval=outside,
    )
    return Image(pixels=pixels, affine=grid.affine)


def resample_labels(labels: LabelMap, affine: Affine, grid: Grid) -> LabelMap:
    """Return a label map on another grid: each voxel has the label nearest to its centre.

    Voxels reach half their spacing beyond their centres; what lies farther out is background.
    """
    carried: LabelMap = ndimage.affine_transform(
        labels,
        _to_source(affine, grid),
        output_shape=grid.shape,
        order=0,
        mode="grid-constant",
        cval=0,
    )
    return carried


def _to_source(affine: Affine, grid: Grid) -> Affine:
    """Return the affine from an index of the grid to one of the source."""
    found = np.linalg.solve(affine, grid.affine)
    whole = np.rint(found)
    # What rounding leaves of a whole number would blur a voxel, or push it over the edge.
    return np.where(np.abs(found - whole) < 1e-9, whole, found)
