"""How much the score that a search was won with flatters: the selection gap."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from breastseg.evaluation.case_score import CaseScore
from breastseg.evaluation.confidence import Interval, bootstrap_interval, difference_of_means
from breastseg.evaluation.scorecard import Estimate


@dataclass(frozen=True, slots=True, kw_only=True)
class SelectionGap:
    """Dice on the images that a choice was made on, and on images that it never saw.

    gap: validation minus test; above 0 where the choice flatters.
    interval: of the gap, 95 %, over the groups of both; None with one group on either side.
    """

    validation: Estimate
    test: Estimate
    gap: float
    interval: Interval | None


def selection_gap(
    validation: Sequence[Sequence[CaseScore]], test: Sequence[Sequence[CaseScore]]
) -> SelectionGap | None:
    """Return the gap of a model that was trained once or several times.

    Args:
        validation, test: the scores of each training; an image that several were scored on
            counts once, with its mean.

    Returns:
        None where either side has no image with a lesion: its Dice is not defined.
    """
    sides = [_per_image(validation), _per_image(test)]
    if not all(values for values, _ in sides):
        return None
    gap, interval = difference_of_means(*sides[0], *sides[1])
    estimates = [_estimate(values, groups) for values, groups in sides]
    return SelectionGap(validation=estimates[0], test=estimates[1], gap=gap, interval=interval)


def _per_image(runs: Sequence[Sequence[CaseScore]]) -> tuple[list[float], list[str]]:
    dice: dict[str, list[float]] = defaultdict(list)
    groups: dict[str, str] = {}
    for score in (score for run in runs for score in run):
        if score.dice is not None:
            dice[score.case_id].append(score.dice)
            groups[score.case_id] = score.group
    return [float(np.mean(each)) for each in dice.values()], list(groups.values())


def _estimate(values: Sequence[float], groups: Sequence[str]) -> Estimate:
    return Estimate(
        value=float(np.mean(values)),
        interval=bootstrap_interval(values, groups),
        num_images=len(values),
    )
