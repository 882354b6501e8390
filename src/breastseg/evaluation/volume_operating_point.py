"""The operating threshold of volumes, by a rule of its own beside operating_point.

Of a volume's Dice a large lesion is most, and a small one nothing. So the lesions are counted
too: a threshold may cost no more of the lesions found than of the Dice.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from jaxtyping import Float64

from breastseg.evaluation.operating_point import THRESHOLDS, TOLERATED_LOSS

Row = Float64[np.ndarray, " thresholds"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RatedCandidate:
    """A component of probability 0.5 and more.

    score: of its most probable voxel. hit: how many of its voxels are lesion. finds: whether it
    finds a lesion by the rule of evaluation.matching.
    """

    score: float
    voxels: int
    hit: int
    finds: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class RatedVolume:
    """The candidates of a volume, and what was drawn in it, wherever it lies."""

    candidates: tuple[RatedCandidate, ...]
    lesion_voxels: int
    num_lesions: int

    def calibrated(self, probability: Callable[[float], float]) -> Self:
        """Return the same with other scores of the candidates."""
        changed = (replace(each, score=probability(each.score)) for each in self.candidates)
        return replace(self, candidates=tuple(changed))


@dataclass(frozen=True, slots=True, kw_only=True)
class VolumeOperatingPoint:
    """A threshold and what it gave on the volumes that it was chosen on.

    mean_dice: over the volumes with a lesion. sensitivity: share of all lesions found.
    candidates_per_volume: that are shown, over all volumes. false_positives_per_volume: those of
    them that find no lesion. specificity: share of the volumes without a lesion in which nothing
    is shown; None where there are none.
    """

    threshold: float
    mean_dice: float
    sensitivity: float
    candidates_per_volume: float
    false_positives_per_volume: float
    specificity: float | None
    num_lesions: int
    num_lesion_images: int
    num_lesion_free_images: int


def choose_volume_operating_point(volumes: Sequence[RatedVolume]) -> VolumeOperatingPoint | None:
    """Choose the highest threshold that costs at most 0.01 of the lesions found and of the Dice.

    Of the lesions first: of the thresholds that cost no more of them than that, the highest
    whose mean Dice is at most 0.01 below the best among these.

    Args:
        volumes: with calibrated scores.

    Returns:
        None where no volume has a lesion, or none of it is marked at any threshold.
    """
    ill = [each for each in volumes if each.num_lesions]
    healthy = [each for each in volumes if not each.num_lesions]
    if not ill:
        return None
    mean_dice = np.mean([_dice(each) for each in ill], axis=0)
    if not mean_dice.any():
        return None
    num_lesions = sum(each.num_lesions for each in ill)
    sensitivity = np.sum([_count(each, finds=True) for each in ill], axis=0) / num_lesions
    false = np.mean([_count(each, finds=False) for each in volumes], axis=0)
    shown = np.mean([_shown(each).sum(axis=0) for each in volumes], axis=0)
    keeps = sensitivity >= sensitivity.max() - TOLERATED_LOSS
    good = keeps & (mean_dice >= mean_dice[keeps].max() - TOLERATED_LOSS)
    chosen = int(np.flatnonzero(good)[-1])
    silent = [float(not _shown(each)[:, chosen].any()) for each in healthy]
    return VolumeOperatingPoint(
        threshold=float(THRESHOLDS[chosen]),
        mean_dice=float(mean_dice[chosen]),
        sensitivity=float(sensitivity[chosen]),
        candidates_per_volume=float(shown[chosen]),
        false_positives_per_volume=float(false[chosen]),
        specificity=float(np.mean(silent)) if silent else None,
        num_lesions=num_lesions,
        num_lesion_images=len(ill),
        num_lesion_free_images=len(healthy),
    )


def _shown(volume: RatedVolume) -> Float64[np.ndarray, "candidates thresholds"]:
    """Return 1 for each candidate at each threshold that shows it."""
    scores = np.array([each.score for each in volume.candidates], np.float64)
    return np.asarray(scores[:, None] >= THRESHOLDS, np.float64)


def _count(volume: RatedVolume, *, finds: bool) -> Row:
    """Count the shown candidates that find a lesion, or those that do not."""
    kind = np.array([each.finds == finds for each in volume.candidates], np.float64)
    return np.asarray(kind @ _shown(volume))


def _dice(volume: RatedVolume) -> Row:
    shown = _shown(volume)
    marked = np.array([each.voxels for each in volume.candidates], np.float64) @ shown
    hit = np.array([each.hit for each in volume.candidates], np.float64) @ shown
    return np.asarray(2 * hit / (marked + volume.lesion_voxels))
