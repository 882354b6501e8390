"""Figures for the pages: SVG in a light and a dark version, without pyplot's global state.

Matplotlib is imported when a figure is drawn: predicting draws none and need not wait for it.
"""

import base64
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle
from typing import TYPE_CHECKING

import numpy as np

from breastseg.evaluation.reliability import ReliabilitySummary

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Okabe and Ito's colours, told apart by colour-blind people; none is lost on white or black.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00")
_LINE_STYLES = ("-", "--", ":", "-.")
_MARKERS = ("o", "s", "^", "D")
_BAR_ALPHA = 0.35
_LEAST_SHARE = 1e-3
_NUM_BINS = 20
_GOOD_DICE = 0.7
_INCHES = (5.6, 3.5)


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """A figure as the source of an HTML image.

    alt: what it shows, in words, for those who don't see it.
    light, dark: data URIs of SVG, for a light and for a dark page.
    """

    title: str
    alt: str
    light: str
    dark: str


@dataclass(frozen=True, slots=True)
class Theme:
    """Colours of what is neither bar nor curve: text, lines in the background, the card itself."""

    ink: str
    faint: str
    card: str


_LIGHT, _DARK = (
    Theme(ink="#1c2833", faint="#d5dce3", card="#ffffff"),
    Theme(ink="#dbe4ec", faint="#34424f", card="#172028"),
)


def dice_histogram(
    dice_by_label: Mapping[str, Sequence[float]], means: Mapping[str, float]
) -> Figure:
    """Show how the Dice of single images is spread, by label, with means as vertical lines.

    Args:
        dice_by_label: Dice per image in [0, 1]; the labels' bars are stacked.
        means: the mean Dice of the model and of what it is compared with, by name.
    """

    def draw(axes: "Axes", theme: Theme) -> None:
        palette = cycle(COLOURS)
        axes.hist(
            [list(part) for part in dice_by_label.values()],
            bins=np.linspace(0, 1, _NUM_BINS + 1).tolist(),
            stacked=True,
            color=[next(palette) for _ in dice_by_label],
            label=list(dice_by_label),
        )
        for style, (name, mean) in zip(cycle(_LINE_STYLES), means.items(), strict=False):
            axes.axvline(mean, color=theme.ink, linestyle=style, label=f"{name} {mean:.3f}")
        axes.set(xlim=(-0.01, 1.01), xlabel="Dice of one image", ylabel="images")
        axes.locator_params(axis="y", integer=True)

    values = [dice for part in dice_by_label.values() for dice in part]
    alt = (
        f"Histogram of the Dice of {len(values)} images with a lesion: "
        f"{sum(dice == 0 for dice in values)} at 0, "
        f"{sum(dice >= _GOOD_DICE for dice in values)} at {_GOOD_DICE} or more. Means: "
        + "; ".join(f"{name} {mean:.3f}" for name, mean in means.items())
    )
    return figure("Dice of every image with a lesion", alt, draw)


def training_curves(
    training_loss: Sequence[float], validation_dice: Sequence[float | None]
) -> Figure:
    """Show loss and validation Dice over the epochs, the best epoch marked.

    Args:
        training_loss: mean loss of each epoch, from the first on.
        validation_dice: mean Dice of each epoch in [0, 1]; None where it was not measured.
    """
    epochs = range(1, len(training_loss) + 1)
    measured = [
        (epoch, dice)
        for epoch, dice in zip(epochs, validation_dice, strict=True)
        if dice is not None
    ]
    best = max(measured, key=lambda point: point[1], default=None)

    def draw(axes: "Axes", theme: Theme) -> None:
        axes.plot(epochs, training_loss, color=COLOURS[1], label="training loss")
        axes.set(xlabel="epoch", ylabel="training loss")
        axes.locator_params(axis="x", integer=True)
        right = axes.twinx()
        _dress(right, theme)
        right.plot(
            [epoch for epoch, _ in measured],
            [dice for _, dice in measured],
            color=COLOURS[4],
            marker=".",
            label="validation Dice",
        )
        right.set(ylim=(0, 1), ylabel="validation Dice")
        if best:
            axes.axvline(best[0], color=theme.ink, linestyle=":", label=f"best epoch {best[0]}")

    reached = f"best validation Dice {best[1]:.3f} in epoch {best[0]}" if best else "no Dice yet"
    span = f"{training_loss[0]:.3f} to {training_loss[-1]:.3f}" if training_loss else "not known"
    alt = f"Training over {len(training_loss)} epochs: loss from {span}; {reached}."
    return figure("Training", alt, draw)


