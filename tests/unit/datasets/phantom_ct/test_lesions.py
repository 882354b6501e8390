import math

import numpy as np
import pytest

from breastseg.datasets.phantom_ct.grid import make_grid
from breastseg.datasets.phantom_ct.lesions import (
    MARGINS,
    Lesion,
    LesionShape,
    draw_form,
    equivalent_volume,
)

GRID = make_grid((30, 60, 60), (2.0, 0.9, 0.9), (0.0, 0.0, 0.0), prone=False)


def lesion_of(shape, centre=(0.3, -0.2, 0.7)):
    return Lesion(centre=np.array(centre), shape=shape, margin="smooth", hu=40.0, contrast_hu=5.0)


def volume_by_voxels(shape, grid=GRID):
    _, shares = lesion_of(shape).shares(grid)
    return float(shares.sum()) * math.prod(grid.spacing_mm)


@pytest.mark.parametrize("semi_axes", [(8.0, 8.0, 8.0), (12.0, 7.0, 5.0)])
def test_an_ellipsoid_has_its_analytic_volume_and_diameter(semi_axes):
    shape = LesionShape(np.eye(3), np.array(semi_axes), (), ())
    exact = 4 / 3 * math.pi * math.prod(semi_axes)
    assert shape.volume_mm3 == pytest.approx(exact, rel=2e-3)
    assert shape.diameter_mm == pytest.approx(2 * max(semi_axes), rel=5e-3)
    assert volume_by_voxels(shape) == pytest.approx(exact, rel=5e-3)


@pytest.mark.parametrize("margin", MARGINS)
def test_the_shares_of_the_voxels_add_up_to_the_volume(margin):
    _, form = draw_form(np.random.default_rng(3), margin)
    shape = form.scaled_to(equivalent_volume(18.0))
    assert shape.volume_mm3 == pytest.approx(equivalent_volume(18.0), rel=1e-6)
    assert volume_by_voxels(shape) == pytest.approx(shape.volume_mm3, rel=0.02)


def test_spicules_reach_further_than_lobes_and_lobes_than_a_smooth_margin():
    def diameter(margin):
        forms = [draw_form(np.random.default_rng(seed), margin)[1] for seed in range(8)]
        return np.mean([form.diameter_mm for form in forms])

    smooth, lobulated, spiculated = map(diameter, MARGINS)
    assert smooth < lobulated < spiculated


def test_a_lesion_outside_the_grid_has_an_empty_window():
    shape = LesionShape(np.eye(3), np.full(3, 4.0), (), ())
    _, shares = lesion_of(shape, centre=(500.0, 0.0, 0.0)).shares(GRID)
    assert shares.size == 0


def test_a_lesion_cut_by_the_edge_of_the_volume_keeps_what_is_inside():
    shape = LesionShape(np.eye(3), np.full(3, 8.0), (), ())
    edge = float(GRID.x.max()) + 0.45
    _, shares = lesion_of(shape, centre=(edge, 0.0, 0.0)).shares(GRID)
    half = shape.volume_mm3 / 2
    assert float(shares.sum()) * math.prod(GRID.spacing_mm) == pytest.approx(half, rel=0.01)
