"""Figures of a search: its history, what mattered, and all trials side by side."""

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from breastseg.report.figures import COLOURS, Figure, Theme, figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MOST_LABELS = 24


def history(rows: Sequence[Mapping[str, Any]]) -> Figure:
    """Show the Dice of each trial in the order of their numbers, and the best so far.

    Args:
        rows: the table of search.json.
    """
    scored = sorted((row for row in rows if row["dice"] is not None), key=_number)
    complete = [row for row in scored if row["state"] == "complete"]
    rest = [row for row in scored if row["state"] != "complete"]
    best = np.maximum.accumulate([row["dice"] for row in complete] or [0.0])[: len(complete)]

    def draw(axes: "Axes", theme: Theme) -> None:
        axes.step(
            [row["number"] for row in complete], best, where="post", color=theme.ink, label="best"
        )
        for part, marker, colour, name in (
            (complete, "o", COLOURS[0], "complete"),
            (rest, "x", COLOURS[1], "pruned or stopped"),
        ):
            if part:
                numbers, dice = [row["number"] for row in part], [row["dice"] for row in part]
                axes.plot(numbers, dice, marker, color=colour, label=name)
        for row in complete:
            if row["interval"]:
                ends = [row["interval"]["low"], row["interval"]["high"]]
                axes.plot([row["number"]] * 2, ends, color=COLOURS[0], alpha=0.4)
        axes.set(xlabel="trial", ylabel="validation Dice")
        axes.locator_params(axis="x", integer=True)

    reached = f"best {best[-1]:.3f}" if len(best) else "none complete"
    alt = f"Validation Dice of {len(scored)} trials in order: {reached}."
    return figure("History", alt, draw)


def importance(shares: Mapping[str, float]) -> Figure:
    """Show how much each parameter sets the best trials apart.

    Args:
        shares: in [0, 1] by parameter, adding up to 1.
    """
    order = sorted(shares.items(), key=lambda pair: pair[1])

    def draw(axes: "Axes", theme: Theme) -> None:
        places = range(len(order))
        axes.barh(places, [share for _, share in order], color=COLOURS[0], height=0.6)
        for place, (_, share) in zip(places, order, strict=True):
            axes.text(share + 0.01, place, f"{share:.2f}", va="center", color=theme.ink)
        axes.set_yticks(places, [short(name) for name, _ in order])
        axes.set(xlim=(0, 1.12), xlabel="importance (shares of 1)")

    told = "; ".join(f"{short(name)} {share:.2f}" for name, share in reversed(order))
    return figure("Importance of each parameter", f"Importance: {told}.", draw)


def parallel_coordinates(names: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> Figure:
    """Show each trial as a line through its parameters to its Dice, the best on top.

    Args:
        names: the parameters, one vertical axis each.
        rows: the table of search.json.
    """
    shown = sorted((row for row in rows if row["dice"] is not None), key=lambda row: row["dice"])
    axes_of = {name: _Axis([row["parameters"].get(name) for row in shown]) for name in names}
    dice = _Axis([row["dice"] for row in shown])

    def draw(axes: "Axes", theme: Theme) -> None:
        import matplotlib as mpl

        colour_of = mpl.colormaps["viridis"]
        for row in shown:
            heights = [axes_of[name].height(row["parameters"].get(name)) for name in names]
            height = dice.height(row["dice"])
            faint = row["state"] != "complete"
            axes.plot(
                range(len(names) + 1),
                [*heights, height],
                color=colour_of(height),
                alpha=0.35 if faint else 0.9,
                linestyle=":" if faint else "-",
                linewidth=1.6,
            )
        for place, each in enumerate([*axes_of.values(), dice]):
            axes.axvline(place, color=theme.faint, zorder=0)
            for text, height in each.ticks():
                axes.annotate(
                    text,
                    (place, height),
                    (-4 if place == len(names) else 4, 0),
                    textcoords="offset points",
                    ha="right" if place == len(names) else "left",
                    va="center",
                    fontsize="x-small",
                    color=theme.ink,
                    bbox={"boxstyle": "round,pad=0.15", "color": theme.card, "alpha": 0.8},
                )
        axes.set_xticks(range(len(names) + 1), [*map(short, names), "Dice"])
        axes.set(ylim=(-0.06, 1.06), yticks=[])
        axes.spines[["left", "bottom"]].set_visible(False)

    best = shown[-1] if shown else None
    told = (
        "; ".join(f"{short(name)} {best['parameters'].get(name)}" for name in names)
        if best
        else "none"
    )
    alt = f"{len(shown)} trials as lines through their parameters; the highest Dice: {told}."
    return figure("All trials side by side", alt, draw, width=9.0)


class _Axis:
    """A vertical axis: numbers by their size, on a logarithmic scale if they span much."""

    def __init__(self, values: Sequence[Any]) -> None:
        known = list(dict.fromkeys(value for value in values if value is not None))
        self._is_number = bool(known) and all(
            isinstance(value, int | float) and not isinstance(value, bool) for value in known
        )
        self._known = sorted(known, key=None if self._is_number else _in_order)
        ends = (self._known[0], self._known[-1]) if self._is_number else (0, 1)
        self._is_log = self._is_number and ends[0] > 0 and ends[1] / ends[0] > 8

    def height(self, value: Any) -> float:
        """Return where a value is, from 0 at the bottom to 1 at the top."""
        if value is None or len(self._known) < 2:
            return 0.5
        if not self._is_number:
            return self._known.index(value) / (len(self._known) - 1)
        low, high, at = (
            float(np.log(each) if self._is_log else each)
            for each in (self._known[0], self._known[-1], value)
        )
        return (at - low) / (high - low)

    def ticks(self) -> list[tuple[str, float]]:
        """Return labels and their heights."""
        few = len(self._known) <= (6 if self._is_number else _MOST_LABELS)
        shown = self._known if few else [self._known[0], self._known[-1]]
        return [(plain(value), self.height(value)) for value in shown]


def _in_order(value: Any) -> list[tuple[int, str]]:
    """Sort texts by the numbers in them, so that 8-16 comes before 16-32."""
    return [
        (int(part), "") if part.isdigit() else (0, part)
        for part in re.split(r"(\d+)", str(value))
        if part
    ]


def short(name: str) -> str:
    """Return the last part of a recipe field.

    >>> short("optimisation.learning_rate")
    'learning rate'
    """
    return name.rpartition(".")[2].replace("_", " ")


def plain(value: Any) -> str:
    """Return a value of a parameter to be read by people; search.json has all its digits.

    >>> plain(0.00090626450), plain("dice"), plain(None)
    ('0.000906', 'dice', '-')
    """
    if value is None:
        return "-"
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _number(row: Mapping[str, Any]) -> int:
    return int(row["number"])
