import itertools

import numpy as np
import pytest

from breastseg.core.errors import InputError
from breastseg.evaluation import confidence
from breastseg.evaluation.confidence import (
    Figure,
    Interval,
    bootstrap_figures,
    bootstrap_interval,
    bootstrap_ratio,
    paired_difference,
    wilson_interval,
)


def test_the_interval_of_many_independent_images_is_that_of_the_textbook():
    values = np.random.default_rng(1).normal(0.6, 0.2, 400)
    interval = bootstrap_interval(values.tolist(), list(range(400)))
    half = 1.96 * values.std(ddof=1) / np.sqrt(400)
    assert interval.low == pytest.approx(values.mean() - half, abs=0.003)
    assert interval.high == pytest.approx(values.mean() + half, abs=0.003)


def test_copies_of_an_image_do_not_make_the_interval_narrower():
    values = np.random.default_rng(2).uniform(0, 1, 50).tolist()
    alone = bootstrap_interval(values, list(range(50)))
    copied = bootstrap_interval(values * 4, list(range(50)) * 4)
    ungrouped = bootstrap_interval(values * 4, list(range(200)))
    assert (copied.low, copied.high) == pytest.approx((alone.low, alone.high))
    assert ungrouped.high - ungrouped.low < 0.6 * (alone.high - alone.low)


def test_the_seed_decides():
    values, groups = [0.1, 0.4, 0.5, 0.9, 0.7], list("abcde")
    assert bootstrap_interval(values, groups, seed=4) == bootstrap_interval(values, groups, seed=4)
    assert bootstrap_interval(values, groups, seed=4) != bootstrap_interval(values, groups, seed=5)


def test_one_group_or_none_has_no_interval():
    assert bootstrap_interval([], []) is None
    assert bootstrap_interval([0.1, 0.9], ["a", "a"]) is None


@pytest.mark.parametrize(("values", "groups"), [([0.5], ["a", "b"]), ([0.5, np.nan], ["a", "b"])])
def test_values_without_a_group_and_nan_are_refused(values, groups):
    with pytest.raises(InputError, match="one group and one finite value per image"):
        bootstrap_interval(values, groups)


def test_wilson_of_the_published_example():
    # Newcombe 1998, doi:10.1002/(SICI)1097-0258(19980430)17:8<857, table I, method 3.
    assert [round(x, 4) for x in _ends(wilson_interval(81, 263))] == [0.2553, 0.3662]
    assert [round(x, 4) for x in _ends(wilson_interval(15, 148))] == [0.0624, 0.1605]
    assert [round(x, 4) for x in _ends(wilson_interval(0, 20))] == [0.0, 0.1611]
    assert [round(x, 4) for x in _ends(wilson_interval(29, 29))] == [0.8830, 1.0]


def test_wilson_without_trials_or_with_impossible_ones():
    assert wilson_interval(0, 0) is None
    with pytest.raises(InputError, match="between 0 and 3"):
        wilson_interval(4, 3)


def test_the_p_value_is_that_of_all_sign_flips():
    first, second, groups = [0.8, 0.7, 0.9, 0.3, 0.6], [0.6, 0.5, 0.85, 0.4, 0.2], list("aabcd")
    result = paired_difference(first, second, groups)
    sums = [0.2 + 0.2, 0.05, -0.1, 0.4]
    flips = [
        abs(sum(s * d for s, d in zip(signs, sums, strict=True)))
        for signs in itertools.product((1, -1), repeat=4)
    ]
    exact = np.mean([flip >= abs(sum(sums)) - 1e-9 for flip in flips])
    assert result.p_value == pytest.approx(exact, abs=0.015)
    assert result.mean == pytest.approx(sum(sums) / 5)
    assert (result.num_cases, result.num_groups) == (5, 4)


def test_equal_models_do_not_differ():
    same = paired_difference([0.1, 0.5, 0.9], [0.1, 0.5, 0.9], list("abc"))
    assert (same.mean, same.interval, same.p_value) == (0.0, Interval(0.0, 0.0), 1.0)


def test_a_clear_difference_is_found_and_the_p_value_is_never_zero():
    rng = np.random.default_rng(0)
    second = rng.uniform(0, 0.8, 60)
    clear = paired_difference((second + 0.1).tolist(), second.tolist(), list(range(60)))
    assert clear.interval.low == pytest.approx(0.1)
    assert clear.p_value == pytest.approx(1 / 10_001)


def test_under_the_null_small_p_values_are_as_rare_as_they_say():
    rng = np.random.default_rng(7)
    p_values = [
        paired_difference(
            *rng.normal(size=(2, 30)).tolist(), range(30), resamples=2, sign_flips=199
        ).p_value
        for _ in range(400)
    ]
    assert np.mean(np.array(p_values) <= 0.05) == pytest.approx(0.05, abs=0.03)


def test_a_comparison_needs_the_same_images():
    with pytest.raises(InputError, match="same images, got 2 and 1"):
        paired_difference([0.1, 0.2], [0.1], ["a", "b"])
    with pytest.raises(InputError, match="no image"):
        paired_difference([], [], [])


def _ends(interval):
    return interval.low, interval.high


def test_figures_of_several_kinds_are_resampled_together_and_memory_is_bounded(monkeypatch):
    values = np.array([0.1, 0.4, 0.5, 0.9, 0.7, 0.2])
    rows = []

    def mean_and_never(draws):
        rows.append(len(draws))
        mean = draws @ values / draws.sum(axis=1)
        return np.stack([mean, np.full(len(draws), np.nan)], axis=1)

    whole = bootstrap_figures(mean_and_never, 6, size=6)
    assert rows == [1, 2000]
    assert whole[0].value == pytest.approx(values.mean())
    plain = bootstrap_interval(values.tolist(), range(6))
    assert _ends(whole[0].interval) == pytest.approx(_ends(plain))
    assert whole[1] == Figure(value=None, interval=None)
    monkeypatch.setattr(confidence, "_CELLS", 60)
    assert bootstrap_figures(mean_and_never, 6, size=6) == whole
    assert max(rows[2:]) == 10


def test_a_figure_that_is_not_defined_in_most_resamples_has_no_interval():
    def seldom(draws):
        return np.where(draws[:, :1] >= 2, 1.0, np.nan)

    assert bootstrap_figures(seldom, 10, size=10)[0].interval is None


def test_a_ratio_weighs_groups_by_what_they_hold():
    found = bootstrap_ratio([1, 2, 0], [2, 2, 6], ["a", "a", "b"], resamples=2000)
    assert found.value == 3 / 10
    # Both groups, a alone twice or b alone twice: 0.3, 0.75, 0.
    assert _ends(found.interval) == (0.0, 0.75)
    assert bootstrap_ratio([1], [2], ["a"]) == Figure(value=0.5, interval=None)
    assert bootstrap_ratio([], [], []) == Figure(value=None, interval=None)
    assert bootstrap_ratio([0, 0], [0, 0], ["a", "b"]) == Figure(value=None, interval=None)
    with pytest.raises(InputError, match="one group and one finite value"):
        bootstrap_ratio([1, 2], [1], ["a", "b"])
