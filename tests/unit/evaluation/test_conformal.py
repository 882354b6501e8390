"""The guarantee itself is tested by drawing many calibrations; every seed is fixed."""

import numpy as np
import pytest
from scipy.stats import beta

from breastseg.core.calibration import Calibration, ConformalThreshold
from breastseg.core.errors import GeometryError, InputError
from breastseg.evaluation.conformal import (
    ConformalScore,
    conformal_score,
    fewest_groups,
    inner_score,
    inner_threshold,
    outer_score,
    outer_threshold,
    rank,
)
from breastseg.evaluation.coverage import coverage, score_bounds


def row(*values, dtype=np.float32):
    return np.array([[values]], dtype)


def mask(*values):
    return row(*values, dtype=bool)


def scores_of(outer, groups=None, inner=None):
    inner = outer if inner is None else inner
    groups = range(len(outer)) if groups is None else groups
    return [
        ConformalScore(group=group, outer=each, inner=other)
        for group, each, other in zip(groups, outer, inner, strict=True)
    ]


# Scores of one image


def test_the_outer_score_is_the_highest_threshold_that_misses_a_tenth():
    probability = row(*np.linspace(0.1, 1, 10), 0.95)
    reference = mask(*[True] * 10, False)
    assert outer_score(probability, reference) == pytest.approx(0.2)
    assert outer_score(probability, reference, tolerance=0.0) == pytest.approx(0.1)
    # Of 9 pixels a tenth is none.
    assert outer_score(probability, mask(*[True] * 9, False, False)) == pytest.approx(0.1)


def test_no_pixel_of_the_tolerance_is_lost_by_rounding():
    # 1 - 0.9 times 30 is a little below 3, and 0.29 times 100 a little below 29.
    probability = row(*np.arange(1, 31) / 100)
    assert outer_score(probability, np.ones((1, 1, 30), bool), tolerance=1 - 0.9) == (
        pytest.approx(0.04)
    )
    probability = row(*np.arange(100, 0, -1) / 100)
    reference = mask(*[True] * 71, *[False] * 29)
    assert inner_score(probability, reference, tolerance=0.29) == 0


def test_a_lesion_that_the_model_misses_altogether_has_a_score_near_zero():
    reference = mask(True, False)
    assert outer_score(row(1e-9, 0.9), reference) == pytest.approx(1e-9)
    assert outer_score(row(0, 0.9), reference) == 0
    assert inner_score(row(0, 0.9), reference) == pytest.approx(0.9)


def test_without_a_lesion_there_is_no_outer_score_and_the_inner_one_is_the_highest_probability():
    probability, nothing = row(0.2, 0.7, 0.3), mask(False, False, False)
    assert outer_score(probability, nothing) is None
    assert inner_score(probability, nothing) == pytest.approx(0.7)


def test_the_inner_score_is_where_the_mask_stops_being_lesion():
    probability = row(*np.linspace(1, 0.1, 10))
    assert inner_score(probability, mask(*[True] * 9, False)) == 0
    assert inner_score(probability, mask(*[True] * 8, False, False)) == pytest.approx(0.2)
    assert inner_score(probability, mask(*[True] * 8, False, False), tolerance=0.2) == 0


def test_the_inner_score_looks_for_the_last_fault_though_lower_masks_may_be_right_again():
    # At 0.9 one of one pixel is wrong; at 0.5 one of twelve, which is tolerated.
    probability = row(0.9, *[0.5] * 11)
    assert inner_score(probability, mask(False, *[True] * 11)) == pytest.approx(0.9)


def test_pixels_of_one_probability_are_taken_together():
    probability, reference = row(0.8, 0.8, 0.8, 0.1), mask(False, True, True, False)
    assert inner_score(probability, reference, tolerance=0.34) == pytest.approx(0.1)
    assert inner_score(probability, reference, tolerance=0.3) == pytest.approx(0.8)
    assert outer_score(probability, reference) == pytest.approx(0.8)


def test_a_certain_mistake_allows_the_empty_inner_mask_alone():
    threshold = inner_score(row(1, 0.5), mask(False, True))
    assert threshold == 1
    guarantee = ConformalThreshold(threshold=threshold, alpha=0.5, tolerance=0.1, num_groups=1)
    assert not Calibration(inner=guarantee).bounds(row(1, 1)).inner.any()


@pytest.mark.parametrize("seed", range(20))
def test_scores_are_the_edge_between_right_and_wrong_masks(seed):
    rng = np.random.default_rng(seed)
    probability = np.float32(rng.integers(0, 12, (1, 6, 7)) / 11)
    reference = rng.random(probability.shape) < probability
    score = conformal_score(probability, reference, group="a", tolerance=0.2)
    for threshold in np.unique(probability):
        if score.outer is not None:
            outer = probability >= threshold
            missed = (reference & ~outer).sum() / reference.sum()
            assert (missed <= 0.2 + 1e-9) == (threshold <= np.float32(score.outer))
        inner = probability > threshold
        if threshold >= np.float32(score.inner):
            assert (inner & ~reference).sum() <= 0.2 * inner.sum() + 1e-9
    if score.inner > 0:
        wrong = probability >= np.float32(score.inner)
        assert (wrong & ~reference).sum() > 0.2 * wrong.sum()


