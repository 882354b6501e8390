"""The temperature that makes probabilities come true, fitted on the calibration part.

It is fitted on pixels, images weighted equally, from a histogram of their logits: nothing else
is kept of an image, so that any number of images fits.

    for each image:  histogram.add(logits, reference > 0)
    at the end:      fit_temperature(histogram)

Whether the probabilities are true afterwards is measured by reliability.py, on other images.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import expit

from breastseg.core.calibration import check_temperature
from breastseg.evaluation.reliability import NUM_BINS, Numbers, Outcomes, Sums, check_outcomes

LOWEST_TEMPERATURE, HIGHEST_TEMPERATURE = 0.05, 20.0

_LARGEST_LOGIT = 40.0
_CELLS_PER_LOGIT = 128

NoTemperature = Literal[
    "no lesion",
    "no background",
    "one logit",
    "no class",
    "the surer the better",
    "the less sure the better",
]


class LogitHistogram:
    """Weights and sums of the logits inside and outside lesions, in cells of 1/128.

    Beyond 40 on either side logits are taken as 40. Each cell keeps the mean of its logits, so
    that what is computed from it is exact up to 1e-6.
    """

    def __init__(self) -> None:
        cells = round(2 * _LARGEST_LOGIT * _CELLS_PER_LOGIT) + 1
        self._weight = np.zeros((2, cells))
        self._sum = np.zeros((2, cells))
        self.num_images = 0

    def add(self, logits: Numbers, reference: Outcomes) -> None:
        """Add an image, which weighs 1 in total.

        Args:
            logits: on the grid of the reference, as Segmenter.logits gives them.
            reference: True inside a lesion.

        Raises:
            GeometryError: the shapes differ, or there is no pixel.
            InputError: a logit is NaN, or the reference is not boolean.
        """
        check_outcomes(logits, reference)
        values = np.clip(logits.ravel().astype(np.float64), -_LARGEST_LOGIT, _LARGEST_LOGIT)
        cell = np.rint((values + _LARGEST_LOGIT) * _CELLS_PER_LOGIT).astype(np.int64)
        number_of_cells = self._weight.shape[1]
        place = cell + number_of_cells * reference.ravel()
        size = 2 * number_of_cells
        weight = np.bincount(place, minlength=size) / values.size
        total = np.bincount(place, values, minlength=size) / values.size
        self._weight += weight.reshape(2, -1)
        self._sum += total.reshape(2, -1)
        self.num_images += 1

    @property
    def lesion_share(self) -> float:
        """Share of the pixels inside a lesion, mean over images; 0 without an image."""
        return float(self._weight[1].sum() / max(self.num_images, 1))

    @property
    def is_constant(self) -> bool:
        """Whether all logits lie in one cell, as those of a collapsed network do."""
        return bool(np.count_nonzero(self._weight.sum(axis=0)) == 1)

    def nll(self, temperature: float = 1.0) -> float:
        """Return the mean negative log-likelihood at a temperature; not defined without images."""
        scaled = self._means() / temperature
        costs = np.stack([np.logaddexp(0, scaled[0]), np.logaddexp(0, -scaled[1])])
        return float((self._weight * costs).sum() / self.num_images)

    def adaptive_ece(self, temperature: float = 1.0, *, num_bins: int = NUM_BINS) -> float:
        """Return the ECE over bins of equal weight; not defined without images.

        As in reliability.py, but with adaptive bins (Nguyen and O'Connor 2015, section 3).
        A cell is never divided: each goes to the bin that its middle falls into by weight, so
        that bins may be uneven where many pixels share a logit.
        """
        check_temperature(temperature)
        weight = self._weight.sum(axis=0)
        middle = (np.cumsum(weight) - weight / 2) / weight.sum()
        number = np.minimum((middle * num_bins).astype(np.int64), num_bins - 1)
        expected = (self._weight * expit(self._means() / temperature)).sum(axis=0)
        gap = np.bincount(number, self._weight[1] - expected, num_bins)
        return float(np.abs(gap).sum() / weight.sum())

    def _means(self) -> Sums:
        return np.divide(
            self._sum, self._weight, out=np.zeros_like(self._sum), where=self._weight > 0
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class TemperatureFit:
    """A temperature, and what it gave on the images that it was fitted on.

    reason: why there is none to fit, so that it stays 1. None where it was fitted. "the surer
        the better": lesions and background are perfectly separated, say, so that the NLL falls
        without end; "the less sure the better": the logits tell nothing, or the reverse.
    nll_before, nll_after: at 1 and at the temperature; None without an image.
    """

    temperature: float
    reason: NoTemperature | None
    nll_before: float | None
    nll_after: float | None
    num_images: int


def fit_temperature(histogram: LogitHistogram) -> TemperatureFit:
    """Find the temperature in [0.05, 20] of the lowest NLL, images weighted equally.

    The NLL is convex in 1 / temperature, so that it has one minimum. Where that lies beyond
    either bound the data do not determine a temperature, and 1 is returned with the reason.

    Source: Guo et al. 2017, section 4.2.
    """
    reason = _nothing_to_fit(histogram)
    found = 1.0
    if reason is None:
        found = lowest_nll(histogram.nll)
        reason = at_bound(found)
    before = histogram.nll() if histogram.num_images else None
    temperature = 1.0 if reason else found
    return TemperatureFit(
        temperature=temperature,
        reason=reason,
        nll_before=before,
        nll_after=before if reason else histogram.nll(temperature),
        num_images=histogram.num_images,
    )


def _nothing_to_fit(histogram: LogitHistogram) -> NoTemperature | None:
    if histogram.lesion_share <= 0:
        return "no lesion"
    if histogram.lesion_share >= 1:
        return "no background"
    return "one logit" if histogram.is_constant else None


def lowest_nll(nll: Callable[[float], float]) -> float:
    """Return the temperature of the lowest NLL within the bounds.

    Minimised over log(temperature), in which 0.1 and 10 are equally far from 1.
    """
    low, high = math.log(LOWEST_TEMPERATURE), math.log(HIGHEST_TEMPERATURE)
    found = minimize_scalar(
        lambda log_temperature: nll(math.exp(log_temperature)),
        bounds=(low, high),
        method="bounded",
        options={"xatol": 1e-6},
    )
    return math.exp(float(found.x))


def at_bound(temperature: float) -> NoTemperature | None:
    """Say why a temperature at either bound is none; None within them."""
    if temperature < LOWEST_TEMPERATURE * 1.001:
        return "the surer the better"
    return "the less sure the better" if temperature > HIGHEST_TEMPERATURE / 1.001 else None
