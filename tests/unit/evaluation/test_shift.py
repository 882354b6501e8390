import numpy as np
import pytest

from breastseg.core.errors import InputError
from breastseg.evaluation.confidence import difference_of_means
from breastseg.evaluation.shift import (
    Sample,
    decompose,
    name_ranges,
    shared_bounds,
)


def sample(**scores_by_kind):
    """Return a sample whose images are groups of their own."""
    pairs = [(kind, score) for kind, scores in scores_by_kind.items() for score in scores]
    return Sample(
        scores=[score for _, score in pairs],
        groups=list(range(len(pairs))),
        kinds=[None if kind == "unknown" else kind for kind, _ in pairs],
    )


def parts(first, second, kinds):
    found = decompose(first, second, kinds, resamples=200)
    return found, [
        part.value for part in (found.drop, found.composition, found.rates, found.outside)
    ]


def test_all_of_the_drop_is_composition_where_each_kind_is_done_alike():
    first = sample(large=[0.9] * 30, small=[0.5] * 10)
    second = sample(large=[0.9] * 10, small=[0.5] * 30)
    found, values = parts(first, second, ("large", "small"))
    assert values == pytest.approx([0.2, 0.2, 0, 0])
    assert found.composition_share.value == pytest.approx(1)
    assert found.composition_share.interval.low == pytest.approx(1)
    assert found.rates.interval.low == pytest.approx(0)
    assert found.rates.interval.high == pytest.approx(0)


def test_none_of_the_drop_is_composition_where_the_kinds_have_the_same_shares():
    first = sample(large=[0.9] * 10, small=[0.5] * 30)
    second = sample(large=[0.7] * 20, small=[0.3] * 60)
    found, values = parts(first, second, ("large", "small"))
    assert values == pytest.approx([0.2, 0, 0.2, 0])
    assert found.composition_share.value == pytest.approx(0)


def test_both_parts_worked_by_hand():
    # Shares 3/4 and 1/4 against 1/2 and 1/2; means 0.8 and 0.4 against 0.6 and 0.3.
    first = sample(large=[0.8] * 30, small=[0.4] * 10)
    second = sample(large=[0.6] * 10, small=[0.3] * 10)
    _, values = parts(first, second, ("large", "small"))
    composition = (3 / 4 - 1 / 2) * (0.8 + 0.6) / 2 + (1 / 4 - 1 / 2) * (0.4 + 0.3) / 2
    rates = (0.8 - 0.6) * (3 / 4 + 1 / 2) / 2 + (0.4 - 0.3) * (1 / 4 + 1 / 2) / 2
    assert values == pytest.approx([0.25, composition, rates, 0])
    assert composition + rates == pytest.approx(0.25)


def test_the_parts_change_their_sign_with_the_order_of_the_sets():
    random = np.random.default_rng(0)
    first = sample(a=random.random(12), b=random.random(9), c=random.random(7))
    second = sample(a=random.random(6), b=random.random(20), d=random.random(8))
    _, there = parts(first, second, ("a", "b", "c", "d"))
    _, back = parts(second, first, ("a", "b", "c", "d"))
    assert there == pytest.approx([-value for value in back])
    assert there[0] == pytest.approx(sum(there[1:]))


def test_a_kind_that_one_set_lacks_is_outside_and_not_extrapolated():
    # In common: 0.8 in both. Outside: 20 of 40 images at 0.2, which pull the second to 0.5.
    first = sample(large=[0.8] * 40)
    second = sample(large=[0.8] * 20, tiny=[0.2] * 20)
    found, values = parts(first, second, ("large", "tiny"))
    assert values == pytest.approx([0.3, 0, 0, 0.3])
    assert (found.first_in_common, found.second_in_common) == (1, 0.5)
    large, tiny = found.kinds
    assert (large.is_shared, tiny.is_shared) == (True, False)
    assert (tiny.first.num_images, tiny.first.share, tiny.first.mean.value) == (0, 0, None)
    assert (tiny.second.num_images, tiny.second.share) == (20, 0.5)
    assert tiny.second.mean.value == pytest.approx(0.2)


def test_a_kind_of_fewer_than_five_groups_is_not_in_common():
    second = sample(large=[0.8] * 20, tiny=[0.2] * 4)
    found, _ = parts(sample(large=[0.8] * 20, tiny=[0.2] * 30), second, ("large", "tiny"))
    assert [kind.is_shared for kind in found.kinds] == [True, False]
    alike = Sample(scores=[0.2] * 9, groups=["one patient"] * 5 + [*"abcd"], kinds=["tiny"] * 9)
    assert [kind.is_shared for kind in parts(alike, alike, ["tiny"])[0].kinds] == [True]
    fewer = Sample(scores=[0.2] * 9, groups=["one patient"] * 6 + [*"abc"], kinds=["tiny"] * 9)
    assert [kind.is_shared for kind in parts(alike, fewer, ["tiny"])[0].kinds] == [False]


