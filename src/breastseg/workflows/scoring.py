"""Scoring models and baselines on the same images: what evaluate, compare and search share."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from breastseg.core.errors import SplitError
from breastseg.core.image import Case
from breastseg.core.lesion import check_threshold
from breastseg.datasets.cases import CaseFiles, DataSet, read_case
from breastseg.datasets.checked import content_of
from breastseg.datasets.layouts import find_data_set
from breastseg.datasets.near_duplicates import case_groups
from breastseg.datasets.splits import PARTS
from breastseg.evaluation.baselines import ALL_BACKGROUND, ConstantMask
from breastseg.evaluation.case_score import CaseScore, score_case
from breastseg.evaluation.overlap import Mask
from breastseg.evaluation.scorecard import Contender
from breastseg.inference.segment import Prediction, find
from breastseg.training.model import Model, OpenModel, load_model, open_model
from breastseg.workflows.evidence import Evidence
from breastseg.workflows.progress import Reading
from breastseg.workflows.seen_before import Seen, find_seen, refusal_of, warning_of

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Selection:
    """The cases that are scored, and what must be said of them.

    sha256: of each image file by case id. seen: before, by any of the models.
    """

    cases: tuple[CaseFiles, ...]
    sha256: dict[str, str]
    described: str
    is_own_data: bool
    seen: dict[str, Seen]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scored:
    """Models and baselines, scored on the same images.

    contenders: the models in the order given, then the baselines.
    details: what was measured and how, to be read by people.
    seen: of the cases, those that any of the models had seen before.
    folds: for a cross-validation, the fold by case id of the images that one held out.
    evidence: of the first model, where it was asked for.
    """

    models: Sequence[Model]
    contenders: Sequence[Contender]
    cases: Sequence[CaseFiles]
    details: dict[str, str]
    seen: dict[str, Seen]
    is_own_data: bool
    data_name: str
    folds: dict[str, str]
    judge: "Judge"
    evidence: Evidence | None = None

    @property
    def warnings(self) -> tuple[str, ...]:
        """What makes the figures too good."""
        if not self.seen:
            return ()
        return (f"{warning_of(self.seen, num_scored=len(self.cases))}.",)

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
) -> Scored:
    """Score models and the baselines of the first; arguments and errors as of evaluate.

    Args:
        gather: look closer at the first model: its probabilities, not its masks alone.
    """
    if threshold is not None:
        check_threshold(threshold)
    opened = [open_model(path) for path in paths]
    data_set = find_data_set(data)
    selection = _select(opened, data_set, split, allow_leakage=allow_leakage)
    groups, method = _groups(opened[0], data_set, selection)
    judge = Judge(
        models=[load_model(model, threads=threads) for model in opened],
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
        details=_details(opened[0], data_set, selection, method, threshold),
        seen=selection.seen,
        is_own_data=selection.is_own_data,
        data_name=data_set.root.resolve().name,
        folds=_folds(opened[0], selection),
        judge=judge,
        evidence=judge.evidence,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Judge:
    """Everything that has an opinion on an image: the models, and the first one's baselines.

    constants: the constant mask of each of the first model's runs.
    evidence: takes what the first model says of each image; None where nobody asks.
    """

    models: Sequence[OpenModel]
    constants: Sequence[ConstantMask]
    groups: dict[str, str]
    sha256: dict[str, str]
    threshold: float | None
    evidence: Evidence | None = None

    def score(self, files: CaseFiles) -> tuple[CaseScore, ...]:
        """Score the models, then the baselines, on one case."""
        case = read_case(files)
        masks = [self._first(case, files.label)]
        masks += [self.predict(number, case).mask for number in range(1, len(self.models))]
        masks += [ALL_BACKGROUND.on(case.image.pixels.shape), self._constant_mask(case)]
        group = self.groups[files.case_id]
        return tuple(score_case(case, mask, group=group, label=files.label) for mask in masks)

    def _first(self, case: Case, label: str | None) -> Mask:
        """Return the mask of the first model, and gather what else it says."""
        if self.evidence is None:
            return self.predict(0, case).mask
        model, sha256 = self.models[0], self.sha256[case.case_id]
        calibrated, raw = model.probabilities(case.image, sha256=sha256)
        threshold = self.threshold or model.threshold(sha256)
        self.evidence.add(
            case,
            calibrated=calibrated,
            raw=raw,
            threshold=threshold,
            group=self.groups[case.case_id],
            label=label,
        )
        return find(case.case_id, case.image, calibrated, threshold).mask

    def predict(self, number: int, case: Case) -> Prediction:
        """Return what one of the models finds."""
        return self.models[number].predict(
            case.case_id, case.image, sha256=self.sha256[case.case_id], threshold=self.threshold
        )

    def _constant_mask(self, case: Case) -> Mask:
        """Return the mask chosen on the same images as the prediction's model was trained on."""
        place = self.models[0].testers.get(self.sha256[case.case_id])
        chosen = self.constants if place is None else [self.constants[place]]
        votes = [constant.on(case.image.pixels.shape) for constant in chosen]
        return np.asarray(np.mean(votes, axis=0) > 0.5)


def _select(
    models: Sequence[Model], data_set: DataSet, split: str, *, allow_leakage: bool
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
        described = "all images" if known else "all images of data that the run has not seen"
    if not chosen:
        raise SplitError(_no_cases(models[0], data_set, split))
    seen = find_seen(models, {case.case_id: hashes[case.case_id] for case in chosen})
    if seen and not allow_leakage:
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
        seen=seen,
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
    return case_groups(data_set.cases)


def _folds(model: Model, selection: _Selection) -> dict[str, str]:
    if not model.is_ensemble:
        return {}
    testers = model.testers()
    return {
        case.case_id: f"fold {1 + place}"
        for case in selection.cases
        if (place := testers.get(selection.sha256[case.case_id])) is not None
    }


def _details(
    model: Model, data_set: DataSet, selection: _Selection, method: str, threshold: float | None
) -> dict[str, str]:
    run = model.runs[0]
    split = f"by {run.split.method}"
    thresholds = [threshold] if threshold else [run.operating_threshold for run in model.runs]
    if model.is_ensemble:
        split = f"{len(model.runs)} folds by {run.split.dealt_by}"
    return {
        "Recipe": f"{model.recipe_name} ({run.recipe.fingerprint()})",
        "Model": model.fingerprint,
        "Trained in": model.framework,
        "Trained on": f"{run.environment['layout']} ({run.environment['data_fingerprint']})",
        "Scored on": f"{data_set.layout}, {selection.described}: {len(selection.cases)} images",
        "Split": split,
        "Intervals over": method,
        "Operating threshold": ", ".join(f"{each:g}" for each in thresholds),
    }


def _contenders(
    models: Sequence[Model], judge: Judge, columns: Sequence[Sequence[CaseScore]]
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
