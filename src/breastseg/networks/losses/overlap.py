"""Losses that compare two regions as wholes; formulas in the terms of networks.losses."""

from dataclasses import dataclass
from typing import Self

import numpy as np
from scipy.special import expit

from breastseg.networks.losses.pixelwise import Logits, PerImage, Target, space

SMOOTH = 1.0
"""Pixels added to both sides of a ratio of regions. It must be above 0, so that an image
without a lesion and without a prediction costs nothing."""

STEEPEST = 1e-6
"""Below it a power under 1 goes on as a straight line to 0, where its slope would be infinite."""


@dataclass(frozen=True, slots=True)
class Regions:
    """Pixels of each image that are rightly and wrongly predicted, as sums of probabilities.

    hits: TP. false_alarms: FP. misses: FN. rejections: TN.
    """

    hits: PerImage
    false_alarms: PerImage
    misses: PerImage
    rejections: PerImage

    @classmethod
    def of(cls, logits: Logits, target: Target) -> Self:
        """Count them; 1 - p is taken as sigmoid(-x), which keeps its digits near 0."""
        lesion, background = expit(logits), expit(-logits)
        axes = space(logits)
        return cls(
            hits=(lesion * target).sum(axis=axes),
            false_alarms=(lesion * (1 - target)).sum(axis=axes),
            misses=(background * target).sum(axis=axes),
            rejections=(background * (1 - target)).sum(axis=axes),
        )


def _dice(logits: Logits, target: Target) -> PerImage:
    probability = expit(logits)
    overlap = (probability * target).sum(axis=space(logits))
    total = probability.sum(axis=space(logits)) + target.sum(axis=space(logits))
    loss: PerImage = 1 - (2 * overlap + SMOOTH) / (total + SMOOTH)
    return loss


def soft_dice_loss(logits: Logits, target: Target) -> float:
    """1 - soft Dice of lesion and prediction.

    Formula: 1 - (2 TP + S) / (sum p + sum g + S)
    Range: [0, 1)
    Lesion-free: n / (n + 1); 0 when nothing is predicted.
    Source: Milletari et al. 2016 (V-Net), section 3, without the squares, smoothed

    >>> empty = np.zeros((1, 1, 8, 8))
    >>> soft_dice_loss(empty - 1e9, empty)
    0.0
    """
    return float(np.mean(_dice(logits, target)))


def batch_dice_loss(logits: Logits, target: Target) -> float:
    """1 - soft Dice of all images of a batch taken as one.

    For patches of volumes, of which many hold no lesion: where each patch counts alone, those
    drive a network to find nothing. With optimisation.accumulation, a batch is a part of one.

    Formula: 1 - (2 TP + S) / (sum p + sum g + S), sums over the batch
    Range: [0, 1)
    Lesion-free: n / (n + 1) where the whole batch is; else n more in the denominator.
    Source: Isensee et al. 2021 (nnU-Net), supplementary note 2, there called batch Dice; smoothed

    >>> lesion, empty = np.ones((1, 1, 8, 8)), np.zeros((1, 1, 8, 8))
    >>> target = np.concatenate([lesion, empty])
    >>> batch_dice_loss(1e9 * (2 * target - 1), target)
    0.0
    """
    probability = expit(logits)
    total = probability.sum() + target.sum()
    return float(1 - (2 * (probability * target).sum() + SMOOTH) / (total + SMOOTH))


def lesion_dice_loss(logits: Logits, target: Target) -> float:
    """1 - soft Dice of the images with a lesion; an image without one costs nothing here.

    To be added to a loss of pixels, which alone then decides on lesion-free images: a Dice term
    makes a few pixels there as dear as a whole lesion missed elsewhere.

    Formula: dice where sum g > 0, else 0
    Range: [0, 1)
    Lesion-free: 0
    Source: Milletari et al. 2016 (V-Net), section 3, of images with a lesion alone

    >>> empty = np.zeros((1, 1, 8, 8))
    >>> lesion_dice_loss(empty + 1e9, empty)
    0.0
    """
    has_lesion = target.sum(axis=space(logits)) > 0
    return float(np.mean(_dice(logits, target) * has_lesion))


def squared_dice_loss(logits: Logits, target: Target) -> float:
    """1 - soft Dice with squares below, as V-Net has it: its gradient fades with p.

    Formula: 1 - (2 TP + S) / (sum p^2 + sum g^2 + S)
    Range: [0, 1)
    Lesion-free: n / (n + 1); 0 when nothing is predicted.
    Source: Milletari et al. 2016 (V-Net), section 3, smoothed
    """
    probability, axes = expit(logits), space(logits)
    overlap = (probability * target).sum(axis=axes)
    total = (probability**2).sum(axis=axes) + (target**2).sum(axis=axes)
    return float(np.mean(1 - (2 * overlap + SMOOTH) / (total + SMOOTH)))


