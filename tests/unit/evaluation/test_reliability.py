import numpy as np
import pytest
from sklearn.calibration import calibration_curve
from sklearn.metrics import brier_score_loss, log_loss

from breastseg.core.errors import GeometryError, InputError
from breastseg.evaluation.reliability import Reliability


def pixels(seed, size=40):
    rng = np.random.default_rng(seed)
    p = np.float32(rng.beta(0.4, 1.5, (1, size, size)))
    return p, rng.random(p.shape) < p**1.5


def summary_of(*images, groups=None, num_bins=15):
    reliability = Reliability(num_bins)
    for number, (p, y) in enumerate(images):
        reliability.add(np.asarray(p), np.asarray(y), groups[number] if groups else number)
    return reliability.summary(resamples=200)


@pytest.mark.parametrize("num_bins", [1, 10, 15])
def test_the_figures_are_those_of_scikit_learn(num_bins):
    images = [pixels(seed) for seed in range(5)]
    found = summary_of(*images, num_bins=num_bins)
    p, y = (np.concatenate([image[i].ravel() for image in images]) for i in (0, 1))
    p = p.astype(np.float64)
    observed, predicted = calibration_curve(y, p, n_bins=num_bins)
    filled = [each for each in found.bins if each.share > 0]
    assert [each.observed for each in filled] == pytest.approx(observed, abs=1e-6)
    assert [each.mean_probability for each in filled] == pytest.approx(predicted, abs=1e-6)
    shares = np.array([each.share for each in filled])
    assert shares.sum() == pytest.approx(1)
    assert found.ece == pytest.approx(shares @ np.abs(observed - predicted), abs=1e-6)
    assert found.brier == pytest.approx(brier_score_loss(y, p), abs=1e-6)
    assert found.nll == pytest.approx(log_loss(y, np.clip(p, 1e-7, 1 - 1e-7)), abs=1e-6)
    assert found.prevalence == pytest.approx(y.mean())


def test_images_of_different_size_weigh_the_same():
    small, large = pixels(0, 10), pixels(1, 90)
    both = summary_of(small, large)
    p, y = (np.concatenate([small[i].ravel(), large[i].ravel()]) for i in (0, 1))
    weight = np.repeat([1 / 100, 1 / 8100], [100, 8100])
    assert both.brier == pytest.approx(brier_score_loss(y, p, sample_weight=weight), abs=1e-6)
    assert both.num_added == both.num_groups == 2


def test_a_worked_example():
    # Bins (0, 0.5] and (0.5, 1]: 0.2, 0.4 with one hit; 0.9, 0.9 with one hit.
    found = summary_of(([[[0.2, 0.4, 0.9, 0.9]]], [[[False, True, True, False]]]), num_bins=2)
    assert found.ece == pytest.approx(0.5 * abs(0.5 - 0.3) + 0.5 * abs(0.5 - 0.9))
    assert found.brier == pytest.approx((0.04 + 0.36 + 0.01 + 0.81) / 4)
    assert found.nll == pytest.approx(-np.log([0.8, 0.4, 0.9, 0.1]).mean())
    assert found.brier_of_prevalence == 0.25
    assert found.ece_interval is None


def test_saying_the_share_everywhere_has_no_ece_and_the_brier_score_of_the_share():
    y = np.arange(100).reshape(1, 10, 10) < 8
    found = summary_of((np.full(y.shape, 0.08), y))
    assert found.ece == pytest.approx(0, abs=1e-12)
    assert found.brier == pytest.approx(found.brier_of_prevalence)


def test_certainty_that_is_wrong_costs_much_and_not_infinitely():
    found = summary_of((np.float32([[[0, 1]]]), np.array([[[True, False]]])))
    assert found.brier == 1
    assert found.nll == pytest.approx(-np.log(1e-7))


def test_the_interval_resamples_groups():
    images = [pixels(seed, 20) for seed in range(12)]
    apart = summary_of(*images)
    together = summary_of(*images, groups=[number // 4 for number in range(12)])
    one = summary_of(*images, groups=["a"] * 12)
    assert apart.brier == pytest.approx(together.brier)
    assert apart.num_groups == 12
    assert together.num_groups == 3
    assert one.brier_interval is one.ece_interval is None
    for found in (apart, together):
        assert found.brier_interval.low <= found.brier <= found.brier_interval.high
        assert found.ece_interval.low < found.ece_interval.high
    # Twelve copies of three images are no more than three images.
    copies = [images[number // 4] for number in range(12)]
    honest = summary_of(*copies, groups=[number // 4 for number in range(12)])
    naive = summary_of(*copies)

    def width(found):
        return found.brier_interval.high - found.brier_interval.low

    assert width(honest) > 1.5 * width(naive)


def test_nothing_added_is_none():
    assert Reliability().summary() is None


def test_refuses_what_is_no_probability():
    with pytest.raises(InputError, match=r"in \[0, 1\]"):
        summary_of((np.array([[[1.5]]]), np.array([[[True]]])))
    with pytest.raises(GeometryError):
        summary_of((np.zeros((1, 0, 2)), np.zeros((1, 0, 2), bool)))
    with pytest.raises(InputError, match="at least 1 bin"):
        Reliability(0)


def test_candidates_count_one_each():
    reliability = Reliability(2)
    reliability.add(np.array([0.9, 0.8, 0.7]), np.array([True, False, False]), "a", weight=3)
    reliability.add(np.array([0.6]), np.array([True]), "b", weight=1)
    found = reliability.summary(resamples=10)
    assert found.bins[1].mean_probability == pytest.approx(0.75)
    assert found.bins[1].observed == pytest.approx(0.5)
    assert (found.bins[0].mean_probability, found.bins[0].observed) == (None, None)
