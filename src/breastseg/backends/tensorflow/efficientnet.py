"""The EfficientNet-Lite encoder in Keras layers that bear the canonical names.

Keras's `same` padding is what the weights expect; see core.efficientnet.same_padding.
"""

from typing import Any

import keras
from keras import layers

from breastseg.backends.tensorflow.layers import BatchNormalization
from breastseg.core.efficientnet import (
    NORM_EPSILON,
    NUM_LEVELS,
    STEM_CHANNELS,
    STEM_TAPS,
    Block,
    Encoder,
    blocks_of,
)


def efficientnet_features(images: Any, encoder: Encoder, policy: keras.DTypePolicy) -> list[Any]:
    """Return what the last block of each level makes of the images; None at level 0.

    Args:
        images: Keras tensor (batch, row, column, 1), sides multiples of 32.
        policy: precision of the layers.
    """
    units = _Units(policy)
    found: list[Any] = [None] * NUM_LEVELS
    features = units.convolve(images, STEM_CHANNELS, "encoder.stem", taps=STEM_TAPS, stride=2)
    for number, block in enumerate(blocks_of(encoder)):
        features = units.block(features, block, f"encoder.block.{number}")
        found[block.level] = features
    return found


class _Units:
    """Convolution without bias, batch normalisation, and ReLU6 where it is active."""

    def __init__(self, policy: keras.DTypePolicy) -> None:
        self._policy = policy

    def block(self, features: Any, block: Block, name: str) -> Any:
        """Return features of the block's level."""
        found = features
        if block.expands:
            found = self.convolve(found, block.expanded, f"{name}.expand")
        found = self._filter(found, block, f"{name}.depthwise")
        found = self.convolve(found, block.outputs, f"{name}.project", active=False)
        return layers.Add(dtype=self._policy)([features, found]) if block.is_residual else found

    def convolve(
        self,
        features: Any,
        outputs: int,
        name: str,
        *,
        taps: int = 1,
        stride: int = 1,
        active: bool = True,
    ) -> Any:
        """Convolve across channels."""
        layer = layers.Conv2D(
            outputs, taps, stride, name=f"{name}.convolution", **self._same_padding_no_bias()
        )
        return self._finish(layer(features), name, active=active)

    def _filter(self, features: Any, block: Block, name: str) -> Any:
        """Convolve each channel by itself."""
        layer = layers.DepthwiseConv2D(
            block.taps, block.stride, name=f"{name}.convolution", **self._same_padding_no_bias()
        )
        return self._finish(layer(features), name, active=True)

    def _same_padding_no_bias(self) -> dict[str, Any]:
        return {"padding": "same", "use_bias": False, "dtype": self._policy}

    def _finish(self, features: Any, name: str, *, active: bool) -> Any:
        norm = BatchNormalization(NORM_EPSILON, name=f"{name}.norm", dtype=self._policy)
        found = norm(features)
        return layers.ReLU(6.0, dtype=self._policy)(found) if active else found
