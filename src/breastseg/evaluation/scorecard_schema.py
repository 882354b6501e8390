"""What scorecard.json holds, as types: its JSON Schema and its reference are made from these.

    check_document(document)    refuse what is not of this version
    json_schema()               for other tools; docs/reference/scorecard.schema.json

The meaning of a field stands once, in the docstring of its class; MEANINGS has those that say
the same everywhere.
"""

import dataclasses
import inspect
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import TypeAdapter, ValidationError

from breastseg.core.calibration import ConformalThreshold
from breastseg.core.errors import InputError
from breastseg.evaluation.case_score import CaseScore
from breastseg.evaluation.classification import ClassesSummary
from breastseg.evaluation.coverage import BoundsCheck
from breastseg.evaluation.detection import DetectionSummary
from breastseg.evaluation.inflation import Inflation
from breastseg.evaluation.reliability import ReliabilitySummary
from breastseg.evaluation.scorecard import SCHEMA_VERSION, Row, Summary
from breastseg.evaluation.volume_detection import VolumeDetection

SCHEMA_ID = f"urn:breastseg:scorecard:{SCHEMA_VERSION}"


@dataclass(frozen=True, slots=True, kw_only=True)
class NotMeasured:
    """A section that is empty.

    note: why, to be read by people.
    """

    note: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CalibrationSection:
    """How true the probabilities came.

    note: null.
    temperatures: of the run, or of each fold; empty where maps were given by another program.
    before, after: of the pixels, before and after the temperature; before is null for given maps.
    findings: their score is the highest probability; null where there is none.
    """

    note: None
    temperatures: tuple[float, ...]
    before: ReliabilitySummary | None
    after: ReliabilitySummary
    findings: ReliabilitySummary | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Promised:
    """What the run guarantees.

    outer, inner: null where none was sought.
    abstain_above: share of the image from which on an outer mask helps nobody.
    """

    outer: ConformalThreshold | None
    inner: ConformalThreshold | None
    abstain_above: float


@dataclass(frozen=True, slots=True, kw_only=True)
class GuaranteesSection:
    """What was guaranteed, and what came of it.

    note: why nothing is promised for these images; null where it is.
    promised: on the calibration part.
    found: on the scored images.
    """

    promised: Promised
    found: BoundsCheck
    note: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PartSize:
    """How large a part of a split is.

    images: how many. groups: that they belong to.
    """

    images: int
    groups: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RunCertificate:
    """How the data of one run was split, counted anew from its folder.

    name: of the run's folder. method: what the groups are.
    parts: by name: train, validation, calibration, test.
    groups_shared, images_shared: by the test part with all others; both must be 0.
    near_duplicates_shared: test images with a near duplicate in another part; null where the run
        has no sketches.
    """

    name: str
    method: str
    parts: dict[str, PartSize]
    groups_shared: int
    images_shared: int
    near_duplicates_shared: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenPair:
    """A scored image, and what of the run's data it is or resembles.

    how: file: the same content was in another part than test. near duplicate: of such an image.
        group: held out, but another image of its group was not.
    twin: case in the run's data. part: that it is in.
    likeness: of the two pictures, up to 1; null where it was not looked at.
    """

    case_id: str
    how: Literal["file", "near duplicate", "group"]
    twin: str
    part: str
    likeness: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class LeakageSection:
    """What of the scored images had been seen before.

    runs: one, or the folds; empty for masks of which nobody knows how their model was trained.
    is_own_data: whether the images are of the data set that the run was trained on.
    num_scored: images. num_known: known to the run by their content; null where not known.
    num_seen: trained on, or used to choose the epoch or a threshold; null where not known.
    num_near_duplicates: images that resemble one of these so much that they are refused.
    num_group_seen: images that were held out without all of their group.
    num_alike: less like than near duplicates, and not refused.
    num_compared: images new to the run that were compared with its sketches.
    num_not_compared: that could not be, since it has none.
    near_duplicate_from, alike_from: the likeness from which on they are called so.
    pairs: each image that had been seen or is alike.
    not_checked: in words.
    """

    runs: tuple[RunCertificate, ...]
    is_own_data: bool
    num_scored: int
    num_known: int | None
    num_seen: int | None
    num_near_duplicates: int | None
    num_group_seen: int | None
    num_alike: int | None
    num_compared: int
    num_not_compared: int
    near_duplicate_from: float
    alike_from: float
    pairs: tuple[SeenPair, ...]
    not_checked: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ScorecardDocument:
    """The whole of scorecard.json.

    schema_version: of this document; it rises when a field changes its meaning, goes or comes.
    kind: what the file is.
    details: what was measured and how, to be read by people, fingerprints among it.
    warnings: what makes the figures too good or unsafe.
    not_tested: what they do not show.
    definitions: what each figure means, in words.
    detection: lesion by lesion.
    calibration: whether probabilities come true; a note alone where that was not measured.
    guarantees: conformal masks; a note alone where there are none.
    leakage: the certificate of what had been seen before.
    inflation: by how much a leak would have flattered; null unless `--show-leak` asked for it.
    classes: of whole images, told by the network; null where it tells none.
    volumes: lesions of CT volumes by what they are like; null for pictures.
    table: the model first, then others and the baselines, on the same images.
    by_label: the model's figures for each class; empty where the data set names none.
    by_source: the model's figures for each data set of a collection; else empty.
    by_fold: the model's figures for each fold of a cross-validation; else empty.
    cases: one row per image, in the order in which they were scored; cases.csv holds the same.
    """

    schema_version: Literal[6]
    kind: Literal["breastseg scorecard"]
    details: dict[str, str]
    warnings: tuple[str, ...]
    not_tested: tuple[str, ...]
    definitions: dict[str, str]
    detection: DetectionSummary
    calibration: CalibrationSection | NotMeasured
    guarantees: GuaranteesSection | NotMeasured
    leakage: LeakageSection
    inflation: Inflation | None
    classes: ClassesSummary | None
    volumes: VolumeDetection | None
    table: tuple[Row, ...]
    by_label: dict[str, Summary]
    by_source: dict[str, Summary]
    by_fold: dict[str, Summary]
    cases: tuple[CaseScore, ...]


