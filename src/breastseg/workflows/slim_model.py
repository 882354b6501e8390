"""`breastseg export --format model`: a run as a folder with what predicting needs, and no more."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from breastseg.core.errors import InputError
from breastseg.datasets.splits import DataSplit
from breastseg.io.atomic import write_text
from breastseg.training.calibration_file import CALIBRATION_NAME
from breastseg.training.checkpoint import Run, create_run, open_run
from breastseg.training.model import is_ensemble
from breastseg.training.notice_file import save_notice
from breastseg.workflows.model_card import (
    CARD_NAME,
    CARD_PAGE_NAME,
    NOTHING,
    Told,
    card_page,
    make_card,
    read_told,
)

_KEPT = ("framework", "versions", "precision", "device", "begun_from")
_SEALED = ("weights.safetensors", "recipe.json", CARD_NAME)


def slim_model(
    run: Path,
    output: Path,
    *,
    description: str = "",
    about: Path | None = None,
    scorecards: Sequence[Path] = (),
    half: bool = False,
) -> Path:
    """Write a run folder that predicts and holds nothing of the data that it was trained on.

    Recipe, weights, calibration and notice are kept; case ids, the digests of images, the
    optimiser and the folder of the data are not. The fingerprint, and so the results, are those
    of the run; of half floats they are not, and the card names both fingerprints.

    Args:
        run: a run folder of either framework.
        output: a new or empty folder; its name is that of the model.
        description, about, scorecards: for the card, see workflows.model_card.read_told.
        half: keep the weights in float16, half the size.

    Returns:
        The folder.

    Raises:
        RunFolderError, RecipeError, WeightsError: the run cannot be used, or not in half floats.
        InputError: the folds of a cross-validation, or what the card is to say cannot be read.
        OutputError: it cannot be written.
    """
    if is_ensemble(run):
        raise InputError(
            f"{run}: expected one run, found the folds of a cross-validation. Export one of "
            f"them, such as {run / 'fold-1'}."
        )
    opened = open_run(run)
    told = read_told(description, about, scorecards, opened)
    weights = opened.weights()
    slim = begin_model(opened, output)
    slim.save_best(weights, half=half)
    finish_model(slim, opened, told)
    return output


def begin_model(opened: Run, output: Path) -> Run:
    """Create the folder of a model, with its recipe and nothing of a run's data.

    Raises:
        RunFolderError: the folder holds something.
        OutputError: it cannot be written.
    """
    environment = {name: opened.environment[name] for name in _KEPT if name in opened.environment}
    return create_run(
        output,
        recipe=opened.recipe,
        split=DataSplit(method="not shipped", parts={}, groups={}),
        environment=environment,
        content={},
    )


def finish_model(slim: Run, opened: Run, told: Told) -> None:
    """Add all that a model has beside its network, and seal it.

    Args:
        slim: of begin_model, with its network.
        opened: the run that it is of.
        told: what its card says that the run does not know.
    """
    output = slim.path
    if (opened.path / CALIBRATION_NAME).is_file():
        slim.save_calibration(opened.calibration)
    if opened.has_constant_mask:
        slim.save_constant_mask(opened.constant_mask())
    save_notice(output, opened.notice)
    card = make_card(slim, opened, told)
    write_text(output / CARD_NAME, json.dumps(card, indent=2) + "\n")
    write_text(output / CARD_PAGE_NAME, card_page(card))
    slim.seal([name for name in _SEALED if (output / name).is_file()])


def is_model(folder: Path) -> bool:
    """Whether a folder is a slim model rather than a run."""
    return (folder / CARD_NAME).is_file()


def card_of(model: Path) -> dict[str, Any]:
    """Return the card of a slim model; of an ordinary run, what its files say.

    Raises:
        RunFolderError: no run folder.
    """
    path = model / CARD_NAME
    if path.is_file():
        document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return document
    opened = open_run(model)
    return make_card(opened, opened, NOTHING)
