"""What a network in 8 bits finds, and how fast, beside the float network that it was made from."""

import os
import platform
import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from breastseg.datasets.cases import CaseFiles, read_case
from breastseg.evaluation.overlap import dice
from breastseg.inference.runtime import Precision, Runtime
from breastseg.inference.segment import Prediction, Segmenter
from breastseg.networks.output import Images
from breastseg.workflows.progress import Reading

NUM_REPEATS = 21


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """Two networks on the same images: float first, 8 bits second.

    dice: mean over the images with a lesion, at the run's operating threshold and the images'
    resolution. largest_fall: of one image's Dice. findings: in all images without a lesion.
    num_same_class: images whose most probable class is the same; None where none is told.
    """

    num_lesion_images: int
    dice: tuple[float, float]
    largest_fall: float
    num_lesion_free_images: int
    findings: tuple[int, int]
    num_same_class: int | None

    @property
    def fall(self) -> float:
        """How much lower the mean Dice is in 8 bits; below 0 where it is higher."""
        return self.dice[0] - self.dice[1]

    def to_document(self) -> dict[str, Any]:
        """Return plain values by name."""
        return {
            "num_lesion_images": self.num_lesion_images,
            "dice_float32": round(self.dice[0], 4),
            "dice_int8": round(self.dice[1], 4),
            "largest_fall": round(self.largest_fall, 4),
            "num_lesion_free_images": self.num_lesion_free_images,
            "findings_float32": self.findings[0],
            "findings_int8": self.findings[1],
            "num_same_class": self.num_same_class,
        }


def compare_on(
    cases: Sequence[CaseFiles],
    networks: tuple[Segmenter, Segmenter],
    *,
    threshold: float,
    reading: Reading,
) -> Agreement:
    """Predict images by two networks, alike in all else.

    Args:
        cases: with references; at least one has a lesion.
        networks: the float one, and that in 8 bits.
        threshold: operating threshold in (0, 1].
        reading: told of the progress.

    Raises:
        ImageFileError, ReferenceMaskError, GeometryError: the data.
    """
    scores: list[tuple[float, float]] = []
    findings: list[tuple[int, int]] = []
    same_class: list[bool] = []
    for done, files in enumerate(cases, start=1):
        case = read_case(files)
        assert case.reference is not None
        found = [each.predict(files.case_id, case.image, threshold) for each in networks]
        values = [dice(each.mask, case.reference > 0) for each in found]
        if None in values:
            findings.append((len(found[0].lesions), len(found[1].lesions)))
        else:
            scores.append((values[0] or 0.0, values[1] or 0.0))
        if found[0].classes:
            same_class.append(_class_of(found[0]) == _class_of(found[1]))
        reading("Comparing", done, len(cases))
    before, after = zip(*scores, strict=True)
    return Agreement(
        num_lesion_images=len(scores),
        dice=(statistics.fmean(before), statistics.fmean(after)),
        largest_fall=max(0.0, *(one - other for one, other in scores)),
        num_lesion_free_images=len(findings),
        findings=(sum(one for one, _ in findings), sum(other for _, other in findings)),
        num_same_class=sum(same_class) if same_class else None,
    )


def _class_of(found: Prediction) -> str:
    return max(found.classes, key=lambda name: found.classes[name])


def speed_of(
    networks: Mapping[Precision, Runtime], image: Images, *, threads: int | None
) -> dict[str, Any]:
    """Return how long each network needs for one image, in turns; the median in milliseconds.

    Args:
        networks: by precision.
        image: one, prepared.
        threads: that the networks were opened with, to be told.
    """
    seconds: dict[Precision, list[float]] = {name: [] for name in networks}
    for _ in range(NUM_REPEATS + 1):
        for name, network in networks.items():
            started = time.perf_counter()
            network.predict(image)
            seconds[name].append(time.perf_counter() - started)
    # The first round warms up.
    medians = {name: 1000 * float(np.median(each[1:])) for name, each in seconds.items()}
    return {
        "milliseconds": {name: round(value, 2) for name, value in medians.items()},
        "size": list(image.shape[2:]),
        "repeats": NUM_REPEATS,
        "threads": threads or os.cpu_count(),
        "processor": platform.processor() or platform.machine(),
    }