def test_refuses_what_is_no_probability_of_this_image():
    with pytest.raises(GeometryError, match="shape"):
        outer_score(row(0.5), mask(True, False))
    with pytest.raises(InputError, match="finite"):
        inner_score(row(np.nan), mask(True))
    with pytest.raises(InputError, match="boolean"):
        outer_score(row(0.5), row(1.0))


# The rank and what it means


@pytest.mark.parametrize("alpha", [0.05, 0.1, 0.2, 0.3, 0.5])
def test_the_guarantee_begins_where_there_are_groups_enough(alpha):
    fewest = fewest_groups(alpha)
    assert rank(fewest - 1, alpha) == 0
    assert rank(fewest, alpha) == 1


@pytest.mark.parametrize("num_groups", [9, 29, 49, 69, 99, 999])
def test_the_rank_is_not_lost_by_rounding(num_groups):
    assert rank(num_groups, 0.1) == (num_groups + 1) // 10
    assert rank(num_groups, 1 - 0.9) == (num_groups + 1) // 10


def test_too_few_groups_give_no_threshold():
    eight = outer_threshold(scores_of([0.5] * 8))
    assert (eight.threshold, eight.num_groups) == (None, 8)
    assert inner_threshold([]).threshold is None
    with pytest.raises(InputError, match=r"8 groups are too few for alpha 0.1, which needs 9"):
        coverage([("a", True)], eight)


def test_the_threshold_is_the_worst_of_nine_and_the_second_worst_of_nineteen():
    values = (np.arange(19) / 20).tolist()
    assert outer_threshold(scores_of(values[:9])).threshold == values[0]
    assert outer_threshold(scores_of(values)).threshold == values[1]
    assert inner_threshold(scores_of(values)).threshold == values[-2]


