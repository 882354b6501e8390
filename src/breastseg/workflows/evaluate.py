"""breastseg evaluate: an honest score of a run, as a table, a page and JSON."""

import csv
import dataclasses
import io
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from breastseg.core.errors import SplitError
from breastseg.core.image import Case
from breastseg.core.lesion import check_threshold
from breastseg.datasets.cases import CaseFiles, DataSet, read_case
from breastseg.datasets.layouts import find_data_set
from breastseg.datasets.near_duplicates import case_groups
from breastseg.datasets.splits import PARTS
from breastseg.evaluation.baselines import ALL_BACKGROUND, ConstantMask
from breastseg.evaluation.scorecard import (
    CaseScore,
    Contender,
    exemplary_cases,
    score_case,
    summarise,
    to_document,
)
from breastseg.inference.segment import Prediction, Segmenter
from breastseg.io.atomic import write_json, write_text
from breastseg.io.raster import file_sha256
from breastseg.report.figures import training_curves
from breastseg.report.overlays import overlay_png
from breastseg.report.pages import Picture, data_uri, scorecard_page
from breastseg.training.checkpoint import Run, open_run
from breastseg.workflows.progress import Reading, log_file, silent_reading

log = logging.getLogger(__name__)
_PICTURE_SIDE = 512

NOT_TESTED = (
    "The probabilities are the network's own; they were not calibrated.",
    "Nothing is said of scanners, hospitals or patients that the data set does not hold.",
    "No reader was compared with, and no patient's outcome was looked at.",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """What a call of evaluate has done; document is scorecard.json."""

    output: Path
    document: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Selection:
    """The cases that are scored, and what must be said of them."""

    cases: tuple[CaseFiles, ...]
    described: str
    is_own_data: bool
    warnings: tuple[str, ...] = ()


def evaluate(
    run: Path,
    data: Path,
    *,
    split: str = "test",
    against: Sequence[Path] = (),
    output: Path | None = None,
    allow_leakage: bool = False,
    threshold: float | None = None,
    threads: int | None = None,
    reading: Reading = silent_reading,
) -> Evaluation:
    """Score a run on its own test part, or on the whole of other data.

    Images are known again by their content, so that a renamed or copied training image does
    not pass for a new one.

    Args:
        run: the run folder.
        data: a folder of a known layout, with reference masks.
        split: test, calibration, validation, train or all; of the run's own data alone.
        against: other runs, scored on the same images and compared pair by pair.
        output: RUN/scorecard for own data, RUN/scorecard-FOLDER for other, where None.
        allow_leakage: score images of any other part than test, with a warning.
        threshold: operating threshold in (0, 1]; each run's own where None.
        threads: of the CPU; None takes all.
        reading: told of the progress.

    Raises:
        SplitError: an image was trained on, or the part is empty.
        LayoutError, ImageFileError, ReferenceMaskError, GeometryError: the data.
        RunFolderError, WeightsError: a run.
        OutputError: the scorecard cannot be written.
    """
    scored = score_runs(
        (run, *against),
        data,
        split=split,
        allow_leakage=allow_leakage,
        threshold=threshold,
        threads=threads,
        reading=reading,
    )
    folder = output or _default_folder(run, scored)
    with log_file(folder):
        document = _document(scored)
        log.info("%s", document["details"])
        for row in document["table"]:
            log.info("%s: mean Dice %s", row["name"], row["summary"]["dice"]["value"])
        pictures = _pictures(scored)
        _write(folder, document, pictures, scored.runs[0])
    return Evaluation(output=folder, document=document)


def _default_folder(run: Path, scored: "Scored") -> Path:
    if scored.is_own_data:
        return run / "scorecard"
    return run / f"scorecard-{scored.data_name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Scored:
    """Runs and baselines, scored on the same images.

    contenders: the runs in the order given, then the baselines.
    details: what was measured and how, to be read by people.
    """

    runs: Sequence[Run]
    contenders: Sequence[Contender]
    cases: Sequence[CaseFiles]
    details: dict[str, str]
    warnings: tuple[str, ...]
    is_own_data: bool
    data_name: str
    judge: "_Judge"

    @property
    def models(self) -> list[Contender]:
        """The runs among the contenders."""
        return [contender for contender in self.contenders if contender.role == "model"]


def score_runs(
    paths: Sequence[Path],
    data: Path,
    *,
    split: str,
    allow_leakage: bool,
    threshold: float | None,
    threads: int | None,
    reading: Reading,
) -> Scored:
    """Score runs and the baselines of the first; arguments and errors as of evaluate."""
    if threshold is not None:
        check_threshold(threshold)
    opened = [open_run(path) for path in paths]
    data_set = find_data_set(data)
    selection = _select(opened, data_set, split, allow_leakage=allow_leakage)
    groups, method = _groups(opened[0], data_set, selection)
    judge = _Judge(
        [Segmenter.open(each.recipe, each.weights(), threads=threads) for each in opened],
        (ALL_BACKGROUND, opened[0].constant_mask()),
        groups,
        [threshold or each.operating_threshold for each in opened],
    )
    rows = []
    for done, files in enumerate(selection.cases, start=1):
        rows.append(judge.score(files))
        reading("Scoring", done, len(selection.cases))
    return Scored(
        runs=opened,
        contenders=_contenders(opened, judge.baselines, list(zip(*rows, strict=True))),
        cases=selection.cases,
        details=_details(opened[0], data_set, selection, method, judge.thresholds[0]),
        warnings=selection.warnings,
        is_own_data=selection.is_own_data,
        data_name=data_set.root.resolve().name,
        judge=judge,
    )


@dataclass(frozen=True, slots=True)
class _Judge:
    """Everything that has an opinion on an image: the runs and the baselines."""

    segmenters: Sequence[Segmenter]
    baselines: Sequence[ConstantMask]
    groups: dict[str, str]
    thresholds: Sequence[float]

    def score(self, files: CaseFiles) -> tuple[CaseScore, ...]:
        """Score the runs, then the baselines, on one case."""
        case = read_case(files)
        masks = [self.predict(number, case).mask for number in range(len(self.segmenters))]
        masks += [baseline.on(case.image.pixels.shape) for baseline in self.baselines]
        group = self.groups[files.case_id]
        return tuple(score_case(case, mask, group=group, label=files.label) for mask in masks)

    def predict(self, number: int, case: Case) -> Prediction:
        """Return what one of the runs finds."""
        return self.segmenters[number].predict(case.case_id, case.image, self.thresholds[number])


def _select(
    runs: Sequence[Run], data_set: DataSet, split: str, *, allow_leakage: bool
) -> _Selection:
    """Choose the cases to score, and refuse those that a run has seen."""
    hashes = {case.case_id: file_sha256(case.image_path) for case in data_set.cases}
    home = [_parts_by_content(run) for run in runs]
    known = {case_id: home[0][digest] for case_id, digest in hashes.items() if digest in home[0]}
    if known and split != "all":
        chosen = tuple(case for case in data_set.cases if known.get(case.case_id) == split)
        described = f"the run's own {split} part"
    else:
        chosen = data_set.cases
        described = "all images" if known else "all images of data that the run has not seen"
    if not chosen:
        raise SplitError(
            f"{data_set.root}: the {split} part is empty: the folder holds none of its images. "
            f"Give the data set of the run, or another --split ({', '.join(PARTS)}, all)."
        )
    seen = [
        case.case_id
        for case in chosen
        if any(parts.get(hashes[case.case_id], "test") != "test" for parts in home)
    ]
    if seen and not allow_leakage:
        raise SplitError(
            f"{len(seen)} of {len(chosen)} images were trained on, or used to choose the epoch or "
            f"the threshold, such as '{seen[0]}': their score would flatter. Score --split test, "
            "or add --allow-leakage to see it marked as such."
        )
    if 0 < len(known) < len(data_set.cases) and split != "all":
        log.warning(
            "%d images that the run does not know were left out; --split all scores them too.",
            len(data_set.cases) - len(known),
        )
    warning = (
        f"{len(seen)} of {len(chosen)} images were trained on, or used to choose the epoch or the "
        "threshold."
    )
    return _Selection(
        cases=chosen,
        described=described,
        is_own_data=bool(known),
        warnings=(warning,) if seen else (),
    )


def _parts_by_content(run: Run) -> dict[str, str]:
    return {
        run.content[case_id]: part
        for part, case_ids in run.split.parts.items()
        for case_id in case_ids
    }


def _groups(run: Run, data_set: DataSet, selection: _Selection) -> tuple[dict[str, str], str]:
    """Return the groups that intervals resample: the run's own, or those of the new data."""
    ids = {case.case_id for case in selection.cases}
    if selection.is_own_data and ids <= set(run.split.groups):
        return dict(run.split.groups), run.split.method
    return case_groups(data_set.cases)


def _details(
    run: Run, data_set: DataSet, selection: _Selection, method: str, threshold: float
) -> dict[str, str]:
    return {
        "Recipe": f"{run.recipe.name} ({run.recipe.fingerprint()})",
        "Model": run.fingerprint,
        "Trained in": run.framework,
        "Trained on": f"{run.environment['layout']} ({run.environment['data_fingerprint']})",
        "Scored on": f"{data_set.layout}, {selection.described}: {len(selection.cases)} images",
        "Split": f"by {run.split.method}",
        "Intervals over": method,
        "Operating threshold": f"{threshold:g}",
    }


def _contenders(
    runs: Sequence[Run],
    baselines: Sequence[ConstantMask],
    columns: Sequence[Sequence[CaseScore]],
) -> list[Contender]:
    names = [f"{run.recipe.name} ({run.framework})" for run in runs]
    if len(set(names)) < len(names):
        names = [run.path.resolve().name for run in runs]
    if len(set(names)) < len(names):
        names = [f"{name} {run.fingerprint}" for name, run in zip(names, runs, strict=True)]
    models = [
        Contender(name=name, scores=scores) for name, scores in zip(names, columns, strict=False)
    ]
    floor = [
        Contender(
            name=baseline.name, scores=scores, role="baseline", description=baseline.description
        )
        for baseline, scores in zip(baselines, columns[len(runs) :], strict=True)
    ]
    return [*models, *floor]


def _document(scored: Scored) -> dict[str, Any]:
    card = summarise(*scored.contenders)
    return to_document(
        card, details=scored.details, warnings=scored.warnings, not_tested=NOT_TESTED
    )


def _pictures(scored: Scored) -> list[Picture]:
    """Draw the exemplary cases; only these are predicted a second time."""
    files = {case.case_id: case for case in scored.cases}
    pictures = []
    for role, chosen in exemplary_cases(scored.contenders[0].scores).items():
        for score in chosen:
            overlay = _overlay(scored.judge, read_case(files[score.case_id]))
            pictures.append(
                Picture(case_id=score.case_id, picture=overlay, role=role, dice=score.dice)
            )
    return pictures


def _overlay(judge: _Judge, case: Case) -> str:
    assert case.reference is not None
    found = judge.predict(0, case)
    overlay = overlay_png(
        case.image.pixels[0],
        found.mask[0],
        case.reference[0] > 0,
        lesions=found.lesions,
        longer_side=_PICTURE_SIDE,
    )
    return data_uri(overlay)


def _write(folder: Path, document: dict[str, Any], pictures: Sequence[Picture], run: Run) -> None:
    write_json(folder / "scorecard.json", document)
    text = io.StringIO()
    fields = [field.name for field in dataclasses.fields(CaseScore)]
    table = csv.DictWriter(text, fields)
    table.writeheader()
    table.writerows(document["cases"])
    write_text(folder / "cases.csv", text.getvalue())
    history = run.state().history
    curves = training_curves(
        [record.loss for record in history], [record.validation_dice for record in history]
    )
    figures = [curves] if history else []
    write_text(folder / "scorecard.html", scorecard_page(document, pictures, figures=figures))
