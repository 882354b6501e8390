"""Which pixels a contour encloses: counted by hand, not by another rasteriser."""

import numpy as np
import pytest

from breastseg.io.contours import CrossingError, between, combine, enclosed


def box(top: float, left: float, bottom: float, right: float) -> np.ndarray:
    return np.array([(top, left), (top, right), (bottom, right), (bottom, left)], float)


def test_a_pixel_is_in_where_its_centre_is() -> None:
    plane = enclosed(box(1.4, 2.4, 3.6, 4.6), (8, 8))
    # Centres 2 and 3 of the rows, 3 and 4 of the columns.
    assert np.argwhere(plane).tolist() == [[2, 3], [2, 4], [3, 3], [3, 4]]


def test_corners_are_taken_exactly_and_not_rounded_to_pixels() -> None:
    # Rounding would take the corners 0.4 and 3.4 to 0 and 3: four rows instead of three.
    assert np.count_nonzero(enclosed(box(0.4, 0.4, 3.4, 3.4), (8, 8))) == 9
    assert np.count_nonzero(enclosed(box(0.6, 0.6, 3.6, 3.6), (8, 8))) == 9
    assert np.count_nonzero(enclosed(box(0.4, 0.4, 3.6, 3.6), (8, 8))) == 9


def test_a_contour_smaller_than_a_pixel_may_enclose_none() -> None:
    assert not enclosed(box(2.1, 2.1, 2.9, 2.9), (8, 8)).any()


def test_what_lies_outside_the_image_is_cut_off() -> None:
    plane = enclosed(box(-5.5, 5.5, 2.5, 20.5), (8, 8))
    assert np.argwhere(plane).tolist() == [[r, c] for r in range(3) for c in (6, 7)]
    assert not enclosed(box(-9, -9, -2, -2), (8, 8)).any()


def test_neighbours_with_a_common_edge_through_pixel_centres_share_no_pixel() -> None:
    left, right = enclosed(box(0, 0, 6, 4), (10, 10)), enclosed(box(0, 4, 6, 8), (10, 10))
    assert not (left & right).any()
    assert np.count_nonzero(left | right) == np.count_nonzero(enclosed(box(0, 0, 6, 8), (10, 10)))


def test_a_keyhole_leaves_its_hole_out_even_where_the_channel_runs_through_centres() -> None:
    outer = [(0.5, 0.5), (0.5, 20.5), (20.5, 20.5), (20.5, 10)]
    inner = [(15.5, 10), (15.5, 15.5), (5.5, 15.5), (5.5, 5.5), (15.5, 5.5), (15.5, 10)]
    plane = enclosed(np.array([*outer, *inner, (20.5, 10), (20.5, 0.5)]), (30, 30))
    assert np.count_nonzero(plane) == 20 * 20 - 10 * 10


def planes(*boxes: tuple[float, float, float, float]) -> list[np.ndarray]:
    return [enclosed(box(*each), (30, 30)) for each in boxes]


def test_a_contour_inside_another_is_a_hole_and_inside_that_an_island() -> None:
    nested = planes((0.5, 0.5, 20.5, 20.5), (4.5, 4.5, 14.5, 14.5), (6.5, 6.5, 9.5, 9.5))
    assert np.count_nonzero(combine(nested, exclusive=False)) == 400 - 100 + 9


def test_contours_side_by_side_are_joined() -> None:
    assert (
        np.count_nonzero(
            combine(planes((0.5, 0.5, 4.5, 4.5), (9.5, 9.5, 11.5, 11.5)), exclusive=False)
        )
        == 20
    )


def test_a_contour_that_is_there_twice_counts_once() -> None:
    twice = planes((0.5, 0.5, 4.5, 4.5), (0.5, 0.5, 4.5, 4.5))
    assert np.count_nonzero(combine(twice, exclusive=False)) == 16


def test_an_exclusive_or_takes_contours_as_they_are() -> None:
    twice = planes((0.5, 0.5, 4.5, 4.5), (0.5, 0.5, 4.5, 4.5))
    assert not combine(twice, exclusive=True).any()
    crossing = planes((0.5, 0.5, 4.5, 4.5), (2.5, 0.5, 6.5, 4.5))
    assert np.count_nonzero(combine(crossing, exclusive=True)) == 16 + 16 - 2 * 8


def test_contours_that_cross_are_no_hole_and_no_island() -> None:
    with pytest.raises(CrossingError, match="50% of the smaller contour"):
        combine(planes((0.5, 0.5, 4.5, 4.5), (2.5, 0.5, 6.5, 4.5)), exclusive=False)


def test_a_slice_between_two_discs_has_a_radius_between_theirs() -> None:
    rows, columns = np.indices((41, 41)) - 20
    distance = np.hypot(rows, columns)
    middle = between(distance <= 6, distance <= 12, 0.5)
    assert np.count_nonzero(middle) == pytest.approx(np.pi * 9**2, rel=0.06)
    nearly = between(distance <= 6, distance <= 12, 0.01)
    assert np.count_nonzero(nearly) == pytest.approx(np.count_nonzero(distance <= 6), rel=0.1)
