"""Figures of detection: FROC per lesion, ROC per image."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from breastseg.report.figures import COLOURS, Figure, Theme, figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_LEAST_RATE, _HIGHEST_RATE = 1 / 16, 8.0


def froc_figure(detection: Mapping[str, Any], *, noun: str = "image") -> Figure:
    """Show the sensitivity per lesion against the false positives per image.

    Args:
        detection: what evaluation.detection.to_document returned, with a lesion in it. Fewer
            than 1/16 false positives per image are drawn at 1/16, the axis being logarithmic.
        noun: what a case is called.
    """
    froc, shown = detection["froc"], detection["at_threshold"]
    points = [each for each in froc["points"] if each["is_reached"]]

    def draw(axes: "Axes", theme: Theme) -> None:
        along, up = _staircase(froc["curve"])
        axes.step(along, up, where="post", color=COLOURS[0], label="every threshold")
        for point in points:
            ends = point["sensitivity"]["interval"]
            if ends is not None:
                rate = point["false_positives_per_image"]
                axes.vlines(rate, ends["low"], ends["high"], color=COLOURS[0], alpha=0.5)
        axes.plot(
            max(shown["false_positives_per_image"]["value"], _LEAST_RATE),
            shown["lesion_sensitivity"]["value"],
            color=COLOURS[1],
            marker="D",
            linestyle="none",
            label="operating point",
        )
        axes.set_xscale("log", base=2)
        rates = [each["false_positives_per_image"] for each in froc["points"]]
        axes.set_xticks(rates, [f"{rate:g}" for rate in rates])
        axes.set(xlim=(_LEAST_RATE, _HIGHEST_RATE), ylim=(0, 1.02))
        axes.set(xlabel=f"false positives per {noun}", ylabel="sensitivity per lesion")
        axes.grid(color=theme.faint)

    alt = "FROC: sensitivity per lesion " + "; ".join(
        f"{each['sensitivity']['value']:.3f} at {each['false_positives_per_image']:g}"
        for each in froc["points"]
    )
    return figure("Lesions found, against false positives", f"{alt} per {noun}", draw)


def _staircase(curve: Sequence[Mapping[str, Any]]) -> tuple[list[float], list[float]]:
    """Return the corners, those left of the axis moved onto its left end."""
    along = [max(point["x"], _LEAST_RATE) for point in curve]
    return along, [point["y"] for point in curve]


def malignancy_figure(classes: Mapping[str, Any]) -> Figure:
    """Show the ROC curve of malignant against benign images, with its area.

    Args:
        classes: that part of scorecard.json, with images of both classes in it.
    """
    curve, auc = classes["malignant_roc"], classes["malignant_auc"]["value"]

    def draw(axes: "Axes", theme: Theme) -> None:
        axes.plot([0, 1], [0, 1], color=theme.ink, linestyle=":", label="by chance")
        along, up = ([point[name] for point in curve] for name in ("x", "y"))
        axes.plot(along, up, color=COLOURS[0], label=f"AUC {auc:.3f}")
        axes.set(xlim=(-0.01, 1.01), ylim=(0, 1.02))
        axes.set(xlabel="share of the benign images", ylabel="share of the malignant images")
        axes.grid(color=theme.faint)

    alt = f"ROC of malignant against benign, AUC {auc:.3f}"
    return figure("Malignant images, told from benign ones", alt, draw)


def roc_figure(detection: Mapping[str, Any], *, noun: str = "image") -> Figure:
    """Show the ROC curve of the images' highest probabilities, with its area.

    Args:
        detection: as of froc_figure, with images of both kinds in it.
    """
    curve, auc = detection["image_roc"], detection["image_auc"]["value"]
    shown = detection["at_threshold"]

    def draw(axes: "Axes", theme: Theme) -> None:
        axes.plot([0, 1], [0, 1], color=theme.ink, linestyle=":", label="by chance")
        along, up = ([point[name] for point in curve] for name in ("x", "y"))
        axes.plot(along, up, color=COLOURS[0], label=f"AUC {auc:.3f}")
        axes.plot(
            1 - shown["specificity"]["value"],
            shown["image_sensitivity"]["value"],
            color=COLOURS[1],
            marker="D",
            linestyle="none",
            label="operating point",
        )
        axes.set(xlim=(-0.01, 1.01), ylim=(0, 1.02))
        axes.set(xlabel="1 - specificity", ylabel=f"sensitivity, per {noun}")
        axes.grid(color=theme.faint)

    return figure("Images with a lesion, told from those without", f"ROC, AUC {auc:.3f}", draw)
