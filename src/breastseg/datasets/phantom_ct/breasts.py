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

from breastseg.datasets.phantom_ct.anatomy import Anatomy, Tissue
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
        return cls(Noise(random, 11), Noise(random, 3.6), Noise(random, 9.0), Noise(random, 2.2))


@dataclass(frozen=True, slots=True)
class Gland:
    """The gland of one breast: where the pattern exceeds the level."""

    breast: Breast
    texture: Texture
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
    texture = Texture.draw(random)
    surfaces = shape.surfaces(grid_of_breast)
    within = breast_mask(surfaces, breast)
    pattern = _pattern(breast, texture, grid_of_breast, surfaces, within)
    level = float(np.quantile(pattern, 1 - shape.anatomy.gland_share))
    return Gland(breast, texture, level)


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
    canvas.paint(Tissue.FAT, fat, added_hu=55 * strands + 2 * clouds)


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
    pattern = _pattern(breast, gland.texture, grid, surfaces, within)
    grain = np.zeros(grid.shape, np.float32)
    grain[within] = 5 * gland.texture.grain.at(points)
    share[within] = np.clip(0.5 + 1.8 * (pattern - gland.level), 0, 1)
    canvas.cover(Tissue.GLAND, share, added_hu=grain)
    _paint_nipple(canvas, surfaces, breast, anatomy)


def _local_points(breast: Breast, grid: Grid, within: _Mask) -> np.ndarray:
    fields = (np.broadcast_to(field, grid.shape)[within] for field in breast.local(grid))
    return np.stack([*fields], axis=1)


def _pattern(
    breast: Breast, texture: Texture, grid: Grid, surfaces: Surfaces, within: _Mask
) -> _Values:
    """Return how gland-like each voxel of a breast is; the unit is arbitrary."""
    points = _local_points(breast, grid, within)
    out, across, up = points.T / np.array(breast.axes, np.float32)[:, None]
    along = np.clip(out, 0, 1)
    width = 0.22 + 0.55 * np.sqrt(np.clip(1 - along, 0, 1))
    centre = 0.12 * (1 - along)
    aside = np.hypot(across - centre, (up - centre) / 1.1) / width
    envelope = 1.1 - aside - 1.5 * np.square(np.clip(0.42 - out, 0, 1))
    # Strands run from the chest wall to the nipple, so the noise is stretched along them.
    spread = 1 / (0.45 + 0.55 * (1 - along))
    streamed = np.stack([points[:, 0] / 2.0, points[:, 1] * spread, points[:, 2] * spread], 1)
    pattern = envelope + 0.4 * texture.lobes.at(points) + 0.36 * texture.strands.at(streamed)
    pattern += 0.14 * texture.grain.at(streamed)
    free = _under_skin(surfaces.body[within], _FREE_OF_GLAND_MM)
    near_nipple = np.clip(1.6 - np.hypot(points[:, 1], points[:, 2]) / _AREOLA_MM, 0, 1)
    covered = np.maximum(free, near_nipple) * np.clip(
        surfaces.wall[within] / _RETROMAMMARY_MM, 0, 1
    )
    values: _Values = (pattern - 4 * (1 - covered)).astype(np.float32)
    return values


def _under_skin(body: Field, depth_mm: float) -> Field:
    """Return 0 above a depth under the skin and 1 further in."""
    share: Field = np.clip((-body - depth_mm) / 2, 0, 1)
    return share


def _ligaments(texture: Texture, points: np.ndarray) -> Field:
    """Return the share of thin sheets, stronger in some places than in others."""
    stretched = points * np.array([0.6, 1.0, 1.0], np.float32)
    sheets = np.clip(1 - np.abs(texture.ligaments.at(stretched)) / 0.16, 0, 1)
    strength = np.clip(0.65 + 0.4 * texture.lobes.at(points * np.float32(0.7)), 0, 1)
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
