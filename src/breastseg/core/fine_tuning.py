"""Training that goes on from a model: its recipe, and what may not differ from the model's."""

import math
from collections.abc import Iterator
from typing import Any

from breastseg.core.recipe import Recipe, Schedule, initial_weights_of
from breastseg.core.split_recipe import Split

TUNED = "-tuned"

_SLOWER = 5
_STEPS = 300
_MOST_EPOCHS, _FEWEST_EPOCHS = 100, 10
_CALIBRATED_FROM = 100

_NOT_SHAPE = ("classes", "dropout")
"""Fields of a network that its other weights do not depend on."""
_OF_VOLUMES = ("spacing_mm", "window_hu", "mean_hu", "sd_hu", "region", "margin_mm")
"""Fields of VolumePreprocessing that say what the network sees; the rest is about patches."""


def fine_tuning_recipe(model: Recipe, fingerprint: str, *, num_images: int) -> Recipe:
    """Return the recipe of a training that goes on from a model, on the images of one's own.

    Preparation, network, loss and augmentation are the model's, since its weights are worth
    something with these alone. What differs:

    - A fifth of the learning rate: the model is near a good place, and few images point away
      from it as often as towards it. That of a model which was tuned itself is kept.
    - A tenth of the epochs as warm-up, then half a cosine: the optimiser knows nothing of its
      gradients yet, and its first steps would be its boldest.
    - About 300 steps, in 10 to 100 epochs: enough to adapt, too few to learn the images by heart.
      Where the model took fewer than 20 epochs, at least half of these.
    - The split: folds, seed and shares of the model's own data say nothing of other data. Of
      fewer than 100 images none are set aside for calibration: fewer than ten set the operating
      threshold by chance, where 0.5 would do; they help to choose the epoch instead.

    The numbers are rules of thumb; none was tuned on data.

    Args:
        model: the recipe that the model was trained by.
        fingerprint: of the model.
        num_images: of the data set, all parts together.
    """
    split = Split() if num_images >= _CALIBRATED_FROM else Split(validation=0.2, calibration=0)
    shares = split.validation + split.calibration + split.test
    is_tuned = model.begins_from is not None
    rate = model.optimisation.learning_rate / (1 if is_tuned else _SLOWER)
    epochs = _num_epochs(model, max(1, round(num_images * (1 - shares))))
    schedule = Schedule(
        name="cosine",
        warmup_epochs=max(1, epochs // 10),
        minimum=min(model.optimisation.schedule.minimum, rate / 100),
    )
    changed = {"learning_rate": rate, "epochs": epochs, "schedule": schedule}
    return model.model_copy(
        update={
            "name": model.name.removesuffix(TUNED) + TUNED,
            "split": split,
            "initial_weights": initial_weights_of(fingerprint),
            "optimisation": model.optimisation.model_copy(update=changed),
        }
    )


def _num_epochs(model: Recipe, num_train: int) -> int:
    """Return how many epochs make about 300 steps."""
    samples = num_train * (1 if model.volume is None else model.volume.patches_per_volume)
    steps = max(1, samples // model.optimisation.batch_size)
    fewest = min(_FEWEST_EPOCHS, math.ceil(model.optimisation.epochs / 2))
    return max(fewest, min(_MOST_EPOCHS, math.ceil(_STEPS / steps)))


def other_network(model: Recipe, recipe: Recipe) -> tuple[str, ...]:
    """Name the fields of the network that keep it from taking a model's weights.

    Such as `network.norm=none (the model: group)`. Classes may differ, and so may dropout, which
    has no weights.
    """
    fields = (
        each.network.model_dump(mode="json", exclude=set(_NOT_SHAPE)) for each in (recipe, model)
    )
    return tuple(_differing("network", *fields))


def other_preparation(model: Recipe, recipe: Recipe) -> dict[str, str]:
    """Return the fields by which images are prepared otherwise than for the model, in words."""
    if (recipe.volume is None) != (model.volume is None):
        kinds = ("pictures" if each.volume is None else "volumes" for each in (recipe, model))
        return {"volume": "for {}, the model: for {}".format(*kinds)}
    if recipe.volume is None or model.volume is None:
        prefix, both = (
            "preprocessing",
            [each.preprocessing.model_dump() for each in (recipe, model)],
        )
    else:
        prefix = "volume"
        both = [each.model_dump(include=set(_OF_VOLUMES)) for each in (recipe.volume, model.volume)]
    return {told.partition("=")[0]: told for told in _differing(prefix, *both)}


def _differing(prefix: str, ours: dict[str, Any], theirs: dict[str, Any]) -> Iterator[str]:
    missing = "none"
    for name in dict.fromkeys((*ours, *theirs)):
        here, there = ours.get(name, missing), theirs.get(name, missing)
        if here != there:
            yield f"{prefix}.{name}={here} (the model: {there})"
