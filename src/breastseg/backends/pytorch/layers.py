"""The pieces of the U-Net as PyTorch modules; attribute names make the canonical names."""

import torch
from jaxtyping import Float, Int16
from torch import Tensor, nn
from torch.nn import functional

from breastseg.core.recipe import UNetSpec
from breastseg.networks.spec import BATCH_NORM_MOMENTUM, DROPOUT_STEPS, NORM_EPSILON

Features = Float[Tensor, "batch channel row column"]


def make_norm(spec: UNetSpec, channels: int) -> nn.Module:
    """Return the normalisation layer of the spec, or nothing."""
    if spec.norm == "group":
        return nn.GroupNorm(channels // spec.channels_per_group, channels, eps=NORM_EPSILON)
    if spec.norm == "batch":
        return nn.BatchNorm2d(channels, eps=NORM_EPSILON, momentum=BATCH_NORM_MOMENTUM)
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


def _random_bits(features: Features) -> Int16[Tensor, "batch channel row column"]:
    """Draw 16 bits for each feature, channels last as the features lie."""
    batch, channels, rows, columns = features.shape
    wide = torch.empty((features.numel() + 3) // 4, dtype=torch.int64).random_(-(2**63), None)
    bits = wide.view(torch.int16)[: features.numel()]
    return bits.view(batch, rows, columns, channels).permute(0, 3, 1, 2)


class ConvolutionUnit(nn.Module):
    """3x3 convolution, normalisation, ReLU."""

    def __init__(self, spec: UNetSpec, inputs: int, outputs: int) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(inputs, outputs, kernel_size=3, padding=1)
        self.norm = make_norm(spec, outputs)

    def forward(self, features: Features) -> Features:
        """Keep the resolution."""
        return functional.relu(self.norm(self.convolution(features)), inplace=True)


def make_block(spec: UNetSpec, inputs: int, level: int) -> nn.Sequential:
    """Return the convolutions of one level."""
    outputs = spec.channels[level]
    count = spec.convolutions_at(level)
    return nn.Sequential(
        *(ConvolutionUnit(spec, inputs if i == 0 else outputs, outputs) for i in range(count))
    )


class EncoderLevel(nn.Module):
    """A block; what it returns is both the skip connection and the way down."""

    def __init__(self, spec: UNetSpec, inputs: int, level: int) -> None:
        super().__init__()
        self.block = make_block(spec, inputs, level)

    def forward(self, features: Features) -> Features:
        """Keep the resolution."""
        block: Features = self.block(features)
        return block


class InterpolateAndConvolve(nn.Conv2d):
    """Bilinear doubling and a 3x3 convolution."""

    def forward(self, input: Features) -> Features:
        """Double the resolution."""
        doubled = functional.interpolate(
            input, scale_factor=2, mode="bilinear", align_corners=False
        )
        return super().forward(doubled)


class Head(nn.Conv2d):
    """1x1 convolution to logits, in float32 whatever the precision of the features."""

    def __init__(self, inputs: int) -> None:
        super().__init__(inputs, 1, kernel_size=1)

    def forward(self, input: Features) -> Features:
        """Keep the resolution."""
        with torch.autocast(input.device.type, enabled=False):
            return super().forward(input.float())


class DecoderLevel(nn.Module):
    """Double the resolution, concatenate with the skip, convolve.

    supervised: whether the level has a head of its own, which the network calls in training.
    """

    def __init__(self, spec: UNetSpec, level: int, *, supervised: bool) -> None:
        super().__init__()
        deeper, outputs = spec.channels[level + 1], spec.channels[level]
        self.up: nn.Module
        if spec.upsampling == "transposed":
            self.up = nn.ConvTranspose2d(deeper, outputs, kernel_size=2, stride=2)
        else:
            self.up = InterpolateAndConvolve(deeper, outputs, kernel_size=3, padding=1)
        self.dropout = Dropout(spec.dropout_at(level))
        self.block = make_block(spec, 2 * outputs, level)
        self.head = Head(outputs) if supervised else None

    def forward(self, features: Features, skip: Features) -> Features:
        """Return features at the resolution of the skip."""
        joined = torch.cat([skip, self.up(features)], dim=1)
        block: Features = self.block(self.dropout(joined))
        return block
