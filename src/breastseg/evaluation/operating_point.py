"""The operating threshold: how probable a finding must be to be shown.

It is chosen on the calibration part, which neither training nor the choice of the epoch has
seen: of those that cost the lesion images almost no Dice, the one that leaves the most images
without a lesion silent, and of several such the one with the best Dice. On another scanner a
network is less sure of true lesions too, so that a threshold which is high for nothing loses
them there.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Shaped

from breastseg.core.image import Pixels
from breastseg.core.lesion import find_lesions
from breastseg.evaluation.overlap import Mask

Figures = Shaped[np.ndarray, "thresholds"]

TOLERATED_LOSS = 0.01
"""Of the mean Dice, below that of the best threshold."""
_STEP, _NUM_STEPS = 0.1, 70
THRESHOLDS = np.round(1 / (1 + np.exp(-_STEP * np.arange(_NUM_STEPS))), 4)
"""From 0.5 to 0.999 in even steps of the logit: as fine for calibrated as for bold networks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatingPoint:
    """A threshold and what it gave on the images that it was chosen on.

    mean_dice: over the images with a lesion. specificity: share of those without one in which
    nothing is shown; None where there are none.
    """

    threshold: float
    mean_dice: float
    specificity: float | None
    num_lesion_images: int
    num_lesion_free_images: int


def choose_operating_point(
    predicted: Iterable[tuple[Pixels, Mask]],
) -> OperatingPoint | None:
    """Choose the threshold of the best specificity that costs at most 0.01 of the mean Dice.

    Of several the one with the best Dice, of equals the lowest; where no image is lesion-free,
    the Dice alone decides.

    Args:
        predicted: probability map and reference mask of each calibration image; only a row of
            numbers is kept of each.

    Returns:
        None where no image has a lesion, or none of it is found at any threshold: there is
        nothing to weigh the loss by.
    """
    dice_rows: list[Figures] = []
    silent_rows: list[Figures] = []
    for probability, reference in predicted:
        shown, hit = _areas(probability, reference)
        if reference.any():
            dice_rows.append(2 * hit / (shown + reference.sum()))
        else:
            silent_rows.append(shown == 0)
    if not dice_rows:
        return None
    mean_dice = np.mean(dice_rows, axis=0)
    if not mean_dice.any():
        return None
    allowed = np.flatnonzero(mean_dice >= mean_dice.max() - TOLERATED_LOSS)
    silent = np.mean(silent_rows, axis=0) if silent_rows else np.zeros(len(THRESHOLDS))
    chosen = int(max(allowed, key=lambda each: (silent[each], mean_dice[each], -each)))
    return OperatingPoint(
        threshold=float(THRESHOLDS[chosen]),
        mean_dice=float(mean_dice[chosen]),
        specificity=_share(silent_rows, chosen),
        num_lesion_images=len(dice_rows),
        num_lesion_free_images=len(silent_rows),
    )


def _areas(probability: Pixels, reference: Mask) -> tuple[Figures, Figures]:
    """Return, at each threshold, the pixels that are shown and those of them in the reference.

    The lesions are found once: a higher threshold drops some of them and changes none.
    """
    labels, lesions = find_lesions(probability, threshold=float(THRESHOLDS[0]), spacing_mm=None)
    inside = np.bincount(labels[reference], minlength=len(lesions) + 1)
    shown, hit = np.zeros(len(THRESHOLDS)), np.zeros(len(THRESHOLDS))
    for lesion in lesions:
        stays = lesion.probability >= THRESHOLDS
        shown += lesion.area_px * stays
        hit += inside[lesion.number] * stays
    return shown, hit


def _share(rows: Sequence[Figures], column: int) -> float | None:
    return float(np.mean([row[column] for row in rows])) if rows else None
