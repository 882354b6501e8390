from collections import Counter

import numpy as np
import pytest

from breastseg.evaluation.inflation import (
    MIN_GROUPS,
    ScoredImage,
    chance_of_twin,
    estimate_inflation,
)


def images(dice, groups):
    return [ScoredImage(group=group, dice=each) for each, group in zip(dice, groups, strict=True)]


def pairs(count, start=0):
    """Name the groups of images that come two by two."""
    return [f"pair {(start + place) // 2}" for place in range(count)]


def test_the_chance_of_a_twin_is_that_of_random_splits():
    groups = np.repeat(np.arange(8), [1, 1, 2, 2, 3, 3, 4, 4])
    sizes = Counter(groups.tolist())
    expected = np.mean([chance_of_twin(sizes[g], num_images=20, num_train=9) for g in groups])
    random, shares = np.random.default_rng(0), []
    for _ in range(4000):
        order = random.permutation(20)
        train, test = set(groups[order[:9]].tolist()), groups[order[15:]]
        shares.append(np.mean([group in train for group in test.tolist()]))
    assert expected == pytest.approx(np.mean(shares), abs=0.01)


def test_a_twin_cannot_be_missed_where_nearly_all_are_trained_on():
    assert chance_of_twin(5, num_images=20, num_train=16) == 1
    assert chance_of_twin(1, num_images=20, num_train=19) == 0


def test_the_estimate_is_the_share_of_what_is_gained():
    seen = images([0.9, 0.9] * 20, pairs(40))
    unseen = images([0.7, 0.7] * 10, pairs(20, start=40))
    groups = {f"image {place}": group for place, group in enumerate(pairs(60))}
    found = estimate_inflation(seen, unseen, groups, num_train=40)
    assert found.unseen.dice == pytest.approx(0.7)
    assert (found.seen.num_images, found.seen.num_groups) == (40, 20)
    assert found.seen_minus_unseen.value == pytest.approx(0.2)
    split = found.random_split
    assert split.in_groups
    assert split.share_with_twin == pytest.approx(40 / 59)
    assert split.inflation.value == pytest.approx(0.2 * 40 / 59)
    assert split.inflation.interval.low == pytest.approx(0.2 * 40 / 59)
    assert split.dice == pytest.approx(0.7 + 0.2 * 40 / 59)


def test_images_without_a_twin_do_not_count_where_there_are_enough_with_one():
    seen = images([0.9] * 40 + [0.1] * 9, pairs(40) + [f"alone {n}" for n in range(9)])
    unseen = images([0.7] * 20, pairs(20, start=40))
    groups = {str(n): each.group for n, each in enumerate((*seen, *unseen))}
    found = estimate_inflation(seen, unseen, groups, num_train=40)
    assert found.seen.num_images == 49
    assert found.random_split.seen.num_images == 40


def test_with_too_few_groups_all_images_stand_in():
    count = 2 * (MIN_GROUPS - 1)
    seen = images([0.9] * 40, pairs(40))
    unseen = images([0.7] * count + [0.5], [*pairs(count, start=40), "alone"])
    groups = {str(n): each.group for n, each in enumerate((*seen, *unseen))}
    split = estimate_inflation(seen, unseen, groups, num_train=40).random_split
    assert not split.in_groups
    assert split.unseen.num_images == count + 1


def test_without_images_on_a_side_nothing_is_estimated():
    found = estimate_inflation([], images([0.5], ["a"]), {"1": "a"}, num_train=1)
    assert (found.seen.dice, found.seen_minus_unseen, found.random_split) == (None, None, None)
    assert found.unseen.interval is None
