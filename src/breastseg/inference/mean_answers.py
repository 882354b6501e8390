"""What several networks say of one image together: the mean of their calibrated probabilities."""

import statistics
from collections.abc import Sequence

import numpy as np

from breastseg.core.calibration import ClassProbability
from breastseg.core.image import Pixels
from breastseg.inference.segment import ImageAnswer


def mean_probability(answers: Sequence[ImageAnswer]) -> Pixels:
    """Return the mean of the calibrated lesion probabilities of several networks."""
    return mean_map([answer.probability() for answer in answers])


def mean_maps(answers: Sequence[ImageAnswer]) -> tuple[Pixels, Pixels]:
    """Return the mean lesion probability of several networks, after and before temperatures."""
    calibrated, raw = zip(*(answer.maps() for answer in answers), strict=True)
    return mean_map(calibrated), mean_map(raw)


def mean_classes(answers: Sequence[ImageAnswer]) -> ClassProbability:
    """Return the mean probability of each class of the image; empty where none is told."""
    told = [answer.classes for answer in answers]
    return {name: statistics.fmean(each[name] for each in told) for name in told[0]}


def mean_map(maps: Sequence[Pixels]) -> Pixels:
    """Return the mean of maps of one image."""
    return maps[0] if len(maps) == 1 else np.asarray(np.mean(maps, axis=0), np.float32)
