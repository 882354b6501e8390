import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from breastseg.core.errors import GeometryError
from breastseg.core.network_recipe import UNetSpec
from breastseg.core.recipe import Recipe, parse_recipe
from breastseg.networks.anisotropy import SMALLEST_SIDE, fitted_to_voxels

BASE = UNetSpec(
    channels=(8, 16, 24, 32, 40),
    convolutions=(1, 1, 2, 2, 2),
    norm="group",
    dropout=(0.1, 0.2, 0.3, 0.4),
)


def test_cubes_are_halved_along_every_axis():
    spec = fitted_to_voxels(BASE, (1, 1, 1), (64, 64, 64))
    assert spec.kernels == ((3, 3, 3),) * 5
    assert spec.strides == ((2, 2, 2),) * 4
    assert (spec.dimensions, spec.stride) == (3, (16, 16, 16))


def test_thick_slices_wait_until_the_plane_is_as_coarse():
    """5 mm beside 0.8, 1.6, 3.2 and 6.4 mm: below twice the finest from 3.2 mm on."""
    spec = fitted_to_voxels(BASE, (5, 0.8, 0.8), (32, 192, 192))
    assert spec.kernels == ((1, 3, 3), (1, 3, 3), (3, 3, 3), (3, 3, 3), (3, 3, 3))
    assert spec.strides == ((1, 2, 2), (1, 2, 2), (2, 2, 2), (2, 2, 2))
    assert spec.stride == (4, 16, 16)


def test_exactly_twice_as_coarse_is_much_coarser():
    assert fitted_to_voxels(BASE, (2, 1, 1), (64, 64, 64)).strides[0] == (1, 2, 2)
    assert fitted_to_voxels(BASE, (1.99, 1, 1), (64, 64, 64)).strides[0] == (2, 2, 2)


def test_a_short_axis_is_looked_along_but_not_halved():
    spec = fitted_to_voxels(BASE, (1, 1, 1), (SMALLEST_SIDE, 64, 64))
    assert spec.strides == ((1, 2, 2),) * 4
    assert spec.kernels == ((3, 3, 3),) * 5


def test_a_short_fine_axis_does_not_keep_the_others_from_being_halved():
    spec = fitted_to_voxels(BASE, (0.2, 1, 1), (4, 64, 64))
    assert spec.strides == ((1, 2, 2),) * 4
    assert spec.kernels == ((3, 3, 3),) * 5


def test_levels_that_the_shape_cannot_bear_are_left_out_with_all_that_is_theirs():
    spec = fitted_to_voxels(BASE, (1, 1, 1), (16, 16, 16))
    assert spec.channels == (8, 16, 24)
    assert spec.convolutions == (1, 1, 2)
    assert spec.dropout == (0.1, 0.2)
    assert spec.norm == "group"
    assert spec.strides == ((2, 2, 2),) * 2


def test_images_have_spacings_too():
    spec = fitted_to_voxels(UNetSpec(channels=(4, 8, 8)), (0.3, 0.1), (32, 128))
    assert spec.kernels == ((1, 3), (3, 3), (3, 3))
    assert spec.strides == ((1, 2), (2, 2))
    assert spec.dimensions == 2


@given(
    spacing=st.tuples(*[st.floats(0.1, 10)] * 3),
    shape=st.tuples(*[st.integers(8, 300)] * 3),
)
@settings(deadline=None, max_examples=100)
def test_every_level_is_halved_evenly_and_the_latent_one_keeps_its_size(spacing, shape):
    spec = fitted_to_voxels(BASE, spacing, shape)
    for side, stride in zip(shape, spec.stride, strict=True):
        assert side // stride >= min(side, SMALLEST_SIDE)
    for axis in range(3):
        along = [kernel[axis] for kernel in spec.kernels]
        assert along == sorted(along)
    scaled = fitted_to_voxels(BASE, [2 * each for each in spacing], shape)
    assert scaled == spec  # the unit makes no difference


def test_a_recipe_keeps_it():
    recipe = Recipe(network=fitted_to_voxels(BASE, (5, 0.8, 0.8), (32, 192, 192)))
    again = parse_recipe(recipe.model_dump(mode="json"), source="here")
    assert again == recipe
    assert again.fingerprint() == recipe.fingerprint()


@pytest.mark.parametrize(
    ("spacing", "shape", "message"),
    [
        ((1, 1), (8, 8, 8), r"must both be \(slice, row, column\)"),
        ((1,), (8,), r"must both be"),
        ((0, 1, 1), (8, 8, 8), r"above 0 and finite, got \(0, 1, 1\)"),
        ((1, float("nan"), 1), (8, 8, 8), r"above 0 and finite"),
        ((1, 1, 1), (7, 7, 7), r"shape \(7, 7, 7\): .* 8 voxels or more"),
    ],
)
def test_what_is_no_grid_is_refused(spacing, shape, message):
    with pytest.raises(GeometryError, match=message):
        fitted_to_voxels(BASE, spacing, shape)
