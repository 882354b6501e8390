"""Whether a training can still succeed; if not, why, and what to change.

Each check is a function. Those of the course of a training look at the epochs so far and at
nothing else, so that a resumed run is judged as an uninterrupted one. The mistakes that they
look for were all made in practice, and no check calls a network sick that merely learns
slowly: a healthy small network may find nothing in its first ten epochs.
"""

import itertools
import math
import statistics
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from scipy.special import expit

from breastseg.core.recipe import Recipe
from breastseg.pipeline.case_sets import PreparedImage
from breastseg.training.state import EpochRecord

SAME_EPOCHS = 5
"""Epochs in a row before a constant prediction or an unmoved loss is called so."""
SIGMOID_EPOCHS = 3
LEAST_SPREAD = 1e-3
"""Probabilities that differ by less, over all pixels of all images, are one constant."""
LEAST_MOVE = 1e-3
"""A loss that stays this near to its first value, relative to it, has not moved."""
LEAST_FALL = 0.01
BACKGROUND_EPOCHS = 20
BURST = 3.0
EXPLOSION = 100.0
BURST_STEPS = 5
GAP = 0.3
"""Training Dice above validation Dice by more: the two are far apart."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What is wrong with a training.

    cause: in words, with what was found. fix: what to change. stops: whether going on is of no
    use. suspect_rate: the learning rate may be the cause, so that a range test is worth its
    time; the fix is then what is said if it proposes none, and a lower rate if it is empty.
    always: it stops even if the recipe says that health checks shall only warn.
    """

    cause: str
    fix: str = ""
    stops: bool = True
    suspect_rate: bool = False
    always: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Course:
    """A training so far. history: at least one epoch."""

    recipe: Recipe
    history: Sequence[EpochRecord]
    lesions_in_validation: bool = True

    @property
    def before(self) -> "Course":
        """The same without its last epoch."""
        return Course(
            recipe=self.recipe,
            history=self.history[:-1],
            lesions_in_validation=self.lesions_in_validation,
        )


Check = Callable[[Course], Finding | None]


# --- the loss of each step --------------------------------------------------------------------


class LossWatch:
    """Judges each step's loss: not finite, or far above where the training began.

    The median of the last 5 steps must stay within three times the first loss, so that one
    hard batch is no burst, and each step within a hundred times, which no batch alone is worth.
    The first loss counts as 1 at least: weighted sums may begin near 0. A loss that is bounded
    (Dice) cannot burst; a network destroyed under it shows as a constant prediction.

    Args:
        start: what the loss began with, for a run that is resumed.
    """

    def __init__(self, start: float | None = None) -> None:
        self._start = start
        self._recent: deque[float] = deque(maxlen=BURST_STEPS)
        self._told = False

    def __call__(self, loss: float) -> Finding | None:
        """Return what is wrong behind one more step; a risen loss is told once."""
        if not math.isfinite(loss):
            cause = f"the loss must be finite, got {loss}"
            return Finding(cause=cause, suspect_rate=True, always=True)
        self._start = loss if self._start is None else self._start
        self._recent.append(loss)
        if self._told or not self._has_burst(loss):
            return None
        self._told = True
        worst = max(self._recent)
        cause = f"the loss began at {self._start:.3g} and has risen to {worst:.3g}"
        return Finding(cause=cause, suspect_rate=True)

    def _has_burst(self, loss: float) -> bool:
        assert self._start is not None
        if rises(self._start, loss, EXPLOSION):
            return True
        whole = len(self._recent) == BURST_STEPS
        return whole and rises(self._start, statistics.median(self._recent), BURST)


def rises(start: float, now: float, times: float) -> bool:
    """Whether a loss has risen to that many times its start, which counts as 1 at least.

    >>> rises(1.5, 4.6, 3), rises(0.1, 2.0, 3), rises(-2.0, 1.9, 3)
    (True, False, False)
    """
    return now - start > (times - 1) * max(1.0, abs(start))


def logits_not_finite() -> Finding:
    """The weights burst in the last step of an epoch: its loss was taken before it."""
    cause = "the network's logits must be finite, found NaN or infinity"
    return Finding(cause=cause, suspect_rate=True, always=True)


# --- the course of the epochs -----------------------------------------------------------------


def weights_do_not_move(course: Course) -> Finding | None:
    """No weight changed by one bit since the run began: the optimiser's step has no effect."""
    if any(record.weight_change != 0 for record in course.history):
        return None
    return Finding(
        cause="no weight has changed since the training began",
        fix=f"Either the optimiser's step is never taken, or the learning rate of "
        f"{course.history[-1].learning_rate:g} is lost in rounding: raise it, and check that "
        "train_step calls the optimiser.",
    )


