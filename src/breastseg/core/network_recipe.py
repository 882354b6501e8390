"""What a network is, without a framework: a few numbers that are part of a recipe."""

import math
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import AfterValidator, Discriminator, Field, Tag, model_validator

from breastseg.core import efficientnet
from breastseg.core.recipe_part import Count, Fraction, RecipePart
from breastseg.core.validation import KIND_PREFIX

Kernel = tuple[Literal[1, 3], ...]
"""Taps of a convolution along (slice, row, column), or (row, column)."""
Stride = tuple[Literal[1, 2], ...]
"""How many times smaller the next level is along (slice, row, column), or (row, column)."""

UNLABELLED = -1
"""Class of an image of which none is known; else a class is its place in `classes`."""


def _telling_apart(classes: tuple[str, ...]) -> tuple[str, ...]:
    if len(classes) == 1 or len(set(classes)) < len(classes):
        raise ValueError("classes must be two names or more, each once; or none")
    return classes


Classes = Annotated[tuple[str, ...], AfterValidator(_telling_apart)]


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
    classes: of a whole image, such as ["normal", "benign", "malignant"], which a second output
        tells from the mean of the latent level's features. Empty for none.
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
    classes: Classes = ()

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

    def skip_channels_at(self, level: int) -> int:
        """Return the feature maps that the encoder hands to the decoder at that level."""
        return self.channels[level]


class LiteUNetSpec(RecipePart):
    """A U-Net whose encoder is an EfficientNet-Lite: images of one channel, six levels.

    The encoder is that of core.efficientnet, with batch normalisation, and can start from
    weights that were trained on ImageNet. The last level, a 32nd of the image's resolution, is
    the latent space. The decoder is that of UNetSpec; at the image's resolution no features of
    the encoder join it.

    decoder: feature maps of the decoder's levels, from the image's resolution down.
    convolutions: of each block of the decoder.
    norm, channels_per_group, upsampling: of the decoder, as in UNetSpec. classes: as there.
    """

    encoder: efficientnet.Encoder
    decoder: Annotated[tuple[Count, ...], Field(min_length=5, max_length=5)] = (16, 24, 32, 48, 96)
    convolutions: Count = 2
    norm: Literal["none", "group", "batch"] = "batch"
    channels_per_group: Count = 8
    upsampling: Literal["transposed", "interpolation"] = "transposed"
    classes: Classes = ()

    dimensions: ClassVar[int] = 2
    input_channels: ClassVar[int] = 1
    stride: ClassVar[tuple[int, ...]] = (32, 32)

    @model_validator(mode="after")
    def _groups_fit(self) -> Self:
        if self.norm == "group" and any(c % self.channels_per_group for c in self.decoder):
            raise ValueError(
                f"every entry of decoder must be a multiple of channels_per_group "
                f"({self.channels_per_group})"
            )
        return self

    @property
    def channels(self) -> tuple[int, ...]:
        """Feature maps of each level: the decoder's, and the encoder's in the latent space."""
        return (*self.decoder, self.skip_channels_at(len(self.decoder)))

    def stride_at(self, level: int) -> tuple[int, ...]:
        """Return how many times smaller the level below that one is, along each axis."""
        return (2, 2)

    def kernel_at(self, level: int) -> tuple[int, ...]:
        """Return the taps of the decoder's convolutions, along each axis."""
        return (3, 3)

    def convolutions_at(self, level: int) -> int:
        """Return the number of convolutions in a block of the decoder."""
        return self.convolutions

    def dropout_at(self, level: int) -> float:
        """Return the dropout rate of that level: none."""
        return 0.0

    def skip_channels_at(self, level: int) -> int:
        """Return the feature maps that the encoder hands over at that level; 0 for none."""
        return efficientnet.channels_of(self.encoder)[level]


NetworkSpec = UNetSpec | LiteUNetSpec
"""What the builders take."""

_PLAIN, _LITE = f"{KIND_PREFIX}plain", f"{KIND_PREFIX}lite"


def _kind(value: Any) -> str:
    """Tell a network by its encoder, which a plain U-Net has not."""
    has_encoder = "encoder" in value if isinstance(value, Mapping) else hasattr(value, "encoder")
    return _LITE if has_encoder else _PLAIN


AnyNetwork = Annotated[
    Annotated[UNetSpec, Tag(_PLAIN)] | Annotated[LiteUNetSpec, Tag(_LITE)],
    Discriminator(_kind),
]
"""NetworkSpec as a field of a recipe: told by its fields."""

NETWORKS: Mapping[str, NetworkSpec] = {
    "unet-256": UNetSpec(dropout=(0.25, 0.5, 0.5, 0.5)),
    "unet-1024": UNetSpec(channels=(32, 64, 128, 256, 512, 1024)),
    "unet-deep": UNetSpec(
        channels=(16, 32, 64, 128, 256, 256), convolutions=(1, 2, 2, 2, 2, 2), norm="group"
    ),
    "unet-lite0": LiteUNetSpec(encoder="efficientnet-lite0"),
}


def network_by_name(value: Any) -> Any:
    """Return the network that a text names; anything else as it is."""
    if not isinstance(value, str):
        return value
    if value not in NETWORKS:
        raise ValueError(f"no network is called '{value}'; there are {', '.join(NETWORKS)}")
    return NETWORKS[value]
