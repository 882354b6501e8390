"""How much memory a training step takes, from the network's description alone."""

import math
from collections.abc import Iterator, Sequence

from breastseg.core.network_recipe import UNetSpec
from breastseg.networks.spec import weight_table

_FLOAT, _INDEX = 4, 8
"""Bytes: all is counted in float32; max pooling remembers its places in 64 bits."""


def training_bytes(
    spec: UNetSpec, patch: Sequence[int], batch_size: int, *, moments: int = 2
) -> int:
    """Return the bytes that a training step needs beyond the programs themselves.

    What the backward pass needs is kept: the output of every convolution and, with normalisation,
    also what the ReLU made of it; the pooled features with their places; the joined features of
    each decoder level. On top come, for a moment, the gradients of the joined features and of
    the output of the finest level. Weights are held with their gradient and the optimiser's
    moments. Work space of the libraries is not counted: see docs/decisions/0020.

    Args:
        spec: the network.
        patch: voxels along each axis.
        batch_size: patches that are worked through at a time.
        moments: that the optimiser keeps of each weight.
    """
    finest = math.prod(patch)
    kept = sum(_kept(spec, patch))
    joined = 2 * spec.channels[0] * finest * _FLOAT
    passing = joined + spec.channels[0] * finest * _FLOAT
    weights = sum(math.prod(weight.shape) for weight in weight_table(spec))
    return batch_size * (kept + passing) + weights * _FLOAT * (2 + moments)


def _kept(spec: UNetSpec, patch: Sequence[int]) -> Iterator[int]:
    """Yield the bytes that one patch leaves behind at each level, for the backward pass."""
    per_convolution = 1 if spec.norm == "none" else 2
    last = len(spec.channels) - 1
    sides = list(patch)
    for level, channels in enumerate(spec.channels):
        features = channels * math.prod(sides) * _FLOAT
        blocks = 1 if level == last else 2
        yield blocks * spec.convolutions_at(level) * per_convolution * features
        if level == last:
            break
        yield 2 * features  # the skip and the way up, joined
        if spec.dropout_at(level):
            yield 3 * features
        sides = [side // step for side, step in zip(sides, spec.stride_at(level), strict=True)]
        yield channels * math.prod(sides) * (_FLOAT + _INDEX)
