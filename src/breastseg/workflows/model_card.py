"""The card of a model: what made it, what it was scored at, and what people say of it.

Mitchell et al. 2019, Model Cards for Model Reporting, arXiv:1810.03993.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from breastseg.core.errors import InputError
from breastseg.networks.spec import num_parameters
from breastseg.report.rendering import estimate
from breastseg.training.begun_from import told_beginning
from breastseg.training.checkpoint import Run
from breastseg.training.int8_file import int8_in_words, is_int8, read_int8_figures

CARD_NAME = "card.json"
CARD_PAGE_NAME = "card.md"
_IN_WORDS = ("name", "notice", "description", "about", "scores")
_FIGURES = ("dice", "dice_median", "sensitivity", "specificity")


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What a card says that the run does not know.

    description: what the model is for, in a sentence.
    about: Markdown: data and their licences, intended use, known failures.
    scores: of scores_of, in their order.
    """

    description: str = ""
    about: str = ""
    scores: Sequence[Mapping[str, Any]] = field(default=())


NOTHING = Told()


def read_told(description: str, about: Path | None, scorecards: Sequence[Path], run: Run) -> Told:
    """Read what a card is to say.

    Args:
        description: see Told.
        about: a Markdown file, or None.
        scorecards: folders that `breastseg evaluate` wrote of this run.
        run: the run that the card is of.

    Raises:
        InputError: a file that cannot be read, no scorecard, or that of another model.
    """
    try:
        text = "" if about is None else about.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise InputError(
            f"{about}: expected a Markdown file for the card, but {error}. Name a text file."
        ) from None
    scores = [_scores_of(folder, run) for folder in scorecards]
    return Told(description=description, about=text, scores=scores)


def _scores_of(folder: Path, run: Run) -> dict[str, Any]:
    """Return the figures of a scorecard with their intervals, all cases and each data set."""
    path = folder / "scorecard.json"
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        scored, details = document["table"][0]["summary"], document["details"]
        model = details["Model"]
    except (OSError, ValueError, KeyError, IndexError, TypeError) as error:
        raise InputError(
            f"{path}: expected the scorecard of {run.path}, but {type(error).__name__}: {error}. "
            "Give the --output of `breastseg evaluate`."
        ) from None
    if model != run.fingerprint:
        raise InputError(
            f"{path}: expected the scorecard of {run.path}, whose fingerprint is "
            f"{run.fingerprint}, found that of {model}. Evaluate the run again."
        )
    classes = document.get("classes") or {}
    return {
        "scored_on": details["Scored on"],
        "intervals_over": details["Intervals over"],
        **_figures(scored),
        "malignant_auc": _figure(classes.get("malignant_auc")),
        "by_source": {
            source: _figures(summary) for source, summary in document["by_source"].items()
        },
    }


def _figures(summary: Mapping[str, Any]) -> dict[str, Any]:
    found = {name: _figure(summary.get(name)) for name in _FIGURES}
    distances = summary.get("hd95") or [None]
    counts = {name: summary[name] for name in ("num_lesion_images", "num_lesion_free_images")}
    return {**counts, **found, "hd95": _figure(distances[0])}


