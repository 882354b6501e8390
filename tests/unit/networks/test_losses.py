"""Values worked by hand; the frameworks are held against these definitions in tests/parity."""

from math import log

import numpy as np
import pytest

from breastseg.networks.losses import (
    LOSSES,
    bce_dice_loss,
    binary_cross_entropy,
    soft_dice_loss,
)

LOG_3 = log(3)  # the logit of probability 3/4


def images(*rows):
    """Images of one row each."""
    return np.array(rows, float)[:, None, None, :]


def test_cross_entropy_by_hand():
    # probabilities 3/4, 3/4, 1/2; targets 1, 0, 1: -(ln 3/4 + ln 1/4 + ln 1/2) / 3
    found = binary_cross_entropy(images([LOG_3, LOG_3, 0]), images([1, 0, 1]))
    assert found == pytest.approx(-(log(3 / 4) + log(1 / 4) + log(1 / 2)) / 3)


def test_dice_by_hand():
    # overlap 3/4 + 1/2 = 5/4; sums 3/4 + 3/4 + 1/2 = 2 and 2: 1 - (5/2 + 1) / (4 + 1)
    found = soft_dice_loss(images([LOG_3, LOG_3, 0]), images([1, 0, 1]))
    assert found == pytest.approx(1 - 3.5 / 5)


@pytest.mark.parametrize(
    ("logits", "target", "expected"),
    [
        ([50, 50, -50, -50], [1, 1, 0, 0], 0),
        ([50, 50, -50, -50], [0, 0, 1, 1], 1 - 1 / 5),
        ([-50, -50, -50, -50], [0, 0, 0, 0], 0),
        ([50, 50, 50, -50], [0, 0, 0, 0], 3 / 4),
        ([-50, -50, -50, -50], [1, 0, 0, 0], 1 - 1 / 2),
    ],
    ids=["perfect", "opposite", "both empty", "3 false pixels", "missed"],
)
def test_dice_at_its_ends(logits, target, expected):
    assert soft_dice_loss(images(logits), images(target)) == pytest.approx(expected)


def test_the_loss_of_a_batch_is_the_mean_of_its_images_not_of_their_pixels_together():
    # 0 for the first image, 1 - 1/3 for the second; pooled it would be 1 - 3/5
    logits, target = images([50, -50], [-50, -50]), images([1, 0], [1, 1])
    assert soft_dice_loss(logits, target) == pytest.approx((0 + 2 / 3) / 2)


def test_bce_dice_is_the_sum():
    logits, target = images([1, -2, 0.5]), images([1, 0, 0])
    expected = binary_cross_entropy(logits, target) + soft_dice_loss(logits, target)
    assert bce_dice_loss(logits, target) == pytest.approx(expected)


@pytest.mark.parametrize("name", sorted(LOSSES))
@pytest.mark.parametrize("size", [1e3, 1e30])
def test_huge_logits_stay_finite(name, size):
    stream = np.random.default_rng(0)
    logits = size * stream.choice([-1.0, 1.0], (2, 1, 4, 4))
    target = (stream.random((2, 1, 4, 4)) > 0.5).astype(float)
    assert np.isfinite(LOSSES[name](logits, target))


@pytest.mark.parametrize("name", sorted(LOSSES))
def test_volumes_are_losses_of_the_same_pixels(name):
    stream = np.random.default_rng(0)
    logits, target = stream.normal(size=(2, 1, 3, 4, 5)), stream.random((2, 1, 3, 4, 5)) > 0.5
    flat = (array.astype(float).reshape(2, 1, 12, 5) for array in (logits, target))
    assert LOSSES[name](logits, target.astype(float)) == pytest.approx(LOSSES[name](*flat))
