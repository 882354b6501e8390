"""Scoring models and baselines on the same images: what evaluate, compare and search share."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from breastseg.core.errors import InputError, LayoutError, SplitError
from breastseg.core.lesion import check_threshold
from breastseg.datasets.cases import CaseFiles, DataSet
from breastseg.datasets.checked import content_fingerprint, content_of, find_scored_data
from breastseg.datasets.layouts import find_data_set
from breastseg.datasets.near_duplicates import case_groups
from breastseg.datasets.splits import PARTS
from breastseg.evaluation.baselines import ALL_BACKGROUND
from breastseg.evaluation.case_score import CaseScore
from breastseg.evaluation.scorecard import Contender
from breastseg.training.begun_from import told_beginning
from breastseg.training.checkpoint import Run
from breastseg.training.model import Model, load_model, open_model
from breastseg.training.shipped import resolve_model
from breastseg.workflows.evidence import Evidence
from breastseg.workflows.judge import Judge, SearchedRegion, VolumeJudge, with_region
from breastseg.workflows.progress import Reading
from breastseg.workflows.seen_before import (
    Exposure,
    all_seen,
    exposures_of,
    refusal_of,
    unknown_images,
    warning_of,
)

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Selection:
    """The cases that are scored, and what must be said of them.

    sha256: of each image file by case id. exposures: see Scored.
    """

    cases: tuple[CaseFiles, ...]
    sha256: dict[str, str]
    described: str
    is_own_data: bool
    exposures: list[Exposure]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scored:
    """Models and baselines, scored on the same images.

    contenders: the models in the order given, then the baselines.
    details: what was measured and how, to be read by people.
    exposures: what of the cases each of the models had seen before.
    folds: for a cross-validation, the fold by case id of the images that one held out.
    evidence: of the first model, where it was asked for.
    """

    models: Sequence[Model]
    contenders: Sequence[Contender]
    cases: Sequence[CaseFiles]
    details: dict[str, str]
    exposures: list[Exposure]
    is_own_data: bool
    data_name: str
    folds: dict[str, str]
    judge: Judge | VolumeJudge
    evidence: Evidence | None = None

    @property
    def warnings(self) -> tuple[str, ...]:
        """What makes the figures too good, and what must be known of a model."""
        seen = all_seen(self.exposures)
        told = (f"{warning_of(seen, num_scored=len(self.cases))}.",) if seen else ()
        notices = (f"{each.path.name}: {each.notice}" for each in self.models if each.notice)
        unknown = filter(None, map(unknown_images, self.models))
        return (*told, *self.judge.warnings(), *unknown, *notices)

    @property
    def model_contenders(self) -> list[Contender]:
        """The models among the contenders."""
        return [contender for contender in self.contenders if contender.role == "model"]


def score_models(
    paths: Sequence[Path],
    data: Path,
    *,
    split: str,
    allow_leakage: bool,
    threshold: float | None,
    threads: int | None,
    reading: Reading,
    gather: bool = False,
    region: SearchedRegion | None = None,
) -> Scored:
    """Score models and the baselines of the first; arguments and errors as of evaluate.

    Args:
        gather: look closer at the first model: its probabilities, not its masks alone.
        region: where lesions of volumes are looked for; as each recipe says where None.
    """
    if threshold is not None:
        check_threshold(threshold)
    opened = [open_model(resolve_model(path)) for path in paths]
    data_set = _find(opened, data)
    selection = _select(opened, data_set, split, allow_leakage=allow_leakage, reading=reading)
    groups, method = _groups(opened[0], data_set, selection)
    models = [with_region(load_model(model, threads=threads), region) for model in opened]
    kind = VolumeJudge if opened[0].of_volumes else Judge
    judge = kind(
        models=models,
        constants=[run.constant_mask() for run in opened[0].runs],
        groups=groups,
        sha256=selection.sha256,
        threshold=threshold,
        evidence=Evidence(opened[0]) if gather else None,
    )
    rows = []
    for done, files in enumerate(selection.cases, start=1):
        rows.append(judge.score(files))
        reading("Scoring", done, len(selection.cases))
    return Scored(
        models=opened,
        contenders=_contenders(opened, judge, list(zip(*rows, strict=True))),
        cases=selection.cases,
        details={
            **_details(opened[0], data_set, selection, method, threshold),
            **judge.details(opened[0], region),
        },
        exposures=selection.exposures,
        is_own_data=selection.is_own_data,
        data_name=data_set.name,
        folds=_folds(opened[0], selection),
        judge=judge,
        evidence=judge.evidence,
    )


def _find(models: Sequence[Model], data: Path) -> DataSet:
    """Find pictures for models of pictures, and volumes for those of volumes.

    Raises:
        LayoutError: the data is of the other kind. InputError: the models are of both.
    """
    kinds = {model.of_volumes for model in models}
    if len(kinds) > 1:
        raise InputError(
            "runs to be compared must all take pictures, or all take CT volumes; got both kinds."
        )
    if not kinds.pop():
        return find_data_set(data)
    data_set = find_scored_data(data)
    if not data_set.holds_volumes:
        raise LayoutError(
            f"{data_set.root}: expected CT volumes for the run {models[0].path}, found "
            f"{len(data_set.cases)} pictures. Name the data that its recipe is for."
        )
    return data_set


def _select(
    models: Sequence[Model],
    data_set: DataSet,
    split: str,
    *,
    allow_leakage: bool,
    reading: Reading,
) -> _Selection:
    """Choose the cases to score, and refuse those that a model has seen."""
    hashes = content_of(data_set.cases)
    home = models[0].home()
    known = {case_id: home[digest] for case_id, digest in hashes.items() if digest in home}
    if known and split != "all":
        chosen = tuple(case for case in data_set.cases if known.get(case.case_id) == split)
        described = f"the run's own {split} part"
        if models[0].is_ensemble and split == "test":
            described = "its own data, each image by the fold that held it out"
    else:
        chosen = data_set.cases
        described = "all images"
        if not known and unknown_images(models[0]):
            described = "all images (which of them the model has seen is not known)"
        elif not known:
            described = "all images of data that the run has not seen"
    if not chosen:
        raise SplitError(_no_cases(models[0], data_set, split))
    exposures = exposures_of(models, chosen, hashes, reading)
    if (seen := all_seen(exposures)) and not allow_leakage:
        raise refusal_of(seen, num_scored=len(chosen))
    if 0 < len(known) < len(data_set.cases) and split != "all":
        log.warning(
            "%d images that the run does not know were left out; --split all scores them too.",
            len(data_set.cases) - len(known),
        )
    return _Selection(
        cases=chosen,
        sha256=hashes,
        described=described,
        is_own_data=bool(known),
        exposures=exposures,
    )


def _no_cases(model: Model, data_set: DataSet, split: str) -> str:
    if model.is_ensemble and split != "test":
        return (
            f"{model.path}: expected --split test or all, got {split}: over all folds every image "
            "is held out once. Score one of its folds to see another part."
        )
    return (
        f"{data_set.root}: the {split} part is empty: the folder holds none of its images. "
        f"Give the data set of the run, or another --split ({', '.join(PARTS)}, all)."
    )


def _groups(model: Model, data_set: DataSet, selection: _Selection) -> tuple[dict[str, str], str]:
    """Return the groups that intervals resample: the run's own, or those of the new data."""
    ids, split = {case.case_id for case in selection.cases}, model.runs[0].split
    if selection.is_own_data and ids <= set(split.groups):
        return dict(split.groups), split.kind_of_groups
    return case_groups(data_set.cases, content=selection.sha256)