def _figure(measured: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Return value, low, high and unit; None where there is none."""
    if measured is None or measured.get("value") is None:
        return None
    interval = measured.get("interval") or {}
    named = {"value": measured["value"], "low": interval.get("low"), "high": interval.get("high")}
    return {**named, "unit": measured.get("unit")}


def make_card(slim: Run, trained: Run, told: Told) -> dict[str, Any]:
    """Return the card of a model.

    Args:
        slim: the model. trained: the run that it is of; the same for a card of a run itself.
        told: what the run does not know.
    """
    recipe, state = trained.recipe, trained.state()
    return {
        "name": slim.path.name,
        "description": told.description,
        "takes": "CT volumes" if recipe.volume is not None else "pictures",
        "notice": trained.notice,
        "fingerprint": slim.fingerprint,
        "trained_fingerprint": trained.fingerprint,
        "recipe": recipe.name,
        **({"begun_from": begun} if (begun := told_beginning(trained.environment)) else {}),
        "framework": trained.framework,
        "parameters": num_parameters(recipe.network),
        "weights_sha256": slim.weights_sha256,
        "epochs": state.epoch,
        "best_validation_dice": None if state.best is None else state.best.validation_dice,
        "cases": {part: len(ids) for part, ids in trained.split.parts.items()},
        "calibrated": trained.calibration.is_fitted,
        "temperature": trained.calibration.temperature,
        "operating_threshold": trained.operating_threshold,
        **({"answers": answers} if (answers := trained.calibration.answers) else {}),
        **({"int8": read_int8_figures(slim.path)} if is_int8(slim.path) else {}),
        **({"scores": list(told.scores)} if told.scores else {}),
        **({"about": told.about} if told.about else {}),
    }


def card_lines(card: Mapping[str, Any]) -> dict[str, Any]:
    """Return a card for people: what 8 bits cost, and each score, as one line each."""
    lines = dict(card)
    if figures := lines.pop("int8", None):
        lines |= {f"int8_{name}": value for name, value in int8_in_words(figures).items()}
    for row in _score_rows(lines.pop("scores", ())):
        lines[f"scored on {row[0]}"] = "; ".join(
            f"{name} {value}" for name, value in zip(_COLUMNS[1:], row[1:], strict=True) if value
        )
    if about := lines.pop("about", ""):
        lines["about"] = about
    return lines


_COLUMNS = (
    "scored on",
    "lesion images",
    "Dice",
    "median",
    "HD95",
    "lesion images touched",
    "lesion-free",
    "of them silent",
    "AUC malignant",
)


def _score_rows(scores: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, ...]]:
    """Yield one row per scorecard, and one per data set of it, as _COLUMNS names them."""
    for each in scores:
        yield _row(each["scored_on"], each)
        for source, figures in each["by_source"].items():
            yield _row(f"of these {source}", figures)


def _row(name: str, figures: Mapping[str, Any]) -> tuple[str, ...]:
    shown = {key: _shown(figures.get(key)) for key in (*_FIGURES, "hd95", "malignant_auc")}
    return (
        name,
        str(figures["num_lesion_images"]),
        *(shown["dice"], shown["dice_median"], shown["hd95"], shown["sensitivity"]),
        *(str(figures["num_lesion_free_images"]), shown["specificity"], shown["malignant_auc"]),
    )


def _shown(figure: Mapping[str, Any] | None) -> str:
    if figure is None:
        return ""
    interval = None if figure["low"] is None else figure
    return estimate({**figure, "interval": interval}, 1 if figure["unit"] else 3, interval=True)


def card_page(card: Mapping[str, Any]) -> str:
    """Return card.md."""
    lines = [f"# {card['name']}", ""]
    if card["notice"]:
        lines += [f"**{card['notice']}**", ""]
    if card["description"]:
        lines += [card["description"], ""]
    lines += ["Research use only, not a medical device.", ""]
    if rows := list(_score_rows(card.get("scores", ()))):
        lines += ["Values with 95 % intervals.", "", *_table(_COLUMNS, rows), ""]
    if card.get("about"):
        lines += [card["about"].strip(), ""]
    told = {
        name: value
        for name, value in card_lines({**card, "scores": ()}).items()
        if name not in _IN_WORDS
    }
    rows = [(name.replace("_", " "), _told(value)) for name, value in told.items()]
    return "\n".join([*lines, *_table(("", ""), rows)]) + "\n"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    lines = [head, ["---"] * len(head), *rows]
    return [f"| {' | '.join(cells)} |".replace("|  |", "| |") for cells in lines]


def _told(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {count}" for name, count in value.items()) or "not known"
    if value is None:
        return "not known"
    if isinstance(value, float):
        return f"{value:.4g}"
    return f"{value:,}" if type(value) is int else str(value)
