"""How sure a mean over images is, where images of one patient or group resemble each other.

Images of a group are no independent draws, so that groups are resampled, never images: the
cluster bootstrap. Everything is seeded; the same numbers give the same interval.
"""

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Literal

import numpy as np
from jaxtyping import Float64, Int64
from scipy.special import stdtrit

from breastseg.core.errors import InputError

LEVEL = 0.95
RESAMPLES = 2000
SIGN_FLIPS = 10_000

Statistic = Literal["mean", "median"]
Draws = Int64[np.ndarray, "resamples groups"]
"""How often each group was drawn in each resample."""
ResampledFigures = Float64[np.ndarray, "resamples figures"]

_CELLS = 4_000_000
"""Numbers held at once while resampling: 32 MB for each array, whatever the number of cases."""


@dataclass(frozen=True, slots=True)
class Interval:
    """A 95 % confidence interval."""

    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """A figure with its 95 % bootstrap interval over groups.

    value: None where the figure is not defined on these cases.
    interval: None with fewer than two groups, or where most resamples have no such figure.
    """

    value: float | None
    interval: Interval | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PairedDifference:
    """First minus second over the same cases.

    interval: bootstrap over groups; None with fewer than two groups.
    p_value: of the sign-flip test over groups, two-sided, in (0, 1].
    """

    mean: float
    interval: Interval | None
    p_value: float
    num_cases: int
    num_groups: int


