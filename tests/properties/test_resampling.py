"""Resampling there and back, and onto a grid that only names its axes otherwise."""

from itertools import permutations, product

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from breastseg.core.geometry import Grid, resample, resample_labels
from breastseg.core.image import Image

SHAPE = (5, 6, 7)
AFFINE = np.array([[0, 0, 0.8, -70.0], [0, 0.7, 0, 30], [2.5, 0, 0, -900], [0, 0, 0, 1]])
DIRECTIONS = [
    (order, signs) for order in permutations(range(3)) for signs in product((1, -1), repeat=3)
]


def turned(order, signs):
    """Return the grid of SHAPE and AFFINE with its axes in another order and direction."""
    turn = np.zeros((4, 4))
    turn[3, 3] = 1
    for new, (old, sign) in enumerate(zip(order, signs, strict=True)):
        turn[old, new] = sign
        turn[old, 3] = 0 if sign > 0 else SHAPE[old] - 1
    shape = tuple(SHAPE[old] for old in order)
    return Grid(shape=shape, affine=AFFINE @ turn)


@given(st.sampled_from(DIRECTIONS), st.integers(0, 2**32 - 1))
@settings(deadline=None, max_examples=48)
def test_all_48_orientations_hold_the_same_voxels(direction, seed):
    order, signs = direction
    values = np.random.default_rng(seed).normal(size=SHAPE).astype(np.float32)
    image = Image(pixels=values, affine=AFFINE)
    grid = turned(order, signs)
    carried = resample(image, grid, outside=np.nan)
    flips = tuple(slice(None, None, sign) for sign in signs)
    np.testing.assert_allclose(carried.pixels, np.transpose(values, order)[flips], atol=1e-6)
    back = resample(carried, Grid(shape=SHAPE, affine=AFFINE), outside=np.nan)
    np.testing.assert_allclose(back.pixels, values, atol=1e-6)


@given(st.tuples(*[st.sampled_from([1, 2, 3, 4])] * 3), st.tuples(*[st.floats(-1, 1)] * 4))
@settings(deadline=None, max_examples=40)
def test_a_linear_field_survives_a_finer_grid_and_the_way_back(factors, weights):
    grid = Grid(shape=SHAPE, affine=AFFINE)
    slices, rows, columns = np.indices(SHAPE)
    field = weights[0] * slices + weights[1] * rows + weights[2] * columns + weights[3]
    image = Image(pixels=field.astype(np.float32), affine=AFFINE)
    finer = grid.with_spacing(tuple(np.array(grid.spacing_mm) / factors))
    assert finer.shape == tuple(np.multiply(SHAPE, factors))
    back = resample(resample(image, finer, outside=np.nan), grid, outside=np.nan)
    # At the faces a finer voxel lies outside the outermost centres.
    inside = (slice(1, -1),) * 3
    np.testing.assert_allclose(back.pixels[inside], field[inside], atol=1e-5)


@given(st.tuples(*[st.sampled_from([1, 3, 5])] * 3), st.integers(0, 2**32 - 1))
@settings(deadline=None, max_examples=40)
def test_labels_survive_a_finer_grid_and_the_way_back(factors, seed):
    labels = np.random.default_rng(seed).integers(0, 4, SHAPE).astype(np.int32)
    grid = Grid(shape=SHAPE, affine=AFFINE)
    finer = grid.with_spacing(tuple(np.array(grid.spacing_mm) / factors))
    there = resample_labels(labels, AFFINE, finer)
    np.testing.assert_array_equal(resample_labels(there, finer.affine, grid), labels)
    for label in range(1, 4):
        assert np.count_nonzero(there == label) == np.count_nonzero(labels == label) * np.prod(
            factors
        )
