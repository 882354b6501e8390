"""Values worked by hand, range, lesion-free images, perfect predictions, reduction per image.

The frameworks are held against these definitions in tests/parity.
"""

from math import cosh, inf, log

import numpy as np
import pytest

from breastseg.networks.losses import (
    LOSSES,
    batch_dice_loss,
    bce_dice_loss,
    binary_cross_entropy,
    focal_tversky_loss,
    lesion_dice_loss,
    num_hardest,
    signed_distance,
    soft_dice_loss,
)
from breastseg.networks.losses.overlap import STEEPEST

LOG_3 = log(3)  # the logit of probability 3/4
CERTAIN = 1e3
names = pytest.mark.parametrize("name", LOSSES)


def images(*rows):
    """Images of one row each."""
    return np.array(rows, float)[:, None, None, :]


# --- by hand ----------------------------------------------------------------------------------

# Probabilities 3/4, 3/4, 1/2, 1/4 of the targets 1, 0, 1, 0, so that
# TP = 3/4 + 1/2 = 5/4, FP = 3/4 + 1/4 = 1, FN = 1/4 + 1/2 = 3/4, TN = 1/4 + 3/4 = 1.
LOGITS, TARGET = images([LOG_3, LOG_3, 0, -LOG_3]), images([1, 0, 1, 0])
HIT, FALSE_ALARM, HALF, REJECTED = -log(3 / 4), -log(1 / 4), -log(1 / 2), -log(3 / 4)
BCE = (HIT + FALSE_ALARM + HALF + REJECTED) / 4
DICE = 1 - (5 / 2 + 1) / (9 / 4 + 2 + 1)
TVERSKY = 1 - (5 / 4 + 1) / (5 / 4 + 0.3 * 1 + 0.7 * 3 / 4 + 1)
# delta = 0.6: the lesion misses .6 x 3/4 + .4 x 1 = .85, the background .6 x 1 + .4 x 3/4 = .9
UNIFIED_TVERSKY = ((1 - 2 / (2 + 0.9)) + (1 - 2.25 / (2.25 + 0.85)) ** 0.5) / 2
UNIFIED_FOCAL = (
    0.6 * (HIT + HALF) + 0.4 * ((3 / 4) ** 0.5 * FALSE_ALARM + (1 / 4) ** 0.5 * REJECTED)
) / 4

BY_HAND = {
    "bce": BCE,
    "weighted-bce": (10 * HIT + FALSE_ALARM + 10 * HALF + REJECTED) / 4,
    "balanced-bce": ((HIT + HALF) / 2 + (FALSE_ALARM + REJECTED) / 2) / 2,
    "top-k-bce": FALSE_ALARM,  # a tenth of 4 pixels, rounded, is none: the hardest one
    "focal": (
        0.25 * ((1 / 4) ** 2 * HIT + (1 / 2) ** 2 * HALF)
        + 0.75 * ((3 / 4) ** 2 * FALSE_ALARM + (1 / 4) ** 2 * REJECTED)
    )
    / 4,
    "dice": DICE,
    # one image of four pixels: the sums of the example
    "batch-dice": DICE,
    "lesion-dice": DICE,
    # 9/16 + 9/16 + 1/4 + 1/16 = 23/16
    "squared-dice": 1 - (5 / 2 + 1) / (23 / 16 + 2 + 1),
    # two pixels of each class, so that both weigh 1/4: 1 - 2 (5/4 + 1) / (9/4 + 2 + 7/4 + 2)
    "generalised-dice": 1 - 2 * (5 / 4 + 1) / 8,
    "log-cosh-dice": log(cosh(DICE)),
    "jaccard": 1 - (5 / 4 + 1) / (5 / 4 + 1 + 3 / 4 + 1),
    # errors 1 + log 3 (background), 1 (lesion), 1 - log 3 < 0 twice. One false pixel beside two
    # of the lesion: J = 1 - 2/3; one lesion pixel lost as well: J = 1 - 1/3.
    "lovasz-hinge": (1 + LOG_3) * 1 / 3 + 1 * (2 / 3 - 1 / 3),
    "tversky": TVERSKY,
    "focal-tversky": TVERSKY ** (3 / 4),
    "bce-dice": BCE + DICE,
    "unified-focal": (UNIFIED_FOCAL + UNIFIED_TVERSKY) / 2,
    # distances 0, 1, 0, 1 from lesions of one pixel each
    "boundary": (0 + 3 / 4 + 0 + 1 / 4) / 4,
}


def test_every_loss_is_worked_by_hand():
    assert list(BY_HAND) == list(LOSSES)


