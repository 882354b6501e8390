"""How fast whole epochs of training are, beside plain PyTorch and plain Keras `fit`.

All contenders take turns in one process: an epoch each, with the augmentation of a recipe, on
ultrasound phantoms. The table shows medians over the rounds. Besides the epochs it has our
training step alone, on a batch that is ready: the difference is what the input pipeline costs.

The limit is what matrix products of 2048 x 2048 reach in the same run and precision; the work
of a network is that of its convolutions, forward and backward (networks.spec.multiply_adds).
"""

import argparse
import os
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np
import torch
from peers import Epoch, plain_keras, plain_pytorch
from profiles import print_profile
from rich.console import Console
from rich.table import Table

from breastseg.backends.protocol import FRAMEWORKS, Backend, BackendConfig, Framework, make_backend
from breastseg.core.image import Case, Image
from breastseg.core.network_recipe import NETWORKS, UNetSpec
from breastseg.core.recipe import LossTerm, Optimisation, Preprocessing
from breastseg.core.recipes import resolve_recipe
from breastseg.datasets.phantom_ultrasound import make_phantom
from breastseg.networks.spec import multiply_adds
from breastseg.pipeline.batches import Batching
from breastseg.pipeline.image_set import ImageSet, PreparedCase, prepare_case
from breastseg.pipeline.workers import BatchSource

GEMM_SIZE = 2048
PEERS = {
    "pytorch": ("plain PyTorch", plain_pytorch),
    "tensorflow": ("plain Keras fit", plain_keras),
}


@dataclass
class Contender:
    """Someone who trains, and how long each of its turns took.

    turn: an epoch, or as many steps. precision: whose limit it is held against.
    peer: name of the contender that it is compared with. step: of the pipeline's cost.
    """

    turn: Epoch
    precision: str
    peer: str = ""
    step: str = ""
    milliseconds: list[float] = field(default_factory=list)

    @property
    def median(self) -> float:
        """Milliseconds per image."""
        return statistics.median(self.milliseconds)


