"""Where a score was lost between two data sets: other images, or the same images done worse.

The drop is the mean of the first set minus that of the second. The images of both are sorted
into kinds by one factor: a class, a scanner, a range of sizes. Then

    drop = composition + rates + outside

- composition: the sets hold the kinds in other shares, and some kinds are harder than others;
- rates: images of the same kind are done worse; what remains, once the factor is accounted for;
- outside: images of a kind that the other set lacks, against those of the kinds in common. What
  the other set would score on them is not known, and is not extrapolated.

It is arithmetic on images that were seen, no proof of a cause. Each factor is taken alone:
factors hang together, so that their compositions overlap and don't add up.

Source: Kitagawa 1955, JASA 50(272):1168-1194, and Oaxaca 1973, International Economic Review
14(3):693-709, Blinder 1973, Journal of Human Resources 8(4):436-455 (composition and rates, here
in Kitagawa's symmetric form, which favours neither set); Ñopo 2008, Review of Economics and
Statistics 90(2):290-299 (the part outside the common support); Cochran 1968, Biometrics
24(2):295-313 (five ranges remove nine tenths of the bias of one continuous factor).
"""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from jaxtyping import Bool, Float64, Int64

from breastseg.core.errors import InputError
from breastseg.evaluation.confidence import (
    RESAMPLES,
    Figure,
    Interval,
    bootstrap_interval,
    number_groups,
    percentile_interval,
    ratio_or_nan,
)

NUM_BINS = 5
MIN_GROUPS = 5
"""Of a kind, in each set, for the sets to have it in common: fewer say little of its mean."""
MIN_SHARED = 0.5
"""Of the images of each set that must be of common kinds, for shares of the drop to be given."""

_ROUNDING = 1e-12