@names
def test_value_worked_by_hand(name):
    assert LOSSES[name](LOGITS, TARGET) == pytest.approx(BY_HAND[name], rel=1e-12)


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


def test_bce_dice_is_the_sum():
    logits, target = images([1, -2, 0.5]), images([1, 0, 0])
    expected = binary_cross_entropy(logits, target) + soft_dice_loss(logits, target)
    assert bce_dice_loss(logits, target) == pytest.approx(expected)


def test_generalised_dice_weighs_classes_by_the_inverse_square_of_their_size():
    # one lesion pixel missed, three of the background right: 1 - 2 (1/9 3) / (1 + 1/9 (4 + 3))
    found = LOSSES["generalised-dice"](images([-50, -50, -50, -50]), images([1, 0, 0, 0]))
    assert found == pytest.approx(1 - 2 * (3 / 9) / (1 + 7 / 9))


def test_top_k_counts_a_rounded_share_of_the_pixels():
    assert [num_hardest(0.1, size) for size in (1, 14, 16, 1000)] == [1, 1, 2, 100]
    logits, target = images([-1, -2, -3, 1, 2, 3]), images([0] * 6)
    expected = np.mean([log(1 + np.exp(x)) for x in (1, 2, 3)])
    assert LOSSES["top-k-bce"](logits, target, share=0.5) == pytest.approx(expected)


# --- what losses become at special parameters ---------------------------------------------------


@pytest.mark.parametrize(
    ("name", "parameters", "same"),
    [
        ("weighted-bce", {"positive_weight": 1}, "bce"),
        ("top-k-bce", {"share": 1}, "bce"),
        ("tversky", {"alpha": 1, "beta": 1}, "jaccard"),
        ("focal-tversky", {"gamma": 1}, "tversky"),
    ],
)
def test_a_loss_contains_another(name, parameters, same):
    assert LOSSES[name](LOGITS, TARGET, **parameters) == pytest.approx(LOSSES[same](LOGITS, TARGET))


def test_focal_without_focus_is_half_of_bce():
    found = LOSSES["focal"](LOGITS, TARGET, alpha=0.5, gamma=0)
    assert found == pytest.approx(BCE / 2)


def test_the_parts_of_unified_focal_have_the_shares_that_are_given():
    focal, tversky, both = (
        LOSSES["unified-focal"](LOGITS, TARGET, focal_share=share) for share in (1, 0, 0.2)
    )
    assert focal == pytest.approx(UNIFIED_FOCAL)
    assert tversky == pytest.approx(UNIFIED_TVERSKY)
    assert both == pytest.approx(0.2 * UNIFIED_FOCAL + 0.8 * UNIFIED_TVERSKY)


def test_parameters_out_of_range_or_unknown_are_refused():
    with pytest.raises(ValueError, match="greater than 0"):
        LOSSES["tversky"](LOGITS, TARGET, alpha=-1)
    with pytest.raises(ValueError, match="Extra inputs"):
        LOSSES["dice"](LOGITS, TARGET, alpha=1)


def test_the_power_of_focal_tversky_goes_straight_to_zero_without_a_jump():
    def loss(certainty):
        return focal_tversky_loss(
            images([-certainty]), images([0]), alpha=1.0, beta=1.0, gamma=4 / 3
        )

    edge = -log(STEEPEST)
    assert loss(edge - 1e-6) == pytest.approx(loss(edge + 1e-6), rel=1e-5)
    assert loss(edge + log(10)) == pytest.approx(loss(edge) / 10, rel=1e-4)


# --- lesion-free images -------------------------------------------------------------------------

# What three false pixels of four cost on a lesion-free image when the logits are 2 and -2.
P, Q = 1 / (1 + np.exp(-2)), 1 / (1 + np.exp(2))
SURE, WRONG = log(1 + np.exp(-2)), log(1 + np.exp(2))
AREA = 3 * P + Q
FALSE_PIXELS = {
    "bce": (3 * WRONG + SURE) / 4,
    "weighted-bce": (3 * WRONG + SURE) / 4,
    "balanced-bce": (3 * WRONG + SURE) / 4,
    "top-k-bce": WRONG,
    "focal": 0.75 * (3 * P**2 * WRONG + Q**2 * SURE) / 4,
    "dice": AREA / (AREA + 1),
    "batch-dice": AREA / (AREA + 1),
    "lesion-dice": 0.0,
    "squared-dice": 1 - 1 / (3 * P**2 + Q**2 + 1),
    "generalised-dice": AREA / 4,
    "log-cosh-dice": log(cosh(AREA / (AREA + 1))),
    "jaccard": AREA / (AREA + 1),
    "lovasz-hinge": 3.0,
    "tversky": 0.3 * AREA / (0.3 * AREA + 1),
    "focal-tversky": (0.3 * AREA / (0.3 * AREA + 1)) ** (3 / 4),
    "bce-dice": (3 * WRONG + SURE) / 4 + AREA / (AREA + 1),
    "unified-focal": 0.5 * 0.4 * (3 * P**0.5 * WRONG + Q**0.5 * SURE) / 4
    + 0.25 * (0.6 * AREA / (4 - AREA + 0.6 * AREA + 1) + (0.4 * AREA / (0.4 * AREA + 1)) ** 0.5),
    "boundary": 0.0,
}


