"""Plot every loss against the size of a mistake: `python docs/plot_losses.py` (docs/images)."""

from collections.abc import Callable
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from breastseg.networks.losses import LOSSES

PATH = Path(__file__).resolve().parent / "images" / "losses.svg"
SIZE, RADIUS, LARGEST = 80, 10, 26
MISTAKES = np.arange(0, LARGEST + 1)
# Okabe and Ito's colours, told apart by colour-blind people.
LOOKS = {
    "shifted by": {"color": "#0072B2", "linestyle": "-"},
    "too small by": {"color": "#D55E00", "linestyle": "--"},
    "too large by": {"color": "#009E73", "linestyle": "-."},
    "no lesion, radius": {"color": "#444444", "linestyle": ":"},
}


def outward(shift: float, radius: float) -> np.ndarray:
    """Return each pixel's distance from the outline of a disc, below 0 inside, (row, column)."""
    row, column = np.mgrid[:SIZE, :SIZE] - (SIZE - 1) / 2
    return np.hypot(row, column - shift) - radius


def logits(shift: float, radius: float) -> np.ndarray:
    """Return a confident prediction of a disc with soft edges, (1, 1, row, column)."""
    return np.clip(-4 * outward(shift, radius), -8, 8)[None, None]


def curves(loss: Callable[[np.ndarray, np.ndarray], float]) -> dict[str, list[float]]:
    """Return the loss of each mistake, by what is wrong."""
    lesion = (outward(0, RADIUS) < 0).astype(float)[None, None]
    empty = np.zeros_like(lesion)
    return {
        "shifted by": [loss(logits(by, RADIUS), lesion) for by in MISTAKES],
        "too small by": [loss(logits(0, RADIUS - by), lesion) for by in MISTAKES[: RADIUS + 1]],
        "too large by": [loss(logits(0, RADIUS + by), lesion) for by in MISTAKES],
        "no lesion, radius": [loss(logits(0, by or -SIZE), empty) for by in MISTAKES],
    }


def draw() -> Figure:
    """Return the figure: one panel per loss, from 0, since all losses begin there."""
    figure = Figure(figsize=(10, 11.5), layout="constrained", facecolor="white")
    panels = figure.subplots(5, 4, sharex=True)
    for axes, (name, loss) in zip(panels.flat, LOSSES.items(), strict=False):
        for label, values in curves(loss).items():
            axes.plot(MISTAKES[: len(values)], values, label=label, linewidth=1.6, **LOOKS[label])
        axes.set_title(name, fontsize=10)
        axes.set_ylim(bottom=0)
        axes.tick_params(labelsize=8)
        axes.locator_params(nbins=4)
        axes.grid(color="#d5dce3", linewidth=0.5)
        axes.spines[["top", "right"]].set_visible(False)
    for unused in panels.flat[len(LOSSES) :]:
        unused.remove()
    figure.supxlabel("pixels", fontsize=10)
    figure.supylabel("loss", fontsize=10)
    handles, labels = panels.flat[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=4, frameon=False)
    return figure


if __name__ == "__main__":
    mpl.rcParams["svg.hashsalt"] = "breastseg"
    draw().savefig(PATH, metadata={"Date": None})
