"""How fast a training step is, beside plain PyTorch and plain Keras on the same network.

All contenders take turns in one process; the table shows the median time per image. Plain
means what a first script would do: float32, the frameworks' own memory layout and optimiser.
"""

import argparse
import os
import statistics
import time
from collections.abc import Callable

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from breastseg.backends.protocol import BackendConfig, make_backend
from breastseg.backends.pytorch.losses import bce_dice_loss
from breastseg.backends.pytorch.network import UNet
from breastseg.backends.tensorflow.losses import bce_dice_loss as keras_bce_dice_loss
from breastseg.backends.tensorflow.network import build_unet
from breastseg.core.recipe import NETWORKS, LossTerm, Optimisation, UNetSpec
from breastseg.pipeline.batches import Batch

Step = Callable[[Batch, int], object]


def ours(framework: str, spec: UNetSpec, precision: str, threads: int) -> Step:
    """Return a training step of breastseg."""
    optimisation = Optimisation.model_validate({"precision": precision})
    loss = (LossTerm(name="bce-dice"),)
    config = BackendConfig(
        network=spec, loss=loss, optimisation=optimisation, device="cpu", num_threads=threads
    )
    backend = make_backend(framework, config)
    return lambda batch, step: backend.train_step(batch, step=step, learning_rate=1e-3)


def plain_pytorch(spec: UNetSpec) -> Step:
    """Return an eager float32 step as a tutorial writes it."""
    network = UNet(spec)
    optimiser = torch.optim.AdamW(network.parameters())

    def step(batch: Batch, number: int) -> None:
        optimiser.zero_grad()
        logits = network(torch.from_numpy(batch.images))
        bce_dice_loss(logits, torch.from_numpy(batch.targets)).backward()
        optimiser.step()

    return step


def plain_keras(spec: UNetSpec) -> Step:
    """Return a float32 step of a compiled Keras model."""
    model = build_unet(spec)
    model.compile(
        optimizer=keras.optimizers.AdamW(),
        loss=lambda target, logits: keras_bce_dice_loss(logits, target),
    )

    def step(batch: Batch, number: int) -> None:
        images, targets = (np.moveaxis(array, 1, -1) for array in (batch.images, batch.targets))
        model.train_on_batch(images, targets)

    return step


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--networks", nargs="+", default=["unet-256", "unet-deep"])
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    given = parser.parse_args()
    stream = np.random.default_rng(0)
    images = stream.normal(size=(given.batch, 1, given.size, given.size)).astype(np.float32)
    batch = Batch(images, (images > 1).astype(np.float32))
    table = Table(title=f"Training step, {given.size}x{given.size}, {given.threads} threads")
    for heading in ("network", "contender", "ms per image", "against plain"):
        table.add_column(heading)
    for name in given.networks:
        spec = NETWORKS[name]
        contenders = {
            "breastseg tensorflow bfloat16": ours("tensorflow", spec, "bfloat16", given.threads),
            "plain Keras float32": plain_keras(spec),
            "breastseg pytorch bfloat16": ours("pytorch", spec, "bfloat16", given.threads),
            "plain PyTorch float32": plain_pytorch(spec),
        }
        times = measure(contenders, batch, given.repeats)
        for contender, milliseconds in times.items():
            peer = "plain Keras float32" if "tensorflow" in contender else "plain PyTorch float32"
            ratio = "" if contender.startswith("plain") else f"{times[peer] / milliseconds:.2f}x"
            table.add_row(name, contender, f"{milliseconds:.1f}", ratio)
    Console().print(table)


def measure(contenders: dict[str, Step], batch: Batch, repeats: int) -> dict[str, float]:
    """Return the median milliseconds per image, the contenders taking turns."""
    times: dict[str, list[float]] = {name: [] for name in contenders}
    for number in range(1, repeats + 2):
        for name, step in contenders.items():
            started = time.perf_counter()
            step(batch, number)
            times[name].append(1000 * (time.perf_counter() - started) / len(batch.images))
    return {name: statistics.median(each[1:]) for name, each in times.items()}


if __name__ == "__main__":
    main()
