"""How far a training has come, epoch by epoch."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class EpochRecord:
    """One line of metrics.jsonl.

    loss: mean training loss. validation_dice: mean over the lesion images of the validation
    part at the network's resolution. validation_specificity: share of its lesion-free images
    without a finding; None where it has none. seconds: of training and validating.
    lowest_logit, highest_logit: over all pixels of the validation part. weight_change: largest
    change of any trained weight. training_dice: as validation_dice, of some training images;
    None in most epochs. validation_class_loss: mean cross entropy of the classes of the labelled
    validation images; validation_malignant_auc: area under the ROC curve of malignant against
    benign among them; None where there is none to tell. What the health checks need is all here,
    so that they judge a resumed run as an uninterrupted one; the first version did not note it.
    """

    epoch: int
    loss: float
    validation_dice: float
    validation_specificity: float | None
    learning_rate: float
    seconds: float
    lowest_logit: float | None = None
    highest_logit: float | None = None
    weight_change: float | None = None
    training_dice: float | None = None
    validation_class_loss: float | None = None
    validation_malignant_auc: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingState:
    """Where a training stands at the end of an epoch."""

    step: int = 0
    history: tuple[EpochRecord, ...] = ()

    @property
    def epoch(self) -> int:
        """Epochs that are done."""
        return len(self.history)

    @property
    def dice(self) -> list[float]:
        """Validation Dice of each epoch: what schedules and early stopping go by."""
        return [record.validation_dice for record in self.history]

    @property
    def best(self) -> EpochRecord | None:
        """The first epoch with the highest validation Dice; None before the first."""
        return max(self.history, key=lambda record: record.validation_dice, default=None)

    @property
    def best_epoch(self) -> int | None:
        """The number of the best epoch, counted from 1."""
        return None if self.best is None else self.best.epoch
