"""`breastseg export --format model`: a run as a folder with what predicting needs, and no more."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from breastseg.core.errors import InputError
from breastseg.datasets.splits import DataSplit
from breastseg.io.atomic import write_text
from breastseg.networks.spec import num_parameters
from breastseg.training.begun_from import told_beginning
from breastseg.training.calibration_file import CALIBRATION_NAME
from breastseg.training.checkpoint import Run, create_run, open_run
from breastseg.training.int8_file import int8_in_words, is_int8, read_int8_figures
from breastseg.training.model import is_ensemble
from breastseg.training.notice_file import save_notice

CARD_NAME = "card.json"
CARD_PAGE_NAME = "card.md"
_KEPT = ("framework", "versions", "precision", "device", "begun_from")
_SEALED = ("weights.safetensors", "recipe.json", CARD_NAME)


def slim_model(run: Path, output: Path, *, description: str = "", half: bool = False) -> Path:
    """Write a run folder that predicts and holds nothing of the data that it was trained on.

    Recipe, weights, calibration and notice are kept; case ids, the digests of images, the
    optimiser and the folder of the data are not. The fingerprint, and so the results, are those
    of the run; of half floats they are not, and the card names both fingerprints.

    Args:
        run: a run folder of either framework.
        output: a new or empty folder; its name is that of the model.
        description: what the model is for, in a sentence, for the card.
        half: keep the weights in float16, half the size.

    Returns:
        The folder.

    Raises:
        RunFolderError, RecipeError, WeightsError: the run cannot be used, or not in half floats.
        InputError: the folds of a cross-validation.
        OutputError: it cannot be written.
    """
    if is_ensemble(run):
        raise InputError(
            f"{run}: expected one run, found the folds of a cross-validation. Export one of "
            f"them, such as {run / 'fold-1'}."
        )
    opened = open_run(run)
    weights = opened.weights()
    slim = begin_model(opened, output)
    slim.save_best(weights, half=half)
    finish_model(slim, opened, description)
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


def finish_model(slim: Run, opened: Run, description: str) -> None:
    """Add all that a model has beside its network, and seal it.

    Args:
        slim: of begin_model, with its network.
        opened: the run that it is of.
    """
    output = slim.path
    if (opened.path / CALIBRATION_NAME).is_file():
        slim.save_calibration(opened.calibration)
    if opened.has_constant_mask:
        slim.save_constant_mask(opened.constant_mask())
    save_notice(output, opened.notice)
    card = _card(slim, opened, description)
    write_text(output / CARD_NAME, json.dumps(card, indent=2) + "\n")
    write_text(output / CARD_PAGE_NAME, _page(card))
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
    return _card(opened, opened, "")


def _card(slim: Run, trained: Run, description: str) -> dict[str, Any]:
    recipe, state = trained.recipe, trained.state()
    return {
        "name": slim.path.name,
        "description": description,
        "takes": "CT volumes" if recipe.volume is not None else "pictures",
        "notice": trained.notice,
        "fingerprint": slim.fingerprint,
        "trained_fingerprint": trained.fingerprint,
        "recipe": recipe.name,
        **({"begun_from": told} if (told := told_beginning(trained.environment)) else {}),
        "framework": trained.framework,
        "parameters": num_parameters(recipe.network),
        "weights_sha256": slim.weights_sha256,
        "epochs": state.epoch,
        "best_validation_dice": None if state.best is None else state.best.validation_dice,
        "cases": {part: len(ids) for part, ids in trained.split.parts.items()},
        "calibrated": trained.calibration.is_fitted,
        "temperature": trained.calibration.temperature,
        "operating_threshold": trained.operating_threshold,
        **({"int8": read_int8_figures(slim.path)} if is_int8(slim.path) else {}),
    }


def card_lines(card: Mapping[str, Any]) -> dict[str, Any]:
    """Return a card for people: what 8 bits cost and gain as one line each."""
    lines = dict(card)
    if figures := lines.pop("int8", None):
        told = int8_in_words(figures)
        lines |= {f"int8_{name}": value for name, value in told.items()}
    return lines


def _page(card: dict[str, Any]) -> str:
    lines = [f"# {card['name']}", ""]
    if card["notice"]:
        lines += [f"**{card['notice']}**", ""]
    if card["description"]:
        lines += [card["description"], ""]
    lines += ["Research use only, not a medical device.", "", "| | |", "| --- | --- |"]
    told = {name: value for name, value in card_lines(card).items() if name not in _IN_WORDS}
    lines += [f"| {name.replace('_', ' ')} | {_told(value)} |" for name, value in told.items()]
    return "\n".join(lines) + "\n"


_IN_WORDS = ("name", "notice", "description")


def _told(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {count}" for name, count in value.items()) or "not known"
    if value is None:
        return "not known"
    if isinstance(value, float):
        return f"{value:.4g}"
    return f"{value:,}" if type(value) is int else str(value)
