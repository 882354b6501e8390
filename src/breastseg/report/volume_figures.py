"""How the values of a volume are spread: a figure, and a line of blocks for a terminal."""

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from breastseg.datasets.inspection.volume_geometry import TISSUES
from breastseg.report.figures import COLOURS, Figure, Theme, figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_BLOCKS = " ▁▂▃▄▅▆▇█"
# Where the name of a tissue stands in its band, so that narrow neighbours stay apart.
_ANCHORS = {"air and lung": "center", "fat": "right", "soft tissue": "left", "bone": "center"}
_BAND_ALPHA = 0.16


def value_histogram(geometry: Mapping[str, Any]) -> Figure:
    """Show how many voxels have which value, on a logarithmic scale, tissues marked.

    Args:
        geometry: as inspection.json has it, see datasets.inspection.volume_geometry.
    """
    histogram = geometry["histogram"]
    counts, edges = histogram["counts"], _edges(histogram)
    tissues = TISSUES if geometry["in_hu"] else {}

    def draw(axes: "Axes", theme: Theme) -> None:
        for place, (name, (low, high)) in enumerate(tissues.items()):
            left = edges[0] if low is None else low
            right = edges[-1] if high is None else min(high, edges[-1])
            axes.axvspan(left, right, color=COLOURS[place], alpha=_BAND_ALPHA, lw=0)
            anchor = _ANCHORS[name]
            where = {"left": left, "center": (left + right) / 2, "right": right}[anchor]
            axes.annotate(
                name.replace(" ", "\n", 1),
                (where, 1),
                xycoords=("data", "axes fraction"),
                xytext=(0, 3),
                textcoords="offset points",
                ha=anchor,
                va="bottom",
                fontsize="small",
                color=theme.ink,
                linespacing=0.95,
            )
        axes.stairs(counts, edges, fill=True, baseline=0.5, color=COLOURS[4])
        axes.set(yscale="log", ylim=(0.5, 2 * max(counts)), xlim=(edges[0], edges[-1]))
        axes.set(xlabel="HU" if tissues else "value", ylabel="voxels")

    return figure("How the values are spread", _in_words(geometry), draw)


def _edges(histogram: Mapping[str, Any]) -> list[float]:
    width = histogram["width"]
    return [histogram["start"] + width * at for at in range(len(histogram["counts"]) + 1)]


def _in_words(geometry: Mapping[str, Any]) -> str:
    values, unit = geometry["hu"], " HU" if geometry["in_hu"] else ""
    text = (
        f"Histogram of the voxels' values, logarithmic: from {values['min']:g} to "
        f"{values['max']:g}{unit}, median {values['median']:g}."
    )
    return f"{text} {tissue_shares(geometry)}." if geometry["tissues"] else text


def tissue_shares(geometry: Mapping[str, Any]) -> str:
    """Say which share of the voxels lies in the range of each tissue."""
    return ", ".join(f"{name} {100 * share:.1f} %" for name, share in geometry["tissues"].items())


def block_histogram(counts: Sequence[int], columns: int) -> str:
    """Return a histogram as one line of block characters, their height logarithmic.

    A block is half a decade: what is less than a ten thousandth of the largest is one low line.

    >>> block_histogram([0, 1, 100, 10**6], 4)
    ' ▁▁█'
    >>> block_histogram([500, 500, 0, 0, 100, 0], 3)
    '█ ▆'
    """
    columns = min(columns, len(counts))
    edges = [round(at * len(counts) / columns) for at in range(columns + 1)]
    sums = [sum(counts[left:right]) for left, right in itertools.pairwise(edges)]
    return "".join(_BLOCKS[_height(each / max(sums))] for each in sums)


def _height(share: float) -> int:
    return max(1, 8 + math.ceil(2 * math.log10(share))) if share else 0
