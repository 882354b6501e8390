import numpy as np
import pytest

from breastseg.core.errors import GeometryError
from breastseg.evaluation.surface import hausdorff_95, unit_of


def test_where_the_lesions_lie_in_the_image_makes_no_difference():
    pairs = []
    for row, column in ((0, 0), (60, 33)):
        first, second = np.zeros((2, 1, 100, 100), bool)
        first[0, row + 10 : row + 20, column + 10 : column + 25] = True
        second[0, row + 12 : row + 26, column + 8 : column + 22] = True
        pairs.append(hausdorff_95(first, second))
    assert pairs[0] == pairs[1]


def test_a_single_stray_pixel_among_many_does_not_decide_it():
    reference = np.zeros((1, 200, 200), bool)
    reference[0, 50:90, 50:90] = True
    mask = reference.copy()
    mask[0, 190, 190] = True
    assert hausdorff_95(mask, reference).value == 0.0


def test_the_unit_is_said():
    assert unit_of(None) == "px"
    assert unit_of((1.0, 0.1, 0.1)) == "mm"


def test_masks_of_another_shape_are_refused():
    with pytest.raises(GeometryError, match=r"\(1, 4, 5\)"):
        hausdorff_95(np.ones((1, 5, 4), bool), np.ones((1, 4, 5), bool))


def test_a_strided_view_is_measured_like_its_copy():
    mask = np.zeros((1, 20, 20), bool)
    mask[0, 4:9, 4:9] = True
    view = np.zeros((1, 40, 40), bool)
    view[:, ::2, ::2] = mask
    reference = np.roll(mask, 3, axis=2)
    assert hausdorff_95(view[:, ::2, ::2], reference) == hausdorff_95(mask, reference)
