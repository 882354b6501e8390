import math
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from breastseg.core.errors import WorkerError
from breastseg.core.recipe import Augmentation
from breastseg.networks.losses import signed_distance
from breastseg.pipeline import workers
from breastseg.pipeline.batches import Batching
from breastseg.pipeline.image_set import ImageSet, PreparedCase
from breastseg.pipeline.workers import BatchSource, automatic_workers

EVERYTHING = Augmentation(flip=0.5, rotation_degrees=10, elastic=0.05, speckle=0.2, noise=0.1)


def some_cases(count=11):
    stream = np.random.default_rng(0)
    masks = np.zeros((count, 16, 16), bool)
    masks[::3, 4:9, 5:12] = True
    return ImageSet(
        [PreparedCase(stream.normal(size=(16, 16)).astype(np.float32), mask) for mask in masks]
    )


def batching(**options):
    return Batching(**{"augmentation": EVERYTHING, "batch_size": 2, "seed": 3, **options})


def arrays(batches):
    return [
        array.tobytes()
        for batch in batches
        for array in (batch.images, batch.targets, batch.distance)
        if array is not None
    ]


@pytest.mark.parametrize("options", [{}, {"sampling": "balanced", "distance_of": signed_distance}])
def test_the_batches_are_the_same_to_the_bit_for_any_number_of_workers(options):
    """Over the epochs, and after one that was left half way."""
    made = []
    for number in (0, 1, 3):
        with BatchSource(some_cases(), batching(**options), workers=number) as source:
            next(source.epoch(7))
            made.append([arrays(source.epoch(epoch)) for epoch in (0, 1)])
    assert made[0] == made[1] == made[2]
    assert made[0][0] != made[0][1]
    assert len(made[0][0]) == 5 * (3 if "distance_of" in options else 2)


def labelled_cases():
    masks = some_cases().cases
    return ImageSet(
        [PreparedCase(case.image, case.target, place % 3 - 1) for place, case in enumerate(masks)]
    )


@pytest.mark.parametrize("workers", [0, 2])
def test_each_image_keeps_its_class(workers):
    """Without augmentation an image is known again by its pixels."""
    cases = labelled_cases()
    plain = batching(augmentation=Augmentation(), labelled=True, sampling="balanced")
    seen = 0
    with BatchSource(cases, plain, workers=workers) as source:
        for batch in source.epoch(0):
            for image, label in zip(batch.images, batch.labels, strict=True):
                (place,) = (n for n, c in enumerate(cases.cases) if (c.image == image[0]).all())
                assert label == place % 3 - 1
                seen += 1
    assert seen == 10


def test_without_classes_batches_bring_no_labels():
    with BatchSource(labelled_cases(), batching()) as source:
        assert all(batch.labels is None for batch in source.epoch(0))


def test_workers_live_over_the_epochs_and_a_batch_may_be_kept():
    with BatchSource(some_cases(), batching(), workers=1) as source:
        kept = list(source.epoch(0))
        before = arrays(kept)
        first = multiprocessing.active_children()
        assert len(arrays(source.epoch(1))) == 10
        assert multiprocessing.active_children() == first
        assert len(first) == 1
    assert arrays(kept) == before
    assert not multiprocessing.active_children()


def test_ctrl_c_is_the_parents_and_no_framework_is_loaded():
    with BatchSource(some_cases(), batching(), workers=1) as source:
        assert len(list(source.epoch(0))) == 5
        (worker,) = multiprocessing.active_children()
        os.kill(worker.pid, signal.SIGINT)
        assert len(list(source.epoch(1))) == 5
        if sys.platform == "linux":
            libraries = Path(f"/proc/{worker.pid}/maps").read_text()
            assert "cv2" in libraries
            assert "torch" not in libraries
            assert "tensorflow" not in libraries


def test_what_a_worker_raises_comes_out_as_in_a_thread():
    for number in (0, 1):
        with BatchSource(some_cases(), batching(distance_of=math.sqrt), workers=number) as source:
            with pytest.raises(TypeError, match="scalar"):
                list(source.epoch(0))
            with pytest.raises(TypeError, match="scalar"):
                next(source.epoch(1))


def test_a_worker_that_dies_is_told_and_nothing_hangs():
    with BatchSource(some_cases(), batching(), workers=2) as source:
        batches = source.epoch(0)
        next(batches)
        for child in multiprocessing.active_children():
            os.kill(child.pid, signal.SIGKILL)
        with pytest.raises(WorkerError, match="--workers 0"):
            list(source.epoch(1))
    assert not multiprocessing.active_children()


SCRIPT = """
import multiprocessing, sys, time
import numpy as np
from breastseg.core.recipe import Augmentation
from breastseg.pipeline.batches import Batching
from breastseg.pipeline.image_set import ImageSet, PreparedCase
from breastseg.pipeline.workers import BatchSource

cases = ImageSet([PreparedCase(np.ones((8, 8), np.float32), np.ones((8, 8), bool))] * 4)
batching = Batching(augmentation=Augmentation(noise=0.1), batch_size=1, seed=0)
with BatchSource(cases, batching, workers=2) as source:
    assert len(list(source.epoch(0))) == 4
    print(*(child.pid for child in multiprocessing.active_children()), flush=True)
    time.sleep(60)
"""


def runs(pid):
    """Tell whether a process runs; one that has ended but was not asked for does not."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    state = Path(f"/proc/{pid}/stat")
    return not state.is_file() or state.read_text().rpartition(")")[2].split()[0] != "Z"


def test_a_killed_parent_leaves_no_worker_behind(tmp_path):
    """And a script needs no `if __name__ == "__main__"` for the workers' sake."""
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    parent = subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE, text=True)
    with parent:
        children = [int(pid) for pid in parent.stdout.readline().split()]
        assert len(children) == 2
        assert all(map(runs, children))
        parent.kill()
    end = time.monotonic() + 20
    while any(map(runs, children)):
        assert time.monotonic() < end, "a worker outlives its parent"
        time.sleep(0.02)


def test_the_start_leaves_the_parent_as_it_was(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    monkeypatch.delenv("MKL_NUM_THREADS", raising=False)
    before, main = dict(os.environ), sys.modules["__main__"]
    with workers.sheltered_start():
        assert os.environ["OMP_NUM_THREADS"] == os.environ["MKL_NUM_THREADS"] == "1"
        assert sys.modules["__main__"] is not main
    assert dict(os.environ) == before
    assert sys.modules["__main__"] is main
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, [])


@pytest.mark.parametrize(("cpus", "expected"), [(1, 0), (2, 1), (4, 3), (64, 8)])
def test_a_gpu_gets_as_many_workers_as_there_are_cores_to_spare(cpus, expected, monkeypatch):
    monkeypatch.setattr(workers, "num_cpus", lambda: cpus)
    assert automatic_workers("cuda") == expected
    assert automatic_workers("cpu") == 0