def _folds(model: Model, selection: _Selection) -> dict[str, str]:
    if not model.is_ensemble:
        return {}
    testers = model.testers()
    return {
        case.case_id: f"fold {1 + place}"
        for case in selection.cases
        if (place := testers.get(selection.sha256[case.case_id])) is not None
    }


def _trained_on(run: Run) -> str:
    if "layout" not in run.environment:
        return "not recorded: the model was handed on without it"
    return f"{run.environment['layout']} ({run.environment['data_fingerprint']})"


def _details(
    model: Model, data_set: DataSet, selection: _Selection, method: str, threshold: float | None
) -> dict[str, str]:
    run = model.runs[0]
    split = f"by {run.split.method}" if run.content else "not recorded"
    thresholds = [threshold] if threshold else [run.operating_threshold for run in model.runs]
    if model.is_ensemble:
        split = f"{len(model.runs)} folds by {run.split.dealt_by}"
    return {
        "Recipe": f"{model.recipe_name} ({run.recipe.fingerprint()})",
        **({"Begun from": told} if (told := told_beginning(run.environment)) else {}),
        "Model": model.fingerprint,
        "Trained in": model.framework,
        "Trained on": _trained_on(run),
        "Scored on": f"{data_set.layout}, {selection.described}: {len(selection.cases)} images",
        "Fingerprint of the images": content_fingerprint(
            selection.sha256[case.case_id] for case in selection.cases
        ),
        "Split": split,
        "Intervals over": method,
        "Operating threshold": ", ".join(f"{each:g}" for each in thresholds),
        **({"Answers": told} if (told := run.calibration.answers) else {}),
    }


def _contenders(
    models: Sequence[Model], judge: Judge | VolumeJudge, columns: Sequence[Sequence[CaseScore]]
) -> list[Contender]:
    names = [f"{model.recipe_name} ({model.framework})" for model in models]
    if len(set(names)) < len(names):
        names = [model.path.resolve().name for model in models]
    if len(set(names)) < len(names):
        names = [f"{name} {model.fingerprint}" for name, model in zip(names, models, strict=True)]
    scored = [
        Contender(name=name, scores=scores) for name, scores in zip(names, columns, strict=False)
    ]
    constant = judge.constants[0]
    described = constant.description
    if models[0].is_ensemble:
        described = f"chosen for each fold on its own training masks; for the first, {described}"
    names = [ALL_BACKGROUND.name, constant.name]
    descriptions = [ALL_BACKGROUND.description, described]
    floor = [
        Contender(name=name, scores=scores, role="baseline", description=description)
        for name, description, scores in zip(
            names, descriptions, columns[len(models) :], strict=True
        )
    ]
    return [*scored, *floor]
