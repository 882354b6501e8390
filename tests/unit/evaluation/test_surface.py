import numpy as np
import pytest

from breastseg.core.errors import GeometryError, InputError
from breastseg.evaluation.surface import (
    Tolerance,
    average_surface_distance,
    hausdorff,
    hausdorff_95,
    normalised_surface_dice,
    score_surfaces,
    surface_distances,
    unit_of,
)

TOLERANCE = Tolerance(mm=1.0, px=2.0)


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


def test_empty_masks_have_no_distance_and_a_missed_lesion_has_an_nsd_of_0():
    lesion, empty = np.zeros((2, 1, 9, 9), bool)
    lesion[0, 2:5, 2:6] = True
    found = {
        name: score_surfaces(*pair, tolerance=TOLERANCE)
        for name, pair in {
            "missed": (empty, lesion),
            "alarm": (lesion, empty),
            "silent": (empty, empty),
        }.items()
    }
    for scores in found.values():
        assert (scores.hd, scores.hd95, scores.assd) == (None, None, None)
    assert [scores.nsd for scores in found.values()] == [0.0, None, None]
    assert [scores.size.difference for scores in found.values()] == [-12, 12, 0]
    assert [scores.size.relative for scores in found.values()] == [-1.0, None, None]


def test_the_tolerance_is_that_of_the_images_unit_and_is_said():
    mask, reference = np.zeros((2, 1, 1, 12), bool)
    mask[..., 2], reference[..., 8] = True, True
    pixels = score_surfaces(mask, reference, tolerance=Tolerance(mm=1.0, px=5.0))
    assert (pixels.nsd, pixels.tolerance, pixels.unit) == (0.0, 5.0, "px")
    mm = score_surfaces(
        mask, reference, tolerance=Tolerance(mm=1.0, px=5.0), spacing_mm=(1.0, 0.1, 0.1)
    )
    assert (mm.nsd, mm.tolerance, mm.unit) == (1.0, 1.0, "mm")


def test_a_distance_equal_to_the_tolerance_counts_in_spite_of_rounding():
    mask, reference = np.zeros((2, 1, 1, 9), bool)
    mask[..., 1], reference[..., 4] = True, True
    spacing = (1.0, 0.1, 0.1)
    assert 3 * 0.1 > 0.3
    assert normalised_surface_dice(mask, reference, tolerance=0.3, spacing_mm=spacing) == 1.0
    assert normalised_surface_dice(mask, reference, tolerance=0.299, spacing_mm=spacing) == 0.0


def test_what_touches_the_edge_of_the_image_is_surface():
    full = np.ones((1, 5, 5), bool)
    corner = np.zeros((1, 5, 5), bool)
    corner[0, 0, 0] = True
    # The full image's surface is its frame; the corner belongs to it.
    assert hausdorff(corner, full).value == pytest.approx(4 * 2**0.5)
    assert surface_distances(corner, full).from_mask.tolist() == [0.0]
    assert surface_distances(corner, full).from_reference.size == 16


def test_the_figures_alone_are_those_of_all_together():
    mask, reference = np.zeros((2, 1, 30, 30), bool)
    mask[0, 3:12, 4:20], reference[0, 5:16, 2:17] = True, True
    together = score_surfaces(mask, reference, tolerance=TOLERANCE)
    assert hausdorff(mask, reference).value == together.hd
    assert hausdorff_95(mask, reference).value == together.hd95
    assert average_surface_distance(mask, reference).value == together.assd
    assert normalised_surface_dice(mask, reference, tolerance=2.0) == together.nsd
    assert hausdorff(mask, ~np.ones_like(mask)) is None
    assert average_surface_distance(mask, ~np.ones_like(mask)) is None


@pytest.mark.parametrize("value", [-0.1, float("nan"), float("inf")])
def test_refuses_what_is_no_tolerance(value):
    with pytest.raises(InputError, match="at least 0"):
        Tolerance(mm=value, px=1.0)
    ones = np.ones((1, 2, 2), bool)
    with pytest.raises(InputError, match="at least 0"):
        normalised_surface_dice(ones, ones, tolerance=value)


@pytest.mark.parametrize("spacing", [(1.0, 0.0, 1.0), (1.0, float("nan"), 1.0), (0.5, 0.5)])
def test_refuses_what_is_no_spacing(spacing):
    ones = np.ones((1, 2, 2), bool)
    with pytest.raises(InputError, match="three lengths in mm above 0"):
        hausdorff_95(ones, ones, spacing_mm=spacing)
