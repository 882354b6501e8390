"""The outer border of the chest wall: ribs, sternum and the muscles upon them.

Each axial plane is seen in polar coordinates around the middle of the thorax, where the wall is
a function of level and angle. The idea of a dense field of depths that follows the chest wall
is that of Wei et al. 2019 (breast MRI, IEEE Trans Biomed Eng 66(6):1567,
doi:10.1109/TBME.2018.2875955); how the depth of each ray is found is made for CT here.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Bool, Float32, Float64
from scipy import ndimage

from breastseg.core.image import Image
from breastseg.core.orientation import anatomy_of
from breastseg.pipeline.chest_tissue import ChestTissue, opened

ANGLE_STEP = 2.0
ANGLES = np.arange(-120.0, 120.1, ANGLE_STEP)
"""Degrees from anterior, positive to the patient's left."""
RADIUS_STEP_MM = 2.0
_REACH_MM = 320.0
_PLEURA_TO_RIB_MM = 8.0
_BONE_BEYOND_LUNG_MM = 28.0
_FRONT_DEGREES = 60.0
_MUSCLE_HU = -25.0
_THINNEST_MUSCLE_MM = 6.0
_PECTORAL_DEGREES = 45.0
_WIDEST_GAP_MM = (6.0, 2.0)
_DEEPEST_MUSCLE_MM = (40.0, 24.0)
"""Before the pectoral muscles, which lie upon each other with fat between, and at the sides,
where the serratus lies upon the ribs and the next soft tissue is gland."""
_SIDES_DIFFER_MM = 4.0
_SKIN_MM = 6.0
_BULK_HU = 0.0
_BULK_MM = 5.0
_SIDE_DEGREES = 50.0
_BEHIND_DEGREES = 85.0