def phantoms(count: int, size: int) -> list[PreparedCase]:
    """Return ultrasound phantoms as a network sees them."""
    cases = []
    for index in range(count):
        phantom = make_phantom(0, index, size=(3 * size // 4, size))
        image = Image(pixels=phantom.pixels[None].astype(np.float32))
        mask = np.any(phantom.lesion_masks, axis=0) if len(phantom.lesion_masks) else None
        reference = np.zeros(image.pixels.shape, np.int32) if mask is None else mask[None]
        case = Case(case_id=str(index), image=image, reference=reference.astype(np.int32))
        cases.append(prepare_case(case, Preprocessing(size=size)))
    return cases


def our_backend(framework: str, spec: UNetSpec, given: argparse.Namespace) -> Backend:
    """Return breastseg's network and optimiser."""
    config = BackendConfig(
        network=spec,
        loss=(LossTerm(name="bce-dice"),),
        optimisation=Optimisation(precision=given.precision),
        device="cpu",
        num_threads=given.threads,
    )
    return make_backend(framework, config)


class Steps:
    """Counts the steps of a backend, whoever takes them."""

    def __init__(self, backend: Backend) -> None:
        self.backend, self.step, self.epoch = backend, 0, 0

    def take(self, batches: object) -> None:
        """Train on each batch."""
        for batch in batches:  # type: ignore[attr-defined]
            self.step += 1
            self.backend.train_step(batch, step=self.step, learning_rate=1e-3)

    def whole_epoch(self, source: BatchSource) -> None:
        """Train for an epoch, the batches made ahead."""
        self.epoch += 1
        self.take(source.epoch(self.epoch))


def contenders_of(
    framework: Framework,
    spec: UNetSpec,
    cases: Sequence[PreparedCase],
    sources: dict[int, BatchSource],
    given: argparse.Namespace,
) -> dict[str, Contender]:
    """Return the peer, our bare step, and our epochs with each number of workers."""
    backend = our_backend(framework, spec, given)
    peer, make_peer = PEERS[framework]
    peer, bare = f"{peer} float32", f"breastseg {framework} {backend.precision}, bare step"
    steps = Steps(backend)
    ready = next(iter(next(iter(sources.values())).epoch(0)))
    repeats = len(cases) // given.batch
    augmentation = resolve_recipe(given.recipe).augmentation
    found = {
        peer: Contender(make_peer(spec, cases, augmentation, given.batch), "float32"),
        bare: Contender(lambda: steps.take([ready] * repeats), backend.precision, peer),
    }
    for workers, source in sources.items():
        name = f"breastseg {framework} {backend.precision}, " + (
            f"epoch, {workers} workers" if workers else "epoch"
        )
        turn = lambda source=source: steps.whole_epoch(source)  # noqa: E731
        found[name] = Contender(turn, backend.precision, peer, bare)
    return found


def measure(
    contenders: dict[str, Contender], num_images: int, rounds: int, limits: dict[str, float]
) -> None:
    """Let the contenders take turns; the first round only warms up."""
    for number in range(rounds + 1):
        for contender in contenders.values():
            started = time.perf_counter()
            contender.turn()
            if number:
                passed = 1000 * (time.perf_counter() - started)
                contender.milliseconds.append(passed / num_images)
        for precision in limits:
            limits[precision] = max(limits[precision], gemm_gflops(precision))


def gemm_gflops(precision: str) -> float:
    """Return the speed of matrix products with the threads that PyTorch has."""
    factor = torch.ones((GEMM_SIZE, GEMM_SIZE), dtype=getattr(torch, precision))
    best = float("inf")
    for _ in range(4):
        started = time.perf_counter()
        torch.mm(factor, factor)
        best = min(best, time.perf_counter() - started)
    return 2 * GEMM_SIZE**3 / best / 1e9


def add_rows(
    table: Table,
    network: str,
    contenders: dict[str, Contender],
    limits: dict[str, float],
    gflop: float,
) -> None:
    """Add the contenders of one network to the table."""
    for name, found in contenders.items():
        speed = gflop / found.median * 1000
        ratio = f"{contenders[found.peer].median / found.median:.2f}x" if found.peer else ""
        cost = f"{found.median / contenders[found.step].median - 1:+.1%}" if found.step else ""
        share = f"{speed / limits[found.precision]:.0%} of {limits[found.precision]:.0f}"
        table.add_row(network, name, f"{found.median:.1f}", ratio, cost, f"{speed:.0f}", share)


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--networks", nargs="+", default=["unet-256", "unet-1024"])
    parser.add_argument("--frameworks", nargs="+", choices=FRAMEWORKS, default=FRAMEWORKS)
    parser.add_argument("--size", type=int, default=256, help="pixels of a side")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--cases", type=int, default=24, help="images of an epoch")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--workers", type=int, nargs="+", default=[0], help="to be compared")
    parser.add_argument("--recipe", default="ultrasound-scratch", help="whose augmentation")
    parser.add_argument("--precision", choices=("float32", "bfloat16"), default="bfloat16")
    parser.add_argument("--profile", action="store_true", help="where the time of a step goes")
    return parser.parse_args()


def main() -> None:
    """Measure and print the table."""
    given = arguments()
    cases = phantoms(given.cases, given.size)
    batching = Batching(
        augmentation=resolve_recipe(given.recipe).augmentation, batch_size=given.batch, seed=0
    )
    table = Table(
        title=f"Training, {given.size}x{given.size}, batches of {given.batch}, "
        f"{given.threads} threads, median of {given.rounds} epochs of {given.cases} images"
    )
    headings = ("network", "contender", "ms per image", "against plain", "pipeline")
    for heading in (*headings, "GFLOP/s", "of the GEMM limit"):
        table.add_column(heading)
    for name in given.networks:
        spec = NETWORKS[name]
        if given.profile:
            for framework in given.frameworks:
                profile(framework, spec, cases, batching, given)
            continue
        measure_network(table, name, cases, batching, given)
    if table.rows:
        Console(width=150).print(table)


def measure_network(
    table: Table,
    name: str,
    cases: Sequence[PreparedCase],
    batching: Batching,
    given: argparse.Namespace,
) -> None:
    """Measure all contenders on one network."""
    spec, limits = NETWORKS[name], {"float32": 0.0, given.precision: 0.0}
    sources = {
        number: BatchSource(ImageSet(cases), batching, workers=number) for number in given.workers
    }
    contenders: dict[str, Contender] = {}
    try:
        for framework in given.frameworks:
            contenders |= contenders_of(framework, spec, cases, sources, given)
        num_images = len(cases) // given.batch * given.batch
        measure(contenders, num_images, given.rounds, limits)
    finally:
        for source in sources.values():
            source.__exit__()
    add_rows(table, name, contenders, limits, 6 * multiply_adds(spec, (given.size,) * 2) / 1e9)


def profile(
    framework: Framework,
    spec: UNetSpec,
    cases: Sequence[PreparedCase],
    batching: Batching,
    given: argparse.Namespace,
) -> None:
    """Print where the time of a step goes."""
    with BatchSource(ImageSet(cases), batching) as source:
        batch = next(iter(source.epoch(0)))
    print_profile(our_backend(framework, spec, given), batch)


if __name__ == "__main__":
    main()
