"""The EfficientNet-Lite encoder as PyTorch modules; see core.efficientnet."""

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from breastseg.backends.pytorch.depthwise import DepthwiseConvolution
from breastseg.core.efficientnet import (
    NORM_EPSILON,
    NUM_LEVELS,
    STEM_CHANNELS,
    STEM_TAPS,
    Block,
    Encoder,
    blocks_of,
    same_padding,
)
from breastseg.networks.spec import BATCH_NORM_MOMENTUM

Features = Float[Tensor, "batch channel row column"]


class Unit(nn.Module):
    """Convolution without bias, batch normalisation, and ReLU6 where it is active.

    depthwise: whether each channel has a filter of its own.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        taps: int = 1,
        *,
        stride: int = 1,
        depthwise: bool = False,
        active: bool = True,
    ) -> None:
        super().__init__()
        before, behind = same_padding(taps, stride)
        # Padding that is the same on both sides costs no copy.
        self._margins = None if before == behind else (before, behind, before, behind)
        padding = before if before == behind else 0
        self.convolution: nn.Module = (
            DepthwiseConvolution(inputs, taps, stride=stride, padding=padding)
            if depthwise
            else nn.Conv2d(inputs, outputs, taps, stride=stride, padding=padding, bias=False)
        )
        self.norm = nn.BatchNorm2d(outputs, eps=NORM_EPSILON, momentum=BATCH_NORM_MOMENTUM)
        self._active = active

    def forward(self, features: Features) -> Features:
        """Return features at the resolution that the stride leads to."""
        if self._margins is not None:
            features = functional.pad(features, self._margins)
        found: Features = self.norm(self.convolution(features))
        return functional.relu6(found, inplace=True) if self._active else found


class InvertedResidual(nn.Module):
    """See core.efficientnet.Block."""

    def __init__(self, block: Block) -> None:
        super().__init__()
        self._is_residual = block.is_residual
        self.expand = Unit(block.inputs, block.expanded) if block.expands else None
        self.depthwise = Unit(
            block.expanded, block.expanded, block.taps, stride=block.stride, depthwise=True
        )
        self.project = Unit(block.expanded, block.outputs, active=False)

    def forward(self, features: Features) -> Features:
        """Return features of the block's level."""
        expanded = features if self.expand is None else self.expand(features)
        projected: Features = self.project(self.depthwise(expanded))
        return features + projected if self._is_residual else projected


class EfficientNetEncoder(nn.Module):
    """From images to the features of each level; none at level 0, which is the image's."""

    def __init__(self, encoder: Encoder) -> None:
        super().__init__()
        self.stem = Unit(1, STEM_CHANNELS, STEM_TAPS, stride=2)
        blocks = blocks_of(encoder)
        self.block = nn.ModuleList(map(InvertedResidual, blocks))
        self._levels = [block.level for block in blocks]

    def forward(self, images: Features) -> list[Features | None]:
        """Return what the last block of each level makes of the images."""
        found: list[Features | None] = [None] * NUM_LEVELS
        features = self.stem(images)
        for block, level in zip(self.block, self._levels, strict=True):
            features = found[level] = block(features)
        return found
