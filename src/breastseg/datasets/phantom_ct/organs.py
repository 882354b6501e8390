"""What lies inside the rib cage: lungs, mediastinum, heart, great vessels, liver.

Sizes and places are rules of thumb, set beside real chest CT.
"""

from collections.abc import Callable

import numpy as np

from breastseg.datasets.phantom_ct.anatomy import Tissue
from breastseg.datasets.phantom_ct.bones import spine_centre
from breastseg.datasets.phantom_ct.canvas import Canvas
from breastseg.datasets.phantom_ct.grid import Field, Grid, Noise, ellipsoid, inside, smooth_union
from breastseg.datasets.phantom_ct.shape import Shape, Surfaces

_Make = Callable[[Grid], Field]


def paint_organs(
    canvas: Canvas, shape: Shape, surfaces: Surfaces, lumps: Noise, fine: Noise
) -> None:
    """Paint everything inside the ribs, from the lungs inwards."""
    grid = canvas.grid
    wave = 2.2 * lumps.on(grid)
    cavity = surfaces.cage + 1.5
    spine = np.hypot(grid.x / 1.15, grid.y - spine_centre(shape, grid.z)) - 19
    lung = np.maximum(cavity, -spine)
    canvas.paint(Tissue.LUNG, lung, added_hu=0.25 * grid.y + 8 * wave)
    heart = _heart(grid, shape.anatomy.heart) + wave
    vessels = _great_vessels(shape, grid)
    middle = _mediastinum(shape, grid, heart, vessels) + 2.5 * wave
    # Thymus, nodes and small vessels in its fat.
    strands = 55 * np.clip(1.2 * lumps.on(grid) + fine.on(grid) - 0.6, 0, 1.6)
    canvas.paint(Tissue.MEDIASTINUM, np.maximum(middle, cavity), added_hu=3 * wave + strands)
    canvas.paint(Tissue.HEART, np.maximum(heart, cavity))
    _paint_chambers(canvas, heart, wave)
    for vessel in vessels:
        canvas.paint(Tissue.VESSEL, np.maximum(vessel + 0.3 * wave, cavity))
    _paint_airways(canvas, shape)
    _paint_abdomen(canvas, surfaces, wave, shape.anatomy.breath)


def _heart(grid: Grid, size: float) -> Field:
    """Return the distance to the heart, which points to the left and down."""
    x, y, z = grid.x - 12, grid.y + 34, grid.z + 2
    along = 0.84 * x - 0.36 * y - 0.4 * z
    across = 0.4 * x + 0.9 * y + 0.1 * z
    up = 0.36 * x - 0.24 * y + 0.9 * z
    return ellipsoid((along, across, up), (60 * size, 43 * size, 50 * size))


def _paint_chambers(canvas: Canvas, heart: Field, wave: Field) -> None:
    """Blood and muscle of the heart, which differ once there is contrast."""
    grid = canvas.grid
    left = ellipsoid((grid.x - 34, grid.y + 38 - 0.2 * grid.x, grid.z + 10), (24, 15, 32))
    right = ellipsoid((grid.x + 8, grid.y + 55 - 0.3 * grid.x, grid.z + 5), (34, 13, 34))
    atria = ellipsoid((grid.x + 6, grid.y + 16, grid.z - 12), (34, 15, 22))
    for chamber in (left, right, atria):
        # The wall's trabeculae blur its edge, and so does its motion.
        blood = inside(np.maximum(chamber + 2 * wave, heart + 5), 5.0)
        canvas.cover(Tissue.VESSEL, blood)
    # Fat in the groove between the chambers, which tapers inwards and is missing in places.
    width = 2.4 + 0.8 * wave - 0.16 * np.clip(-heart, 0, 40)
    grooves = np.abs(grid.x + 16 + 0.5 * (grid.y + 30) + 3 * wave) - width
    grooves = np.maximum(grooves, heart)
    canvas.cover(Tissue.MEDIASTINUM, 0.8 * inside(grooves, 2.5))


