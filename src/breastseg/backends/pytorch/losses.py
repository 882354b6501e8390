"""PyTorch twins of networks.losses."""

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.nn import functional

from breastseg.core.loss_terms import LossTerm
from breastseg.core.network_recipe import UNLABELLED
from breastseg.networks.deep_supervision import level_weights
from breastseg.networks.losses import SMOOTH, needs_distance, num_hardest
from breastseg.networks.losses.overlap import STEEPEST

Logits = Float[Tensor, "batch channel *space"]
Target = Float[Tensor, "batch channel *space"]
Distance = Float[Tensor, "batch channel *space"]
ClassLogits = Float[Tensor, "batch classes"]
PerPixel = Float[Tensor, "batch channel *space"]
PerImage = Float[Tensor, " batch"]
Loss = Float[Tensor, ""]


def _space(logits: Logits) -> tuple[int, ...]:
    return tuple(range(1, logits.ndim))


def _pixel_cross_entropy(logits: Logits, target: Target) -> PerPixel:
    return functional.binary_cross_entropy_with_logits(logits, target, reduction="none")


def binary_cross_entropy(logits: Logits, target: Target) -> Loss:
    """See networks.losses.binary_cross_entropy."""
    return functional.binary_cross_entropy_with_logits(logits, target)


def weighted_cross_entropy(logits: Logits, target: Target, *, positive_weight: float) -> Loss:
    """See networks.losses.weighted_cross_entropy."""
    weight = 1 + (positive_weight - 1) * target
    return (weight * _pixel_cross_entropy(logits, target)).mean()


def balanced_cross_entropy(logits: Logits, target: Target) -> Loss:
    """See networks.losses.balanced_cross_entropy."""
    ce, axes = _pixel_cross_entropy(logits, target), _space(logits)
    lesion, background = target.sum(dim=axes), (1 - target).sum(dim=axes)
    in_lesion = (target * ce).sum(dim=axes) / lesion.clamp(min=1)
    in_background = ((1 - target) * ce).sum(dim=axes) / background.clamp(min=1)
    num_present = (lesion > 0).to(ce.dtype) + (background > 0).to(ce.dtype)
    return ((in_lesion + in_background) / num_present).mean()


def top_k_cross_entropy(logits: Logits, target: Target, *, share: float) -> Loss:
    """See networks.losses.top_k_cross_entropy."""
    ce = _pixel_cross_entropy(logits, target).flatten(start_dim=1)
    return ce.topk(num_hardest(share, ce.shape[1]), dim=1, sorted=False).values.mean()


def _log_probability_of_the_wrong(logits: Logits, target: Target) -> PerPixel:
    return -functional.softplus((2 * target - 1) * logits)


def focal_loss(logits: Logits, target: Target, *, alpha: float, gamma: float) -> Loss:
    """See networks.losses.focal_loss."""
    weight = alpha * target + (1 - alpha) * (1 - target)
    focus = torch.exp(gamma * _log_probability_of_the_wrong(logits, target))
    return (weight * focus * _pixel_cross_entropy(logits, target)).mean()


def _dice(logits: Logits, target: Target) -> PerImage:
    probability = torch.sigmoid(logits)
    overlap = (probability * target).sum(dim=_space(logits))
    total = probability.sum(dim=_space(logits)) + target.sum(dim=_space(logits))
    return 1 - (2 * overlap + SMOOTH) / (total + SMOOTH)


def soft_dice_loss(logits: Logits, target: Target) -> Loss:
    """See networks.losses.soft_dice_loss."""
    return _dice(logits, target).mean()


def batch_dice_loss(logits: Logits, target: Target) -> Loss:
    """See networks.losses.batch_dice_loss."""
    probability = torch.sigmoid(logits)
    total = probability.sum() + target.sum()
    return 1 - (2 * (probability * target).sum() + SMOOTH) / (total + SMOOTH)


def lesion_dice_loss(logits: Logits, target: Target) -> Loss:
    """See networks.losses.lesion_dice_loss."""
    has_lesion = target.sum(dim=_space(logits)) > 0
    return (_dice(logits, target) * has_lesion).mean()


