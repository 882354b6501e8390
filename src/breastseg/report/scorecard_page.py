"""The page of a scorecard."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from breastseg.core.errors import InputError
from breastseg.evaluation.confidence import Interval
from breastseg.evaluation.reliability import Bin, ReliabilitySummary
from breastseg.report.detection_figures import froc_figure, malignancy_figure, roc_figure
from breastseg.report.figures import Figure, dice_histogram, reliability_diagram
from breastseg.report.rendering import between, fixed, p_value, plural, render, require_local
from breastseg.report.size_figures import size_scatter

TABLE_OF_MEANS = (
    "Means over images, each at its own resolution, never pooled over pixels; below each its 95 % "
    "interval."
)
_ROLES = {
    "best": "Best",
    "median": "Around the median",
    "worst": "Worst",
    "false alarm": "False alarms: marked, though there is no lesion",
    "missed": "Missed lesions, the largest",
    "false positive": "False positives, the most probable",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """A case of the scorecard to look at.

    picture: URL of the overlay, as in PredictionEntry.
    role: why it is shown: best, median, worst or false alarm; of volumes missed and false
        positive, too.
    dice: None where the image has no lesion.
    guaranteed: URL of a picture with the guaranteed outlines, too; None where there is none.
    abstains: whether the model is not sure of this image.
    told: what is shown, in the place of the Dice.
    """

    case_id: str
    picture: str
    role: str
    dice: float | None
    guaranteed: str | None = None
    abstains: bool = False
    told: str = ""

    def __post_init__(self) -> None:
        for url in (self.picture, self.guaranteed):
            if url is not None:
                require_local(self.case_id, url)
        if self.role not in _ROLES:
            raise InputError(
                f"case '{self.case_id}': the role must be one of {', '.join(_ROLES)}, "
                f"got '{self.role}'."
            )

    @property
    def alternative(self) -> str:
        """The picture in words, for those who don't see it."""
        score = "no lesion in the reference" if self.dice is None else f"Dice {self.dice:.3f}"
        told = f"{self.told}; " if self.told else ""
        return f"{self.case_id}: {told}outlines of the model and of the reader; {score}"

    @property
    def caption(self) -> str:
        """What stands below the picture."""
        if self.told:
            return self.told
        return "no lesion" if self.dice is None else f"Dice {self.dice:.3f}"

    @property
    def alternative_guaranteed(self) -> str:
        """The picture with the guaranteed outlines, in words."""
        outer = "the model is not sure: no outer outline" if self.abstains else "the outer outline"
        return f"{self.case_id}: outlines of the model and of the reader, the inner one; {outer}"


def scorecard_page(
    document: Mapping[str, Any], pictures: Sequence[Picture], *, figures: Sequence[Figure] = ()
) -> str:
    """Return the page of a scorecard.

    Args:
        document: what evaluation.scorecard.to_document returned, or was read of its JSON file.
        pictures: shown by role, in their order.
        figures: further ones on the training, such as figures.training_curves; all of the
            scores are made here.
    """
    table = document["table"]
    by_role = [
        (heading, [picture for picture in pictures if picture.role == role])
        for role, heading in _ROLES.items()
    ]
    return render(
        "scorecard.html",
        title=f"Scorecard: {table[0]['name']}",
        document=document,
        sections=list(_sections(document, pictures, figures)),
        noun=noun_of(document),
        volumes=document.get("volumes"),
        table_of_means=TABLE_OF_MEANS.replace("image", noun_of(document)),
        model=table[0]["summary"],
        tiles=[
            *_score_tiles(table, noun_of(document)),
            *_lesion_tiles(document),
            *_class_tiles(document),
        ],
        class_figures=_class_figures(document.get("classes")),
        detection_figures=_detection_figures(document.get("detection"), noun_of(document)),
        verdicts=list(_verdicts(table, noun_of(document))),
        lines=_lines([row["summary"] for row in table], noun_of(document)),
        figures=[*_histogram(document), *size_scatter(document["cases"])],
        training_figures=figures,
        pictures_by_role=[part for part in by_role if part[1]],
        guaranteed=[picture for picture in pictures if picture.guaranteed],
        **_trust(document.get("calibration", {"note": ""})),
    )


