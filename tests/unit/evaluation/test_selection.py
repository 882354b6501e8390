import numpy as np
import pytest

from breastseg.core.errors import InputError
from breastseg.evaluation.case_score import CaseScore
from breastseg.evaluation.confidence import difference_of_means, repeats_interval
from breastseg.evaluation.selection import selection_gap


def score(case_id, dice, group=None):
    return CaseScore(
        case_id=case_id,
        group=group or case_id,
        label=None,
        has_lesion=dice is not None,
        num_reference_lesions=1,
        predicted_lesion=True,
        dice=dice,
        iou=None,
        precision=None,
        recall=None,
        hd95=None,
        hd95_unit="px",
        hd=None,
        assd=None,
        nsd=None,
        nsd_tolerance=3.0,
        reference_size=9.0,
        size_difference=0.0,
        size_unit="px",
        size_relative=None,
        pixel_accuracy=1.0,
    )


def test_the_gap_is_validation_minus_test():
    gap = selection_gap(
        [[score("a", 0.9), score("b", 0.7), score("normal", None)]],
        [[score("c", 0.5), score("d", 0.5)]],
    )
    assert gap.gap == pytest.approx(0.3)
    assert (gap.validation.value, gap.test.value) == (pytest.approx(0.8), pytest.approx(0.5))
    assert (gap.validation.num_images, gap.test.num_images) == (2, 2)
    assert gap.interval.low == pytest.approx(0.2)
    assert gap.interval.high == pytest.approx(0.4)


def test_an_image_that_several_trainings_were_scored_on_counts_once():
    gap = selection_gap(
        [[score("a", 1.0)], [score("b", 0.0)]],
        [[score("c", 0.4), score("d", 0.4)], [score("c", 0.6), score("d", 0.6)]],
    )
    assert gap.test.num_images == 2
    assert gap.test.value == pytest.approx(0.5)
    assert gap.validation.num_images == 2


def test_without_a_lesion_on_a_side_there_is_no_gap():
    assert selection_gap([[score("a", None)]], [[score("b", 0.5)]]) is None


def test_the_difference_of_means_covers_the_truth():
    """In 200 pairs of samples the 95 % interval must hold the true difference about as often."""
    random = np.random.default_rng(0)
    covered = 0
    for seed in range(200):
        first, second = random.normal(0.7, 0.1, 40), random.normal(0.6, 0.2, 60)
        _, interval = difference_of_means(
            first.tolist(), range(40), second.tolist(), range(60), resamples=400, seed=seed
        )
        covered += interval.low <= 0.1 <= interval.high
    assert 180 <= covered <= 198


def test_a_difference_needs_images_and_two_groups_for_an_interval():
    assert difference_of_means([0.5, 0.7], ["a", "a"], [0.1], ["b"])[1] is None
    with pytest.raises(InputError, match="either side"):
        difference_of_means([], [], [0.1], ["b"])


def test_the_interval_over_repeats_stays_within_a_dice():
    interval = repeats_interval([0.0, 1.0])
    assert (interval.low, interval.high) == (0.0, 1.0)
