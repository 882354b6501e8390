from itertools import permutations, product

import numpy as np
import pytest

from breastseg.core.errors import GeometryError
from breastseg.core.orientation import anatomy_of, direction_letters, require_right_angles
from tests.made_series import affine_of


@pytest.mark.parametrize(
    ("directions", "letters"),
    [
        (((0, 0, 1), (0, 1, 0), (1, 0, 0)), "supine, as scanners store it"),
        (((0, 0, -1), (0, -1, 0), (-1, 0, 0)), "prone, feet first"),
        (((0, 1, 0), (0, 0, -1), (1, 0, 0)), "coronal"),
        (((1, 0, 0), (0, 0, -1), (0, 1, 0)), "sagittal"),
    ],
)
def test_a_mark_is_found_at_its_place_in_the_patient_however_the_array_lies(directions, letters):
    affine = affine_of(spacing_mm=(1, 1, 1), directions=directions, origin=(0, 0, 0))
    array = np.zeros((4, 5, 6))
    array[3, 1, 2] = 1
    turned = anatomy_of(affine).to_lps(array)
    indices = np.argwhere(np.ones(array.shape)) @ affine[:3, :3].T
    place = affine[:3, :3] @ [3, 1, 2] - indices.min(axis=0)
    assert np.argwhere(turned)[0].tolist() == place[::-1].astype(int).tolist(), letters


def test_all_48_orientations_give_the_same_picture():
    reference = np.arange(2 * 3 * 4).reshape(2, 3, 4)
    base = affine_of(spacing_mm=(1, 1, 1), origin=(0, 0, 0))
    seen = 0
    for order in permutations(range(3)):
        for flips in product((1, -1), repeat=3):
            stored = np.transpose(reference, order)[tuple(slice(None, None, f) for f in flips)]
            affine = base.copy()
            affine[:3, :3] = base[:3, list(order)] * flips
            np.testing.assert_array_equal(anatomy_of(affine).to_lps(stored), reference)
            seen += 1
    assert seen == 48


def test_letters_name_the_strongest_direction_first_and_leave_out_a_small_tilt():
    assert direction_letters(np.array([0.0, 0.0, -3.0])) == "F"
    assert direction_letters(np.array([-1.0, 0.2, 0.0])) == "R"
    assert direction_letters(np.array([-1.0, 0.4, 0.0])) == "RP"
    assert direction_letters(np.array([0.5, -0.6, 0.7])) == "HAL"


@pytest.mark.parametrize("broken", ["tilt", "flat", "nan"])
def test_refuses_grids_on_which_lengths_have_no_meaning(broken):
    affine = affine_of()
    if broken == "tilt":
        affine[1, 0] = 0.2
    else:
        affine[:3, 2] = 0 if broken == "flat" else np.nan
    with pytest.raises(GeometryError):
        require_right_angles(affine)


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1)])
@pytest.mark.parametrize("signs", [(1, 1, 1), (-1, 1, -1)])
def test_the_turned_view_lies_where_the_array_lies(order, signs):
    shape = (3, 4, 5)
    affine = np.eye(4)
    affine[:3, :3] = (np.eye(3) * [2.0, 0.5, 0.7] * signs)[:, order]
    affine[:3, 3] = [7, -3, 11]
    anatomy = anatomy_of(affine)
    turned = anatomy.affine_to_lps(affine, shape)
    places = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), axis=-1)
    world = places @ affine[:3, :3].T + affine[:3, 3]
    for axis in range(3):
        view = anatomy.to_lps(world[..., axis])
        indices = np.stack(np.meshgrid(*map(np.arange, view.shape), indexing="ij"), axis=-1)
        assert np.allclose(view, (indices @ turned[:3, :3].T + turned[:3, 3])[..., axis])
