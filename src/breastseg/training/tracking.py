"""What a training shows in TensorBoard: numbers of each epoch and step, and pictures."""

import functools
import logging
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict

import numpy as np
from scipy.special import expit

from breastseg.core.errors import MissingExtraError
from breastseg.networks.output import Logits
from breastseg.pipeline.case_sets import PreparedImage, ValidationSet
from breastseg.report.overlays import triptych_png
from breastseg.training.checkpoint import Run
from breastseg.training.events import EventFolder
from breastseg.training.fit import Listener
from breastseg.training.state import EpochRecord

log = logging.getLogger(__name__)

FOLDER_NAME = "tensorboard"
NUM_LESIONS = 3
NUM_ROUNDS = 10
"""How often in a training pictures are drawn: as many as TensorBoard shows of one tag."""


class Tracker:
    """Notes a training in the folder tensorboard of its run; a Listener, with an Onlooker.

    Tags are the fields of metrics.jsonl as `epoch/FIELD`, the loss of each step as `step/loss`,
    and pictures of some validation cases as `validation/CASE`, drawn from the logits that the
    validation has made. Everything of an epoch is written when the epoch is saved, so that what
    a kill loses was never shown. Without tensorboard, or on a full disk, training goes on.

    Args:
        run: what it holds already is noted first, where the events lack it: the training may
            have been killed between the two, or begun without tensorboard.
        names: the case ids of the validation part.
        validation: its cases in the same order.
    """

    def __init__(self, run: Run, names: Sequence[str], validation: ValidationSet) -> None:
        self._epochs, self._validation = run.recipe.optimisation.epochs, validation
        self._shown = {place: names[place] for place in choose_cases(validation.cases)}
        self._losses: list[tuple[int, float, float]] = []
        self._logits: dict[int, np.ndarray] = {}
        self._events = _open(run)
        self._write(lambda events: _catch_up(events, run))

    def step_done(self, *, epoch: int, step: int, num_steps: int, loss: float) -> None:
        """See Listener.step_done."""
        self._losses.append(((epoch - 1) * num_steps + step, loss, time.time()))

    def validated(self, epoch: int, first: int, logits: Logits) -> None:
        """See Onlooker."""
        if self._events is not None and is_shown(epoch, self._epochs):
            for place in self._shown.keys() & range(first, first + len(logits)):
                plane = self._validation.plane(place, logits[place - first, 0])
                self._logits[place] = plane.copy()

    def epoch_done(self, record: EpochRecord, *, is_best: bool) -> None:
        """See Listener.epoch_done."""
        self._write(lambda events: self._add_epoch(events, record))
        self._losses.clear()
        self._logits.clear()

    def _add_epoch(self, events: EventFolder, record: EpochRecord) -> None:
        steps = [events.figures(step, {"step/loss": loss}, at) for step, loss, at in self._losses]
        pictures = {
            f"validation/{name}": self._picture(place)
            for place, name in self._shown.items()
            if place in self._logits
        }
        shown = [events.pictures(record.epoch, pictures)] if pictures else []
        # The epoch's own numbers come last: where they stand, all of the epoch stands.
        events.add([*steps, *shown, events.figures(record.epoch, figures_of(record))])

    def _picture(self, place: int) -> bytes:
        image, target = self._validation.picture(place)
        logits = self._logits[place]
        probability = expit(logits.astype(np.float32))
        return triptych_png(image, probability, logits > 0, target)

    def _write(self, write: Callable[[EventFolder], None]) -> None:
        if self._events is None:
            return
        try:
            write(self._events)
        except OSError as error:
            log.warning("TensorBoard's events are no longer written: %s", error)
            self._events = None


class Listeners:
    """Tells several listeners of a training, in their order; one may raise to stop it."""

    def __init__(self, *listeners: Listener) -> None:
        self._listeners = listeners

    def step_done(self, *, epoch: int, step: int, num_steps: int, loss: float) -> None:
        """See Listener.step_done."""
        for each in self._listeners:
            each.step_done(epoch=epoch, step=step, num_steps=num_steps, loss=loss)

    def epoch_done(self, record: EpochRecord, *, is_best: bool) -> None:
        """See Listener.epoch_done."""
        for each in self._listeners:
            each.epoch_done(record, is_best=is_best)


def figures_of(record: EpochRecord) -> dict[str, float]:
    """Return the numbers of an epoch by tag; what was not measured is left out."""
    values = asdict(record)
    del values["epoch"]
    return {f"epoch/{name}": value for name, value in values.items() if value is not None}


def choose_cases(cases: Sequence[PreparedImage]) -> list[int]:
    """Return which cases are drawn: three by the rank of their lesions' size, one without.

    The ranks are those in the middle of each third, so that the extremes do not stand for all.
    """
    sizes = [(case.lesion_size, place) for place, case in enumerate(cases)]
    lesions = [place for size, place in sorted(sizes) if size]
    middles = {(2 * each + 1) * len(lesions) // (2 * NUM_LESIONS) for each in range(NUM_LESIONS)}
    clean = [place for size, place in sizes if not size]
    return [lesions[rank] for rank in sorted(middles) if lesions] + clean[:1]


def is_shown(epoch: int, epochs: int) -> bool:
    """Whether pictures are drawn behind an epoch: the first, the last, and evenly between."""
    every = math.ceil(epochs / (NUM_ROUNDS - 1))
    return epoch in (1, epochs) or epoch % every == 0


def _open(run: Run) -> EventFolder | None:
    try:
        return EventFolder(run.path / FOLDER_NAME)
    except MissingExtraError as error:
        _say_once(str(error))
        return None


@functools.cache
def _say_once(why: str) -> None:
    log.info("TensorBoard's events are not written: %s", why)


def _catch_up(events: EventFolder, run: Run) -> None:
    """Bring the events to where the run stands; events of another course are removed.

    Only what follows can be added: behind a lower step, TensorBoard forgets the higher ones.
    """
    history = run.state().history
    noted = events.scalars("epoch/loss")
    expected = {record.epoch: float(np.float32(record.loss)) for record in history[: len(noted)]}
    if not noted or noted != expected:
        events.clear()
        noted = {}
        recipe = events.text("recipe", f"```json\n{run.recipe.to_json()}\n```")
        events.add([recipe])
    missing = history[len(noted) :]
    if missing:
        events.add(events.figures(record.epoch, figures_of(record)) for record in missing)
