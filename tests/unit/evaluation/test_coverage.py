import json
from dataclasses import asdict

import numpy as np
import pytest

from breastseg.core.calibration import Bounds, Calibration, ConformalThreshold
from breastseg.core.errors import InputError
from breastseg.evaluation.coverage import BoundsScore, check_bounds, coverage, score_bounds


def mask(*values):
    return np.array([[values]], bool)


def test_the_masks_are_judged_by_what_a_reader_drew():
    reference = mask(True, True, False, False)
    bounds = Bounds(
        outer=mask(True, False, True, False),
        inner=mask(True, False, False, False),
        outer_share=0.5,
        abstains=False,
    )
    found = score_bounds(bounds, reference, case_id="case", group="a")
    assert (found.missed, found.outer_holds) == (0.5, False)
    assert (found.outside, found.inner_holds, found.inner_is_empty) == (0.0, True, False)
    found = score_bounds(bounds, ~reference, case_id="case", group="a", tolerance=0.5)
    assert (found.missed, found.outer_holds) == (0.5, True)
    assert (found.outside, found.inner_holds) == (1.0, False)


def test_an_empty_inner_mask_holds_and_a_lesion_free_image_says_nothing_of_the_outer_one():
    nothing = mask(False, False)
    bounds = Bounds(outer=~nothing, inner=nothing, outer_share=1.0, abstains=True)
    found = score_bounds(bounds, nothing, case_id="normal", group="a")
    assert (found.outer_holds, found.missed) == (None, None)
    assert (found.inner_holds, found.outside, found.inner_is_empty) == (True, None, True)
    without = Bounds(outer=None, inner=None, outer_share=None, abstains=False)
    found = score_bounds(without, ~nothing, case_id="normal", group="a")
    assert found.outer_holds is found.inner_holds is found.inner_is_empty is None


def test_a_group_is_held_where_all_its_images_are():
    guarantee = ConformalThreshold(threshold=0.5, alpha=0.1, tolerance=0.1, num_groups=19)
    outcomes = [("a", True), ("a", False), ("b", True), ("c", None), ("d", True)]
    found = coverage(outcomes, guarantee)
    assert (found.num_groups, found.num_held, found.promised) == (3, 2, 0.9)
    assert found.interval.low < found.share < found.interval.high
    assert found.expected.high == 1
    assert 0 < found.luck < 1


@pytest.mark.parametrize(("num_groups", "alpha"), [(9, 0.1), (19, 0.1), (3, 0.5)])
def test_luck_worked_by_hand(num_groups, alpha):
    guarantee = ConformalThreshold(threshold=0.5, alpha=alpha, tolerance=0.1, num_groups=num_groups)
    # One new group ranks anywhere among the others with the same chance: it fails in alpha of all.
    one = coverage([("a", False)], guarantee)
    assert one.luck == pytest.approx(alpha)
    # Two new groups both rank below the k-th worst of n in k (k + 1) of (n + 1)(n + 2) orders.
    k = round((num_groups + 1) * alpha)
    two = coverage([("a", False), ("b", False)], guarantee)
    assert two.luck == pytest.approx(k * (k + 1) / ((num_groups + 1) * (num_groups + 2)))
    assert coverage([("a", True)], guarantee).luck == pytest.approx(1)


def test_nothing_to_check_is_none():
    guarantee = ConformalThreshold(threshold=0.5, alpha=0.1, tolerance=0.1, num_groups=19)
    found = coverage([("a", None)], guarantee)
    assert found.share is found.interval is found.expected is found.luck is None


def test_there_is_nothing_to_check_without_a_guarantee():
    none = ConformalThreshold(threshold=None, alpha=0.1, tolerance=0.1, num_groups=8)
    with pytest.raises(InputError, match=r"8 groups are too few for alpha 0.1, which needs 9"):
        coverage([("a", True)], none)


def score(group, *, lesion=True, outer=True, inner=True, empty=False, abstains=False):
    return BoundsScore(
        case_id=group,
        group=group,
        has_lesion=lesion,
        outer_holds=outer if lesion else None,
        inner_holds=inner,
        missed=None,
        outside=None,
        outer_share=0.8 if abstains else 0.2,
        inner_is_empty=empty,
        abstains=abstains,
    )


def test_the_check_counts_groups_images_and_what_holds_trivially():
    guarantee = ConformalThreshold(threshold=0.5, alpha=0.1, tolerance=0.1, num_groups=19)
    scores = [
        score("a"),
        score("a", outer=False),
        score("b", abstains=True, empty=True),
        score("c", lesion=False, inner=False),
        score("d", lesion=False, empty=True),
    ]
    found = check_bounds(scores, Calibration(outer=guarantee, inner=guarantee))
    assert (found.outer.num_held, found.outer.num_groups) == (1, 2)
    assert (found.inner.num_held, found.inner.num_groups) == (3, 4)
    without = found.inner_without_lesion
    assert (without.num_held, without.num_groups) == (1, 2)
    assert (found.num_images, found.num_lesion_images) == (5, 3)
    assert (found.num_abstained, found.num_shown_and_missed, found.num_inner_empty) == (1, 1, 2)
    assert found.median_outer_share == pytest.approx(0.2)
    json.dumps(asdict(found), allow_nan=False)


def test_a_run_without_guarantees_has_nothing_checked():
    found = check_bounds([], Calibration())
    assert found.outer is found.inner is found.inner_without_lesion is None
    assert found.median_outer_share is None
