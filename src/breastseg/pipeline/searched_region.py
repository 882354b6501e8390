"""Where in a CT lesions are looked for, on the grid of the network; for training and prediction."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool
from scipy import ndimage

from breastseg.core.image import Image
from breastseg.core.orientation import anatomy_of
from breastseg.core.volume_recipe import VolumePreprocessing
from breastseg.pipeline.breast_region import find_breasts
from breastseg.pipeline.volume_grid import VolumeGrid

Mask = Bool[np.ndarray, "slices rows columns"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchedRegion:
    """A box of a scan, and the part of it where lesions are looked for.

    inside: on the network's grid. refusal: why no breast was found, or None.
    """

    grid: VolumeGrid
    inside: Mask
    refusal: str | None = None


def searched_region(
    image: Image, preprocessing: VolumePreprocessing, lesions: Mask | None = None
) -> SearchedRegion:
    """Find where lesions are looked for.

    Args:
        image: in HU, with an affine.
        preprocessing: region, margin and the network's spacing.
        lesions: on the image's grid: the box is made to hold them too, in training. They do not
            change what lies `inside`.

    Returns:
        In the breasts and `margin_mm` around them; in all of the scan where the recipe says so,
        or where no breast was found, which `refusal` tells.

    Raises:
        GeometryError: the image has no affine.
    """
    spacing = preprocessing.spacing_mm
    if preprocessing.region == "scan" or image.affine is None:  # the grid tells what is missing
        return _everywhere(image, preprocessing)
    breasts = find_breasts(image)
    if breasts.refusal is not None:
        return _everywhere(image, preprocessing, breasts.refusal)
    found = breasts.labels > 0
    wanted = _box_around(found, image, preprocessing.margin_mm)
    if lesions is not None:
        wanted |= lesions
    grid = VolumeGrid.fit(image, spacing, wanted)
    near = grid.apply_mask(found)
    inside = ndimage.distance_transform_edt(~near, sampling=spacing) <= preprocessing.margin_mm
    return SearchedRegion(grid=grid, inside=np.asarray(inside))


def _everywhere(
    image: Image, preprocessing: VolumePreprocessing, refusal: str | None = None
) -> SearchedRegion:
    grid = VolumeGrid.fit(image, preprocessing.spacing_mm)
    return SearchedRegion(grid=grid, inside=np.ones(grid.shape, bool), refusal=refusal)


def _box_around(mask: Mask, image: Image, margin_mm: float) -> Mask:
    """Return the box that holds a mask and a margin around it."""
    assert image.affine is not None
    anatomy = anatomy_of(image.affine)
    lengths = np.linalg.norm(image.affine[:3, :3], axis=0)[list(anatomy.axes[::-1])]
    box = np.zeros_like(mask)
    (bounds,) = ndimage.find_objects(anatomy.to_lps(mask).astype(np.uint8))
    wider = tuple(
        slice(max(0, side.start - reach), side.stop + reach)
        for side, reach in zip(bounds, np.ceil(margin_mm / lengths).astype(int), strict=True)
    )
    anatomy.to_lps(box)[wider] = True
    return box