Field = Float32[np.ndarray, "levels angles"]
Circle = Float32[np.ndarray, " angles"]
Rays = Float32[np.ndarray, "levels angles radii"]
Points = Float64[np.ndarray, "points 3"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ChestWall:
    """The wall around the thorax on the coarse grid of ChestTissue.

    centre: row and column of the middle of the thorax per coarse slice, in voxels.
    cage_mm: radius of the outer border of ribs and sternum per slice and angle.
    wall_mm: radius of the outer border of the muscles upon them.
    layer_mm: how much body lies beyond the wall along each ray: fat, breast and skin.
    angle: of each coarse voxel around the centre, in degrees as ANGLES.
    beyond_mm: how far each coarse voxel lies outside the wall; negative within.
    shoulder: muscles of arm and shoulder blade beyond the wall, which are no breast.
    """

    centre: Float64[np.ndarray, "levels 2"]
    cage_mm: Field
    wall_mm: Field
    layer_mm: Field
    angle: Float32[np.ndarray, "slices rows columns"]
    beyond_mm: Float32[np.ndarray, "slices rows columns"]
    shoulder: Bool[np.ndarray, "slices rows columns"]


def find_wall(tissue: ChestTissue) -> ChestWall:
    """Return the chest wall of tissue that has lungs or bones."""
    centre = _centres(tissue)
    rays = _Rays(tissue, centre)
    cage = _cage(rays, tissue.spacing_mm[0])
    wall = cage + _muscle(rays, cage, tissue.spacing_mm[0])
    angle, beyond_mm = _around(tissue, centre, wall)
    shoulder = _shoulder(tissue, angle, beyond_mm)
    breast = rays.of(tissue.flesh & ~shoulder) & (rays.radii_mm >= wall[..., None])
    return ChestWall(
        centre=centre,
        cage_mm=cage,
        wall_mm=wall,
        layer_mm=(breast.sum(axis=2) * RADIUS_STEP_MM).astype(np.float32),
        angle=angle,
        beyond_mm=beyond_mm,
        shoulder=shoulder,
    )


def wall_points(wall: ChestWall, tissue: ChestTissue, image: Image) -> Points:
    """Return points on the wall in LPS mm, a degree and a coarse slice apart.

    Args:
        wall: of that tissue.
        tissue: of that image.
        image: whose affine says where the points lie.
    """
    assert image.affine is not None
    fine = np.arange(ANGLES[0], ANGLES[-1] + 0.1)
    radius = np.stack([np.interp(fine, ANGLES, level) for level in wall.wall_mm])
    turn = np.radians(fine)
    row = wall.centre[:, :1] - np.cos(turn) * radius / tissue.spacing_mm[1]
    column = wall.centre[:, 1:] + np.sin(turn) * radius / tissue.spacing_mm[2]
    level = np.broadcast_to(np.arange(len(radius))[:, None], radius.shape)
    blocks = np.stack([level, row, column], axis=-1).reshape(-1, 3)
    turned = (blocks + 0.5) * tissue.factors - 0.5
    affine = anatomy_of(image.affine).affine_to_lps(image.affine, image.pixels.shape)
    return np.asarray(turned @ affine[:3, :3].T + affine[:3, 3])


def _around(
    tissue: ChestTissue, centre: Float64[np.ndarray, "levels 2"], wall: Field
) -> tuple[np.ndarray, np.ndarray]:
    """Return the angle of each voxel, and how far it lies outside the wall."""
    down, across = np.mgrid[0 : tissue.hu.shape[1], 0 : tissue.hu.shape[2]].astype(np.float32)
    angle, beyond = np.empty_like(tissue.hu), np.empty_like(tissue.hu)
    for level, (row, column) in enumerate(centre):
        anterior = (row - down) * tissue.spacing_mm[1]
        lateral = (across - column) * tissue.spacing_mm[2]
        angle[level] = np.degrees(np.arctan2(lateral, anterior))
        beyond[level] = np.hypot(anterior, lateral) - np.interp(angle[level], ANGLES, wall[level])
    return angle, beyond


def _shoulder(
    tissue: ChestTissue, angle: np.ndarray, beyond_mm: np.ndarray
) -> Bool[np.ndarray, "slices rows columns"]:
    """Return bulky muscle beside the chest that goes on to the back, where no gland does."""
    smooth = ndimage.gaussian_filter(tissue.hu, (0, 0.8, 0.8), mode="nearest")
    soft = (smooth > _BULK_HU) & (tissue.skin_depth_mm > _SKIN_MM) & (beyond_mm > 0)
    bulky = opened(soft & tissue.body, _BULK_MM, tissue.spacing_mm[1:])
    components, count = ndimage.label(bulky)
    behind = np.unique(components[np.abs(angle) > _BEHIND_DEGREES])
    from_behind = np.zeros(count + 1, bool)
    from_behind[behind] = True
    from_behind[0] = False
    found = from_behind[components] & (np.abs(angle) > _SIDE_DEGREES)
    return np.asarray(ndimage.binary_dilation(found, np.ones((1, 3, 3))) if count else found)


class _Rays:
    """Samples along rays from the middle of the thorax, nearest neighbour."""

    def __init__(self, tissue: ChestTissue, centre: Float64[np.ndarray, "levels 2"]) -> None:
        self.tissue = tissue
        self.radii_mm = np.arange(0, _REACH_MM, RADIUS_STEP_MM, dtype=np.float32)
        turn = np.radians(ANGLES)[None, :, None]
        _, rows, columns = tissue.body.shape
        row = centre[:, 0, None, None] - np.cos(turn) * self.radii_mm / tissue.spacing_mm[1]
        column = centre[:, 1, None, None] + np.sin(turn) * self.radii_mm / tissue.spacing_mm[2]
        row, column = np.rint(row).astype(np.intp), np.rint(column).astype(np.intp)
        self.inside = (row >= 0) & (row < rows) & (column >= 0) & (column < columns)
        self._row = np.clip(row, 0, rows - 1)
        self._column = np.clip(column, 0, columns - 1)
        self._level = np.arange(len(centre))[:, None, None]

    def of(self, mask: Bool[np.ndarray, "slices rows columns"]) -> Bool[np.ndarray, "..."]:
        return np.asarray(mask[self._level, self._row, self._column] & self.inside)

    def values(self, field: Float32[np.ndarray, "slices rows columns"]) -> Rays:
        return np.asarray(field[self._level, self._row, self._column])


def _centres(tissue: ChestTissue) -> Float64[np.ndarray, "levels 2"]:
    """Return the middle of bones and lungs of each slice, smooth along the body."""
    levels = len(tissue.body)
    centre = np.full((levels, 2), np.nan)
    for level in range(levels):
        rows, columns = np.nonzero(tissue.bones[level])
        if len(rows) < 20:
            rows, columns = np.nonzero(tissue.body[level])
        if len(rows):
            front, back = np.percentile(rows, (2, 98))
            centre[level] = (front + back) / 2, np.median(columns)
    known = np.isfinite(centre[:, 0])
    for axis in range(2):
        centre[:, axis] = np.interp(np.arange(levels), np.flatnonzero(known), centre[known, axis])
    width = max(1, round(60 / tissue.spacing_mm[0]))
    centre = ndimage.median_filter(centre, size=(width, 1), mode="nearest")
    return np.asarray(ndimage.gaussian_filter1d(centre, width / 3, axis=0, mode="nearest"))


def _outermost(rays: Bool[np.ndarray, "levels angles radii"]) -> Field:
    """Return the radius of the last marked sample of each ray, NaN where there is none."""
    last = rays.shape[2] - 1 - np.argmax(rays[:, :, ::-1], axis=2)
    return np.where(rays.any(axis=2), last * RADIUS_STEP_MM, np.nan).astype(np.float32)


def _cage(rays: _Rays, level_mm: float) -> Field:
    """Return the outer border of ribs and sternum, between the ribs as over them."""
    lung = _outermost(rays.of(rays.tissue.lungs))
    reach = _reach_of_bones(lung, level_mm)
    bone = _outermost(rays.of(rays.tissue.bones) & (rays.radii_mm <= reach[..., None]))
    radius = np.fmax(bone, lung + _PLEURA_TO_RIB_MM)
    smooth = _smooth(radius, level_mm, across_mm=30, degrees=16, percentile=65)
    return np.stack([_convex(level) for level in smooth])


def _reach_of_bones(lung: Field, level_mm: float) -> Field:
    """Return up to where a bone is one of the cage: at the sides, shoulder blades lie beyond.

    The lung of either side counts for both, and that of the levels around: it may be collapsed.
    """
    seen = np.nan_to_num(np.fmax(lung, lung[:, ::-1]))
    around = ndimage.maximum_filter1d(seen, _odd(40 / level_mm), axis=0, mode="nearest")
    unlimited = (around == 0) | (np.abs(ANGLES) <= _FRONT_DEGREES)
    return np.where(unlimited, _REACH_MM, around + _BONE_BEYOND_LUNG_MM).astype(np.float32)


def _convex(radius: Circle) -> Circle:
    """Return the convex hull of a level of the cage, which in life is convex.

    It closes what lungs and bones leave open: before the heart, over costal cartilage.
    """
    if not radius.any():
        return radius
    turn = np.radians(ANGLES)
    points = np.stack([radius * np.sin(turn), radius * np.cos(turn)], axis=1)
    hull = cv2.convexHull(points.astype(np.float32))[:, 0]
    following = np.roll(hull, -1, axis=0)
    normals = np.stack([following[:, 1] - hull[:, 1], hull[:, 0] - following[:, 0]], axis=1)
    offsets = np.einsum("ij,ij->i", normals, hull)
    signs = np.where(offsets < 0, -1.0, 1.0)
    along = (normals * signs[:, None]) @ np.stack([np.sin(turn), np.cos(turn)])
    with np.errstate(divide="ignore"):
        distance = np.where(along > 1e-6, (offsets * signs)[:, None] / along, np.inf)
    return np.asarray(np.maximum(radius, distance.min(axis=0)), np.float32)


def _smooth(
    field: Field, level_mm: float, *, across_mm: float, degrees: float, percentile: float
) -> Field:
    """Fill what is unknown from what is nearest, and smooth against outliers."""
    unknown = np.isnan(field)
    if unknown.all():
        return np.zeros_like(field)
    steps = (level_mm / 5.0, 1.0)
    nearest = ndimage.distance_transform_edt(
        unknown, sampling=steps, return_distances=False, return_indices=True
    )
    filled = field[tuple(nearest)]
    size = (_odd(across_mm / level_mm), _odd(degrees / ANGLE_STEP))
    ranked = ndimage.percentile_filter(filled, percentile, size=size, mode="nearest")
    sigma = (size[0] / 5, size[1] / 5)
    return np.asarray(ndimage.gaussian_filter(ranked, sigma, mode="nearest"), np.float32)


def _odd(length: float) -> int:
    return 2 * max(0, round((length - 1) / 2)) + 1


def _muscle(rays: _Rays, cage: Field, level_mm: float) -> Field:
    """Return how thick the muscles upon the cage are, in mm."""
    tissue = rays.tissue
    sigma = (min(1.0, 4.0 / level_mm), 0.8, 0.8)
    hu = rays.values(ndimage.gaussian_filter(tissue.hu, sigma, mode="nearest"))
    deep = rays.of(tissue.skin_depth_mm > _SKIN_MM)
    soft = (hu > _MUSCLE_HU) & deep
    thickness = _muscle_depth(soft, np.rint(cage / RADIUS_STEP_MM).astype(np.intp))
    return _as_thin_as_beside(_smooth(thickness, level_mm, across_mm=30, degrees=16, percentile=50))


def _as_thin_as_beside(thickness: Field) -> Field:
    """Return thicknesses that differ little between right and left, as muscles do.

    What is much thicker on one side is gland that lies on the muscle.
    """
    beside = thickness[:, ::-1] + _SIDES_DIFFER_MM
    return np.where(np.abs(ANGLES) <= _FRONT_DEGREES, np.minimum(thickness, beside), thickness)


def _muscle_depth(soft: Bool[np.ndarray, "levels angles radii"], start: np.ndarray) -> Field:
    """Walk each ray outwards over muscles and thin fat between them.

    NaN where soft tissue goes on farther than any muscle does: gland that touches the muscle.
    """
    front = np.abs(ANGLES) <= _PECTORAL_DEGREES
    deepest = np.rint(np.where(front, *_DEEPEST_MUSCLE_MM) / RADIUS_STEP_MM)
    widest = np.where(front, *_WIDEST_GAP_MM) / RADIUS_STEP_MM
    run, gap, end = (np.zeros(start.shape, np.int32) for _ in range(3))
    walking = np.ones(start.shape, bool)
    for step in range(int(deepest.max())):
        at = np.minimum(start + step, soft.shape[2] - 1)
        here = np.take_along_axis(soft, at[..., None], axis=2)[..., 0]
        run = np.where(here, run + 1, 0)
        gap = np.where(here, 0, gap + 1)
        walking &= (gap <= widest) & (step < deepest)
        long = run * RADIUS_STEP_MM >= _THINNEST_MUSCLE_MM
        end = np.where(walking & (long | (run == step + 1)), step + 1, end)
    return np.where(end == deepest, np.nan, end * RADIUS_STEP_MM).astype(np.float32)
