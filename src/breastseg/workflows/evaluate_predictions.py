"""breastseg evaluate --predictions: the scorecard of masks that anyone's model made."""

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from breastseg.core.errors import SplitError
from breastseg.core.image import Case, Pixels
from breastseg.datasets.cases import CaseFiles, DataSet, read_case, sources_of
from breastseg.datasets.checked import content_fingerprint, content_of, find_scored_data
from breastseg.datasets.given_masks import GivenMasks, find_given_masks, read_case_list
from breastseg.datasets.near_duplicates import case_groups
from breastseg.evaluation.case_score import CaseScore
from breastseg.evaluation.overlap import Mask
from breastseg.evaluation.scorecard import exemplary_cases, summarise, to_document
from breastseg.report.scorecard_page import Picture
from breastseg.training.model import is_ensemble, load_model, open_model
from breastseg.training.shipped import resolve_model, shipped_models
from breastseg.workflows.contestants import (
    Contestant,
    RunContestant,
    given_contestant,
)
from breastseg.workflows.evaluate import NOT_TESTED, Evaluation
from breastseg.workflows.given_evidence import unknown_training
from breastseg.workflows.panel import Judged, Panel, judge
from breastseg.workflows.progress import Reading, log_file, silent_reading
from breastseg.workflows.scorecard_files import case_picture, write_scorecard
from breastseg.workflows.seen_before import all_seen, exposures_of, unknown_images, warning_of
from breastseg.workflows.volume_pictures import volume_pictures

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class WhichImages:
    """Which images of the data are scored: all, or those that all conditions leave.

    cases: a text file of case ids. split_of: a run, whose part `split` is taken.
    only_predicted: leave out images without a mask; the scorecard says so.
    """

    cases: Path | None = None
    split_of: Path | None = None
    split: str = "test"
    only_predicted: bool = False


ALL_IMAGES = WhichImages()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Chosen:
    """The cases that are scored, how that is told, and what to beware of."""

    cases: tuple[CaseFiles, ...]
    described: str
    warnings: tuple[str, ...]


def evaluate_predictions(
    predictions: Path,
    data: Path,
    *,
    against: Sequence[Path] = (),
    images: WhichImages = ALL_IMAGES,
    output: Path | None = None,
    allow_leakage: bool = False,
    threshold: float | None = None,
    threads: int | None = None,
    reading: Reading = silent_reading,
) -> Evaluation:
    """Score the masks in a folder, whoever made them, as runs are scored.

    Args:
        predictions: the folder; its file names as in datasets.given_masks.
        data: a folder of a known layout, with reference masks.
        against: runs, or other folders of masks, scored on the same images and compared.
        images: which images of the data are scored; each must have a mask.
        output: PREDICTIONS/scorecard where None.
        allow_leakage: score a run of `against` on images that it has seen, with a warning.
        threshold: in (0, 1], where the folder holds probabilities alone; 0.5 where None.
        threads: of the CPU for runs of `against`; None takes all.
        reading: told of the progress.

    Raises:
        LayoutError: data or masks are missing, or files that belong to no image.
        InputError: masks that are damaged or do not fit their images; it names a few.
        SplitError: a run of `against` has seen an image, or no image is left.
        RunFolderError, WeightsError: a run. OutputError: the scorecard cannot be written.
    """
    data_set = find_scored_data(data)
    given = find_given_masks(predictions, data_set.cases)
    hashes = content_of(data_set.cases)
    chosen = _choose(data_set, given, images, hashes)
    first = given_contestant(given, chosen.cases, threshold=threshold)
    others, warnings = _opponents(
        against,
        data_set,
        chosen,
        hashes,
        allow_leakage=allow_leakage,
        threads=threads,
        reading=reading,
    )
    groups, method = case_groups(data_set.cases)
    panel = Panel(contestants=(first, *others), groups=groups, hashes=hashes, first=first)
    judged = judge(panel, chosen.cases, reading)
    contenders, sources = judged.contenders, sources_of(chosen.cases)
    evidence_document = {
        **judged.evidence.to_document(has_probabilities=first.has_probabilities, sources=sources),
        "leakage": unknown_training(len(chosen.cases)),
        "inflation": None,
        "classes": None,
        "volumes": None
        if judged.volumes is None
        else judged.volumes.to_document(
            judged.evidence.images, has_probabilities=first.has_probabilities
        ),
    }
    document = to_document(
        summarise(*contenders, sources=sources),
        details=_details(panel, data_set, chosen, method),
        warnings=(*chosen.warnings, *warnings, *judged.warnings()),
        not_tested=("What the model was trained on is not known here.", *NOT_TESTED),
        evidence=evidence_document,
    )
    folder = output or predictions / "scorecard"
    with log_file(folder):
        log.info("; ".join(f"{name}: {text}" for name, text in document["details"].items()))
        for row in document["table"]:
            log.info("%s: mean Dice %s", row["name"], row["summary"]["dice"]["value"])
        scores = contenders[0].scores
        if judged.volumes is None:
            pictures = _pictures(panel, chosen.cases, scores)
        else:
            pictures = _pictures_of_volumes(panel, chosen.cases, scores, judged)
        write_scorecard(folder, document, pictures)
    return Evaluation(output=folder, document=document)


