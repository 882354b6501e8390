"""Training and using a Keras network behind the Backend protocol."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf
from jaxtyping import Float32

from breastseg.backends.protocol import (
    BackendConfig,
    Labels,
    Precision,
    distance_for,
    labels_for,
    precision_of,
)
from breastseg.backends.tensorflow.losses import class_cross_entropy, deeply_supervised_loss
from breastseg.backends.tensorflow.network import build_unet
from breastseg.backends.tensorflow.optimiser import Optimiser
from breastseg.core.errors import InputError
from breastseg.networks.deep_supervision import coarser_targets
from breastseg.networks.output import Logits, NetworkOutput
from breastseg.networks.spec import check_weights, initial_weights, weight_table
from breastseg.networks.weight import Weight
from breastseg.pipeline.batches import Batch, Images
from breastseg.pipeline.preprocess import cropped_to, pad_to_stride

Array = Float32[np.ndarray, "..."]
_Targets = list[tuple[tf.Tensor, tf.Tensor | None]]

# Keras's name of each role of a layer's weight.
_ATTRIBUTES = {
    "convolution.weight": "kernel",
    "up.weight": "kernel",
    "head.weight": "kernel",
    "convolution.bias": "bias",
    "up.bias": "bias",
    "head.bias": "bias",
    "classes.weight": "kernel",
    "classes.bias": "bias",
    "norm.weight": "gamma",
    "norm.bias": "beta",
    "norm.mean": "moving_mean",
    "norm.variance": "moving_variance",
}


class Engine:
    """A U-Net in Keras with its optimiser; see backends.protocol.Backend."""

    name = "tensorflow"

    def __init__(self, config: BackendConfig) -> None:
        _set_threads(config.num_threads)
        self.device = _device(config.device)
        on_cuda = self.device == "cuda"
        self.precision: Precision = precision_of(config.optimisation.precision, on_cuda=on_cuda)
        self._place = "/GPU:0" if on_cuda else "/CPU:0"
        self._config, self._num_coarser = config, config.optimisation.deep_supervision
        self._strides = [config.network.stride_at(level) for level in range(self._num_coarser)]
        with tf.device(self._place):
            self._dropout_seed = tf.Variable([0, 0], dtype=tf.int32, trainable=False)
            self._models = build_unet(
                config.network,
                precision=self.precision,
                dropout_seed=self._dropout_seed,
                deep_supervision=self._num_coarser,
            )
            self._variables = _variables(self._models.supervised, config)
            self._optimiser = Optimiser(config.optimisation, self._variables)
        self.load_weights(initial_weights(config.network, config.seed, self._num_coarser))
        # No branch depends on a tensor, and AutoGraph warns of the losses' pydantic models.
        compiled = {"reduce_retracing": True, "autograph": False}
        self._compiled_step = tf.function(self._step, **compiled)
        self._compiled_gradients = tf.function(self._gradients, **compiled)
        self._compiled_update = tf.function(self._optimiser.apply)
        self._compiled_logits = tf.function(self._logits, reduce_retracing=True)

    def train_step(self, batch: Batch, *, step: int, learning_rate: float) -> float:
        """See Backend.train_step."""
        coefficients = self._optimiser.coefficients(step=step, learning_rate=learning_rate)
        with tf.device(self._place):
            if self._config.optimisation.accumulation > 1:
                return self._accumulated_step(batch, step, coefficients)
            self._seed_dropout(step)
            images = _channels_last(batch.images)
            targets, labels = self._targets(batch), labels_for(self._config.network, batch)
            return float(self._compiled_step(images, targets, _labels(labels), coefficients))

    def _accumulated_step(
        self, batch: Batch, step: int, coefficients: tuple[tf.Tensor, ...]
    ) -> float:
        """Take the step of a batch whose parts fit in the memory one at a time."""
        total, gradients = 0.0, [tf.zeros(v.shape) for v in self._optimiser.variables]
        for number, (part, share) in enumerate(batch.parts(self._config.optimisation.accumulation)):
            self._seed_dropout(step, number)
            images = _channels_last(part.images)
            labels = labels_for(self._config.network, part)
            loss, found = self._compiled_gradients(images, self._targets(part), _labels(labels))
            gradients = [sum_ + share * each for sum_, each in zip(gradients, found, strict=True)]
            total += share * float(loss)
        self._compiled_update(gradients, coefficients)
        return total

    def _seed_dropout(self, step: int, *part: int) -> None:
        seed = np.random.SeedSequence([self._config.seed, step, *part]).generate_state(2) >> 2
        self._dropout_seed.assign(seed.astype(np.int32))

    def _step(
        self,
        images: tf.Tensor,
        targets: _Targets,
        labels: tf.Tensor | None,
        coefficients: tuple[tf.Tensor, ...],
    ) -> tf.Tensor:
        loss, gradients = self._gradients(images, targets, labels)
        self._optimiser.apply(gradients, coefficients)
        return loss

    def _gradients(
        self, images: tf.Tensor, targets: _Targets, labels: tf.Tensor | None
    ) -> tuple[tf.Tensor, list[tf.Tensor]]:
        with tf.GradientTape() as tape:
            # Keras takes a list of one out of its list.
            logits = tf.nest.flatten(self._models.supervised(images, training=True))
            loss = deeply_supervised_loss(self._config.loss, logits[: len(targets)], targets)
            if labels is not None:
                of_classes = class_cross_entropy(logits[-1], labels)
                loss = loss + self._config.class_loss_weight * of_classes
        return loss, tape.gradient(loss, self._optimiser.variables)

    def _targets(self, batch: Batch) -> _Targets:
        """Return target and distance of each supervised level, the image's resolution first."""
        distance = distance_for(self._config.loss, batch)
        finest = (_channels_last(batch.targets), _channels_last(distance))
        coarser = coarser_targets(batch.targets, self._strides, self._config.loss)
        return [
            finest,
            *((_channels_last(each.target), _channels_last(each.distance)) for each in coarser),
        ]

    def predict_logits(self, images: Images) -> Logits:
        """See Backend.predict_logits."""
        return self.predict(images).logits

    def predict(self, images: Images) -> NetworkOutput:
        """See Backend.predict."""
        padded = pad_to_stride(images, self._config.network.stride)
        with tf.device(self._place):
            found = self._compiled_logits(tf.constant(np.moveaxis(padded, 1, -1)))
        logits, *classes = (array.numpy() for array in found)
        inside = cropped_to(np.moveaxis(logits, -1, 1), images.shape)
        return NetworkOutput(inside, classes[0] if classes else None)

    def _logits(self, images: tf.Tensor) -> list[tf.Tensor]:
        found: list[tf.Tensor] = tf.nest.flatten(self._models.network(images, training=False))
        return found

    def weights(self) -> Mapping[str, Array]:
        """See Backend.weights."""
        return {
            weight.name: _to_canonical(weight, variable.numpy())
            for weight, variable in self._variables.items()
        }

    def load_weights(self, weights: Mapping[str, Array]) -> None:
        """See Backend.load_weights."""
        check_weights(
            self._config.network,
            weights,
            source="load_weights",
            deep_supervision=self._num_coarser,
        )
        for weight, variable in self._variables.items():
            variable.assign(_from_canonical(weight, weights[weight.name]))

    def optimiser_state(self) -> Mapping[str, Array]:
        """See Backend.optimiser_state."""
        return {
            name: _to_canonical(weight, slot.numpy())
            for name, (weight, slot) in self._optimiser.slots().items()
        }

    def load_optimiser_state(self, state: Mapping[str, Array]) -> None:
        """See Backend.load_optimiser_state."""
        for name, (weight, slot) in self._optimiser.slots().items():
            if name in state:
                slot.assign(_from_canonical(weight, state[name]))


