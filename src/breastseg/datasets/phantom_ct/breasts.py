"""Skin, fat and what is inside the breasts: gland, ligaments, nipple.

The gland spreads from the nipple to the chest wall, more of it above and laterally, in strands
along that direction; thin sheets (Cooper's ligaments) part the fat. How much gland there is
follows the share that the density class gives; its pattern is thresholded noise.

Source: Bliznakova et al. 2003, Physics in Medicine and Biology 48(22):3699-3719, and Pokrajac
    et al. 2012, Medical Physics 39(4):2290-2302 (gland, ligaments and fat compartments of
    breast phantoms); the noise in their place is this project's own.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float32

from breastseg.datasets.phantom_ct.anatomy import Anatomy, GlandHabit, Tissue
from breastseg.datasets.phantom_ct.canvas import Canvas
from breastseg.datasets.phantom_ct.grid import Field, Grid, Noise, ellipsoid, inside
from breastseg.datasets.phantom_ct.shape import Breast, Shape, Surfaces

_AREOLA_MM = 17.0
_NIPPLE_MM = 5.0
_FREE_OF_GLAND_MM = 3.5
_RETROMAMMARY_MM = 5.0
_SAMPLE_MM = 3.5

_Mask = Bool[np.ndarray, "slices rows columns"]
_Values = Float32[np.ndarray, " voxels"]


@dataclass(frozen=True, slots=True)
class Texture:
    """Noise in a breast's own axes: lobes, strands along the ducts, ligaments, fine grain."""

    lobes: Noise
    strands: Noise
    ligaments: Noise
    grain: Noise

    @classmethod
    def draw(cls, random: np.random.Generator) -> "Texture":
        """Draw the four noises."""
        return cls(Noise(random, 13), Noise(random, 5.0), Noise(random, 10.0), Noise(random, 2.2))


@dataclass(frozen=True, slots=True)
class Gland:
    """The gland of one breast: where the pattern exceeds the level."""

    breast: Breast
    texture: Texture
    habit: GlandHabit
    level: float


def make_gland(
    random: np.random.Generator, shape: Shape, breast: Breast, grid_of_breast: Grid
) -> Gland:
    """Draw a gland whose share of the breast's volume is that of the anatomy.

    Args:
        random: the stream.
        shape: of the chest.
        breast: one of its breasts.
        grid_of_breast: see sampling_grid.
    """
    texture, habit = Texture.draw(random), shape.anatomy.gland
    bent = shape.bend(grid_of_breast)
    surfaces = shape.surfaces(bent)
    within = breast_mask(surfaces, breast)
    pattern = _pattern(Gland(breast, texture, habit, 0), bent, surfaces, within)
    level = float(np.quantile(pattern, 1 - shape.anatomy.gland_share))
    return Gland(breast, texture, habit, level)


def sampling_grid(breast: Breast) -> Grid:
    """Return a coarse grid around a breast, on which shares are counted."""
    reach = 1.6 * max(breast.axes)
    steps = np.arange(-reach, reach, _SAMPLE_MM, dtype=np.float32)
    affine = np.zeros((4, 4))
    affine[[2, 1, 0], [0, 1, 2]] = _SAMPLE_MM
    affine[:3, 3], affine[3, 3] = breast.base - reach, 1
    x, y, z = (steps + np.float32(at) for at in breast.base)
    return Grid(x[None, None, :], y[None, :, None], z[:, None, None], affine)