def _choose(
    data_set: DataSet, given: GivenMasks, images: WhichImages, hashes: dict[str, str]
) -> _Chosen:
    ids = [case.case_id for case in data_set.cases]
    described = "all images"
    warnings: list[str] = []
    if images.cases is not None:
        listed = set(read_case_list(images.cases, data_set.cases))
        ids = [each for each in ids if each in listed]
        described = f"the images listed in {images.cases.name}"
    if images.split_of is not None:
        part, described = _part_of(images.split_of, images.split, hashes)
        ids = [each for each in ids if each in part]
    if images.only_predicted:
        left_out = [each for each in ids if each not in given.files]
        ids = [each for each in ids if each in given.files]
        described += " that have a mask"
        if left_out:
            warnings.append(
                f"{len(left_out)} of {len(left_out) + len(ids)} images were left out because "
                "they have no mask. If nothing was found in them, these figures flatter."
            )
    if not ids:
        raise SplitError(
            f"{data_set.root}: no image is left to be scored ({described}). Give the data that "
            "the masks were made of."
        )
    return _Chosen(cases=data_set.only(ids), described=described, warnings=tuple(warnings))


def _part_of(run: Path, split: str, hashes: dict[str, str]) -> tuple[set[str], str]:
    """Return the images of a part of a run, known by their content, and how that is told."""
    model = open_model(run)
    parts = model.home()
    members = {
        case_id
        for case_id, digest in hashes.items()
        if digest in parts and split in ("all", parts[digest])
    }
    return members, f"the {split} part of the run '{model.path.resolve().name}'"


def _opponents(
    against: Iterable[Path],
    data_set: DataSet,
    chosen: _Chosen,
    hashes: dict[str, str],
    *,
    allow_leakage: bool,
    threads: int | None,
    reading: Reading,
) -> tuple[list[Contestant], list[str]]:
    """Return those to compare with, and what makes their figures too good."""
    contestants: list[Contestant] = []
    warnings: list[str] = []
    for given in against:
        path = resolve_model(given) if str(given) in shipped_models() else given
        if not ((path / "recipe.json").is_file() or is_ensemble(path)):
            other = find_given_masks(path, data_set.cases)
            contestants.append(given_contestant(other, chosen.cases))
            continue
        model = open_model(path)
        if unknown := unknown_images(model):
            warnings.append(unknown)
        scored = {case.case_id: hashes[case.case_id] for case in chosen.cases}
        if seen := all_seen(exposures_of([model], chosen.cases, scored, reading)):
            text = f"{path}: {warning_of(seen, num_scored=len(scored))}"
            if not allow_leakage:
                raise SplitError(
                    f"{text}: its score would flatter. Score the images that it held out by "
                    f"--split-of {path}, or add --allow-leakage to see it marked as such."
                )
            warnings.append(f"{text}: its figures flatter.")
        name = f"{model.recipe_name} ({model.framework}) {model.fingerprint}"
        contestants.append(RunContestant(name, model, load_model(model, threads=threads)))
    return contestants, warnings


def _details(panel: Panel, data_set: DataSet, chosen: _Chosen, method: str) -> dict[str, str]:
    first, ids = panel.first, [case.case_id for case in chosen.cases]
    given = [
        name
        for name, has in (("masks", first.has_masks), ("probabilities", first.has_probabilities))
        if has
    ]
    details = {
        "Masks": f"{first.name} ({first.given.fingerprint(ids)})",
        "Given": " and ".join(given),
        "Trained on": "not known",
        "Scored on": f"{data_set.layout}, {chosen.described}: {len(ids)} images",
        "Fingerprint of the images": content_fingerprint(panel.hashes[each] for each in ids),
        "Intervals over": method,
    }
    if not first.has_masks:
        details["Operating threshold"] = f"{first.threshold:g}"
    return details


def _pictures_of_volumes(
    panel: Panel, cases: Sequence[CaseFiles], scores: Sequence[CaseScore], judged: Judged
) -> list[Picture]:
    def answers(case: Case) -> tuple[Mask, Pixels]:
        answer = panel.first.answer(case, sha256=panel.hashes[case.case_id])
        return answer.mask, answer.map()

    return volume_pictures(cases, scores, judged.evidence.images, answers)


def _pictures(
    panel: Panel, cases: Sequence[CaseFiles], scores: Sequence[CaseScore]
) -> list[Picture]:
    files = {case.case_id: case for case in cases}
    pictures = []
    for role, shown in exemplary_cases(scores).items():
        for score in shown:
            case = read_case(files[score.case_id])
            found = panel.first.answer(case, sha256=panel.hashes[score.case_id])
            pictures.append(case_picture(case, found.mask, score, role=role, lesions=found.lesions))
    return pictures
