"""Muscles and bones of the chest wall: ribs, sternum, spine, shoulder blades.

Sizes are rules of thumb, set beside real chest CT.
"""

import numpy as np

from breastseg.datasets.phantom_ct.anatomy import Tissue
from breastseg.datasets.phantom_ct.canvas import Canvas
from breastseg.datasets.phantom_ct.grid import Field, Noise, ellipsoid
from breastseg.datasets.phantom_ct.shape import Shape, Surfaces, cage_size, directions

_RIB_PITCH_MM = 23.0
_RIB_FALL_MM = 115.0
_VERTEBRA_MM = 25.0


def paint_wall(
    canvas: Canvas, shape: Shape, surfaces: Surfaces, streaks: Noise, fibres: Noise
) -> None:
    """Paint muscle in layers with fat between them, then ribs, blades and sternum."""
    _paint_muscles(canvas, surfaces, streaks, fibres)
    _paint_ribs(canvas, surfaces, streaks)
    _paint_shoulder_blades(canvas, surfaces)
    _paint_sternum(canvas, shape, fibres)


def _bone(
    canvas: Canvas, distance: Field, cortex_mm: Field | float, *, marrow_hu: Field | float = 0.0
) -> None:
    canvas.paint(Tissue.CORTICAL_BONE, distance)
    canvas.paint(Tissue.MARROW, distance + cortex_mm, added_hu=marrow_hu)


def _paint_muscles(canvas: Canvas, surfaces: Surfaces, streaks: Noise, fibres: Noise) -> None:
    grid = canvas.grid
    wave = 1.3 * streaks.on(grid)
    grain = 4 * fibres.on(grid)
    # The intercostal layer, then those over it, each under a plane of fat.
    canvas.paint(Tissue.MUSCLE, np.maximum(-surfaces.cage - 0.5, surfaces.cage - 6 + wave))
    over = np.maximum(10.5 - surfaces.cage + wave, surfaces.wall + 1.5 * wave)
    marbling = np.clip(np.abs(grain) / 4 - 1.2, 0, 1) * np.clip(0.5 + wave, 0, 1.5)
    canvas.paint(Tissue.MUSCLE, over, added_hu=grain - 110 * marbling)
    # Fat between the layers, where there is more than one.
    thickness = surfaces.cage - surfaces.wall
    for share, width in ((0.38, 1.7), (0.72, 0.9)):
        depth = surfaces.cage - 10.5 - share * (thickness - 10.5) + 2.2 * wave
        plane = np.abs(depth) - width * np.clip(0.8 + wave, 0, 1.6)
        plane = np.maximum(plane, 0.4 * (21 - thickness))
        canvas.cover(Tissue.FAT, np.clip(0.5 - plane, 0, 1) * np.clip(-surfaces.wall, 0, 1))


def _paint_ribs(canvas: Canvas, surfaces: Surfaces, wave: Noise) -> None:
    """Ribs fall towards the front; their front ends are cartilage."""
    grid = canvas.grid
    back = directions(grid)[1]
    middle = surfaces.cage - 4.5
    forward = 0.5 - 0.5 * back
    uneven = wave.on(grid)
    course = (grid.z + 2.5 * uneven + _RIB_FALL_MM * forward**1.2 + 6) / _RIB_PITCH_MM
    beside = _RIB_PITCH_MM * (course - np.round(course)) * 0.85
    rib = ellipsoid((middle, beside, np.zeros(1, np.float32)), (3.7, 6.4, 1.0))
    rib = rib - 0.6 * uneven
    number = np.round(course)
    cartilage = forward - 0.9 + 0.015 * number + 0.05 * np.sin(3 * number + (grid.x > 0))
    rib = np.maximum(rib, 16 - np.abs(grid.x))
    canvas.paint(Tissue.CARTILAGE, np.maximum(rib, -60 * cartilage))
    bony = np.maximum(rib, 60 * cartilage)
    _bone(canvas, bony, 1.2 + 0.3 * uneven, marrow_hu=60 * uneven)


