"""Figures of the class of a whole image, and its temperature, against values by hand."""

import itertools

import numpy as np
import pytest
from scipy.special import log_softmax

from breastseg.core.network_recipe import UNLABELLED
from breastseg.evaluation.classification import (
    ToldImage,
    fit_class_temperature,
    malignant_auc,
    summarise_classes,
)

NAMES = ("normal", "benign", "malignant")


def told(number, label, *shares, group=None):
    probability = dict(zip(NAMES, shares, strict=True))
    return ToldImage(
        case_id=f"case {number}",
        group=group or f"group {number}",
        label=label,
        probability=probability,
    )


IMAGES = [
    told(1, "malignant", 0.1, 0.2, 0.7),
    told(2, "malignant", 0.1, 0.6, 0.3),
    told(3, "benign", 0.2, 0.5, 0.3),
    told(4, "benign", 0.5, 0.4, 0.1),
    told(5, "normal", 0.0, 0.1, 0.9),
    told(6, None, 0.2, 0.2, 0.6),
    told(7, "cyst", 0.2, 0.2, 0.6),
]


def test_figures_of_seven_images_by_hand():
    """Pairs of malignant and benign: 0.7 beats both, 0.3 beats 0.1 and ties with 0.3."""
    found = summarise_classes(IMAGES)
    assert found.names == NAMES
    assert (found.num_images, found.num_groups, found.num_left_out) == (5, 5, 2)
    assert (found.num_malignant, found.num_benign) == (2, 2)
    assert found.malignant_auc.value == pytest.approx(3.5 / 4)
    assert found.accuracy.value == pytest.approx(2 / 5)
    assert found.confusion == {
        "normal": {"normal": 0, "benign": 0, "malignant": 1},
        "benign": {"normal": 1, "benign": 1, "malignant": 0},
        "malignant": {"normal": 0, "benign": 1, "malignant": 1},
    }
    right = [0.7, 0.3, 0.5, 0.4, 1e-7]
    assert found.nll == pytest.approx(-np.log(right).mean())
    assert found.nll_of_shares == pytest.approx(-np.log([0.4] * 4 + [0.2]).mean())
    last = found.malignant_roc[-1]
    assert (last.threshold, last.x, last.y) == (pytest.approx(0.1), 1, 1)


def copies(count, group=None):
    return [
        told(number, image.label, *image.probability.values(), group=group)
        for number, image in enumerate(IMAGES[:4] * count)
    ]


def test_intervals_resample_groups():
    one = summarise_classes(copies(2, group="one"))
    assert (one.num_groups, one.malignant_auc.interval) == (1, None)
    interval = summarise_classes(copies(5)).malignant_auc.interval
    assert interval.low < 3.5 / 4 < interval.high


def test_without_both_classes_there_is_no_auc():
    found = summarise_classes([IMAGES[0], IMAGES[4]])
    assert found.malignant_auc.value is None
    assert found.malignant_roc == ()
    assert found.accuracy.value == 0.5


def test_without_an_image_of_its_classes_nothing_is_defined():
    found = summarise_classes(IMAGES[5:])
    assert (found.num_images, found.num_left_out) == (0, 2)
    assert found.nll is found.nll_of_shares is found.accuracy.value is None


def test_a_network_that_tells_no_classes_has_no_summary():
    silent = ToldImage(case_id="a", group="a", label="benign", probability={})
    assert summarise_classes([silent]) is None


def test_the_auc_of_logits_counts_pairs():
    stream = np.random.default_rng(0)
    logits = stream.normal(size=(40, 3)).round(1)
    labels = stream.integers(-1, 3, 40)
    scores = log_softmax(logits, axis=1)[:, 2]
    pairs = list(itertools.product(scores[labels == 2], scores[labels == 1]))
    expected = np.mean([1.0 if m > b else 0.5 if m == b else 0.0 for m, b in pairs])
    assert malignant_auc(logits, labels, NAMES) == pytest.approx(expected)
    assert malignant_auc(logits, labels, ("a", "b", "c")) is None
    assert malignant_auc(logits[labels == 2], labels[labels == 2], NAMES) is None


def test_very_sure_logits_keep_their_order():
    logits = np.array([[0.0, 0.0, 50.0], [0.0, 0.0, 60.0]], np.float32)
    assert malignant_auc(logits, np.array([1, 2]), NAMES) == 1.0


@pytest.mark.parametrize("temperature", [0.4, 1.0, 3.0])
def test_a_known_temperature_is_found_again(temperature):
    stream = np.random.default_rng(0)
    true = stream.normal(0, 2, (20_000, 3))
    gumbel = stream.gumbel(size=true.shape)  # the largest of logit + Gumbel noise is a softmax draw
    labels = (true + gumbel).argmax(axis=1)
    labels[:100] = UNLABELLED
    fit = fit_class_temperature(true * temperature, labels)
    assert fit.reason is None
    assert fit.num_images == 19_900
    assert fit.temperature == pytest.approx(temperature, rel=0.03)
    assert fit.nll_after <= fit.nll_before


SURE = np.array([[5.0, 0.0], [0.0, 5.0]])


@pytest.mark.parametrize(
    ("logits", "labels", "reason"),
    [
        (SURE, [0, 1], "the surer the better"),
        (SURE, [1, 0], "the less sure the better"),
        (np.ones((2, 2)), [0, 1], "one logit"),
        (SURE, [UNLABELLED, UNLABELLED], "no class"),
    ],
)
def test_where_nothing_is_to_be_fitted_it_stays_one_and_says_why(logits, labels, reason):
    fit = fit_class_temperature(logits, np.array(labels))
    assert (fit.temperature, fit.reason) == (1.0, reason)
    assert fit.nll_before == fit.nll_after
