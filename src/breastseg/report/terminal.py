"""What is shown in a terminal: the table of a scorecard, curves of one line."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import rich.box
from rich.console import Console
from rich.table import Table

_BARS = "\u2581\u2582\u2583\u2584\u2585\u2586\u2587\u2588"


def print_scorecard(document: Mapping[str, Any]) -> None:
    """Print the rows of a scorecard or a comparison on stdout, the baselines among them.

    Args:
        document: scorecard.json or comparison.json.
    """
    console = Console(highlight=False)
    table = Table(title=document["details"]["Scored on"], box=rich.box.SIMPLE_HEAD)
    table.add_column("")
    for heading in ("Dice [95 % interval]", "median", "HD95", "sens.", "spec."):
        table.add_column(heading, justify="right", no_wrap=True)
    for row in document["table"]:
        summary = row["summary"]
        table.add_row(
            row["name"],
            _figure(summary["dice"], 3, interval=True),
            _figure(summary["dice_median"], 3),
            ", ".join(_figure(each, 1) for each in summary["hd95"]) or "-",
            *(_figure(summary[key], 2) for key in ("sensitivity", "specificity")),
        )
    console.print(table)
    console.print(
        "Dice and HD95: images with a lesion, each at its own resolution. sens.: share of these "
        "in which a finding touches a lesion. spec.: share of lesion-free images without one."
    )
    for row in document["table"][1:]:
        if row["role"] == "model" and row["model_minus_this"]:
            console.print(_difference(row))
    for warning in document["warnings"]:
        console.print(f"[red]Leakage: {warning}")


def _difference(row: Mapping[str, Any]) -> str:
    difference = row["model_minus_this"]
    span = difference["interval"]
    between = f" [{span['low']:+.3f}, {span['high']:+.3f}]" if span else ""
    return (
        f"Dice of the first minus {row['name']}: {difference['mean']:+.3f}{between}, "
        f"p = {difference['p_value']:.3g}, {difference['num_cases']} images in "
        f"{difference['num_groups']} groups"
    )


def _figure(estimate: Mapping[str, Any], digits: int, *, interval: bool = False) -> str:
    if estimate["value"] is None:
        return "-"
    text = f"{estimate['value']:.{digits}f}"
    text += f" {estimate['unit']}" if estimate.get("unit") else ""
    if interval and estimate["interval"]:
        span = estimate["interval"]
        text += f" [{span['low']:.{digits}f}, {span['high']:.{digits}f}]"
    return text


def sparkline(values: Sequence[float], *, width: int = 40) -> str:
    """Return a curve of one line: the smallest value lowest, the largest highest.

    Args:
        values: finite; where there are more than `width`, each mark is the mean of a stretch.

    >>> sparkline([0, 1, 2, 3, 2, 1, 0])
    '\u2581\u2583\u2586\u2588\u2586\u2583\u2581'
    """
    if not values:
        return ""
    means = [float(part.mean()) for part in np.array_split(values, min(width, len(values)))]
    low, span = min(means), max(max(means) - min(means), 1e-12)
    return "".join(_BARS[round((mean - low) / span * (len(_BARS) - 1))] for mean in means)