def noun_of(document: Mapping[str, Any]) -> str:
    """Return what a case of a scorecard is called: an image, or a volume."""
    return "volume" if document.get("volumes") else "image"


def _sections(
    document: Mapping[str, Any], pictures: Sequence[Picture], figures: Sequence[Figure]
) -> Iterator[tuple[str, str]]:
    """Yield anchor and name of the sections that the page has."""
    sections = (
        ("score", "Score", True),
        ("leakage", "Seen before?", "leakage" in document),
        ("inflation", "Inflation", document.get("inflation")),
        ("by-data-set", "By data set", document.get("by_source")),
        ("by-class", "By class", document["by_label"]),
        ("classes", "Class of the image", document.get("classes")),
        ("by-fold", "By fold", document.get("by_fold")),
        ("lesions", "Lesions", "detection" in document),
        ("kinds", "Kinds of lesions", document.get("volumes")),
        ("probabilities", "Probabilities", "calibration" in document),
        ("cases", "Cases", pictures),
        ("training", "Training", figures),
        ("method", "Method", True),
        ("not-tested", "Not tested", True),
    )
    return ((anchor, name) for anchor, name, is_there in sections if is_there)


def _score_tiles(table: Sequence[Mapping[str, Any]], noun: str) -> Iterator[dict[str, str]]:
    model = table[0]["summary"]
    yield _tile("Dice", model["dice"], f"no {noun} with a lesion")
    baselines = [row for row in table[1:] if row["role"] == "baseline"]
    if model["dice"]["value"] is not None and baselines:
        best = max(baselines, key=lambda row: float(row["summary"]["dice"]["value"]))
        yield _tile(f"Dice of the {best['name']}", best["summary"]["dice"], "")
    yield _tile(f"Sensitivity, per {noun}", model["sensitivity"], f"no {noun} with a lesion")
    yield _tile(f"Specificity, per {noun}", model["specificity"], f"no {noun} without a lesion")


def _lesion_tiles(document: Mapping[str, Any]) -> Iterator[dict[str, str]]:
    detection = document.get("detection")
    if detection is None or not detection["num_lesions"]:
        return
    shown = detection["at_threshold"]
    if (volumes := document.get("volumes")) and detection["froc"]:
        size, rate = volumes["large_from_mm"], volumes["rate"]
        name = f"Lesions of {size:g} mm and more found, at {rate:g} false positive per volume"
        yield _tile(name, volumes["large"], "none among these")
    yield _tile("Lesions found", shown["lesion_sensitivity"], "no lesion")
    name = f"False positives per {noun_of(document)}"
    yield _tile(name, shown["false_positives_per_image"], "", digits=2)


def _class_tiles(document: Mapping[str, Any]) -> Iterator[dict[str, str]]:
    classes = document.get("classes")
    if classes and classes["malignant_auc"]["value"] is not None:
        yield _tile("Malignant against benign, AUC per image", classes["malignant_auc"], "")


def _class_figures(classes: Mapping[str, Any] | None) -> list[Figure]:
    return [malignancy_figure(classes)] if classes and classes["malignant_roc"] else []


def _detection_figures(detection: Mapping[str, Any] | None, noun: str) -> list[Figure]:
    if detection is None or not detection["num_lesions"] or detection["froc"] is None:
        return []
    roc = [roc_figure(detection, noun=noun)] if detection["image_roc"] else []
    return [froc_figure(detection, noun=noun), *roc]


def _tile(
    name: str, estimate: Mapping[str, Any], without: str, *, digits: int = 3
) -> dict[str, str]:
    if estimate["value"] is None:
        return {"name": name, "value": "none", "note": without}
    interval = estimate["interval"]
    note = (
        f"95 %: {between(interval, f'.{digits}f')}" if interval else "one group alone: no interval"
    )
    return {"name": name, "value": fixed(estimate["value"], digits), "note": note}


