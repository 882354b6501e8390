"""The batches of a training's epochs, made ahead in a thread or in worker processes.

Who makes a batch does not change it: each case is augmented by a random stream of its own,
keyed by seed, epoch and case. So the number of workers belongs to the machine and not to the
recipe.
"""

import contextlib
import itertools
import os
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from typing import Self

import cv2
import numpy as np

from breastseg.core.errors import WorkerError
from breastseg.io.worker_processes import CONTEXT, begin_worker, num_cpus, sheltered_start
from breastseg.pipeline.batches import (
    Batch,
    Batching,
    ahead,
    epoch_draws,
    labels_of,
    make_batch,
)
from breastseg.pipeline.case_sets import Draw, SharedSet, TrainingSet
from breastseg.pipeline.shared_array import SharedArray

MOST_WORKERS = 8
"""More than that no recipe needs: at 256 x 256 they make 1800 to 3600 images a second."""


def automatic_workers(device: str) -> int:
    """Return how many worker processes a training on that device (cpu, cuda) takes.

    On a CPU none. Augmentation with the recipe `ultrasound-scratch` is 1 to 3 % of the
    processor time of a step of `unet-256` (0.4 of 33 ms an image at 128 x 128, 2.2 of 119 at
    256 x 256), and processes take it from the same cores that train: on two cores a thread,
    one process and two processes were equal within the noise, and a process takes a second to
    start. On a GPU a step is faster than one thread augments (2.2 to 4.4 ms an image at 256 x
    256), so all cores but one help, up to MOST_WORKERS; this was not measured on a GPU.
    """
    if device == "cpu":
        return 0
    return min(MOST_WORKERS, num_cpus() - 1)


class BatchSource:
    """Makes the batches of one training; a context manager, whose processes end with it.

    Args:
        cases: what the batches are drawn from.
        batching: how.
        workers: processes that make batches; they live until the end. 0 for a thread of this
            process, which costs no start.

    Raises:
        WorkerError: from the batches, a worker died. What a worker raises comes as it is.
    """

    def __init__(self, cases: TrainingSet, batching: Batching, *, workers: int = 0) -> None:
        self._cases, self._batching = cases, batching
        self._workers = _Workers(cases, batching, workers) if workers else None
        self._latest: Generator[Batch, None, None] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._end_epoch()
        if self._workers is not None:
            self._workers.close()

    def epoch(self, epoch: int) -> Iterator[Batch]:
        """Return the batches of an epoch; see pipeline.batches.epoch_batches.

        Whatever was left of the epoch that was begun before is not made any more.
        """
        self._end_epoch()
        self._latest = self._batches(epoch)
        return self._latest

    def _end_epoch(self) -> None:
        if self._latest is not None:
            self._latest.close()

    def _batches(self, epoch: int) -> Generator[Batch, None, None]:
        draws = epoch_draws(self._cases, self._batching, epoch=epoch)
        if self._workers is None:
            cases, batching = self._cases, self._batching
            yield from ahead(lambda each: make_batch(cases, batching, each, epoch=epoch), draws)
            return
        with contextlib.closing(self._workers.batches(epoch, draws)) as made:
            yield from ahead(lambda each: self._labelled(next(made), each), draws)

    def _labelled(self, batch: Batch, draws: Sequence[Draw]) -> Batch:
        """Add the labels, which are known here and need no way through the workers."""
        return replace(batch, labels=labels_of(self._cases, self._batching, draws, batch.targets))


@dataclass(frozen=True, slots=True)
class _Shared:
    """What parent and workers share: the cases, and a ring of slots for finished batches.

    slots: the arrays of a Batch, with an axis more in front.
    """

    cases: SharedSet
    slots: tuple[SharedArray, ...]

    @classmethod
    def create(cls, cases: TrainingSet, batching: Batching, num_slots: int) -> Self:
        channels, *space = cases.input_shape
        batch = (num_slots, min(batching.batch_size, len(cases)))
        made = [(*batch, channels, *space), (*batch, 1, *space)]
        if batching.distance_of is not None:
            made.append((*batch, 1, *space))
        slots = tuple(SharedArray.create(shape, np.float32) for shape in made)
        return cls(cases.shared(), slots)

    def put(self, batch: Batch, slot: int) -> None:
        """Copy a batch into a slot."""
        made = [batch.images, batch.targets, batch.distance]
        for block, array in zip(self.slots, made, strict=False):
            block.array()[slot] = array

    def take(self, slot: int) -> Batch:
        """Copy a batch out of a slot, so that the slot is free again."""
        return Batch(*(block.array()[slot].copy() for block in self.slots))


class _Workers:
    """A pool of processes that make batches."""

    def __init__(self, cases: TrainingSet, batching: Batching, count: int) -> None:
        # One slot for each worker, and two to be filled while the parent copies and trains.
        self._num_slots = count + 2
        self._shared = _Shared.create(cases, batching, self._num_slots)
        self._pool = ProcessPoolExecutor(
            count, CONTEXT, initializer=_begin, initargs=(self._shared, batching)
        )
        with sheltered_start():
            for _ in range(count):
                self._pool.submit(os.getpid)  # each submission starts a process

    def batches(self, epoch: int, draws: Sequence[Sequence[Draw]]) -> Generator[Batch, None, None]:
        """Yield the batches of an epoch in order, as many made ahead as there are slots.

        Raises:
            WorkerError: a worker died.
        """
        jobs = enumerate(draws)
        waiting: deque[Future[int]] = deque()
        try:
            for number, each in itertools.islice(jobs, self._num_slots):
                waiting.append(self._submit(epoch, number, each))
            while waiting:
                batch = self._shared.take(waiting.popleft().result())
                for number, each in itertools.islice(jobs, 1):
                    waiting.append(self._submit(epoch, number, each))
                yield batch
        except BrokenProcessPool:
            raise WorkerError(
                "a worker process that makes batches died; the system may have stopped it for "
                "lack of memory. Go on with the run (--resume) and fewer workers (--workers 0)."
            ) from None
        finally:
            for future in waiting:
                future.cancel()
            wait(waiting)

    def _submit(self, epoch: int, number: int, draws: Sequence[Draw]) -> "Future[int]":
        return self._pool.submit(_make, epoch, draws, number % self._num_slots)

    def close(self) -> None:
        """End the processes."""
        self._pool.shutdown(cancel_futures=True)


# What a worker holds while it lives: what is shared, the cases in it, and the batching.
_held: tuple[_Shared, TrainingSet, Batching] | None = None


def _begin(shared: _Shared, batching: Batching) -> None:
    """Prepare a worker."""
    global _held
    begin_worker()
    cv2.setNumThreads(1)
    _held = (shared, shared.cases.opened(), batching)


def _make(epoch: int, draws: Sequence[Draw], slot: int) -> int:
    """Make a batch in a worker; return the slot that it lies in."""
    assert _held is not None
    shared, cases, batching = _held
    shared.put(make_batch(cases, batching, draws, epoch=epoch), slot)
    return slot
