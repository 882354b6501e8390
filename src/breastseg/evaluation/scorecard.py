"""From masks to one honest table. Only numbers are kept, so that any number of cases fits.

    for each case:  case_score.score_case(case, mask) -> CaseScore
    at the end:     summarise(model, baselines ...) -> Scorecard -> to_document() -> JSON

Overlap and distance are means and medians over the images with a lesion, each scored at its
own resolution; never pooled over pixels. Images without a lesion give the specificity. What
is not defined is None and counted as left out, never averaged away.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

from breastseg.core.errors import InputError
from breastseg.evaluation.case_score import CaseScore
from breastseg.evaluation.confidence import (
    Interval,
    PairedDifference,
    Statistic,
    bootstrap_interval,
    paired_difference,
    wilson_interval,
)
from breastseg.evaluation.surface import Unit

SCHEMA_VERSION = 6
"""What each version brought is told in docs/reference/scorecard.md."""

DEFINITIONS: Mapping[str, str] = {
    "dice": "per image with a lesion, all its lesions merged, at the original resolution; "
    "0 where nothing was marked",
    "precision": "over the images with a lesion in which something was marked",
    "hd95": "the larger of the two directed 95th percentiles of the distances between the "
    "outlines; over the images with a lesion in which something was marked; what is marked far "
    "from any lesion, as in a volume, decides it",
    "hd": "the largest of these distances; one stray pixel decides it",
    "assd": "the mean of these distances, both directions together",
    "nsd": "share of both outlines that lies within the tolerance of the other; over the images "
    "with a lesion, 0 where nothing was marked; no tolerance is agreed upon for breast lesions",
    "size_error": "area of the mask minus that of the reference, over that of the reference; over "
    "the images with a lesion, -1 where nothing was marked; median, with its sign or without",
    "sensitivity": "share of the images with a lesion in which the mask overlaps one by at "
    "least one pixel",
    "specificity": "share of the images without a lesion in which nothing was marked",
    "lesions": "a finding counts for one lesion, at an IoU of 0.1 or more, most probable first; "
    "all others are false positives. FROC: the best sensitivity per lesion of any threshold with "
    "so few false positives per image. AUC: images by their highest probability",
    "probabilities": "ECE: mean gap between probability and share that came true, over 15 bins; "
    "Brier score: mean squared error; NLL: mean of minus the logarithm of what was true; in "
    "volumes over the voxels with a probability of 0.01 and more",
    "interval": "95 %; percentile bootstrap over groups for means and medians, Wilson for "
    "sensitivity and specificity, which takes images as independent",
    "difference": "mean difference of the Dice per image, bootstrap over groups, sign-flip "
    "permutation test over groups",
    "pixel_accuracy": "share of all pixels on which mask and reference agree, mean over images",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Contender:
    """Whose masks were scored: a model, or a baseline that ignores the image."""

    name: str
    scores: Sequence[CaseScore]
    role: Literal["model", "baseline"] = "model"
    description: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """One figure over images, with its 95 % interval.

    value: None where it is defined on no image.
    num_images: the images it is taken over.
    num_left_out: images of the same kind on which it is not defined.
    unit: of a length.
    """

    value: float | None
    interval: Interval | None
    num_images: int
    num_left_out: int = 0
    unit: Unit | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """One row of the table.

    dice, iou, precision, recall: means over images with a lesion; dice_median their median.
    hd95, hd, assd: means, one for each unit that the images have.
    nsd: mean by tolerance, such as "3 px".
    size_error, absolute_size_error: median of the relative error, with its sign and without.
    """

    num_images: int
    num_groups: int
    num_lesion_images: int
    num_lesion_free_images: int
    dice: Estimate
    dice_median: Estimate
    iou: Estimate
    precision: Estimate
    recall: Estimate
    hd95: tuple[Estimate, ...]
    hd: tuple[Estimate, ...]
    assd: tuple[Estimate, ...]
    nsd: Mapping[str, Estimate]
    size_error: Estimate
    absolute_size_error: Estimate
    sensitivity: Estimate
    specificity: Estimate
    pixel_accuracy: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A contender's summary, and the paired difference of the model's Dice to it."""

    name: str
    role: Literal["model", "baseline"]
    description: str
    summary: Summary
    model_minus_this: PairedDifference | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Scorecard:
    """The model's score beside what it has to beat.

    table: the model first, then the others on the same images.
    by_label: the model's summary for each class; empty where the data set names none.
    by_source: the model's summary for each data set of a collection; else empty.
    by_fold: the model's summary for each fold of a cross-validation; else empty.
    cases: the model's scores, in the order in which they came.
    """

    table: tuple[Row, ...]
    by_label: Mapping[str, Summary]
    by_source: Mapping[str, Summary]
    by_fold: Mapping[str, Summary]
    cases: tuple[CaseScore, ...]