def squared_dice_loss(logits: Logits, target: Target) -> Loss:
    """See networks.losses.squared_dice_loss."""
    probability, axes = torch.sigmoid(logits), _space(logits)
    overlap = (probability * target).sum(dim=axes)
    total = probability.square().sum(dim=axes) + target.square().sum(dim=axes)
    return (1 - (2 * overlap + SMOOTH) / (total + SMOOTH)).mean()


class _Regions(NamedTuple):
    """See networks.losses.overlap.Regions."""

    hits: PerImage
    false_alarms: PerImage
    misses: PerImage
    rejections: PerImage


def _regions(logits: Logits, target: Target) -> _Regions:
    lesion, background, axes = torch.sigmoid(logits), torch.sigmoid(-logits), _space(logits)
    return _Regions(
        hits=(lesion * target).sum(dim=axes),
        false_alarms=(lesion * (1 - target)).sum(dim=axes),
        misses=(background * target).sum(dim=axes),
        rejections=(background * (1 - target)).sum(dim=axes),
    )


def generalised_dice_loss(logits: Logits, target: Target) -> Loss:
    """See networks.losses.generalised_dice_loss; as errors / all, which loses no digits."""
    found, axes = _regions(logits, target), _space(logits)
    lesion, background = target.sum(dim=axes), (1 - target).sum(dim=axes)
    w = 1 / torch.where(lesion > 0, lesion, background).square()
    v = 1 / torch.where(background > 0, background, lesion).square()
    wrong = (w + v) * (found.false_alarms + found.misses)
    all_lesion = w * (found.hits + found.false_alarms + lesion)
    all_background = v * (found.rejections + found.misses + background)
    return (wrong / (all_lesion + all_background)).mean()


def log_cosh_dice_loss(logits: Logits, target: Target) -> Loss:
    """See networks.losses.log_cosh_dice_loss."""
    return _dice(logits, target).cosh().log().mean()


def jaccard_loss(logits: Logits, target: Target) -> Loss:
    """See networks.losses.jaccard_loss."""
    return tversky_loss(logits, target, alpha=1.0, beta=1.0)


def _tversky(logits: Logits, target: Target, alpha: float, beta: float) -> PerImage:
    found = _regions(logits, target)
    wrong = alpha * found.false_alarms + beta * found.misses
    return wrong / (found.hits + wrong + SMOOTH)


def tversky_loss(logits: Logits, target: Target, *, alpha: float, beta: float) -> Loss:
    """See networks.losses.tversky_loss."""
    return _tversky(logits, target, alpha, beta).mean()


def _power(loss: PerImage, exponent: float) -> PerImage:
    """See networks.losses.overlap.power; the clamp keeps an infinite slope from becoming NaN."""
    line = loss * STEEPEST ** (exponent - 1)
    return torch.where(loss > STEEPEST, loss.clamp(min=STEEPEST) ** exponent, line)


def focal_tversky_loss(
    logits: Logits, target: Target, *, alpha: float, beta: float, gamma: float
) -> Loss:
    """See networks.losses.focal_tversky_loss."""
    return _power(_tversky(logits, target, alpha, beta), 1 / gamma).mean()


def lovasz_hinge_loss(logits: Logits, target: Target) -> Loss:
    """See networks.losses.lovasz_hinge_loss.

    A step of J is written out instead of taken as a difference, which would lose digits:
    1 / union at a lesion pixel, intersection / (union (union - 1)) at another.
    """
    x, lesion = logits.flatten(start_dim=1), target.flatten(start_dim=1)
    errors = (1 - (2 * lesion - 1) * x).clamp(min=0)
    sorted_errors, order = torch.sort(errors, dim=1, descending=True, stable=True)
    is_lesion = lesion.gather(1, order)
    size = lesion.sum(dim=1, keepdim=True)
    intersection = size - is_lesion.cumsum(dim=1)
    union = size + (1 - is_lesion).cumsum(dim=1)
    outside = intersection / (union * (union - 1).clamp(min=1))
    steps = torch.where(is_lesion > 0, 1 / union, outside)
    steps[:, 0] += (size[:, 0] == 0).to(steps.dtype)
    return (sorted_errors * steps).sum(dim=1).mean()


