"""PyTorch twins of networks.losses."""

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from breastseg.core.recipe import LossTerm
from breastseg.networks.losses import DICE_SMOOTH

Logits = Float[Tensor, "batch channel *space"]
Target = Float[Tensor, "batch channel *space"]
Loss = Float[Tensor, ""]


def _space(logits: Logits) -> tuple[int, ...]:
    return tuple(range(1, logits.ndim))


def binary_cross_entropy(logits: Logits, target: Target) -> Loss:
    """See networks.losses.binary_cross_entropy."""
    return functional.binary_cross_entropy_with_logits(logits, target)


def soft_dice_loss(logits: Logits, target: Target) -> Loss:
    """See networks.losses.soft_dice_loss."""
    probability = torch.sigmoid(logits)
    overlap = (probability * target).sum(dim=_space(logits))
    total = probability.sum(dim=_space(logits)) + target.sum(dim=_space(logits))
    return (1 - (2 * overlap + DICE_SMOOTH) / (total + DICE_SMOOTH)).mean()


def bce_dice_loss(logits: Logits, target: Target) -> Loss:
    """See networks.losses.bce_dice_loss."""
    return binary_cross_entropy(logits, target) + soft_dice_loss(logits, target)


LOSSES: Mapping[str, Callable[[Logits, Target], Loss]] = MappingProxyType(
    {"bce": binary_cross_entropy, "dice": soft_dice_loss, "bce-dice": bce_dice_loss}
)


def total_loss(terms: Sequence[LossTerm], logits: Logits, target: Target) -> Loss:
    """Return the weighted sum of the terms, in float32."""
    wide = logits.float()
    return torch.stack([term.weight * LOSSES[term.name](wide, target) for term in terms]).sum()