def generalised_dice_loss(logits: Logits, target: Target) -> float:
    """1 - Dice over lesion and background, each weighed by the inverse square of its size.

    With w = 1 / (number of its pixels)^2 of the lesion and v of the background. A class that
    the image has not takes the weight of the other, whose own would be infinite.

    Formula: 1 - 2 (w TP + v TN) / (w (sum p + sum g) + v (sum (1 - p) + sum (1 - g)))
    Range: [0, 1]
    Lesion-free: n / N, the share of the pixels predicted; 0 when nothing is.
    Source: Sudre et al. 2017 (arXiv:1707.03237), section 2, for two classes
    """
    found = Regions.of(logits, target)
    lesion = target.sum(axis=space(logits))
    background = (1 - target).sum(axis=space(logits))
    w = 1 / np.where(lesion > 0, lesion, background) ** 2
    v = 1 / np.where(background > 0, background, lesion) ** 2
    agreed = w * found.hits + v * found.rejections
    all_lesion = w * (found.hits + found.false_alarms + lesion)
    all_background = v * (found.rejections + found.misses + background)
    return float(np.mean(1 - 2 * agreed / (all_lesion + all_background)))


def log_cosh_dice_loss(logits: Logits, target: Target) -> float:
    """Logarithm of the hyperbolic cosine of the Dice loss: flatter where that is small.

    Formula: log cosh dice
    Range: [0, 0.434), up to log cosh 1
    Lesion-free: log cosh (n / (n + 1)); 0 when nothing is predicted.
    Source: Jadon 2020 (arXiv:2006.14822), section "Log-Cosh Dice Loss"
    """
    return float(np.mean(np.log(np.cosh(_dice(logits, target)))))


def jaccard_loss(logits: Logits, target: Target) -> float:
    """1 - soft intersection over union.

    Formula: 1 - (TP + S) / (TP + FP + FN + S)
    Range: [0, 1)
    Lesion-free: n / (n + 1); 0 when nothing is predicted.
    Source: Rahman and Wang 2016 (Optimizing intersection-over-union in deep neural networks),
        smoothed
    """
    return tversky_loss(logits, target, alpha=1.0, beta=1.0)


def _tversky(logits: Logits, target: Target, alpha: float, beta: float) -> PerImage:
    found = Regions.of(logits, target)
    wrong = alpha * found.false_alarms + beta * found.misses
    loss: PerImage = wrong / (found.hits + wrong + SMOOTH)
    return loss


def tversky_loss(logits: Logits, target: Target, *, alpha: float, beta: float) -> float:
    """1 - Tversky index: false positives and false negatives each have a weight.

    Formula: 1 - (TP + S) / (TP + alpha FP + beta FN + S)
    Range: [0, 1)
    Lesion-free: alpha n / (alpha n + 1); 0 when nothing is predicted.
    Source: Salehi et al. 2017 (arXiv:1706.05721), section "Tversky loss", smoothed
    """
    return float(np.mean(_tversky(logits, target, alpha, beta)))


def power(loss: PerImage, exponent: float) -> PerImage:
    """Return loss^exponent, a straight line below STEEPEST; loss is in [0, 1]."""
    line = loss * STEEPEST ** (exponent - 1)
    raised: PerImage = np.where(loss > STEEPEST, np.maximum(loss, STEEPEST) ** exponent, line)
    return raised


def focal_tversky_loss(
    logits: Logits, target: Target, *, alpha: float, beta: float, gamma: float
) -> float:
    """Power of the Tversky loss: gamma above 1 keeps on pulling at images that are nearly right.

    Below a Tversky loss of 1e-6 the power goes on as a straight line to 0, where its slope
    would be infinite. In the paper alpha and beta have each other's place.

    Formula: tversky^(1 / gamma)
    Range: [0, 1)
    Lesion-free: (alpha n / (alpha n + 1))^(1 / gamma); 0 when nothing is predicted.
    Source: Abraham and Khan 2019 (arXiv:1810.07842), section "Focal Tversky loss"
    """
    return float(np.mean(power(_tversky(logits, target, alpha, beta), 1 / gamma)))


def lovasz_hinge_loss(logits: Logits, target: Target) -> float:
    """Convex continuation of 1 - intersection over union, on the hinge errors of the pixels.

    Each pixel's error is max(0, 1 - (2 g - 1) x). They are sorted, largest first; each weighs
    by how much the Jaccard loss rises when its pixel becomes wrong after those before it.

    Formula: sum of error_i (J_i - J_(i-1)), J_i = 1 - IoU with the i largest errors wrong
    Range: [0, inf)
    Lesion-free: the largest error; 0 when every logit is -1 or less.
    Source: Berman et al. 2018 (arXiv:1705.08790), section 3 and algorithm 1, per image
    """
    return float(np.mean([_lovasz_hinge(*image) for image in zip(logits, target, strict=True)]))


def _lovasz_hinge(logits: Logits, target: Target) -> float:
    x, lesion = logits.ravel(), target.ravel()
    errors = np.maximum(0, 1 - (2 * lesion - 1) * x)
    order = np.argsort(-errors, kind="stable")
    sorted_lesion = lesion[order]
    intersection = lesion.sum() - sorted_lesion.cumsum()
    union = lesion.sum() + (1 - sorted_lesion).cumsum()
    jaccard = 1 - intersection / union
    return float(errors[order] @ np.diff(jaccard, prepend=0.0))
