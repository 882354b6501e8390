"""What must hold for every pair of masks; and the same numbers found the slow way."""

import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from sklearn import metrics

from breastseg.evaluation import overlap
from breastseg.evaluation.confidence import bootstrap_interval, paired_difference
from breastseg.evaluation.surface import hausdorff_95

SHAPES = st.tuples(st.integers(1, 2), st.integers(1, 7), st.integers(1, 7))
pairs = SHAPES.flatmap(
    lambda shape: st.tuples(hnp.arrays(np.bool_, shape), hnp.arrays(np.bool_, shape))
)
filled_pairs = pairs.map(lambda pair: tuple(_with_a_pixel(mask) for mask in pair))
FIGURES = (overlap.dice, overlap.iou, overlap.precision, overlap.recall)


def _with_a_pixel(mask):
    mask = mask.copy()
    mask.flat[mask.size // 2] = True
    return mask


def _pixels(mask):
    return {tuple(index) for index in np.argwhere(mask).tolist()}


@given(pairs)
def test_overlap_agrees_with_counting_sets_of_pixels(pair):
    mask, reference = map(_pixels, pair)
    shared = len(mask & reference)
    expected = {
        overlap.dice: (2 * shared, len(mask) + len(reference)),
        overlap.iou: (shared, len(mask | reference)),
        overlap.precision: (shared, len(mask)),
        overlap.recall: (shared, len(reference)),
    }
    for figure, (part, whole) in expected.items():
        assert figure(*pair) == (part / whole if reference and whole else None)


@given(filled_pairs)
def test_overlap_agrees_with_scikit_learn(pair):
    mask, reference = (array.ravel() for array in pair)
    assert overlap.dice(*pair) == pytest.approx(metrics.f1_score(reference, mask))
    assert overlap.iou(*pair) == pytest.approx(metrics.jaccard_score(reference, mask))
    assert overlap.precision(*pair) == pytest.approx(metrics.precision_score(reference, mask))
    assert overlap.recall(*pair) == pytest.approx(metrics.recall_score(reference, mask))
    assert overlap.pixel_accuracy(*pair) == pytest.approx(metrics.accuracy_score(reference, mask))


@given(filled_pairs)
def test_dice_iou_accuracy_and_hd95_are_symmetric(pair):
    mask, reference = pair
    for figure in (overlap.dice, overlap.iou, overlap.pixel_accuracy, hausdorff_95):
        assert figure(mask, reference) == figure(reference, mask)


@given(filled_pairs)
def test_overlap_stays_in_bounds_and_iou_never_exceeds_dice(pair):
    values = [figure(*pair) for figure in FIGURES]
    assert all(0 <= value <= 1 for value in values)
    assert values[1] == pytest.approx(values[0] / (2 - values[0]))


@given(pairs, st.sampled_from([(0,), (1,), (2,), (0, 1, 2)]))
def test_flipping_both_masks_changes_nothing(pair, axes):
    flipped = tuple(np.flip(mask, axes) for mask in pair)
    for figure in (*FIGURES, overlap.pixel_accuracy):
        assert figure(*flipped) == figure(*pair)
    before, after = hausdorff_95(*pair), hausdorff_95(*flipped)
    assert (before is None) == (after is None)
    if before is not None:
        assert after.value == pytest.approx(before.value, abs=1e-12)


@given(filled_pairs)
def test_a_perfect_mask_scores_one_and_lies_at_distance_zero(pair):
    mask, _ = pair
    assert [figure(mask, mask) for figure in FIGURES] == [1.0] * 4
    assert hausdorff_95(mask, mask).value == 0.0


def _slow_surface(mask):
    """Pixels with a neighbour, along an axis, that is outside the mask or the image."""
    inside = _pixels(mask)
    axes = range(1 if mask.shape[0] == 1 else 0, 3)
    steps = [
        tuple(sign * (axis == other) for other in range(3)) for axis in axes for sign in (1, -1)
    ]
    return [
        point
        for point in sorted(inside)
        if any(tuple(np.add(point, step).tolist()) not in inside for step in steps)
    ]


def _slow_percentile(values, percent):
    values = sorted(values)
    rank = percent / 100 * (len(values) - 1)
    low = int(rank)
    high = min(low + 1, len(values) - 1)
    return values[low] + (rank - low) * (values[high] - values[low])


@given(filled_pairs, st.tuples(*[st.floats(0.1, 5)] * 3))
@settings(deadline=None)
def test_hd95_agrees_with_every_distance_between_two_surfaces(pair, spacing):
    points = [np.array(_slow_surface(mask)) * np.array(spacing) for mask in pair]
    apart = np.linalg.norm(points[0][:, None] - points[1][None], axis=-1)
    expected = max(_slow_percentile(apart.min(axis=axis).tolist(), 95) for axis in (0, 1))
    assert hausdorff_95(*pair, spacing_mm=spacing).value == pytest.approx(expected, abs=1e-9)


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=10, deadline=None)
def test_hd95_agrees_with_a_distance_transform_on_lesion_like_masks(seed):
    rng = np.random.default_rng(seed)
    blobs = [ndimage.gaussian_filter(rng.normal(size=(80, 90)), 6) > 0.02 for _ in range(2)]
    edges = [blob & ~ndimage.binary_erosion(blob) for blob in blobs]
    there = ndimage.distance_transform_edt(~edges[1])[edges[0]]
    back = ndimage.distance_transform_edt(~edges[0])[edges[1]]
    expected = max(np.percentile(there, 95), np.percentile(back, 95))
    assert hausdorff_95(blobs[0][None], blobs[1][None]).value == pytest.approx(expected, abs=1e-9)


scores = st.lists(st.tuples(st.floats(0, 1), st.integers(0, 5)), min_size=1, max_size=20)


@given(scores, st.sampled_from(["mean", "median"]))
@settings(max_examples=40, deadline=None)
def test_the_bootstrap_is_that_of_a_plain_loop(values_and_groups, statistic):
    values, groups = zip(*values_and_groups, strict=True)
    interval = bootstrap_interval(values, groups, statistic=statistic, resamples=50, seed=3)
    names = list(dict.fromkeys(groups))
    if len(names) < 2:
        assert interval is None
        return
    draws = np.random.default_rng(3).multinomial(len(names), [1 / len(names)] * len(names), size=50)
    middle = {"mean": np.mean, "median": np.median}[statistic]
    estimates = []
    for draw in draws:
        times = dict(zip(names, draw, strict=True))
        repeated = [value for value, group in values_and_groups for _ in range(times[group])]
        estimates.append(middle(repeated))
    expected = np.quantile(estimates, [0.025, 0.975])
    assert (interval.low, interval.high) == pytest.approx(tuple(expected), abs=1e-12)


@given(scores, scores)
@settings(max_examples=40, deadline=None)
def test_a_paired_comparison_the_other_way_round_is_the_negative(first, second):
    size = min(len(first), len(second))
    ours, groups = zip(*first[:size], strict=True)
    theirs = [value for value, _ in second[:size]]
    forth = paired_difference(ours, theirs, groups, resamples=50, sign_flips=100)
    back = paired_difference(theirs, ours, groups, resamples=50, sign_flips=100)
    assert forth.mean == pytest.approx(-back.mean)
    assert forth.p_value == back.p_value
    assert 0 < forth.p_value <= 1
    if forth.interval is not None:
        assert forth.interval.low == pytest.approx(-back.interval.high, abs=1e-12)