def _channels_last(array: Array | None) -> tf.Tensor | None:
    return None if array is None else tf.constant(np.moveaxis(array, 1, -1))


def _labels(labels: Labels | None) -> tf.Tensor | None:
    return None if labels is None else tf.constant(labels, tf.int32)


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
    for weight in weight_table(config.network, config.optimisation.deep_supervision):
        layer, _, kind = weight.name.rpartition(".")
        attribute = _ATTRIBUTES[f"{layer.rpartition('.')[2]}.{kind}"]
        found[weight] = getattr(model.get_layer(layer), attribute)
    return found


def _to_canonical(weight: Weight, array: Array) -> Array:
    """Turn a Keras kernel: (*space, in, out), or transposed and depthwise (*space, out, in)."""
    if weight.role != "kernel":
        return array
    return np.ascontiguousarray(np.moveaxis(array, _kernel_axes(weight), (0, 1)))


def _from_canonical(weight: Weight, array: Array) -> Array:
    if weight.role != "kernel":
        return array
    return np.moveaxis(array, (0, 1), _kernel_axes(weight))


def _kernel_axes(weight: Weight) -> tuple[int, int]:
    """Return where Keras has the first two axes of a canonical kernel."""
    return (-2, -1) if weight.transposed or weight.depthwise else (-1, -2)
