import numpy as np
import pytest

from breastseg.datasets.phantom_ct.anatomy import Tissue, draw_anatomy
from breastseg.datasets.phantom_ct.distractors import Lump, draw_distractors, paint_lumps
from breastseg.datasets.phantom_ct.grid import make_grid
from breastseg.datasets.phantom_ct.shape import make_shape


@pytest.fixture(scope="module")
def chest():
    random = np.random.default_rng(4)
    return make_shape(random, draw_anatomy(random, "supine", "c"))


def ball(tissue=Tissue.LYMPH_NODE, hilum=0.0):
    return Lump(tissue, np.zeros(3), np.eye(3), np.array([6.0, 6.0, 6.0]), hilum)


def painted(chest, lump, background=Tissue.FAT):
    """Return HU and tissues of a grid of one tissue after a lump was painted into it."""
    grid = make_grid((15, 15, 15), (1.0, 1.0, 1.0), (0.0, 0.0, 0.0), prone=False)
    hu = np.full(grid.shape, chest.anatomy.hu[background], np.float32)
    tissues = np.full(grid.shape, background, np.uint8)
    paint_lumps(hu, tissues, grid, (lump,), chest.anatomy)
    return hu, tissues


def test_there_are_nodes_and_vessels_on_both_sides(chest):
    beside = draw_distractors(np.random.default_rng(1), chest)
    assert {lump.tissue for lump in beside.lumps} >= {Tissue.LYMPH_NODE}
    for side in (-1, 1):
        assert any(lump.centre[0] * side > 0 for lump in beside.lumps)
        assert any(tube.start[0] * side > 0 for tube in beside.vessels)


def test_a_lump_has_the_volume_and_hu_of_its_kind(chest):
    hu, tissues = painted(chest, ball(Tissue.CYST))
    assert (tissues == Tissue.CYST).sum() == pytest.approx(4 / 3 * np.pi * 6**3, rel=0.1)
    assert hu[7, 7, 7] == pytest.approx(chest.anatomy.hu[Tissue.CYST], abs=0.1)
    assert hu[0, 0, 0] == pytest.approx(chest.anatomy.hu[Tissue.FAT], abs=0.1)


def test_the_hilum_of_a_node_is_fat_and_lies_to_one_side(chest):
    hu, _ = painted(chest, ball(hilum=0.6))
    assert hu[7, 11, 7] == pytest.approx(chest.anatomy.hu[Tissue.FAT], abs=0.1)
    assert hu[7, 3, 7] == pytest.approx(chest.anatomy.hu[Tissue.LYMPH_NODE], abs=0.1)


def test_muscle_takes_no_lump(chest):
    hu, tissues = painted(chest, ball(), background=Tissue.MUSCLE)
    assert (tissues == Tissue.MUSCLE).all()
    assert (hu == np.float32(chest.anatomy.hu[Tissue.MUSCLE])).all()