def _great_vessels(shape: Shape, grid: Grid) -> tuple[Field, ...]:
    """Return the distances to aorta, vena cava, pulmonary trunk and its branches."""
    spine = spine_centre(shape, grid.z)
    flat = np.zeros(1, np.float32)
    down = np.hypot(grid.x - 15 + 0.06 * grid.z, grid.y - spine + 27) - 11.5
    down = np.maximum(down, grid.z - 96)
    up = np.hypot(grid.x + 12, grid.y + 34) - 15
    up = np.maximum(up, np.maximum(grid.z - 96, 30 - grid.z))
    arch = ellipsoid(
        (grid.x - 3 - 0.2 * (grid.y + 5), (grid.y + 7) * 0.62, grid.z - 97), (17, 23, 13)
    )
    cava = np.maximum(np.hypot(grid.x + 32, grid.y + 24) - 9, 20 - grid.z)
    trunk = ellipsoid((grid.x - 17, grid.y + 34, grid.z - 52), (14, 17, 24))
    branches = ellipsoid(
        (grid.x - 2, grid.y + 12 + 0.006 * np.square(grid.x), grid.z - 58), (50, 10, 11)
    )
    lower = np.hypot(np.abs(grid.x) - 40, grid.y + 2 + 0 * flat) - 8
    lower = np.maximum(lower, np.abs(grid.z - 40) - 22)
    return down, up, arch, cava, trunk, branches, lower


def _mediastinum(shape: Shape, grid: Grid, heart: Field, vessels: tuple[Field, ...]) -> Field:
    """Return the distance to what the lungs leave free, from the breast bone to the spine."""
    width = 6 + 14 * np.clip((grid.z - 20) / 50, 0, 1) + 12 * np.clip((grid.y + 40) / 60, 0, 1)
    strip = np.abs(grid.x - 3) - width
    outline = smooth_union(strip, heart - 4, 14)
    for vessel in vessels:
        outline = smooth_union(outline, vessel - 2.5, 8)
    return outline


def _paint_airways(canvas: Canvas, shape: Shape) -> None:
    grid = canvas.grid
    spine = spine_centre(shape, grid.z)
    gullet = ellipsoid((grid.x - 3, grid.y - spine + 22, np.zeros(1, np.float32)), (8, 5.5, 1))
    canvas.paint(Tissue.OTHER_ORGAN, gullet, added_hu=-5)
    below = np.clip(72 - grid.z, 0, None)
    pipe = np.hypot(np.abs(grid.x) - 0.85 * below, grid.y - 6) - 8.5 + 0.07 * below
    pipe = np.maximum(pipe, 25 - grid.z)
    canvas.paint(Tissue.OTHER_ORGAN, pipe - 1.6)
    canvas.paint(Tissue.AIRWAY, pipe)


def _paint_abdomen(canvas: Canvas, surfaces: Surfaces, wave: Field, breath: float) -> None:
    """Paint liver, stomach and spleen under the two domes of the diaphragm."""
    grid = canvas.grid
    right = grid.z + 38 + breath + np.square((grid.x + 48) / 12) + np.square((grid.y + 8) / 10.5)
    left = grid.z + 55 + breath + np.square((grid.x - 55) / 10) + np.square((grid.y + 8) / 10)
    dome = np.maximum(smooth_union(0.6 * right, 0.6 * left, 10) + wave, surfaces.cage + 2)
    canvas.paint(Tissue.MUSCLE, dome)
    canvas.paint(Tissue.MEDIASTINUM, dome + 3)
    liver = np.maximum(dome + 3, ellipsoid((grid.x + 55, grid.y + 8, grid.z + 105), (105, 90, 90)))
    canvas.paint(Tissue.LIVER, liver + 0.5 * wave)
    spleen = ellipsoid((grid.x - 85, grid.y - 40, grid.z + 95), (28, 45, 45))
    canvas.paint(Tissue.OTHER_ORGAN, np.maximum(spleen + wave, dome + 5), added_hu=3)
    stomach = np.maximum(
        ellipsoid((grid.x - 55, grid.y + 28, grid.z + 100), (42, 42, 42)), dome + 5
    )
    canvas.paint(Tissue.OTHER_ORGAN, stomach + wave, added_hu=-8)
    gas = np.maximum(stomach + wave + 4, grid.y + 42)
    canvas.paint(Tissue.AIRWAY, gas)
    spine = np.maximum(np.hypot(grid.x - 12, grid.y - 24) - 11, dome)
    canvas.paint(Tissue.VESSEL, spine)
