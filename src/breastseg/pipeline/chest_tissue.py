"""Body, lungs and bones of a chest CT on a grid of about 3 mm: coarse, and fast for it."""

from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Bool, Float32
from scipy import ndimage

from breastseg.core.image import Image, Pixels
from breastseg.core.orientation import anatomy_of

COARSE_MM = 3.0
BODY_HU = -300.0
"""Between air and fat, near fat: the foam of a table and blankets stay outside."""
_LUNG_HU = -500.0
_LUNG_MEDIAN_HU = (-950.0, -600.0)
"""Bowel gas is nearer to -1000 HU: its component is no lung."""
_BONE_HU = 180.0
_SHEET_MM = 6.0
"""Half the thickness below which something beside the body is table, tube or blanket."""
_BULK_MM = 11.0
"""Bright tissue this deep is no rib or sternum, but a heart or a vessel with contrast medium."""
_LUNG_AREA_MM2 = 1000.0
_SKIN_OF_BODY_MM = 9.0

Mask = Bool[np.ndarray, "slices rows columns"]
Spacing = tuple[float, float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class ChestTissue:
    """Tissues on the coarse grid, whose axes run to the head, posterior and left.

    hu: mean HU of each block of voxels.
    body: the trunk with all that it encloses; not the table, and no arm that lies apart.
    skin_depth_mm: distance to the air around the body; large where the field of view ends.
    factors: voxels of the image in a block, in the order of the coarse axes.
    """

    hu: Float32[np.ndarray, "slices rows columns"]
    body: Mask
    lungs: Mask
    bones: Mask
    skin_depth_mm: Float32[np.ndarray, "slices rows columns"]
    spacing_mm: Spacing
    factors: tuple[int, int, int]

    @property
    def flesh(self) -> Mask:
        """The body without air: none from between breasts that touch a table or each other."""
        return np.asarray(self.body & (self.hu > BODY_HU))


def find_tissue(image: Image) -> ChestTissue:
    """Return the tissues of a CT in HU; the image must have an affine."""
    assert image.affine is not None
    anatomy = anatomy_of(image.affine)
    stored = np.linalg.norm(image.affine[:3, :3], axis=0)
    fine_mm = [float(stored[axis]) for axis in anatomy.axes[::-1]]
    turned = anatomy.to_lps(image.pixels)
    factors = [
        min(max(1, round(COARSE_MM / mm)), size)
        for mm, size in zip(fine_mm, turned.shape, strict=True)
    ]
    hu = block_mean(turned, (factors[0], factors[1], factors[2]))
    spacing = tuple(mm * factor for mm, factor in zip(fine_mm, factors, strict=True))
    body = _body(hu, spacing[1:])
    # Beyond the field of view is no air: the distance is measured inside the picture alone.
    depth = _planar_distance(body, spacing[1:])
    lungs = _lungs(hu, body & (depth > _SKIN_OF_BODY_MM), spacing[1:])
    return ChestTissue(
        hu=hu,
        body=body,
        lungs=lungs,
        bones=_bones(hu, body, spacing[1:]),
        skin_depth_mm=depth,
        spacing_mm=(spacing[0], spacing[1], spacing[2]),
        factors=(factors[0], factors[1], factors[2]),
    )


def block_mean(pixels: Pixels, factors: tuple[int, int, int]) -> Pixels:
    """Return means over blocks; what is left over at the far end of an axis joins no block."""
    slices, rows, columns = (
        size // factor for size, factor in zip(pixels.shape, factors, strict=True)
    )
    means = np.zeros((slices, rows, columns), np.float32)
    for index in range(slices * factors[0]):
        plane = pixels[index, : rows * factors[1], : columns * factors[2]]
        # INTER_AREA is the mean of the block for a whole factor, and ten times faster.
        means[index // factors[0]] += cv2.resize(
            np.ascontiguousarray(plane), (columns, rows), interpolation=cv2.INTER_AREA
        )
    means /= factors[0]
    return means


def _planar_distance(mask: Mask, spacing_mm: tuple[float, ...]) -> Float32[np.ndarray, "..."]:
    """Return the distance of each voxel to the outside of the mask within its axial plane."""
    distance = np.full(mask.shape, np.inf, np.float32)
    for index, plane in enumerate(mask):
        if not plane.all():
            distance[index] = ndimage.distance_transform_edt(plane, sampling=spacing_mm)
    return distance


def opened(mask: Mask, radius_mm: float, spacing_mm: tuple[float, ...]) -> Mask:
    """Return what of a mask a disk of this radius fits into, with a voxel of grace around."""
    core = _planar_distance(mask, spacing_mm) > radius_mm
    grown = _planar_distance(~core, spacing_mm) <= radius_mm + max(spacing_mm)
    return np.asarray(mask & grown)


def _body(hu: Pixels, spacing_mm: tuple[float, ...]) -> Mask:
    dense = hu > BODY_HU
    filled = np.stack([ndimage.binary_fill_holes(plane) for plane in dense])
    return _largest(opened(filled, _SHEET_MM, spacing_mm))


def _largest(mask: Mask) -> Mask:
    components, count = ndimage.label(mask)
    if count < 2:
        return mask
    sizes = np.bincount(components.ravel())
    return np.asarray(components == 1 + int(np.argmax(sizes[1:])))


def _lungs(hu: Pixels, inside: Mask, spacing_mm: tuple[float, ...]) -> Mask:
    components, _ = ndimage.label(inside & (hu < _LUNG_HU))
    lungs = np.zeros(hu.shape, bool)
    smallest = _LUNG_AREA_MM2 / (spacing_mm[0] * spacing_mm[1])
    for number, place in enumerate(ndimage.find_objects(components), start=1):
        component = components[place] == number
        if component.sum(axis=(1, 2)).max() < smallest:
            continue
        low, high = _LUNG_MEDIAN_HU
        if low < float(np.median(hu[place][component])) < high:
            lungs[place] |= component
    return lungs


def _bones(hu: Pixels, body: Mask, spacing_mm: tuple[float, ...]) -> Mask:
    bright = body & (hu > _BONE_HU)
    bulk = _planar_distance(bright, spacing_mm) > _BULK_MM
    if not bulk.any():
        return bright
    near = _planar_distance(~bulk, spacing_mm) <= 2 * _BULK_MM
    return np.asarray(bright & ~near)
