"""Where the breasts are in a chest CT, right and left apart, without a network.

A breast is what lies upon the chest wall, skin included: chest_tissue finds body, lungs and
bones on a coarse grid, chest_wall the outer border of ribs and muscles, breast_extent how far
the breasts reach upon it. Here the border is drawn at the full resolution of the image, and
what was found is said in words.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

import cv2
import numpy as np
from jaxtyping import Float32, UInt8
from scipy import ndimage

from breastseg.core.errors import GeometryError
from breastseg.core.image import Image
from breastseg.core.orientation import Anatomy, anatomy_of
from breastseg.pipeline.breast_extent import SideExtent, chest_levels, side_extents
from breastseg.pipeline.chest_tissue import ChestTissue, find_tissue
from breastseg.pipeline.chest_wall import ANGLES, ChestWall, Points, find_wall, wall_points
from breastseg.pipeline.field_of_view import edge_of_field

Side = Literal["right", "left"]
Cut = Literal["field of view", "lowest slice", "uppermost slice"]
SIDES: dict[Side, int] = {"right": 1, "left": 2}

SKIN_HU = -400.0
"""About half way from air to skin."""
_FLAT_MM = 40.0
_FLAT_SHARE = 0.02
_GLAND_HU = -40.0
"""A block of voxels above this is more gland than fat."""
_GLAND_DEGREES = 75.0
_SMALLEST_ML = 20.0
_CUT_MM2 = 300.0
_EDGE_MM = 8.0

Labels = UInt8[np.ndarray, "slices rows columns"]
Plane = Float32[np.ndarray, "rows columns"]


@dataclass(frozen=True, slots=True, kw_only=True)
class BreastSide:
    """One breast.

    volume_ml: of what was seen, skin and fat included.
    thickness_mm: from chest wall to skin, 95th percentile over the front of this side.
    gland_share: of the inner part, away from skin and wall, that is more gland than fat at
        3 mm, from 0 to 1. Rough: it tells a breast from fat and is no measure of density.
    cut_by: what ends the picture before the breast ends.
    """

    side: Side
    volume_ml: float
    thickness_mm: float
    gland_share: float
    cut_by: tuple[Cut, ...]

    @property
    def flat(self) -> bool:
        """Whether there is but a thin layer of fat, as in most men or after a mastectomy.

        Nothing is said of a side whose front the field of view cuts off.
        """
        thin = self.thickness_mm < _FLAT_MM and self.gland_share < _FLAT_SHARE
        return thin and "field of view" not in self.cut_by

    def to_document(self) -> dict[str, Any]:
        """Return it in plain values."""
        return {
            "side": self.side,
            "volume_ml": round(self.volume_ml, 1),
            "thickness_mm": round(self.thickness_mm, 1),
            "gland_share": round(self.gland_share, 4),
            "flat": self.flat,
            "cut_by": list(self.cut_by),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class BreastRegion:
    """The breasts of a CT.

    labels: on the image's grid: 0 elsewhere, 1 the patient's right, 2 the left breast.
    sides: those that were found, right first.
    refusal: why there is no breast at all, or None.
    num_slices: axial slices of the scan.
    chest_wall: points on the outer border of ribs and muscles, in LPS mm; none where no chest
        was found.
    """

    labels: Labels
    sides: tuple[BreastSide, ...]
    refusal: str | None
    num_slices: int
    chest_wall: Points = field(default_factory=lambda: np.empty((0, 3)), repr=False)

    def in_words(self) -> tuple[str, ...]:
        """Return what was found, a sentence each."""
        return (self.refusal,) if self.refusal else tuple(self._sentences())

    def to_document(self) -> dict[str, Any]:
        """Return what was found in plain values; no voxel."""
        return {
            "refusal": self.refusal,
            "sentences": list(self.in_words()),
            "sides": [each.to_document() for each in self.sides],
        }

    def _sentences(self) -> Iterator[str]:
        for each in self.sides:
            yield f"{each.side.capitalize()}: {each.volume_ml:.0f} ml" + _flat(each) + _cut(each)
        found = {each.side for each in self.sides}
        for side in SIDES:
            if side not in found:
                yield f"{side.capitalize()}: no breast found."
        if self.num_slices == 1:
            yield "A single slice: the volumes are those of the slice."


def _flat(side: BreastSide) -> str:
    if not side.flat:
        return f", up to {side.thickness_mm:.0f} mm thick"
    return (
        f" of skin and fat, hardly any gland, up to {side.thickness_mm:.0f} mm thick: a man's "
        "chest, a small fatty breast or the side of a mastectomy"
    )


def _cut(side: BreastSide) -> str:
    if not side.cut_by:
        return "."
    return f"; cut off by the {' and the '.join(side.cut_by)}, so the breast is larger."


def find_breasts(image: Image) -> BreastRegion:
    """Find the breasts of a chest CT.

    Args:
        image: in HU, with the affine to LPS mm; prone or supine, axes in any order.

    Returns:
        The labels and what was found. Without lungs (abdomen, head) no breast is found, and
        `refusal` says so.

    Raises:
        GeometryError: the image has no affine, and so no right and left.
    """
    if image.affine is None:
        raise GeometryError(
            "the breast region needs the orientation of the volume; its affine is missing. Read "
            "it from a DICOM series or a NIfTI file."
        )
    anatomy = anatomy_of(image.affine)
    labels = np.zeros(image.pixels.shape, np.uint8)
    tissue = find_tissue(image)
    num_slices = anatomy.to_lps(image.pixels).shape[0]
    levels = chest_levels(tissue)
    if levels is None:
        refusal = "No breast: no lung was found, so this is no scan of the chest."
        return BreastRegion(labels=labels, sides=(), refusal=refusal, num_slices=num_slices)
    wall = find_wall(tissue)
    right, left = side_extents(wall, levels, tissue.spacing_mm[0])
    inside = _inside(tissue, wall, right, left)
    _draw(labels, image, anatomy, tissue, inside)
    found = (
        _measured(labels, image, anatomy, side, extent.thickness_mm, _gland(tissue, wall, depth))
        for side, extent, depth in zip(SIDES, (right, left), inside, strict=True)
    )
    kept = tuple(each for each in found if each is not None)
    thin = None if kept else "No breast: nothing but thin skin lies upon the chest wall."
    return BreastRegion(
        labels=labels,
        sides=kept,
        refusal=thin,
        num_slices=num_slices,
        chest_wall=wall_points(wall, tissue, image),
    )


def _gland(tissue: ChestTissue, wall: ChestWall, inside_mm: np.ndarray) -> float:
    """Return which share of a breast's inner part is gland."""
    inner = (inside_mm > _EDGE_MM / 2) & tissue.body & (tissue.skin_depth_mm > _EDGE_MM)
    inner &= np.abs(wall.angle) < _GLAND_DEGREES
    return float((tissue.hu[inner] > _GLAND_HU).mean()) if inner.any() else 0.0


