"""Where the time of a training step goes."""

import time
from collections.abc import Callable

import tensorflow as tf
import torch
from torch.profiler import ProfilerActivity

from breastseg.backends.protocol import Backend
from breastseg.backends.tensorflow.engine import _channels_last
from breastseg.pipeline.batches import Batch

ROWS, REPEATS = 16, 5


def print_profile(backend: Backend, batch: Batch) -> None:
    """Print a table of operators (PyTorch), or of the parts of a step (TensorFlow)."""
    for step in range(1, 4):
        backend.train_step(batch, step=step, learning_rate=1e-3)
    print(f"\n{backend.name}, {backend.precision}, one step of {len(batch.images)} images")
    {"pytorch": _pytorch, "tensorflow": _tensorflow}[backend.name](backend, batch)


def _pytorch(backend: Backend, batch: Batch) -> None:
    with torch.profiler.profile(activities=[ProfilerActivity.CPU]) as found:
        backend.train_step(batch, step=4, learning_rate=1e-3)
    averages = sorted(found.key_averages(), key=lambda each: -each.self_cpu_time_total)
    total = sum(each.self_cpu_time_total for each in averages)
    for each in averages[:ROWS]:
        share = each.self_cpu_time_total / total
        print(f"{each.key:48.48} {each.self_cpu_time_total / 1000:8.1f} ms {share:6.1%}")


def _tensorflow(backend: Backend, batch: Batch) -> None:
    """Time what a step is made of; the parts are differences, so they are coarse."""
    images, targets = _channels_last(batch.images), backend._targets(batch)
    model, gradients = backend._models.network, backend._compiled_gradients
    forward = tf.function(lambda images: tf.reduce_sum(model(images, training=True)))
    without_dropout = tf.function(lambda images: tf.reduce_sum(model(images, training=False)))
    copied = _milliseconds(lambda: (_channels_last(batch.images), backend._targets(batch)))
    inference = _milliseconds(lambda: float(without_dropout(images)))
    training = _milliseconds(lambda: float(forward(images)))
    both = _milliseconds(lambda: float(gradients(images, targets)[0]))
    whole = _milliseconds(lambda: backend.train_step(batch, step=4, learning_rate=1e-3))
    for name, spent in (
        ("copy of the inputs", copied),
        ("forward", inference),
        ("what training adds to it, dropout above all", training - inference),
        ("loss and backward", both - training),
        ("optimiser and the rest", whole - both - copied),
        ("whole step", whole),
    ):
        print(f"{name:48} {spent:8.1f} ms {spent / whole:6.1%}")


def _milliseconds(run: Callable[[], object]) -> float:
    """Return the shortest of some runs: the others were disturbed."""
    run()
    times = []
    for _ in range(REPEATS):
        started = time.perf_counter()
        run()
        times.append(1000 * (time.perf_counter() - started))
    return min(times)
