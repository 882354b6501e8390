"""Curves over a threshold, and their areas, for a cohort and all its resamples at once.

Whatever is ranked (candidates, images) has a score, is right or wrong, and belongs to a group.
Lowering the threshold shows one distinct score after the other; equal scores are shown
together, since no threshold can divide them. In a resample each group counts as often as it
was drawn; figures are arrays over (resample, figure) and NaN where not defined, as
confidence.bootstrap_figures takes them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from jaxtyping import Float64, Int64
from scipy import sparse

from breastseg.evaluation.confidence import Draws, ResampledFigures, ratio_or_nan

Counts = Int64[np.ndarray, "resamples thresholds"]
PerGroup = Int64[np.ndarray, " groups"]

MAX_POINTS = 512
"""Of a curve that is kept to be drawn; every figure comes from all points."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CurvePoint:
    """What is reached when everything from a score on is shown.

    threshold: the lowest score shown; None at the beginning, where nothing is.
    """

    threshold: float | None
    x: float
    y: float


@dataclass(frozen=True, slots=True)
class Ranking:
    """What was scored, counted for each group at each distinct score.

    thresholds: the distinct scores, falling.
    right, wrong: sparse (group, threshold); how many of a group have that score. Right is a
        candidate that finds a lesion, or an image that holds one.
    """

    thresholds: Float64[np.ndarray, " thresholds"]
    right: sparse.csc_array
    wrong: sparse.csc_array

    @classmethod
    def of(
        cls,
        scores: Sequence[float],
        right: Sequence[bool],
        members: Sequence[int],
        num_groups: int,
    ) -> Self:
        """Rank what has those scores, the first three in the same order.

        Args:
            members: the number of the group of each, from 0.
        """
        rising, places = np.unique(np.asarray(scores, np.float64), return_inverse=True)
        columns = rising.size - 1 - places
        is_right = np.asarray(right, np.bool_)
        rows, shape = np.asarray(members, np.int64), (num_groups, rising.size)
        return cls(
            rising[::-1],
            *(
                sparse.csc_array(
                    (np.ones(int(kind.sum()), np.int64), (rows[kind], columns[kind])), shape
                )
                for kind in (is_right, ~is_right)
            ),
        )

    def at_rises(self) -> Self:
        """Return the same with those thresholds alone at which the number of right ones rises.

        The sensitivity rises nowhere else, so that sensitivities_at and average_precision are
        the same, and a network that marks thousands of specks costs no more to resample.
        """
        kept = np.flatnonzero(np.diff(self.right.indptr))
        if not kept.size:
            return type(self)(self.thresholds[:0], self.right[:, :0], self.wrong[:, :0])
        # What is wrong and lies between two rises is shown from the second on.
        goal = np.searchsorted(kept, np.arange(self.thresholds.size))
        within = goal < kept.size
        merge = sparse.csr_array(
            (within[within].astype(np.int64), (np.flatnonzero(within), goal[within])),
            (self.thresholds.size, kept.size),
        )
        return type(self)(self.thresholds[kept], self.right @ merge, self.wrong @ merge)

    def counts(self, draws: Draws) -> tuple[Counts, Counts]:
        """Return how many right and how many wrong ones are shown at each threshold."""
        return np.cumsum(draws @ self.right, axis=1), np.cumsum(draws @ self.wrong, axis=1)


def sensitivities_at(
    rates: Sequence[float],
    candidates: Ranking,
    lesions: PerGroup,
    images: PerGroup,
    draws: Draws,
) -> ResampledFigures:
    """Return the sensitivity per lesion at each rate of false positives per image, in [0, 1].

    It is the highest of any threshold with at most that many false positives per image: the
    curve is a staircase, since nobody can set a threshold between two scores. Where all
    candidates together make fewer false positives, it is the sensitivity of them all; where
    the first score already makes more, it is 0.

    Args:
        lesions, images: how many each group has, found or not, with candidates or without.
    """
    right, wrong = candidates.counts(draws)
    found = np.concatenate([np.zeros((len(draws), 1), np.int64), right], axis=1)
    allowed = np.asarray(rates)[None] * (draws @ images)[:, None]
    # False positives rise with each further score, so that counting those within the rate
    # gives the place of the last threshold; place 0 shows nothing.
    places = np.stack([(wrong <= column[:, None]).sum(axis=1) for column in allowed.T], axis=1)
    best = np.take_along_axis(found, places, axis=1).astype(np.float64)
    return ratio_or_nan(best, (draws @ lesions)[:, None].astype(np.float64))


