"""TensorFlow twins of networks.losses; channels may be last, since a loss has one channel."""

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

import tensorflow as tf

from breastseg.core.loss_terms import LossTerm
from breastseg.core.network_recipe import UNLABELLED
from breastseg.networks.deep_supervision import level_weights
from breastseg.networks.losses import SMOOTH, needs_distance
from breastseg.networks.losses.overlap import STEEPEST


def _sum(values: tf.Tensor) -> tf.Tensor:
    """Sum over each image."""
    return tf.reduce_sum(values, axis=tuple(range(1, len(values.shape))))


def _flat(values: tf.Tensor) -> tf.Tensor:
    return tf.reshape(values, (tf.shape(values)[0], -1))


def _pixel_cross_entropy(logits: tf.Tensor, target: tf.Tensor) -> tf.Tensor:
    return tf.nn.sigmoid_cross_entropy_with_logits(labels=target, logits=logits)


def binary_cross_entropy(logits: tf.Tensor, target: tf.Tensor) -> tf.Tensor:
    """See networks.losses.binary_cross_entropy."""
    return tf.reduce_mean(_pixel_cross_entropy(logits, target))


def weighted_cross_entropy(
    logits: tf.Tensor, target: tf.Tensor, *, positive_weight: float
) -> tf.Tensor:
    """See networks.losses.weighted_cross_entropy."""
    weight = 1 + (positive_weight - 1) * target
    return tf.reduce_mean(weight * _pixel_cross_entropy(logits, target))


def balanced_cross_entropy(logits: tf.Tensor, target: tf.Tensor) -> tf.Tensor:
    """See networks.losses.balanced_cross_entropy."""
    ce = _pixel_cross_entropy(logits, target)
    lesion, background = _sum(target), _sum(1 - target)
    in_lesion = _sum(target * ce) / tf.maximum(lesion, 1)
    in_background = _sum((1 - target) * ce) / tf.maximum(background, 1)
    num_present = tf.cast(lesion > 0, ce.dtype) + tf.cast(background > 0, ce.dtype)
    return tf.reduce_mean((in_lesion + in_background) / num_present)


def top_k_cross_entropy(logits: tf.Tensor, target: tf.Tensor, *, share: float) -> tf.Tensor:
    """See networks.losses.top_k_cross_entropy."""
    ce = _flat(_pixel_cross_entropy(logits, target))
    # networks.losses.num_hardest, of a size that a graph may not know yet
    rounded = tf.round(share * tf.cast(tf.shape(ce)[1], tf.float64))
    num_hardest = tf.maximum(1, tf.cast(rounded, tf.int32))
    return tf.reduce_mean(tf.math.top_k(ce, k=num_hardest, sorted=False).values)


def _log_probability_of_the_wrong(logits: tf.Tensor, target: tf.Tensor) -> tf.Tensor:
    return -tf.nn.softplus((2 * target - 1) * logits)


def focal_loss(logits: tf.Tensor, target: tf.Tensor, *, alpha: float, gamma: float) -> tf.Tensor:
    """See networks.losses.focal_loss."""
    weight = alpha * target + (1 - alpha) * (1 - target)
    focus = tf.exp(gamma * _log_probability_of_the_wrong(logits, target))
    return tf.reduce_mean(weight * focus * _pixel_cross_entropy(logits, target))


def _dice(logits: tf.Tensor, target: tf.Tensor) -> tf.Tensor:
    probability = tf.sigmoid(logits)
    overlap = _sum(probability * target)
    total = _sum(probability) + _sum(target)
    return 1 - (2 * overlap + SMOOTH) / (total + SMOOTH)


def soft_dice_loss(logits: tf.Tensor, target: tf.Tensor) -> tf.Tensor:
    """See networks.losses.soft_dice_loss."""
    return tf.reduce_mean(_dice(logits, target))


def batch_dice_loss(logits: tf.Tensor, target: tf.Tensor) -> tf.Tensor:
    """See networks.losses.batch_dice_loss."""
    probability = tf.sigmoid(logits)
    total = tf.reduce_sum(probability) + tf.reduce_sum(target)
    return 1 - (2 * tf.reduce_sum(probability * target) + SMOOTH) / (total + SMOOTH)


