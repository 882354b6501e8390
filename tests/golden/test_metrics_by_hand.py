"""Metric values worked out with pencil and paper."""

import numpy as np
import pytest

from breastseg.evaluation.overlap import dice, iou, pixel_accuracy, precision, recall
from breastseg.evaluation.surface import (
    Distance,
    SizeError,
    Tolerance,
    hausdorff_95,
    score_surfaces,
    size_error,
)


def mask_of(*lines: str) -> np.ndarray:
    return np.array([[[mark == "#" for mark in line] for line in lines]])


# 6 pixels drawn, 4 marked, 3 of them shared, 20 in all: 1 false, 3 missed, 13 rightly empty.
REFERENCE = mask_of("#....", "#....", "##...", "##...")
MASK = mask_of(".....", "#....", "#.#..", "#....")
EMPTY = np.zeros_like(MASK)


@pytest.mark.parametrize(
    ("figure", "expected"),
    [(dice, 6 / 10), (iou, 3 / 7), (precision, 3 / 4), (recall, 3 / 6), (pixel_accuracy, 16 / 20)],
)
def test_overlap(figure, expected):
    assert figure(MASK, REFERENCE) == pytest.approx(expected, abs=1e-15)


@pytest.mark.parametrize(
    ("figure", "nothing_marked", "false_alarm", "rightly_silent"),
    [
        (dice, 0.0, None, None),
        (iou, 0.0, None, None),
        (precision, None, None, None),
        (recall, 0.0, None, None),
        (pixel_accuracy, 14 / 20, 16 / 20, 1.0),
    ],
)
def test_overlap_with_an_empty_side(figure, nothing_marked, false_alarm, rightly_silent):
    assert figure(EMPTY, REFERENCE) == nothing_marked
    assert figure(MASK, EMPTY) == false_alarm
    assert figure(EMPTY, EMPTY) == rightly_silent


def test_hd95_of_two_solid_squares_ignores_their_inside():
    first, second = np.zeros((2, 1, 20, 20), bool)
    first[0, 2:7, 2:7] = True  # 5 x 5, its outline has 16 pixels
    second[0, 2:7, 5:10] = True  # the same, three columns to the right
    # To the second outline: column 2 is 3 away (5 pixels), column 3's two ends 2, column 4's
    # two ends 1, column 5's two ends 0; column 6: its ends 0, its inner three 1. In order:
    # 0 0 0 0 1 1 1 1 1 2 2 3 3 3 3 3; rank 0.95 * 15 = 14.25 lies among the threes.
    assert hausdorff_95(first, second) == Distance(3.0, "px")


def test_hd95_interpolates_between_ranks_and_takes_the_worse_direction():
    first, second = np.zeros((2, 1, 1, 30), bool)
    first[0, 0, 0] = True
    second[0, 0, [0, 10]] = True
    # From the first: one distance, 0. From the second: 0 and 10, rank 0.95 * 1: 9.5.
    assert hausdorff_95(first, second) == Distance(9.5, "px")
    assert hausdorff_95(second, first) == Distance(9.5, "px")


def test_hd95_in_millimetres_follows_the_spacing_of_each_axis():
    first, second = np.zeros((2, 4, 10, 10), bool)
    first[0, 0, 0] = True
    second[2, 3, 4] = True
    spacing = (2.0, 1.0, 0.5)
    # 2 slices of 2 mm, 3 rows of 1 mm, 4 columns of 0.5 mm: sqrt(16 + 9 + 4).
    distance = hausdorff_95(first, second, spacing_mm=spacing)
    assert distance is not None
    assert distance.unit == "mm"
    assert distance.value == pytest.approx(29**0.5, abs=1e-12)


