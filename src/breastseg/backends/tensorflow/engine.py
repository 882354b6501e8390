"""Training and using a Keras network behind the Backend protocol."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf
from jaxtyping import Float32

from breastseg.backends.protocol import BackendConfig, Logits, Precision, precision_of
from breastseg.backends.tensorflow.losses import total_loss
from breastseg.backends.tensorflow.network import build_unet
from breastseg.core.errors import InputError
from breastseg.networks.losses import needs_distance, signed_distance
from breastseg.networks.spec import Weight, check_weights, initial_weights, weight_table
from breastseg.pipeline.batches import Batch, Images
from breastseg.pipeline.preprocess import pad_to_stride

Array = Float32[np.ndarray, "..."]

# Keras's name of each role of a layer's weight.
_ATTRIBUTES = {
    "convolution.weight": "kernel",
    "up.weight": "kernel",
    "head.weight": "kernel",
    "convolution.bias": "bias",
    "up.bias": "bias",
    "head.bias": "bias",
    "norm.weight": "gamma",
    "norm.bias": "beta",
    "norm.mean": "moving_mean",
    "norm.variance": "moving_variance",
}


class Engine:
    """A U-Net in Keras with its optimiser; see backends.protocol.Backend.

    The update step is written out: Keras's Adam adds epsilon before the bias correction,
    PyTorch's behind it.
    """

    name = "tensorflow"

    def __init__(self, config: BackendConfig) -> None:
        _set_threads(config.num_threads)
        self.device = _device(config.device)
        on_cuda = self.device == "cuda"
        self.precision: Precision = precision_of(config.optimisation.precision, on_cuda=on_cuda)
        self._place = "/GPU:0" if on_cuda else "/CPU:0"
        self._config = config
        with tf.device(self._place):
            self._dropout_seed = tf.Variable([0, 0], dtype=tf.int32, trainable=False)
            self._model = build_unet(
                config.network, precision=self.precision, dropout_seed=self._dropout_seed
            )
            self._variables = _variables(self._model, config)
            self._trained = [weight for weight in self._variables if weight.trained]
            self._first, self._second = self._zero_moments(), self._zero_moments()
        self.load_weights(initial_weights(config.network, config.seed))
        self._compiled_step = tf.function(self._step, reduce_retracing=True)
        self._compiled_logits = tf.function(self._logits, reduce_retracing=True)

    def _zero_moments(self) -> dict[str, tf.Variable]:
        return {
            weight.name: tf.Variable(tf.zeros(self._variables[weight].shape), trainable=False)
            for weight in self._trained
        }

    def train_step(self, batch: Batch, *, step: int, learning_rate: float) -> float:
        """See Backend.train_step."""
        seed = np.random.SeedSequence([self._config.seed, step]).generate_state(2) >> 2
        self._dropout_seed.assign(seed.astype(np.int32))
        images, targets = (np.moveaxis(array, 1, -1) for array in (batch.images, batch.targets))
        constants = self._config.optimisation
        with tf.device(self._place):
            loss = self._compiled_step(
                tf.constant(images),
                tf.constant(targets),
                self._distance(batch),
                tf.constant(learning_rate, tf.float32),
                tf.constant(1 - constants.beta1**step, tf.float32),
                tf.constant(np.sqrt(1 - constants.beta2**step), tf.float32),
            )
        return float(loss)

    def _step(
        self,
        images: tf.Tensor,
        targets: tf.Tensor,
        distance: tf.Tensor | None,
        rate: tf.Tensor,
        first_correction: tf.Tensor,
        second_correction: tf.Tensor,
    ) -> tf.Tensor:
        variables = [self._variables[weight] for weight in self._trained]
        with tf.GradientTape() as tape:
            logits = self._model(images, training=True)
            loss = total_loss(self._config.loss, logits, targets, distance)
        gradients = tape.gradient(loss, variables)
        constants = self._config.optimisation
        for weight, variable, gradient in zip(self._trained, variables, gradients, strict=True):
            first, second = self._first[weight.name], self._second[weight.name]
            first.assign(constants.beta1 * first + (1 - constants.beta1) * gradient)
            squared = (1 - constants.beta2) * tf.square(gradient)
            second.assign(constants.beta2 * second + squared)
            decay = constants.weight_decay if weight.decayed else 0.0
            denominator = tf.sqrt(second) / second_correction + constants.epsilon
            change = first / first_correction / denominator
            variable.assign(variable * (1 - rate * decay) - rate * change)
        return loss

    def _distance(self, batch: Batch) -> tf.Tensor | None:
        if not needs_distance(self._config.loss):
            return None
        return tf.constant(np.moveaxis(signed_distance(batch.targets), 1, -1))

    def predict_logits(self, images: Images) -> Logits:
        """See Backend.predict_logits."""
        rows, columns = images.shape[2:]
        padded = pad_to_stride(images, self._config.network.stride)
        with tf.device(self._place):
            compiled = self._compiled_logits(tf.constant(np.moveaxis(padded, 1, -1)))
        logits: Logits = np.moveaxis(compiled.numpy(), -1, 1)[..., :rows, :columns]
        return logits

    def _logits(self, images: tf.Tensor) -> tf.Tensor:
        return self._model(images, training=False)

    def weights(self) -> Mapping[str, Array]:
        """See Backend.weights."""
        return {
            weight.name: _to_canonical(weight, variable.numpy())
            for weight, variable in self._variables.items()
        }

    def load_weights(self, weights: Mapping[str, Array]) -> None:
        """See Backend.load_weights."""
        check_weights(self._config.network, weights, source="load_weights")
        for weight, variable in self._variables.items():
            variable.assign(_from_canonical(weight, weights[weight.name]))

    def optimiser_state(self) -> Mapping[str, Array]:
        """See Backend.optimiser_state."""
        return {
            f"{moment}.{weight.name}": _to_canonical(weight, arrays[weight.name].numpy())
            for moment, arrays in (("first", self._first), ("second", self._second))
            for weight in self._trained
        }

    def load_optimiser_state(self, state: Mapping[str, Array]) -> None:
        """See Backend.load_optimiser_state."""
        for moment, arrays in (("first", self._first), ("second", self._second)):
            for weight in self._trained:
                saved = state.get(f"{moment}.{weight.name}")
                if saved is not None:
                    arrays[weight.name].assign(_from_canonical(weight, saved))


def _set_threads(num_threads: int | None) -> None:
    """Set the CPU threads, which TensorFlow allows only before its first operation."""
    if num_threads is None or num_threads == tf.config.threading.get_intra_op_parallelism_threads():
        return
    try:
        tf.config.threading.set_intra_op_parallelism_threads(num_threads)
        tf.config.threading.set_inter_op_parallelism_threads(1)
    except RuntimeError:
        raise InputError(
            f"--threads {num_threads}: TensorFlow has already started in this process with other "
            "threads. Set them before the first network is built."
        ) from None


def _device(wanted: str) -> str:
    there = bool(tf.config.list_physical_devices("GPU"))
    if wanted == "cuda" and not there:
        raise InputError("--device cuda: TensorFlow finds no CUDA device here. Use --device cpu.")
    return "cuda" if there and wanted != "cpu" else "cpu"


def _variables(model: Any, config: BackendConfig) -> dict[Weight, tf.Variable]:
    """Find the variable of each canonical weight by its layer's name."""
    found = {}
    for weight in weight_table(config.network):
        layer, _, kind = weight.name.rpartition(".")
        attribute = _ATTRIBUTES[f"{layer.rpartition('.')[2]}.{kind}"]
        found[weight] = getattr(model.get_layer(layer), attribute)
    return found


def _is_transposed(weight: Weight) -> bool:
    return weight.name.endswith(".up.weight") and weight.shape[-1] == 2


def _to_canonical(weight: Weight, array: Array) -> Array:
    """Turn a Keras kernel, (row, column, in, out) or transposed (row, column, out, in)."""
    if weight.role != "kernel":
        return array
    order = (2, 3, 0, 1) if _is_transposed(weight) else (3, 2, 0, 1)
    return np.ascontiguousarray(array.transpose(order))


def _from_canonical(weight: Weight, array: Array) -> Array:
    if weight.role != "kernel":
        return array
    return array.transpose((2, 3, 0, 1) if _is_transposed(weight) else (2, 3, 1, 0))