def lesion_dice_loss(logits: tf.Tensor, target: tf.Tensor) -> tf.Tensor:
    """See networks.losses.lesion_dice_loss."""
    dice = _dice(logits, target)
    return tf.reduce_mean(dice * tf.cast(_sum(target) > 0, dice.dtype))


def squared_dice_loss(logits: tf.Tensor, target: tf.Tensor) -> tf.Tensor:
    """See networks.losses.squared_dice_loss."""
    probability = tf.sigmoid(logits)
    total = _sum(tf.square(probability)) + _sum(tf.square(target))
    return tf.reduce_mean(1 - (2 * _sum(probability * target) + SMOOTH) / (total + SMOOTH))


class _Regions(NamedTuple):
    """See networks.losses.overlap.Regions."""

    hits: tf.Tensor
    false_alarms: tf.Tensor
    misses: tf.Tensor
    rejections: tf.Tensor


def _regions(logits: tf.Tensor, target: tf.Tensor) -> _Regions:
    lesion, background = tf.sigmoid(logits), tf.sigmoid(-logits)
    return _Regions(
        hits=_sum(lesion * target),
        false_alarms=_sum(lesion * (1 - target)),
        misses=_sum(background * target),
        rejections=_sum(background * (1 - target)),
    )


def generalised_dice_loss(logits: tf.Tensor, target: tf.Tensor) -> tf.Tensor:
    """See networks.losses.generalised_dice_loss; as errors / all, which loses no digits."""
    found = _regions(logits, target)
    lesion, background = _sum(target), _sum(1 - target)
    w = 1 / tf.square(tf.where(lesion > 0, lesion, background))
    v = 1 / tf.square(tf.where(background > 0, background, lesion))
    wrong = (w + v) * (found.false_alarms + found.misses)
    all_lesion = w * (found.hits + found.false_alarms + lesion)
    all_background = v * (found.rejections + found.misses + background)
    return tf.reduce_mean(wrong / (all_lesion + all_background))


def log_cosh_dice_loss(logits: tf.Tensor, target: tf.Tensor) -> tf.Tensor:
    """See networks.losses.log_cosh_dice_loss."""
    return tf.reduce_mean(tf.math.log(tf.cosh(_dice(logits, target))))


def jaccard_loss(logits: tf.Tensor, target: tf.Tensor) -> tf.Tensor:
    """See networks.losses.jaccard_loss."""
    return tversky_loss(logits, target, alpha=1.0, beta=1.0)


def _tversky(logits: tf.Tensor, target: tf.Tensor, alpha: float, beta: float) -> tf.Tensor:
    found = _regions(logits, target)
    wrong = alpha * found.false_alarms + beta * found.misses
    return wrong / (found.hits + wrong + SMOOTH)


def tversky_loss(logits: tf.Tensor, target: tf.Tensor, *, alpha: float, beta: float) -> tf.Tensor:
    """See networks.losses.tversky_loss."""
    return tf.reduce_mean(_tversky(logits, target, alpha, beta))


def _power(loss: tf.Tensor, exponent: float) -> tf.Tensor:
    """See networks.losses.overlap.power; the maximum keeps an infinite slope from becoming NaN."""
    line = loss * STEEPEST ** (exponent - 1)
    return tf.where(loss > STEEPEST, tf.maximum(loss, STEEPEST) ** exponent, line)


def focal_tversky_loss(
    logits: tf.Tensor, target: tf.Tensor, *, alpha: float, beta: float, gamma: float
) -> tf.Tensor:
    """See networks.losses.focal_tversky_loss."""
    return tf.reduce_mean(_power(_tversky(logits, target, alpha, beta), 1 / gamma))


def lovasz_hinge_loss(logits: tf.Tensor, target: tf.Tensor) -> tf.Tensor:
    """See networks.losses.lovasz_hinge_loss, and its PyTorch twin on the steps of J."""
    x, lesion = _flat(logits), _flat(target)
    errors = tf.nn.relu(1 - (2 * lesion - 1) * x)
    order = tf.argsort(errors, axis=1, direction="DESCENDING", stable=True)
    sorted_errors = tf.gather(errors, order, batch_dims=1)
    is_lesion = tf.gather(lesion, order, batch_dims=1)
    size = tf.reduce_sum(lesion, axis=1, keepdims=True)
    intersection = size - tf.cumsum(is_lesion, axis=1)
    union = size + tf.cumsum(1 - is_lesion, axis=1)
    outside = intersection / (union * tf.maximum(union - 1, 1))
    steps = tf.where(is_lesion > 0, 1 / union, outside)
    # without a lesion the whole step from 0 to 1 is the first pixel's, where the union is 1
    steps += tf.cast((size == 0) & (union == 1), steps.dtype)
    return tf.reduce_mean(tf.reduce_sum(sorted_errors * steps, axis=1))