@names
def test_false_pixels_of_a_lesion_free_image_cost_what_is_stated(name):
    found = LOSSES[name](images([2, 2, 2, -2]), images([0, 0, 0, 0]))
    assert found == pytest.approx(FALSE_PIXELS[name], rel=1e-12)


@names
def test_a_lesion_free_image_without_prediction_costs_nothing(name):
    empty = np.zeros((2, 1, 6, 5))
    assert LOSSES[name](empty - CERTAIN, empty) == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("name", sorted(LOSSES.keys() - {"boundary", "lesion-dice"}))
def test_more_false_pixels_of_a_lesion_free_image_cost_no_less(name):
    empty = images([0] * 8)
    costs = [LOSSES[name](images([3] * n + [-3] * (8 - n)), empty) for n in range(9)]
    assert np.all(np.diff(costs) >= -1e-12)
    assert costs[1] > costs[0]


# --- range and perfection -----------------------------------------------------------------------

HIGHEST = dict.fromkeys(LOSSES, inf) | {
    **dict.fromkeys(
        [
            *("dice", "batch-dice", "lesion-dice", "squared-dice"),
            *("jaccard", "tversky", "focal-tversky"),
        ],
        1.0,
    ),
    "generalised-dice": 1.0,
    "log-cosh-dice": log(cosh(1)),
    "boundary": np.hypot(6, 5),
}


@names
@pytest.mark.parametrize("scale", [0.1, 3, 100])
def test_values_stay_in_the_range_that_is_stated(name, scale):
    stream = np.random.default_rng(0)
    for share in (0, 0.1, 0.5, 1):
        target = (stream.random((3, 1, 6, 5)) < share).astype(float)
        for wrong in (stream.normal(size=target.shape), 1 - 2 * target):
            assert 0 <= LOSSES[name](scale * wrong, target) <= HIGHEST[name]
    assert LOSSES[name].range.startswith("[0, ")
    assert ("inf" in LOSSES[name].range) == (HIGHEST[name] == inf or name == "boundary")


@names
@pytest.mark.parametrize("share", [0, 0.4, 1], ids=["empty", "mixed", "all lesion"])
def test_a_perfect_prediction_costs_nothing_and_no_other_costs_less(name, share):
    stream = np.random.default_rng(1)
    target = (stream.random((2, 1, 6, 5)) < share).astype(float)
    assert LOSSES[name](CERTAIN * (2 * target - 1), target) == pytest.approx(0, abs=1e-12)
    assert LOSSES[name](stream.normal(size=target.shape), target) >= 0


@names
def test_a_better_prediction_costs_less(name):
    target = np.zeros((1, 1, 12, 12))
    target[..., 3:9, 3:9] = 1
    logits = np.clip(0.5 - signed_distance(target), -3, 3)
    costs = [LOSSES[name](np.roll(logits, shift, axis=-1), target) for shift in (0, 2, 4)]
    assert costs == sorted(costs)
    assert costs[0] < costs[-1]


# --- reduction and stability --------------------------------------------------------------------


def test_the_loss_of_a_batch_is_the_mean_of_its_images_not_of_their_pixels_together():
    # 0 for the first image, 1 - 1/3 for the second; pooled it would be 1 - 3/5
    logits, target = images([50, -50], [-50, -50]), images([1, 0], [1, 1])
    assert soft_dice_loss(logits, target) == pytest.approx((0 + 2 / 3) / 2)


@pytest.mark.parametrize("name", [name for name in LOSSES if name != "batch-dice"])
def test_each_image_counts_alike_whatever_its_lesion_covers(name):
    stream = np.random.default_rng(2)
    logits = stream.normal(size=(4, 1, 6, 5))
    target = (stream.random(logits.shape) < np.array([0, 0.1, 0.7, 1])[:, None, None, None]) * 1.0
    each = [LOSSES[name](logits[i : i + 1], target[i : i + 1]) for i in range(4)]
    assert LOSSES[name](logits, target) == pytest.approx(np.mean(each))