def summarise(
    model: Contender,
    *others: Contender,
    folds: Mapping[str, str] | None = None,
    sources: Mapping[str, str] | None = None,
    seed: int = 0,
) -> Scorecard:
    """Return the scorecard of a model beside baselines, or other models, on the same cases.

    Args:
        model: whose scorecard it is.
        others: on the same cases.
        folds: the fold by case id, for those cases that one has held out.
        sources: in a collection, the data set by case id.
        seed: of resampling.

    Raises:
        InputError: no case, a case scored twice, or contenders with different cases.
    """
    for contender in (model, *others):
        _require_same_cases(model, contender)
    return Scorecard(
        table=tuple(
            Row(
                name=contender.name,
                role=contender.role,
                description=contender.description,
                summary=_summary(contender.scores, seed),
                model_minus_this=None
                if contender is model
                else dice_difference(model.scores, contender.scores, seed=seed),
            )
            for contender in (model, *others)
        ),
        by_label=_by(model.scores, {score.case_id: score.label for score in model.scores}, seed),
        by_source=_by(model.scores, sources or {}, seed),
        by_fold=_by(model.scores, folds or {}, seed),
        cases=tuple(model.scores),
    )


def dice_difference(
    first: Sequence[CaseScore], second: Sequence[CaseScore], *, seed: int = 0
) -> PairedDifference | None:
    """Compare two models on the images with a lesion that both were scored on, by case id.

    Returns:
        First minus second; None where they share no image with a lesion.
    """
    other = {score.case_id: score.dice for score in second}
    pairs = [
        (score.dice, value, score.group)
        for score in first
        if score.dice is not None and (value := other.get(score.case_id)) is not None
    ]
    if not pairs:
        return None
    ours, theirs, groups = zip(*pairs, strict=True)
    return paired_difference(ours, theirs, groups, seed=seed)


