"""Whether probabilities come true: reliability diagram, ECE, Brier score, NLL.

Two levels, which must not be mixed up:

- pixels: of the pixels given 0.8, are 8 in 10 lesion? Pixels of one image hang together and
  images differ in size, so that every image weighs 1 in total, and intervals resample groups.
- candidates: of the findings with score 0.8, are 8 in 10 a lesion? A candidate's score is its
  highest probability, which is too high as a probability of being a lesion; a temperature
  fitted on pixels does not mend that.

Nothing is kept of an image but sums, so that any number of images fits.

    for each image:  reliability.add(probability, reference > 0, group)
    at the end:      reliability.summary()

Definitions (p the probability of lesion, y 1 in a lesion):

- ECE = sum over bins of the bin's weight x |mean of y - mean of p|, over equal-width bins of p
  in [0, 1], a value on an edge belonging to the bin below it (Guo et al. 2017, section 2; Naeini
  et al. 2015). It says nothing of telling lesion from background: the share of lesion, said of
  every pixel, has an ECE of 0. So it is never a headline, and the Brier score stands beside that
  of the share. ECE over bins of equal weight: LogitHistogram.adaptive_ece.
- Brier = mean of (p - y)^2; NLL = mean of -log of the probability of what was true, which is
  taken as 1e-7 at least.
"""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Float64
from scipy import ndimage

from breastseg.core.errors import GeometryError, InputError
from breastseg.core.image import LabelMap, Pixels
from breastseg.core.lesion import find_lesions
from breastseg.evaluation.confidence import LEVEL, RESAMPLES, Interval

NUM_BINS = 15
MIN_IOU = 0.1
"""Of a candidate with a lesion, to count as that lesion."""

_LEAST_PROBABILITY = 1e-7  # of float32: below it the NLL of a pixel would be infinite

Numbers = Float[np.ndarray, "..."]
Outcomes = Bool[np.ndarray, "..."]
Sums = Float64[np.ndarray, "..."]


@dataclass(frozen=True, slots=True, kw_only=True)
class Bin:
    """One bar of a reliability diagram, of the values in (low, high].

    share: of all weight. mean_probability, observed: None where the bin is empty.
    """

    low: float
    high: float
    share: float
    mean_probability: float | None
    observed: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ReliabilitySummary:
    """How true probabilities came, over everything that was added.

    prevalence: share that came true. brier_of_prevalence: Brier score of saying just that
        every time; a score above it is worse than not looking.
    Intervals: 95 %, percentile bootstrap over groups; None with fewer than two. That of the ECE
        leans upwards, as the ECE itself does where bins hold little.
    """

    ece: float
    ece_interval: Interval | None
    brier: float
    brier_interval: Interval | None
    nll: float
    prevalence: float
    brier_of_prevalence: float
    num_added: int
    num_groups: int
    bins: tuple[Bin, ...]


class Reliability:
    """Sums for a reliability diagram, ECE, Brier score and NLL, by group.

    It grows by 48 numbers per group, never with pixels.
    """

    def __init__(self, num_bins: int = NUM_BINS) -> None:
        if num_bins < 1:
            raise InputError(f"a reliability diagram needs at least 1 bin, got {num_bins}.")
        self._num_bins = num_bins
        self._of_group: dict[Hashable, Sums] = {}
        self.num_added = 0

    def add(
        self,
        probability: Numbers,
        outcome: Outcomes,
        group: Hashable,
        *,
        weight: float = 1.0,
    ) -> None:
        """Add the pixels of an image, or the candidates of one.

        Args:
            probability: in [0, 1], of any shape.
            outcome: what came true, of the same shape.
            group: patient or near-duplicate group, which intervals resample.
            weight: of all values together: 1 for an image's pixels, their number for candidates.

        Raises:
            GeometryError: the shapes differ, or there is no value.
            InputError: a probability is not in [0, 1], or the outcome is not boolean.
        """
        check_outcomes(probability, outcome)
        p = probability.ravel().astype(np.float64)
        if p.min() < 0 or p.max() > 1:
            raise InputError(f"probabilities must be in [0, 1], got {p.min()} to {p.max()}.")
        y = outcome.ravel()
        sums = np.concatenate([self._binned(p, y), _penalties(p, y)]) * (weight / p.size)
        self._of_group[group] = self._of_group.get(group, 0) + sums
        self.num_added += 1

    def _binned(self, p: Sums, y: Outcomes) -> Sums:
        """Return weight, sum of probabilities and of outcomes of each bin, one after another."""
        edges = np.linspace(0, 1, self._num_bins + 1)
        number = np.searchsorted(edges[1:-1], p)
        return np.concatenate(
            [np.bincount(number, each, self._num_bins) for each in (np.ones_like(p), p, y)]
        )

    def summary(self, *, resamples: int = RESAMPLES, seed: int = 0) -> ReliabilitySummary | None:
        """Return the figures; None where nothing was added."""
        if not self._of_group:
            return None
        table = np.stack(list(self._of_group.values()))
        total = table.sum(axis=0)
        weight, expected, came_true = np.split(total[:-2], 3)
        prevalence = float(came_true.sum() / weight.sum())
        ece_interval, brier_interval = self._intervals(table, resamples, seed)
        brier, nll = total[-2:] / weight.sum()
        return ReliabilitySummary(
            ece=float(self._ece(total)),
            ece_interval=ece_interval,
            brier=float(brier),
            brier_interval=brier_interval,
            nll=float(nll),
            prevalence=prevalence,
            brier_of_prevalence=prevalence * (1 - prevalence),
            num_added=self.num_added,
            num_groups=len(table),
            bins=_bins(weight, expected, came_true),
        )

    def _ece(self, sums: Sums) -> Sums:
        """Return the ECE of sums along the last axis."""
        weight, expected, came_true = np.split(sums[..., :-2], 3, axis=-1)
        gaps: Sums = np.abs(came_true - expected).sum(axis=-1) / weight.sum(axis=-1)
        return gaps

    def _intervals(
        self, table: Sums, resamples: int, seed: int
    ) -> tuple[Interval | None, Interval | None]:
        count = len(table)
        if count < 2:
            return None, None
        rng = np.random.default_rng(seed)
        drawn = rng.multinomial(count, np.full(count, 1 / count), size=resamples) @ table
        briers = drawn[:, -2] / drawn[:, : self._num_bins].sum(axis=1)
        return _percentiles(self._ece(drawn)), _percentiles(briers)


