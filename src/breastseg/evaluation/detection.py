"""How many lesions are found, at the price of how many false alarms: FROC, AP, ROC, strata.

    for each image:  matching.score_detection(case, probability, ...) -> ImageDetection
    at the end:      summarise(images) -> DetectionSummary -> to_document() -> JSON

A figure per lesion asks whether the right place was marked; a figure per image asks only
whether anything was. Figures at the operating threshold are what a user of the model sees; the
curves say what other thresholds would give, from the lowest probability that makes a candidate
upwards. Images without a lesion count in the false positives and the specificity.

Intervals are of 95 %. Curves, areas and rates: bootstrap over groups. Proportions: see
strata.py.

Source: Bunch et al. 1977 (FROC), doi:10.1117/12.955926; Setio et al. 2017 (LUNA16: the seven
rates and their mean), doi:10.1016/j.media.2017.06.015, which interpolates between the points of
the curve, while here the sensitivity is that of a threshold that can be set.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from breastseg.core.errors import InputError
from breastseg.evaluation.confidence import (
    Draws,
    Figure,
    ResampledFigures,
    bootstrap_figures,
    bootstrap_ratio,
    number_groups,
)
from breastseg.evaluation.curves import (
    CurvePoint,
    PerGroup,
    Ranking,
    area_under_roc,
    average_precision,
    froc_curve,
    number_per_group,
    roc_curve,
    sensitivities_at,
)
from breastseg.evaluation.matching import ImageDetection
from breastseg.evaluation.strata import (
    FoundLesion,
    Share,
    Stratum,
    by_label,
    by_size,
    by_source,
    false_positives,
    share_of_images,
    share_of_lesions,
)

FALSE_POSITIVE_RATES = (0.125, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class FrocPoint:
    """The sensitivity per lesion that a rate of false positives per image buys.

    false_positives_per_image: the rate. sensitivity: share of the lesions found at it.
    threshold: the lowest score shown there; None where nothing may be shown.
    is_reached: whether all candidates together make so many false positives; if not, the
        sensitivity is that of all of them, and a higher rate would buy no more.
    """

    false_positives_per_image: float
    sensitivity: Figure
    threshold: float | None
    is_reached: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Froc:
    """Sensitivity per lesion against false positives per image.

    points: at the seven usual rates. mean: of their sensitivities.
    curve: the corners of the staircase; x false positives per image, y sensitivity.
    """

    points: tuple[FrocPoint, ...]
    mean: Figure
    curve: tuple[CurvePoint, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class AtThreshold:
    """What is shown to a user.

    thresholds: the operating threshold; several where folds have their own.
    lesion_sensitivity: share of the lesions that a shown candidate finds.
    precision: share of the shown candidates that find a lesion.
    image_sensitivity: share of the images with a lesion in which anything is shown, anywhere.
    specificity: share of the images without a lesion in which nothing is shown.
    """

    thresholds: tuple[float, ...]
    lesion_sensitivity: Share
    false_positives_per_image: Figure
    false_positives_per_lesion_free_image: Figure
    precision: Figure
    image_sensitivity: Share
    specificity: Share


@dataclass(frozen=True, slots=True, kw_only=True)
class DetectionSummary:
    """All detection figures of one model on one set of images.

    min_iou: from which on a candidate finds a lesion, one to one.
    outlines: the lowest probability of a candidate's pixels; several where folds have their
        own operating threshold below it.
    note: why there is no ranking, where the findings have no score: then froc, average_precision
        and image_auc are None, and image_roc is empty.
    num_duplicates: candidates on lesions already found, counted as false positives.
    image_auc: area under the ROC curve of the images' highest scores.
    by_source: of a collection, by data set; else empty.
    """

    min_iou: float
    outlines: tuple[float, ...]
    num_images: int
    num_groups: int
    num_lesion_images: int
    num_lesions: int
    num_candidates: int
    num_duplicates: int
    at_threshold: AtThreshold
    froc: Froc | None
    average_precision: Figure | None
    image_auc: Figure | None
    image_roc: tuple[CurvePoint, ...]
    by_label: tuple[Stratum, ...]
    by_source: tuple[Stratum, ...]
    by_size: tuple[Stratum, ...]
    note: str | None = None


@dataclass(frozen=True, slots=True)
class _Cohort:
    """The images as what the curves take.

    rises: the candidates at the thresholds at which a lesion is found.
    """

    images: Sequence[ImageDetection]
    num_groups: int
    candidates: Ranking
    rises: Ranking
    ranked_images: Ranking
    lesions_per_group: PerGroup
    images_per_group: PerGroup


def summarise(
    images: Sequence[ImageDetection],
    *,
    rates: Sequence[float] = FALSE_POSITIVE_RATES,
    sources: Mapping[str, str] | None = None,
    seed: int = 0,
) -> DetectionSummary:
    """Return the detection figures of a model.

    Args:
        images: one for each image, with a lesion or without.
        rates: false positives per image at which the FROC curve is read, each > 0.
        sources: in a collection, the data set by case id.
        seed: of resampling.

    Raises:
        InputError: no image, one twice, or several least IoUs.
    """
    _check(images, rates)
    cohort = _cohort(images)
    lesions = [(image, lesion) for image in images for lesion in image.lesions]
    outcomes = [each.outcome for image in images for each in image.candidates]
    precision, auc = _areas(cohort, seed)
    return DetectionSummary(
        min_iou=images[0].min_iou,
        outlines=tuple(sorted({image.outline for image in images})),
        num_images=len(images),
        num_groups=cohort.num_groups,
        num_lesion_images=sum(bool(image.lesions) for image in images),
        num_lesions=len(lesions),
        num_candidates=len(outcomes),
        num_duplicates=outcomes.count("duplicate"),
        at_threshold=_at_threshold(images, lesions, seed),
        froc=_froc(cohort, rates, seed),
        average_precision=precision,
        image_auc=auc,
        image_roc=roc_curve(cohort.ranked_images),
        by_label=by_label(images, seed=seed),
        by_source=by_source(images, sources or {}, seed=seed),
        by_size=by_size(images, seed=seed),
    )


def unranked(summary: DetectionSummary, note: str) -> DetectionSummary:
    """Return a summary without what needs scores: for masks, whose findings have none.

    Args:
        note: why, to be read by people.
    """
    return replace(
        summary, froc=None, average_precision=None, image_auc=None, image_roc=(), note=note
    )


def to_document(summary: DetectionSummary) -> dict[str, Any]:
    """Return the summary as plain JSON values; what is not defined is None, never NaN."""
    plain: dict[str, Any] = json.loads(json.dumps(asdict(summary), allow_nan=False))
    return plain


def _check(images: Sequence[ImageDetection], rates: Sequence[float]) -> None:
    ids = {image.case_id for image in images}
    if not images or len(ids) != len(images):
        raise InputError(
            f"every image must be scored once, got {len(images)} scores of {len(ids)} images."
        )
    criteria = sorted({image.min_iou for image in images})
    if len(criteria) > 1:
        raise InputError(f"all images must be matched with one least IoU, got {criteria}.")
    if not rates or not all(rate > 0 for rate in rates):
        raise InputError(f"rates of false positives must be above 0, got {list(rates)}.")


def _cohort(images: Sequence[ImageDetection]) -> _Cohort:
    members, num_groups = number_groups([image.group for image in images])
    numbers: list[int] = members.tolist()
    marks = [
        (each.score, each.outcome == "hit", number)
        for image, number in zip(images, numbers, strict=True)
        for each in image.candidates
    ]
    candidates = Ranking.of(
        [score for score, _, _ in marks],
        [is_hit for _, is_hit, _ in marks],
        [number for _, _, number in marks],
        num_groups,
    )
    return _Cohort(
        images,
        num_groups,
        candidates,
        candidates.at_rises(),
        Ranking.of(
            [image.score for image in images],
            [bool(image.lesions) for image in images],
            numbers,
            num_groups,
        ),
        number_per_group(numbers, [len(image.lesions) for image in images], num_groups),
        number_per_group(numbers, [1] * len(images), num_groups),
    )


def _areas(cohort: _Cohort, seed: int) -> tuple[Figure, Figure]:
    """Return the average precision over candidates and the area under the images' ROC curve."""

    def precision(draws: Draws) -> ResampledFigures:
        return average_precision(cohort.rises, cohort.lesions_per_group, draws)

    def area(draws: Draws) -> ResampledFigures:
        return area_under_roc(cohort.ranked_images, draws)

    groups, num_marks = cohort.num_groups, cohort.rises.thresholds.size
    return (
        bootstrap_figures(precision, groups, size=num_marks, seed=seed)[0],
        bootstrap_figures(area, groups, size=len(cohort.images), seed=seed)[0],
    )


