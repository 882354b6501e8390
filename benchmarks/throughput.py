"""How many pictures a second `breastseg predict` does, by threads, one at a time and several.

Reading, preparing, measuring, drawing and writing are all of it: a folder of pictures becomes a
folder of results. Each row is a process of its own, so that its peak memory is its own. Without
--model the network has its initial weights and marks nothing; without --data the pictures are
phantoms.
"""

import argparse
import itertools
import multiprocessing
import os
import resource
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from breastseg.core.recipes import resolve_recipe
from breastseg.datasets.scans import find_scans
from breastseg.datasets.splits import DataSplit
from breastseg.inference.runtime import OpenVinoRuntime
from breastseg.networks.spec import initial_weights
from breastseg.training.checkpoint import create_run
from breastseg.workflows import predict as workflow
from breastseg.workflows.phantom import make_ultrasound_phantoms

NUM_PHANTOMS = 40
NEVER = -20.0
"""A bias of the last layer at which nothing is lesion."""


@dataclass(frozen=True)
class Work:
    """One row of the table."""

    scans: Path
    model: Path
    threads: int
    at_once: int


@dataclass(frozen=True)
class Measured:
    """What a process needed. network_seconds: while the network ran."""

    wall_seconds: float
    processor_seconds: float
    network_seconds: float
    peak_mib: float
    num_failed: int


class Timed:
    """A request of OpenVINO that notes how long it runs."""

    seconds = 0.0

    def __init__(self, request: Any) -> None:
        self._request = request

    def infer(self, inputs: list[Any]) -> Any:
        """Run it; one thread at a time comes here."""
        started = time.perf_counter()
        try:
            return self._request.infer(inputs)
        finally:
            Timed.seconds += time.perf_counter() - started


class TimedRuntime(OpenVinoRuntime):
    """OpenVINO with a request that is timed."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._request = Timed(self._request)


def measure(work: Work) -> Measured:
    """Predict all pictures into a folder that is thrown away; in a fresh process."""
    from breastseg.inference import runtime

    runtime.OpenVinoRuntime = TimedRuntime
    workflow.cases_at_once = lambda threads: work.at_once
    with tempfile.TemporaryDirectory() as folder:
        started, before = time.perf_counter(), time.process_time()
        result = workflow.predict(
            [work.scans], model=work.model, output=Path(folder, "out"), threads=work.threads
        )
        wall, busy = time.perf_counter() - started, time.process_time() - before
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return Measured(wall, busy, Timed.seconds, peak, result.num_failed)


def measured(work: Work) -> Measured:
    """Measure in a process of its own."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(measure, (work,))


def initial_run(path: Path, recipe_name: str) -> Path:
    """Write a run folder whose network marks nothing."""
    recipe = resolve_recipe(recipe_name)
    run = create_run(
        path,
        recipe=recipe,
        split=DataSplit(method="none", parts={}, groups={}),
        environment={"framework": "none"},
        content={},
    )
    weights = initial_weights(recipe.network, 0)
    run.save_best({**weights, "head.bias": weights["head.bias"] + NEVER})
    return path


def linked(pictures: list[Path], count: int, folder: Path) -> Path:
    """Make a folder with that many pictures, the given ones over and over again."""
    folder.mkdir()
    for number in range(count):
        picture = pictures[number % len(pictures)].resolve()
        (folder / f"{number:06}{picture.suffix}").symlink_to(picture)
    return folder


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, help="a folder of pictures")
    parser.add_argument("--model", type=Path, help="a run folder")
    parser.add_argument("--recipe", default="ultrasound-scratch", help="of the network, no --model")
    parser.add_argument("--num-images", nargs="+", type=int, default=[60, 240])
    all_threads = os.cpu_count() or 1
    parser.add_argument("--threads", nargs="+", type=int, default=sorted({1, all_threads}))
    parser.add_argument("--at-once", nargs="+", type=int, default=[1, 2, 3])
    given = parser.parse_args()
    table = Table(title="breastseg predict of a folder")
    for heading in (
        *("images", "threads", "at once", "images/s", "network's share of the time"),
        *("processor s/image", "peak MiB", "failed"),
    ):
        table.add_column(heading, justify="right")
    with tempfile.TemporaryDirectory() as name:
        work_dir = Path(name)
        data = given.data or make_ultrasound_phantoms(
            work_dir / "phantoms", num_cases=NUM_PHANTOMS, seed=0
        )
        pictures = [case.image_path for case in find_scans([data]).cases]
        model = given.model or initial_run(work_dir / "run", given.recipe)
        one = linked(pictures, 1, work_dir / "one image")
        for threads in given.threads:  # The compiled network is then in the cache.
            measured(Work(one, model, threads, 1))
        for count in given.num_images:
            scans = linked(pictures, count, work_dir / f"{count} images")
            for threads, at_once in itertools.product(given.threads, given.at_once):
                found = measured(Work(scans, model, threads, at_once))
                table.add_row(
                    f"{count:,}",
                    f"{threads}",
                    f"{at_once}",
                    f"{count / found.wall_seconds:.1f}",
                    f"{found.network_seconds / found.wall_seconds:.0%}",
                    f"{found.processor_seconds / count:.3f}",
                    f"{found.peak_mib:.0f}",
                    f"{found.num_failed}",
                )
    Console().print(table)


if __name__ == "__main__":
    main()
