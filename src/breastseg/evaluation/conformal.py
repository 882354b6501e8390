"""Guarantees for single lesions by split conformal prediction, with one score per group.

Images of one patient, or near duplicates, resemble each other, so that they are no exchangeable
draws. Groups are: every group gives one score, that of its worst image, and what is guaranteed
holds for all images of a new group at once.

- Outer mask {p >= t}: of each lesion image it misses at most a tolerated share of the lesion.
  An image's score is the highest t for which that is so; it is near 0 for a lesion that the
  model misses altogether, and a low score pulls the threshold down. Over the groups with a
  lesion; nothing is said of an image without one.
- Inner mask {p > t}: at most a tolerated share of it lies outside the lesion. An image's score
  is the lowest t from which on that is so at every threshold, which makes the masks nested. An
  empty mask is right. Over all groups: an image without a lesion is right with an empty mask
  alone, so that its score is its highest probability.

Of n scores the guarantee needs the floor((n + 1) alpha)-th worst; where that is 0 there are too
few groups, and there is no guarantee. It then holds with probability at least 1 - alpha over a
new group and the calibration groups together, if all are exchangeable: drawn alike, from the
same clinics, scanners and patients. Under a shift it can fail, and nothing notices.

A temperature that was fitted on the same groups does no harm: it moves scores and probabilities
alike, so that the masks stay the same but for the rounding of float32.

Sources: Papadopoulos et al. 2002 and Vovk et al. 2005, section 2.2 (split conformal, the rank);
Bates et al. 2021,
doi:10.1145/3478535 (nested masks and a tolerated loss); Angelopoulos et al. 2022,
arXiv:2208.02814; Dunn et al. 2022, doi:10.1080/01621459.2022.2060112 (groups).
"""

import math
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from breastseg.core.calibration import ConformalThreshold, check_confidence
from breastseg.core.errors import InputError
from breastseg.core.image import Pixels
from breastseg.evaluation.overlap import Mask, require_same_grid

