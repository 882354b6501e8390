"""Where lesions are looked for in a CT volume, on the grid of the network.

The same in training and in prediction, but for what training must not lose: see training_area.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, UInt8
from scipy import ndimage

from breastseg.core.errors import GeometryError
from breastseg.core.image import Image
from breastseg.core.volume_recipe import VolumePreprocessing
from breastseg.pipeline.breast_region import SIDES, BreastRegion, find_breasts
from breastseg.pipeline.volume_grid import VolumeGrid

Parts = UInt8[np.ndarray, "slices rows columns"]
Mask = Bool[np.ndarray, "slices rows columns"]

NOT_SEARCHED = "No lesion was looked for."
"""What is said of a scan without a breast."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Searched:
    """Where lesions are looked for in a volume, on the grid of the network.

    grid: None where there is nothing to search.
    parts: on that grid: 0 where nothing is looked for; 1 and above, parts with tiles of their
        own: the patient's right and left breast, or 1 for all.
    region: the breasts as they were found; None where the whole scan is searched.
    """

    grid: VolumeGrid | None
    parts: Parts | None
    region: BreastRegion | None

    def in_words(self) -> tuple[str, ...]:
        """Return where was searched, a sentence each."""
        if self.region is None:
            return ("The whole scan was searched, not the breasts alone.",)
        words = self.region.in_words()
        return words if self.grid is not None else (*words, NOT_SEARCHED)


def search_area(image: Image, volume: VolumePreprocessing) -> Searched:
    """Find out where a recipe looks for lesions: in the breasts with a margin, or everywhere.

    Raises:
        GeometryError: the image is empty or has no affine.
    """
    return _area(image, volume, None)


def training_area(image: Image, volume: VolumePreprocessing, lesions: Mask) -> Searched:
    """Find the same for a case of a training, whose lesions are known.

    The box is widened to hold lesions outside the breasts, which does not make them searched.
    Where no breast is found, all of the scan is.

    Args:
        lesions: on the image's grid.

    Raises:
        GeometryError: the image is empty or has no affine.
    """
    found = _area(image, volume, lesions)
    return found if found.grid is not None else _everywhere(image, volume, found.region)


def _area(image: Image, volume: VolumePreprocessing, lesions: Mask | None) -> Searched:
    if image.pixels.ndim != 3 or image.pixels.size == 0:
        raise GeometryError(
            "a volume has the shape (slices, rows, columns) and at least one voxel, got "
            f"{image.pixels.shape}."
        )
    if volume.region == "scan":
        return _everywhere(image, volume, None)
    region = find_breasts(image)
    if not region.sides:
        return Searched(grid=None, parts=None, region=region)
    held = region.labels if lesions is None else np.maximum(region.labels, lesions)
    grid = VolumeGrid.fit(
        image, volume.spacing_mm, held, margin_mm=volume.margin_mm, least=volume.patch
    )
    return Searched(grid=grid, parts=_with_margin(grid, region, volume), region=region)


def _everywhere(image: Image, volume: VolumePreprocessing, region: BreastRegion | None) -> Searched:
    grid = VolumeGrid.fit(image, volume.spacing_mm)
    return Searched(grid=grid, parts=np.ones(grid.shape, np.uint8), region=region)


def _with_margin(grid: VolumeGrid, region: BreastRegion, volume: VolumePreprocessing) -> Parts:
    """Return the breasts on the network's grid, each with what is near it; the nearer has it."""
    parts = np.zeros(grid.shape, np.uint8)
    nearest = np.full(grid.shape, np.inf, np.float32)
    for side in region.sides:
        number = SIDES[side.side]
        inside = grid.apply_mask(region.labels, number)
        if not inside.any():
            continue
        away = ndimage.distance_transform_edt(~inside, sampling=volume.spacing_mm)
        near = (away <= volume.margin_mm) & (away < nearest)
        parts[near], nearest[near] = number, away[near]
    return parts