MEANINGS: Mapping[str, str] = {
    "case_id": "the case, as `predict` and all tables call it",
    "value": "the figure; null where it is not defined",
    "interval": "95 %; null where it is not defined, as with one group alone",
    "low": "lower end",
    "high": "upper end",
    "mean": "mean",
    "name": "name",
    "role": "a model, or a baseline that ignores the image",
    "description": "in words; may be empty",
    "summary": "the figures",
    "model_minus_this": "difference of the Dice, paired; null for the model itself",
    "num_images": "images",
    "num_groups": "groups: patients, else near duplicates",
    "num_cases": "cases",
    "num_lesions": "lesions in the reference",
    "num_lesion_images": "images with a lesion",
    "num_lesion_free_images": "images without a lesion",
    "num_candidates": "candidates at any score",
    "num_reference_lesions": "lesions in the reference",
    "has_lesion": "whether the reader drew a lesion",
    "group": "patient or near-duplicate group, which intervals resample",
    "sensitivity": "share of the images with a lesion in which the mask touches one",
    "specificity": "share of the images without a lesion in which nothing is marked",
    "pixel_accuracy": "share of the pixels on which mask and reference agree",
    "false_positives_per_image": "shown candidates that find nothing, per image",
    "false_positives_per_lesion_free_image": "the same over images without a lesion",
    "froc": "sensitivity per lesion against false positives per image",
    "average_precision": "over all candidates",
    "image_roc": "ROC curve of the images' highest scores",
    "at_threshold": "at the operating threshold",
    "by_label": "by class",
    "by_source": "by data set of a collection",
    "by_size": "by diameter",
    "p_value": "two-sided",
    "num_found": "how many of them are found",
    "method": "of the interval",
    "hd95": "larger of the two directed 95th percentiles of the distances between the outlines",
    "hd": "Hausdorff distance",
    "assd": "average symmetric surface distance",
    "dice": "2 |A and B| / (|A| + |B|)",
    "iou": "|A and B| / |A or B|",
    "precision": "share of what was marked that is lesion",
    "recall": "share of the lesion that was marked",
    "bins": "of the reliability diagram",
    "ece": "expected calibration error",
    "brier": "Brier score",
    "nll": "mean of minus the logarithm of what was true",
    "outer": "outer mask; null where there is no guarantee",
    "inner": "inner mask; null where there is no guarantee",
    "ece_interval": "95 %, over groups; null with one group alone",
    "brier_interval": "95 %, over groups; null with one group alone",
    "num_added": "images, or findings",
    "num_held": "groups in which it held on every image",
    "dice_median": "median of the Dice",
    "nsd_tolerance": "of nsd, in hd95_unit",
    "size_unit": "px, mm2 (image) or mm3 (volume)",
    "x": "along the abscissa",
    "y": "along the ordinate",
}