def exemplary_cases(
    scores: Sequence[CaseScore], *, each: int = 3
) -> dict[str, tuple[CaseScore, ...]]:
    """Choose cases to look at: worst, median and best Dice, and false alarms on normals.

    By rank alone, ties by case id; nobody picks the prettiest. No case is chosen twice, and
    few images give fewer of each.
    """
    ranked = sorted(
        (score for score in scores if score.has_lesion),
        key=lambda score: (score.dice or 0.0, score.case_id),
    )
    count = min(each, max(1, len(ranked) // 3))
    starts = {"best": len(ranked) - count, "median": (len(ranked) - count) // 2, "worst": 0}
    chosen: dict[str, tuple[CaseScore, ...]] = {}
    seen: set[str] = set()
    for role, start in starts.items():
        part = [score for score in ranked[max(start, 0) :][:count] if score.case_id not in seen]
        seen.update(score.case_id for score in part)
        chosen[role] = tuple(reversed(part)) if role == "best" else tuple(part)
    alarms = [score for score in scores if score.predicted_lesion and not score.has_lesion]
    chosen["false alarm"] = tuple(sorted(alarms, key=lambda score: score.pixel_accuracy)[:each])
    return chosen


def to_document(
    scorecard: Scorecard,
    *,
    details: Mapping[str, str] | None = None,
    warnings: Sequence[str] = (),
    not_tested: Sequence[str] = (),
    evidence: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Return the scorecard as what scorecard.json holds. There is no NaN: None is written.

    Args:
        details: what was measured and how, to be read by people: model, data, split,
            fingerprints.
        warnings: what makes the figures too good or unsafe, such as training images scored.
        not_tested: what these figures do not show.
        evidence: further keys, such as calibration and guarantees.
    """
    document = {
        "schema_version": SCHEMA_VERSION,
        "kind": "breastseg scorecard",
        "details": dict(details or {}),
        "warnings": list(warnings),
        "not_tested": list(not_tested),
        "definitions": dict(DEFINITIONS),
        **(evidence or {}),
        **asdict(scorecard),
    }
    return plain(document)


def plain(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return a document as it is read of its JSON file; a NaN is refused."""
    read: dict[str, Any] = json.loads(json.dumps(document, allow_nan=False))
    return read


def _require_same_cases(model: Contender, other: Contender) -> None:
    ours = [score.case_id for score in model.scores]
    theirs = [score.case_id for score in other.scores]
    if not ours or len(set(ours)) != len(ours) or sorted(ours) != sorted(theirs):
        raise InputError(
            f"'{model.name}' and '{other.name}' must be scored once on each of the same cases, "
            f"got {len(ours)} and {len(theirs)} scores, {len(set(ours) & set(theirs))} in common."
        )


def _by(
    scores: Sequence[CaseScore], names: Mapping[str, str | None], seed: int
) -> dict[str, Summary]:
    """Return the summary of the cases of each name, in the order of names."""
    members: dict[str, list[CaseScore]] = {}
    for score in scores:
        name = names.get(score.case_id)
        if name is not None:
            members.setdefault(name, []).append(score)
    return {name: _summary(members[name], seed) for name in sorted(members)}


def _summary(scores: Sequence[CaseScore], seed: int) -> Summary:
    lesion = [score for score in scores if score.has_lesion]
    normal = [score for score in scores if not score.has_lesion]

    def over(
        figure: Callable[[CaseScore], float | None], statistic: Statistic = "mean"
    ) -> Estimate:
        return _estimate(lesion, figure, statistic=statistic, seed=seed)

    def lengths(figure: Callable[[CaseScore], float | None]) -> tuple[Estimate, ...]:
        return tuple(
            _estimate(part, figure, seed=seed, unit=unit)
            for unit, part in sorted(_by_unit(lesion).items())
        )

    return Summary(
        num_images=len(scores),
        num_groups=len({score.group for score in scores}),
        num_lesion_images=len(lesion),
        num_lesion_free_images=len(normal),
        dice=over(lambda score: score.dice),
        dice_median=over(lambda score: score.dice, "median"),
        iou=over(lambda score: score.iou),
        precision=over(lambda score: score.precision),
        recall=over(lambda score: score.recall),
        hd95=lengths(lambda score: score.hd95),
        hd=lengths(lambda score: score.hd),
        assd=lengths(lambda score: score.assd),
        nsd=_nsd(lesion, seed),
        size_error=over(lambda score: score.size_relative, "median"),
        absolute_size_error=over(lambda score: abs(score.size_relative or 0.0), "median"),
        sensitivity=_proportion([(score.dice or 0.0) > 0 for score in lesion]),
        specificity=_proportion([not score.predicted_lesion for score in normal]),
        pixel_accuracy=float(np.mean([score.pixel_accuracy for score in scores])),
    )


def _by_unit(scores: Sequence[CaseScore]) -> dict[Unit, list[CaseScore]]:
    units: dict[Unit, list[CaseScore]] = {}
    for score in scores:
        units.setdefault(score.hd95_unit, []).append(score)
    return units


def _nsd(scores: Sequence[CaseScore], seed: int) -> dict[str, Estimate]:
    """Return the mean NSD by tolerance, since one without the other says nothing."""
    return {
        f"{part[0].nsd_tolerance:g} {unit}": _estimate(part, lambda score: score.nsd, seed=seed)
        for unit, part in sorted(_by_unit(scores).items())
    }


def _estimate(
    scores: Sequence[CaseScore],
    figure: Callable[[CaseScore], float | None],
    *,
    seed: int,
    statistic: Statistic = "mean",
    unit: Unit | None = None,
) -> Estimate:
    defined = [(value, score.group) for score in scores if (value := figure(score)) is not None]
    values, groups = [value for value, _ in defined], [group for _, group in defined]
    middle = np.mean if statistic == "mean" else np.median
    return Estimate(
        value=float(middle(values)) if values else None,
        interval=bootstrap_interval(values, groups, statistic=statistic, seed=seed),
        num_images=len(values),
        num_left_out=len(scores) - len(values),
        unit=unit,
    )


def _proportion(outcomes: Sequence[bool]) -> Estimate:
    found, trials = sum(outcomes), len(outcomes)
    return Estimate(
        value=found / trials if trials else None,
        interval=wilson_interval(found, trials),
        num_images=trials,
    )
