"""The pieces of the U-Net as PyTorch modules; attribute names make the canonical names."""

from typing import Any, cast

import torch
from jaxtyping import Float, Int16
from torch import Tensor, nn
from torch.nn import functional

from breastseg.core.network_recipe import NetworkSpec, UNetSpec
from breastseg.networks.spec import BATCH_NORM_MOMENTUM, DROPOUT_STEPS, NORM_EPSILON

Features = Float[Tensor, "batch channel *space"]


_CONVOLUTIONS: dict[int, type[nn.Conv2d | nn.Conv3d]] = {2: nn.Conv2d, 3: nn.Conv3d}
_TRANSPOSED: dict[int, type[nn.ConvTranspose2d | nn.ConvTranspose3d]] = {
    2: nn.ConvTranspose2d,
    3: nn.ConvTranspose3d,
}


def make_convolution(inputs: int, outputs: int, taps: tuple[int, ...]) -> nn.Module:
    """Return a convolution that keeps the resolution, along as many axes as there are taps."""
    convolution = _CONVOLUTIONS[len(taps)]
    padding: Any = tuple(size // 2 for size in taps)
    return convolution(inputs, outputs, kernel_size=cast(Any, taps), padding=padding)


def pool(features: Features, stride: tuple[int, ...]) -> Features:
    """Return the maximum of each cell that is as large as the stride."""
    return {2: functional.max_pool2d, 3: functional.max_pool3d}[len(stride)](features, stride)


def make_norm(spec: NetworkSpec, channels: int) -> nn.Module:
    """Return the normalisation layer of the spec, or nothing."""
    if spec.norm == "group":
        return nn.GroupNorm(channels // spec.channels_per_group, channels, eps=NORM_EPSILON)
    if spec.norm == "batch":
        batch_norm = {2: nn.BatchNorm2d, 3: nn.BatchNorm3d}[spec.dimensions]
        return batch_norm(channels, eps=NORM_EPSILON, momentum=BATCH_NORM_MOMENTUM)
    return nn.Identity()


class Dropout(nn.Dropout):
    """Dropout with a mask that is cheap on a CPU; torch.manual_seed decides it.

    torch draws its own mask on one core at 17 ns a number, a quarter of a training step of
    `unet-256`; 16 bits cost 1 ns. The number of threads does not change the mask.
    """

    def forward(self, input: Features) -> Features:
        """Drop single features and scale the others up, in training alone."""
        if not self.training or not self.p or input.device.type != "cpu":
            return super().forward(input)
        return input * self._mask(input)

    def _mask(self, features: Features) -> Features:
        """Return 0 where a feature is dropped, else the scale; in place: new memory costs more."""
        steps = min(round(self.p * DROPOUT_STEPS), DROPOUT_STEPS - 1)
        kept = _random_bits(features).ge_(steps - DROPOUT_STEPS // 2)
        scale = features.new_tensor(1 / (1 - self.p))
        if features.element_size() > 2:
            return kept.to(features.dtype) * scale
        return kept.mul_(scale.view(torch.int16)).view(features.dtype)  # 0, or the scale's bits


def _random_bits(features: Features) -> Int16[Tensor, "batch channel *space"]:
    """Draw 16 bits for each feature, channels last as the features lie."""
    batch, channels, *space = features.shape
    wide = torch.empty((features.numel() + 3) // 4, dtype=torch.int64).random_(-(2**63), None)
    bits = wide.view(torch.int16)[: features.numel()]
    return bits.view(batch, *space, channels).movedim(-1, 1)


class ConvolutionUnit(nn.Module):
    """Convolution with the kernel of its level, normalisation, ReLU."""

    def __init__(self, spec: NetworkSpec, inputs: int, level: int) -> None:
        super().__init__()
        outputs = spec.channels[level]
        self.convolution = make_convolution(inputs, outputs, spec.kernel_at(level))
        self.norm = make_norm(spec, outputs)

    def forward(self, features: Features) -> Features:
        """Keep the resolution."""
        return functional.relu(self.norm(self.convolution(features)), inplace=True)


def make_block(spec: NetworkSpec, inputs: int, level: int) -> nn.Sequential:
    """Return the convolutions of one level."""
    outputs = spec.channels[level]
    count = spec.convolutions_at(level)
    return nn.Sequential(
        *(ConvolutionUnit(spec, inputs if i == 0 else outputs, level) for i in range(count))
    )


class EncoderLevel(nn.Module):
    """Pooling from the level above, where there is one, its dropout, and a block."""

    def __init__(self, spec: UNetSpec, inputs: int, level: int) -> None:
        super().__init__()
        self._stride = spec.stride_at(level - 1) if level else None
        self.dropout = Dropout(spec.dropout_at(level - 1) if level else 0.0)
        self.block = make_block(spec, inputs, level)

    def forward(self, features: Features) -> Features:
        """Return features at the level's resolution."""
        if self._stride is not None:
            features = self.dropout(pool(features, self._stride))
        block: Features = self.block(features)
        return block


class PlainEncoder(nn.ModuleList):
    """The levels of a U-Net's encoder; what each returns is both skip and way down."""

    def __init__(self, spec: UNetSpec) -> None:
        inputs = (spec.input_channels, *spec.channels[:-1])
        levels = (EncoderLevel(spec, channels, level) for level, channels in enumerate(inputs))
        super().__init__(levels)

    def forward(self, images: Features) -> list[Features]:
        """Return the features of each level, the image's resolution first."""
        found: list[Features] = []
        for level in self:
            found.append(level(found[-1] if found else images))
        return found


def make_head(spec: NetworkSpec, inputs: int) -> nn.Module:
    """Return the convolution of one tap to logits; to_logits calls it."""
    return make_convolution(inputs, 1, (1,) * spec.dimensions)


def to_logits(head: nn.Module, features: Features) -> Features:
    """Apply a head in float32, whatever the precision of the features."""
    with torch.autocast(features.device.type, enabled=False):
        logits: Features = head(features.float())
    return logits


def make_classes(spec: NetworkSpec) -> nn.Module | None:
    """Return what tells the classes of an image from pooled features, if the network does."""
    return nn.Linear(spec.channels[-1], len(spec.classes)) if spec.classes else None


def to_class_logits(
    classes: nn.Module | None, latent: Features
) -> Float[Tensor, "batch classes"] | None:
    """Tell the classes from the mean of the latent features, in float32."""
    if classes is None:
        return None
    with torch.autocast(latent.device.type, enabled=False):
        logits: Tensor = classes(latent.float().flatten(2).mean(dim=2))
    return logits


class DecoderLevel(nn.Module):
    """Return to the resolution of the skip, concatenate with it where there is one, convolve.

    supervised: whether the level has a head of its own, which the network calls in training.
    """

    def __init__(self, spec: NetworkSpec, level: int, *, supervised: bool) -> None:
        super().__init__()
        deeper, outputs = spec.channels[level + 1], spec.channels[level]
        self._stride = spec.stride_at(level)
        self._interpolates = spec.upsampling == "interpolation"
        self.up: nn.Module
        if self._interpolates:
            self.up = make_convolution(deeper, outputs, spec.kernel_at(level))
        else:
            size = cast(Any, self._stride)
            self.up = _TRANSPOSED[spec.dimensions](deeper, outputs, kernel_size=size, stride=size)
        self.dropout = Dropout(spec.dropout_at(level))
        self.block = make_block(spec, spec.skip_channels_at(level) + outputs, level)
        self.head = make_head(spec, outputs) if supervised else None

    def forward(self, features: Features, skip: Features | None) -> Features:
        """Return features at the resolution of the level."""
        if self._interpolates:
            features = _interpolated(features, self._stride)
        joined = self.up(features)
        if skip is not None:
            joined = torch.cat([skip, joined], dim=1)
        block: Features = self.block(self.dropout(joined))
        return block


def _interpolated(features: Features, stride: tuple[int, ...]) -> Features:
    """Refine the grid linearly along each axis, pixel centres at half integers."""
    return functional.interpolate(
        features,
        scale_factor=[float(step) for step in stride],
        mode={2: "bilinear", 3: "trilinear"}[len(stride)],
        align_corners=False,
    )
