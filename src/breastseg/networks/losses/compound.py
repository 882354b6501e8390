"""Losses made of one over pixels and one of regions; formulas in the terms of networks.losses."""

import numpy as np

from breastseg.networks.losses.overlap import SMOOTH, Regions, power, soft_dice_loss
from breastseg.networks.losses.pixelwise import (
    Logits,
    Target,
    binary_cross_entropy,
    log_probability_of_the_wrong,
    pixel_cross_entropy,
    space,
)


def bce_dice_loss(logits: Logits, target: Target) -> float:
    """Binary cross-entropy plus soft Dice loss, each with weight 1.

    Formula: bce + dice
    Range: [0, inf)
    Lesion-free: bce + n / (n + 1); 0 when nothing is predicted.
    Source: the sum that nnU-Net minimises, Isensee et al. 2021, section "Blueprint parameters"
    """
    return binary_cross_entropy(logits, target) + soft_dice_loss(logits, target)


def unified_focal_loss(
    logits: Logits, target: Target, *, focal_share: float, delta: float, gamma: float
) -> float:
    """Focal loss and focal Tversky loss with common parameters, the asymmetric form.

    Background that is easy counts less, a lesion that is badly found counts more. The focal
    part is F, the Tversky part T, with TI = (TP + S) / (TP + delta FN + (1 - delta) FP + S) of
    the lesion and TI' of the background, where TN, FP and FN take the places of TP, FN and FP.
    The mean of the two classes is taken as in the authors' code.

    Formula: focal_share F + (1 - focal_share) T, F = mean of delta g ce +
        (1 - delta) (1 - g) p^gamma ce, T = ((1 - TI') + (1 - TI)^(1 - gamma)) / 2
    Range: [0, inf)
    Lesion-free: as the formula; 0 when nothing is predicted.
    Source: Yeung et al. 2022 (arXiv:2102.04525), asymmetric unified focal loss, smoothed
    """
    ce = pixel_cross_entropy(logits, target)
    easy = np.exp(gamma * log_probability_of_the_wrong(logits, target))
    weight = delta * target + (1 - delta) * (1 - target) * easy
    focal = (weight * ce).mean(axis=space(logits))
    found = Regions.of(logits, target)
    missed_lesion = delta * found.misses + (1 - delta) * found.false_alarms
    missed_background = delta * found.false_alarms + (1 - delta) * found.misses
    lesion = missed_lesion / (found.hits + missed_lesion + SMOOTH)
    background = missed_background / (found.rejections + missed_background + SMOOTH)
    tversky = (background + power(lesion, 1 - gamma)) / 2
    return float(np.mean(focal_share * focal + (1 - focal_share) * tversky))
