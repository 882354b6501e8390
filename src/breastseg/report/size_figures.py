"""Figures of sizes: what the model marked against what the reader drew."""

import math
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from breastseg.report.figures import COLOURS, Figure, Theme, figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_UNITS = {"px": "px", "mm2": "mm²", "mm3": "mm³"}
_BELOW = 0.5
"""Zeros are drawn at this share of the smallest size, below a line."""


@dataclass(frozen=True, slots=True)
class _Sizes:
    """Images of one class: size in the reference, and of the mask."""

    label: str
    reference: tuple[float, ...]
    marked: tuple[float, ...]

    def moved(self, zero: float) -> tuple[list[float], list[float]]:
        """Return both with zeros put where they can be seen on a logarithmic axis."""
        return [each or zero for each in self.reference], [each or zero for each in self.marked]


def size_scatter(cases: Sequence[Mapping[str, Any]]) -> list[Figure]:
    """Show the size of the mask against that of the reference, an image a point.

    Lesions that were missed altogether lie on the lower edge, false alarms in images without a
    lesion on the left edge; images in which nothing was drawn nor marked are no point.

    Args:
        cases: as scorecard.json has them.

    Returns:
        One figure for each unit of the sizes; none where nothing was drawn or marked.
    """
    figures = []
    for unit in sorted({case["size_unit"] for case in cases}):
        parts = list(_by_label([case for case in cases if case["size_unit"] == unit]))
        if parts:
            figures.append(_scatter(parts, _UNITS[unit]))
    return figures


def _by_label(cases: Sequence[Mapping[str, Any]]) -> Iterator[_Sizes]:
    by_label: dict[str, list[tuple[float, float]]] = {}
    for case in cases:
        reference = case["reference_size"]
        marked = max(reference + case["size_difference"], 0.0)  # 0 but for rounding
        if reference or case["predicted_lesion"]:
            by_label.setdefault(case["label"] or "image", []).append((reference, marked))
    for label in sorted(by_label):
        reference, marked = zip(*by_label[label], strict=True)
        yield _Sizes(label, reference, tuple(_zero(each) for each in marked))


def _zero(size: float) -> float:
    return 0.0 if math.isclose(size, 0.0, abs_tol=1e-9) else size


def _scatter(parts: Sequence[_Sizes], unit: str) -> Figure:
    sizes = [each for part in parts for each in (*part.reference, *part.marked) if each]
    low, high = min(sizes), max(sizes)
    zero = low * _BELOW
    ends = (zero / 1.4, high * 1.6)

    def draw(axes: "Axes", theme: Theme) -> None:
        axes.plot([low, high], [low, high], color=theme.ink, linestyle=":", label="the same size")
        axes.axhline(low / 1.4, color=theme.faint)
        axes.axvline(low / 1.4, color=theme.faint)
        for place, part in enumerate(parts):
            axes.scatter(
                *part.moved(zero),
                s=14,
                alpha=0.8,
                color=COLOURS[place % len(COLOURS)],
                marker="os^D"[place % 4],
                label=f"{part.label}, {len(part.reference)} images",
                clip_on=False,
            )
        axes.set(xscale="log", yscale="log", xlim=ends, ylim=ends)
        axes.set(xlabel=f"drawn by the reader ({unit})", ylabel=f"marked ({unit})")
        for axis, edge in ((axes.xaxis, "none"), (axes.yaxis, "missed")):
            _name_the_edge(axis, zero, edge)

    alt = (
        f"Size of the mask against that of the reference, in {unit}, on logarithmic axes: "
        + "; ".join(_told(part) for part in parts)
    )
    return figure("Size marked, against size drawn", alt, draw)


def _name_the_edge(axis: Any, zero: float, name: str) -> None:
    from matplotlib.ticker import FixedFormatter, FixedLocator

    _, high = axis.get_view_interval()
    powers = range(math.ceil(math.log10(zero * 1.5)), math.floor(math.log10(high)) + 1)
    ticks = [10.0**power for power in powers]
    axis.set_major_locator(FixedLocator([zero, *ticks]))
    labels = [f"{tick:,.0f}" if tick >= 1 else f"{tick:g}" for tick in ticks]
    axis.set_major_formatter(FixedFormatter([name, *labels]))


def _told(part: _Sizes) -> str:
    pairs = list(zip(part.reference, part.marked, strict=True))
    missed = sum(marked == 0 for _, marked in pairs)
    alarms = sum(reference == 0 for reference, _ in pairs)
    ratios = [marked / reference for reference, marked in pairs if reference and marked]
    middle = f", median ratio {statistics.median(ratios):.2f}" if ratios else ""
    return (
        f"{part.label}: {len(pairs)} images, {missed} missed altogether, {alarms} false alarms"
        f"{middle}"
    )
