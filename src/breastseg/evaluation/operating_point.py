"""The operating threshold: how probable a finding must be to be shown.

It is chosen on the calibration part, which neither training nor the choice of the epoch has
seen: the highest threshold that costs the lesion images almost no Dice. Findings that are
not worth showing go, and with them some false alarms on images without a lesion.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from breastseg.core.image import Pixels
from breastseg.core.lesion import find_lesions
from breastseg.evaluation.overlap import Mask, dice

TOLERATED_LOSS = 0.01
"""Of the mean Dice, below that of the best threshold."""
THRESHOLDS = (0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.925, 0.95, 0.97, 0.98, 0.99)


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
    """Choose the highest threshold that costs at most 0.01 of the mean Dice.

    Args:
        predicted: probability map and reference mask of each calibration image; only a row of
            numbers is kept of each.

    Returns:
        None where no image has a lesion, or none of it is found at any threshold: there is
        nothing to weigh the loss by.
    """
    dice_rows: list[list[float]] = []
    silent_rows: list[list[bool]] = []
    for probability, reference in predicted:
        masks = [_shown(probability, threshold) for threshold in THRESHOLDS]
        if reference.any():
            dice_rows.append([dice(mask, reference) or 0.0 for mask in masks])
        else:
            silent_rows.append([not mask.any() for mask in masks])
    if not dice_rows:
        return None
    mean_dice = np.mean(dice_rows, axis=0)
    if not mean_dice.any():
        return None
    chosen = int(np.flatnonzero(mean_dice >= mean_dice.max() - TOLERATED_LOSS)[-1])
    return OperatingPoint(
        threshold=THRESHOLDS[chosen],
        mean_dice=float(mean_dice[chosen]),
        specificity=_share(silent_rows, chosen),
        num_lesion_images=len(dice_rows),
        num_lesion_free_images=len(silent_rows),
    )


def _shown(probability: Pixels, threshold: float) -> Mask:
    labels, _ = find_lesions(probability, threshold=threshold, spacing_mm=None)
    return labels > 0


def _share(rows: Sequence[Sequence[bool]], column: int) -> float | None:
    return float(np.mean([row[column] for row in rows])) if rows else None