def loss_does_not_move(course: Course) -> Finding | None:
    """For 5 epochs or more, no epoch's loss was 0.1 % away from the first's.

    A network that has learnt and now rests is none: its loss is far from the first.
    """
    losses = [record.loss for record in course.history]
    if len(losses) < SAME_EPOCHS:
        return None
    if max(abs(loss - losses[0]) for loss in losses) > LEAST_MOVE * abs(losses[0]):
        return None
    return Finding(
        cause=f"the loss has stayed at {losses[0]:.4g} for {len(losses)} epochs",
        fix="A range test found no other learning rate that lowers it: check that images and "
        "masks belong together, and look at the training images.",
        suspect_rate=True,
    )


def constant_prediction(course: Course) -> Finding | None:
    """For 5 epochs, all pixels of all validation images had the same probability to 0.001.

    Images without any lesion may all be predicted alike, and rightly so.
    """
    recent = course.history[-SAME_EPOCHS:]
    if len(recent) < SAME_EPOCHS or not course.lesions_in_validation:
        return None
    if any(_spread(record) >= LEAST_SPREAD for record in recent):
        return None
    probability = float(expit(recent[-1].highest_logit))
    return Finding(
        cause=f"the network has collapsed: for {SAME_EPOCHS} epochs every pixel of every "
        f"validation image has had the same lesion probability ({probability:.3g})",
        suspect_rate=True,
    )


def _spread(record: EpochRecord) -> float:
    if record.lowest_logit is None or record.highest_logit is None:
        return math.inf
    return float(expit(record.highest_logit) - expit(record.lowest_logit))


