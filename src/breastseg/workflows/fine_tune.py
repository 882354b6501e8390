"""breastseg train --init: what a training that goes on from a model begins with."""

import logging
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from breastseg.backends.pretrained import Array, first_weights
from breastseg.core.errors import InputError, RecipeError
from breastseg.core.fine_tuning import fine_tuning_recipe, other_network, other_preparation
from breastseg.core.recipe import Recipe, initial_weights_of
from breastseg.datasets.checked import CheckedData, find_training_data
from breastseg.training.begun_from import copy_model, record_of, trained
from breastseg.training.checkpoint import Run, open_run
from breastseg.training.model import Model, is_ensemble
from breastseg.training.sketch_file import KnownPictures
from breastseg.workflows.seen_before import Seen, exposure_of
from breastseg.workflows.slim_model import card_of

log = logging.getLogger(__name__)

_NO_PICTURES = KnownPictures((), np.zeros((0, 16, 16), np.int8))


def open_beginning(model: Path) -> Run:
    """Open the model that a training shall begin from.

    Raises:
        InputError: the folds of a cross-validation.
        RunFolderError, WeightsError: no run folder, or one without whole weights.
    """
    if is_ensemble(model):
        raise InputError(
            f"{model}: expected one network to begin from, found the folds of a cross-validation. "
            f"Give one of them, such as {model / 'fold-1'}."
        )
    run = open_run(model)
    run.weights()
    return run


def recipe_from(
    model: Run, data: Path, *, recipe: Recipe | None = None, settings: Sequence[str] = ()
) -> Recipe:
    """Return the recipe of a training that begins from a model.

    A network that is not the model's is refused. So is a preparation that comes with `recipe`:
    its weights have never seen such images, and nobody would notice. One that a setting names is
    asked for, and warned of.

    Args:
        data: a folder of a known layout; the number of its images decides the number of epochs.
        recipe: whose training to take; the model's own, made slower and shorter, where None.
        settings: such as `optimisation.epochs=5`.

    Raises:
        RecipeError: see above; or a setting is wrong.
        LayoutError: the data.
    """
    fingerprint = model.fingerprint
    if recipe is None:
        found = find_training_data(data, volumes=model.recipe.volume is not None)
        recipe = fine_tuning_recipe(model.recipe, fingerprint, num_images=len(found.cases))
    wanted = initial_weights_of(fingerprint)
    if recipe.begins_from is None:
        recipe = recipe.model_copy(update={"initial_weights": wanted})
    chosen = recipe.with_settings(settings)
    require_beginning(chosen, model)
    asked = {setting.partition("=")[0].strip() for setting in settings}
    differing = other_preparation(model.recipe, chosen)
    if unasked := [told for name, told in differing.items() if name not in asked]:
        raise RecipeError(
            f"the recipe '{chosen.name}' prepares images otherwise than the model {model.path} was "
            f"taught with: {'; '.join(unasked)}. Leave --recipe away to take the model's own, or "
            "name each field with --set."
        )
    if differing:
        log.warning(
            "Images are prepared otherwise than the model was taught with: %s.",
            "; ".join(differing.values()),
        )
    return chosen


