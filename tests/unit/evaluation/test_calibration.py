import numpy as np
import pytest
from scipy.special import expit, logit

from breastseg.core.errors import GeometryError, InputError
from breastseg.evaluation.calibration import LogitHistogram, fit_temperature


def drawn(rng, size, *, temperature, mean=-1.0, spread=2.0):
    """Return logits that are too sure by that factor, and outcomes drawn from the true ones."""
    true = rng.normal(mean, spread, (1, size, size))
    return true * temperature, rng.random(true.shape) < expit(true)


def histogram_of(*images):
    histogram = LogitHistogram()
    for logits, reference in images:
        histogram.add(np.asarray(logits, np.float32), np.asarray(reference))
    return histogram


@pytest.mark.parametrize("temperature", [0.3, 1.0, 2.5, 6.0])
def test_a_known_temperature_is_found_again(temperature):
    rng = np.random.default_rng(0)
    images = [drawn(rng, 100, temperature=temperature) for _ in range(10)]
    fit = fit_temperature(histogram_of(*images))
    assert fit.reason is None
    assert fit.num_images == 10
    # The standard error of the fit is about 0.5 % of it at 100,000 pixels.
    assert fit.temperature == pytest.approx(temperature, rel=0.02)
    assert fit.nll_after <= fit.nll_before


def test_it_is_the_lowest_of_all_temperatures():
    histogram = histogram_of(drawn(np.random.default_rng(1), 60, temperature=3))
    fit = fit_temperature(histogram)
    around = fit.temperature * np.geomspace(0.05, 5, 101)
    assert fit.nll_after <= min(histogram.nll(each) for each in around) + 1e-12


def test_the_nll_of_the_histogram_is_that_of_the_pixels():
    logits, reference = drawn(np.random.default_rng(2), 80, temperature=2)
    histogram = histogram_of((logits, reference))
    for temperature in (0.5, 1.0, 3.0):
        p = expit(np.float32(logits).astype(np.float64) / temperature)
        exact = -np.log(np.where(reference, p, 1 - p)).mean()
        assert histogram.nll(temperature) == pytest.approx(exact, abs=1e-6 / temperature**2)
    assert histogram.lesion_share == pytest.approx(reference.mean())


def test_a_large_image_weighs_as_much_as_a_small_one():
    rng = np.random.default_rng(3)
    small, large = drawn(rng, 20, temperature=1), drawn(rng, 200, temperature=8)
    alone = [histogram_of(each).nll(2.0) for each in (small, large)]
    assert histogram_of(small, large).nll(2.0) == pytest.approx(np.mean(alone))


def test_without_an_image_the_temperature_stays_one():
    fit = fit_temperature(LogitHistogram())
    assert (fit.temperature, fit.reason, fit.nll_before) == (1.0, "no lesion", None)


@pytest.mark.parametrize(
    ("logits", "reference", "reason"),
    [
        ([[[-3.0, 2.0]]], [[[False, False]]], "no lesion"),
        ([[[-3.0, 2.0]]], [[[True, True]]], "no background"),
        ([[[-0.7, -0.7, -0.7]]], [[[True, False, False]]], "one logit"),
        ([[[-3.0, -2.0, 1.0, 4.0]]], [[[False, False, True, True]]], "the surer the better"),
        ([[[3.0, 2.0, -1.0, -4.0]]], [[[False, False, True, True]]], "the less sure the better"),
        ([[[3.0, -3.0, 3.0, -3.0]]], [[[False, False, True, True]]], "the less sure the better"),
    ],
)
def test_what_determines_no_temperature_leaves_it_at_one(logits, reference, reason):
    fit = fit_temperature(histogram_of((logits, reference)))
    assert (fit.temperature, fit.reason) == (1.0, reason)
    assert fit.nll_after == fit.nll_before


def test_logits_beyond_the_histogram_and_infinite_ones_are_taken_in():
    histogram = histogram_of(([[[-1e6, -np.inf, 90.0, np.inf]]], [[[False, False, True, True]]]))
    assert histogram.nll() == pytest.approx(0, abs=1e-12)
    assert fit_temperature(histogram).reason == "the surer the better"


def test_one_sure_mistake_makes_a_separated_network_less_sure():
    sure = ([[[-8.0] * 49 + [8.0] * 50 + [8.0]]], [[[False] * 49 + [True] * 50 + [False]]])
    fit = fit_temperature(histogram_of(sure))
    # Right in 99 of 100: the best is sigmoid(8 / T) = 0.99.
    assert fit.temperature == pytest.approx(8 / logit(0.99), rel=1e-4)


def test_adaptive_bins_hold_equal_weight():
    # Ten values of one weight each, two bins: |mean p - mean y| of the lower and upper half.
    p = np.linspace(0.05, 0.95, 10)
    y = np.arange(10) % 3 == 0
    gaps = [abs(p[part].mean() - y[part].mean()) for part in (slice(0, 5), slice(5, 10))]
    histogram = histogram_of((logit(p)[None, None], y[None, None]))
    assert histogram.adaptive_ece(num_bins=2) == pytest.approx(np.mean(gaps), abs=1e-6)
    assert histogram.adaptive_ece(num_bins=1) == pytest.approx(abs(p.mean() - y.mean()), abs=1e-6)


def test_the_right_temperature_lowers_the_adaptive_ece():
    histogram = histogram_of(drawn(np.random.default_rng(4), 200, temperature=3))
    assert histogram.adaptive_ece(3.0) < 0.01 < 0.1 < histogram.adaptive_ece()


def test_refuses_what_cannot_be_compared():
    with pytest.raises(GeometryError, match="one value for each outcome"):
        histogram_of((np.zeros((1, 2, 2)), np.zeros((1, 2, 3), bool)))
    with pytest.raises(InputError, match="boolean"):
        histogram_of((np.zeros((1, 2, 2)), np.zeros((1, 2, 2), np.uint8)))
    with pytest.raises(InputError, match="NaN"):
        histogram_of((np.full((1, 2, 2), np.nan), np.zeros((1, 2, 2), bool)))
