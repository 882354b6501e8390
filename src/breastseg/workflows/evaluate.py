"""breastseg evaluate: an honest score of a run, as a table, a page and JSON."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from breastseg.core.image import Case, Pixels
from breastseg.datasets.cases import read_case, sources_of
from breastseg.evaluation.overlap import Mask
from breastseg.evaluation.scorecard import exemplary_cases, summarise, to_document
from breastseg.report.figures import Figure, fold_curves, training_curves
from breastseg.report.scorecard_page import Picture
from breastseg.training.model import Model
from breastseg.training.shipped import folder_beside
from breastseg.workflows.judge import SearchedRegion, VolumeJudge
from breastseg.workflows.leakage import leakage_certificate
from breastseg.workflows.progress import Reading, log_file, silent_reading
from breastseg.workflows.scorecard_files import case_picture, write_scorecard
from breastseg.workflows.scoring import Scored, score_models
from breastseg.workflows.show_leak import inflation_of, require_own_test_part
from breastseg.workflows.volume_pictures import volume_pictures

log = logging.getLogger(__name__)
_SHOWN_BOUNDS = {"best": 1, "median": 2, "worst": 2, "false alarm": 1}

NOT_TESTED = (
    "A probability is right on average over pixels, not in every image; a finding's score is its "
    "highest probability, which is no probability of being a lesion.",
    "Nothing is said of scanners, hospitals or patients that the data set does not hold.",
    "No reader was compared with, and no patient's outcome was looked at.",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """What a call of evaluate has done; document is scorecard.json."""

    output: Path
    document: dict[str, Any]


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
    show_leak: bool = False,
    region: SearchedRegion | None = None,
    reading: Reading = silent_reading,
) -> Evaluation:
    """Score a run on its own test part, or on the whole of other data.

    Images are known again by their content, so that a renamed or copied training image does
    not pass for a new one.

    Args:
        run: a run folder, or the folds of a cross-validation, which score their own data out
            of fold and other data as an ensemble; or the name of a model that ships.
        data: a folder of a known layout, with reference masks.
        split: test, calibration, validation, train or all; of the run's own data alone.
        against: other runs, scored on the same images and compared pair by pair.
        output: RUN/scorecard for own data, RUN/scorecard-FOLDER for other, where None;
            NAME-scorecard-FOLDER here for a model that ships.
        allow_leakage: score images of any other part than test, with a warning.
        threshold: operating threshold in (0, 1]; each run's own where None.
        threads: of the CPU; None takes all.
        show_leak: predict the training images, too, and say how much they would have flattered.
        region: where lesions of a CT are looked for, other than the recipe says.
        reading: told of the progress.

    Raises:
        InputError: show_leak of anything but the run's own test part, or of volumes; a region
            for pictures.
        SplitError: an image was trained on, or the part is empty.
        LayoutError, ImageFileError, ReferenceMaskError, GeometryError: the data.
        RunFolderError, WeightsError: a run.
        OutputError: the scorecard cannot be written.
    """
    if show_leak:
        require_own_test_part(run, data, split)
    scored = score_models(
        (run, *against),
        data,
        split=split,
        allow_leakage=allow_leakage,
        threshold=threshold,
        threads=threads,
        reading=reading,
        gather=True,
        region=region,
    )
    folder = output or _default_folder(run, scored, region)
    with log_file(folder):
        inflation = inflation_of(scored, data, reading) if show_leak else None
        document = _document(scored, inflation)
        log.info("; ".join(f"{name}: {text}" for name, text in document["details"].items()))
        for row in document["table"]:
            log.info("%s: mean Dice %s", row["name"], row["summary"]["dice"]["value"])
        pictures, curves = _pictures(scored), _curves(scored.models[0])
        write_scorecard(folder, document, pictures, figures=curves)
    return Evaluation(output=folder, document=document)


def _default_folder(run: Path, scored: Scored, region: SearchedRegion | None) -> Path:
    parts = ["scorecard"]
    if not scored.is_own_data:
        parts.append(scored.data_name)
    if region is not None:
        parts.append(f"region-{region}")
    return folder_beside(run, "-".join(parts))


def _document(scored: Scored, inflation: dict[str, Any] | None) -> dict[str, Any]:
    sources = sources_of(scored.cases)
    card = summarise(*scored.contenders, folds=scored.folds, sources=sources)
    assert scored.evidence is not None
    own = scored.is_own_data
    content = {case.case_id: scored.judge.sha256[case.case_id] for case in scored.cases}
    return to_document(
        card,
        details=scored.details,
        warnings=scored.warnings,
        not_tested=NOT_TESTED,
        evidence={
            **scored.evidence.to_document(is_own_data=own, sources=sources),
            "leakage": leakage_certificate(
                scored.models[0], content, scored.exposures[0], is_own_data=own
            ),
            "inflation": inflation,
            "volumes": _volumes(scored),
        },
    )


def _volumes(scored: Scored) -> dict[str, Any] | None:
    if not isinstance(scored.judge, VolumeJudge):
        return None
    assert scored.evidence is not None
    return scored.judge.volumes.to_document(scored.evidence.images, has_probabilities=True)


def _pictures(scored: Scored) -> list[Picture]:
    if isinstance(scored.judge, VolumeJudge):
        return _pictures_of_volumes(scored, scored.judge)
    return _pictures_of_images(scored)


def _pictures_of_volumes(scored: Scored, judge: VolumeJudge) -> list[Picture]:
    def answers(case: Case) -> tuple[Mask, Pixels]:
        found = judge.predict_volume(0, case)
        return found.mask, found.probability

    assert scored.evidence is not None
    scores = scored.contenders[0].scores
    return volume_pictures(scored.cases, scores, scored.evidence.images, answers)


def _pictures_of_images(scored: Scored) -> list[Picture]:
    """Draw the exemplary cases; only these are predicted a second time."""
    files = {case.case_id: case for case in scored.cases}
    model = scored.models[0]
    calibration = None if model.is_ensemble else model.runs[0].calibration
    pictures = []
    for role, chosen in exemplary_cases(scored.contenders[0].scores).items():
        for place, score in enumerate(chosen):
            case = read_case(files[score.case_id])
            found = scored.judge.predict(0, case)
            bounds = None
            if calibration and calibration.is_fitted and place < _SHOWN_BOUNDS[role]:
                bounds = calibration.bounds(found.probability, case.image.scan_area)
            pictures.append(
                case_picture(
                    case, found.mask, score, role=role, lesions=found.lesions, bounds=bounds
                )
            )
    return pictures


def _curves(model: Model) -> list[Figure]:
    """Show how the training went, or that of each fold."""
    histories = [run.state().history for run in model.runs]
    dice = [[record.validation_dice for record in history] for history in histories]
    if not any(dice):
        return []
    if model.is_ensemble:
        return [fold_curves(dice)]
    return [training_curves([record.loss for record in histories[0]], dice[0])]