def _froc(cohort: _Cohort, rates: Sequence[float], seed: int) -> Froc:
    def figures(draws: Draws) -> ResampledFigures:
        points = sensitivities_at(
            rates, cohort.rises, cohort.lesions_per_group, cohort.images_per_group, draws
        )
        return np.concatenate([points, points.mean(axis=1, keepdims=True)], axis=1)

    size = cohort.rises.thresholds.size
    *points, mean = bootstrap_figures(figures, cohort.num_groups, size=size, seed=seed)
    _, wrong = cohort.candidates.counts(np.ones((1, cohort.num_groups), np.int64))
    per_image = wrong[0] / len(cohort.images)
    return Froc(
        points=tuple(
            _froc_point(rate, figure, per_image, cohort.candidates.thresholds)
            for rate, figure in zip(rates, points, strict=True)
        ),
        mean=mean,
        curve=froc_curve(
            cohort.candidates, int(cohort.lesions_per_group.sum()), len(cohort.images)
        ),
    )


def _froc_point(
    rate: float, figure: Figure, per_image: np.ndarray, thresholds: np.ndarray
) -> FrocPoint:
    allowed = int((per_image <= rate).sum())
    return FrocPoint(
        false_positives_per_image=rate,
        sensitivity=figure,
        threshold=float(thresholds[allowed - 1]) if allowed else None,
        is_reached=bool(per_image.size and per_image[-1] >= rate),
    )


def _at_threshold(
    images: Sequence[ImageDetection], lesions: Sequence[FoundLesion], seed: int
) -> AtThreshold:
    lesion_free = [image for image in images if not image.lesions]
    return AtThreshold(
        thresholds=tuple(sorted({image.threshold for image in images})),
        lesion_sensitivity=share_of_lesions(
            lesions, lambda image, lesion: image.finds(lesion), seed
        ),
        false_positives_per_image=false_positives(images, seed),
        false_positives_per_lesion_free_image=false_positives(lesion_free, seed),
        precision=bootstrap_ratio(
            [len(image.shown) - image.num_false_positives for image in images],
            [len(image.shown) for image in images],
            [image.group for image in images],
            seed=seed,
        ),
        image_sensitivity=share_of_images([bool(image.shown) for image in images if image.lesions]),
        specificity=share_of_images([not image.shown for image in lesion_free]),
    )
