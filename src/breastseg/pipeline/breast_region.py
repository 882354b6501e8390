"""Where the breasts are in a chest CT, right and left apart, without a network.

A breast is what lies upon the chest wall, skin included: chest_tissue finds body, lungs and
bones on a coarse grid, chest_wall the outer border of ribs and muscles, breast_extent how far
the breasts reach upon it. Here the border is drawn at the full resolution of the image, and
what was found is said in words.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
from jaxtyping import Float32, UInt8
from scipy import ndimage

from breastseg.core.errors import GeometryError
from breastseg.core.image import Image
from breastseg.core.orientation import Anatomy, anatomy_of
from breastseg.pipeline.breast_extent import SideExtent, chest_levels, side_extent
from breastseg.pipeline.chest_tissue import ChestTissue, find_tissue
from breastseg.pipeline.chest_wall import ANGLES, ChestWall, find_wall

Side = Literal["right", "left"]
Cut = Literal["field of view", "lowest slice", "uppermost slice"]
SIDES: dict[Side, int] = {"right": 1, "left": 2}

_SKIN_HU = -400.0
"""About half way from air to skin."""
_FLAT_MM = 35.0
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
    cut_by: what ends the picture before the breast ends.
    """

    side: Side
    volume_ml: float
    thickness_mm: float
    cut_by: tuple[Cut, ...]

    @property
    def flat(self) -> bool:
        """Whether there is so little tissue as in most men, or after a mastectomy."""
        return self.thickness_mm < _FLAT_MM


@dataclass(frozen=True, slots=True, kw_only=True)
class BreastRegion:
    """The breasts of a CT.

    labels: on the image's grid: 0 elsewhere, 1 the patient's right, 2 the left breast.
    sides: those that were found, right first.
    refusal: why there is no breast at all, or None.
    num_slices: axial slices of the scan.
    """

    labels: Labels
    sides: tuple[BreastSide, ...]
    refusal: str | None
    num_slices: int

    def in_words(self) -> tuple[str, ...]:
        """Return what was found, a sentence each."""
        return (self.refusal,) if self.refusal else tuple(self._sentences())

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
        f" of skin and fat, at most {side.thickness_mm:.0f} mm thick: a small breast, a man's "
        "chest or the side of a mastectomy"
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
    extents = {
        side: side_extent(wall, levels, sign, tissue.spacing_mm[0])
        for side, sign in (("right", -1), ("left", 1))
    }
    inside = _inside(tissue, wall, extents["right"], extents["left"])
    _draw(labels, image, anatomy, tissue, inside)
    sides = tuple(_found(labels, image, anatomy, side, extents[side]) for side in SIDES)
    kept = tuple(each for each in sides if each is not None)
    refusal = None if kept else "No breast: nothing but thin skin lies upon the chest wall."
    return BreastRegion(labels=labels, sides=kept, refusal=refusal, num_slices=num_slices)


def _inside(
    tissue: ChestTissue, wall: ChestWall, right: SideExtent, left: SideExtent
) -> tuple[Float32[np.ndarray, "..."], Float32[np.ndarray, "..."]]:
    """Return how far inside each breast a coarse voxel lies, in mm; negative outside."""
    _, rows, columns = tissue.body.shape
    down, across = np.mgrid[0:rows, 0:columns].astype(np.float32)
    depths = np.empty((2, *tissue.body.shape), np.float32)
    reach = [ndimage.gaussian_filter(side.where.astype(np.float32), 0.7) for side in (right, left)]
    for level, (row, column) in enumerate(wall.centre):
        anterior = (row - down) * tissue.spacing_mm[1]
        lateral = (across - column) * tissue.spacing_mm[2]
        angle = np.degrees(np.arctan2(lateral, anterior))
        beyond = np.hypot(anterior, lateral) - np.interp(angle, ANGLES, wall.wall_mm[level])
        for number, extent in enumerate(reach):
            share = np.interp(angle, ANGLES, extent[level], left=0, right=0)
            depths[number, level] = np.minimum(beyond, (share - 0.5) * 2 * _EDGE_MM)
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
    near = np.stack([ndimage.binary_dilation(plane, iterations=2) for plane in tissue.body])
    deep = (tissue.body & (tissue.skin_depth_mm > _EDGE_MM)).astype(np.float32) - 0.5
    trunk = near.astype(np.float32) - 0.5
    for index in range(len(drawn)):
        place = (index + 0.5) / tissue.factors[0] - 0.5
        right, left = (_enlarged(_level(each, place), drawn[index], tissue) for each in inside)
        if max(right.max(), left.max()) <= 0:
            continue
        dense = (pixels[index] > _SKIN_HU) & (_enlarged(_level(trunk, place), drawn[index], tissue) > 0)
        body = dense | (_enlarged(_level(deep, place), drawn[index], tissue) > 0)
        drawn[index][body & (right > 0)] = SIDES["right"]
        drawn[index][body & (left > 0) & (left > right)] = SIDES["left"]


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


def _found(
    labels: Labels, image: Image, anatomy: Anatomy, side: Side, extent: SideExtent
) -> BreastSide | None:
    """Measure one side; too little is taken out of the labels again."""
    assert image.spacing_mm is not None
    number = SIDES[side]
    turned = anatomy.to_lps(labels)
    spacing = tuple(image.spacing_mm[axis] for axis in anatomy.axes[::-1])
    areas = np.array([np.count_nonzero(plane == number) for plane in turned]) * (
        spacing[1] * spacing[2]
    )
    volume_ml = float(areas.sum() * spacing[0] / 1000)
    if volume_ml < (_SMALLEST_ML if len(turned) > 1 else 0) or not areas.any():
        labels[labels == number] = 0
        return None
    return BreastSide(
        side=side,
        volume_ml=volume_ml,
        thickness_mm=extent.thickness_mm,
        cut_by=tuple(_cuts(turned == number, areas)),
    )


def _cuts(mask: np.ndarray, areas: np.ndarray) -> Iterator[Cut]:
    if _meets_edge(mask):
        yield "field of view"
    if areas[0] > _CUT_MM2:
        yield "lowest slice"
    if areas[-1] > _CUT_MM2:
        yield "uppermost slice"


def _meets_edge(mask: np.ndarray) -> bool:
    """Return whether a breast reaches the border of the picture or the circle within it."""
    _, rows, columns = mask.shape
    shadow = mask.any(axis=0)
    down, across = np.mgrid[0:rows, 0:columns]
    radius = np.hypot(
        (down - (rows - 1) / 2) / (rows / 2), (across - (columns - 1) / 2) / (columns / 2)
    )
    edge = np.zeros(shadow.shape, bool)
    edge[[0, -1]] = edge[:, [0, -1]] = True
    return bool((shadow & (edge | (np.abs(radius - 1) < 2 / min(rows, columns)))).any())
