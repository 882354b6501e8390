"""Losses that are a mean over pixels; formulas in the terms of networks.losses."""

import numpy as np
from jaxtyping import Float

Logits = Float[np.ndarray, "batch channel *space"]
Target = Float[np.ndarray, "batch channel *space"]
PerPixel = Float[np.ndarray, "batch channel *space"]
PerImage = Float[np.ndarray, " batch"]


def space(logits: Logits) -> tuple[int, ...]:
    """Return the axes of one image."""
    return tuple(range(1, logits.ndim))


def pixel_cross_entropy(logits: Logits, target: Target) -> PerPixel:
    """Return the binary cross-entropy of each pixel, in nats, without overflow at any logit."""
    ce: PerPixel = np.maximum(logits, 0) - logits * target + np.log1p(np.exp(-np.abs(logits)))
    return ce


def binary_cross_entropy(logits: Logits, target: Target) -> float:
    """Binary cross-entropy: each pixel counts alike.

    Formula: mean ce
    Range: [0, inf), in nats
    Lesion-free: how surprised the network is, pixel by pixel; 0 when it predicts nothing.
    Source: Goodfellow et al. 2016, Deep Learning, section 6.2.2.2, on logits

    >>> round(binary_cross_entropy(np.zeros((1, 1, 2, 2)), np.ones((1, 1, 2, 2))), 6)
    0.693147
    """
    return float(pixel_cross_entropy(logits, target).mean(axis=space(logits)).mean())


def weighted_cross_entropy(logits: Logits, target: Target, *, positive_weight: float) -> float:
    """Cross-entropy in which a lesion pixel weighs more than one of the background.

    Formula: mean of -positive_weight g log p - (1 - g) log(1 - p)
    Range: [0, inf), in nats
    Lesion-free: as bce; 0 when nothing is predicted.
    Source: Jadon 2020 (arXiv:2006.14822), section "Weighted Binary Cross-Entropy"
    """
    weight = 1 + (positive_weight - 1) * target
    weighted = weight * pixel_cross_entropy(logits, target)
    return float(weighted.mean(axis=space(logits)).mean())


def balanced_cross_entropy(logits: Logits, target: Target) -> float:
    """Cross-entropy in which lesion and background of each image weigh alike.

    Xie and Tu weigh by the other class's share of the pixels, which is this up to a factor per
    image; but an image of one class alone would then cost nothing, whatever is predicted.

    Formula: (mean ce of the lesion + mean ce of the background) / 2; of the one that is there
    Range: [0, inf), in nats
    Lesion-free: as bce; 0 when nothing is predicted.
    Source: Xie and Tu 2015 (Holistically-nested edge detection), equation 2, normalised
    """
    ce = pixel_cross_entropy(logits, target)
    total, num_present = np.zeros(len(logits)), np.zeros(len(logits))
    for members in (target, 1 - target):
        size = members.sum(axis=space(logits))
        total += (members * ce).sum(axis=space(logits)) / np.maximum(size, 1)
        num_present += size > 0
    return float((total / num_present).mean())


def num_hardest(share: float, num_pixels: int) -> int:
    """Return how many pixels that share is: rounded, and at least 1.

    >>> num_hardest(0.1, 30), num_hardest(0.1, 3)
    (3, 1)
    """
    return max(1, round(share * num_pixels))


def top_k_cross_entropy(logits: Logits, target: Target, *, share: float) -> float:
    """Cross-entropy of the hardest pixels of each image alone.

    Formula: mean of the share N largest ce
    Range: [0, inf), in nats
    Lesion-free: cross-entropy of the pixels most like a lesion; 0 when nothing is predicted.
    Source: Wu et al. 2016 (arXiv:1605.06885), online bootstrapping; 10 % as in nnU-Net
    """
    ce = pixel_cross_entropy(logits, target).reshape(len(logits), -1)
    hardest = np.sort(ce, axis=1)[:, -num_hardest(share, ce.shape[1]) :]
    return float(hardest.mean(axis=1).mean())


def focal_loss(logits: Logits, target: Target, *, alpha: float, gamma: float) -> float:
    """Cross-entropy in which a pixel counts less, the more it is right already.

    With p_t the probability of what is there: p in the lesion, 1 - p outside. The paper's alpha
    was chosen for finding objects, together with gamma.

    Formula: mean of (alpha g + (1 - alpha) (1 - g)) (1 - p_t)^gamma ce
    Range: [0, inf)
    Lesion-free: (1 - alpha) mean p^gamma ce; 0 when nothing is predicted.
    Source: Lin et al. 2017 (Focal loss for dense object detection), equation 5
    """
    weight = alpha * target + (1 - alpha) * (1 - target)
    focus = np.exp(gamma * log_probability_of_the_wrong(logits, target))
    per_pixel = weight * focus * pixel_cross_entropy(logits, target)
    return float(per_pixel.mean(axis=space(logits)).mean())


def log_probability_of_the_wrong(logits: Logits, target: Target) -> PerPixel:
    """Return log(1 - p_t) of each pixel, exact where p_t is nearly 1."""
    log_probability: PerPixel = -np.logaddexp(0, (2 * target - 1) * logits)
    return log_probability
