"""The one training loop, for both frameworks."""

import logging
import math
import time
from collections.abc import Sequence
from typing import Protocol

import numpy as np

from breastseg.backends.protocol import Backend
from breastseg.core.errors import HealthError
from breastseg.core.recipe import Recipe
from breastseg.networks.schedules import learning_rate
from breastseg.pipeline.batches import PreparedCase, epoch_batches
from breastseg.training.checkpoint import EpochRecord, Run, TrainingState

log = logging.getLogger(__name__)


class Listener(Protocol):
    """Someone who watches a training."""

    def step_done(self, *, epoch: int, step: int, num_steps: int, loss: float) -> None:
        """A step of an epoch (both from 1) is done."""

    def epoch_done(self, record: EpochRecord, *, is_best: bool) -> None:
        """An epoch is done, validated and saved."""


def fit(
    backend: Backend,
    training: Sequence[PreparedCase],
    validation: Sequence[PreparedCase],
    run: Run,
    listener: Listener,
) -> TrainingState:
    """Train until the recipe's last epoch, from wherever the run folder stands.

    After each epoch the run folder holds the last state and the weights of the epoch with the
    highest validation Dice. An interruption loses the epoch that it falls into, nothing else.

    Returns:
        The final state.

    Raises:
        HealthError: the loss or the logits are NaN or infinite; the last good checkpoint is kept.
    """
    recipe = run.recipe
    state = run.load_last(backend)
    best = max((record.validation_dice for record in state.history), default=-math.inf)
    while state.epoch < recipe.optimisation.epochs:
        started = time.monotonic()
        rate = learning_rate(
            recipe.optimisation, [record.validation_dice for record in state.history]
        )
        step, loss = _train_epoch(backend, training, recipe, state, rate, listener)
        try:
            dice, specificity = validate(backend, validation, recipe.optimisation.batch_size)
        except FloatingPointError as error:
            raise _burst(f"epoch {state.epoch + 1}: {error}", rate) from None
        record = EpochRecord(
            epoch=state.epoch + 1,
            loss=loss,
            validation_dice=dice,
            validation_specificity=specificity,
            learning_rate=rate,
            seconds=round(time.monotonic() - started, 2),
        )
        state = TrainingState(step=step, history=(*state.history, record))
        is_best = dice > best
        if is_best:
            best = dice
            run.save_best(backend.weights())
        run.save_last(backend, state)
        log.info(
            "epoch %d/%d: loss %.4f, validation Dice %.4f%s, %.0f s",
            *(record.epoch, recipe.optimisation.epochs, loss, dice),
            *(" (best)" if is_best and dice else "", record.seconds),
        )
        listener.epoch_done(record, is_best=is_best)
    return state


def _train_epoch(
    backend: Backend,
    training: Sequence[PreparedCase],
    recipe: Recipe,
    state: TrainingState,
    rate: float,
    listener: Listener,
) -> tuple[int, float]:
    """Return the number of steps so far and the mean loss of the epoch."""
    batch_size = min(recipe.optimisation.batch_size, len(training))
    num_steps = len(training) // batch_size
    batches = epoch_batches(
        training, recipe.augmentation, batch_size, seed=recipe.seed, epoch=state.epoch
    )
    losses = []
    for number, batch in enumerate(batches, start=1):
        loss = backend.train_step(batch, step=state.step + number, learning_rate=rate)
        if not math.isfinite(loss):
            where = f"epoch {state.epoch + 1}, step {number}"
            raise _burst(f"{where}: the loss must be finite, got {loss}", rate)
        losses.append(loss)
        listener.step_done(epoch=state.epoch + 1, step=number, num_steps=num_steps, loss=loss)
    return state.step + len(losses), float(np.mean(losses))


def _burst(what: str, rate: float) -> HealthError:
    return HealthError(
        f"{what}. The learning rate {rate:g} is probably too high: try a tenth of it "
        f"(--set optimisation.learning_rate={rate / 10:g}). The checkpoint of the last whole "
        "epoch, if there was one, is kept."
    )


def validate(
    backend: Backend, cases: Sequence[PreparedCase], batch_size: int
) -> tuple[float, float | None]:
    """Score at the network's resolution, probability cut at 0.5.

    Returns:
        Mean Dice of the lesion images, 0 where there are none; and the share of lesion-free
        images without a finding, None where there are none.

    Raises:
        FloatingPointError: a logit is not finite. The loss of a step is taken before it, so
            that weights which burst in the last step of an epoch show here first.
    """
    dice, clean = [], []
    for start in range(0, len(cases), batch_size):
        chunk = cases[start : start + batch_size]
        logits = backend.predict_logits(np.stack([case.image for case in chunk])[:, None])
        if not np.isfinite(logits).all():
            raise FloatingPointError("the network's logits must be finite, found NaN or infinity")
        for case, found in zip(chunk, logits[:, 0] > 0, strict=True):
            if case.target.any():
                overlap = np.count_nonzero(found & case.target)
                total = np.count_nonzero(found) + np.count_nonzero(case.target)
                dice.append(2 * overlap / total)
            else:
                clean.append(not found.any())
    return float(np.mean(dice)) if dice else 0.0, float(np.mean(clean)) if clean else None
