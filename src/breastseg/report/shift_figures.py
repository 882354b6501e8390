"""Figures of a shift: the parts of a drop, the Dice of each kind, probabilities of all sets."""

import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from breastseg.report.figures import COLOURS, Figure, Theme, figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MARKERS = ("o", "s")
_BAND_ALPHA = 0.2
_BAR_ALPHA = 0.3
_LONGEST = 28


def parts_figure(comparison: Mapping[str, Any]) -> Figure | None:
    """Show the drop, and how much of it goes with each factor.

    Args:
        comparison: of shift.json.

    Returns:
        None where no factor can be told.
    """
    rows = [
        (each["name"], each["parts"]["composition"])
        for each in (*comparison["factors"], comparison["together"])
        if each["parts"] and each["parts"]["composition"]["value"] is not None
    ]
    if not rows:
        return None
    drop = comparison["misses"]["drop"]
    rows = [("Drop", drop), *rows]

    def draw(axes: "Axes", theme: Theme) -> None:
        axes.axvline(0, color=theme.faint)
        for place, (_, part) in enumerate(reversed(rows)):
            is_drop = place == len(rows) - 1
            colour = COLOURS[1] if is_drop else COLOURS[0]
            if part["interval"]:
                ends = [part["interval"]["low"], part["interval"]["high"]]
                axes.plot(ends, [place, place], color=colour, linewidth=3, alpha=0.5)
            axes.plot([part["value"]], [place], color=colour, marker="o")
        axes.set_yticks(range(len(rows)), [_wrapped(name) for name, _ in reversed(rows)])
        axes.set(ylim=(-0.6, len(rows) - 0.4), xlabel="Dice lost, 95 % interval")
        axes.tick_params(axis="y", length=0)
        axes.locator_params(axis="x", nbins=5)

    alt = "Dice lost: " + "; ".join(f"{name} {part['value']:+.3f}" for name, part in rows)
    return figure("The drop, and what of it goes with each factor", alt, draw)


def kinds_figure(
    result: Mapping[str, Any], names: tuple[str, str], colours: tuple[str, str]
) -> Figure:
    """Show the Dice of each kind of one factor in both sets, and how common the kind is.

    Args:
        result: a factor of shift.json, with parts.
        names: of the sets.
        colours: of the sets, the same on a whole page.
    """
    kinds = list(reversed(result["parts"]["kinds"]))

    def draw(axes: "Axes", theme: Theme) -> None:
        for side, (key, name) in enumerate(zip(("first", "second"), names, strict=True)):
            offset = 0.18 - 0.36 * side
            rows = [place + offset for place in range(len(kinds))]
            shares = [kind[key]["share"] for kind in kinds]
            axes.barh(rows, shares, 0.34, color=colours[side], alpha=_BAR_ALPHA)
            _dots(axes, rows, [kind[key]["mean"] for kind in kinds], name, side, colours[side])
        axes.set_yticks(range(len(kinds)), [_wrapped(kind["name"]) for kind in kinds])
        axes.set(xlim=(0, 1), ylim=(-0.6, len(kinds) - 0.4))
        axes.set(xlabel="mean Dice (dots), share of images (bars)")
        axes.tick_params(axis="y", length=0)

    return figure(result["name"], f"{result['name']}: {_told(kinds[::-1], names)}", draw)


def _dots(
    axes: "Axes",
    rows: Sequence[float],
    means: Sequence[Mapping[str, Any]],
    name: str,
    side: int,
    colour: str,
) -> None:
    for row, mean in zip(rows, means, strict=True):
        if mean["interval"]:
            ends = [mean["interval"]["low"], mean["interval"]["high"]]
            axes.plot(ends, [row, row], color=colour, linewidth=2)
    known = [(mean["value"], row) for mean, row in zip(means, rows, strict=True)]
    known = [(value, row) for value, row in known if value is not None]
    axes.plot(
        [value for value, _ in known],
        [row for _, row in known],
        color=colour,
        marker=_MARKERS[side],
        linestyle="none",
        label=name,
    )


def _told(kinds: Sequence[Mapping[str, Any]], names: tuple[str, str]) -> str:
    return "; ".join(
        f"{kind['name']}: "
        + ", ".join(
            f"Dice {kind[key]['mean']['value']:.3f} in {kind[key]['num_images']} of {name}"
            for key, name in zip(("first", "second"), names, strict=True)
            if kind[key]["num_images"]
        )
        for kind in kinds
    )


def _wrapped(name: str) -> str:
    return "\n".join(textwrap.wrap(name, _LONGEST, break_on_hyphens=False))
