"""From cases on disk to batches of network inputs and targets."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Literal, TypeVar

import numpy as np
from jaxtyping import Bool, Float32

from breastseg.core.image import Case
from breastseg.core.recipe import Augmentation, Preprocessing
from breastseg.pipeline.augment import augment
from breastseg.pipeline.preprocess import prepare_image

Images = Float32[np.ndarray, "batch channel *space"]
Targets = Float32[np.ndarray, "batch 1 *space"]
Distances = Float32[np.ndarray, "batch 1 *space"]
Sampling = Literal["each", "balanced"]
Draw = tuple[int, tuple[int, ...]]
"""A case's index, and the key of the random stream that changes it."""
Job = TypeVar("Job")


@dataclass(frozen=True, slots=True)
class Batch:
    """What one training step sees: standardised images and their targets of 0 and 1.

    distance: what networks.losses.signed_distance makes of the targets; filled where the
        recipe's loss needs it, and None elsewhere.
    """

    images: Images
    targets: Targets
    distance: Distances | None = None

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
            yield Batch(self.images[where], self.targets[where], distance), len(rows) / size


@dataclass(frozen=True, slots=True)
class PreparedCase:
    """A case as the network sees it, small enough to keep all of them in memory."""

    image: Float32[np.ndarray, "size size"]
    target: Bool[np.ndarray, "size size"]


def prepare_case(case: Case, preprocessing: Preprocessing) -> PreparedCase:
    """Preprocess a case that has a reference; all of its lesions make one target."""
    image, letterbox = prepare_image(case.image, preprocessing)
    assert case.reference is not None
    target = letterbox.apply_mask(case.reference[0] > 0)
    return PreparedCase(image[0], target.astype(bool))


@dataclass(frozen=True, slots=True, kw_only=True)
class Batching:
    """What decides the batches of a training besides its cases.

    sampling: see core.recipe.Optimisation.
    distance_of: makes Batch.distance from the targets, or None where no loss needs it. A
        function that a module holds, so that worker processes find it by its name.
    """

    augmentation: Augmentation
    batch_size: int
    seed: int
    sampling: Sampling = "each"
    distance_of: Callable[[Targets], Distances] | None = None


def epoch_batches(
    cases: Sequence[PreparedCase], batching: Batching, *, epoch: int
) -> Iterator[Batch]:
    """Yield the shuffled, augmented batches of one epoch, each made while the last is in use.

    Order and changes depend on seed and epoch alone. All batches have the same size: the
    last cases of the shuffled order wait for another epoch, unless all fit in one batch.
    """
    draws = epoch_draws(cases, batching, epoch=epoch)
    yield from ahead(lambda each: make_batch(cases, batching, each, epoch=epoch), draws)


def epoch_draws(
    cases: Sequence[PreparedCase], batching: Batching, *, epoch: int
) -> list[list[Draw]]:
    """Return what each batch of an epoch is made of."""
    order = epoch_order(cases, batching.sampling, seed=batching.seed, epoch=epoch)
    size = min(batching.batch_size, len(cases))
    return [order[start : start + size] for start in range(0, len(cases) - size + 1, size)]


def make_batch(
    cases: Sequence[PreparedCase], batching: Batching, draws: Sequence[Draw], *, epoch: int
) -> Batch:
    """Augment what was drawn, each case by a random stream of its own."""
    pairs = [
        _augmented(
            cases[index],
            batching.augmentation,
            np.random.default_rng([batching.seed, epoch, *key]),
        )
        for index, key in draws
    ]
    images, targets = (np.stack(arrays)[:, None] for arrays in zip(*pairs, strict=True))
    distance_of = batching.distance_of
    return Batch(images, targets, None if distance_of is None else distance_of(targets))


def epoch_order(
    cases: Sequence[PreparedCase], sampling: Sampling, *, seed: int, epoch: int
) -> list[Draw]:
    """Return as many draws as there are cases.

    each: every case once. balanced: lesion and lesion-free cases in turn; cases of the rarer
    kind come again, with another key, and of the other kind some wait for another epoch. Where
    one kind is missing, balanced is the same as each.
    """
    order = np.random.default_rng([seed, epoch]).permutation(len(cases)).tolist()
    kinds = [[index for index in order if cases[index].target.any() == kind] for kind in (1, 0)]
    if sampling == "each" or not all(kinds):
        return [(index, (1 + index,)) for index in order]
    draws: list[Draw] = []
    for place in range(len(cases)):
        kind = kinds[place % 2]
        again, number = divmod(place // 2, len(kind))
        draws.append((kind[number], (1 + kind[number], again) if again else (1 + kind[number],)))
    return draws


def _augmented(
    case: PreparedCase, augmentation: Augmentation, stream: np.random.Generator
) -> tuple[Float32[np.ndarray, "size size"], Float32[np.ndarray, "size size"]]:
    target = case.target.astype(np.float32)
    if augmentation == Augmentation():
        return case.image, target
    return augment(case.image, target, augmentation, stream)


def ahead(make: Callable[[Job], Batch], jobs: Sequence[Job]) -> Iterator[Batch]:
    """Make each batch in a thread while the caller works on the one before."""
    with ThreadPoolExecutor(max_workers=1) as pool:
        waiting = pool.submit(make, jobs[0])
        for job in jobs[1:]:
            ready, waiting = waiting.result(), pool.submit(make, job)
            yield ready
        yield waiting.result()
