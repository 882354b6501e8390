"""By how much a score would have been inflated if training images, or their twins, were scored.

Twins are images of one group: near duplicates, or of one patient.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from breastseg.evaluation.confidence import Interval, bootstrap_interval, difference_of_means

MIN_GROUPS = 10
"""With fewer groups of several images on a side, all images stand in for them."""
ASSUMPTION = (
    "An estimate and no measurement: having trained on a twin is taken to flatter as much as "
    "having trained on the image itself, which is likely to be more. Images that were trained on "
    "and held out ones are different images, some easier than others. Patients that the data set "
    "does not name are not counted. Only training on a random split measures it "
    "(split.by=image-ignoring-groups)."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoredImage:
    """Dice of one image with a lesion, and its group."""

    group: str
    dice: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Mean:
    """Mean Dice over images with a lesion. interval: over groups; None with fewer than two."""

    dice: float | None
    interval: Interval | None
    num_images: int
    num_groups: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """A difference in Dice. interval: over the groups of either side; None with one group."""

    value: float
    interval: Interval | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RandomSplit:
    """What a split by image, of the same sizes, would have reported, by estimate.

    share_with_twin: expected share of its test images with a twin in its training part, by the
        groups of all images with a lesion that were scored.
    seen, unseen: what the flattery is taken from; in_groups: from images with a twin alone.
    inflation: share_with_twin times (seen minus unseen). dice: the honest one plus it.
    """

    share_with_twin: float
    in_groups: bool
    seen: Mean
    unseen: Mean
    inflation: Gap
    dice: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Inflation:
    """unseen: the honest score. seen: on what was trained on. random_split: None if neither."""

    unseen: Mean
    seen: Mean
    seen_minus_unseen: Gap | None
    random_split: RandomSplit | None
    assumption: str = ASSUMPTION


def chance_of_twin(group_size: int, *, num_images: int, num_train: int) -> float:
    """Return the chance that a test image of a random split has a twin in the training part.

    Args:
        group_size: images in its group, itself among them.
        num_images: of the whole data set. num_train: of them in the training part.

    >>> chance_of_twin(1, num_images=100, num_train=60)
    0.0
    >>> round(chance_of_twin(2, num_images=101, num_train=60), 3)
    0.6
    """
    others = np.arange(group_size - 1)
    left = np.maximum(num_images - 1 - num_train - others, 0)
    return float(1 - np.prod(left / (num_images - 1 - others)))


def estimate_inflation(
    seen: Sequence[ScoredImage],
    unseen: Sequence[ScoredImage],
    groups: Mapping[str, str],
    *,
    num_train: int,
) -> Inflation:
    """Set the honest score beside the score of what was trained on.

    Args:
        seen: images that the network which scored them was trained on.
        unseen: held out, with their whole groups.
        groups: of every image of the data set, by case id.
        num_train: images in the training part.
    """
    both = bool(seen) and bool(unseen)
    return Inflation(
        unseen=_mean(unseen),
        seen=_mean(seen),
        seen_minus_unseen=_gap(seen, unseen) if both else None,
        random_split=_random_split(seen, unseen, groups, num_train) if both else None,
    )


def _random_split(
    seen: Sequence[ScoredImage],
    unseen: Sequence[ScoredImage],
    groups: Mapping[str, str],
    num_train: int,
) -> RandomSplit:
    sizes = Counter(groups.values())
    chances = [
        chance_of_twin(sizes[each.group], num_images=len(groups), num_train=num_train)
        for each in (*seen, *unseen)
    ]
    share = float(np.mean(chances))
    grouped = [[each for each in side if sizes[each.group] > 1] for side in (seen, unseen)]
    in_groups = all(len({each.group for each in side}) >= MIN_GROUPS for side in grouped)
    first, second = grouped if in_groups else (seen, unseen)
    gap = _gap(first, second)
    span = gap.interval
    inflation = Gap(
        value=share * gap.value,
        interval=None if span is None else Interval(share * span.low, share * span.high),
    )
    honest = float(np.mean([each.dice for each in unseen]))
    return RandomSplit(
        share_with_twin=share,
        in_groups=in_groups,
        seen=_mean(first),
        unseen=_mean(second),
        inflation=inflation,
        dice=honest + inflation.value,
    )


def _mean(images: Sequence[ScoredImage]) -> Mean:
    dice, groups = [each.dice for each in images], [each.group for each in images]
    return Mean(
        dice=float(np.mean(dice)) if dice else None,
        interval=bootstrap_interval(dice, groups) if len(set(groups)) > 1 else None,
        num_images=len(dice),
        num_groups=len(set(groups)),
    )


def _gap(seen: Sequence[ScoredImage], unseen: Sequence[ScoredImage]) -> Gap:
    value, interval = difference_of_means(
        [each.dice for each in seen],
        [each.group for each in seen],
        [each.dice for each in unseen],
        [each.group for each in unseen],
    )
    return Gap(value=value, interval=interval)
