"""What is shown in a terminal: tables of scorecards and searches, curves of one line."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import rich.box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from breastseg.report.rendering import estimate
from breastseg.report.search_figures import plain, short

_PROPORTIONS = ("sensitivity", "specificity")
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
            estimate(summary["dice"], 3, interval=True),
            estimate(summary["dice_median"], 3),
            ", ".join(estimate(each, 1) for each in summary["hd95"]) or "-",
            *(estimate(summary[key], 2) for key in _PROPORTIONS),
        )
    console.print(table)
    console.print(
        "Dice and HD95: images with a lesion, each at its own resolution. sens.: share of these "
        "in which a finding touches a lesion. spec.: share of lesion-free images without one."
    )
    for line in _further_lines(document):
        console.print(line)
    for row in document["table"][1:]:
        if row["role"] == "model" and row["model_minus_this"]:
            console.print(_difference(row))
    if inflation := document.get("inflation"):
        console.print(escape(_inflation_lines(inflation)))
    for warning in document["warnings"]:
        console.print(f"[bold red]Warning: {escape(warning)}")


def _further_lines(document: Mapping[str, Any]) -> Iterator[str]:
    """Say what only scorecards of volumes, or of networks that tell classes, have."""
    yield from _source_lines(document)
    if volumes := document.get("volumes"):
        yield from _volume_lines(document, volumes)
    if classes := document.get("classes"):
        yield _class_line(classes)


def _source_lines(document: Mapping[str, Any]) -> Iterator[str]:
    """Say how the model does on each data set of a collection, which the mean can hide."""
    for name, part in (document.get("by_source") or {}).items():
        told = f"{name}: Dice {estimate(part['dice'], 3, interval=True)}"
        sure = ", ".join(f"{key[:4]}. {estimate(part[key], 2)}" for key in _PROPORTIONS)
        yield escape(f"  {told}, {sure}, {part['num_images']} images")


def _class_line(classes: Mapping[str, Any]) -> str:
    """Say how well the class of the whole image is told."""
    told = f"Class of the whole image: right in {estimate(classes['accuracy'], 2, interval=True)}"
    if classes["malignant_auc"]["value"] is None:
        return escape(f"{told} of {classes['num_images']} images.")
    auc = estimate(classes["malignant_auc"], 3, interval=True)
    return escape(
        f"{told} of {classes['num_images']} images; malignant ({classes['num_malignant']}) "
        f"against benign ({classes['num_benign']}): AUC {auc}."
    )


def _volume_lines(document: Mapping[str, Any], volumes: Mapping[str, Any]) -> Iterator[str]:
    """Say which lesions of volumes are found, at 1 false positive per volume where it is known."""
    if froc := document["detection"]["froc"]:
        told = ", ".join(
            f"{each['sensitivity']['value']:.2f} at {each['false_positives_per_image']:g}"
            for each in froc["points"]
            if each["sensitivity"]["value"] is not None
        )
        yield f"Lesions found, at so many false positives per volume: {told or 'no lesion'}"
    yield f"  {volumes['large_from_mm']:g} mm and more: {_counted(volumes['large'])}"
    for part in volumes["hard"]:
        found = part["at_rate"] or part["at_threshold"]
        yield f"  {part['size'] or part['surroundings']}: {_counted(found)}"
    rate = "as masks" if froc is None else f"at {volumes['rate']:g} false positive per volume"
    yield f"  ({rate}; goal: {volumes['goal']:.2f} of the first)"
    if volumes["num_lesion_free"]:
        figure = estimate(volumes["false_positives_per_lesion_free"], 2, interval=True)
        yield f"False positives per lesion-free volume, of {volumes['num_lesion_free']}: {figure}"


def _counted(share: Mapping[str, Any]) -> str:
    if share["value"] is None:
        return "none among these"
    return f"{share['num_found']} of {share['num_cases']}, {estimate(share, 2, interval=True)}"


def _inflation_lines(inflation: Mapping[str, Any]) -> str:
    """Say by how much a score would have been inflated, as lines; see evaluation.inflation."""
    lines = [
        f"Had what was trained on been scored, over {inflation['seen']['num_images']} images:",
        f"  held out (honest)  Dice {_mean_dice(inflation['unseen'])}",
        f"  trained on         Dice {_mean_dice(inflation['seen'])}",
    ]
    if (gap := inflation["seen_minus_unseen"]) is not None:
        lines.append(f"  inflated by             {_span(gap)}")
    if (split := inflation["random_split"]) is not None:
        lines.append(
            f"A random split, by estimate: Dice {split['dice']:.3f}, inflated by "
            f"{_span(split['inflation'])}; {split['share_with_twin']:.0%} of its test images "
            "would have a twin in its training part."
        )
        lines.append(inflation["assumption"])
    return "\n".join(lines)


def _mean_dice(mean: Mapping[str, Any]) -> str:
    return estimate({"value": mean["dice"], "interval": mean["interval"]}, 3, interval=True)


def _span(gap: Mapping[str, Any]) -> str:
    span = gap["interval"]
    return f"{gap['value']:+.3f}" + (f" [{span['low']:+.3f}, {span['high']:+.3f}]" if span else "")


def print_search(document: Mapping[str, Any], *, most: int = 20) -> None:
    """Print the ranking of a search and the selection gap of its winner on stdout.

    Args:
        document: search.json.
        most: rows; the others are in search.json.
    """
    console = Console(highlight=False)
    table = Table(title=document["details"]["Space"], box=rich.box.SIMPLE_HEAD)
    for heading in ("rank", "trial", "parameters"):
        table.add_column(heading, overflow="fold")
    for heading in ("validation Dice", "epochs", "time"):
        table.add_column(heading, justify="right", no_wrap=True)
    for row in document["table"][:most]:
        told = (f"{short(name)} {plain(value)}" for name, value in row["parameters"].items())
        table.add_row(
            str(row["rank"] or row["state"]),
            str(row["number"]),
            ", ".join(told),
            estimate({"value": row["dice"], "interval": row["interval"]}, 3, interval=True),
            str(row["epochs"]),
            f"{row['seconds']:.0f} s",
        )
    console.print(table)
    if (hidden := len(document["table"]) - most) > 0:
        console.print(f"... and {hidden} more in search.json")
    console.print(_gap_lines(document))


def _gap_lines(document: Mapping[str, Any]) -> str:
    gap = document["selection_gap"]
    if gap is None:
        return f"Selection gap: not known yet: {document['selection_gap_missing']}."
    lines = [
        f"The winner, trial {document['winner']}, at the original resolution:",
        f"  validation, where it was chosen  Dice {estimate(gap['validation'], 3, interval=True)}",
        f"  test, which no trial saw         Dice {estimate(gap['test'], 3, interval=True)}",
        f"  selection gap: validation minus test  {_signed(gap)}",
    ]
    if constant := gap["constant_mask"]:
        lines.append(
            f"  that of the best constant mask        {_signed(constant)}, by images alone"
        )
    return "\n".join(lines)


def _signed(gap: Mapping[str, Any]) -> str:
    return _span({"value": gap["gap"], "interval": gap["interval"]})


def _difference(row: Mapping[str, Any]) -> str:
    difference = row["model_minus_this"]
    span = difference["interval"]
    between = f" [{span['low']:+.3f}, {span['high']:+.3f}]" if span else ""
    return (
        f"Dice of the first minus {row['name']}: {difference['mean']:+.3f}{between}, "
        f"p = {difference['p_value']:.3g}, {difference['num_cases']} images in "
        f"{difference['num_groups']} groups"
    )


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
