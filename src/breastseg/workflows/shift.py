"""breastseg evaluate RUN --on A --on B: how far a run carries, from one data set to others."""

import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from breastseg import __version__
from breastseg.core.errors import InputError
from breastseg.datasets.cases import DataSet, read_case
from breastseg.datasets.checked import content_of
from breastseg.datasets.layouts import find_data_set
from breastseg.evaluation.confidence import difference_of_means
from breastseg.evaluation.shift import MIN_GROUPS, MIN_SHARED, NUM_BINS
from breastseg.evaluation.shift_comparison import LesionImage, ScoredSet, compare_sets
from breastseg.evaluation.shift_factors import describe
from breastseg.io.atomic import write_json, write_text
from breastseg.report.shift_page import shift_page
from breastseg.training.shipped import folder_beside
from breastseg.workflows.evaluate import Evaluation, evaluate
from breastseg.workflows.progress import Reading, log_file, silent_reading

log = logging.getLogger(__name__)

DEFINITIONS = {
    "drop": "mean Dice of the reference minus that of the other data set; above 0: score lost. "
    "The images differ, so that it is unpaired: groups of both are resampled, independently",
    "missed altogether": "share of the images with a lesion whose mask touches none (Dice 0)",
    "composition": "what goes with the factor: the data sets hold its kinds in other shares, and "
    "some kinds are harder. Kitagawa's symmetric form of the Oaxaca-Blinder decomposition",
    "rates": "what remains: images of the same kind are done worse",
    "outside": "images of a kind that the other data set lacks, against those of the kinds in "
    "common (Ñopo 2008): what the other would score on them is not known and not extrapolated",
    "kinds": f"numbers are cut into {NUM_BINS} ranges with as much of both data sets together in "
    "each (fewer in small sets), every set weighing the same; a kind is in common where each "
    f"has {MIN_GROUPS} groups",
    "share": "composition over the drop; not given where the interval of the drop holds 0, or "
    f"where less than {MIN_SHARED:.0%} of the images of either are of kinds in common",
    "interval": "95 %, percentile bootstrap over groups",
}
NOT_TESTED = (
    "Causes. What goes with a factor may come from another one that goes with it: factors "
    "hang together, their compositions overlap and don't add up.",
    "Readers. Two data sets are drawn by other people with other habits, which no factor "
    "here measures and which stays in the rates.",
    "Differences within a range: images of one range are taken as alike.",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Scored:
    """One data set with its scorecard; name: of its folder, or that with a number."""

    name: str
    data_set: DataSet
    card: dict[str, Any]

    @property
    def is_own_data(self) -> bool:
        return bool(self.card["leakage"]["is_own_data"])


def evaluate_shift(
    run: Path,
    data: Sequence[Path],
    *,
    output: Path | None = None,
    split: str = "test",
    allow_leakage: bool = False,
    threshold: float | None = None,
    threads: int | None = None,
    reading: Reading = silent_reading,
) -> Evaluation:
    """Score a run on several data sets, and say where what is lost between them goes.

    Writes shift.html and shift.json, and the scorecard of each set in a folder of its name. The
    reference is the run's own data, where it is among them; else the first.

    Args:
        run: a run folder, or the folds of a cross-validation.
        data: two data sets or more, with reference masks.
        output: RUN/shift where None; NAME-shift here for a model that ships.
        split: part of the run's own data; others are scored whole.
        allow_leakage, threshold, threads, reading: as of evaluate.

    Raises:
        InputError: fewer than two data sets, one twice, or one without a lesion.
        SplitError, LayoutError, ImageFileError, ReferenceMaskError, GeometryError: the data.
        RunFolderError, WeightsError, OutputError: as of evaluate.
    """
    _require_several(data)
    sets = [find_data_set(root) for root in data]
    found = dict(zip(_names(sets), sets, strict=True))
    folder = output or folder_beside(run, "shift")
    with log_file(folder):
        scored = [
            _Scored(
                name=name,
                data_set=data_set,
                card=evaluate(
                    run,
                    data_set.root,
                    split=split,
                    output=folder / name,
                    allow_leakage=allow_leakage,
                    threshold=threshold,
                    threads=threads,
                    reading=_told_of(name, reading),
                ).document,
            )
            for name, data_set in found.items()
        ]
        document = _document(scored, reading)
        write_json(folder / "shift.json", document)
        write_text(folder / "shift.html", shift_page(document))
        log.info("compared %s", ", ".join(found))
    return Evaluation(output=folder, document=document)


def _require_several(data: Sequence[Path]) -> None:
    if len(data) < 2 or len({root.resolve() for root in data}) < len(data):
        told = ", ".join(map(str, data)) or "none"
        raise InputError(
            f"--on needs two different data sets or more, got {told}. Score one alone with: "
            "breastseg evaluate RUN DATA."
        )


def _names(data_sets: Sequence[DataSet]) -> list[str]:
    """Return the names of the data sets, numbered where two have the same."""
    names: list[str] = []
    for data_set in data_sets:
        name = data_set.name or "data"
        earlier = sum(each.name == data_set.name for each in data_sets[: len(names)])
        names.append(f"{name}-{earlier + 1}" if earlier else name)
    return names


def _told_of(name: str, reading: Reading) -> Reading:
    return lambda what, done, total: reading(f"{what} {name}", done, total)


def _document(scored: Sequence[_Scored], reading: Reading) -> dict[str, Any]:
    """Return what shift.json holds."""
    own = [each for each in scored if each.is_own_data]
    reference = own[0] if own else scored[0]
    others = [each for each in scored if each is not reference]
    images = {each.name: _lesion_images(each, reading) for each in scored}
    return {
        "schema_version": 1,
        "kind": "breastseg shift",
        "version": __version__,
        "details": _details(reference),
        "warnings": [*_warnings(scored)],
        "not_tested": list(NOT_TESTED),
        "definitions": DEFINITIONS,
        "sets": [_set(each, reference, images) for each in (reference, *others)],
        "comparisons": [
            asdict(compare_sets(images[reference.name], images[each.name]))
            for each in others
            if images[reference.name].images and images[each.name].images
        ],
    }


def _details(reference: _Scored) -> dict[str, str]:
    kept = ("Recipe", "Model", "Trained in", "Trained on", "Operating threshold")
    why = "the run's own data" if reference.is_own_data else "named first: none is the run's own"
    details = {name: reference.card["details"][name] for name in kept}
    return {**details, "Reference": f"{reference.name}, {why}"}


def _warnings(scored: Sequence[_Scored]) -> list[str]:
    """Return what makes figures too good, and images that two sets share."""
    warnings = [f"{each.name}: {text}" for each in scored for text in each.card["warnings"]]
    content = {each.name: set(_content(each).values()) for each in scored}
    for place, first in enumerate(scored):
        for second in scored[place + 1 :]:
            shared = len(content[first.name] & content[second.name])
            if shared:
                warnings.append(
                    f"{first.name} and {second.name} share {shared} scored images: the interval "
                    "of their difference takes them as different ones."
                )
    return warnings


def _content(scored: _Scored) -> dict[str, str]:
    ids = {case["case_id"] for case in scored.card["cases"]}
    return content_of(scored.data_set.only(ids))


def _lesion_images(scored: _Scored, reading: Reading) -> ScoredSet:
    """Read the images with a lesion once more, for what they are like."""
    files = {case.case_id: case for case in scored.data_set.cases}
    cases = [case for case in scored.card["cases"] if case["dice"] is not None]
    images = []
    for done, case in enumerate(cases, start=1):
        named = files[case["case_id"]]
        facts = describe(read_case(named), label=named.label, scanner=named.scanner)
        images.append(LesionImage(facts=facts, group=case["group"], dice=case["dice"]))
        reading(f"Measuring {scored.name}", done, len(cases))
    return ScoredSet(name=scored.name, images=images)


def _set(scored: _Scored, reference: _Scored, images: dict[str, ScoredSet]) -> dict[str, Any]:
    card = scored.card
    return {
        "name": scored.name,
        "folder": scored.name,
        "layout": scored.data_set.layout,
        "is_reference": scored is reference,
        "is_own_data": scored.is_own_data,
        "scored_on": card["details"]["Scored on"],
        "intervals_over": card["details"]["Intervals over"],
        "summary": card["table"][0]["summary"],
        "drop": None if scored is reference else _drop(images[reference.name], images[scored.name]),
        "at_threshold": card["detection"]["at_threshold"],
        "calibration": card["calibration"],
        "guarantees": card["guarantees"],
    }


def _drop(first: ScoredSet, second: ScoredSet) -> dict[str, Any] | None:
    """Return the drop of the Dice; None where a set has no lesion."""
    if not first.images or not second.images:
        return None
    (dice, groups), (other_dice, other_groups) = (
        ([each.dice for each in side.images], [each.group for each in side.images])
        for side in (first, second)
    )
    value, interval = difference_of_means(dice, groups, other_dice, other_groups)
    return {"value": value, "interval": asdict(interval) if interval else None}
