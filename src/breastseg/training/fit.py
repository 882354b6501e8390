"""The one training loop, for both frameworks."""

import functools
import itertools
import logging
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from jaxtyping import Float32

from breastseg.backends.protocol import Backend
from breastseg.core.errors import HealthError
from breastseg.core.network_recipe import UNLABELLED
from breastseg.core.recipe import Recipe
from breastseg.evaluation.classification import malignant_auc
from breastseg.networks.classification import class_cross_entropy
from breastseg.networks.losses import needs_distance, signed_distance
from breastseg.networks.output import ClassLogits, Logits
from breastseg.networks.schedules import is_over, learning_rate
from breastseg.networks.spec import weight_table
from breastseg.pipeline.batches import Batching, Images
from breastseg.pipeline.case_sets import TrainingSet, ValidationSet
from breastseg.pipeline.workers import BatchSource
from breastseg.training import health
from breastseg.training.averaging import WeightAverage
from breastseg.training.begun_from import weights_at_start
from breastseg.training.checkpoint import Run
from breastseg.training.range_test import NUM_STEPS, propose_learning_rate
from breastseg.training.state import EpochRecord, TrainingState

log = logging.getLogger(__name__)

Array = Float32[np.ndarray, "..."]

TRAINING_DICE_EVERY = 5
"""Epochs between two looks at training images: they cost time and show only overfitting."""


class Listener(Protocol):
    """Someone who watches a training."""

    def step_done(self, *, epoch: int, step: int, num_steps: int, loss: float) -> None:
        """A step of an epoch (both from 1) is done."""

    def epoch_done(self, record: EpochRecord, *, is_best: bool) -> None:
        """An epoch is done, validated and saved."""


Onlooker = Callable[[int, int, Logits], None]
"""Told what the network makes of the validation part: the epoch, the number (from 0) of the
first case of a batch, and the batch's logits."""


def fit(
    backend: Backend,
    training: TrainingSet,
    validation: ValidationSet,
    run: Run,
    listener: Listener,
    onlooker: Onlooker | None = None,
    *,
    workers: int = 0,
) -> TrainingState:
    """Train until the recipe's last epoch, from wherever the run folder stands.

    After each epoch the run folder holds the last state and the weights of the epoch with the
    highest validation Dice. An interruption loses the epoch that it falls into, nothing else.

    Args:
        workers: processes that make the batches, or 0 for a thread; the result is the same.

    Returns:
        The final state.

    Raises:
        WorkerError: such a process died.
        HealthError: the training cannot succeed, see training.health; the last good checkpoint
            is kept.
    """
    state = run.load_last(backend)
    if is_over(run.recipe.optimisation, state.dice):
        return state
    with BatchSource(training, batching_of(run.recipe), workers=workers) as batches:
        loop = _Loop(backend, training, validation, batches, run, listener, onlooker, state)
        loop.inspect_cases()
        while not is_over(run.recipe.optimisation, state.dice):
            state = loop.epoch(state)
    if state.epoch < run.recipe.optimisation.epochs:
        log.info("stopped early: no higher validation Dice since epoch %d", state.best_epoch)
    return state


