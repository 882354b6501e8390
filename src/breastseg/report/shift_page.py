"""The page of a shift: one model on several data sets."""

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any
from urllib.parse import quote

from breastseg.evaluation.confidence import wilson_interval
from breastseg.report.figures import COLOURS, Figure, reliability_diagram
from breastseg.report.rendering import between, fixed, percent, plural, render
from breastseg.report.scorecard_page import read_reliability
from breastseg.report.shift_figures import kinds_figure, parts_figure

Part = Mapping[str, Any]


def shift_page(document: Part) -> str:
    """Return the page of a shift.

    Args:
        document: shift.json, see workflows.shift.
    """
    sets = document["sets"]
    places = {each["name"]: place for place, each in enumerate(sets)}
    return render(
        "shift.html",
        title=f"How far it carries: {', '.join(each['name'] for each in sets)}",
        document=document,
        links={each["name"]: f"{quote(each['folder'])}/scorecard.html" for each in sets},
        verdicts=verdicts(document),
        lines=list(table_lines(sets)),
        reliability=_reliability(sets),
        comparisons=[
            {
                **each,
                "rows": _rows(each),
                "by_outcome": _by_outcome(each["misses"]),
                **_figures(each, places),
            }
            for each in document["comparisons"]
        ],
    )


def verdicts(document: Part) -> list[dict[str, Any]]:
    """Say in words what was lost, in the Dice and in the promises."""
    reference, *others = document["sets"]
    return [verdict for each in others for verdict in _verdicts(reference, each)]


def _verdicts(reference: Part, other: Part) -> Iterator[dict[str, Any]]:
    if other["drop"] is not None:
        yield _drop_verdict(reference, other, other["drop"])
    for name in ("outer", "inner"):
        found = (other["guarantees"].get("found") or {}).get(name)
        if found and found["expected"] and found["share"] < found["expected"]["low"]:
            yield _broken(other["name"], name, found)
    yield from _abstention(reference, other)
    calibration = other["calibration"]
    if "after" in calibration and _is_worse(calibration):
        ece = [fixed(calibration[when]["ece"]) for when in ("before", "after")]
        text = (
            f"{other['name']}: the temperature makes the probabilities worse there: ECE "
            f"{ece[0]} before it, {ece[1]} after it."
        )
        yield {"text": text, "alarming": True}


def _broken(name: str, mask: str, found: Part) -> dict[str, Any]:
    """Say that a guarantee does not hold."""
    text = (
        f"{name}: the guarantee of the {mask} mask does not hold. It held in "
        f"{percent(found['share'])} of {plural(found['num_groups'], 'group')}, promised are "
        f"{percent(found['promised'])}, and luck alone would leave at least "
        f"{percent(found['expected']['low'])}."
    )
    return {"text": text, "alarming": True}


def _abstention(reference: Part, other: Part) -> Iterator[dict[str, Any]]:
    """Say where the model is unsure of clearly more images than on the reference."""
    counts = [each["guarantees"].get("found") for each in (reference, other)]
    if not all(found and found["outer"] for found in counts):
        return
    numbers = [(found["num_abstained"], found["num_images"]) for found in counts]
    before, now = (wilson_interval(*each) for each in numbers)
    if before and now and now.low > before.high:
        shares = [percent(part / whole) for part, whole in numbers]
        text = (
            f"{other['name']}: the model abstains in {shares[1]} of the images, in {shares[0]} of "
            f"{reference['name']}. Where it abstains, the outer mask covers most of the image, "
            "which keeps its guarantee and says little."
        )
        yield {"text": text, "alarming": True}


def _is_worse(calibration: Part) -> bool:
    """Whether the ECE after the temperature lies above the interval of that before it."""
    interval = calibration["before"]["ece_interval"]
    return interval is not None and calibration["after"]["ece"] > interval["high"]


