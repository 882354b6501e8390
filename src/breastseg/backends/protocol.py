"""The one seam between shared NumPy code and a deep-learning framework."""

import contextlib
import importlib
import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
from jaxtyping import Float32, Int64

from breastseg.core.errors import InputError, MissingExtraError
from breastseg.core.loss_terms import LossTerm
from breastseg.core.network_recipe import UNLABELLED, NetworkSpec
from breastseg.core.recipe import Optimisation
from breastseg.networks.losses import needs_distance
from breastseg.networks.output import Logits, NetworkOutput
from breastseg.pipeline.batches import Batch, Distances, Images

Array = Float32[np.ndarray, "..."]
Labels = Int64[np.ndarray, " batch"]
Framework = Literal["pytorch", "tensorflow"]
Precision = Literal["float32", "bfloat16"]
FRAMEWORKS: tuple[Framework, ...] = ("pytorch", "tensorflow")


class Backend(Protocol):
    """A network being trained or used. NumPy in, NumPy out, channels first."""

    name: str
    device: str
    precision: Precision

    def train_step(self, batch: Batch, *, step: int, learning_rate: float) -> float:
        """Take one optimiser step; return the loss before it.

        The loss is networks.deep_supervision's mean over the levels that the recipe supervises,
        and where the network tells classes, `class_loss_weight` times networks.classification's.
        The batch is worked through in the recipe's `accumulation` parts, and must bring the
        distance map where the loss needs it (networks.losses.needs_distance). Dropout depends on
        the seed and `step` alone. `step` counts from 1 over the whole run and is the
        optimiser's bias correction.
        """

    def predict_logits(self, images: Images) -> Logits:
        """Evaluate without dropout; inputs of any size, padded to the stride and cropped."""

    def predict(self, images: Images) -> NetworkOutput:
        """Evaluate as predict_logits does, and tell the classes of whole images as well."""

    def weights(self) -> Mapping[str, Array]:
        """Return all weights by canonical name, kernels as (out, in, *space), see networks.spec.

        With deep supervision the heads that are there for training alone are among them.
        """

    def load_weights(self, weights: Mapping[str, Array]) -> None:
        """Replace all weights.

        Raises:
            WeightsError: a name is missing or unknown, or a shape differs.
        """

    def optimiser_state(self) -> Mapping[str, Array]:
        """Return the optimiser's moments as `MOMENT.WEIGHT`, shaped as the weights.

        The moments are `first` and `second` of Adam, `momentum` of SGD.
        """

    def load_optimiser_state(self, state: Mapping[str, Array]) -> None:
        """Replace the optimiser's moments; the step comes with the next train_step."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BackendConfig:
    """What a backend needs to be built.

    device: cpu or cuda; auto takes CUDA where there is one.
    num_threads: for the CPU; None leaves it to the framework.
    """

    network: NetworkSpec
    loss: tuple[LossTerm, ...]
    optimisation: Optimisation
    class_loss_weight: float = 0.2
    seed: int = 0
    device: Literal["auto", "cpu", "cuda"] = "auto"
    num_threads: int | None = None


def make_backend(framework: str, config: BackendConfig) -> Backend:
    """Build a network with its optimiser in a framework, which is imported only now.

    Raises:
        InputError: no such framework.
        MissingExtraError: the framework is not installed.
    """
    if framework not in FRAMEWORKS:
        raise InputError(
            f"--framework {framework}: expected {' or '.join(FRAMEWORKS)}, got '{framework}'."
        )
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    try:
        with _quiet():
            engine = importlib.import_module(f"breastseg.backends.{framework}.engine")
    except ImportError as error:
        raise MissingExtraError(
            f"{framework} is not installed ({error}). Install it with: "
            f'pip install "breastseg[{framework}]"'
        ) from None
    backend: Backend = engine.Engine(config)
    return backend


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Hide what native code prints while a framework loads; errors are exceptions.

    TensorFlow 2.21 announces oneDNN whatever TF_CPP_MIN_LOG_LEVEL says.
    """
    sys.stderr.flush()
    saved, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)
        os.close(nowhere)


def distance_for(loss: Iterable[LossTerm], batch: Batch) -> Distances | None:
    """Return the distance map that a loss takes, or None where it takes none.

    Raises:
        ValueError: the batch was made without it.
    """
    if not needs_distance(loss):
        return None
    if batch.distance is None:
        raise ValueError(
            "the boundary loss needs Batch.distance, got None: make batches with "
            "Batching(distance_of=signed_distance)"
        )
    return batch.distance


def labels_for(network: NetworkSpec, batch: Batch) -> Labels | None:
    """Return the class of each image, or None where the network tells no classes."""
    if not network.classes:
        return None
    return np.full(len(batch.images), UNLABELLED) if batch.labels is None else batch.labels


def precision_of(wanted: Literal["auto", "float32", "bfloat16"], *, on_cuda: bool) -> Precision:
    """Choose bfloat16 where the hardware multiplies it fast: CUDA, AMX or AVX-512 BF16."""
    if wanted != "auto":
        return wanted
    return "bfloat16" if on_cuda or _cpu_multiplies_bfloat16() else "float32"


def _cpu_multiplies_bfloat16() -> bool:
    flags = Path("/proc/cpuinfo")
    text = flags.read_text(encoding="utf-8", errors="replace") if flags.is_file() else ""
    return "avx512_bf16" in text or "amx_bf16" in text
