"""How far the breasts reach on the chest wall: over which levels and which angles."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float32, Float64
from scipy import ndimage

from breastseg.pipeline.chest_tissue import ChestTissue
from breastseg.pipeline.chest_wall import ANGLE_STEP, ANGLES, ChestWall

_RIM_SHARE = 0.4
_RIM_MM = (14.0, 18.0)
"""The rim of a breast is where the layer falls below a share of its thickness, within bounds."""
_OVER_FAT_MM = 3.0
_FAT_SHARE = 0.6
"""Where the thinnest level is no thicker than this share of the breast, it is fat alone, and
the rim is what is a little thicker than fat."""
_MEDIAL_DEGREES = 4.0
_LATERAL_DEGREES = 90.0
_FRONT_DEGREES = (15.0, 50.0)
_THICKEST_DEGREES = 60.0
"""Further to the side, the arm pit would be taken for the breast."""
_FOLD_RISE_MM = 6.0
_FOLD_WITHIN_MM = 100.0
_BELOW_LUNG_MM = 30.0
_BELOW_APEX_MM = 45.0
_LUNG_SEEN_MM2 = 1000.0
_APEX_FRACTION = 0.25
_NARROW_MM = 20.0
_NARROW_DEGREES = 12.0

Extent = Bool[np.ndarray, "levels angles"]
Angles = Float64[np.ndarray, " angles"]
Profile = Float32[np.ndarray, " levels"]


@dataclass(frozen=True, slots=True)
class SideExtent:
    """Where one breast lies on the wall, and how thick it is at most (95th percentile, mm)."""

    where: Extent
    thickness_mm: float


def chest_levels(tissue: ChestTissue) -> tuple[int, int] | None:
    """Return the first and last coarse level at which a breast may lie; None without lungs.

    Breasts reach from below the apex of the lungs to a little below the lowest level at which
    lung lies in the anterior half of the body. Where the picture ends within the lungs, it
    ends there.
    """
    area = tissue.spacing_mm[1] * tissue.spacing_mm[2]
    whole = tissue.lungs.sum(axis=(1, 2)) * area
    if whole.max() < _LUNG_SEEN_MM2:
        return None
    front = np.flatnonzero(_anterior_lung(tissue) * area >= _LUNG_SEEN_MM2)
    if len(front) == 0:
        return None
    lowest = max(0, int(front[0]) - round(_BELOW_LUNG_MM / tissue.spacing_mm[0]))
    top = len(whole) - 1
    if whole[top] < _APEX_FRACTION * whole.max():
        apex = int(np.flatnonzero(whole >= _LUNG_SEEN_MM2)[-1])
        top = max(int(front[0]), apex - round(_BELOW_APEX_MM / tissue.spacing_mm[0]))
    return lowest, top


def _anterior_lung(tissue: ChestTissue) -> np.ndarray:
    """Return how many voxels of lung lie in the anterior half of the body, per level."""
    counts = np.zeros(len(tissue.body))
    for level, (body, lungs) in enumerate(zip(tissue.body, tissue.lungs, strict=True)):
        rows = np.flatnonzero(body.any(axis=1))
        if len(rows):
            counts[level] = lungs[: (rows[0] + rows[-1]) // 2].sum()
    return counts


def side_extents(
    wall: ChestWall, levels: tuple[int, int], level_mm: float
) -> tuple[SideExtent, SideExtent]:
    """Return the extents of the right and of the left breast."""
    layer = np.asarray(ndimage.gaussian_filter(wall.layer_mm, (min(1.0, 4 / level_mm), 1)))
    size = np.abs(ANGLES)
    front = (size >= _FRONT_DEGREES[0]) & (size <= _FRONT_DEGREES[1])
    # Both sides together: the fold of one alone would be lost among errors of the wall.
    profile = layer[levels[0] : levels[1] + 1, front].mean(axis=1)
    inside = slice(levels[0] + _fold(profile, level_mm), levels[1] + 1)
    fat_mm = float(profile.min())
    right, left = (_side(layer, inside, ANGLES * sign, fat_mm, level_mm) for sign in (-1, 1))
    return right, left


def _side(
    layer: Float32[np.ndarray, "levels angles"],
    inside: slice,
    angle: Angles,
    fat_mm: float,
    level_mm: float,
) -> SideExtent:
    front = (angle >= _FRONT_DEGREES[0]) & (angle <= _THICKEST_DEGREES)
    thickness = float(np.percentile(layer[inside, front], 95))
    rim = float(np.clip(_RIM_SHARE * thickness, *_RIM_MM))
    thick = np.zeros(layer.shape, bool)
    thick[inside] = layer[inside] > rim
    if fat_mm < _FAT_SHARE * thickness:
        below = np.minimum.accumulate(layer, axis=0)
        over = np.where(below < _FAT_SHARE * thickness, below, fat_mm) + _OVER_FAT_MM
        thick &= layer > np.maximum(over, fat_mm + _OVER_FAT_MM)
    thick &= (angle >= _MEDIAL_DEGREES) & (angle <= _LATERAL_DEGREES)
    return SideExtent(_connected(thick, angle, level_mm), thickness)


def _fold(profile: Profile, level_mm: float) -> int:
    """Return the level of the fold under the breasts, or 0 where there is none.

    The fold is the thinnest level of the lower part; there must be more both below it, as in an
    obese abdomen, and above it. What gets thicker near the arm pit is left alone.
    """
    part = profile[: round(_FOLD_WITHIN_MM / level_mm) + 1]
    fold = int(np.argmin(part))
    risen = part[fold] + _FOLD_RISE_MM
    return fold if part[: fold + 1].max() > risen and part[fold:].max() > risen else 0


def _connected(thick: Extent, angle: Angles, level_mm: float) -> Extent:
    """Return the largest part and what lies in front, without narrow spurs and without holes.

    The fat of an arm pit may be larger than a small breast, and hang together with it or not.
    """
    size = (max(1, round(_NARROW_MM / level_mm)), max(1, round(_NARROW_DEGREES / ANGLE_STEP)))
    padded = np.pad(thick, ((size[0], size[0]), (0, 0)), mode="edge")
    opened = ndimage.binary_opening(padded, np.ones(size))[size[0] : -size[0]]
    components, count = ndimage.label(opened)
    if count == 0:
        return np.zeros(thick.shape, bool)
    kept = np.zeros(count + 1, bool)
    kept[1 + int(np.argmax(np.bincount(components.ravel())[1:]))] = True
    kept[components[:, (angle >= _FRONT_DEGREES[0]) & (angle <= _FRONT_DEGREES[1])]] = True
    kept[0] = False
    return np.asarray(ndimage.binary_fill_holes(kept[components]))
