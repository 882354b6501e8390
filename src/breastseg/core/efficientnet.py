"""EfficientNet-Lite as plain data: which blocks follow each other.

Source: Tan and Le 2019 (EfficientNet), table 1 and section 3.3; the Lite variants as published
with TensorFlow TPU (models/official/efficientnet/lite): no squeeze-and-excitation, ReLU6 for
swish, stem and last stage not scaled.
"""

import functools
import math
from dataclasses import dataclass
from typing import Literal

Encoder = Literal["efficientnet-lite0", "efficientnet-lite1", "efficientnet-lite2"]

STEM_CHANNELS = 32
STEM_TAPS = 3
NORM_EPSILON = 1e-3
"""Of the encoder's batch normalisations: its pretrained weights were made with it."""

NUM_LEVELS = 6
"""Resolutions from the image's to a 32nd of it; the encoder has nothing at the image's."""

# Width and depth, relative to lite0.
_SCALES: dict[Encoder, tuple[float, float]] = {
    "efficientnet-lite0": (1.0, 1.0),
    "efficientnet-lite1": (1.0, 1.1),
    "efficientnet-lite2": (1.1, 1.2),
}
# Repeats, taps, stride, expansion and channels of each stage.
_STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)


@dataclass(frozen=True, slots=True)
class Block:
    """An inverted residual: expand by a convolution of one tap, filter each channel, project.

    level: of what it returns; it takes features of the level before where its stride is 2.
    taps: of the filter along both axes.
    """

    level: int
    inputs: int
    expanded: int
    outputs: int
    taps: int
    stride: int

    @property
    def expands(self) -> bool:
        """Whether there is a convolution in front of the filter."""
        return self.expanded != self.inputs

    @property
    def is_residual(self) -> bool:
        """Whether its input is added to what it returns."""
        return self.stride == 1 and self.inputs == self.outputs


@functools.cache
def blocks_of(encoder: Encoder) -> tuple[Block, ...]:
    """Return the blocks behind the stem, which leads to level 1.

    >>> len(blocks_of("efficientnet-lite0")), blocks_of("efficientnet-lite2")[-1].outputs
    (16, 352)
    """
    width, depth = _SCALES[encoder]
    blocks: list[Block] = []
    level, inputs = 1, STEM_CHANNELS
    for number, (repeats, taps, stride, expansion, channels) in enumerate(_STAGES):
        outputs = _scaled(channels, width)
        if number not in (0, len(_STAGES) - 1):
            repeats = math.ceil(repeats * depth)
        for repeat in range(repeats):
            step = 1 if repeat else stride
            level += step == 2
            blocks.append(Block(level, inputs, expansion * inputs, outputs, taps, step))
            inputs = outputs
    return tuple(blocks)


def _scaled(channels: int, width: float) -> int:
    """Scale to the nearest multiple of 8 that is not a tenth too small."""
    wanted = channels * width
    nearest = max(8, int(wanted + 4) // 8 * 8)
    return nearest + 8 if nearest < 0.9 * wanted else nearest


@functools.cache
def channels_of(encoder: Encoder) -> tuple[int, ...]:
    """Return the channels that the encoder hands over at each level; none at level 0.

    >>> channels_of("efficientnet-lite0")
    (0, 16, 24, 40, 112, 320)
    """
    at = {block.level: block.outputs for block in blocks_of(encoder)}
    return tuple(at.get(level, 0) for level in range(NUM_LEVELS))


def same_padding(taps: int, stride: int) -> tuple[int, int]:
    """Return the zeros before and behind an axis whose size is a multiple of the stride.

    They are TensorFlow's, which puts the odd one behind; PyTorch's own are symmetric, and half
    a pixel beside what the pretrained weights expect.

    >>> same_padding(3, 1), same_padding(3, 2), same_padding(5, 2)
    ((1, 1), (0, 1), (1, 2))
    """
    zeros = taps - stride
    return zeros // 2, zeros - zeros // 2