def test_without_a_kind_in_common_nothing_is_divided():
    found, values = parts(sample(ge=[0.8] * 20), sample(toshiba=[0.5] * 20), ("ge", "toshiba"))
    assert values == [pytest.approx(0.3), None, None, None]
    assert found.drop.interval.low == pytest.approx(0.3)
    assert found.composition_share.value is None
    assert (found.first_in_common, found.second_in_common) == (0, 0)


def test_what_is_not_known_is_in_common_with_nothing():
    first = sample(large=[0.8] * 20, unknown=[0.6] * 20)
    second = sample(large=[0.8] * 20, unknown=[0.6] * 20)
    found, values = parts(first, second, ("large",))
    assert values == pytest.approx([0, 0, 0, 0])
    assert found.first_in_common == 0.5
    assert [kind.name for kind in found.kinds] == ["large"]


def test_no_share_of_a_drop_that_may_be_none_or_of_few_images_in_common():
    random = np.random.default_rng(1)
    first, second = (sample(a=random.random(30), b=random.random(30)) for _ in range(2))
    unclear, _ = parts(first, second, ("a", "b"))
    assert unclear.drop.interval.low < 0 < unclear.drop.interval.high
    assert unclear.composition_share.value is None
    few = sample(a=[0.8] * 10, c=[0.2] * 30)
    barely, values = parts(sample(a=[0.9] * 40), few, ("a", "c"))
    assert values == pytest.approx([0.55, 0, 0.1, 0.45])
    assert barely.composition_share.value is None


def test_the_drop_is_the_unpaired_difference_of_the_means():
    random = np.random.default_rng(2)
    sides = [
        Sample(
            scores=random.random(count).tolist(),
            groups=random.integers(0, 15, count).tolist(),
            kinds=random.choice(["a", "b"], count).tolist(),
        )
        for count in (30, 50)
    ]
    found = decompose(*sides, ("a", "b"), seed=3)
    first, second = sides
    drop, interval = difference_of_means(
        first.scores, first.groups, second.scores, second.groups, seed=3
    )
    assert found.drop.value == pytest.approx(drop)
    assert (found.drop.interval.low, found.drop.interval.high) == pytest.approx(
        (interval.low, interval.high)
    )


def test_the_interval_holds_the_composition_of_the_population_as_often_as_it_says():
    # Large ones score 0.8, small ones 0.5; three in four against one in two are large.
    random = np.random.default_rng(4)
    truth, held, trials = 0.25 * 0.3, 0, 200
    for _ in range(trials):
        sides = []
        for share in (0.75, 0.5):
            is_large = random.random(60) < share
            sides.append(
                Sample(
                    scores=(np.where(is_large, 0.8, 0.5) + random.normal(0, 0.1, 60)).tolist(),
                    groups=list(range(60)),
                    kinds=np.where(is_large, "large", "small").tolist(),
                )
            )
        interval = decompose(*sides, ("large", "small"), resamples=200).composition.interval
        held += interval.low <= truth <= interval.high
    assert 0.88 <= held / trials <= 0.99


def test_one_group_has_no_interval():
    one = Sample(scores=[0.5, 0.6], groups=["a", "a"], kinds=["x", "x"])
    found, _ = parts(one, sample(x=[0.4] * 8), ("x",))
    assert found.drop.value == pytest.approx(0.15)
    assert found.drop.interval is None
    assert found.composition_share.value is None


def test_refuses_what_does_not_fit():
    with pytest.raises(InputError, match="got 2, 1 and 2"):
        Sample(scores=[0.1, 0.2], groups=["a"], kinds=["x", "x"])
    with pytest.raises(InputError, match="an image at least"):
        Sample(scores=[], groups=[], kinds=[])
    with pytest.raises(InputError, match=r"expected the kinds a, got \['b'\]"):
        decompose(sample(b=[0.1]), sample(a=[0.1]), ("a",))


def test_ranges_weigh_both_sets_alike_whatever_their_sizes():
    many = np.linspace(10, 11, 1000)
    low, high = shared_bounds([0.0, 1.0], many, num_bins=4)[0::2]
    assert low == 0
    assert high == pytest.approx(10.5, abs=0.01)


def test_ties_make_fewer_ranges_and_one_value_none():
    assert shared_bounds([1, 1, 1, 2], [1, 1, 1, 2]) == (1.0,)
    assert shared_bounds([1, 1], [1, 1]) == ()
    assert name_ranges(()) == ("all",)


def test_every_range_holds_its_share_of_both_sets_together():
    random = np.random.default_rng(5)
    first, second = random.random(200), random.random(500) + 0.3
    bounds = shared_bounds(first, second)
    weights = [
        np.bincount(np.searchsorted(bounds, side), minlength=5) / len(side)
        for side in (first, second)
    ]
    assert sum(weights) / 2 == pytest.approx([0.2] * 5, abs=0.006)


def test_ranges_are_named_with_their_unit():
    assert name_ranges((56.81, 111.2), " px") == (
        "up to 56.8 px",
        "56.8 to 111 px",
        "above 111 px",
    )
