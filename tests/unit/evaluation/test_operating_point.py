import numpy as np
import pytest

from breastseg.core.lesion import find_lesions
from breastseg.evaluation.operating_point import TOLERATED_LOSS, choose_operating_point
from breastseg.evaluation.overlap import dice


def image(*blobs, size=20):
    """Return a probability map with squares of 4 pixels: (row, column, probability)."""
    probability = np.zeros((1, size, size), np.float32)
    for row, column, value in blobs:
        probability[0, row : row + 4, column : column + 4] = value
    return probability


def reference(row=None, column=None, size=20):
    mask = np.zeros((1, size, size), bool)
    if row is not None:
        mask[0, row : row + 4, column : column + 4] = True
    return mask


def test_an_unlikely_false_alarm_is_dropped_and_the_likely_lesion_kept():
    both = image((2, 2, 0.96), (12, 12, 0.62))
    point = choose_operating_point([(both, reference(2, 2)), (image((5, 5, 0.9)), reference())])
    assert point is not None
    assert 0.9 < point.threshold <= 0.91
    assert point.mean_dice == pytest.approx(1.0)
    assert point.specificity == 1.0
    assert (point.num_lesion_images, point.num_lesion_free_images) == (1, 1)


def test_specificity_is_not_bought_with_lesions():
    found = [(image((2, 2, 0.72)), reference(2, 2)) for _ in range(3)]
    alarms = [(image((5, 5, 0.8)), reference()) for _ in range(30)]
    point = choose_operating_point([*found, *alarms])
    assert point is not None
    assert point.threshold <= 0.72
    assert point.specificity == 0.0
    assert point.mean_dice == pytest.approx(1.0)


def test_specificity_may_cost_a_tolerated_share_of_the_dice():
    # One lesion of 200 is lost above 0.8: 0.5 % of the mean Dice, for one alarm at 0.9 less.
    kept = [(image((2, 2, 0.975)), reference(2, 2))] * 199
    doubtful = (image((2, 2, 0.8)), reference(2, 2))
    point = choose_operating_point([*kept, doubtful, (image((5, 5, 0.9)), reference())])
    assert point is not None
    assert 0.9 < point.threshold <= 0.91
    assert 1 - TOLERATED_LOSS < point.mean_dice < 1
    assert point.specificity == 1.0


def test_no_threshold_is_high_for_nothing():
    """Without a lesion-free image, or with silent ones alone, a high one could only lose."""
    kept = [(image((2, 2, 0.975)), reference(2, 2))] * 10
    for silent in ([], [(image((5, 5, 0.3)), reference())]):
        point = choose_operating_point([*kept, *silent])
        assert point is not None
        assert point.threshold == 0.5


def test_of_several_that_leave_as_many_silent_the_best_dice_decides():
    with_alarm = (image((2, 2, 0.975), (12, 12, 0.7)), reference(2, 2))
    plain = [(image((2, 2, 0.975)), reference(2, 2))] * 99
    for silent in ([], [(image((5, 5, 0.55)), reference())]):
        point = choose_operating_point([with_alarm, *plain, *silent])
        assert point is not None
        assert 0.7 < point.threshold < 0.72
        assert point.mean_dice == pytest.approx(1.0)


def test_nothing_is_chosen_where_no_image_has_a_lesion():
    assert choose_operating_point([(image((2, 2, 0.9)), reference())]) is None


def test_nothing_is_chosen_by_a_network_that_finds_nothing():
    assert choose_operating_point([(image(), reference(2, 2))]) is None


def test_nothing_is_chosen_without_images():
    assert choose_operating_point([]) is None


def test_lesions_found_once_are_those_found_at_each_threshold():
    random = np.random.default_rng(3)
    images = []
    for _ in range(8):
        blobs = [(*random.integers(0, 16, 2), random.uniform(0.4, 1)) for _ in range(6)]
        images.append((image(*blobs), reference(*random.integers(0, 16, 2))))
    point = choose_operating_point(images)
    assert point is not None
    found = [
        find_lesions(each, threshold=point.threshold, spacing_mm=None)[0] for each, _ in images
    ]
    slow = [dice(labels > 0, drawn) for labels, (_, drawn) in zip(found, images, strict=True)]
    assert point.mean_dice == pytest.approx(np.mean(slow))
