"""Batches of network inputs and targets, drawn from images or volumes."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from jaxtyping import Float32, Int64

from breastseg.core.recipe import Augmentation
from breastseg.pipeline.case_sets import Draw, Sampling, TrainingSet

Images = Float32[np.ndarray, "batch channel *space"]
Targets = Float32[np.ndarray, "batch 1 *space"]
Distances = Float32[np.ndarray, "batch 1 *space"]
Labels = Int64[np.ndarray, " batch"]
Job = TypeVar("Job")


@dataclass(frozen=True, slots=True)
class Batch:
    """What one training step sees: standardised images and their targets of 0 and 1.

    distance: what networks.losses.signed_distance makes of the targets; filled where the
        recipe's loss needs it, and None elsewhere.
    labels: number of each image's class in `network.classes`, or UNLABELLED; None where the
        network tells no classes.
    """

    images: Images
    targets: Targets
    distance: Distances | None = None
    labels: Labels | None = None

    def parts(self, count: int) -> Iterator[tuple["Batch", float]]:
        """Divide it into that many parts, or into single images; tell each part's share.

        >>> batch = Batch(np.zeros((3, 1, 4, 4), np.float32), np.zeros((3, 1, 4, 4), np.float32))
        >>> [(len(part.images), round(share, 2)) for part, share in batch.parts(2)]
        [(2, 0.67), (1, 0.33)]
        """
        size = len(self.images)
        for rows in np.array_split(np.arange(size), min(count, size)):
            where = slice(int(rows[0]), int(rows[-1]) + 1)
            distance = None if self.distance is None else self.distance[where]
            labels = None if self.labels is None else self.labels[where]
            part = Batch(self.images[where], self.targets[where], distance, labels)
            yield part, len(rows) / size


@dataclass(frozen=True, slots=True, kw_only=True)
class Batching:
    """What decides the batches of a training besides its cases.

    sampling: see core.recipe.Optimisation.
    distance_of: makes Batch.distance from the targets, or None where no loss needs it. A
        function that a module holds, so that worker processes find it by its name.
    labelled: whether batches bring Batch.labels.
    """

    augmentation: Augmentation
    batch_size: int
    seed: int
    sampling: Sampling = "each"
    distance_of: Callable[[Targets], Distances] | None = None
    labelled: bool = False


def epoch_batches(cases: TrainingSet, batching: Batching, *, epoch: int) -> Iterator[Batch]:
    """Yield the shuffled, augmented batches of one epoch, each made while the last is in use.

    Order and changes depend on seed and epoch alone. All batches have the same size: the
    last of the shuffled order wait for another epoch, unless all fit in one batch.
    """
    draws = epoch_draws(cases, batching, epoch=epoch)
    yield from ahead(lambda each: make_batch(cases, batching, each, epoch=epoch), draws)


def epoch_draws(cases: TrainingSet, batching: Batching, *, epoch: int) -> list[list[Draw]]:
    """Return what each batch of an epoch is made of."""
    order = cases.order(batching.sampling, seed=batching.seed, epoch=epoch)
    size = min(batching.batch_size, len(cases))
    return [order[start : start + size] for start in range(0, len(cases) - size + 1, size)]


def make_batch(
    cases: TrainingSet, batching: Batching, draws: Sequence[Draw], *, epoch: int
) -> Batch:
    """Make what was drawn, each item by a random stream of its own."""
    pairs = [
        cases.item(
            index, batching.augmentation, np.random.default_rng([batching.seed, epoch, *key])
        )
        for index, key in draws
    ]
    images, targets = (np.stack(arrays) for arrays in zip(*pairs, strict=True))
    distance_of = batching.distance_of
    distance = None if distance_of is None else distance_of(targets)
    return Batch(images, targets, distance, labels_of(cases, batching, draws, targets))


def labels_of(
    cases: TrainingSet, batching: Batching, draws: Sequence[Draw], targets: Targets
) -> Labels | None:
    """Return Batch.labels of what was drawn, and of which that was made.

    An image that lost its lesions has lost their class too.
    """
    if not batching.labelled:
        return None
    drawn = zip(draws, targets, strict=True)
    return np.array([cases.label(index, target) for (index, _), target in drawn], np.int64)


def ahead(make: Callable[[Job], Batch], jobs: Sequence[Job]) -> Iterator[Batch]:
    """Make each batch in a thread while the caller works on the one before."""
    with ThreadPoolExecutor(max_workers=1) as pool:
        waiting = pool.submit(make, jobs[0])
        for job in jobs[1:]:
            ready, waiting = waiting.result(), pool.submit(make, job)
            yield ready
        yield waiting.result()