def test_batch_dice_takes_a_batch_as_one_image():
    logits, target = images([50, -50], [-50, -50]), images([1, 0], [1, 1])
    assert batch_dice_loss(logits, target) == pytest.approx(1 - 3 / 5)
    one = logits.reshape(1, 1, -1, 1), target.reshape(1, 1, -1, 1)
    assert batch_dice_loss(logits, target) == pytest.approx(soft_dice_loss(*one))


def test_batch_dice_never_asks_more_of_an_empty_image_than_of_the_lesion_beside_it():
    """An empty image costs what false alarms beside the lesion would, and not a share of 1."""
    target = images([1] * 50 + [0] * 50, [0] * 100)
    silent, noisy = np.full(target.shape, -4.0), np.full(target.shape, -4.0)
    noisy[1] = -3.0
    assert soft_dice_loss(noisy, target) - soft_dice_loss(silent, target) > 0.05
    assert 0 < batch_dice_loss(noisy, target) - batch_dice_loss(silent, target) < 0.01


def test_lesion_dice_is_the_dice_of_images_with_a_lesion_and_says_nothing_of_others():
    logits, target = images([1, -1], [2, 3], [0, 1]), images([1, 0], [0, 0], [1, 1])
    with_lesion = soft_dice_loss(logits[[0, 2]], target[[0, 2]])
    assert lesion_dice_loss(logits, target) == pytest.approx(2 / 3 * with_lesion)


@names
@pytest.mark.parametrize("size", [1e3, 1e30])
def test_huge_logits_stay_finite(name, size):
    stream = np.random.default_rng(0)
    logits = size * stream.choice([-1.0, 1.0], (3, 1, 4, 4))
    target = (stream.random(logits.shape) > 0.5).astype(float)
    target[1], target[2] = 0, 1
    assert np.isfinite(LOSSES[name](logits, target))


@pytest.mark.parametrize("name", [name for name in LOSSES if name != "boundary"])
def test_volumes_are_losses_of_the_same_pixels(name):
    stream = np.random.default_rng(0)
    logits, target = stream.normal(size=(2, 1, 3, 4, 5)), stream.random((2, 1, 3, 4, 5)) > 0.5
    flat = (array.astype(float).reshape(2, 1, 12, 5) for array in (logits, target))
    assert LOSSES[name](logits, target.astype(float)) == pytest.approx(LOSSES[name](*flat))


# --- the distance map ---------------------------------------------------------------------------


def test_distance_is_negative_inside_and_zero_on_the_outermost_pixels_of_a_lesion():
    target = np.zeros((1, 1, 7, 7))
    target[..., 1:6, 1:6] = 1
    distance = signed_distance(target)[0, 0]
    assert distance.dtype == np.float32
    assert distance[3].tolist() == [1, 0, -1, -2, -1, 0, 1]
    assert distance[0, 0] == pytest.approx(2**0.5)


def test_distance_is_of_each_image_alone_and_of_volumes_too():
    target = np.zeros((2, 1, 3, 3, 3))
    target[0, 0, 1, 1, 1] = 1
    distance = signed_distance(target)
    assert distance[0, 0, 0, 0, 0] == pytest.approx(3**0.5)
    assert not distance[1].any()


@pytest.mark.parametrize("label", [0, 1])
def test_an_image_of_one_class_alone_has_no_outline_and_no_distance(label):
    assert not signed_distance(np.full((1, 1, 4, 4), label)).any()


# --- what the registry tells --------------------------------------------------------------------


@names
def test_the_registry_tells_everything(name):
    loss = LOSSES[name]
    assert loss.name == name
    assert ">>>" not in loss.details
    for text in (loss.summary, loss.formula, loss.range, loss.lesion_free, loss.source):
        assert text.strip()
        assert "  " not in text
    for parameter in loss.parameters:
        assert parameter.meaning
        assert parameter.limits


def test_the_registry_reads_docstrings_with_fields_of_several_lines():
    loss = LOSSES["unified-focal"]
    assert loss.summary.endswith("the asymmetric form")
    assert loss.details.startswith("Background that is easy counts less")
    assert loss.details.endswith("as in the authors' code.")
    assert loss.formula.startswith("focal_share F + ")
    assert loss.formula.endswith("/ 2")
    assert loss.call == "unified-focal(focal_share=0.5,delta=0.6,gamma=0.5)"
    assert [each.limits for each in loss.parameters] == [">= 0, <= 1", "> 0, < 1", ">= 0, < 1"]
    assert LOSSES["dice"].call == "dice"
    assert LOSSES["dice"].details == ""