def batching_of(recipe: Recipe) -> Batching:
    """Return how a recipe makes batches."""
    return Batching(
        augmentation=recipe.augmentation,
        batch_size=recipe.optimisation.batch_size,
        seed=recipe.seed,
        sampling=recipe.optimisation.sampling,
        distance_of=signed_distance if needs_distance(recipe.loss) else None,
        labelled=bool(recipe.network.classes),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Trained:
    """What the steps of an epoch led to. loss: their mean. change: largest of any weight."""

    step: int
    loss: float
    weights: Mapping[str, Array]
    change: float


class _Loop:
    """What the epochs of one training share."""

    def __init__(
        self,
        backend: Backend,
        training: TrainingSet,
        validation: ValidationSet,
        batches: BatchSource,
        run: Run,
        listener: Listener,
        onlooker: Onlooker | None,
        state: TrainingState,
    ) -> None:
        self._backend, self._training, self._validation = backend, training, validation
        self._batches = batches
        self._run, self._recipe = run, run.recipe
        self._listener, self._onlooker = listener, onlooker
        self._watch = health.LossWatch(state.history[0].loss if state.history else None)
        self._average: WeightAverage | None = None
        if decay := run.recipe.optimisation.ema_decay:
            self._average = WeightAverage(decay, run.load_average() or backend.weights())

    def inspect_cases(self) -> None:
        """Tell what is wrong with the images before the first step."""
        for finding in health.inspect_cases(
            self._recipe, self._training.cases, self._validation.cases
        ):
            self._tell(finding, "before the first step", self._recipe.optimisation.learning_rate)

    def epoch(self, state: TrainingState) -> TrainingState:
        """Train, validate, save and judge one more epoch."""
        started = time.monotonic()
        rate = learning_rate(self._recipe.optimisation, state.dice)
        trained = self._train(state, rate)
        found, training_dice = self._look(state.epoch + 1, trained, rate)
        record = EpochRecord(
            epoch=state.epoch + 1,
            loss=trained.loss,
            validation_dice=found.dice,
            validation_specificity=found.specificity,
            learning_rate=rate,
            seconds=round(time.monotonic() - started, 2),
            lowest_logit=found.lowest_logit,
            highest_logit=found.highest_logit,
            weight_change=trained.change,
            training_dice=training_dice,
            validation_class_loss=found.class_loss,
            validation_malignant_auc=found.malignant_auc,
        )
        is_best = found.dice > max(state.dice, default=-math.inf)
        state = TrainingState(step=trained.step, history=(*state.history, record))
        self._save(state, trained.weights, is_best=is_best)
        self._judge(state)
        return state

    def _train(self, state: TrainingState, rate: float) -> _Trained:
        """Take the steps of an epoch."""
        before, losses = self._backend.weights(), []
        batch_size = min(self._recipe.optimisation.batch_size, len(self._training))
        num_steps = len(self._training) // batch_size
        epoch = state.epoch + 1
        for number, batch in enumerate(self._batches.epoch(state.epoch), start=1):
            step = state.step + number
            loss = self._backend.train_step(batch, step=step, learning_rate=rate)
            if (finding := self._watch(loss)) is not None:
                self._tell(finding, f"epoch {epoch}, step {number}", rate)
            if self._average is not None:
                self._average.update(self._backend.weights(), step=step)
            losses.append(loss)
            self._listener.step_done(epoch=epoch, step=number, num_steps=num_steps, loss=loss)
        weights = self._backend.weights()
        names = [weight.name for weight in weight_table(self._recipe.network) if weight.trained]
        changes = [np.abs(weights[name] - before[name]).max() for name in names]
        return _Trained(
            step=state.step + len(losses),
            loss=float(np.mean(losses)),
            weights=weights,
            change=float(np.max(changes)),
        )

    def _look(
        self, epoch: int, trained: _Trained, rate: float
    ) -> tuple["Validation", float | None]:
        """Validate the averaged weights, or the last where there is no average."""
        batch_size = self._recipe.optimisation.batch_size
        some = self._training.some(len(self._validation.cases))
        show = self._onlooker and functools.partial(self._onlooker, epoch)
        try:
            if not math.isfinite(trained.change):
                raise FloatingPointError
            if self._average is not None:
                self._backend.load_weights(self._average.weights)
            classes = self._recipe.network.classes
            found = validate(self._backend, self._validation, batch_size, show, classes=classes)
            training_dice = None
            if epoch % TRAINING_DICE_EVERY == 0:
                training_dice = validate(self._backend, some, batch_size).dice
        except FloatingPointError:
            self._tell(health.logits_not_finite(), f"epoch {epoch}", rate)
            raise
        if self._average is not None:
            self._backend.load_weights(trained.weights)
        return found, training_dice

    def _save(self, state: TrainingState, weights: Mapping[str, Array], *, is_best: bool) -> None:
        record = state.history[-1]
        average = None if self._average is None else self._average.weights
        if is_best:
            self._run.save_best(average or weights)
        self._run.save_last(self._backend, state, average)
        log.info(
            "epoch %d/%d: loss %.4f, validation Dice %.4f%s%s, %.0f s",
            *(record.epoch, self._recipe.optimisation.epochs, record.loss, record.validation_dice),
            *(" (best)" if is_best and record.validation_dice else "", _classes_told(record)),
            record.seconds,
        )
        self._listener.epoch_done(record, is_best=is_best)

    def _judge(self, state: TrainingState) -> None:
        """Tell what is wrong with the course so far; it is saved already."""
        course = health.Course(
            recipe=self._recipe,
            history=state.history,
            lesions_in_validation=any(case.lesion_size for case in self._validation.cases),
        )
        for finding in health.judge(course):
            self._tell(finding, f"epoch {state.epoch}", state.history[-1].learning_rate)

    def _tell(self, finding: health.Finding, where: str, rate: float) -> None:
        """Stop the training with a cause and a fix, or warn.

        Raises:
            HealthError: the finding stops a training and the recipe lets it.
        """
        if not finding.stops or (self._recipe.health == "warn" and not finding.always):
            log.warning("%s: %s. %s", where, finding.cause, finding.fix)
            return
        fix = self._proposal(finding, rate) if finding.suspect_rate else finding.fix
        raise HealthError(f"{where}: {finding.cause}. {fix} The last good checkpoint is kept.")

    def _proposal(self, finding: health.Finding, rate: float) -> str:
        """Ask a range test for a learning rate; the weights of the backend are lost by it."""
        log.info("looking for a better learning rate")
        batches = itertools.chain.from_iterable(map(self._batches.epoch, itertools.count()))
        weights = weights_at_start(self._run)
        chosen = propose_learning_rate(self._backend, itertools.islice(batches, NUM_STEPS), weights)
        if chosen is not None and not rate / 2 <= chosen <= 2 * rate:
            return (
                f"A range test from fresh weights proposes {chosen:g} instead of the learning rate "
                f"{rate:g} (--set optimisation.learning_rate={chosen:g})."
            )
        return finding.fix or (
            f"The learning rate {rate:g} is probably too high: try a tenth of it "
            f"(--set optimisation.learning_rate={rate / 10:g})."
        )


def _classes_told(record: EpochRecord) -> str:
    """Say how well the classes of whole images are told, for the log."""
    if record.validation_class_loss is None:
        return ""
    auc = record.validation_malignant_auc
    told = "" if auc is None else f", AUC malignant against benign {auc:.3f}"
    return f", class loss {record.validation_class_loss:.3f}{told}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Validation:
    """What a network finds at its own resolution, probability cut at 0.5.

    dice: mean over the lesion images, 0 where there are none. specificity: share of the
    lesion-free images without a finding; None where there are none.
    class_loss, malignant_auc: see EpochRecord.
    """

    dice: float
    specificity: float | None
    lowest_logit: float
    highest_logit: float
    class_loss: float | None = None
    malignant_auc: float | None = None


class _ToldClasses:
    """Gathers the logits of the classes while validation cases are predicted in their order."""

    def __init__(self, backend: Backend, cases: ValidationSet) -> None:
        self._backend, self._cases = backend, cases
        self._logits: list[ClassLogits] = []

    def predict(self, images: Images) -> Logits:
        """Predict as Backend.predict_logits does."""
        found = self._backend.predict(images)
        if found.class_logits is not None:
            self._logits.append(found.class_logits)
        return found.logits

    def figures(self, names: Sequence[str]) -> dict[str, float | None]:
        """Return class_loss and malignant_auc of a Validation.

        Raises:
            FloatingPointError: a logit is not finite.
        """
        labels = np.array([case.label for case in self._cases.cases], np.int64)
        known = labels != UNLABELLED
        if not known.any():
            return {}
        logits, labels = np.concatenate(self._logits)[known].astype(np.float64), labels[known]
        if not np.isfinite(logits).all():
            raise FloatingPointError("the class logits must be finite, found NaN or infinity")
        return {
            "class_loss": class_cross_entropy(logits, labels),
            "malignant_auc": malignant_auc(logits, labels, names),
        }


def validate(
    backend: Backend,
    cases: ValidationSet,
    batch_size: int,
    show: Callable[[int, Logits], None] | None = None,
    *,
    classes: Sequence[str] = (),
) -> Validation:
    """Score a network on cases.

    Args:
        show: called with the number of the first case and the logits of each batch.
        classes: of whole images, that the network tells.

    Raises:
        FloatingPointError: a logit is not finite. The loss of a step is taken before it, so
            that weights which burst in the last step of an epoch show here first.
    """
    dice, clean, lowest, highest = [], [], math.inf, -math.inf
    told = _ToldClasses(backend, cases)
    for look in cases.looks(told.predict if classes else backend.predict_logits, batch_size):
        asked = look.logits if look.inside is None else look.logits[:, 0][look.inside]
        if not np.isfinite(asked).all():
            raise FloatingPointError("the network's logits must be finite, found NaN or infinity")
        if show is not None:
            show(look.first, look.logits)
        lowest, highest = min(lowest, float(asked.min())), max(highest, float(asked.max()))
        for target, found in zip(look.targets, look.logits[:, 0] > 0, strict=True):
            if target.any():
                overlap = np.count_nonzero(found & target)
                dice.append(2 * overlap / (np.count_nonzero(found) + np.count_nonzero(target)))
            else:
                clean.append(not found.any())
    return Validation(
        dice=float(np.mean(dice)) if dice else 0.0,
        specificity=float(np.mean(clean)) if clean else None,
        lowest_logit=lowest,
        highest_logit=highest,
        **(told.figures(classes) if classes else {}),
    )
