"""A UNetSpec as a PyTorch module."""

from jaxtyping import Float
from torch import Tensor, nn

from breastseg.backends.pytorch.layers import (
    DecoderLevel,
    Dropout,
    EncoderLevel,
    make_head,
    pool,
    to_logits,
)
from breastseg.core.network_recipe import UNetSpec

Images = Float[Tensor, "batch channel *space"]
Logits = Float[Tensor, "batch 1 *space"]


class UNet(nn.Module):
    """U-Net of Ronneberger et al. 2015 with `same` padding; see UNetSpec.

    Args:
        spec: the network.
        deep_supervision: how many decoder levels have a head of their own, for training.
    """

    def __init__(self, spec: UNetSpec, deep_supervision: int = 0) -> None:
        super().__init__()
        self._deep_supervision = deep_supervision
        self._strides = [spec.stride_at(level) for level in range(len(spec.channels) - 1)]
        inputs = (spec.input_channels, *spec.channels[:-1])
        self.encoder = nn.ModuleList(
            EncoderLevel(spec, channels, level) for level, channels in enumerate(inputs)
        )
        self.dropouts = nn.ModuleList(
            Dropout(spec.dropout_at(level)) for level in range(len(spec.channels) - 1)
        )
        self.decoder = nn.ModuleList(
            DecoderLevel(spec, level, supervised=0 < level <= deep_supervision)
            for level in range(len(spec.channels) - 1)
        )
        self.head = make_head(spec, spec.channels[0])

    def forward(self, images: Images) -> Logits:
        """Return logits at the input's resolution, whose sides must be multiples of the stride."""
        return self._heads(images, coarsest=0)[0]

    def supervised(self, images: Images) -> list[Logits]:
        """Return the logits of all levels with a head; the first are those of forward."""
        return self._heads(images, coarsest=self._deep_supervision)

    def _heads(self, images: Images, coarsest: int) -> list[Logits]:
        skips, found, features = [], [], images
        for level, dropout in enumerate(self.dropouts):
            skips.append(self.encoder[level](features))
            features = dropout(pool(skips[-1], self._strides[level]))
        features = self.encoder[-1](features)
        for level in reversed(range(len(skips))):
            features = self.decoder[level](features, skips[level])
            if level <= coarsest:
                head = self.get_submodule(f"decoder.{level}.head" if level else "head")
                found.append(to_logits(head, features))
        return found[::-1]