Numbers = Float64[np.ndarray, "..."]
Chosen = Bool[np.ndarray, " kinds"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """What was scored in one set, image by image.

    scores: such as the Dice. groups: patient or near-duplicate group, which intervals resample.
    kinds: of the factor looked at; None where the image's is not known.
    """

    scores: Sequence[float]
    groups: Sequence[Hashable]
    kinds: Sequence[str | None]

    def __post_init__(self) -> None:
        lengths = {len(self.scores), len(self.groups), len(self.kinds)}
        if len(lengths) > 1 or not self.scores:
            raise InputError(
                "a sample needs one score, group and kind per image, and an image at least, got "
                f"{len(self.scores)}, {len(self.groups)} and {len(self.kinds)}."
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class KindInSet:
    """The images of one kind in one set; share: of the set's images; mean: of their scores."""

    num_images: int
    num_groups: int
    share: float
    mean: Figure


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """One kind in both sets; is_shared: whether each has groups enough of it."""

    name: str
    first: KindInSet
    second: KindInSet
    is_shared: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Decomposition:
    """The drop from the first set to the second, by one factor. Parts above 0: score lost.

    composition, rates, outside: add up to the drop; None where the sets share no kind.
    composition_share: composition over the drop; may be below 0 or above 1. None where the
        interval of the drop holds 0, or where fewer than half of the images of either set are
        of kinds in common.
    first_in_common, second_in_common: share of the images that are of kinds in common.
    kinds: in the order given; those that neither set has are left out.
    Intervals: 95 %, bootstrap over the groups of both sets, independently of each other.
    """

    drop: Figure
    composition: Figure
    rates: Figure
    outside: Figure
    composition_share: Figure
    first_in_common: float
    second_in_common: float
    kinds: tuple[Kind, ...]


def decompose(
    first: Sample,
    second: Sample,
    kinds: Sequence[str],
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Decomposition:
    """Say how much of the drop from the first set to the second goes with the kinds of images.

    Args:
        first, second: different images.
        kinds: all names that occur, in the order in which they are told.
        seed: of resampling; the drop's interval is that of confidence.difference_of_means.

    Raises:
        InputError: a kind that occurs is not among the names.
    """
    one, other = _table(first, kinds), _table(second, kinds)
    common = (one.groups_of_kind >= MIN_GROUPS) & (other.groups_of_kind >= MIN_GROUPS)
    common[-1] = False
    observed = _parts(one.drawn(None), other.drawn(None), common)[0]
    drawn = _resampled(one, other, common, resamples, seed)
    drop, composition, rates, outside, share = (
        Figure(value=value if np.isfinite(value) else None, interval=interval)
        for value, interval in zip(observed.tolist(), drawn, strict=True)
    )
    in_common = one.share_of(common), other.share_of(common)
    if not _is_clear(drop) or min(in_common) < MIN_SHARED:
        share = Figure(value=None, interval=None)
    return Decomposition(
        drop=drop,
        composition=composition,
        rates=rates,
        outside=outside,
        composition_share=share,
        first_in_common=in_common[0],
        second_in_common=in_common[1],
        kinds=tuple(
            Kind(
                name=name,
                first=_in_set(first, name, resamples, seed),
                second=_in_set(second, name, resamples, seed),
                is_shared=bool(is_shared),
            )
            for name, is_shared in zip(kinds, common[:-1], strict=True)
            if name in first.kinds or name in second.kinds
        ),
    )


def _is_clear(drop: Figure) -> bool:
    return drop.interval is not None and not drop.interval.low <= 0 <= drop.interval.high


@dataclass(frozen=True, slots=True)
class _Table:
    """Images and sums of scores by group and kind; the last kind is what is not known."""

    images: Numbers
    scores: Numbers

    @property
    def groups_of_kind(self) -> Int64[np.ndarray, " kinds"]:
        counts: Int64[np.ndarray, " kinds"] = np.count_nonzero(self.images, axis=0)
        return counts

    def share_of(self, chosen: Chosen) -> float:
        return float(self.images[:, chosen].sum() / self.images.sum())

    def drawn(self, draws: Numbers | None) -> tuple[Numbers, Numbers]:
        """Return images and sums by kind of each resample, or of all groups once."""
        weights = np.ones((1, len(self.images))) if draws is None else draws
        return weights @ self.images, weights @ self.scores


def _table(sample: Sample, kinds: Sequence[str]) -> _Table:
    place_of = {name: place for place, name in enumerate(kinds)}
    unknown = set(sample.kinds) - {None, *kinds}
    if unknown:
        raise InputError(f"expected the kinds {', '.join(kinds)}, got {sorted(map(str, unknown))}.")
    members, num_groups = number_groups(sample.groups)
    places = np.array([len(kinds) if kind is None else place_of[kind] for kind in sample.kinds])
    shape = (num_groups, len(kinds) + 1)
    images, scores = np.zeros(shape), np.zeros(shape)
    np.add.at(images, (members, places), 1)
    np.add.at(scores, (members, places), np.asarray(sample.scores, np.float64))
    return _Table(images, scores)


def _parts(
    first: tuple[Numbers, Numbers], second: tuple[Numbers, Numbers], common: Chosen
) -> Numbers:
    """Return drop, composition, rates, outside and composition share of each resample.

    A kind in common of which a resample has drawn nothing is outside, in that resample.
    """
    both = common & (first[0] > 0) & (second[0] > 0)
    (share_1, mean_1), (share_2, mean_2) = (
        (ratio_or_nan(images * both, (images * both).sum(1, keepdims=True)), _means(images, scores))
        for images, scores in (first, second)
    )
    composition = ((share_1 - share_2) * (mean_1 + mean_2) / 2).sum(axis=1)
    rates = ((mean_1 - mean_2) * (share_1 + share_2) / 2).sum(axis=1)
    drop = first[1].sum(1) / first[0].sum(1) - second[1].sum(1) / second[0].sum(1)
    outside = drop - composition - rates
    outside[np.abs(outside) < _ROUNDING] = 0
    share = np.divide(composition, drop, out=np.full_like(drop, np.nan), where=drop != 0)
    return np.stack([drop, composition, rates, outside, share], axis=1)


def _means(images: Numbers, scores: Numbers) -> Numbers:
    """Return the mean score of each kind; 0 where there is no image, which then weighs 0."""
    means: Numbers = np.divide(scores, images, out=np.zeros_like(scores), where=images > 0)
    return means


def _resampled(
    first: _Table, second: _Table, common: Chosen, resamples: int, seed: int
) -> list[Interval | None]:
    counts = [len(first.images), len(second.images)]
    if min(counts) < 2:
        return [None] * 5
    random = np.random.default_rng(seed)
    draws = [random.multinomial(n, np.full(n, 1 / n), resamples) for n in counts]
    parts = _parts(first.drawn(draws[0]), second.drawn(draws[1]), common)
    return [percentile_interval(column) for column in parts.T]


def _in_set(sample: Sample, name: str, resamples: int, seed: int) -> KindInSet:
    chosen = [place for place, kind in enumerate(sample.kinds) if kind == name]
    scores = [sample.scores[place] for place in chosen]
    groups = [sample.groups[place] for place in chosen]
    return KindInSet(
        num_images=len(chosen),
        num_groups=len(set(groups)),
        share=len(chosen) / len(sample.scores),
        mean=Figure(
            value=float(np.mean(scores)) if scores else None,
            interval=bootstrap_interval(scores, groups, resamples=resamples, seed=seed),
        ),
    )


def shared_bounds(
    first: Sequence[float], second: Sequence[float], *, num_bins: int = NUM_BINS
) -> tuple[float, ...]:
    """Return the bounds between ranges that hold equally much of both sets together.

    Each set weighs the same, however many images it has, so that neither decides alone where
    the ranges lie. A value on a bound belongs to the range below it; ties make fewer ranges.

    >>> shared_bounds([1, 2], [3, 4, 3, 4], num_bins=4)
    (1.0, 2.0, 3.0)
    """
    values = np.concatenate([np.asarray(first, np.float64), np.asarray(second, np.float64)])
    weights = np.repeat([1 / len(first), 1 / len(second)], [len(first), len(second)])
    # Rounding of the summed weights must not push a bound to the next value.
    levels = np.arange(1, num_bins) / num_bins - 1e-9
    bounds = np.quantile(values, levels, weights=weights, method="inverted_cdf")
    return tuple(float(each) for each in np.unique(bounds) if each < values.max())


def name_ranges(bounds: Sequence[float], unit: str = "") -> tuple[str, ...]:
    """Return the names of the ranges between bounds.

    >>> name_ranges((0.5, 2))
    ('up to 0.5', '0.5 to 2', 'above 2')
    """
    told = [f"{bound:.3g}" for bound in bounds]
    if not told:
        return ("all",)
    middle = (f"{low} to {high}" for low, high in pairwise(told))
    return tuple(f"{name}{unit}" for name in (f"up to {told[0]}", *middle, f"above {told[-1]}"))