def breast_mask(surfaces: Surfaces, breast: Breast) -> _Mask:
    """Return the voxels of a breast with its skin and nipple, in front of the muscle."""
    distance = surfaces.breasts[(breast.side + 1) // 2]
    mask: _Mask = (surfaces.body < 0) & (surfaces.wall > 0) & (distance < 3)
    return mask


def paint_skin_and_fat(
    canvas: Canvas, anatomy: Anatomy, surfaces: Surfaces, textures: tuple[Noise, Noise]
) -> None:
    """Paint the body as skin over fat, with faint strands in the fat."""
    sheets, clouds = (texture.on(canvas.grid) for texture in textures)
    strands = np.clip(1 - np.abs(sheets) / 0.13, 0, 1) * np.clip(0.3 + 0.5 * clouds, 0, 1)
    canvas.paint(Tissue.SKIN, surfaces.body)
    # Skin is thinnest on the breast: elsewhere about a millimetre more.
    on_breast = np.clip(-np.minimum(*surfaces.breasts) / 15, 0, 1)
    fat = surfaces.body + anatomy.skin + 0.3 + 0.8 * (1 - on_breast) + 0.15 * clouds
    canvas.paint(Tissue.FAT, fat, added_hu=26 * strands + 2 * clouds)


def paint_gland(canvas: Canvas, surfaces: Surfaces, gland: Gland, anatomy: Anatomy) -> None:
    """Paint ligaments, gland, areola and nipple of one breast."""
    breast, grid = gland.breast, canvas.grid
    within = breast_mask(surfaces, breast)
    if not within.any():
        return
    points = _local_points(breast, grid, within)
    share = np.zeros(grid.shape, np.float32)
    share[within] = _ligaments(gland.texture, points) * _under_skin(surfaces.body[within], 1.5)
    canvas.hu += 0.75 * share * (canvas.hu_of[Tissue.GLAND] - canvas.hu)
    pattern = _pattern(gland, grid, surfaces, within)
    grain = np.zeros(grid.shape, np.float32)
    grain[within] = 7 * gland.texture.grain.at(points)
    share[within] = np.clip(0.5 + gland.habit.steepness * (pattern - gland.level), 0, 1)
    canvas.cover(Tissue.GLAND, share, added_hu=grain)
    _paint_nipple(canvas, surfaces, breast, anatomy)


def _local_points(breast: Breast, grid: Grid, within: _Mask) -> np.ndarray:
    fields = (np.broadcast_to(field, grid.shape)[within] for field in breast.local(grid))
    return np.stack([*fields], axis=1)


def _pattern(gland: Gland, grid: Grid, surfaces: Surfaces, within: _Mask) -> _Values:
    """Return how gland-like each voxel of a breast is; the unit is arbitrary."""
    breast, texture, habit = gland.breast, gland.texture, gland.habit
    points = _local_points(breast, grid, within)
    body, wall = surfaces.body[within], surfaces.wall[within]
    out = points[:, 0] / np.float32(breast.axes[0])
    along = np.clip(out, 0, 1)
    # Strands run from the chest wall to the nipple, so the noise is stretched along them.
    spread = 1 / (0.45 + 0.55 * (1 - along))
    streamed = np.stack([points[:, 0] / 1.6, points[:, 1] * spread, points[:, 2] * spread], 1)
    strands = 0.7 - 1.6 * np.abs(texture.strands.at(streamed))
    pattern = _envelope(breast, habit, points, along) - 1.2 * np.square(np.clip(0.42 - out, 0, 1))
    pattern -= habit.flatness * np.square(2.2 * (_depth_share(body, wall) - 0.48))
    pattern += habit.lobes * texture.lobes.at(points) + habit.strands * strands
    pattern += 0.16 * texture.grain.at(streamed)
    free = _under_skin(body, _FREE_OF_GLAND_MM)
    near_nipple = np.clip(1.6 - np.hypot(points[:, 1], points[:, 2]) / _AREOLA_MM, 0, 1)
    covered = np.maximum(free, near_nipple) * np.clip(wall / _RETROMAMMARY_MM, 0, 1)
    values: _Values = (pattern - 4 * (1 - covered)).astype(np.float32)
    return values


def _envelope(breast: Breast, habit: GlandHabit, points: np.ndarray, along: _Values) -> _Values:
    """Return 1 in the middle of the gland, which narrows towards the nipple, and less outside."""
    across, up = points[:, 1] / breast.axes[1], points[:, 2] / breast.axes[2]
    width = (0.22 + 0.55 * np.sqrt(np.clip(1 - along, 0, 1))) * habit.width
    off_centre = 1 - along
    aside = np.hypot(across - habit.lateral * off_centre, (up - habit.upward * off_centre) / 1.1)
    envelope: _Values = 1.1 - aside / width
    return envelope


def _depth_share(body: Field, wall: Field) -> Field:
    """Return 0 at the skin and 1 at the chest wall."""
    depth, above = np.maximum(-body, 0), np.maximum(wall, 0)
    share: Field = depth / np.maximum(depth + above, 1)
    return share


def _under_skin(body: Field, depth_mm: float) -> Field:
    """Return 0 above a depth under the skin and 1 further in."""
    share: Field = np.clip((-body - depth_mm) / 2, 0, 1)
    return share


def _ligaments(texture: Texture, points: np.ndarray) -> Field:
    """Return the share of thin sheets, stronger in some places than in others."""
    stretched = points * np.array([0.4, 1.0, 0.8], np.float32)
    sheets = np.clip(1 - np.abs(texture.ligaments.at(stretched)) / 0.14, 0, 1)
    # Most are seen for a part of their course alone.
    strength = np.clip(0.25 + 0.6 * texture.strands.at(points * np.float32(0.35)), 0, 0.9)
    share: Field = sheets * strength
    return share


def _paint_nipple(canvas: Canvas, surfaces: Surfaces, breast: Breast, anatomy: Anatomy) -> None:
    grid = canvas.grid
    out, across, up = breast.local(grid)
    beside = np.hypot(across, up)
    areola = np.maximum(beside - _AREOLA_MM, -surfaces.body - anatomy.skin - 1.2)
    areola = np.maximum(np.maximum(areola, surfaces.body), -out)
    canvas.cover(Tissue.SKIN, inside(areola, grid.spacing_mm[2]))
    tip = ellipsoid((surfaces.body, across, up), (_NIPPLE_MM, _NIPPLE_MM, _NIPPLE_MM))
    canvas.paint(Tissue.NIPPLE, np.maximum(tip, -out))
