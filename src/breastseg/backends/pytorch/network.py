"""A NetworkSpec as a PyTorch module."""

from typing import NamedTuple

from jaxtyping import Float
from torch import Tensor, nn

from breastseg.backends.pytorch.efficientnet import EfficientNetEncoder
from breastseg.backends.pytorch.layers import (
    DecoderLevel,
    PlainEncoder,
    make_classes,
    make_head,
    to_class_logits,
    to_logits,
)
from breastseg.core.network_recipe import LiteUNetSpec, NetworkSpec

Images = Float[Tensor, "batch channel *space"]
Logits = Float[Tensor, "batch 1 *space"]
ClassLogits = Float[Tensor, "batch classes"]


class Outputs(NamedTuple):
    """Logits of all levels with a head, the image's first; and of the classes, if any."""

    levels: list[Logits]
    classes: ClassLogits | None


class UNet(nn.Module):
    """U-Net of Ronneberger et al. 2015 with `same` padding, or with another encoder.

    Args:
        spec: the network.
        deep_supervision: how many decoder levels have a head of their own, for training.
    """

    def __init__(self, spec: NetworkSpec, deep_supervision: int = 0) -> None:
        super().__init__()
        self._deep_supervision = deep_supervision
        self.encoder = (
            EfficientNetEncoder(spec.encoder)
            if isinstance(spec, LiteUNetSpec)
            else PlainEncoder(spec)
        )
        self.decoder = nn.ModuleList(
            DecoderLevel(spec, level, supervised=0 < level <= deep_supervision)
            for level in range(len(spec.channels) - 1)
        )
        self.head = make_head(spec, spec.channels[0])
        self.classes = make_classes(spec)

    def forward(self, images: Images) -> Logits:
        """Return logits at the input's resolution, whose sides must be multiples of the stride."""
        return self.outputs(images).levels[0]

    def supervised(self, images: Images) -> list[Logits]:
        """Return the logits of all levels with a head; the first are those of forward."""
        return self.outputs(images, supervised=True).levels

    def outputs(self, images: Images, *, supervised: bool = False) -> Outputs:
        """Return all that the network says: forward or supervised, and the classes."""
        coarsest = self._deep_supervision if supervised else 0
        *skips, features = self.encoder(images)
        classes, found = to_class_logits(self.classes, features), []
        for level in reversed(range(len(skips))):
            features = self.decoder[level](features, skips[level])
            if level <= coarsest:
                head = self.get_submodule(f"decoder.{level}.head" if level else "head")
                found.append(to_logits(head, features))
        return Outputs(found[::-1], classes)