def _penalties(p: Sums, y: Outcomes) -> Sums:
    """Return the sums of the squared error and of -log of the probability of what was true."""
    true = np.clip(np.where(y, p, 1 - p), _LEAST_PROBABILITY, 1)
    return np.array([np.square(p - y).sum(), -np.log(true).sum()])


def _percentiles(values: Sums) -> Interval:
    low, high = np.quantile(values, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(float(low), float(high))


def _bins(weight: Sums, expected: Sums, came_true: Sums) -> tuple[Bin, ...]:
    edges = np.linspace(0, 1, len(weight) + 1).tolist()
    return tuple(
        Bin(
            low=edges[place],
            high=edges[place + 1],
            share=float(each / weight.sum()),
            mean_probability=float(expected[place] / each) if each else None,
            observed=float(came_true[place] / each) if each else None,
        )
        for place, each in enumerate(weight)
    )


def candidate_outcomes(
    probability: Pixels, reference: LabelMap, *, min_iou: float = MIN_IOU
) -> tuple[Sequence[float], Sequence[bool]]:
    """Return the score of every candidate of an image, and whether it is a lesion.

    A candidate (8-connected, at 0.5) is one where its IoU with some lesion of the reference is
    at least min_iou. Several candidates may be the same lesion; a lesion without a candidate
    is not seen here, but in the sensitivity.

    Args:
        probability: calibrated, of shape (1, rows, columns).
        reference: 0 is background, each lesion has a label of its own.

    Raises:
        GeometryError: the shapes differ, or there are several slices.
    """
    if probability.shape != reference.shape:
        raise GeometryError(
            f"the probability map must have the shape of the reference {reference.shape}, got "
            f"{probability.shape}. Map it back to the grid of the image first."
        )
    labels, lesions = find_lesions(probability, threshold=0.5, spacing_mm=None)
    sizes = np.bincount(reference.ravel())
    windows = ndimage.find_objects(labels)
    is_lesion = []
    for lesion, window in zip(lesions, windows, strict=True):
        inside = reference[window][labels[window] == lesion.number]
        shared = np.bincount(inside, minlength=sizes.size)[1:]
        ious = shared / (lesion.area_px + sizes[1:] - shared).clip(min=1)
        is_lesion.append(bool((ious >= min_iou).any()))
    return [lesion.probability or 0.0 for lesion in lesions], is_lesion


def check_outcomes(values: Numbers, outcome: Outcomes) -> None:
    """Refuse values that cannot be compared with outcomes one by one.

    Raises:
        GeometryError: the shapes differ, or there is no value.
        InputError: the outcomes are not boolean, or a value is NaN.
    """
    if values.shape != outcome.shape or values.size == 0:
        raise GeometryError(
            f"expected one value for each outcome and at least one, got {values.shape} and "
            f"{outcome.shape}. Map the probability back to the grid of the reference first."
        )
    if outcome.dtype != np.bool_:
        raise InputError(f"outcomes must be boolean, got {outcome.dtype}. Use reference > 0.")
    if np.isnan(values).any():
        raise InputError("logits and probabilities must be numbers, found NaN.")
