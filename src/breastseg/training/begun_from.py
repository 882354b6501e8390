"""The model that a training began from: copied into the run folder, so that nothing else is needed.

    RUN/begun-from/NAME/    recipe, weights, calibration, notice, and what it knows of its images
    RUN/begun-from/NAME/begun-from/...    what that one began from, without weights

Each is a run folder that opens as such. Its weights are what an interrupted training begins with
again; its digests and sketches tell, for this run too, which images had been trained on.
"""

import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from breastseg.backends.pretrained import Array, Trained, first_weights
from breastseg.core.errors import OutputError, RunFolderError
from breastseg.io.atomic import make_folder
from breastseg.training.calibration_file import CALIBRATION_NAME
from breastseg.training.checkpoint import BEGUN_FROM_NAME, Run, open_run
from breastseg.training.notice_file import NOTICE_NAME
from breastseg.training.sketch_file import SKETCHES_NAME

_COPIED = (
    *("recipe.json", "split.json", "groups.json", "environment.json", "checksums.json"),
    *("weights.safetensors", CALIBRATION_NAME, NOTICE_NAME, SKETCHES_NAME, "card.json"),
)


def copy_model(model: Run, folder: Path) -> None:
    """Copy what a new run needs of the model that it begins from into the run's folder.

    Raises:
        OutputError: it cannot be written.
    """
    final, new = folder / BEGUN_FROM_NAME, folder / f".{BEGUN_FROM_NAME}"
    home = new / model.path.resolve().name
    try:
        shutil.rmtree(new, ignore_errors=True)
        make_folder(home)
        for name in _COPIED:
            if (model.path / name).is_file():
                shutil.copyfile(model.path / name, home / name)
        if (model.path / BEGUN_FROM_NAME).is_dir():
            without = shutil.ignore_patterns("weights.safetensors")
            shutil.copytree(model.path / BEGUN_FROM_NAME, home / BEGUN_FROM_NAME, ignore=without)
        shutil.rmtree(final, ignore_errors=True)
        new.replace(final)
    except OSError as error:
        raise OutputError(
            f"{final}: the model that the training begins from cannot be copied "
            f"({error.strerror or error}). Free some space or choose another --output."
        ) from None


def begun_from(run: Run) -> Run | None:
    """Return the model that a run began from; None where from none, or handed on without it."""
    path = model_in(run.path)
    return None if path is None else open_run(path)


def model_in(folder: Path) -> Path | None:
    """Return the folder of the model that was copied into another one; None where none was."""
    found = sorted((folder / BEGUN_FROM_NAME).glob("*/environment.json"))
    return found[0].parent if found else None


def ancestors(run: Run) -> Iterator[Run]:
    """Yield the model that a run began from, what that one began from, and so on."""
    while (model := begun_from(run)) is not None:
        yield model
        run = model


def weights_at_start(run: Run) -> dict[str, Array]:
    """Return the weights that the training of a run begins with.

    Raises:
        RunFolderError: the copy of the model that it begins from is missing or another one.
        WeightsError: the copy is damaged.
        MissingExtraError: see first_weights.
    """
    wanted = run.recipe.begins_from
    if wanted is None:
        return first_weights(run.recipe)
    model = begun_from(run)
    found = "none" if model is None else model.fingerprint
    if model is None or found != wanted:
        raise RunFolderError(
            f"{run.path / BEGUN_FROM_NAME}: expected the model {wanted}, which the run begins "
            f"from, found {found}. Restore the folder, or train anew with --init."
        )
    return first_weights(run.recipe, trained(model))


def trained(model: Run) -> Trained:
    """Return the network of a model.

    Raises:
        RunFolderError, WeightsError: see Run.weights.
    """
    return Trained(classes=model.recipe.network.classes, weights=model.weights())


def record_of(model: Run, *, anew: tuple[str, ...], num_known: int) -> dict[str, Any]:
    """Return what environment.json says of the model that a run begins from.

    Args:
        anew: parts of its network that begin at random.
        num_known: images of the run's data that the model knows: they are in the training part.
    """
    return {
        "name": model.path.resolve().name,
        "fingerprint": model.fingerprint,
        "weights_sha256": model.weights_sha256,
        "framework": model.framework,
        "recipe": model.recipe.name,
        "recipe_fingerprint": model.recipe.fingerprint(),
        "notice": model.notice,
        "keeps_its_images": bool(model.content),
        "begun_anew": list(anew),
        "images_known": num_known,
        "begun_from": model.environment.get("begun_from"),
    }


def told_beginning(environment: Mapping[str, Any]) -> str | None:
    """Say which model a run began from, by its environment.json; None where it began from none."""
    record = environment.get("begun_from")
    if not record:
        return None
    told = f"{record['name']} ({record['fingerprint']}, {record['framework']})"
    before = told_beginning(record)
    return told if before is None else f"{told}, which began from {before}"


def without_record_of_images(environment: Mapping[str, Any]) -> list[str]:
    """Return the names of the models in a run's past whose images are not known any more.

    One that was handed on without a record of its images has none of those before it either.
    """
    names: list[str] = []
    while record := environment.get("begun_from"):
        if names or not record["keeps_its_images"]:
            names.append(str(record["name"]))
        environment = record
    return names
