"""Self-contained HTML pages: scorecards, comparisons, searches, and lesions found in scans.

The pages need no script, no font and no network. Everything that is put into them is escaped.
"""

import base64
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any
from urllib.parse import urlsplit

from jinja2 import Environment, PackageLoader, StrictUndefined

from breastseg import __version__
from breastseg.core.errors import InputError
from breastseg.core.lesion import Lesion
from breastseg.report import search_figures
from breastseg.report.figures import Figure, dice_forest, dice_histogram

_SIGNIFICANT = 0.05
_ROLES = {
    "best": "Best",
    "median": "Around the median",
    "worst": "Worst",
    "false alarm": "False alarms: marked, though there is no lesion",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """A case of the scorecard to look at.

    picture: URL of the overlay, as in PredictionEntry.
    role: why it is shown: best, median, worst or false alarm.
    dice: None where the image has no lesion.
    """

    case_id: str
    picture: str
    role: str
    dice: float | None

    def __post_init__(self) -> None:
        _require_local(self.case_id, self.picture)
        if self.role not in _ROLES:
            raise InputError(
                f"case '{self.case_id}': the role must be one of {', '.join(_ROLES)}, "
                f"got '{self.role}'."
            )

    @property
    def alternative(self) -> str:
        """The picture in words, for those who don't see it."""
        score = "no lesion in the reference" if self.dice is None else f"Dice {self.dice:.3f}"
        return f"{self.case_id}: outlines of the model and of the reader; {score}"


@dataclass(frozen=True, slots=True, kw_only=True)
class PredictionEntry:
    """One image of the prediction page.

    picture: URL of the overlay: a relative path, percent-encoded, or a data URI.
    lesions: what was found in it; empty where nothing was.
    """

    case_id: str
    picture: str
    lesions: tuple[Lesion, ...]

    def __post_init__(self) -> None:
        _require_local(self.case_id, self.picture)

    @property
    def alternative(self) -> str:
        """The picture in words, for those who don't see it."""
        if not self.lesions:
            return f"{self.case_id}: no lesion found"
        return f"{self.case_id}: {_plural(len(self.lesions), 'lesion')} outlined and numbered"


def data_uri(png: bytes) -> str:
    """Return a PNG file as a URL that holds it."""
    return "data:image/png;base64," + base64.b64encode(png).decode("ascii")


def scorecard_page(
    document: Mapping[str, Any], pictures: Sequence[Picture], *, figures: Sequence[Figure] = ()
) -> str:
    """Return the page of a scorecard.

    Args:
        document: what evaluation.scorecard.to_document returned, or was read of its JSON file.
        pictures: shown by role, in their order.
        figures: further ones, such as figures.training_curves; the histogram is made here.
    """
    table = document["table"]
    by_role = [
        (heading, [picture for picture in pictures if picture.role == role])
        for role, heading in _ROLES.items()
    ]
    return _page(
        "scorecard.html",
        title=f"Scorecard: {table[0]['name']}",
        document=document,
        model=table[0]["summary"],
        tiles=list(_score_tiles(table)),
        verdicts=list(_verdicts(table)),
        lines=_lines([row["summary"] for row in table]),
        figures=[*_histogram(document), *figures],
        pictures_by_role=[part for part in by_role if part[1]],
    )


def comparison_page(document: Mapping[str, Any]) -> str:
    """Return the page that compares runs.

    Args:
        document: comparison.json, see workflows.compare.
    """
    means = {
        row["name"]: (
            row["summary"]["dice"]["value"],
            row["summary"]["dice"]["interval"]["low"],
            row["summary"]["dice"]["interval"]["high"],
        )
        for row in document["table"]
        if row["summary"]["dice"]["interval"]
    }
    return _page(
        "comparison.html",
        title=f"Comparison of {_plural(document['num_runs'], 'run')}",
        document=document,
        verdict=_leader_verdict(document),
        figures=[dice_forest(means)] if means else [],
    )


def _leader_verdict(document: Mapping[str, Any]) -> str:
    """Say which runs the first of the ranking is not shown to be better than."""
    leader = document["table"][0]["name"]
    pairs = [pair for pair in document["pairs"] if pair["first"] == leader]
    close = [pair["second"] for pair in pairs if pair["p_holm"] >= _SIGNIFICANT]
    if not pairs:
        return "No image has a lesion: the Dice is not defined."
    if not close:
        return f"{leader} outlines better than every other run (p < 0.05 after Holm)."
    return f"{leader} has the highest Dice, but is not shown to differ from {', '.join(close)}."


def prediction_page(
    entries: Sequence[PredictionEntry],
    *,
    model: str,
    details: Mapping[str, str],
    failures: Sequence[tuple[str, str]],
) -> str:
    """Return the page of a prediction folder.

    Args:
        entries: shown in their order, those with a lesion first. Pictures load when they are
            scrolled to, so that a thousand of them are no burden.
        model: its name.
        details: how the prediction was made, to be read by people.
        failures: file or case, and why it has no result.
    """
    found = [entry for entry in entries if entry.lesions]
    silent = [entry for entry in entries if not entry.lesions]
    return _page(
        "prediction.html",
        title=f"Lesions found in {len(found):,} of {_plural(len(entries), 'image')}",
        tiles=[
            {"name": "images read", "value": len(entries), "alarming": False},
            {"name": "with a lesion found", "value": len(found), "alarming": False},
            {"name": "without", "value": len(silent), "alarming": False},
            {"name": "failed", "value": len(failures), "alarming": bool(failures)},
        ],
        sections=[
            ("With a lesion", "Each outline is numbered as in its table.", found),
            (
                "Without a lesion",
                "Nothing reached the threshold. That is no proof that there is nothing.",
                silent,
            ),
        ],
        model=model,
        details=details,
        failures=failures,
    )


def search_page(document: Mapping[str, Any]) -> str:
    """Return the page of a search.

    Args:
        document: search.json, see workflows.search.
    """
    table, names = document["table"], document["parameters"]
    scored = any(row["dice"] is not None for row in table)
    figures = [search_figures.history(table)] if scored else []
    if document["importance"]:
        figures.append(search_figures.importance(document["importance"]))
    wide = [search_figures.parallel_coordinates(names, table)] if scored else []
    return _page(
        "search.html",
        title=f"Search: {document['details']['Space'].partition(',')[0]}",
        document=document,
        gap=document["selection_gap"],
        winner=next((row for row in table if row["rank"] == 1), None),
        ranked=[row for row in table if row["rank"]],
        others=[row for row in table if not row["rank"]],
        figures=figures,
        wide_figures=wide,
        short=search_figures.short,
        plain=search_figures.plain,
    )


def _page(template: str, **content: Any) -> str:
    return _environment().get_template(template).render(version=__version__, **content)


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("breastseg.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        fixed=_fixed,
        signed=_signed,
        p_value=_p_value,
        plural=_plural,
        area=_area,
        long_axis=_long_axis,
    )
    return environment


def _require_local(case_id: str, url: str) -> None:
    """Refuse a picture that would be fetched from elsewhere.

    Raises:
        InputError: the URL is neither a relative path nor a data URI of a picture.
    """
    parts = urlsplit(url)
    if url.startswith("data:image/") or (url and not (parts.scheme or parts.netloc)):
        return
    raise InputError(
        f"case '{case_id}': a picture must be a relative path or a data:image URI, got "
        f"'{url[:60]}'. Encode paths with urllib.parse.quote()."
    )


def _score_tiles(table: Sequence[Mapping[str, Any]]) -> Iterator[dict[str, str]]:
    model = table[0]["summary"]
    yield _tile("Dice", model["dice"], "no image with a lesion")
    baselines = [row for row in table[1:] if row["role"] == "baseline"]
    if model["dice"]["value"] is not None and baselines:
        best = max(baselines, key=lambda row: float(row["summary"]["dice"]["value"]))
        yield _tile(f"Dice of the {best['name']}", best["summary"]["dice"], "")
    yield _tile("Sensitivity, per image", model["sensitivity"], "no image with a lesion")
    yield _tile("Specificity, per image", model["specificity"], "no image without a lesion")


def _tile(name: str, estimate: Mapping[str, Any], without: str) -> dict[str, str]:
    if estimate["value"] is None:
        return {"name": name, "value": "none", "note": without}
    interval = estimate["interval"]
    note = f"95 %: {_between(interval)}" if interval else "one group alone: no interval"
    return {"name": name, "value": _fixed(estimate["value"]), "note": note}


def _verdicts(table: Sequence[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    """Say in words how the model's Dice compares; baselines of Dice 0 only if not beaten."""
    for row in table[1:]:
        difference = row["model_minus_this"]
        if difference is None:
            continue
        interval = difference["interval"]
        beaten = interval is not None and interval["low"] > 0
        if row["role"] == "baseline" and beaten and row["summary"]["dice"]["value"] == 0:
            continue
        alarming = row["role"] == "baseline" and not beaten
        start = "Not shown to be better than a mask that ignores the image. " if alarming else ""
        if row["role"] == "model" and (
            interval is None or interval["low"] <= 0 <= interval["high"]
        ):
            start = "Not shown to differ. "
        spread = f"95 %: {_between(interval, '+.3f')}" if interval else "one group: no interval"
        text = (
            f"{start}Dice {difference['mean']:+.3f} against {row['name']} ({spread}; "
            f"{_p_value(difference['p_value'])}), paired over "
            f"{_plural(difference['num_cases'], 'image')} of "
            f"{_plural(difference['num_groups'], 'group')}."
        )
        yield {"text": text, "alarming": alarming}


def _lines(summaries: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the lines of the table; each has one estimate per contender."""
    lines = [
        ("Dice", "mean", "dice", 3),
        ("Dice", "median", "dice_median", 3),
        ("IoU", "mean", "iou", 3),
        ("Precision", "mean, where something was marked", "precision", 3),
        ("Recall", "mean", "recall", 3),
        ("Sensitivity", "share of lesion images with any overlap", "sensitivity", 3),
        ("Specificity", "share of lesion-free images left unmarked", "specificity", 3),
    ]
    table = [
        {"name": name, "note": note, "parts": [part[key] for part in summaries], "digits": digits}
        for name, note, key, digits in lines
    ]
    distances = [
        {"name": "HD95", "note": "mean, where something was marked", "parts": parts, "digits": 1}
        for parts in zip(*(part["hd95"] for part in summaries), strict=True)
    ]
    return table[:5] + distances + table[5:]


def _histogram(document: Mapping[str, Any]) -> list[Figure]:
    by_label: dict[str, list[float]] = {}
    for case in document["cases"]:
        if case["dice"] is not None:
            by_label.setdefault(case["label"] or "lesion", []).append(case["dice"])
    means = {row["name"]: row["summary"]["dice"]["value"] for row in document["table"]}
    return [dice_histogram(by_label, means)] if by_label else []


def _fixed(value: float, digits: int = 3) -> str:
    return f"{value:.{digits}f}"


def _signed(value: float) -> str:
    return f"{value:+.3f}"


def _between(interval: Mapping[str, float], form: str = ".3f") -> str:
    return f"{interval['low']:{form}} to {interval['high']:{form}}"


def _p_value(value: float) -> str:
    return "p < 0.001" if value < 0.001 else f"p = {value:.3f}"


def _plural(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def _area(lesion: Lesion) -> str:
    if lesion.area_mm2 is None:
        return f"{lesion.area_px:,} px"
    return f"{lesion.area_mm2:,.1f} mm\N{SUPERSCRIPT TWO}"


def _long_axis(lesion: Lesion) -> str:
    if lesion.long_axis_mm is None:
        return f"{lesion.long_axis_px:,.0f} px"
    return f"{lesion.long_axis_mm:,.1f} mm"
