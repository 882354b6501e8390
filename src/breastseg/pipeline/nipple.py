"""Which point of the skin is the nipple: where it juts out over soft tissue instead of fat."""

import numpy as np
from jaxtyping import Float32, Float64
from scipy import ndimage

from breastseg.pipeline.chest_tissue import block_mean

_BLOCK_MM = 2.0
_JUT_MM = 5.0
_BENEATH_MM = 8.0
_BENEATH_WEIGHT = 0.5
_MOST_BODY = 0.45
_LEAST_SOFT = 0.3
_DEEPEST_SHARE = 0.5
"""The nipple lies at no less than this share of the thickness of the breast."""
_AIR_HU, _FAT_HU, _SOFT_HU = -1000.0, -80.0, 20.0
_SOLID_HU = -100.0

Planes = Float32[np.ndarray, "slices rows columns"]
Places = Float64[np.ndarray, "places 3"]


def nipple_among(
    skin: Places, depth_mm: Float64[np.ndarray, " places"], planes: Planes, spacing_mm: np.ndarray
) -> int | None:
    """Return which place of a breast's skin is the nipple; None where none looks like it.

    In a ball around a place on even skin, half is body. Around a nipple it is less, and of what
    is body more is as dense as gland. Both are means weighted by a Gaussian.

    Args:
        skin: indices into the planes.
        depth_mm: of each, its distance to the chest wall.
        planes: HU.
        spacing_mm: of the planes.
    """
    low = np.maximum(0, np.floor(skin.min(axis=0) - 3 * _BENEATH_MM / spacing_mm)).astype(int)
    high = np.ceil(skin.max(axis=0) + 3 * _BENEATH_MM / spacing_mm).astype(int) + 1
    crop = planes[tuple(slice(first, last) for first, last in zip(low, high, strict=True))]
    factors = [
        min(max(1, round(_BLOCK_MM / mm)), size)
        for mm, size in zip(spacing_mm, crop.shape, strict=True)
    ]
    hu = block_mean(crop, (factors[0], factors[1], factors[2]))
    places = (skin - low + 0.5) / factors - 0.5
    body, soft = _around(hu, places, spacing_mm * factors)
    deep = depth_mm > _DEEPEST_SHARE * np.percentile(depth_mm, 95)
    best = int(np.argmin(np.where(deep, body - _BENEATH_WEIGHT * soft, np.inf)))
    return best if body[best] < _MOST_BODY and soft[best] > _LEAST_SOFT else None


def _around(hu: Planes, places: Places, spacing_mm: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the share of body around places, and of soft tissue in that body."""
    body = np.clip((hu - _AIR_HU) / (_SOLID_HU - _AIR_HU), 0, 1)
    soft = np.clip((hu - _FAT_HU) / (_SOFT_HU - _FAT_HU), 0, 1)
    near, around, dense = (
        ndimage.map_coordinates(
            ndimage.gaussian_filter(field, width / spacing_mm, mode="nearest"),
            places.T,
            order=1,
            mode="nearest",
        )
        for field, width in ((body, _JUT_MM), (body, _BENEATH_MM), (soft, _BENEATH_MM))
    )
    return near, dense / np.maximum(around, 0.1)
