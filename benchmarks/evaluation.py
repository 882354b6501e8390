"""How long the metrics of one image take, and those of a thousand, in one process.

Pairs of masks are drawn anew for each kind: a lesion as networks outline it, three lesions with
specks, a wavy mask whose outline fills the image, and noise, where every pixel is surface. Each
metric is timed alone, over all images of a kind, and all together as an evaluation takes them.
"""

import argparse
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from rich.console import Console
from rich.table import Table
from scipy import ndimage

from breastseg.core.calibration import Calibration, ConformalThreshold
from breastseg.core.image import Case, Image, LabelMap, Pixels
from breastseg.evaluation import overlap
from breastseg.evaluation.detection import summarise
from breastseg.evaluation.matching import find_candidates, match_lesions, score_detection
from breastseg.evaluation.surface import (
    Tolerance,
    average_surface_distance,
    hausdorff,
    hausdorff_95,
    normalised_surface_dice,
    score_surfaces,
    size_error,
)
from breastseg.evaluation.trust import Trust

NUM_IMAGES = 1000
TOLERANCE = Tolerance(mm=1.0, px=2.0)
_BOUND = ConformalThreshold(threshold=0.3, alpha=0.1, tolerance=0.1, num_groups=60)
CALIBRATION = Calibration(temperature=1.5, outer=_BOUND, inner=_BOUND)


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawn:
    """An image as an evaluation meets it."""

    case: Case
    probability: Pixels
    mask: overlap.Mask
    reference: overlap.Mask
    labels: LabelMap


def draw(kind: str, size: int, seed: int) -> Drawn:
    """Return one image of that kind."""
    random = np.random.default_rng([seed, size])
    lesions = 3 if kind == "three lesions, specks" else 1
    labels, probability = np.zeros((1, size, size), np.int32), np.zeros((size, size), np.float32)
    grid = np.indices((size, size)) / size
    for number in range(1, lesions + 1):
        centre, axes = random.uniform(0.25, 0.75, 2), random.uniform(0.05, 0.18, 2)
        labels[0][_distance(grid, centre, axes) <= 1] = number
        moved = _distance(grid, centre + random.normal(0, 0.02, 2), axes)
        probability = np.maximum(probability, 1 / (1 + np.exp(8 * (moved - 1))))
    if kind == "three lesions, specks":
        specks = ndimage.gaussian_filter(random.normal(size=(size, size)), 4) * 13
        probability = np.maximum(probability, np.clip(specks - 1.5, 0, 1))
    elif kind != "one lesion":
        noise = random.normal(size=(2, size, size))
        if kind == "wavy":
            noise = ndimage.gaussian_filter(noise, (0, 3, 3))
        labels[0] = ndimage.label(noise[0] > 0, np.ones((3, 3)))[0]
        probability = (noise[1] > 0) * 0.9
    pixels = probability[None].astype(np.float32)
    case = Case(case_id=str(seed), image=Image(pixels=pixels), reference=labels)
    mask, reference = pixels >= 0.5, labels > 0
    return Drawn(case=case, probability=pixels, mask=mask, reference=reference, labels=labels)


def _distance(grid: np.ndarray, centre: np.ndarray, axes: np.ndarray) -> np.ndarray:
    off = [(along - middle) / axis for along, middle, axis in zip(grid, centre, axes, strict=True)]
    return np.sqrt(off[0] ** 2 + off[1] ** 2)


def metrics() -> dict[str, Callable[[Drawn], object]]:
    """Return each metric as what an evaluation calls."""
    trust = Trust(CALIBRATION)
    return {
        "Dice, IoU, precision, recall, accuracy": lambda it: [
            figure(it.mask, it.reference)
            for figure in (
                overlap.dice,
                overlap.iou,
                overlap.precision,
                overlap.recall,
                overlap.pixel_accuracy,
            )
        ],
        "HD": lambda it: hausdorff(it.mask, it.reference),
        "HD95": lambda it: hausdorff_95(it.mask, it.reference),
        "ASSD": lambda it: average_surface_distance(it.mask, it.reference),
        "NSD": lambda it: normalised_surface_dice(it.mask, it.reference, tolerance=2.0),
        "size error": lambda it: size_error(it.mask, it.reference),
        "all surface metrics": lambda it: score_surfaces(
            it.mask, it.reference, tolerance=TOLERANCE
        ),
        "candidates": lambda it: find_candidates(it.probability),
        "matching": lambda it: match_lesions(*find_candidates(it.probability), it.labels),
        "detection (both)": lambda it: score_detection(
            it.case, it.probability, threshold=0.5, group=it.case.case_id
        ),
        "reliability and guarantees": lambda it: trust.add(
            it.case.case_id,
            it.case.case_id,
            calibrated=it.probability,
            raw=CALIBRATION.apply(it.probability),
            reference=it.labels,
        ),
    }


def milliseconds(metric: Callable[[Drawn], object], images: Sequence[Drawn]) -> float:
    """Return the mean time per image; one image runs first to warm up."""
    metric(images[0])
    started = time.process_time()
    for image in images:
        metric(image)
    return 1000 * (time.process_time() - started) / len(images)


def main() -> None:
    """Measure and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--images", type=int, default=10, help="of each kind, drawn anew")
    given = parser.parse_args()
    kinds = ("one lesion", "three lesions, specks", "wavy", "noise")
    table = Table(title=f"One {given.size}x{given.size} image, one process: milliseconds")
    for heading in ("metric", *kinds):
        table.add_column(heading)
    drawn = {kind: [draw(kind, given.size, n) for n in range(given.images)] for kind in kinds}
    all_together = (
        "Dice, IoU, precision, recall, accuracy",
        "all surface metrics",
        "detection (both)",
        "reliability and guarantees",
    )
    totals = dict.fromkeys(kinds, 0.0)
    for name, metric in metrics().items():
        times = {kind: milliseconds(metric, drawn[kind]) for kind in kinds}
        table.add_row(name, *(f"{times[kind]:.2f}" for kind in kinds))
        if name in all_together:
            totals = {kind: totals[kind] + times[kind] for kind in kinds}
    table.add_row("all together", *(f"{totals[kind]:.2f}" for kind in kinds))
    seconds = {kind: totals[kind] * NUM_IMAGES / 1000 for kind in kinds}
    table.add_row(f"{NUM_IMAGES} images, seconds", *(f"{seconds[kind]:.1f}" for kind in kinds))
    Console(width=130).print(table)
    _print_summary(drawn["three lesions, specks"])


def _print_summary(images: Sequence[Drawn]) -> None:
    scored = [
        score_detection(image.case, image.probability, threshold=0.5, group="") for image in images
    ]
    scored = [
        replace(scored[number % len(scored)], case_id=str(number), group=str(number))
        for number in range(NUM_IMAGES)
    ]
    started = time.process_time()
    summary = summarise(scored)
    print(
        f"summarise() of {NUM_IMAGES} images in as many groups, {summary.num_lesions} lesions, "
        f"{summary.num_candidates} candidates, with all intervals: "
        f"{time.process_time() - started:.1f} s"
    )


if __name__ == "__main__":
    main()