def _drop_verdict(reference: Part, other: Part, drop: Part) -> dict[str, Any]:
    interval, value = drop["interval"], drop["value"]
    is_clear = interval is not None and interval["low"] > 0
    scores = " to ".join(fixed(each["summary"]["dice"]["value"]) for each in (reference, other))
    start = f"{other['name']}: the Dice goes from {scores}"
    if interval is None:
        return {"text": f"{start}; one group alone: no interval.", "alarming": False}
    spread = f"{value:+.3f}; 95 %: {between(interval, '+.3f')}"
    if is_clear:
        return {"text": f"{start}: a drop of {fixed(value)} ({spread}).", "alarming": True}
    end = "it is higher there" if interval["high"] < 0 else "not shown to differ"
    return {"text": f"{start}: {end} (drop {spread}).", "alarming": False}


def table_lines(sets: Sequence[Part]) -> Iterator[dict[str, Any]]:
    """Return the lines of the table; each has one cell per data set."""
    yield _line("Images", "with a lesion, without; groups", sets, _images)
    yield _line("Dice", "mean", sets, lambda each: _cell(each["summary"]["dice"]))
    yield _line("Drop in Dice", "reference minus this", sets, _drop_cell)
    yield _line("Missed altogether", "lesion images whose mask touches none", sets, _missed)
    for name, note, key, digits in (
        ("Sensitivity", "per lesion, at the operating point", "lesion_sensitivity", 3),
        ("False positives", "per image", "false_positives_per_image", 2),
        ("Specificity", "per lesion-free image", "specificity", 3),
    ):
        yield _line(name, note, sets, partial(_at_threshold, key=key, digits=digits))
    yield _line("HD95", "mean, where something was marked", sets, _hd95)
    for name, key in (("ECE", "ece"), ("Brier score", "brier")):
        for when in ("before", "after"):
            note = f"of pixels, {when} the temperature"
            yield _line(f"{name}, {when}", note, sets, partial(_probability, key=key, when=when))
    for name in ("outer", "inner"):
        note = f"groups in which the {name} mask kept its guarantee"
        yield _line(f"{name.title()} mask", note, sets, partial(_coverage, name=name))
    yield _line("Abstains", "the outer mask covers most of the image", sets, _abstains)


def _line(
    name: str, note: str, sets: Sequence[Part], cell: Callable[[Part], tuple[str, str]]
) -> dict[str, Any]:
    return {"name": name, "note": note, "cells": [cell(each) for each in sets]}


def _cell(estimate: Part | None, digits: int = 3, form: str = "") -> tuple[str, str]:
    """Return a figure and, smaller, its interval."""
    if estimate is None or estimate["value"] is None:
        return "\N{EN DASH}", ""
    interval, form = estimate.get("interval"), form or f".{digits}f"
    unit = f" {estimate['unit']}" if estimate.get("unit") else ""
    return f"{estimate['value']:{form}}{unit}", between(interval, form) if interval else ""


def _images(each: Part) -> tuple[str, str]:
    summary = each["summary"]
    lesion, free = summary["num_lesion_images"], summary["num_lesion_free_images"]
    return f"{summary['num_images']:,}", (
        f"{lesion:,} with, {free:,} without; {plural(summary['num_groups'], 'group')}"
    )


def _drop_cell(each: Part) -> tuple[str, str]:
    return ("reference", "") if each["is_reference"] else _cell(each["drop"], form="+.3f")


def _at_threshold(each: Part, *, key: str, digits: int) -> tuple[str, str]:
    return _cell(each["at_threshold"][key], digits)


def _missed(each: Part) -> tuple[str, str]:
    touched = each["summary"]["sensitivity"]
    if touched["value"] is None:
        return _cell(None)
    ends = touched["interval"]
    interval = {"low": 1 - ends["high"], "high": 1 - ends["low"]} if ends else None
    return _cell({"value": 1 - touched["value"], "interval": interval})