def average_precision(candidates: Ranking, lesions: PerGroup, draws: Draws) -> ResampledFigures:
    """Return the sum over thresholds of precision times the rise in sensitivity, in [0, 1].

    Without interpolation, as scikit-learn has it; but lesions that no candidate finds count in
    the sensitivity, so that it never rises to 1 without them. Not defined without a lesion; 0
    where there is one and no candidate.

    Source: Manning, Raghavan and Schütze 2008, Introduction to Information Retrieval, 8.4.
    """
    right, wrong = (part.astype(np.float64) for part in candidates.counts(draws))
    shown = right + wrong
    precision = np.divide(right, shown, out=np.zeros_like(right), where=shown > 0)
    rises = np.diff(right, axis=1, prepend=0)
    total = (precision * rises).sum(axis=1, keepdims=True)
    return ratio_or_nan(total, (draws @ lesions)[:, None].astype(np.float64))


def area_under_roc(images: Ranking, draws: Draws) -> ResampledFigures:
    """Return the chance that a random right one scores above a random wrong one, in [0, 1].

    Equal scores count half. Not defined where all are right, or all wrong.

    Source: Hanley and McNeil 1982, doi:10.1148/radiology.143.1.7063747.
    """
    right, wrong = (part.astype(np.float64) for part in images.counts(draws))
    steps = np.diff(wrong, axis=1, prepend=0)
    before = np.concatenate([np.zeros((len(draws), 1)), right[:, :-1]], axis=1)[:, : right.shape[1]]
    area = (steps * (right + before) / 2).sum(axis=1, keepdims=True)
    pairs = right[:, -1:] * wrong[:, -1:] if right.size else np.zeros((len(draws), 1))
    return ratio_or_nan(area, pairs)


def froc_curve(candidates: Ranking, num_lesions: int, num_images: int) -> tuple[CurvePoint, ...]:
    """Return the corners of the staircase: x false positives per image, y sensitivity.

    Between two corners the sensitivity stays that of the left one. The last point is where
    all candidates are shown, and the curve ends there.
    """
    right, wrong = _cohort_counts(candidates)
    if not num_lesions:
        return ()
    kept = np.diff(right, prepend=0) > 0
    kept[-1:] = True
    return _points(candidates.thresholds[kept], wrong[kept] / num_images, right[kept] / num_lesions)


def roc_curve(images: Ranking) -> tuple[CurvePoint, ...]:
    """Return the corners of the ROC curve: x 1 - specificity, y sensitivity, per image.

    Straight between corners; empty where all are right, or all wrong. Points on a straight
    line between equal steps are left out, as scikit-learn does.
    """
    right, wrong = _cohort_counts(images)
    if not right.size or not right[-1] or not wrong[-1]:
        return ()
    kept = np.ones(right.size, np.bool_)
    kept[1:-1] = (np.diff(right, 2) != 0) | (np.diff(wrong, 2) != 0)
    return _points(images.thresholds[kept], wrong[kept] / wrong[-1], right[kept] / right[-1])


def number_per_group(members: Sequence[int], counts: Sequence[int], num_groups: int) -> PerGroup:
    """Return the sum of the counts of each group's images."""
    sums = np.zeros(num_groups, np.int64)
    np.add.at(sums, np.asarray(members, np.int64), np.asarray(counts, np.int64))
    return sums


def _cohort_counts(
    ranking: Ranking,
) -> tuple[Int64[np.ndarray, " thresholds"], Int64[np.ndarray, " thresholds"]]:
    once = np.ones((1, ranking.right.shape[0]), np.int64)
    right, wrong = ranking.counts(once)
    return right[0], wrong[0]


def _points(
    thresholds: Float64[np.ndarray, " points"],
    x: Float64[np.ndarray, " points"],
    y: Float64[np.ndarray, " points"],
) -> tuple[CurvePoint, ...]:
    """Return the beginning and the points, evenly thinned where there are too many."""
    places = np.arange(thresholds.size)
    if places.size >= MAX_POINTS:
        places = np.linspace(0, thresholds.size - 1, MAX_POINTS - 1).round().astype(np.int64)
    triples = zip(thresholds[places].tolist(), x[places].tolist(), y[places].tolist(), strict=True)
    return (
        CurvePoint(threshold=None, x=0.0, y=0.0),
        *(CurvePoint(threshold=each, x=along, y=up) for each, along, up in triples),
    )
