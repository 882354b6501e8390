"""Keras layers whose arithmetic is that of their PyTorch twins. Channels are last."""

from typing import Any

import keras
import tensorflow as tf

from breastseg.core.network_recipe import NetworkSpec
from breastseg.networks.spec import BATCH_NORM_MOMENTUM, DROPOUT_STEPS, NORM_EPSILON


class _Normalisation(keras.layers.Layer):  # type: ignore[misc]  # keras has no type hints
    """Scale and shift per channel around normalised features; statistics in float32."""

    def __init__(self, epsilon: float = NORM_EPSILON, **layer: Any) -> None:
        super().__init__(**layer)
        self.epsilon = epsilon

    def build(self, shape: tuple[int | None, ...]) -> None:
        channels = (shape[-1],)
        self.gamma = self.add_weight(channels, "ones", dtype="float32", name="gamma")
        self.beta = self.add_weight(channels, "zeros", dtype="float32", name="beta")

    def _apply(self, features: tf.Tensor, mean: tf.Tensor, variance: tf.Tensor) -> tf.Tensor:
        scale = tf.math.rsqrt(variance + self.epsilon) * self.gamma
        shift = self.beta - mean * scale
        return features * tf.cast(scale, features.dtype) + tf.cast(shift, features.dtype)


class GroupNormalization(_Normalisation):
    """Group normalisation without moving the data into groups, which costs time on a CPU.

    Source: Wu and He 2018, equations 1 to 7.
    """

    def __init__(self, groups: int, **layer: Any) -> None:
        super().__init__(**layer)
        self.groups = groups

    def call(self, features: tf.Tensor) -> tf.Tensor:
        """Normalise (batch, *space, channel) features."""
        wide = tf.cast(features, tf.float32)
        mean, variance = tf.nn.moments(wide, _axes(features)[1:], keepdims=True)
        group_mean = self._over_group(mean)
        spread = self._over_group(variance + tf.square(mean - group_mean))
        return self._apply(features, group_mean, spread)

    def _over_group(self, per_channel: tf.Tensor) -> tf.Tensor:
        *_, channels = per_channel.shape
        ones = (1,) * (len(per_channel.shape) - 2)
        grouped = tf.reshape(per_channel, (-1, *ones, self.groups, channels // self.groups))
        grouped = tf.reduce_mean(grouped, axis=-1)
        return tf.repeat(grouped, channels // self.groups, axis=-1)


def _axes(features: tf.Tensor) -> tuple[int, ...]:
    """Return batch and space: all axes but the channels."""
    return tuple(range(len(features.shape) - 1))


class BatchNormalization(_Normalisation):
    """Batch normalisation whose running variance is the unbiased one, as in PyTorch.

    Source: Ioffe and Szegedy 2015, algorithms 1 and 2.
    """

    def build(self, shape: tuple[int | None, ...]) -> None:
        """Add the running statistics, which the optimiser does not touch."""
        super().build(shape)
        channels, kind = (shape[-1],), {"dtype": "float32", "trainable": False}
        self.moving_mean = self.add_weight(channels, "zeros", name="mean", **kind)
        self.moving_variance = self.add_weight(channels, "ones", name="variance", **kind)

    def call(self, features: tf.Tensor, training: bool = False) -> tf.Tensor:
        """Normalise (batch, *space, channel) features."""
        if not training:
            return self._apply(features, self.moving_mean.value, self.moving_variance.value)
        wide = tf.cast(features, tf.float32)
        mean, variance = tf.nn.moments(wide, _axes(features))
        count = tf.cast(tf.size(wide) // wide.shape[-1], tf.float32)
        unbiased = variance * count / (count - 1)
        for running, newest in ((self.moving_mean, mean), (self.moving_variance, unbiased)):
            running.assign(running + BATCH_NORM_MOMENTUM * (newest - running))
        return self._apply(features, mean, variance)


class SeededDropout(keras.layers.Layer):  # type: ignore[misc]  # keras has no type hints
    """Dropout whose mask depends on a seed that the engine sets before each step.

    The mask takes 16 random bits a feature, a quarter of the time of TensorFlow's own.
    """

    def __init__(self, rate: float, seed: tf.Variable, number: int, **layer: Any) -> None:
        super().__init__(**layer)
        self.rate, self.seed, self.number = rate, seed, number

    def call(self, features: tf.Tensor, training: bool = False) -> tf.Tensor:
        """Drop single features and scale the others up, in training alone."""
        if not training or not self.rate:
            return features
        seed = self.seed + tf.constant([0, self.number], tf.int32)
        steps = min(round(self.rate * DROPOUT_STEPS), DROPOUT_STEPS - 1)
        kept = _random_bits(features, seed) >= steps - DROPOUT_STEPS // 2
        return features * (tf.cast(kept, features.dtype) / (1 - self.rate))


def _random_bits(features: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Draw 16 bits for each feature, as int16."""
    channels, pairs = features.shape[-1], (features.shape[-1] + 1) // 2
    shape = tf.concat([tf.shape(features)[:-1], [pairs]], axis=0)
    wide = tf.random.stateless_uniform(shape, seed, minval=None, maxval=None, dtype=tf.uint32)
    split = tf.concat([tf.shape(features)[:-1], [2 * pairs]], axis=0)
    bits = tf.reshape(tf.bitcast(wide, tf.int16), split)
    return bits if channels == 2 * pairs else bits[..., :channels]


class LinearUpsampling(keras.layers.Layer):  # type: ignore[misc]  # keras has no type hints
    """Linear upsampling for inputs of any size; Keras's own wants a known size.

    Args:
        stride: how much finer the grid becomes along each axis.
    """

    def __init__(self, stride: tuple[int, ...], **layer: Any) -> None:
        super().__init__(**layer)
        self.stride = stride

    def call(self, features: tf.Tensor) -> tf.Tensor:
        """Refine the grid, pixel centres at half integers as in PyTorch."""
        *slices, row_step, column_step = self.stride
        finer = _refined_planes(features, (row_step, column_step))
        if slices:
            finer = _refined_slices(finer, slices[0])
        space = (None,) * len(self.stride)
        return tf.ensure_shape(tf.cast(finer, features.dtype), (None, *space, features.shape[-1]))


def _refined_planes(features: tf.Tensor, stride: tuple[int, int]) -> tf.Tensor:
    """Refine rows and columns, plane by plane; in float32, which the resizing returns."""
    shape, channels = tf.shape(features), features.shape[-1]
    planes = tf.reshape(features, tf.concat([[-1], shape[-3:]], axis=0))
    size = shape[-3:-1] * tf.constant(stride)
    finer = tf.image.resize(planes, size, "bilinear")
    return tf.reshape(finer, tf.concat([shape[:-3], size, [channels]], axis=0))


def _refined_slices(features: tf.Tensor, step: int) -> tf.Tensor:
    """Refine the first axis of space: as rows of a plane whose columns are all the rest."""
    shape, channels = tf.shape(features), features.shape[-1]
    size = shape[1:2] * step
    in_plane = tf.reduce_prod(shape[2:-1], keepdims=True)
    planes = tf.reshape(features, tf.concat([shape[:2], in_plane, [channels]], axis=0))
    finer = tf.image.resize(planes, tf.concat([size, in_plane], axis=0), "bilinear")
    return tf.reshape(finer, tf.concat([shape[:1], size, shape[2:]], axis=0))


def make_norm(spec: NetworkSpec, channels: int, **layer: Any) -> keras.layers.Layer | None:
    """Return the normalisation layer of the spec, or nothing."""
    if spec.norm == "group":
        return GroupNormalization(channels // spec.channels_per_group, **layer)
    return BatchNormalization(**layer) if spec.norm == "batch" else None
