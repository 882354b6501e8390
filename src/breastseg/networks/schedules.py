"""Learning rates as plain functions of what has happened; shared by both frameworks."""

import math
from collections.abc import Sequence

from breastseg.core.recipe import Optimisation, Schedule


def learning_rate(optimisation: Optimisation, history: Sequence[float]) -> float:
    """Return the learning rate of the epoch that follows a history.

    Args:
        optimisation: start value, number of epochs and schedule.
        history: validation Dice of each epoch so far; its length is the epoch to come.

    Returns:
        A rate above 0.

    >>> constant = Optimisation(learning_rate=0.5, schedule=Schedule(name="constant"))
    >>> learning_rate(constant, [0.1, 0.2])
    0.5
    """
    schedule, start, epoch = optimisation.schedule, optimisation.learning_rate, len(history)
    if epoch < schedule.warmup_epochs:
        return start * (epoch + 1) / (schedule.warmup_epochs + 1)
    if schedule.name == "plateau":
        return max(start * schedule.factor ** num_reductions(schedule, history), schedule.minimum)
    if schedule.name == "cosine":
        steps = max(1, optimisation.epochs - schedule.warmup_epochs)
        progress = min(1.0, (epoch - schedule.warmup_epochs) / steps)
        span = start - schedule.minimum
        return schedule.minimum + span * (1 + math.cos(math.pi * progress)) / 2
    return start


def num_reductions(schedule: Schedule, history: Sequence[float]) -> int:
    """Count the plateaus in a history of a metric that should rise.

    A plateau is `patience` epochs in a row without a value above the best by more than
    `threshold`; after each the count begins anew.

    >>> num_reductions(Schedule(patience=2), [0.5, 0.4, 0.3, 0.5, 0.2])
    2
    """
    best, waited, reductions = -math.inf, 0, 0
    for metric in history:
        if metric > best + schedule.threshold:
            best, waited = metric, 0
        else:
            waited += 1
        if waited >= schedule.patience:
            reductions, waited = reductions + 1, 0
    return reductions