def nothing_found(course: Course) -> Finding | None:
    """For half of the run's epochs no validation pixel reached 0.5, and the loss rests.

    At least 5 such epochs warn, 20 stop. Nine of ten pixels are background, and a network that
    says so everywhere is right nine times in ten. One whose loss still falls may yet learn: the
    smoke recipe on 14 phantoms found nothing for 25 of its 40 epochs and then reached Dice 0.8.
    """
    half = max(SAME_EPOCHS, course.recipe.optimisation.epochs // 2)
    silent = list(itertools.takewhile(_is_silent, reversed(course.history)))[::-1]
    if len(silent) < half or not course.lesions_in_validation:
        return None
    if not _rests([record.loss for record in silent]):
        return None
    return Finding(
        cause=f"the network predicts background everywhere: no pixel of any validation image "
        f"has reached a probability of 0.5 for {len(silent)} epochs, and the loss does not fall "
        "any more",
        fix="Use a loss that does not reward an empty mask (--set loss=bce-dice), another "
        "learning rate, or more epochs; pixel accuracy is high all the same and says nothing.",
        stops=len(silent) >= BACKGROUND_EPOCHS,
    )


def _is_silent(record: EpochRecord) -> bool:
    return record.highest_logit is not None and record.highest_logit <= 0


def _rests(losses: Sequence[float]) -> bool:
    """Whether the last third of the epochs, at least 3, brought no loss that is 1 % lower."""
    recent = max(3, len(losses) // 3)
    before = min(losses[:-recent])
    return before - min(losses[-recent:]) <= LEAST_FALL * abs(before)


def sigmoid_applied_twice(course: Course) -> Finding | None:
    """For 3 epochs, every logit of every validation image was within [0, 1].

    The losses take logits and apply the sigmoid themselves. Where the network ends with a
    sigmoid of its own, what they take lies in [0, 1], so that no pixel's probability can fall
    below 0.5 or rise above 0.731, and its cross entropy never below log 2 = 0.693 on
    background and 0.313 in a lesion. A network that has learnt anything gives background,
    which prevails in every scan, logits below 0.
    """
    recent = course.history[-SIGMOID_EPOCHS:]
    if len(recent) < SIGMOID_EPOCHS or not all(_within_unit(record) for record in recent):
        return None
    low, high = recent[-1].lowest_logit, recent[-1].highest_logit
    return Finding(
        cause=f"a sigmoid is probably applied twice: for {SIGMOID_EPOCHS} epochs all logits have "
        f"been within [0, 1], now from {low:.3g} to {high:.3g}, so that no pixel can be called "
        "background",
        fix="The network must return logits: remove the sigmoid at its end, since the losses "
        "apply their own.",
    )


def _within_unit(record: EpochRecord) -> bool:
    if record.lowest_logit is None or record.highest_logit is None:
        return False
    return record.lowest_logit >= 0 and record.highest_logit <= 1


def far_from_training(course: Course) -> Finding | None:
    """Twice running where both were measured, the training Dice was higher by more than 0.3."""
    measured = [record for record in course.history if record.training_dice is not None][-2:]
    gaps = [(record.training_dice or 0.0) - record.validation_dice for record in measured]
    if len(gaps) < 2 or min(gaps) <= GAP or not course.lesions_in_validation:
        return None
    last = measured[-1]
    return Finding(
        cause=f"training and validation are far apart: Dice {last.training_dice:.2f} and "
        f"{last.validation_dice:.2f}",
        fix="The network learns its images by heart, or the validation images are of another "
        "kind: use more augmentation, dropout, a smaller network or more images. The weights of "
        "the best epoch are kept.",
        stops=False,
    )


CHECKS: tuple[Check, ...] = (
    weights_do_not_move,
    sigmoid_applied_twice,
    constant_prediction,
    loss_does_not_move,
    nothing_found,
    far_from_training,
)


def judge(course: Course) -> list[Finding]:
    """Return what is wrong behind the last epoch; what only warns is told once."""
    found = []
    for check in CHECKS:
        finding = check(course)
        if finding is None:
            continue
        if finding.stops or len(course.history) == 1 or check(course.before) is None:
            found.append(finding)
    return found


# --- the images before the first step ---------------------------------------------------------


def inspect_cases(
    recipe: Recipe, training: Sequence[PreparedImage], validation: Sequence[PreparedImage]
) -> list[Finding]:
    """Return what makes these images unlearnable, before any time is spent on them."""
    found = (
        no_lesion_to_learn(training),
        images_not_finite(training),
        images_without_contrast(training),
        contradicting_targets(training),
        no_metric(recipe, validation),
    )
    return [finding for finding in found if finding is not None]


def no_lesion_to_learn(training: Sequence[PreparedImage]) -> Finding | None:
    """No training image has a lesion: predicting nothing is then all that can be learnt."""
    if any(case.lesion_size for case in training):
        return None
    return Finding(
        cause=f"none of the {len(training)} training images has a lesion",
        fix="Check that the masks were found (`breastseg train` lists the layout), or add "
        "images with lesions.",
    )


def images_not_finite(training: Sequence[PreparedImage]) -> Finding | None:
    """One NaN makes every weight NaN."""
    broken = sum(not case.is_finite for case in training)
    if not broken:
        return None
    return Finding(
        cause=f"{broken} of the {len(training)} training images hold NaN or infinity",
        fix="Leave them out, or write them anew.",
        always=True,
    )


def images_without_contrast(training: Sequence[PreparedImage]) -> Finding | None:
    """An image of one grey teaches nothing; if all are, nothing can be learnt."""
    flat = sum(case.is_flat for case in training)
    if not flat:
        return None
    return Finding(
        cause=f"{flat} of the {len(training)} training images have the same value everywhere",
        fix="Look at these files: they are empty, or their values were lost in a conversion.",
        stops=flat == len(training),
    )


def contradicting_targets(training: Sequence[PreparedImage]) -> Finding | None:
    """The same pixels with different masks: no network can be right about both."""
    targets: dict[bytes, set[bytes]] = {}
    for case in training:
        targets.setdefault(case.image_digest, set()).add(case.target_digest)
    torn = sum(len(each) > 1 for each in targets.values())
    if not torn:
        return None
    return Finding(
        cause=f"{torn} training images are there more than once, with different masks",
        fix="Keep one mask of each, or merge them.",
        stops=torn == len(targets),
    )


def no_metric(recipe: Recipe, validation: Sequence[PreparedImage]) -> Finding | None:
    """Without a lesion in the validation part its Dice, which decides, is not defined."""
    if any(case.lesion_size for case in validation):
        return None
    optimisation = recipe.optimisation
    needs = ["the best epoch"]
    needs += ["the plateau schedule"] if optimisation.schedule.name == "plateau" else []
    needs += ["early stopping"] if optimisation.early_stopping is not None else []
    return Finding(
        cause=f"no validation image has a lesion, but {' and '.join(needs)} "
        f"need{'s' if len(needs) == 1 else ''} the validation Dice",
        fix="Add images with lesions, raise split.validation, or take another seed; a cosine "
        "schedule needs no metric (--set optimisation.schedule.name=cosine).",
        stops=len(needs) > 1,
    )
