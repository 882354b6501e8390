"""What an inspection found, as a page and in the terminal.

The page holds at most a few hundred thumbnails, whatever the size of the data set.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from breastseg.report.rendering import render

MAX_CONTRADICTIONS = 24
MAX_GROUPS = 30
MAX_IN_GROUP = 6
MAX_OF_A_CODE = 6
MAX_SAMPLE = 12
_MAX_NAMED = 6
_WIDTH = 17

_COLOURS = {"spoils": "red", "look": "yellow", "note": "dim"}
_GROUPED = "near-duplicates"
_NEAR = "duplicates-"


@dataclass(frozen=True, slots=True, kw_only=True)
class Thumbnail:
    """A case to look at. picture: data URI; None where it cannot be read."""

    case_id: str
    label: str | None
    picture: str | None


Look = Callable[[str], Thumbnail]
"""Returns the thumbnail of a case."""


def findings_by_code(document: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Gather the findings of inspection.json by their code, in their order."""
    by_code: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for finding in document["findings"]:
        by_code[finding["code"]].append(finding)
    return [_gathered(code, findings) for code, findings in by_code.items()]


def _gathered(code: str, findings: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    cases = list(dict.fromkeys(case for finding in findings for case in finding["cases"]))
    return {
        "code": code,
        "severity": findings[0]["severity"],
        "fix": findings[0]["fix"],
        "meaning": findings[0]["meaning"],
        "count": len(findings),
        "cases": cases,
        "named": cases[:_MAX_NAMED],
        "more": max(0, len(cases) - _MAX_NAMED),
        "messages": [finding["message"] for finding in findings[:_MAX_NAMED]],
        "findings": findings,
    }


def inspection_page(document: Mapping[str, Any], look: Look) -> str:
    """Return the page of an inspection.

    Args:
        document: inspection.json.
        look: makes a thumbnail; asked for a bounded number of cases.
    """
    by_code = findings_by_code(document)
    summary = document["summary"]
    contradictions = [group for group in document["groups"] if len(group["codes"]) > 1]
    agreeing = [group for group in document["groups"] if len(group["codes"]) == 1]
    return render(
        "inspection.html",
        title=f"Inspection of {summary['images']:,} images",
        summary=summary,
        spoils=document["spoils"],
        tiles=_tiles(document, by_code),
        facts=facts(summary),
        by_code=by_code,
        contradictions=_shown(contradictions, MAX_CONTRADICTIONS, document, look),
        num_contradictions=len(contradictions),
        groups=_shown(agreeing, MAX_GROUPS, document, look),
        num_groups=len(agreeing),
        galleries=_galleries(by_code, look),
        sample=_sample(document, look),
    )


def _tiles(document: Mapping[str, Any], by_code: Sequence[Mapping[str, Any]]) -> list[Any]:
    counts = dict.fromkeys(_COLOURS, 0)
    for each in by_code:
        counts[each["severity"]] += each["count"]
    summary = document["summary"]
    return [
        {"name": "images", "value": summary["images"], "alarming": False},
        {"name": "lesions", "value": summary["lesions"], "alarming": False},
        {
            "name": "images with a near duplicate",
            "value": summary["near_duplicates"]["images"],
            "alarming": False,
        },
        {
            "name": "findings that spoil a result",
            "value": counts["spoils"],
            "alarming": counts["spoils"] > 0,
        },
        {"name": "findings to look at", "value": counts["look"], "alarming": False},
    ]


def _shown(
    groups: Sequence[Mapping[str, Any]], limit: int, document: Mapping[str, Any], look: Look
) -> list[dict[str, Any]]:
    """Return the first groups with pictures; what contradicts comes first in a group."""
    messages = {
        (finding["code"], tuple(finding["cases"])): finding["message"]
        for finding in document["findings"]
        if finding["code"].startswith(_NEAR)
    }
    shown = []
    for group in groups[:limit]:
        said = [
            (code, cases, message)
            for (code, cases), message in messages.items()
            if code in group["codes"] and set(cases) <= set(group["cases"])
        ]
        first = list(dict.fromkeys([*(case for _, cases, _ in said for case in cases)]))
        order = [*first, *(case for case in group["cases"] if case not in first)]
        shown.append(
            {
                "likeness": group["likeness"],
                "size": len(order),
                "messages": [(code, message) for code, _, message in said],
                "pictures": [look(case) for case in order[:MAX_IN_GROUP]],
                "more": max(0, len(order) - MAX_IN_GROUP),
            }
        )
    return shown


def _galleries(by_code: Sequence[Mapping[str, Any]], look: Look) -> list[dict[str, Any]]:
    """Return some pictures of each code that is about pictures."""
    galleries = []
    for each in by_code:
        about = [finding for finding in each["findings"] if finding["cases"]]
        if not about or each["code"] == _GROUPED or each["code"].startswith(_NEAR):
            continue
        step = max(1, len(about) // MAX_OF_A_CODE)
        some = about[::step][:MAX_OF_A_CODE]
        entries = [(look(finding["cases"][0]), finding["message"]) for finding in some]
        galleries.append({**each, "entries": entries})
    return galleries


def _sample(document: Mapping[str, Any], look: Look) -> list[Thumbnail]:
    """Return pictures spread evenly over the data set."""
    cases = [row["case"] for row in document["cases"] if row["picture"] is not None]
    step = max(1, len(cases) // MAX_SAMPLE)
    return [look(case) for case in cases[::step][:MAX_SAMPLE]]


def facts(summary: Mapping[str, Any]) -> dict[str, str]:
    """Return what is in the data set, to be read by people."""
    classes = ", ".join(f"{label} {count:,}" for label, count in summary["classes"].items())
    unreadable = summary["images"] - summary["readable"]
    twins = summary["near_duplicates"]
    return {
        "Folder": summary["root"],
        "Layout": summary["layout"],
        "Images": f"{summary['images']:,}" + (f", {unreadable} unreadable" if unreadable else ""),
        "Classes": classes or "none given",
        "Patients": _patients(summary),
        "Rows": _span(summary["rows"]),
        "Columns": _span(summary["columns"]),
        "Spacing": _spacing(summary["spacings_mm"]),
        "Lowest grey": _span(summary["lowest_grey"]),
        "Highest grey": _span(summary["highest_grey"]),
        "Masks": f"{summary['with_mask']:,} images have one, {summary['lesion_free']:,} without "
        f"a lesion, {summary['several_lesions']:,} with several",
        "Lesion area": _span(summary["lesion_area_px"], " px"),
        "Lesion share": _span(summary["lesion_share"], "", percent=True),
        "Near duplicates": f"{twins['images']:,} images in {twins['groups']:,} groups; "
        + (
            "train keeps patients together"
            if summary["patients"]
            else f"train keeps {twins['kept_together_by_train']:,} images together with others"
        ),
    }


def _patients(summary: Mapping[str, Any]) -> str:
    if not summary["patients"]:
        return "not named"
    without = summary["images_without_patient"]
    folds = ", ".join(f"fold {fold}: {count}" for fold, count in summary["folds"].items())
    text = f"{summary['patients']:,}" + (f"; {without} images without" if without else "")
    return text + (f"; {folds}" if folds else "")


def _span(spread: Mapping[str, float] | None, unit: str = "", *, percent: bool = False) -> str:
    if spread is None:
        return "none"
    low, middle, high = (
        f"{value:.1%}" if percent else f"{value:,.0f}{unit}" for value in spread.values()
    )
    return low if low == high else f"{low} to {high}, median {middle}"


def _spacing(spacings: Sequence[Sequence[float]]) -> str:
    if not spacings:
        return "not known: measures are in pixels"
    return ", ".join(f"{row:g} x {column:g} mm" for row, column in spacings)


def print_inspection(document: Mapping[str, Any]) -> None:
    """Print an inspection on stdout: what is there, then what is wrong with it."""
    console = Console(highlight=False)
    for name, value in facts(document["summary"]).items():
        console.print(f"{name:{_WIDTH}}{value}", markup=False)
    for note in document["summary"]["notes"]:
        console.print(note, markup=False)
    print_findings(console, document)


def print_findings(console: Console, document: Mapping[str, Any]) -> None:
    """Print the findings of an inspection as a table, the worst first."""
    by_code = findings_by_code(document)
    if not by_code:
        console.print("\nNothing was found.")
        return
    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True)
    table.add_column(justify="right", no_wrap=True)
    table.add_column()
    for each in by_code:
        severity = Text(each["severity"], style=_COLOURS[each["severity"]])
        table.add_row(severity, f"{each['count']:,}", _told(each))
    console.print()
    console.print(table)


def _told(each: Mapping[str, Any]) -> Text:
    """Return one kind of finding in words; in full only what spoils a result."""
    spoils = each["severity"] == "spoils"
    where = ", ".join(each["named"]) + (f" and {each['more']:,} more" if each["more"] else "")
    messages = each["messages"][:3] if spoils or not where else []
    lines = [f"{each['meaning']} ({each['code']})", *messages, where]
    text = Text(lines[0], style="bold" if spoils else "")
    for line in (*lines[1:], each["fix"] if spoils else ""):
        if line:
            text.append(f"\n{line}", style="not bold")
    return text