def bce_dice_loss(logits: tf.Tensor, target: tf.Tensor) -> tf.Tensor:
    """See networks.losses.bce_dice_loss."""
    return binary_cross_entropy(logits, target) + soft_dice_loss(logits, target)


def unified_focal_loss(
    logits: tf.Tensor, target: tf.Tensor, *, focal_share: float, delta: float, gamma: float
) -> tf.Tensor:
    """See networks.losses.unified_focal_loss."""
    easy = tf.exp(gamma * _log_probability_of_the_wrong(logits, target))
    weight = delta * target + (1 - delta) * (1 - target) * easy
    focal = tf.reduce_mean(weight * _pixel_cross_entropy(logits, target))
    found = _regions(logits, target)
    missed_lesion = delta * found.misses + (1 - delta) * found.false_alarms
    missed_background = delta * found.false_alarms + (1 - delta) * found.misses
    lesion = missed_lesion / (found.hits + missed_lesion + SMOOTH)
    background = missed_background / (found.rejections + missed_background + SMOOTH)
    tversky = tf.reduce_mean((background + _power(lesion, 1 - gamma)) / 2)
    return focal_share * focal + (1 - focal_share) * tversky


def boundary_loss(logits: tf.Tensor, distance: tf.Tensor) -> tf.Tensor:
    """See networks.losses.boundary_loss; takes the signed distance instead of the target."""
    wrong = tf.sigmoid(tf.where(distance > 0, logits, -logits))
    return tf.reduce_mean(tf.abs(distance) * wrong)


LOSSES: Mapping[str, Callable[..., tf.Tensor]] = MappingProxyType(
    {
        "bce": binary_cross_entropy,
        "weighted-bce": weighted_cross_entropy,
        "balanced-bce": balanced_cross_entropy,
        "top-k-bce": top_k_cross_entropy,
        "focal": focal_loss,
        "dice": soft_dice_loss,
        "batch-dice": batch_dice_loss,
        "lesion-dice": lesion_dice_loss,
        "squared-dice": squared_dice_loss,
        "generalised-dice": generalised_dice_loss,
        "log-cosh-dice": log_cosh_dice_loss,
        "jaccard": jaccard_loss,
        "lovasz-hinge": lovasz_hinge_loss,
        "tversky": tversky_loss,
        "focal-tversky": focal_tversky_loss,
        "bce-dice": bce_dice_loss,
        "unified-focal": unified_focal_loss,
        "boundary": boundary_loss,
    }
)


def total_loss(
    terms: Sequence[LossTerm],
    logits: tf.Tensor,
    target: tf.Tensor,
    distance: tf.Tensor | None = None,
) -> tf.Tensor:
    """Return the weighted sum of the terms, in float32.

    Args:
        distance: networks.losses.signed_distance of the target, where needs_distance(terms).
    """
    wide = tf.cast(logits, tf.float32)
    losses = []
    for term in terms:
        compared = distance if needs_distance([term]) else target
        value = LOSSES[term.name](wide, compared, **term.parameters.model_dump())
        losses.append(term.weight * value)
    return tf.add_n(losses)


def class_cross_entropy(logits: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
    """See networks.classification.class_cross_entropy."""
    places = tf.maximum(labels, 0)
    losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels=places, logits=logits)
    return tf.reduce_mean(tf.where(labels == UNLABELLED, 0.0, losses))


def deeply_supervised_loss(
    terms: Sequence[LossTerm],
    logits: Sequence[tf.Tensor],
    targets: Sequence[tuple[tf.Tensor, tf.Tensor | None]],
) -> tf.Tensor:
    """See networks.deep_supervision.deeply_supervised_loss.

    Args:
        targets: target and distance of each level, as total_loss takes them.
    """
    weights = level_weights(len(logits))
    levels = zip(weights, logits, targets, strict=True)
    return tf.add_n([weight * total_loss(terms, x, *target) for weight, x, target in levels])