def test_a_slice_alone_is_an_image_and_a_slab_of_slices_has_surfaces_inside():
    image = np.zeros((1, 9, 9), bool)
    image[0, 1:8, 1:8] = True
    centre = np.zeros((1, 9, 9), bool)
    centre[0, 4, 4] = True
    # The outline's 24 pixels are 3 (4 of them) to 3 sqrt(2) (4 corners) away from the centre.
    flat = hausdorff_95(image, centre)
    assert flat is not None
    assert flat.value == pytest.approx(3 * 2**0.5, abs=1e-12)
    two = np.repeat(image, 2, axis=0)
    slab = hausdorff_95(two, np.repeat(centre, 2, axis=0))
    # Both slices are surface all over: 49 pixels each, 95th percentile of the distances to
    # the centre is rank 91.2 of 0 to 97: the eight corners have ranks 90 to 97.
    assert slab is not None
    assert slab.value == pytest.approx(3 * 2**0.5, abs=1e-12)


@pytest.mark.parametrize("pair", [(EMPTY, REFERENCE), (MASK, EMPTY), (EMPTY, EMPTY)])
def test_hd95_is_not_defined_where_one_side_is_empty(pair):
    assert hausdorff_95(*pair) is None


def test_hd_assd_and_nsd_of_two_solid_squares():
    first, second = np.zeros((2, 1, 20, 20), bool)
    first[0, 2:7, 2:7] = True
    second[0, 2:7, 5:10] = True
    # The 16 distances from the first outline, as for HD95 above: 0 0 0 0 1 1 1 1 1 2 2 3 3 3 3
    # 3, which sum to 4 * 0 + 5 * 1 + 2 * 2 + 5 * 3 = 24; by symmetry the same the other way.
    # ASSD: 48 / 32. NSD at 1 px: 9 of 16 on each side; at 2 px 11 of 16; at 0 px 4 of 16.
    found = [
        score_surfaces(first, second, tolerance=Tolerance(mm=1.0, px=px)) for px in (0.0, 1.0, 2.0)
    ]
    assert [scores.nsd for scores in found] == [4 / 16, 9 / 16, 11 / 16]
    assert (found[0].hd, found[0].assd, found[0].unit) == (3.0, 1.5, "px")


def test_assd_weighs_every_surface_pixel_alike_and_not_each_direction():
    first, second = np.zeros((2, 1, 1, 30), bool)
    first[0, 0, 0] = True
    second[0, 0, [0, 10, 20]] = True
    # From the first: 0. From the second: 0, 10, 20. Four distances together: 30 / 4; the mean
    # of the two directed means would be (0 + 10) / 2. HD 20. NSD at 10 px: 3 of 4.
    scores = score_surfaces(first, second, tolerance=Tolerance(mm=1.0, px=10.0))
    assert (scores.hd, scores.assd, scores.nsd) == (20.0, 7.5, 0.75)


def test_figures_of_a_volume_with_thick_slices():
    first, second = np.zeros((2, 5, 4, 4), bool)
    first[1, 2, 2] = second[2, 2, 2] = second[2, 2, 3] = True
    # Slices of 3 mm, pixels of 0.5 x 0.25 mm. From the first: 3. From the second: 3 and
    # sqrt(9 + 1/16) = 3.0104. NSD at 3 mm: 2 of 3. One voxel less of 0.375 mm3: half too small.
    spacing = (3.0, 0.5, 0.25)
    scores = score_surfaces(first, second, tolerance=Tolerance(mm=3.0, px=1.0), spacing_mm=spacing)
    assert scores.hd == pytest.approx(9.0625**0.5, abs=1e-12)
    assert scores.assd == pytest.approx((6 + 9.0625**0.5) / 3, abs=1e-12)
    assert scores.nsd == pytest.approx(2 / 3, abs=1e-12)
    assert scores.size == SizeError(difference=-0.375, relative=-0.5, unit="mm3")


def test_size_error_of_an_image_is_an_area():
    # 4 pixels marked, 6 drawn: 2 too few of 6.
    assert size_error(MASK, REFERENCE) == SizeError(difference=-2.0, relative=-2 / 6, unit="px")
    found = size_error(MASK, REFERENCE, spacing_mm=(9.0, 0.5, 0.25))
    assert found == SizeError(difference=-0.25, relative=-2 / 6, unit="mm2")
    assert size_error(MASK, EMPTY) == SizeError(difference=4.0, relative=None, unit="px")