def check_document(document: Mapping[str, Any]) -> None:
    """Refuse a document that is not exactly what this version writes.

    Raises:
        InputError: a field is missing, of another type, or not known.
    """
    adapter = TypeAdapter(ScorecardDocument)
    try:
        read = adapter.validate_json(json.dumps(document), strict=True)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(each) for each in first["loc"])
        raise InputError(
            f"expected a scorecard of version {SCHEMA_VERSION}, but {place}: {first['msg']} "
            f"({error.error_count()} faults in all)."
        ) from None
    unknown = list(_unknown(document, adapter.dump_python(read, mode="json"), ""))
    if unknown:
        raise InputError(
            f"expected a scorecard of version {SCHEMA_VERSION}, which has no {unknown[0]} "
            f"({len(unknown)} unknown fields in all)."
        )


def _unknown(given: Any, known: Any, place: str) -> Iterator[str]:
    """Yield the fields that are given and were not read."""
    if isinstance(given, Mapping):
        for name, value in given.items():
            if name in known:
                yield from _unknown(value, known[name], f"{place}.{name}")
            else:
                yield f"{place}.{name}".lstrip(".")
    elif isinstance(given, list):
        for each, other in zip(given, known, strict=True):
            yield from _unknown(each, other, place)


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of the document; every field is there, and no other."""
    schema = TypeAdapter(ScorecardDocument).json_schema(mode="serialization")
    classes = {kind.__name__: kind for kind in document_classes()}
    for name, part in [(ScorecardDocument.__name__, schema), *schema["$defs"].items()]:
        meanings = field_meanings(classes[name])
        part["description"] = first_line(classes[name])
        part["additionalProperties"] = False
        part["required"] = list(part["properties"])
        for field, described in part["properties"].items():
            described.pop("default", None)
            described["description"] = meanings[field].replace("None", "null")
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": SCHEMA_ID,
        **schema,
    }


def document_classes() -> list[type]:
    """Return the classes of the document, the whole first, each before those in it."""
    found: dict[str, type] = {}

    def walk(annotation: Any) -> None:
        if dataclasses.is_dataclass(annotation) and isinstance(annotation, type):
            if annotation.__name__ not in found:
                found[annotation.__name__] = annotation
                hints = inspect.get_annotations(annotation, eval_str=True)
                for field in dataclasses.fields(annotation):
                    walk(hints[field.name])
            return
        for part in getattr(annotation, "__args__", ()):
            walk(part)

    walk(ScorecardDocument)
    return list(found.values())


def first_line(kind: type) -> str:
    """Return what a class is, in a sentence."""
    return (inspect.getdoc(kind) or "").split("\n\n")[0].replace("\n", " ")


def field_meanings(kind: type) -> dict[str, str]:
    """Return what each field of a class of the document means.

    Raises:
        InputError: neither its docstring nor MEANINGS says so.
    """
    names = [field.name for field in dataclasses.fields(kind)]
    told = _told(inspect.getdoc(kind) or "", names)
    silent = [name for name in names if name not in told and name not in MEANINGS]
    if silent:
        raise InputError(
            f"{kind.__name__}: say in its docstring what {', '.join(silent)} means, as 'name: '."
        )
    return {name: told.get(name) or MEANINGS[name] for name in names}


def _told(docstring: str, names: list[str]) -> dict[str, str]:
    """Read `name: text` and `name, name: text` from a docstring, the text up to the next one."""
    known = "|".join(map(re.escape, names))
    start = re.compile(rf"(?:^|(?<=[.;] ))((?:{known})(?:, (?:{known}))*): ", re.MULTILINE)
    _, _, body = docstring.partition("\n\n")
    pieces = start.split(body)
    told = {}
    for heads, text in zip(pieces[1::2], pieces[2::2], strict=True):
        meaning = " ".join(text.split("\n\n")[0].split()).rstrip(".;")
        told.update(dict.fromkeys(heads.split(", "), meaning))
    return told