def _hd95(each: Part) -> tuple[str, str]:
    cells = [_cell(part, 1) for part in each["summary"]["hd95"]]
    if not cells:
        return _cell(None)
    return ", ".join(cell[0] for cell in cells), "; ".join(cell[1] for cell in cells)


def _probability(each: Part, *, key: str, when: str) -> tuple[str, str]:
    part = each["calibration"].get(when)
    if part is None:
        return _cell(None)
    return _cell({"value": part[key], "interval": part[f"{key}_interval"]})


def _coverage(each: Part, *, name: str) -> tuple[str, str]:
    found = (each["guarantees"].get("found") or {}).get(name)
    if not found or found["share"] is None:
        return _cell(None)
    expected = found["expected"]
    note = f"promised {percent(found['promised'])}"
    if expected:
        note += f", by luck {percent(expected['low'])} to {percent(expected['high'])}"
    return percent(found["share"]), note


def _abstains(each: Part) -> tuple[str, str]:
    found = each["guarantees"].get("found")
    if not found or found["outer"] is None:
        return _cell(None)
    share = percent(found["num_abstained"] / found["num_images"])
    return share, f"{found['num_abstained']:,} of {plural(found['num_images'], 'image')}"


def _by_outcome(misses: Part) -> str:
    """Say what goes with lesions missed altogether, and what with outlines."""
    parts = {
        "lesions missed altogether": misses["composition"],
        "worse outlines of the others": misses["rates"],
    }
    if any(part["value"] is None for part in parts.values()):
        return ""
    told = []
    for name, part in parts.items():
        spread = f" (95 %: {between(part['interval'], '+.3f')})" if part["interval"] else ""
        told.append(f"{name} {part['value']:+.3f}{spread}")
    return f"By outcome, of a drop of {misses['drop']['value']:+.3f}: {', '.join(told)}."


def _rows(comparison: Part) -> list[dict[str, Any]]:
    """Return the rows of the table of factors."""
    return [
        {
            "name": each["name"],
            "definition": each["definition"],
            "note": each["note"],
            "cells": _part_cells(each["parts"]),
        }
        for each in (*comparison["factors"], comparison["together"])
    ]


def _part_cells(parts: Part | None) -> list[tuple[str, str]]:
    if parts is None:
        return [_cell(None)] * 4
    share = parts["composition_share"]
    in_common = [percent(parts[f"{side}_in_common"]) for side in ("first", "second")]
    return [
        *(_cell(parts[key], form="+.3f") for key in ("composition", "rates")),
        (_cell(parts["outside"], form="+.3f")[0], f"in common: {' and '.join(in_common)}"),
        _cell(None) if share["value"] is None else _percent_cell(share),
    ]


def _percent_cell(share: Part) -> tuple[str, str]:
    ends = share["interval"]
    told = f"{100 * ends['low']:.0f} to {100 * ends['high']:.0f} %" if ends else ""
    return f"{100 * share['value']:.0f} %", told


def _figures(comparison: Part, places: Mapping[str, int]) -> dict[str, list[Figure]]:
    names = comparison["first"], comparison["second"]
    colours = COLOURS[places[names[0]] % len(COLOURS)], COLOURS[places[names[1]] % len(COLOURS)]
    parts = parts_figure(comparison)
    kinds = [kinds_figure(each, names, colours) for each in comparison["factors"] if each["parts"]]
    return {"parts_figures": [parts] if parts else [], "kinds_figures": kinds}


def _reliability(sets: Sequence[Part]) -> list[Figure]:
    """Return the diagrams of all sets, before and after the temperature."""
    known = [each for each in sets if "after" in each["calibration"]]
    if not known:
        return []
    return [
        dataclasses.replace(
            reliability_diagram(
                {each["name"]: read_reliability(each["calibration"][when]) for each in known}
            ),
            title=f"Reliability of the pixels, {when} the temperature",
        )
        for when in ("before", "after")
    ]
