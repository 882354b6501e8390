"""breastseg train --folds: every image held out once, and the folds' networks used as one."""

import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from breastseg.core.errors import InputError, RunFolderError, SplitError
from breastseg.core.recipe import Recipe
from breastseg.datasets.checked import CheckedData, check_data, find_training_data
from breastseg.io.atomic import make_folder
from breastseg.training.begun_from import model_in, told_beginning
from breastseg.training.checkpoint import Run, open_run, require_new
from breastseg.training.fit import Listener
from breastseg.training.lock import only_trainer
from breastseg.training.model import Model, Plan, notices, open_model, read_plan
from breastseg.training.notice_file import read_notice, save_notice
from breastseg.workflows.fine_tune import Beginning
from breastseg.workflows.progress import Reading, silent_listener, silent_reading
from breastseg.workflows.seen_before import Seen
from breastseg.workflows.train import ANYWHERE, Hardware, resume, train

log = logging.getLogger(__name__)

Listeners = Callable[[int], Listener]
"""Gives the listener of a fold, counted from 1."""


def cross_validate(
    data: Path,
    recipe: Recipe,
    *,
    framework: str,
    num_folds: int,
    output: Path | None = None,
    notice: str | None = None,
    init: Path | None = None,
    hardware: Hardware = ANYWHERE,
    listeners: Listeners | None = None,
    reading: Reading = silent_reading,
) -> Model:
    """Train a network for each fold of a data set, each with its fold held out as test part.

    The groups are those of any split: patients, else near duplicates; where the data set
    publishes as many folds, they are taken. Each fold is an ordinary run folder.

    Args:
        data: a folder of a known layout; see datasets.layouts.
        recipe: everything that decides the training; its share of test is not used.
        framework: pytorch or tensorflow.
        num_folds: 2 or more.
        output: runs/<recipe>-<framework>-<fingerprint>-folds-<K> where None.
        notice: see train.train; each fold has it.
        init: see train.train; each fold begins from that model, which must know none of the images.
        hardware: device and threads.
        listeners: who is told of the steps and epochs of each fold.
        reading: told of the progress of reading.

    Raises:
        InputError: fewer than two folds, or a recipe that names a fold itself.
        SplitError: too few groups, or the model of `init` knows an image.
        LayoutError, ImageFileError, ReferenceMaskError, GeometryError: the data.
        RunFolderError, OutputError: the folder.
        HealthError: the training of a fold cannot succeed; the folds before it are kept.
        MissingExtraError: the framework is not installed.
    """
    if num_folds < 2 or recipe.split.folds or recipe.split.test_fold is not None:
        raise InputError(
            "--folds needs a number of 2 or more and a recipe that names no fold itself, got "
            f"{num_folds} and split.folds={recipe.split.folds}, "
            f"split.test_fold={recipe.split.test_fold}."
        )
    name = f"{recipe.name}-{framework}-{recipe.fingerprint()}-folds-{num_folds}"
    path = output or Path("runs") / name
    beginning = Beginning.open(init, recipe)
    require_new(path)
    found = find_training_data(data, volumes=recipe.volume is not None)
    checked = check_data(found, reading)
    _require_unknown(beginning.known_cases(checked))
    plan = Plan(framework=framework, num_folds=num_folds, recipe=recipe, data=data.resolve())
    published = sorted({case.fold for case in checked.data_set.cases if case.fold is not None})
    if published and published != list(range(1, num_folds + 1)):
        log.warning(
            "The data set publishes the folds %s, and %d were asked for: its folds are not used.",
            *(", ".join(map(str, published)), num_folds),
        )
    make_folder(path)
    with only_trainer(path):
        beginning.copy_into(path)
        plan.save(path)
        save_notice(path, notice)
        return _train_folds(path, plan, checked, hardware, listeners, reading)


def _require_unknown(known: Mapping[str, Seen]) -> None:
    """Refuse to hold images out that a model was trained on, as every fold does with its own."""
    if known:
        raise SplitError(
            f"--folds holds every image out once, but {len(known)} are known to the model of "
            f"--init, such as {next(iter(known.values()))}: their scores would flatter. Leave "
            "--folds away, so that these go to train, or take them out of the data."
        )


def resume_folds(
    path: Path,
    *,
    data: Path | None = None,
    hardware: Hardware = ANYWHERE,
    listeners: Listeners | None = None,
    reading: Reading = silent_reading,
) -> Model:
    """Go on with a cross-validation; arguments and errors as of train.resume."""
    plan = read_plan(path)
    with only_trainer(path):
        found = find_training_data(data or plan.data, volumes=plan.recipe.volume is not None)
        checked = check_data(found, reading)
        return _train_folds(path, plan, checked, hardware, listeners, reading)


def _train_folds(
    path: Path,
    plan: Plan,
    checked: CheckedData,
    hardware: Hardware,
    listeners: Listeners | None,
    reading: Reading,
) -> Model:
    for fold, member in enumerate(plan.fold_paths(path), start=1):
        listener = listeners(fold) if listeners else silent_listener()
        log.info("fold %d of %d", fold, plan.num_folds)
        if (member / "environment.json").is_file():
            root = checked.data_set.root
            resume(member, data=root, hardware=hardware, listener=listener, reading=reading)
            continue
        train(
            checked,
            plan.fold_recipe(fold),
            framework=plan.framework,
            output=member,
            notice=read_notice(path),
            init=model_in(path),
            hardware=hardware,
            listener=listener,
            reading=reading,
        )
    return open_model(path)


def summary(path: Path) -> dict[str, Any]:
    """Return what a cross-validation is and how far it got, in plain values."""
    plan = read_plan(path)
    folds: dict[str, str] = {}
    runs: list[Run] = []
    for fold, member in enumerate(plan.fold_paths(path), start=1):
        try:
            run = open_run(member)
        except RunFolderError:
            folds[f"fold_{fold}"] = "not begun"
            continue
        runs.append(run)
        state = run.state()
        best = f"{state.best.validation_dice:.4f}" if state.best else "none yet"
        folds[f"fold_{fold}"] = (
            f"{state.epoch} of {plan.recipe.optimisation.epochs} epochs, "
            f"best validation Dice {best}, {len(run.split.parts['test'])} images held out"
        )
    return {
        "recipe": plan.recipe.name,
        **({"begun_from": told} if runs and (told := told_beginning(runs[0].environment)) else {}),
        "framework": plan.framework,
        "data": str(plan.data),
        "num_folds": plan.num_folds,
        **folds,
        **({"notice": notice} if (notice := notices(runs)) else {}),
    }
