"""A slab of a phantom being painted: HU by partial volume, and the tissue of each voxel."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, UInt8

from breastseg.datasets.phantom_ct.anatomy import Tissue
from breastseg.datasets.phantom_ct.grid import Field, Grid, inside


@dataclass(slots=True)
class Canvas:
    """HU and tissues of one slab; what is painted later lies over what was there."""

    grid: Grid
    hu: Float32[np.ndarray, "slices rows columns"]
    tissues: UInt8[np.ndarray, "slices rows columns"]
    hu_of: Mapping[Tissue, float]

    @classmethod
    def empty(cls, grid: Grid, hu_of: Mapping[Tissue, float]) -> "Canvas":
        """Return a slab of air."""
        hu = np.full(grid.shape, hu_of[Tissue.AIR], np.float32)
        return cls(grid, hu, np.zeros(grid.shape, np.uint8), hu_of)

    def paint(self, tissue: Tissue, distance_mm: Field, *, added_hu: Field | float = 0.0) -> None:
        """Fill a surface (distance below 0 inside) with a tissue; its edge is a voxel wide."""
        self.cover(tissue, inside(distance_mm, self.grid.spacing_mm[2]), added_hu=added_hu)

    def cover(self, tissue: Tissue, share: Field, *, added_hu: Field | float = 0.0) -> None:
        """Fill a share of each voxel, in [0, 1], with a tissue."""
        self.hu += share * (self.hu_of[tissue] + added_hu - self.hu)
        self.tissues[np.broadcast_to(share >= 0.5, self.tissues.shape)] = tissue
