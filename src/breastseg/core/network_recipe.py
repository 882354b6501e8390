"""What a network is, without a framework: a few numbers that are part of a recipe."""

import math
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from breastseg.core.recipe_part import Count, Fraction, RecipePart

Kernel = tuple[Literal[1, 3], ...]
"""Taps of a convolution along (slice, row, column), or (row, column)."""
Stride = tuple[Literal[1, 2], ...]
"""How many times smaller the next level is along (slice, row, column), or (row, column)."""


class UNetSpec(RecipePart):
    """A U-Net without a framework: what PyTorch, TensorFlow and ONNX build alike.

    Level 0 has the resolution of the image; max pooling leads from each level to the next and
    halves it along every axis, or along those that `strides` says. The last level is the latent
    space. Source: Ronneberger et al. 2015, with `same` padding; in three dimensions Cicek et al.
    2016, anisotropic where slices are thick as in Isensee et al. 2021.

    channels: feature maps of each level.
    convolutions: of each block, one number for all levels or one per level.
    norm: after each convolution and before its ReLU.
    channels_per_group: for group normalisation.
    dropout: rate per level, applied behind the pooling that leaves the level and to the
        concatenation that enters it again. Empty for none; the latent level takes none.
    upsampling: transposed convolution whose kernel is the stride, or linear interpolation
        (bilinear, trilinear) and a convolution with the kernel of the level.
    dimensions: 2 for images (row, column), 3 for volumes (slice, row, column).
    kernels: of the convolutions of each level, such as [[1, 3, 3], [3, 3, 3]]. Empty for 3 along
        every axis of every level.
    strides: from each level to the next, such as [[1, 2, 2]]. Empty for 2 along every axis.
    """

    input_channels: Count = 1
    channels: Annotated[tuple[Count, ...], Field(min_length=2)] = (16, 32, 64, 128, 256)
    convolutions: Count | tuple[Count, ...] = 2
    norm: Literal["none", "group", "batch"] = "none"
    channels_per_group: Count = 8
    dropout: tuple[Fraction, ...] = ()
    upsampling: Literal["transposed", "interpolation"] = "transposed"
    dimensions: Literal[2, 3] = 2
    kernels: tuple[Kernel, ...] = ()
    strides: tuple[Stride, ...] = ()

    @model_validator(mode="after")
    def _levels_agree(self) -> Self:
        levels = len(self.channels)
        if isinstance(self.convolutions, tuple) and len(self.convolutions) != levels:
            raise ValueError(f"convolutions needs {levels} numbers, one per level of channels")
        if self.dropout and len(self.dropout) != levels - 1:
            raise ValueError(f"dropout needs {levels - 1} rates, one per level above the latent")
        if self.norm == "group" and any(c % self.channels_per_group for c in self.channels):
            raise ValueError(
                f"every entry of channels must be a multiple of channels_per_group "
                f"({self.channels_per_group})"
            )
        return self

    @model_validator(mode="after")
    def _axes_agree(self) -> Self:
        levels, axes = len(self.channels), self.dimensions
        if self.kernels and len(self.kernels) != levels:
            raise ValueError(f"kernels needs {levels} entries, one per level of channels")
        if self.strides and len(self.strides) != levels - 1:
            raise ValueError(f"strides needs {levels - 1} entries, one per level above the latent")
        for name, per_level in (("kernels", self.kernels), ("strides", self.strides)):
            if any(len(each) != axes for each in per_level):
                raise ValueError(f"each entry of {name} needs {axes} numbers, one per dimension")
        if any(set(each) == {1} for each in self.strides):
            raise ValueError("each entry of strides must halve an axis: give it a 2")
        return self

    @property
    def stride(self) -> tuple[int, ...]:
        """How many times smaller the latent level is along each axis; sizes are padded to it."""
        steps = [self.stride_at(level) for level in range(len(self.channels) - 1)]
        return tuple(math.prod(along_axis) for along_axis in zip(*steps, strict=True))

    def stride_at(self, level: int) -> tuple[int, ...]:
        """Return how many times smaller the level below that one is, along each axis."""
        return self.strides[level] if self.strides else (2,) * self.dimensions

    def kernel_at(self, level: int) -> tuple[int, ...]:
        """Return the taps of the convolutions of that level, along each axis."""
        return self.kernels[level] if self.kernels else (3,) * self.dimensions

    def convolutions_at(self, level: int) -> int:
        """Return the number of convolutions in a block of that level."""
        per_level = self.convolutions
        return per_level if isinstance(per_level, int) else per_level[level]

    def dropout_at(self, level: int) -> float:
        """Return the dropout rate of that level."""
        return self.dropout[level] if self.dropout else 0.0


NETWORKS: Mapping[str, UNetSpec] = {
    "unet-256": UNetSpec(dropout=(0.25, 0.5, 0.5, 0.5)),
    "unet-1024": UNetSpec(channels=(32, 64, 128, 256, 512, 1024)),
    "unet-deep": UNetSpec(
        channels=(16, 32, 64, 128, 256, 256), convolutions=(1, 2, 2, 2, 2, 2), norm="group"
    ),
}


def network_by_name(value: Any) -> Any:
    """Return the network that a text names; anything else as it is."""
    if not isinstance(value, str):
        return value
    if value not in NETWORKS:
        raise ValueError(f"no network is called '{value}'; there are {', '.join(NETWORKS)}")
    return NETWORKS[value]