def _paint_shoulder_blades(canvas: Canvas, surfaces: Surfaces) -> None:
    grid = canvas.grid
    extent = np.clip((grid.z - 5) / 60, 0, 1)
    # Towards its outer end the blade leaves the ribs, and is thicker.
    along = 110 * (np.arctan2(np.abs(grid.x), grid.y) - 1.0)
    depth = surfaces.cage - 18 - 0.28 * along
    thick = 1.6 + 1.2 * extent + np.clip(along, 0, 30) / 12
    blade = np.maximum(np.abs(depth) - thick, np.abs(along) - 30 * extent)
    ridge = np.maximum(np.abs(along - 4 - 0.4 * depth) - 2.6, np.abs(depth - 7) - 8)
    ridge = np.maximum(ridge, 62 - grid.z)
    blade = np.maximum(np.minimum(blade, ridge), 10 - grid.z)
    _bone(canvas, blade, 1.4)


def spine_centre(shape: Shape, z: Field) -> Field:
    """Return y of the middle of the vertebral bodies, a gentle curve."""
    depth = cage_size(shape.anatomy, np.zeros(1, np.float32))[1][0]
    centre: Field = 0.56 * depth - np.square(z / 100) * 6
    return np.asarray(centre, np.float32)


def paint_spine(canvas: Canvas, shape: Shape, fibres: Noise) -> None:
    """Paint vertebrae and discs, the canal, and the muscles beside them; after the lungs."""
    grid = canvas.grid
    y = grid.y - spine_centre(shape, grid.z)
    phase = grid.z / _VERTEBRA_MM
    along = _VERTEBRA_MM * np.abs(phase - np.round(phase))
    disc = 9.8 - along
    for side in (-1, 1):
        erector = ellipsoid((grid.x - 27 * side, y - 42, 0 * y), (26, 17, 1))
        marbling = np.clip(np.abs(fibres.on(grid)) - 0.9, 0, 1)
        canvas.paint(Tissue.MUSCLE, erector + 2 * marbling, added_hu=-90 * marbling)
    waist = 15.5 + 1.5 * np.square(along / 12) + np.zeros_like(y)
    body = np.maximum(ellipsoid((grid.x / 1.2, y, 0 * y), (1, 1, 1)) + 1 - waist, y - 12.5)
    arch = np.maximum(np.abs(np.hypot(grid.x / 1.15, y - 22) - 10) - 2.2, -along + 1 * (y > 30))
    wings = np.maximum(
        ellipsoid((np.abs(grid.x) - 22, y - 26 - 0.2 * np.abs(grid.x), 0 * y), (15, 5, 1)),
        along - 10,
    )
    spinous = ellipsoid((grid.x, y - 44, along * np.ones_like(y)), (3.6, 15, 11))
    for part in (wings, spinous, np.maximum(arch, along - 10)):
        _bone(canvas, part, 1.8)
    canvas.paint(Tissue.OTHER_ORGAN, body, added_hu=45)
    _bone(canvas, np.maximum(body, -disc), 1.3, marrow_hu=20 + 45 * fibres.on(grid))
    canvas.paint(Tissue.OTHER_ORGAN, np.hypot(grid.x / 1.15, y - 22) - 7.5, added_hu=-15)


def sternum_front(shape: Shape, z: Field) -> Field:
    """Return y of the middle of the breast bone."""
    half_depth = cage_size(shape.anatomy, z)[1]
    return np.asarray(-half_depth - 3, np.float32)


def _paint_sternum(canvas: Canvas, shape: Shape, fibres: Noise) -> None:
    grid = canvas.grid
    y = grid.y - sternum_front(shape, grid.z)
    half_width = 17 + 9 * np.clip((grid.z - 60) / 30, 0, 1) - 5 * np.clip((-grid.z - 10) / 30, 0, 1)
    # A flat plate with blunt edges; ellipses would look like eggs.
    scaled = (np.abs(grid.x / half_width) ** 4 + np.abs(y / 5.8) ** 4) ** 0.25
    bone = 5.8 * (scaled - 1)
    bone = np.maximum(bone, np.abs(grid.z - 35) - 85)
    _bone(canvas, bone, 1.3, marrow_hu=-50 + 40 * fibres.on(grid))
