"""A NetworkSpec as a Keras model. Channels are last, and layers bear the canonical names."""

from typing import Any, NamedTuple

import keras
import tensorflow as tf
from keras import layers

from breastseg.backends.tensorflow.efficientnet import efficientnet_features
from breastseg.backends.tensorflow.layers import LinearUpsampling, SeededDropout, make_norm
from breastseg.core.network_recipe import LiteUNetSpec, NetworkSpec, UNetSpec


class UNets(NamedTuple):
    """Two functional models of the same layers, from (batch, *space, channel).

    network: to logits (batch, *space, 1) in float32; each side must be a multiple of the
        spec's stride along it.
    supervised: to a list of the logits of all levels with a head, those of the network first.

    Where the spec has classes, their logits (batch, classes) are the last of a list in both.
    """

    network: keras.Model
    supervised: keras.Model


def build_unet(
    spec: NetworkSpec,
    *,
    precision: str = "float32",
    dropout_seed: tf.Variable | None = None,
    deep_supervision: int = 0,
) -> UNets:
    """Build the U-Net of Ronneberger et al. 2015 with `same` padding, or with another encoder.

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
    inputs = keras.Input((*(None,) * spec.dimensions, spec.input_channels))
    if isinstance(spec, LiteUNetSpec):
        *skips, features = efficientnet_features(inputs, spec.encoder, build.policy)
    else:
        *skips, features = _encoder_features(build, inputs, spec)
    classes = [build.classes(features)] if spec.classes else []
    found = []
    for level in reversed(range(len(skips))):
        features = build.up(features, f"decoder.{level}.up", level)
        if skips[level] is not None:
            features = layers.Concatenate(dtype=build.policy)([skips[level], features])
        features = build.dropout(features, f"decoder.{level}.dropout", level)
        features = build.block(features, f"decoder.{level}", level)
        if level <= deep_supervision:
            found.append(build.head(features, f"decoder.{level}.head" if level else "head"))
    return UNets(
        network=keras.Model(inputs, [found[-1], *classes] if classes else found[-1], name="unet"),
        supervised=keras.Model(inputs, [*found[::-1], *classes], name="supervised"),
    )


def _encoder_features(build: "_Builder", inputs: Any, spec: UNetSpec) -> list[Any]:
    """Return the features of each level; what each returns is both skip and way down."""
    found = [build.block(inputs, "encoder.0", 0)]
    for level in range(1, len(spec.channels)):
        features = build.pool(found[-1], level - 1)
        features = build.dropout(features, f"encoder.{level - 1}.dropout", level - 1)
        found.append(build.block(features, f"encoder.{level}", level))
    return found


class _Layers(NamedTuple):
    """Keras's classes for images or for volumes."""

    convolution: type
    transposed: type
    pooling: type
    mean: type


_LAYERS = {
    2: _Layers(
        layers.Conv2D, layers.Conv2DTranspose, layers.MaxPooling2D, layers.GlobalAveragePooling2D
    ),
    3: _Layers(
        layers.Conv3D, layers.Conv3DTranspose, layers.MaxPooling3D, layers.GlobalAveragePooling3D
    ),
}


class _Builder:
    """What all levels share: the spec, the precision and the dropout seed."""

    def __init__(self, spec: NetworkSpec, precision: str, dropout_seed: tf.Variable) -> None:
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

    def classes(self, latent: Any) -> Any:
        """Tell the classes of an image from the mean of its latent features, in float32."""
        pooled = self.layers.mean(dtype="float32")(latent)
        return layers.Dense(len(self.spec.classes), dtype="float32", name="classes")(pooled)

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
