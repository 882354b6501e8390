"""Whether a guarantee held on new images, and how much of what was found is luck.

    for each image:  score_bounds(calibration.bounds(probability), reference, ...) -> BoundsScore
    at the end:      check_bounds(scores, calibration) -> BoundsCheck

A group counts once, and only if the guarantee held on all of its images, as when it was made.
"""

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.stats import betabinom

from breastseg.core.calibration import Bounds, Calibration, ConformalThreshold
from breastseg.core.errors import InputError
from breastseg.evaluation.confidence import LEVEL, Interval, wilson_interval
from breastseg.evaluation.conformal import (
    ROUNDING,
    TOLERANCE,
    fewest_groups,
    rank,
    worst_of_groups,
)
from breastseg.evaluation.overlap import Mask, require_same_grid


@dataclass(frozen=True, slots=True, kw_only=True)
class BoundsScore:
    """Whether the guaranteed masks of one new image were right, measured on the masks.

    outer_holds: None without a lesion, or without a guarantee. inner_holds: None without a
    guarantee; an empty mask holds. missed: share of the lesion outside the outer mask.
    outside: share of the inner mask outside the lesion; None where it is empty.
    """

    case_id: str
    group: Hashable
    has_lesion: bool
    outer_holds: bool | None
    inner_holds: bool | None
    missed: float | None
    outside: float | None
    outer_share: float | None
    inner_is_empty: bool | None
    abstains: bool


def score_bounds(
    bounds: Bounds,
    reference: Mask,
    *,
    case_id: str,
    group: Hashable,
    tolerance: float = TOLERANCE,
) -> BoundsScore:
    """Compare the guaranteed masks of an image with what a reader drew.

    Raises:
        GeometryError, InputError: see overlap.require_same_grid.
    """
    missed = outside = None
    if bounds.outer is not None:
        missed = _share_outside(reference, bounds.outer)
    if bounds.inner is not None:
        outside = _share_outside(bounds.inner, reference)
    allowed = tolerance + ROUNDING
    return BoundsScore(
        case_id=case_id,
        group=group,
        has_lesion=bool(reference.any()),
        outer_holds=None if missed is None else missed <= allowed,
        inner_holds=None if bounds.inner is None else (outside or 0.0) <= allowed,
        missed=missed,
        outside=outside,
        outer_share=bounds.outer_share,
        inner_is_empty=None if bounds.inner is None else not bounds.inner.any(),
        abstains=bounds.abstains,
    )


def _share_outside(mask: Mask, other: Mask) -> float | None:
    """Return the share of a mask that lies outside another; None for an empty mask."""
    require_same_grid(mask, other)
    size = np.count_nonzero(mask)
    return float(np.count_nonzero(mask & ~other) / size) if size else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Coverage:
    """How often a guarantee held on new groups, and what luck alone explains.

    promised: 1 - alpha. share: of the groups in which it held for every image; interval: Wilson.
    expected: between which shares 95 % of such checks end when the groups are exchangeable,
        the luck of the calibration groups included. luck: how often such a check ends as low as
        this or lower; small: the groups are not exchangeable. With ties, and for inner masks,
        the true coverage is higher than that law's.
    """

    promised: float
    num_groups: int
    num_held: int
    share: float | None
    interval: Interval | None
    expected: Interval | None
    luck: float | None


def coverage(
    outcomes: Iterable[tuple[Hashable, bool | None]], guarantee: ConformalThreshold
) -> Coverage:
    """Check a guarantee on groups that had no part in it.

    Args:
        outcomes: group, and whether it held, of each image; None is left out.
        guarantee: with a threshold.

    Raises:
        InputError: there is no guarantee to check.

    Source: Vovk 2012, doi:10.1007/s10994-013-5355-6, section 3: given the calibration groups,
    the coverage of a continuous score is Beta(n + 1 - k, k) with k the rank; the number of new
    groups that hold is beta-binomial.
    """
    if guarantee.threshold is None:
        raise InputError(
            f"there is no guarantee to check: {guarantee.num_groups} groups are too few for "
            f"alpha {guarantee.alpha}, which needs {fewest_groups(guarantee.alpha)}."
        )
    held = worst_of_groups(((group, holds) for group, holds in outcomes), min)
    count, total = int(sum(held)), len(held)
    k = rank(guarantee.num_groups, guarantee.alpha)
    law = betabinom(total, guarantee.num_groups + 1 - k, k) if total else None
    return Coverage(
        promised=1 - guarantee.alpha,
        num_groups=total,
        num_held=count,
        share=count / total if total else None,
        interval=wilson_interval(count, total),
        expected=None if law is None else _central(law, total),
        luck=None if law is None else float(law.cdf(count)),
    )


def _central(law: Any, total: int) -> Interval:
    low, high = law.ppf([(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(float(low / total), float(high / total))


@dataclass(frozen=True, slots=True, kw_only=True)
class BoundsCheck:
    """What a reader needs to know of the guarantees on new images.

    outer: over the groups with a lesion; inner: over all. None without a guarantee.
    inner_without_lesion: over the groups without a lesion alone, for which nothing is promised
        apart; None where there are none.
    num_abstained: images whose outer mask covers most of the image; they hold trivially.
    num_shown_and_missed: lesion images with an outer mask that was shown and misses too much.
    num_inner_empty: images in which the inner mask claims nothing, and so holds trivially.
    median_outer_share: of the image, in [0, 1]; over all images.
    """

    outer: Coverage | None
    inner: Coverage | None
    inner_without_lesion: Coverage | None
    num_images: int
    num_lesion_images: int
    num_abstained: int
    num_shown_and_missed: int
    num_inner_empty: int
    median_outer_share: float | None


def check_bounds(scores: Sequence[BoundsScore], calibration: Calibration) -> BoundsCheck:
    """Sum up the guarantees over images that had no part in the calibration."""
    with_lesion = {score.group for score in scores if score.has_lesion}
    inner = [(score.group, score.inner_holds) for score in scores]
    without = [each for each in inner if each[0] not in with_lesion]
    shares = [score.outer_share for score in scores if score.outer_share is not None]
    return BoundsCheck(
        outer=_checked([(each.group, each.outer_holds) for each in scores], calibration.outer),
        inner=_checked(inner, calibration.inner),
        inner_without_lesion=_checked(without, calibration.inner) if without else None,
        num_images=len(scores),
        num_lesion_images=sum(score.has_lesion for score in scores),
        num_abstained=sum(score.abstains for score in scores),
        num_shown_and_missed=sum(
            score.outer_holds is False and not score.abstains for score in scores
        ),
        num_inner_empty=sum(score.inner_is_empty is True for score in scores),
        median_outer_share=float(np.median(shares)) if shares else None,
    )


def _checked(
    outcomes: Iterable[tuple[Hashable, bool | None]], guarantee: ConformalThreshold | None
) -> Coverage | None:
    if guarantee is None or guarantee.threshold is None:
        return None
    return coverage(outcomes, guarantee)
