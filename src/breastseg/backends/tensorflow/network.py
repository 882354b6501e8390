"""A UNetSpec as a Keras model. Channels are last, and layers bear the canonical names."""

from typing import Any, NamedTuple

import keras
import tensorflow as tf
from keras import layers

from breastseg.backends.tensorflow.layers import LinearUpsampling, SeededDropout, make_norm
from breastseg.core.network_recipe import UNetSpec


class UNets(NamedTuple):
    """Two functional models of the same layers, from (batch, *space, channel).

    network: to logits (batch, *space, 1) in float32; each side must be a multiple of the
        spec's stride along it.
    supervised: to a list of the logits of all levels with a head, those of the network first.
    """

    network: keras.Model
    supervised: keras.Model


def build_unet(
    spec: UNetSpec,
    *,
    precision: str = "float32",
    dropout_seed: tf.Variable | None = None,
    deep_supervision: int = 0,
) -> UNets:
    """Build the U-Net of Ronneberger et al. 2015 with `same` padding; see UNetSpec.

    Args:
        spec: the network.
        precision: float32, or bfloat16 for computing in bfloat16 with float32 weights.
        dropout_seed: two integers that decide the dropout masks; a fixed seed where None.
        deep_supervision: how many decoder levels have a head of their own, for training.
    """
    seed = (
        tf.Variable([0, 0], dtype=tf.int32, trainable=False)
        if dropout_seed is None
        else dropout_seed
    )
    build = _Builder(spec, precision, seed)
    inputs = features = keras.Input((*(None,) * spec.dimensions, spec.input_channels))
    skips, found = [], []
    for level in range(len(spec.channels) - 1):
        skips.append(build.block(features, f"encoder.{level}", level))
        features = build.pool(skips[-1], level)
        features = build.dropout(features, f"encoder.{level}.dropout", level)
    features = build.block(features, f"encoder.{len(skips)}", len(skips))
    for level in reversed(range(len(skips))):
        features = build.up(features, f"decoder.{level}.up", level)
        features = layers.Concatenate(dtype=build.policy)([skips[level], features])
        features = build.dropout(features, f"decoder.{level}.dropout", level)
        features = build.block(features, f"decoder.{level}", level)
        if level <= deep_supervision:
            found.append(build.head(features, f"decoder.{level}.head" if level else "head"))
    return UNets(
        network=keras.Model(inputs, found[-1], name="unet"),
        supervised=keras.Model(inputs, found[::-1], name="supervised"),
    )


class _Layers(NamedTuple):
    """Keras's classes for images or for volumes."""

    convolution: type
    transposed: type
    pooling: type


_LAYERS = {
    2: _Layers(layers.Conv2D, layers.Conv2DTranspose, layers.MaxPooling2D),
    3: _Layers(layers.Conv3D, layers.Conv3DTranspose, layers.MaxPooling3D),
}


class _Builder:
    """What all levels share: the spec, the precision and the dropout seed."""

    def __init__(self, spec: UNetSpec, precision: str, dropout_seed: tf.Variable) -> None:
        self.spec, self.dropout_seed, self.num_dropouts = spec, dropout_seed, 0
        self.layers = _LAYERS[spec.dimensions]
        self.policy = keras.DTypePolicy("mixed_bfloat16" if precision == "bfloat16" else "float32")

    def _convolve(self, features: Any, level: int, name: str) -> Any:
        channels, taps = self.spec.channels[level], self.spec.kernel_at(level)
        layer = self.layers.convolution(
            channels, taps, padding="same", dtype=self.policy, name=name
        )
        return layer(features)

    def head(self, features: Any, name: str) -> Any:
        """Convolve with one tap to logits, in float32 whatever the precision of the features."""
        return self.layers.convolution(1, 1, dtype="float32", name=name)(features)

    def pool(self, features: Any, level: int) -> Any:
        return self.layers.pooling(self.spec.stride_at(level), dtype=self.policy)(features)

    def block(self, features: Any, prefix: str, level: int) -> Any:
        channels = self.spec.channels[level]
        for i in range(self.spec.convolutions_at(level)):
            name = f"{prefix}.block.{i}"
            features = self._convolve(features, level, f"{name}.convolution")
            norm = make_norm(self.spec, channels, name=f"{name}.norm", dtype=self.policy)
            features = norm(features) if norm is not None else features
            features = layers.ReLU(dtype=self.policy)(features)
        return features

    def up(self, features: Any, name: str, level: int) -> Any:
        channels, stride = self.spec.channels[level], self.spec.stride_at(level)
        if self.spec.upsampling == "transposed":
            layer = self.layers.transposed(channels, stride, stride, dtype=self.policy, name=name)
            return layer(features)
        finer = LinearUpsampling(stride, dtype=self.policy)(features)
        return self._convolve(finer, level, name)

    def dropout(self, features: Any, name: str, level: int) -> Any:
        rate = self.spec.dropout_at(level)
        if not rate:
            return features
        self.num_dropouts += 1
        layer = SeededDropout(
            rate, self.dropout_seed, self.num_dropouts, name=name, dtype=self.policy
        )
        return layer(features)