def bce_dice_loss(logits: Logits, target: Target) -> Loss:
    """See networks.losses.bce_dice_loss."""
    return binary_cross_entropy(logits, target) + soft_dice_loss(logits, target)


def unified_focal_loss(
    logits: Logits, target: Target, *, focal_share: float, delta: float, gamma: float
) -> Loss:
    """See networks.losses.unified_focal_loss."""
    easy = torch.exp(gamma * _log_probability_of_the_wrong(logits, target))
    weight = delta * target + (1 - delta) * (1 - target) * easy
    focal = (weight * _pixel_cross_entropy(logits, target)).mean()
    found = _regions(logits, target)
    missed_lesion = delta * found.misses + (1 - delta) * found.false_alarms
    missed_background = delta * found.false_alarms + (1 - delta) * found.misses
    lesion = missed_lesion / (found.hits + missed_lesion + SMOOTH)
    background = missed_background / (found.rejections + missed_background + SMOOTH)
    tversky = ((background + _power(lesion, 1 - gamma)) / 2).mean()
    return focal_share * focal + (1 - focal_share) * tversky


def boundary_loss(logits: Logits, distance: Distance) -> Loss:
    """See networks.losses.boundary_loss; takes the signed distance instead of the target."""
    wrong = torch.sigmoid(torch.where(distance > 0, logits, -logits))
    return (distance.abs() * wrong).mean()


LOSSES: Mapping[str, Callable[..., Loss]] = MappingProxyType(
    {
        "bce": binary_cross_entropy,
        "weighted-bce": weighted_cross_entropy,
        "balanced-bce": balanced_cross_entropy,
        "top-k-bce": top_k_cross_entropy,
        "focal": focal_loss,
        "dice": soft_dice_loss,
        "batch-dice": batch_dice_loss,
        "lesion-dice": lesion_dice_loss,
        "squared-dice": squared_dice_loss,
        "generalised-dice": generalised_dice_loss,
        "log-cosh-dice": log_cosh_dice_loss,
        "jaccard": jaccard_loss,
        "lovasz-hinge": lovasz_hinge_loss,
        "tversky": tversky_loss,
        "focal-tversky": focal_tversky_loss,
        "bce-dice": bce_dice_loss,
        "unified-focal": unified_focal_loss,
        "boundary": boundary_loss,
    }
)


def total_loss(
    terms: Sequence[LossTerm], logits: Logits, target: Target, distance: Distance | None = None
) -> Loss:
    """Return the weighted sum of the terms, in float32.

    Args:
        distance: networks.losses.signed_distance of the target, where needs_distance(terms).
    """
    wide = logits.float()
    losses = []
    for term in terms:
        compared = distance if needs_distance([term]) else target
        value = LOSSES[term.name](wide, compared, **term.parameters.model_dump())
        losses.append(term.weight * value)
    return torch.stack(losses).sum()


def class_cross_entropy(logits: ClassLogits, labels: Int64[Tensor, " batch"]) -> Loss:
    """See networks.classification.class_cross_entropy."""
    losses = functional.cross_entropy(logits, labels, ignore_index=UNLABELLED, reduction="none")
    return losses.mean()


def deeply_supervised_loss(
    terms: Sequence[LossTerm],
    logits: Sequence[Logits],
    targets: Sequence[tuple[Target, Distance | None]],
) -> Loss:
    """See networks.deep_supervision.deeply_supervised_loss.

    Args:
        targets: target and distance of each level, as total_loss takes them.
    """
    weights = level_weights(len(logits))
    levels = zip(weights, logits, targets, strict=True)
    return torch.stack(
        [weight * total_loss(terms, x, *target) for weight, x, target in levels]
    ).sum()