def bootstrap_interval(
    values: Sequence[float],
    groups: Sequence[Hashable],
    *,
    statistic: Statistic = "mean",
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Interval | None:
    """Return the percentile interval of a mean or median over images, by resampling groups.

    As many groups as there are are drawn with replacement, each with all of its images. The
    interval is too narrow for fewer than about twenty groups, as every bootstrap is.

    Args:
        values: one number per image.
        groups: the patient or near-duplicate group of each image, in the same order.

    Returns:
        None where there are fewer than two groups: nothing can be said then.

    Raises:
        InputError: values and groups differ in length, or a value is not finite.

    Source: Davison and Hinkley 1997, Bootstrap Methods, sections 3.8 and 5.3.1.

    >>> bootstrap_interval([0.5, 0.5, 0.5], ["a", "a", "b"])
    Interval(low=0.5, high=0.5)
    """
    numbers, members, num_groups = _by_group(values, groups)
    if num_groups < 2:
        return None
    draws = _draw_groups(num_groups, resamples, seed)
    resample = _means if statistic == "mean" else _medians
    low, high = np.quantile(resample(numbers, members, draws), [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(float(low), float(high))


def bootstrap_figures(
    figures: Callable[[Draws], ResampledFigures],
    num_groups: int,
    *,
    size: int,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> tuple[Figure, ...]:
    """Return figures of any kind with percentile intervals, such as the points of a curve.

    The figures themselves are those of drawing each group once. The same seed draws the same
    groups for every figure, and for bootstrap_interval.

    Args:
        figures: computes all figures for some resamples at once, from how often each group is
            drawn; NaN where one is not defined, such as a sensitivity without a lesion.
        num_groups: the groups are numbered from 0; see number_groups.
        size: how many numbers `figures` holds for one resample; so few resamples are handed
            to it at a time that memory stays bounded.

    Returns:
        Each with its interval over the resamples in which it is defined; None where that is
        not the case in half of them.

    Source: Davison and Hinkley 1997, Bootstrap Methods, sections 3.8 and 5.3.1.
    """
    values = figures(np.ones((1, num_groups), np.int64))[0]
    intervals: list[Interval | None] = [None] * values.size
    if num_groups >= 2:
        draws = _draw_groups(num_groups, resamples, seed)
        rows = max(1, _CELLS // max(1, size))
        parts = [figures(draws[start : start + rows]) for start in range(0, resamples, rows)]
        intervals = [percentile_interval(column) for column in np.concatenate(parts).T]
    return tuple(
        Figure(value=value if np.isfinite(value) else None, interval=interval)
        for value, interval in zip(values.tolist(), intervals, strict=True)
    )


def bootstrap_ratio(
    parts: Sequence[float],
    wholes: Sequence[float],
    groups: Sequence[Hashable],
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Figure:
    """Return sum(parts) / sum(wholes) with its percentile interval, by resampling groups.

    For figures over lesions, of which an image may have several or none: found lesions over
    lesions, false positives over images.

    Args:
        parts, wholes: one number each per image.
        groups: the patient or near-duplicate group of each image, in the same order.

    Raises:
        InputError: lengths differ, or a value is not finite.

    >>> bootstrap_ratio([1, 2], [2, 4], ["a", "b"])
    Figure(value=0.5, interval=Interval(low=0.5, high=0.5))
    """
    top, members, num_groups = _by_group(parts, groups)
    bottom, _, _ = _by_group(wholes, groups)
    sums = np.stack([np.bincount(members, values, num_groups) for values in (top, bottom)])

    def ratio(draws: Draws) -> ResampledFigures:
        drawn = draws @ sums.T
        return ratio_or_nan(drawn[:, :1], drawn[:, 1:])

    return bootstrap_figures(ratio, num_groups, size=num_groups, resamples=resamples, seed=seed)[0]


def ratio_or_nan(
    part: Float64[np.ndarray, "*shape"], whole: Float64[np.ndarray, "*#shape"]
) -> Float64[np.ndarray, "*shape"]:
    """Return part / whole, NaN where there is no whole, for the figures of one resample."""
    empty = np.full(np.broadcast_shapes(part.shape, whole.shape), np.nan)
    ratio: Float64[np.ndarray, "*shape"] = np.divide(part, whole, out=empty, where=whole > 0)
    return ratio


def number_groups(groups: Sequence[Hashable]) -> tuple[Int64[np.ndarray, " cases"], int]:
    """Number groups from 0 in the order in which they come; return also how many there are."""
    number_of = {group: number for number, group in enumerate(dict.fromkeys(groups))}
    return np.array([number_of[group] for group in groups], np.int64), len(number_of)


def wilson_interval(successes: int, trials: int) -> Interval | None:
    """Return the Wilson score interval of a proportion; None without a trial.

    It takes the trials as independent; near-duplicate images make it too narrow.

    Raises:
        InputError: successes is not between 0 and trials.

    Source: Wilson 1927, doi:10.1080/01621459.1927.10502953; without continuity correction.

    >>> interval = wilson_interval(10, 10)
    >>> round(interval.low, 3), interval.high
    (0.722, 1.0)
    """
    if not 0 <= successes <= trials:
        raise InputError(f"successes must be between 0 and {trials}, got {successes}.")
    if trials == 0:
        return None
    z = NormalDist().inv_cdf((1 + LEVEL) / 2)
    share, weight = successes / trials, z * z / trials
    centre = (share + weight / 2) / (1 + weight)
    half = z * np.sqrt(share * (1 - share) / trials + weight / trials / 4) / (1 + weight)
    # At 0 and at all successes one end is exact; rounding would leave it at 1e-17.
    low = 0.0 if successes == 0 else float(centre - half)
    high = 1.0 if successes == trials else float(centre + half)
    return Interval(low, high)


def paired_difference(
    first: Sequence[float],
    second: Sequence[float],
    groups: Sequence[Hashable],
    *,
    resamples: int = RESAMPLES,
    sign_flips: int = SIGN_FLIPS,
    seed: int = 0,
) -> PairedDifference:
    """Compare two models that were scored on the same images, in the same order.

    The test asks how often a mean difference at least as large arises when the two models
    are interchangeable: within each group the sign of all differences is flipped together,
    at random. The observed arrangement counts as one, so that p is never 0.

    Raises:
        InputError: no image, unequal lengths, or a value that is not finite.

    Source: Phipson and Smyth 2010, doi:10.2202/1544-6115.1585 (the plus one).
    """
    if len(first) != len(second):
        raise InputError(f"both models need the same images, got {len(first)} and {len(second)}.")
    differences = np.subtract(np.asarray(first, float), np.asarray(second, float)).tolist()
    numbers, members, num_groups = _by_group(differences, groups)
    if not numbers.size:
        raise InputError("there is no image to compare two models on.")
    sums = np.bincount(members, numbers)
    signs = np.random.default_rng(seed).integers(0, 2, (sign_flips, num_groups), np.int8) * 2.0 - 1
    # Summed in another order the same arrangement differs in the last bits; it still counts.
    as_large = np.count_nonzero(np.abs(signs @ sums) >= abs(sums.sum()) - 1e-9)
    return PairedDifference(
        mean=float(numbers.mean()),
        interval=bootstrap_interval(differences, groups, resamples=resamples, seed=seed),
        p_value=(1 + as_large) / (1 + sign_flips),
        num_cases=numbers.size,
        num_groups=num_groups,
    )


def difference_of_means(
    first: Sequence[float],
    first_groups: Sequence[Hashable],
    second: Sequence[float],
    second_groups: Sequence[Hashable],
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> tuple[float, Interval | None]:
    """Return the mean of first minus that of second, of different images, with its interval.

    Both are resampled by groups, independently of each other.

    Returns:
        The difference, and its 95 % percentile interval; None where either has one group.

    Raises:
        InputError: a side without an image, unequal lengths, or a value that is not finite.

    Source: Davison and Hinkley 1997, Bootstrap Methods, section 3.2 (several samples).

    >>> difference_of_means([0.75, 0.75], ["a", "b"], [0.5, 0.5], ["c", "d"])
    (0.25, Interval(low=0.25, high=0.25))
    """
    sides = [_by_group(first, first_groups), _by_group(second, second_groups)]
    if any(not numbers.size for numbers, _, _ in sides):
        raise InputError("a difference of means needs an image on either side.")
    difference = float(sides[0][0].mean() - sides[1][0].mean())
    if any(num_groups < 2 for _, _, num_groups in sides):
        return difference, None
    random = np.random.default_rng(seed)
    drawn = [
        _means(numbers, members, random.multinomial(count, np.full(count, 1 / count), resamples))
        for numbers, members, count in sides
    ]
    ends = np.quantile(drawn[0] - drawn[1], [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return difference, Interval(float(ends[0]), float(ends[1]))


def repeats_interval(values: Sequence[float]) -> Interval | None:
    """Return Student's t interval of the mean of a training that was repeated.

    It says how far chance carries the mean over further seeds on the same images, nothing of
    other images. Over folds it is too narrow, since their training parts overlap (Bengio and
    Grandvalet 2004, JMLR 5:1089).

    Args:
        values: one figure per repeat, in [0, 1], to which the interval is cut.

    Returns:
        None with fewer than two repeats.

    >>> repeats_interval([0.7])
    >>> interval = repeats_interval([0.70, 0.72, 0.74])
    >>> round(interval.low, 3), round(interval.high, 3)
    (0.67, 0.77)
    """
    if len(values) < 2:
        return None
    mean, spread = np.mean(values), np.std(values, ddof=1)
    half = stdtrit(len(values) - 1, (1 + LEVEL) / 2) * spread / np.sqrt(len(values))
    return Interval(max(0.0, float(mean - half)), min(1.0, float(mean + half)))


def _by_group(
    values: Sequence[float], groups: Sequence[Hashable]
) -> tuple[Float64[np.ndarray, " images"], Int64[np.ndarray, " images"], int]:
    """Return the values, the number of each image's group, and how many groups there are."""
    numbers = np.asarray(values, np.float64)
    if len(values) != len(groups) or not np.isfinite(numbers).all():
        raise InputError(
            f"expected one group and one finite value per image, got {len(values)} values and "
            f"{len(groups)} groups, {np.count_nonzero(~np.isfinite(numbers))} not finite."
        )
    return numbers, *number_groups(groups)


def _draw_groups(num_groups: int, resamples: int, seed: int) -> Draws:
    stream = np.random.default_rng(seed)
    return stream.multinomial(num_groups, np.full(num_groups, 1 / num_groups), size=resamples)


def percentile_interval(values: Float64[np.ndarray, " resamples"]) -> Interval | None:
    """Return the 95 % percentile interval; None where most resamples have no such figure."""
    defined = values[np.isfinite(values)]
    if 2 * defined.size < values.size:
        return None
    low, high = np.quantile(defined, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(float(low), float(high))


def _means(
    numbers: Float64[np.ndarray, " images"],
    members: Int64[np.ndarray, " images"],
    draws: Int64[np.ndarray, "resamples groups"],
) -> Float64[np.ndarray, " resamples"]:
    means: Float64[np.ndarray, " resamples"] = (draws @ np.bincount(members, numbers)) / (
        draws @ np.bincount(members)
    )
    return means


def _medians(
    numbers: Float64[np.ndarray, " images"],
    members: Int64[np.ndarray, " images"],
    draws: Int64[np.ndarray, "resamples groups"],
) -> Float64[np.ndarray, " resamples"]:
    """Return the median of each resample, as np.median of the repeated values would."""
    order = np.argsort(numbers)
    ranked = numbers[order]
    up_to = np.cumsum(draws[:, members[order]], axis=1)
    total = up_to[:, -1:]
    lower = (up_to <= (total - 1) // 2).sum(axis=1)
    upper = (up_to <= total // 2).sum(axis=1)
    medians: Float64[np.ndarray, " resamples"] = (ranked[lower] + ranked[upper]) / 2
    return medians
