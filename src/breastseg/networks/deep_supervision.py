"""Deep supervision: a loss at several resolutions of the decoder, the same in both frameworks.

In training alone, decoder levels below the image's resolution have a head of their own, and
the loss is the weighted mean of the losses of all heads. So the gradient reaches the deep
levels on a short way. Level k has 2^-k of the image's rows and columns; level 0 is the network.

Source: Lee et al. 2015 (Deeply-supervised nets), section 2; weights as in Isensee et al. 2021
(nnU-Net), section "Blueprint parameters".
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Float32

from breastseg.core.loss_terms import LossTerm
from breastseg.networks.losses import LOSSES, needs_distance, signed_distance

Target = Float[np.ndarray, "batch 1 rows columns"]
Logits = Float[np.ndarray, "batch 1 rows columns"]
Distance = Float32[np.ndarray, "batch 1 rows columns"]


class LevelTarget(NamedTuple):
    """What the logits of one level are compared with; no distance where no loss takes one."""

    target: Target
    distance: Distance | None


def level_weights(num_levels: int) -> tuple[float, ...]:
    """Return the share of each level in the loss: halved from level to level, together 1.

    >>> [round(7 * weight, 6) for weight in level_weights(3)]
    [4.0, 2.0, 1.0]
    """
    weights = [0.5**level for level in range(num_levels)]
    return tuple(weight / sum(weights) for weight in weights)


def halved(target: Target) -> Target:
    """Return the target at half the resolution: a pixel is lesion if any of its four is.

    The maximum, as in the network's own pooling: an image has a lesion at each level or at
    none, however small the lesion is, so that an empty target means the same at all of them;
    the nearest pixel would lose small lesions, and the mean is no 0 or 1, which not every loss
    takes. The outline moves outwards by less than one pixel of the new level.

    >>> halved(np.array([[[[0.0, 0, 0, 1], [0, 0, 0, 0]]]])).tolist()
    [[[[0.0, 1.0]]]]
    """
    batch, channels, rows, columns = target.shape
    fours = target.reshape(batch, channels, rows // 2, 2, columns // 2, 2)
    coarser: Target = fours.max(axis=(3, 5))
    return coarser


def coarser_targets(
    target: Target, num_levels: int, terms: Iterable[LossTerm]
) -> list[LevelTarget]:
    """Return what the levels 1 to num_levels are compared with.

    The signed distance is measured anew in each coarser target, in pixels of that level: each
    level has the loss that an image of its size would have.

    Args:
        target: at the image's resolution; both sides are multiples of 2^num_levels.
    """
    measures, levels = needs_distance(terms), []
    for _ in range(num_levels):
        target = halved(target)
        levels.append(LevelTarget(target, signed_distance(target) if measures else None))
    return levels


def deeply_supervised_loss(
    terms: Sequence[LossTerm], logits: Sequence[Logits], target: Target
) -> float:
    """Weighted mean of the loss at each level; the definition that the engines must agree with.

    Args:
        terms: of the loss, the same at every level.
        logits: of each level, the image's resolution first.
        target: at the image's resolution.
    """
    targets = [target, *(each.target for each in coarser_targets(target, len(logits) - 1, ()))]
    total = 0.0
    for weight, x, g in zip(level_weights(len(logits)), logits, targets, strict=True):
        values = [term.weight * _value(term, x, g) for term in terms]
        total += weight * sum(values)
    return total


def _value(term: LossTerm, logits: Logits, target: Target) -> float:
    return LOSSES[term.name](logits, target, **term.parameters.model_dump())
