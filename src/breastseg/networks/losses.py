"""What each loss means, in NumPy float64. The backends must agree with these to 1e-6.

All take logits, for numerical stability, and a target of 0 and 1, both shaped
(batch, channel, *space). Each is the mean over the images of a batch of the loss of one
image, so that a large lesion does not outvote a small one in another image.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np
from jaxtyping import Float
from scipy.special import expit

DICE_SMOOTH = 1.0
"""Pixels added to both sides of the Dice ratio. It must be above 0, so that an image without
a lesion and without a prediction costs nothing."""

Logits = Float[np.ndarray, "batch channel *space"]
Target = Float[np.ndarray, "batch channel *space"]


def _space(logits: Logits) -> tuple[int, ...]:
    return tuple(range(1, logits.ndim))


def binary_cross_entropy(logits: Logits, target: Target) -> float:
    """Mean binary cross-entropy of the pixels of an image.

    Returns:
        Loss in [0, inf), in nats. For an image without a lesion: how surprised the network
        is, pixel by pixel; 0 when it predicts nothing.

    Source: Goodfellow et al. 2016, Deep Learning, section 6.2.2.2, on logits.

    >>> round(binary_cross_entropy(np.zeros((1, 1, 2, 2)), np.ones((1, 1, 2, 2))), 6)
    0.693147
    """
    per_pixel = np.maximum(logits, 0) - logits * target + np.log1p(np.exp(-np.abs(logits)))
    return float(per_pixel.mean(axis=_space(logits)).mean())


def soft_dice_loss(logits: Logits, target: Target) -> float:
    """Mean over images of 1 - soft Dice.

    Returns:
        Loss in [0, 1]. For an image without a lesion: 0 when nothing is predicted, and
        n / (n + 1) when n pixels are.

    Source: Milletari et al. 2016 (V-Net), section 3, without the squares, smoothed.

    >>> empty = np.zeros((1, 1, 8, 8))
    >>> soft_dice_loss(empty - 1e9, empty)
    0.0
    """
    probability = expit(logits)
    overlap = (probability * target).sum(axis=_space(logits))
    total = probability.sum(axis=_space(logits)) + target.sum(axis=_space(logits))
    return float(np.mean(1 - (2 * overlap + DICE_SMOOTH) / (total + DICE_SMOOTH)))


def bce_dice_loss(logits: Logits, target: Target) -> float:
    """Binary cross-entropy plus soft Dice loss, each with weight 1.

    Returns:
        Loss in [0, inf).

    Source: the sum that nnU-Net minimises, Isensee et al. 2021, section "Blueprint parameters".
    """
    return binary_cross_entropy(logits, target) + soft_dice_loss(logits, target)


LOSSES: Mapping[str, Callable[[Logits, Target], float]] = MappingProxyType(
    {"bce": binary_cross_entropy, "dice": soft_dice_loss, "bce-dice": bce_dice_loss}
)
