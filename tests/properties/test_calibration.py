"""What must hold for every probability map, temperature and set of groups."""

import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit

from breastseg.core.calibration import Calibration, apply_temperature
from breastseg.evaluation.calibration import LogitHistogram, fit_temperature
from breastseg.evaluation.conformal import (
    ConformalScore,
    inner_score,
    inner_threshold,
    outer_score,
    outer_threshold,
)
from breastseg.evaluation.reliability import Reliability

SHAPES = st.tuples(st.just(1), st.integers(1, 6), st.integers(1, 6))
temperatures = st.floats(0.05, 20)
probabilities = SHAPES.flatmap(
    lambda shape: hnp.arrays(np.float32, shape, elements=st.floats(0, 1, width=32))
)


def with_reference(elements):
    return SHAPES.flatmap(
        lambda shape: st.tuples(
            hnp.arrays(np.float32, shape, elements=elements), hnp.arrays(np.bool_, shape)
        )
    )


maps = with_reference(st.floats(0, 1, width=32))
logit_maps = with_reference(st.floats(-60, 60, width=32))


@given(probabilities, temperatures)
def test_a_temperature_keeps_the_order_and_the_mask_at_a_half(probability, temperature):
    found = Calibration(temperature=temperature).apply(probability)
    order = np.argsort(probability, axis=None)
    assert (np.diff(found.ravel()[order]) >= 0).all()
    np.testing.assert_array_equal(found >= 0.5, probability >= 0.5)
    assert found.min() >= 0
    assert found.max() <= 1


@given(hnp.arrays(np.float32, (1, 3, 4), elements=st.floats(width=32)), temperatures)
def test_a_temperature_keeps_the_order_of_any_logits(logits, temperature):
    logits = np.nan_to_num(logits, nan=0.0, posinf=np.inf, neginf=-np.inf)
    found = apply_temperature(logits, temperature)
    order = np.argsort(logits, axis=None)
    assert (np.diff(found.ravel()[order]) >= 0).all()
    np.testing.assert_array_equal(found >= 0.5, logits >= 0)


@given(st.lists(logit_maps, min_size=1, max_size=5), temperatures)
@settings(max_examples=40, deadline=None)
def test_a_streamed_histogram_is_that_of_all_pixels_at_once(images, temperature):
    histogram = LogitHistogram()
    for logits, reference in images:
        histogram.add(logits, reference)
    exact = []
    for logits, reference in images:
        scaled = np.clip(logits, -40, 40).astype(np.float64) / temperature
        exact.append(np.logaddexp(0, np.where(reference, -scaled, scaled)).mean())
    assert histogram.nll(temperature) == pytest.approx(
        np.mean(exact), abs=2e-6 * max(1, temperature**-2)
    )
    fit = fit_temperature(histogram)
    assert 0.05 <= fit.temperature <= 20
    assert fit.nll_after <= fit.nll_before + 1e-9


@given(st.lists(maps, min_size=1, max_size=5), st.randoms(use_true_random=False))
@settings(max_examples=40, deadline=None)
def test_the_order_of_images_makes_no_difference(images, random):
    summaries = []
    for _ in range(2):
        reliability = Reliability(5)
        for probability, reference in images:
            reliability.add(probability, reference, "one group")
        summaries.append(reliability.summary())
        random.shuffle(images)
    first, second = summaries
    assert first.ece == pytest.approx(second.ece, abs=1e-12)
    assert first.brier == pytest.approx(second.brier, abs=1e-12)
    assert 0 <= first.ece <= 1
    assert 0 <= first.brier <= 1


@given(maps, temperatures)
@settings(max_examples=60, deadline=None)
def test_scores_move_with_the_temperature(pair, temperature):
    probability, reference = pair
    calibration = Calibration(temperature=temperature)
    moved = calibration.apply(probability)
    for score in (outer_score, inner_score):
        before = score(probability, reference)
        if before is not None and len(np.unique(moved)) == len(np.unique(probability)):
            assert score(moved, reference) == calibration.apply(np.float32([before]))[0]


@given(maps, st.floats(0, 0.5), st.floats(0, 0.5))
@settings(max_examples=60, deadline=None)
def test_more_tolerance_never_asks_for_a_larger_outer_or_a_smaller_inner_mask(pair, one, other):
    low, high = sorted((one, other))
    if pair[1].any():
        assert outer_score(*pair, tolerance=low) <= outer_score(*pair, tolerance=high)
    assert inner_score(*pair, tolerance=low) >= inner_score(*pair, tolerance=high)


scores = st.lists(
    st.tuples(st.integers(0, 40), st.floats(0, 1), st.floats(0, 1)).map(
        lambda drawn: ConformalScore(group=drawn[0], outer=drawn[1], inner=drawn[2])
    ),
    max_size=60,
)


@given(scores, st.floats(0.01, 0.99), st.floats(0.01, 0.99))
def test_more_confidence_gives_wider_bounds_or_none(scores, one, other):
    sure, unsure = sorted((one, other))
    for choose, sign in ((outer_threshold, 1), (inner_threshold, -1)):
        wide, narrow = (choose(scores, alpha=alpha).threshold for alpha in (sure, unsure))
        if wide is not None:
            assert sign * wide <= sign * narrow
        if narrow is None:
            assert wide is None


def test_expit_of_a_temperature_is_what_is_meant():
    assert apply_temperature(np.float32([3]), 2)[0] == pytest.approx(expit(1.5))
