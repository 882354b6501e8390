"""How far the breasts reach on the chest wall: over which levels and which angles."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float32
from scipy import ndimage

from breastseg.pipeline.chest_tissue import ChestTissue
from breastseg.pipeline.chest_wall import ANGLE_STEP, ANGLES, ChestWall

_THIN_MM = 15.0
"""A layer of skin and fat below this is no breast."""
_MEDIAL_DEGREES = 4.0
_LATERAL_DEGREES = 90.0
_PEAK_DEGREES = (15.0, 60.0)
_FOLD_RISE_MM = 8.0
_BELOW_LUNG_MM = 30.0
_BELOW_APEX_MM = 45.0
_LUNG_SEEN_MM2 = 1000.0
_APEX_FRACTION = 0.25
_NARROW_MM = 20.0

Extent = Bool[np.ndarray, "levels angles"]


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


def side_extent(wall: ChestWall, levels: tuple[int, int], sign: int, level_mm: float) -> SideExtent:
    """Return the extent of the breast at positive (left) or negative (right) angles."""
    layer = np.asarray(ndimage.gaussian_filter(wall.layer_mm, (min(1.0, 4 / level_mm), 1)))
    angle = ANGLES * sign
    allowed = np.zeros(layer.shape, bool)
    allowed[levels[0] : levels[1] + 1] = (angle >= _MEDIAL_DEGREES) & (angle <= _LATERAL_DEGREES)
    front = allowed & (angle >= _PEAK_DEGREES[0]) & (angle <= _PEAK_DEGREES[1])
    peak = np.unravel_index(int(np.argmax(np.where(front, layer, -1))), layer.shape)
    thick = allowed & (layer > _THIN_MM) & ~_below_fold(layer, int(peak[0]))
    where = _connected(thick, (int(peak[0]), int(peak[1])), level_mm)
    return SideExtent(where, float(np.percentile(layer[front], 95)))


def _below_fold(layer: Float32[np.ndarray, "levels angles"], peak: int) -> Extent:
    """Return what lies below the fold under the breast.

    Downwards from the thickest level the layer gets thinner up to the fold; where it grows
    again, in an obese abdomen, the breast has ended.
    """
    down = layer[peak::-1]
    thinnest = np.minimum.accumulate(down, axis=0)
    risen = np.maximum.accumulate(down > thinnest + _FOLD_RISE_MM, axis=0)
    # From the thinnest level before the rise on, not only from the rise.
    first = np.where(risen.any(axis=0), np.argmax(risen, axis=0), len(down))
    before = np.arange(len(down))[:, None] < first
    fold = np.argmin(np.where(before, down, np.inf), axis=0)
    beyond = (np.arange(len(down))[:, None] > fold) & risen.any(axis=0)
    below = np.zeros(layer.shape, bool)
    below[peak::-1] = beyond
    return below


def _connected(thick: Extent, peak: tuple[int, int], level_mm: float) -> Extent:
    """Return the part that holds the peak, without narrow spurs and without holes."""
    size = (max(1, round(_NARROW_MM / level_mm)), max(1, round(12 / ANGLE_STEP)))
    padded = np.pad(thick, ((size[0], size[0]), (0, 0)), mode="edge")
    opened = ndimage.binary_opening(padded, np.ones(size))[size[0] : -size[0]]
    components, count = ndimage.label(opened)
    if count == 0:
        return np.zeros(thick.shape, bool)
    number = components[peak]
    if number == 0:
        number = 1 + int(np.argmax(np.bincount(components.ravel())[1:]))
    return np.asarray(ndimage.binary_fill_holes(components == number))
