"""The weights of an EfficientNet-Lite encoder: canonical names, as in networks.spec.

    encoder.stem.{convolution,norm}....
    encoder.block.{i}.expand.{convolution,norm}....     where the block expands
    encoder.block.{i}.depthwise.{convolution,norm}....  kernels (channel, 1, row, column)
    encoder.block.{i}.project.{convolution,norm}....

`norm` has weight, bias, mean and variance; the convolutions have no bias of their own.
"""

from collections.abc import Iterator

from breastseg.core.efficientnet import STEM_CHANNELS, STEM_TAPS, Block, Encoder, blocks_of
from breastseg.networks.weight import Weight, norm_weights


def encoder_weights(encoder: Encoder) -> Iterator[Weight]:
    """Yield the weights of the encoder for images of one channel, in the order of computation."""
    yield from _unit("encoder.stem", (STEM_CHANNELS, 1, STEM_TAPS, STEM_TAPS), level=1)
    for number, block in enumerate(blocks_of(encoder)):
        yield from _block(f"encoder.block.{number}", block)


def _block(name: str, block: Block) -> Iterator[Weight]:
    before = block.level - (block.stride == 2)
    if block.expands:
        yield from _unit(f"{name}.expand", (block.expanded, block.inputs, 1, 1), level=before)
    filters = (block.expanded, 1, block.taps, block.taps)
    yield from _unit(f"{name}.depthwise", filters, level=block.level)
    kernel = (block.outputs, block.expanded, 1, 1)
    yield from _unit(f"{name}.project", kernel, level=block.level, gain=1.0)


def _unit(name: str, kernel: tuple[int, ...], *, level: int, gain: float = 2.0) -> Iterator[Weight]:
    yield Weight(f"{name}.convolution.weight", kernel, "kernel", gain=gain, level=level)
    yield from norm_weights(f"{name}.norm", kernel[0], "batch")