def test_a_group_counts_once_with_its_worst_image():
    many = scores_of([0.9, 0.2, 0.8] * 9, groups=[number // 3 for number in range(27)])
    found = outer_threshold(many), inner_threshold(many)
    assert [each.num_groups for each in found] == [9, 9]
    assert [each.threshold for each in found] == [0.2, 0.9]


def test_groups_without_a_lesion_count_for_the_inner_mask_alone():
    scores = scores_of([0.5] * 9 + [None] * 3, inner=[0.1] * 9 + [0.99] * 3)
    assert outer_threshold(scores).num_groups == 9
    assert inner_threshold(scores).num_groups == 12
    assert inner_threshold(scores).threshold == 0.99


def test_lesions_that_are_missed_pull_the_threshold_down_to_abstention():
    probability = np.full((1, 10, 10), 0.01, np.float32)
    scores = scores_of([0.9] * 17 + [0.001] * 2)
    calibration = Calibration(outer=outer_threshold(scores))
    assert calibration.bounds(probability).abstains
    assert (
        not Calibration(outer=outer_threshold(scores_of([0.9] * 19))).bounds(probability).abstains
    )


# Simulations


def simulated(rng, repeats, num_groups, *, shift=0.0):
    """Draw continuous scores of groups: repeats x groups."""
    return 1 / (1 + np.exp(-rng.normal(1 - shift, 1.5, (repeats, num_groups))))


def covered(calibration, new, alpha=0.1):
    """Return the share of new groups that hold, for each repeat."""
    thresholds = [outer_threshold(scores_of(row), alpha=alpha).threshold for row in calibration]
    return (new >= np.array(thresholds)[:, None]).mean(axis=1)


@pytest.mark.parametrize(("num_groups", "alpha"), [(9, 0.1), (27, 0.1), (60, 0.1), (45, 0.25)])
def test_exchangeable_groups_are_covered_as_promised(num_groups, alpha):
    rng = np.random.default_rng(0)
    shares = covered(simulated(rng, 2000, num_groups), simulated(rng, 2000, 200), alpha)
    exact = 1 - rank(num_groups, alpha) / (num_groups + 1)
    error = shares.std() / np.sqrt(len(shares))
    assert exact >= 1 - alpha
    assert shares.mean() == pytest.approx(exact, abs=4 * error)
    assert 4 * error < 0.01


def test_the_coverage_of_one_calibration_follows_the_beta_law():
    rng = np.random.default_rng(1)
    shares = covered(simulated(rng, 2000, 60), simulated(rng, 2000, 2000))
    law = beta(61 - 6, 6)
    found = np.quantile(shares, [0.05, 0.5, 0.95])
    assert found == pytest.approx(law.ppf([0.05, 0.5, 0.95]), abs=0.012)


def test_the_check_of_the_coverage_ends_within_what_it_says_to_expect():
    rng = np.random.default_rng(2)
    calibration, new = simulated(rng, 500, 60), simulated(rng, 500, 80)
    inside = unlucky = 0
    for ours, theirs in zip(calibration, new, strict=True):
        guarantee = outer_threshold(scores_of(ours))
        checked = coverage(enumerate(theirs >= guarantee.threshold), guarantee)
        inside += checked.expected.low <= checked.share <= checked.expected.high
        unlucky += checked.luck <= 0.05
    assert inside / 500 == pytest.approx(0.96, abs=0.025)
    assert unlucky / 500 <= 0.07


def test_under_a_shift_the_guarantee_fails_and_the_check_says_that_it_is_no_bad_luck():
    """Exchangeability is an assumption: here the new scanner makes lesions fainter."""
    rng = np.random.default_rng(3)
    calibration, new = simulated(rng, 500, 60), simulated(rng, 500, 200, shift=1.5)
    assert covered(calibration, new).mean() < 0.7
    guarantee = outer_threshold(scores_of(calibration[0]))
    checked = coverage(enumerate(new[0] >= guarantee.threshold), guarantee)
    assert checked.luck < 1e-3
    assert checked.share < checked.expected.low


def patients_with_images(rng, num_patients, *, images=30):
    """Draw scores (patient, image) that differ little within a patient."""
    patient = rng.normal(size=(num_patients, 1))
    return 1 / (1 + np.exp(-patient - 0.1 * rng.normal(size=(num_patients, images))))


@pytest.mark.parametrize(("num_patients", "naive_share"), [(5, 0.83), (14, 0.865)])
def test_one_score_per_image_would_break_it_where_images_of_a_patient_are_alike(
    num_patients, naive_share
):
    """Five patients with 30 images each are five draws, not 150."""
    rng = np.random.default_rng(4)
    groups = np.repeat(np.arange(num_patients), 30).tolist()
    by_group, by_image = [], []
    for _ in range(800):
        calibration = patients_with_images(rng, num_patients).ravel().tolist()
        new = patients_with_images(rng, 20)
        honest = outer_threshold(scores_of(calibration, groups)).threshold
        naive = outer_threshold(scores_of(calibration)).threshold
        by_group.append(None if honest is None else (new.min(axis=1) >= honest).mean())
        by_image.append((new >= naive).mean())
    # Even counted by image, which is what one score per image would promise.
    assert np.mean(by_image) == pytest.approx(naive_share, abs=0.015)
    if num_patients < fewest_groups(0.1):
        assert set(by_group) == {None}
    else:
        assert np.mean(by_group) >= 0.9


def test_groups_larger_than_those_of_the_calibration_are_covered_less_and_their_images_alike():
    """What a split does that gives large groups to the test part alone."""
    rng = np.random.default_rng(7)
    by_group, by_image = [], []
    for _ in range(400):
        patient = rng.normal(size=(300, 1))
        values = 1 / (1 + np.exp(-patient - rng.normal(size=(300, 5))))
        guarantee = outer_threshold(scores_of(values[:99, 0].tolist()))
        holds = values[99:] >= guarantee.threshold
        by_group.append(holds.all(axis=1).mean())
        by_image.append(holds.mean())
    assert np.mean(by_image) == pytest.approx(0.9, abs=0.01)
    assert np.mean(by_group) < 0.8


@pytest.mark.parametrize("levels", [1, 2, 4])
def test_ties_cover_more_never_less(levels):
    rng = np.random.default_rng(5)
    calibration, new = (np.floor(simulated(rng, 500, 30) * levels) / levels for _ in range(2))
    assert covered(calibration, new).mean() >= 0.9


def blurred_disc(rng, *, has_lesion=True, faint=0.0):
    """Return a probability map and a lesion whose border the model knows only roughly."""
    grid = np.indices((24, 24)) - rng.uniform(8, 16, (2, 1, 1))
    distance = np.hypot(*grid)
    radius = rng.uniform(3, 6)
    height = rng.normal(2.0 - faint, 1.5)
    x = (radius * rng.lognormal(0, 0.2) - distance) * rng.uniform(0.5, 2) + height
    probability = np.float32(1 / (1 + np.exp(-x)))[None]
    return probability, (distance < radius)[None] & has_lesion


def test_masks_of_whole_images_hold_as_promised_with_and_without_lesion():
    rng = np.random.default_rng(6)
    outer, inner = [], []
    for _ in range(60):
        scores = [
            conformal_score(*blurred_disc(rng, has_lesion=number % 5 > 0), group=number)
            for number in range(40)
        ]
        calibration = Calibration(outer=outer_threshold(scores), inner=inner_threshold(scores))
        for number in range(20):
            probability, reference = blurred_disc(rng, has_lesion=number % 5 > 0)
            found = score_bounds(
                calibration.bounds(probability), reference, case_id="", group=number
            )
            outer.append(found.outer_holds)
            inner.append(found.inner_holds)
    outer = [holds for holds in outer if holds is not None]
    assert len(outer) == 60 * 16
    # Twice the standard error of the mean of sixty calibrations.
    assert 0.9 - 0.015 <= np.mean(outer) <= 0.97
    assert np.mean(inner) >= 0.9 - 0.015