def fold_curves(validation_dice: Sequence[Sequence[float]]) -> Figure:
    """Show the validation Dice of each fold of a cross-validation over its epochs.

    Args:
        validation_dice: for each fold the mean Dice of each epoch, in [0, 1].
    """

    def draw(axes: "Axes", theme: Theme) -> None:
        for number, dice in enumerate(validation_dice):
            style = _LINE_STYLES[number // len(COLOURS) % len(_LINE_STYLES)]
            colour = COLOURS[number % len(COLOURS)]
            epochs = range(1, len(dice) + 1)
            axes.plot(epochs, dice, color=colour, linestyle=style, label=f"fold {number + 1}")
        axes.set(xlabel="epoch", ylabel="validation Dice", ylim=(0, 1))
        axes.locator_params(axis="x", integer=True)

    best = ", ".join(f"{max(dice, default=0):.3f}" for dice in validation_dice)
    return figure("Training of the folds", f"Best validation Dice of each fold: {best}.", draw)


def dice_forest(estimates: Mapping[str, tuple[float, float, float]]) -> Figure:
    """Show the mean Dice of each contender as a dot with its interval, the first on top.

    Args:
        estimates: mean, lower and upper end of the interval, each in [0, 1], by name.
    """

    def draw(axes: "Axes", theme: Theme) -> None:
        names = list(estimates)
        for place, (mean, low, high) in enumerate(reversed(list(estimates.values()))):
            axes.plot([low, high], [place, place], color=COLOURS[4], linewidth=3)
            axes.plot([mean], [place], color=theme.ink, marker="o")
        axes.set_yticks(range(len(names)), names[::-1])
        axes.set(xlim=(0, 1), ylim=(-0.6, len(names) - 0.4), xlabel="mean Dice, 95 % interval")

    alt = "Mean Dice with its interval: " + "; ".join(
        f"{name} {mean:.3f} ({low:.3f} to {high:.3f})"
        for name, (mean, low, high) in estimates.items()
    )
    return figure("Mean Dice", alt, draw)


def reliability_diagram(
    summaries: Mapping[str, ReliabilitySummary], *, what: str = "pixels"
) -> Figure:
    """Show how often probabilities came true, such as before and after calibration.

    A line below the diagonal is too sure of lesions, one above it not sure enough. The bars show
    how much of everything lies in each bin, on a logarithmic scale from 0.001, since most pixels
    lie in the first.

    Args:
        summaries: by name, with the same bins each.
        what: what the probabilities are of: pixels or candidates.
    """

    def draw(axes: "Axes", theme: Theme) -> None:
        right = axes.twinx()
        _dress(right, theme)
        axes.plot([0, 1], [0, 1], color=theme.ink, linestyle=":", label="true probabilities")
        for place, (name, summary) in enumerate(summaries.items()):
            colour = COLOURS[place % len(COLOURS)]
            points = [
                (each.mean_probability, each.observed)
                for each in summary.bins
                if each.mean_probability is not None and each.observed is not None
            ]
            axes.plot(
                [probability for probability, _ in points],
                [observed for _, observed in points],
                color=colour,
                marker=_MARKERS[place % len(_MARKERS)],
                label=f"{name}, ECE {summary.ece:.3f}",
            )
            width = 0.8 / len(summary.bins) / len(summaries)
            left = [each.low + 0.1 / len(summary.bins) + place * width for each in summary.bins]
            shares = [each.share for each in summary.bins]
            right.bar(left, shares, width, align="edge", color=colour, alpha=_BAR_ALPHA)
        right.set(yscale="log", ylim=(_LEAST_SHARE, 1), ylabel=f"share of the {what} (bars)")
        axes.set(xlim=(0, 1), ylim=(0, 1))
        axes.set(xlabel="probability of lesion", ylabel="share that is lesion")
        axes.set_zorder(right.get_zorder() + 1)
        axes.patch.set_visible(False)

    alt = f"Reliability of the {what}: " + "; ".join(
        f"{name} ECE {each.ece:.3f}, Brier score {each.brier:.3f}"
        for name, each in summaries.items()
    )
    return figure(f"Reliability of the {what}", alt, draw)


def figure(
    title: str, alt: str, draw: Callable[["Axes", Theme], None], *, width: float = _INCHES[0]
) -> Figure:
    """Draw a figure for a light and for a dark page.

    Args:
        width: in inches.
    """
    light, dark = (_rendered(draw, theme, width) for theme in (_LIGHT, _DARK))
    return Figure(title=title, alt=alt, light=light, dark=dark)


def _rendered(draw: Callable[["Axes", Theme], None], theme: Theme, width: float) -> str:
    """Return the figure as a data URI; the same figure gives the same bytes."""
    import matplotlib as mpl
    from matplotlib.figure import Figure as Canvas

    canvas = Canvas(figsize=(width, _INCHES[1]), layout="constrained")
    axes = canvas.add_subplot()
    _dress(axes, theme)
    draw(axes, theme)
    axes.spines[["top", "right"]].set_visible(False)
    if axes.get_legend_handles_labels()[0]:
        canvas.legend(
            loc="outside upper left", ncols=2, frameon=False, fontsize="small", labelcolor=theme.ink
        )
    buffer = io.BytesIO()
    with mpl.rc_context({"svg.hashsalt": "breastseg"}):
        canvas.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    return "data:image/svg+xml;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


def _dress(axes: "Axes", theme: Theme) -> None:
    axes.tick_params(colors=theme.ink, which="both")
    axes.xaxis.label.set_color(theme.ink)
    axes.yaxis.label.set_color(theme.ink)
    for spine in axes.spines.values():
        spine.set_color(theme.faint)
