"""A UNetSpec as a PyTorch module."""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from breastseg.backends.pytorch.layers import DecoderLevel, Dropout, EncoderLevel
from breastseg.core.recipe import UNetSpec


class UNet(nn.Module):
    """U-Net of Ronneberger et al. 2015 with `same` padding; see UNetSpec."""

    def __init__(self, spec: UNetSpec) -> None:
        super().__init__()
        inputs = (spec.input_channels, *spec.channels[:-1])
        self.encoder = nn.ModuleList(
            EncoderLevel(spec, channels, level) for level, channels in enumerate(inputs)
        )
        self.dropouts = nn.ModuleList(
            Dropout(spec.dropout_at(level)) for level in range(len(spec.channels) - 1)
        )
        self.decoder = nn.ModuleList(
            DecoderLevel(spec, level) for level in range(len(spec.channels) - 1)
        )
        self.head = nn.Conv2d(spec.channels[0], 1, kernel_size=1)

    def forward(
        self, features: Float[Tensor, "batch channel row column"]
    ) -> Float[Tensor, "batch 1 row column"]:
        """Return logits at the input's resolution, whose sides must be multiples of the stride."""
        skips = []
        for level, dropout in enumerate(self.dropouts):
            skips.append(self.encoder[level](features))
            features = dropout(functional.max_pool2d(skips[-1], 2))
        features = self.encoder[-1](features)
        for level in reversed(range(len(skips))):
            features = self.decoder[level](features, skips[level])
        with torch.autocast(features.device.type, enabled=False):
            logits: Tensor = self.head(features.float())
        return logits