def _verdicts(table: Sequence[Mapping[str, Any]], noun: str) -> Iterator[dict[str, Any]]:
    """Say in words how the model's Dice compares; baselines of Dice 0 only if not beaten."""
    for row in table[1:]:
        difference = row["model_minus_this"]
        if difference is None:
            continue
        interval = difference["interval"]
        beaten = interval is not None and interval["low"] > 0
        if row["role"] == "baseline" and beaten and row["summary"]["dice"]["value"] == 0:
            continue
        alarming = row["role"] == "baseline" and not beaten
        start = "Not shown to be better than a mask that ignores the image. " if alarming else ""
        if row["role"] == "model" and (
            interval is None or interval["low"] <= 0 <= interval["high"]
        ):
            start = "Not shown to differ. "
        spread = f"95 %: {between(interval, '+.3f')}" if interval else "one group: no interval"
        text = (
            f"{start}Dice {difference['mean']:+.3f} against {row['name']} ({spread}; "
            f"{p_value(difference['p_value'])}), paired over "
            f"{plural(difference['num_cases'], noun)} of "
            f"{plural(difference['num_groups'], 'group')}."
        )
        yield {"text": text, "alarming": alarming}


def _lines(summaries: Sequence[Mapping[str, Any]], noun: str) -> list[dict[str, Any]]:
    """Return the lines of the table; each has one estimate per contender."""
    lines = [
        ("Dice", "mean", "dice", 3),
        ("Dice", "median", "dice_median", 3),
        ("IoU", "mean", "iou", 3),
        ("Precision", "mean, where something was marked", "precision", 3),
        ("Recall", "mean", "recall", 3),
        ("Sensitivity", f"share of lesion {noun}s with any overlap", "sensitivity", 3),
        ("Specificity", f"share of lesion-free {noun}s left unmarked", "specificity", 3),
    ]
    table = [
        {"name": name, "note": note, "parts": [part[key] for part in summaries], "digits": digits}
        for name, note, key, digits in lines
    ]
    outlines = [*_distances(summaries), *_sizes(summaries)]
    return table[:5] + outlines + table[5:]


def _distances(summaries: Sequence[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    for name, key in (("HD95", "hd95"), ("HD", "hd"), ("ASSD", "assd")):
        for parts in zip(*(part[key] for part in summaries), strict=True):
            note = "mean, where something was marked"
            yield {"name": name, "note": note, "parts": parts, "digits": 1}
    for tolerance in summaries[0]["nsd"]:
        shares = [part["nsd"][tolerance] for part in summaries]
        yield {"name": f"NSD at {tolerance}", "note": "mean", "parts": shares, "digits": 3}


def _sizes(summaries: Sequence[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    for key, note in (
        ("size_error", "median of mask over reference, minus 1"),
        ("absolute_size_error", "the same without its sign"),
    ):
        parts = [part[key] for part in summaries]
        yield {"name": "Size error", "note": note, "parts": parts, "digits": 3}


def _histogram(document: Mapping[str, Any]) -> list[Figure]:
    by_label: dict[str, list[float]] = {}
    for case in document["cases"]:
        if case["dice"] is not None:
            by_label.setdefault(case["label"] or "lesion", []).append(case["dice"])
    means = {row["name"]: row["summary"]["dice"]["value"] for row in document["table"]}
    return [dice_histogram(by_label, means)] if by_label else []


def _trust(calibration: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the section on probabilities needs beside the document."""
    if "after" not in calibration:
        return {"temperature_told": "", "reliability": []}
    names = [name for name in ("before", "after") if calibration[name] is not None]
    summaries = {name: read_reliability(calibration[name]) for name in names}
    if len(names) == 1:
        summaries = {"as given": summaries[names[0]]}
    return {
        "temperature_told": _temperature_told(calibration["temperatures"]),
        "reliability": [reliability_diagram(summaries)],
    }


def _temperature_told(temperatures: Sequence[float]) -> str:
    if not temperatures:
        return ""
    if len(temperatures) > 1:
        each = ", ".join(f"{value:.2f}" for value in temperatures)
        return f"Every logit is divided by a temperature, {each} in the folds."
    (value,) = temperatures
    start = f"Every logit is divided by a temperature of {value:.2f}"
    if value == 1:
        return f"{start}, which leaves it as it is."
    fault = "too sure" if value > 1 else "not sure enough"
    return f"{start}: on the calibration part the network was {fault}."


def read_reliability(part: Mapping[str, Any]) -> ReliabilitySummary:
    """Return the figures as they were before they became JSON."""
    intervals = {
        name: None if part[name] is None else Interval(**part[name])
        for name in ("ece_interval", "brier_interval")
    }
    return ReliabilitySummary(
        **{**part, **intervals, "bins": tuple(Bin(**b) for b in part["bins"])}
    )