def require_beginning(recipe: Recipe, model: Run) -> None:
    """Refuse a recipe that does not begin from that model.

    Raises:
        RecipeError: it begins otherwise, or with another network.
    """
    if recipe.initial_weights != (wanted := initial_weights_of(model.fingerprint)):
        raise RecipeError(
            f"initial_weights={recipe.initial_weights}: expected {wanted}, the model {model.path} "
            "of --init. Leave --init away, or the setting; of a recipe that began from another "
            f"model, --set initial_weights={wanted}."
        )
    if differing := other_network(model.recipe, recipe):
        raise RecipeError(
            f"the recipe '{recipe.name}' has another network than the model {model.path}, whose "
            f"weights do not fit it: {'; '.join(differing)}. Leave --recipe and these settings "
            "away to take the model's own."
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Beginning:
    """What a training begins with: the model of --init, or None; made by open."""

    recipe: Recipe
    model: Run | None

    @classmethod
    def open(cls, model: Path | None, recipe: Recipe) -> "Beginning":
        """Open the model of --init, if any, for a recipe.

        Raises:
            RecipeError, InputError, RunFolderError: see require_beginning and open_beginning.
        """
        run = None if model is None else open_beginning(model)
        if run is not None:
            require_beginning(recipe, run)
        return cls(recipe=recipe, model=run)

    def weights(self) -> dict[str, Array]:
        """Return the first weights.

        Raises:
            RecipeError, MissingExtraError, WeightsError: see backends.pretrained.first_weights.
        """
        model = self.model
        return first_weights(self.recipe, None if model is None else trained(model))

    def known_cases(self, checked: CheckedData) -> dict[str, Seen]:
        """Return what the model knows of a data set, see known_cases; nothing without one."""
        return {} if self.model is None else known_cases(self.model, checked)

    def copy_into(self, folder: Path) -> None:
        """Copy the model into a run folder.

        Raises:
            OutputError: it cannot be written.
        """
        if self.model is not None:
            copy_model(self.model, folder)

    def record(self, known: Collection[str]) -> dict[str, Any] | None:
        """Return what environment.json says of the model.

        Args:
            known: case ids of the data set that the model knows.
        """
        if self.model is None:
            return None
        anew = _begun_anew(self.recipe, self.model)
        return record_of(self.model, anew=anew, num_known=len(known))


def _begun_anew(recipe: Recipe, model: Run) -> tuple[str, ...]:
    """Return, and log, which parts of the network begin at random all the same."""
    ours, theirs = recipe.network.classes, model.recipe.network.classes
    if ours == theirs:
        return ()
    before = ", ".join(theirs) or "none"
    if not ours:
        log.warning("The model tells classes (%s), which this training leaves away.", before)
        return ()
    log.warning(
        "The head that tells classes begins anew: %s here, %s in the model.",
        *(", ".join(ours), before),
    )
    return ("classes",)


def known_cases(model: Run, checked: CheckedData) -> dict[str, Seen]:
    """Return, and log, which images of a data set a model knows, by case id.

    Those that it was trained on, or that chose its epoch or threshold, and near duplicates of
    them; of the models that it began from, too. They are of use for training alone.

    Raises:
        RunFolderError: the sketches of a run are damaged.
    """
    if not model.content:
        log.warning("%s", _unknown(model))
    pictures = _NO_PICTURES
    if checked.sketches is not None:
        names = tuple(case.case_id for case in checked.data_set.cases)
        pictures = KnownPictures(names, checked.sketches)
    each = Model(path=model.path, runs=(model,))
    found = exposure_of(each, checked.content, pictures)
    seen = found.seen
    if model.content and found.num_not_compared and len(pictures):
        log.warning(
            "%s keeps no sketches of its images: the same files are known, changed copies of them "
            "are not looked for.",
            model.path.name,
        )
    if seen:
        log.warning(
            "%d of %d images are known to the model, such as %s: with their groups they are in "
            "train, since a score on them would flatter.",
            *(len(seen), len(checked.content), next(iter(seen.values()))),
        )
    return seen


def _unknown(model: Run) -> str:
    said = card_of(model.path)["description"]
    told = f' Its card says: "{said.rstrip(".")}".' if said else ""
    return (
        f"{model.path.name} keeps no record of the images that it was trained on.{told} Make sure "
        "that none of these images is among them: it would flatter the scores of this run."
    )


def inherited_notice(model: Run) -> str | None:
    """Return what must be said of every run that begins from a model; None where nothing."""
    notice = model.notice
    if notice is None or notice.startswith("Begun from "):
        return notice
    return f"Begun from {model.path.resolve().name}: {notice}"
