"""How far the breasts reach, on hand-made fields of thickness."""

from types import SimpleNamespace

import numpy as np

from breastseg.pipeline.breast_extent import side_extents
from breastseg.pipeline.chest_wall import ANGLES

LEVEL_MM = 3.0
NUM_LEVELS = 80


def extents(*bumps, fat_mm=6.0):
    """Return right and left extents of fat with bumps (level, angle, height, width in degrees)."""
    level, angle = np.mgrid[0:NUM_LEVELS, 0 : len(ANGLES)].astype(float)
    layer = np.full(level.shape, float(fat_mm))
    for at, degrees, height, width in bumps:
        along = np.square((level - at) * LEVEL_MM / 40)
        layer += height * np.exp(-along - np.square((ANGLES[angle.astype(int)] - degrees) / width))
    wall = SimpleNamespace(layer_mm=layer.astype(np.float32))
    return side_extents(wall, (0, NUM_LEVELS - 1), LEVEL_MM)


def at(extent, level, degrees):
    return bool(extent.where[level, int(np.argmin(np.abs(ANGLES - degrees)))])


def test_a_bump_is_a_breast_on_its_own_side():
    right, left = extents((40, 40, 35, 20))
    assert at(left, 40, 40)
    assert not at(left, 5, 40)
    assert not right.where.any()


def test_the_fat_of_an_arm_pit_does_not_hide_a_small_breast():
    _, left = extents((25, 30, 20, 12), (70, 85, 60, 25))
    assert at(left, 70, 80)
    assert at(left, 25, 30)


def test_fat_that_is_no_thinner_below_the_breast_is_left_out():
    _, left = extents((45, 40, 40, 20), fat_mm=20)
    assert at(left, 45, 40)
    assert not left.where[:15].any()
    assert not at(left, 45, 88)
