"""Whether the class of a whole image is told right: malignant against benign, and all classes.

    for each image:  ToldImage(case_id, group, label, probability)
    at the end:      summarise_classes(images) -> ClassesSummary

Images whose class the network does not tell, or that have none, are left out. Intervals are of
95 %, by bootstrap over groups.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int64
from scipy.special import logsumexp

from breastseg.core.network_recipe import UNLABELLED
from breastseg.evaluation.calibration import NoTemperature, TemperatureFit, at_bound, lowest_nll
from breastseg.evaluation.confidence import (
    Draws,
    Figure,
    ResampledFigures,
    bootstrap_figures,
    bootstrap_ratio,
    number_groups,
)
from breastseg.evaluation.curves import CurvePoint, Ranking, area_under_roc, roc_curve
from breastseg.networks.classification import BENIGN, MALIGNANT, class_cross_entropy

_LEAST = 1e-7
"""Float32 probabilities may be 0, and their logarithm is asked for."""

ClassLogits = Float[np.ndarray, "images classes"]
Labels = Int64[np.ndarray, " images"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ToldImage:
    """What a network said of the class of an image.

    group: patient or near-duplicate group. label: the class that the data set gives it.
    probability: of each class, calibrated.
    """

    case_id: str
    group: str
    label: str | None
    probability: Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassesSummary:
    """Whether the classes of whole images were told right.

    names: the classes that the network tells.
    num_left_out: images of another class or of none.
    accuracy: share of the images whose most probable class is theirs.
    nll: mean negative logarithm of the probability of the right class.
    nll_of_shares: the same for always saying how frequent each class is among these images.
    confusion: of the images of each class, how many were told as each.
    num_malignant, num_benign: images of these classes.
    malignant_auc: chance that a malignant image has a higher probability of malignant than a
        benign one; the value is null without both.
    malignant_roc: x share of the benign images at or above a threshold, y of the malignant.
    """

    names: tuple[str, ...]
    num_images: int
    num_groups: int
    num_left_out: int
    accuracy: Figure
    nll: float | None
    nll_of_shares: float | None
    confusion: dict[str, dict[str, int]]
    num_malignant: int
    num_benign: int
    malignant_auc: Figure
    malignant_roc: tuple[CurvePoint, ...]


def summarise_classes(images: Sequence[ToldImage], *, seed: int = 0) -> ClassesSummary | None:
    """Return the figures of the classes; None where the network tells none.

    Args:
        seed: of resampling.
    """
    names = tuple(dict.fromkeys(name for image in images for name in image.probability))
    if not names:
        return None
    known = [image for image in images if image.label in names]
    told = [max(image.probability, key=image.probability.__getitem__) for image in known]
    labels = [str(image.label) for image in known]
    pairs = Counter(zip(labels, told, strict=True))
    ranking, num_groups = _malignant_ranking(known)
    return ClassesSummary(
        names=names,
        num_images=len(known),
        num_groups=len({image.group for image in known}),
        num_left_out=len(images) - len(known),
        accuracy=_accuracy(known, told, seed),
        nll=_nll([image.probability[label] for image, label in zip(known, labels, strict=True)]),
        nll_of_shares=_nll([labels.count(label) / len(labels) for label in labels]),
        confusion={label: {name: pairs[label, name] for name in names} for label in names},
        num_malignant=labels.count(MALIGNANT),
        num_benign=labels.count(BENIGN),
        malignant_auc=_auc(ranking, num_groups, seed),
        malignant_roc=() if ranking is None else roc_curve(ranking),
    )


def malignant_auc(logits: ClassLogits, labels: Labels, names: Sequence[str]) -> float | None:
    """Return the area under the ROC curve of malignant against benign; None without both.

    Args:
        logits: of the classes, before or after a temperature.
        labels: number of each image's class, or UNLABELLED.
        names: of the classes in their order.

    >>> logits = np.array([[0.0, 2.0], [1.0, 0.0], [0.0, 0.5], [3.0, 1.0]])
    >>> malignant_auc(logits, np.array([1, 0, 1, UNLABELLED]), ["benign", "malignant"])
    1.0
    """
    if not {BENIGN, MALIGNANT} <= set(names):
        return None
    # The logit of the probability of malignant: no rounding to 1 makes two alike.
    place = list(names).index(MALIGNANT)
    scores = logits[:, place] - logsumexp(np.delete(logits, place, axis=1), axis=1)
    of = {name: labels == list(names).index(name) for name in (BENIGN, MALIGNANT)}
    chosen = of[BENIGN] | of[MALIGNANT]
    right = of[MALIGNANT][chosen].tolist()
    if len(set(right)) < 2:
        return None
    ranking = Ranking.of(scores[chosen].tolist(), right, [0] * len(right), 1)
    return float(area_under_roc(ranking, np.ones((1, 1), np.int64))[0, 0])


def fit_class_temperature(logits: ClassLogits, labels: Labels) -> TemperatureFit:
    """Find the temperature in [0.05, 20] of the lowest cross entropy of the classes.

    Where that lies beyond either bound, or nothing is to be fitted, it is 1 and the reason is
    told, as by calibration.fit_temperature.

    Args:
        logits: before any temperature.
        labels: number of each image's class, or UNLABELLED; such images are left out.

    Source: Guo et al. 2017, On Calibration of Modern Neural Networks, section 4.2.
    """
    known = labels != UNLABELLED
    wide, numbers = logits[known].astype(np.float64), labels[known]

    def nll(temperature: float) -> float:
        return class_cross_entropy(wide / temperature, numbers)

    if not known.any():
        return TemperatureFit(
            temperature=1.0, reason="no class", nll_before=None, nll_after=None, num_images=0
        )
    found = lowest_nll(nll)
    reason = _nothing_to_fit(wide, numbers) or at_bound(found)
    temperature = 1.0 if reason else found
    return TemperatureFit(
        temperature=temperature,
        reason=reason,
        nll_before=nll(1.0),
        nll_after=nll(temperature),
        num_images=int(known.sum()),
    )


def _nothing_to_fit(logits: ClassLogits, labels: Labels) -> NoTemperature | None:
    if np.ptp(logits, axis=1).max() == 0:
        return "one logit"
    # Where all are right the NLL falls without end, and is 0 in float64 before the bound.
    return "the surer the better" if (logits.argmax(axis=1) == labels).all() else None


def _malignant_ranking(images: Sequence[ToldImage]) -> tuple[Ranking | None, int]:
    """Rank malignant and benign images by the probability of malignant; tell their groups."""
    chosen = [image for image in images if image.label in (BENIGN, MALIGNANT)]
    if len({image.label for image in chosen}) < 2:
        return None, 0
    members, num_groups = number_groups([image.group for image in chosen])
    scores = [image.probability[MALIGNANT] for image in chosen]
    right = [image.label == MALIGNANT for image in chosen]
    return Ranking.of(scores, right, members.tolist(), num_groups), num_groups


def _auc(ranking: Ranking | None, num_groups: int, seed: int) -> Figure:
    if ranking is None:
        return Figure(value=None, interval=None)

    def area(draws: Draws) -> ResampledFigures:
        return area_under_roc(ranking, draws)

    return bootstrap_figures(area, num_groups, size=ranking.thresholds.size, seed=seed)[0]


def _accuracy(images: Sequence[ToldImage], told: Sequence[str], seed: int) -> Figure:
    if not images:
        return Figure(value=None, interval=None)
    right = [float(image.label == name) for image, name in zip(images, told, strict=True)]
    groups = [image.group for image in images]
    return bootstrap_ratio(right, [1.0] * len(right), groups, seed=seed)


def _nll(probabilities: Sequence[float]) -> float | None:
    if not probabilities:
        return None
    return float(-np.log(np.maximum(probabilities, _LEAST)).mean())
