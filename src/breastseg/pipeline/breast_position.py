"""Where in a breast a finding lies: side, depth under the skin, chest wall, nipple, quadrant."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float64
from scipy import ndimage
from scipy.spatial import KDTree

from breastseg.core.errors import GeometryError
from breastseg.core.image import Image, LabelMap
from breastseg.core.orientation import anatomy_of
from breastseg.pipeline.breast_region import SIDES, SKIN_HU, BreastRegion, Side
from breastseg.pipeline.field_of_view import edge_of_field
from breastseg.pipeline.nipple import nipple_among

Quadrant = Literal["upper outer", "upper inner", "lower outer", "lower inner", "central"]

_CENTRAL_MM = 10.0
_NIPPLE_OFF_EDGE_MM = 10.0
_SEARCHED = 20_000

Points = Float64[np.ndarray, "points 3"]
Places = Float64[np.ndarray, "places 3"]
Point = Float64[np.ndarray, "3"]
Mask = Bool[np.ndarray, "slices rows columns"]
Box = tuple[slice, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class BreastPosition:
    """Where a finding lies. What is not known is None.

    side: of the breast that holds most of it; None outside both.
    inside_share: share of its voxels that lie in that breast, from 0 to 1.
    skin_mm: from its voxel nearest to the skin, to the outside of the skin.
    chest_wall_mm: from its voxel nearest to ribs and muscles, to their outer border.
    nipple_mm: from its centre to the nipple, whose place is estimated.
    quadrant: of its centre, seen from the front along the line from nipple to chest wall;
        central within 10 mm of that line.
    """

    side: Side | None
    inside_share: float
    skin_mm: float | None
    chest_wall_mm: float | None
    nipple_mm: float | None
    quadrant: Quadrant | None


_OUTSIDE = BreastPosition(
    side=None,
    inside_share=0.0,
    skin_mm=None,
    chest_wall_mm=None,
    nipple_mm=None,
    quadrant=None,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Nipple:
    """The estimated nipple. Positions are LPS mm.

    position: on the outside of the skin.
    outward: unit vector in the axial plane, from the chest wall to the nipple.
    """

    position: Point
    outward: Point


def locate(region: BreastRegion, image: Image, lesion_mask: Mask) -> BreastPosition:
    """Return where one finding lies; for several, locate_lesions is faster.

    Args:
        region: of find_breasts(image).
        image: in HU, with an affine.
        lesion_mask: the finding, of the image's shape; a single voxel will do.

    Raises:
        GeometryError: shapes differ, or the image has no affine.
    """
    found = locate_lesions(region, image, lesion_mask.astype(np.int32))
    return found.get(1, _OUTSIDE)


def locate_lesions(
    region: BreastRegion, image: Image, labels: LabelMap
) -> Mapping[int, BreastPosition]:
    """Return where each lesion of a label map lies, by its number.

    Args:
        region: of find_breasts(image).
        image: in HU, with an affine.
        labels: 0 for background; each other number is one lesion. Of the image's shape.

    Raises:
        GeometryError: shapes differ, or the image has no affine.
    """
    breasts = _Breasts(region, image)
    if labels.shape != image.pixels.shape:
        raise GeometryError(
            f"the lesions must have the image's shape {image.pixels.shape} (slices, rows, "
            f"columns), got {labels.shape}. Resample the mask to the grid of the image."
        )
    turned = breasts.anatomy.to_lps(labels)
    return {
        number: breasts.position(box, turned[box] == number)
        for number, box in enumerate(ndimage.find_objects(turned), start=1)
        if box is not None
    }


def find_nipples(region: BreastRegion, image: Image) -> Mapping[Side, Nipple]:
    """Return the estimated nipple of each breast of which one can be told.

    See pipeline.nipple. None is told of a flat side, of a single slice, and within 10 mm of the
    end of the picture, where the nipple may lie beyond.

    Raises:
        GeometryError: the image has no affine.
    """
    breasts = _Breasts(region, image)
    found = ((each.side, breasts.nipple(each.side)) for each in region.sides)
    return {side: nipple for side, nipple in found if nipple is not None}


class _Breasts:
    """Skin, chest wall and nipples of a region, each found when first asked for.

    All arrays are views whose axes run to the head, posterior and left.
    """

    def __init__(self, region: BreastRegion, image: Image) -> None:
        if image.affine is None or region.labels.shape != image.pixels.shape:
            raise GeometryError(
                "the breast region must be that of the image: an image with an affine and of "
                f"shape {region.labels.shape}, got {image.pixels.shape}. Call find_breasts(image)."
            )
        self.anatomy = anatomy_of(image.affine)
        self._pixels = self.anatomy.to_lps(image.pixels)
        self._labels = self.anatomy.to_lps(region.labels)
        self._affine = self.anatomy.affine_to_lps(image.affine, image.pixels.shape)
        self._sides = {each.side: each for each in region.sides}
        self._edge = edge_of_field(self._pixels)
        self._wall = _tree(region.chest_wall)
        self._boxes = ndimage.find_objects(self._labels, max_label=len(SIDES))
        self._skins: dict[Side, KDTree | None] = {}
        self._nipples: dict[Side, Nipple | None] = {}

    def position(self, box: Box, lesion: Mask) -> BreastPosition:
        """Return where a lesion lies that is given within a box."""
        counts = np.bincount(self._labels[box][lesion], minlength=3)[1:3]
        if not counts.any():
            return _OUTSIDE
        side = tuple(SIDES)[int(np.argmax(counts))]
        start = [each.start for each in box]
        border = lesion & ~ndimage.binary_erosion(lesion)
        shell = self._in_mm(np.argwhere(border) + start)
        centre = self._in_mm(np.argwhere(lesion) + start).mean(axis=0)
        nipple = self.nipple(side)
        return BreastPosition(
            side=side,
            inside_share=float(counts.max() / np.count_nonzero(lesion)),
            skin_mm=_nearest(self._skin(side), shell),
            chest_wall_mm=_nearest(self._wall, shell),
            nipple_mm=None if nipple is None else float(np.linalg.norm(centre - nipple.position)),
            quadrant=None if nipple is None else _quadrant(centre, nipple, side),
        )

    def nipple(self, side: Side) -> Nipple | None:
        """Return the nipple of a side, if it can be told."""
        if side not in self._nipples:
            self._nipples[side] = self._find_nipple(side)
        return self._nipples[side]

    def _in_mm(self, places: np.ndarray) -> Points:
        return np.asarray(places @ self._affine[:3, :3].T + self._affine[:3, 3])

    def _in_voxels(self, points: Points) -> Places:
        return np.linalg.solve(self._affine[:3, :3], (points - self._affine[:3, 3]).T).T

    def _skin(self, side: Side) -> KDTree | None:
        if side not in self._skins:
            points = self._skin_points(side)
            self._skins[side] = _tree(points)
        return self._skins[side]

    def _skin_points(self, side: Side) -> Points:
        """Return the middles of the faces between a breast and the air, but for the edge."""
        window = self._boxes[SIDES[side] - 1]
        if window is None:
            return np.empty((0, 3))
        box = tuple(
            slice(max(0, each.start - 1), min(size, each.stop + 1))
            for each, size in zip(window, self._labels.shape, strict=True)
        )
        inside = (self._labels[box] == SIDES[side]) & ~self._edge[box[1:]]
        air = (self._labels[box] == 0) & (self._pixels[box] <= SKIN_HU)
        start = np.array([each.start for each in box])
        faces = (_faces(inside, air, axis) for axis in range(3))
        return self._in_mm(np.concatenate([*faces]) + start)

    def _find_nipple(self, side: Side) -> Nipple | None:
        seen, skin = self._sides.get(side), self._skin(side)
        if seen is None or seen.flat or skin is None or self._wall is None:
            return None
        points = skin.data[:: max(1, len(skin.data) // _SEARCHED)]
        depth, foot = self._wall.query(points)
        spacing = np.linalg.norm(self._affine[:3, :3], axis=0)
        places = self._in_voxels(points)
        found = nipple_among(places, depth, self._pixels, spacing)
        if found is None or self._near_end(places[found], spacing):
            return None
        position = points[found]
        outward = (position - self._wall.data[foot[found]]) * [1, 1, 0]
        length = np.linalg.norm(outward)
        return Nipple(position=position, outward=outward / length) if length else None

    def _near_end(self, place: Point, spacing_mm: Point) -> bool:
        """Return whether a place is near the end of the picture."""
        beyond = min(place[0], len(self._pixels) - 1 - place[0]) * spacing_mm[0]
        beside = (np.argwhere(self._edge) - place[1:]) * spacing_mm[1:]
        return bool(min(beyond, np.linalg.norm(beside, axis=1).min()) < _NIPPLE_OFF_EDGE_MM)


def _faces(inside: Mask, air: Mask, axis: int) -> Places:
    """Return the middles of the faces between breast and air along an axis, as indices."""
    here, there = np.moveaxis(inside, axis, 0), np.moveaxis(air, axis, 0)
    found = []
    for met in (here[:-1] & there[1:], there[:-1] & here[1:]):
        places = np.argwhere(np.moveaxis(met, 0, axis)).astype(float)
        places[:, axis] += 0.5
        found.append(places)
    return np.concatenate(found)


def _tree(points: Points) -> KDTree | None:
    # Few are asked for: a tree that is quick to build is worth more than one quick to ask.
    return KDTree(points, balanced_tree=False, compact_nodes=False) if len(points) else None


def _nearest(tree: KDTree | None, points: Points) -> float | None:
    return None if tree is None else float(tree.query(points)[0].min())


def _quadrant(centre: Point, nipple: Nipple, side: Side) -> Quadrant:
    """Return the quadrant of a point as seen along the line from the nipple to the chest wall."""
    left, posterior, _ = nipple.outward
    lateral = np.array([-posterior, left, 0.0]) * (1 if side == "left" else -1)
    away = centre - nipple.position
    outer, upper = float(away @ lateral), float(away[2])
    if np.hypot(outer, upper) < _CENTRAL_MM:
        return "central"
    if upper > 0:
        return "upper outer" if outer > 0 else "upper inner"
    return "lower outer" if outer > 0 else "lower inner"