ALPHA = 0.1
TOLERANCE = 0.1
ROUNDING = 1e-9
"""0.1 is no binary fraction: 0.1 x 30 pixels must allow 3 of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConformalScore:
    """What an image of the calibration part says of the thresholds.

    outer: highest threshold whose mask still holds the lesion; None without a lesion.
    inner: above it, every threshold's mask is lesion.
    """

    group: Hashable
    outer: float | None
    inner: float


def conformal_score(
    probability: Pixels,
    reference: Mask,
    *,
    group: Hashable,
    tolerance: float = TOLERANCE,
    lowest: float = 0.0,
) -> ConformalScore:
    """Score one image; only two numbers are kept of it.

    Only the order of the probabilities counts: logits give the scores as logits.

    Args:
        lowest: below every value: 0 of probabilities, minus infinity of logits.

    Raises:
        GeometryError, InputError: see outer_score.
    """
    return ConformalScore(
        group=group,
        outer=outer_score(probability, reference, tolerance=tolerance),
        inner=inner_score(probability, reference, tolerance=tolerance, lowest=lowest),
    )


def outer_score(
    probability: Pixels, reference: Mask, *, tolerance: float = TOLERANCE
) -> float | None:
    """Return the highest t in [0, 1] at which {p >= t} misses no more of the lesion than tolerated.

    Args:
        probability: calibrated, in [0, 1].
        reference: all lesions of the image, merged.
        tolerance: share of the lesion's pixels, in [0, 1).

    Returns:
        None where the image has no lesion: there is nothing to miss.

    Raises:
        GeometryError: the shapes differ.
        InputError: the reference is not boolean, or the probability not finite.

    >>> probability = np.array([[[0.9, 0.6, 0.1]]], np.float32)
    >>> reference = np.array([[[True, True, False]]])
    >>> round(outer_score(probability, reference, tolerance=0.0), 3)
    0.6
    """
    _check(probability, reference)
    inside = np.sort(probability[reference])
    if not inside.size:
        return None
    may_miss = math.floor(tolerance * inside.size + ROUNDING)
    return float(inside[may_miss])


def inner_score(
    probability: Pixels,
    reference: Mask,
    *,
    tolerance: float = TOLERANCE,
    lowest: float = 0.0,
) -> float:
    """Return the t in [0, 1] above which every mask {p > t} is lesion, or empty.

    `lowest` where the mask is lesion at every threshold; the highest probability of the image
    where there is no lesion. Arguments and errors of outer_score; the tolerance is a share of
    the mask's pixels.

    >>> probability = np.array([[[0.9, 0.6, 0.1]]], np.float32)
    >>> reference = np.array([[[True, False, False]]])
    >>> round(inner_score(probability, reference, tolerance=0.0), 3)
    0.6
    """
    _check(probability, reference)
    order = np.argsort(probability, axis=None)[::-1]
    ranked = probability.ravel()[order]
    size = np.arange(1, ranked.size + 1)
    outside = np.cumsum(~reference.ravel()[order])
    is_wrong = outside > tolerance * size + ROUNDING
    # A threshold takes all pixels of one probability or none: only their last counts.
    is_wrong[:-1] &= ranked[:-1] > ranked[1:]
    return float(ranked[is_wrong.argmax()]) if is_wrong.any() else lowest


def _check(probability: Pixels, reference: Mask) -> None:
    require_same_grid(reference, np.broadcast_to(np.True_, probability.shape))
    if not np.isfinite(probability).all():
        raise InputError("probabilities must be finite, found NaN or infinity.")


def outer_threshold(
    scores: Iterable[ConformalScore], *, alpha: float = ALPHA, tolerance: float = TOLERANCE
) -> ConformalThreshold:
    """Choose the threshold of the outer mask on the groups with a lesion.

    Args:
        scores: of the calibration part, made with the same tolerance.
        alpha: how often it may fail on a new group with a lesion, in (0, 1).

    Raises:
        InputError: alpha or the tolerance is out of range.
    """
    worst = worst_of_groups(((score.group, score.outer) for score in scores), min)
    return _threshold(sorted(worst), alpha, tolerance)


def inner_threshold(
    scores: Iterable[ConformalScore], *, alpha: float = ALPHA, tolerance: float = TOLERANCE
) -> ConformalThreshold:
    """Choose the threshold of the inner mask on all groups; arguments of outer_threshold."""
    worst = worst_of_groups(((score.group, score.inner) for score in scores), max)
    return _threshold(sorted(worst, reverse=True), alpha, tolerance)


def fewest_groups(alpha: float) -> int:
    """Return how many groups a guarantee needs at least: 1 / alpha - 1, rounded up.

    >>> fewest_groups(0.1)
    9
    """
    return math.ceil(1 / alpha - 1 - ROUNDING)


def rank(num_groups: int, alpha: float) -> int:
    """Return which score is the threshold, counted from 1 for the worst; 0 if there is none.

    It is the one at ceil((n + 1)(1 - alpha)) from the best.

    >>> [rank(num_groups, 0.1) for num_groups in (8, 9, 18, 19)]
    [0, 1, 1, 2]
    """
    return math.floor((num_groups + 1) * alpha + ROUNDING)


def worst_of_groups(
    values: Iterable[tuple[Hashable, float | None]], worse: Callable[[float, float], float]
) -> list[float]:
    """Return the worst value of each group; None counts for nothing."""
    worst: dict[Hashable, float] = {}
    for group, value in values:
        if value is not None:
            worst[group] = worse(worst.get(group, value), value)
    return list(worst.values())


def _threshold(worst_first: Sequence[float], alpha: float, tolerance: float) -> ConformalThreshold:
    check_confidence(alpha, tolerance)
    place = rank(len(worst_first), alpha)
    return ConformalThreshold(
        threshold=worst_first[place - 1] if place else None,
        alpha=alpha,
        tolerance=tolerance,
        num_groups=len(worst_first),
    )
