"""Learning rates and the end of a run as plain functions of what has happened.

Shared by both frameworks. All depend on the history alone, so that a resumed run goes on alike.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

from breastseg.core.recipe import Optimisation, Schedule

History = Sequence[float]


def learning_rate(optimisation: Optimisation, history: History) -> float:
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
    return _SCHEDULES[schedule.name](optimisation, history)


def _constant(optimisation: Optimisation, history: History) -> float:
    return optimisation.learning_rate


def _plateau(optimisation: Optimisation, history: History) -> float:
    schedule = optimisation.schedule
    reduced = optimisation.learning_rate * schedule.factor ** num_reductions(schedule, history)
    return max(reduced, schedule.minimum)


def _cosine(optimisation: Optimisation, history: History) -> float:
    """Half a cosine. Source: Loshchilov & Hutter 2017 (SGDR), eq. 5, without restarts."""
    start, minimum = optimisation.learning_rate, optimisation.schedule.minimum
    return (
        minimum + (start - minimum) * (1 + math.cos(math.pi * _progress(optimisation, history))) / 2
    )


def _polynomial(optimisation: Optimisation, history: History) -> float:
    """The "poly" policy. Source: Chen et al. 2018 (DeepLab), section 4.1; nnU-Net's schedule."""
    start, minimum = optimisation.learning_rate, optimisation.schedule.minimum
    left = 1 - _progress(optimisation, history)
    return minimum + (start - minimum) * math.pow(left, optimisation.schedule.power)


def _one_cycle(optimisation: Optimisation, history: History) -> float:
    """Up and down by half cosines; the momentum stays as it is.

    Source: Smith & Topin 2018 (Super-Convergence), with the phases of torch's OneCycleLR.
    """
    schedule, peak_rate = optimisation.schedule, optimisation.learning_rate
    last = optimisation.epochs - 1
    epoch, peak = min(len(history), last), max(0.0, schedule.rise * optimisation.epochs - 1)
    if epoch < peak:
        return _half_cosine(peak_rate / schedule.divisor, peak_rate, epoch / peak)
    if last <= peak:
        return peak_rate
    return _half_cosine(peak_rate, schedule.minimum, (epoch - peak) / (last - peak))


def _half_cosine(start: float, end: float, progress: float) -> float:
    return end + (start - end) * (1 + math.cos(math.pi * progress)) / 2


def _progress(optimisation: Optimisation, history: History) -> float:
    """Return the share of the run behind the warm-up that is over."""
    warmup = optimisation.schedule.warmup_epochs
    steps = max(1, optimisation.epochs - warmup)
    return min(1.0, (len(history) - warmup) / steps)


_SCHEDULES: Mapping[str, Callable[[Optimisation, History], float]] = MappingProxyType(
    {
        "constant": _constant,
        "plateau": _plateau,
        "cosine": _cosine,
        "polynomial": _polynomial,
        "one-cycle": _one_cycle,
    }
)


def num_reductions(schedule: Schedule, history: History) -> int:
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


def is_over(optimisation: Optimisation, history: History) -> bool:
    """Whether a run has done its epochs, or has waited in vain for a higher validation Dice.

    Early stopping counts from the first epoch whose Dice is above 0: many a healthy network
    finds nothing in its first epochs. One that never does is a matter for training.health.

    >>> patient = Optimisation(early_stopping=2)
    >>> [is_over(patient, history) for history in ([0.0] * 5, [0.1, 0.1], [0.1, 0.1, 0.0])]
    [False, False, True]
    """
    if len(history) >= optimisation.epochs:
        return True
    best = max(history, default=0.0)
    if optimisation.early_stopping is None or best == 0:
        return False
    return len(history) - 1 - list(history).index(best) >= optimisation.early_stopping
