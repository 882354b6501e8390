"""What a shift looks like in a terminal."""

from collections.abc import Mapping
from typing import Any

import rich.box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from breastseg.report.shift_page import table_lines, verdicts

_BRIEF = ("Images", "Outer mask", "Inner mask", "Abstains")


def print_shift(document: Mapping[str, Any]) -> None:
    """Print the table of the data sets, the parts of each drop and the verdicts on stdout.

    Args:
        document: shift.json.
    """
    console = Console(highlight=False)
    table = Table(box=rich.box.SIMPLE_HEAD)
    table.add_column("")
    for each in document["sets"]:
        table.add_column(escape(each["name"]), justify="right", overflow="fold")
    for line in table_lines(document["sets"]):
        cells = (_cell(*told, is_brief=line["name"] in _BRIEF) for told in line["cells"])
        table.add_row(line["name"], *cells)
    console.print(table)
    for comparison in document["comparisons"]:
        console.print(_parts(comparison))
    for verdict in verdicts(document):
        console.print(escape(verdict["text"]), style="yellow" if verdict["alarming"] else "")
    for warning in document["warnings"]:
        console.print(escape(f"Warning: {warning}"), style="red")


def _cell(value: str, note: str, *, is_brief: bool) -> str:
    return escape(value if is_brief or not note else f"{value} [{note}]")


def _parts(comparison: Mapping[str, Any]) -> Table:
    title = f"Dice lost from {comparison['first']} to {comparison['second']}"
    table = Table(title=escape(title), box=rich.box.SIMPLE_HEAD)
    table.add_column("")
    for heading in ("goes with it", "remains", "no counterpart"):
        table.add_column(heading, justify="right", no_wrap=True)
    for each in (*comparison["factors"], comparison["together"]):
        parts = each["parts"] or {}
        others = (_signed(parts.get(key), interval=False) for key in ("rates", "outside"))
        table.add_row(each["name"], _signed(parts.get("composition")), *others)
    return table


def _signed(part: Mapping[str, Any] | None, *, interval: bool = True) -> str:
    if part is None or part["value"] is None:
        return "-"
    span = part["interval"] if interval else None
    ends = f" [{span['low']:+.3f}, {span['high']:+.3f}]" if span else ""
    return escape(f"{part['value']:+.3f}{ends}")