def _inside(
    tissue: ChestTissue, wall: ChestWall, right: SideExtent, left: SideExtent
) -> tuple[Float32[np.ndarray, "..."], Float32[np.ndarray, "..."]]:
    """Return how far inside each breast a coarse voxel lies, in mm; negative outside."""
    beyond = np.where(wall.shoulder, -_EDGE_MM, wall.beyond_mm)
    depths = np.empty((2, *tissue.body.shape), np.float32)
    for number, side in enumerate((right, left)):
        extent = ndimage.gaussian_filter(side.where.astype(np.float32), 0.7)
        for level, angle in enumerate(wall.angle):
            share = np.interp(angle, ANGLES, extent[level], left=0, right=0)
            depths[number, level] = np.minimum(beyond[level], (share - 0.5) * 2 * _EDGE_MM)
    return depths[0], depths[1]


def _draw(
    labels: Labels,
    image: Image,
    anatomy: Anatomy,
    tissue: ChestTissue,
    inside: tuple[np.ndarray, np.ndarray],
) -> None:
    """Write the labels at the full resolution: smooth at the wall, sharp at the skin."""
    pixels, drawn = anatomy.to_lps(image.pixels), anatomy.to_lps(labels)
    near = np.stack([ndimage.binary_dilation(plane, iterations=3) for plane in tissue.body])
    deep = (tissue.flesh & (tissue.skin_depth_mm > _EDGE_MM)).astype(np.float32) - 0.5
    trunk = near.astype(np.float32) - 0.5
    for index in range(len(drawn)):
        place = (index + 0.5) / tissue.factors[0] - 0.5
        right, left, within, close = (
            _enlarged(_level(each, place), drawn[index], tissue) for each in (*inside, deep, trunk)
        )
        if max(right.max(), left.max()) <= 0:
            continue
        body = _attached((pixels[index] > SKIN_HU) & (close > 0), within > 0)
        drawn[index][body & (right > 0)] = SIDES["right"]
        drawn[index][body & (left > 0) & (left > right)] = SIDES["left"]


