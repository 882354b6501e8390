"""How fast one image is predicted, beside plain PyTorch and plain Keras on the same network.

All contenders take turns in one process; the table shows the median over the repeats. Weights are
initial and images are noise: of 8 bits this shows the speed, and `breastseg export --int8` on a
run what they cost.
"""

import argparse
import os
import statistics
import time
from collections.abc import Callable

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np
import tensorflow as tf
import torch
from rich.console import Console
from rich.table import Table

from breastseg.backends.onnx.network import build_onnx
from breastseg.backends.pytorch.network import UNet
from breastseg.backends.tensorflow.network import build_unet
from breastseg.core.network_recipe import NETWORKS, NetworkSpec
from breastseg.inference.int8 import quantise
from breastseg.inference.runtime import has_bfloat16, open_runtime
from breastseg.networks.spec import initial_weights

PEER = "plain PyTorch float32"
Predict = Callable[[], object]


def contenders_of(spec: NetworkSpec, size: int, threads: int) -> dict[str, Predict]:
    """Return what predicts one image in each way."""
    weights = initial_weights(spec, 0)
    image = np.random.default_rng(0).normal(size=(1, 1, size, size)).astype(np.float32)
    last = np.moveaxis(image, 1, -1)
    network, model = UNet(spec).eval(), build_unet(spec).network

    def plain_pytorch() -> object:
        with torch.inference_mode():
            return network(torch.from_numpy(image))

    found: dict[str, Predict] = {
        PEER: plain_pytorch,
        "plain Keras predict float32": lambda: model.predict(last, verbose=0),
    }
    ways = [("openvino", "float32"), ("onnxruntime", "float32")]
    if has_bfloat16():
        ways.append(("openvino", "bfloat16"))
    for runtime, precision in ways:
        opened = open_runtime(spec, weights, runtime=runtime, threads=threads, precision=precision)
        found[f"breastseg {runtime} {precision}"] = lambda opened=opened: opened.logits(image)
    rounded, _ = quantise(bytes(build_onnx(spec, weights).SerializeToString()), [image] * 4)
    fast = open_runtime(spec, rounded, threads=threads, precision="int8")
    found["breastseg openvino int8"] = lambda: fast.logits(image)
    return found


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--networks", nargs="+", default=["unet-256", "unet-deep", "unet-lite0"])
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    tf.config.threading.set_intra_op_parallelism_threads(given.threads)
    table = Table(title=f"One {given.size}x{given.size} image, {given.threads} threads")
    for heading in ("network", "contender", "ms", "against plain PyTorch"):
        table.add_column(heading)
    for name in given.networks:
        contenders = contenders_of(NETWORKS[name], given.size, given.threads)
        times: dict[str, list[float]] = {each: [] for each in contenders}
        for _ in range(given.repeats + 2):
            for contender, predict in contenders.items():
                started = time.perf_counter()
                predict()
                times[contender].append(1000 * (time.perf_counter() - started))
        medians = {each: statistics.median(values[2:]) for each, values in times.items()}
        for contender, milliseconds in medians.items():
            ratio = f"{medians[PEER] / milliseconds:.2f}x"
            table.add_row(name, contender, f"{milliseconds:.1f}", ratio)
    Console().print(table)


if __name__ == "__main__":
    main()
