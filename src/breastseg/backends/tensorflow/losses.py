"""TensorFlow twins of networks.losses; channels may be last, since a loss has one channel."""

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

import tensorflow as tf

from breastseg.core.recipe import LossTerm
from breastseg.networks.losses import DICE_SMOOTH


def _space(logits: tf.Tensor) -> tuple[int, ...]:
    return tuple(range(1, len(logits.shape)))


def binary_cross_entropy(logits: tf.Tensor, target: tf.Tensor) -> tf.Tensor:
    """See networks.losses.binary_cross_entropy."""
    per_pixel = tf.nn.sigmoid_cross_entropy_with_logits(labels=target, logits=logits)
    return tf.reduce_mean(per_pixel)


def soft_dice_loss(logits: tf.Tensor, target: tf.Tensor) -> tf.Tensor:
    """See networks.losses.soft_dice_loss."""
    probability = tf.sigmoid(logits)
    overlap = tf.reduce_sum(probability * target, axis=_space(logits))
    total = tf.reduce_sum(probability, axis=_space(logits))
    total += tf.reduce_sum(target, axis=_space(logits))
    return tf.reduce_mean(1 - (2 * overlap + DICE_SMOOTH) / (total + DICE_SMOOTH))


def bce_dice_loss(logits: tf.Tensor, target: tf.Tensor) -> tf.Tensor:
    """See networks.losses.bce_dice_loss."""
    return binary_cross_entropy(logits, target) + soft_dice_loss(logits, target)


LOSSES: Mapping[str, Callable[[tf.Tensor, tf.Tensor], tf.Tensor]] = MappingProxyType(
    {"bce": binary_cross_entropy, "dice": soft_dice_loss, "bce-dice": bce_dice_loss}
)


def total_loss(terms: Sequence[LossTerm], logits: tf.Tensor, target: tf.Tensor) -> tf.Tensor:
    """Return the weighted sum of the terms, in float32."""
    wide = tf.cast(logits, tf.float32)
    return tf.add_n([term.weight * LOSSES[term.name](wide, target) for term in terms])