def _attached(dense: np.ndarray, within: np.ndarray) -> np.ndarray:
    """Return the parts of a plane that hang together with the body: no wire upon the skin."""
    whole = dense | within
    _, components = cv2.connectedComponents(whole.astype(np.uint8), connectivity=4)
    kept = np.zeros(int(components.max()) + 1, bool)
    kept[components[within]] = True
    kept[0] = False
    return np.asarray(kept[components])


def _level(field: Float32[np.ndarray, "levels rows columns"], place: float) -> Plane:
    """Return a plane between two coarse levels."""
    last = len(field) - 1
    low = int(np.clip(np.floor(place), 0, last))
    high = min(low + 1, last)
    share = float(np.clip(place - low, 0, 1))
    return np.asarray((1 - share) * field[low] + share * field[high], np.float32)


def _enlarged(plane: Plane, like: np.ndarray, tissue: ChestTissue) -> Plane:
    """Return a coarse plane on the fine grid; pixels beyond the last block take its value."""
    rows, columns = plane.shape
    size = (columns * tissue.factors[2], rows * tissue.factors[1])
    fine = cv2.resize(plane, size, interpolation=cv2.INTER_LINEAR)
    missing = ((0, like.shape[0] - size[1]), (0, like.shape[1] - size[0]))
    return np.pad(fine, missing, mode="edge") if any(map(max, missing)) else fine


def _measured(
    labels: Labels,
    image: Image,
    anatomy: Anatomy,
    side: Side,
    thickness_mm: float,
    gland_share: float,
) -> BreastSide | None:
    """Measure one side; too little is taken out of the labels again."""
    assert image.spacing_mm is not None
    mask = anatomy.to_lps(labels) == SIDES[side]
    spacing = [image.spacing_mm[axis] for axis in anatomy.axes[::-1]]
    areas_mm2 = np.count_nonzero(mask, axis=(1, 2)) * spacing[1] * spacing[2]
    volume_ml = float(areas_mm2.sum() * spacing[0] / 1000)
    if areas_mm2.max() < _CUT_MM2 or (len(mask) > 1 and volume_ml < _SMALLEST_ML):
        labels[labels == SIDES[side]] = 0
        return None
    return BreastSide(
        side=side,
        volume_ml=volume_ml,
        thickness_mm=thickness_mm,
        gland_share=gland_share,
        cut_by=tuple(_cuts(mask, areas_mm2, anatomy.to_lps(image.pixels))),
    )


def _cuts(mask: np.ndarray, areas_mm2: np.ndarray, pixels: np.ndarray) -> Iterator[Cut]:
    if (mask.any(axis=0) & edge_of_field(pixels)).any():
        yield "field of view"
    if len(mask) == 1:
        return
    if areas_mm2[0] > _CUT_MM2:
        yield "lowest slice"
    if areas_mm2[-1] > _CUT_MM2:
        yield "uppermost slice"
