"""Deep supervision: a loss at several resolutions of the decoder, the same in both frameworks.

In training alone, decoder levels below the image's resolution have a head of their own, and
the loss is the weighted mean of the losses of all heads. So the gradient reaches the deep
levels on a short way. Level 0 is the network; each further one is coarser by the stride that
leads to it, which is 2 along every axis where the network does not say otherwise.

Source: Lee et al. 2015 (Deeply-supervised nets), section 2; weights as in Isensee et al. 2021
(nnU-Net), section "Blueprint parameters".
"""

import itertools
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Float32

from breastseg.core.loss_terms import LossTerm
from breastseg.networks.losses import LOSSES, needs_distance, signed_distance

Target = Float[np.ndarray, "batch 1 *space"]
Logits = Float[np.ndarray, "batch 1 *space"]
Distance = Float32[np.ndarray, "batch 1 *space"]


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


def coarsened(target: Target, stride: Sequence[int]) -> Target:
    """Return the target at a coarser level: a pixel is lesion if any of those it covers is.

    The maximum, as in the network's own pooling: an image has a lesion at each level or at
    none, however small the lesion is, so that an empty target means the same at all of them;
    the nearest pixel would lose small lesions, and the mean is no 0 or 1, which not every loss
    takes. The outline moves outwards by less than one pixel of the new level.

    Args:
        stride: how many pixels become one, along each axis; each side is a multiple of it.

    >>> coarsened(np.array([[[[0.0, 0, 0, 1], [0, 0, 0, 0]]]]), (2, 2)).tolist()
    [[[[0.0, 1.0]]]]
    """
    shape: list[int] = [*target.shape[:2]]
    for size, step in zip(target.shape[2:], stride, strict=True):
        shape += [size // step, step]
    coarser: Target = target.reshape(shape).max(axis=tuple(range(3, len(shape), 2)))
    return coarser


def coarser_targets(
    target: Target, strides: Iterable[Sequence[int]], terms: Iterable[LossTerm]
) -> list[LevelTarget]:
    """Return what the levels below the image's resolution are compared with.

    The signed distance is measured anew in each coarser target, in pixels of that level: each
    level has the loss that an image of its size would have.

    Args:
        target: at the image's resolution; each side is a multiple of its strides' product.
        strides: from each level to the next, as UNetSpec.stride_at has them; one per level.
    """
    measures, levels = needs_distance(terms), []
    for stride in strides:
        target = coarsened(target, stride)
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
    targets, total = [target], 0.0
    for finer, coarser in itertools.pairwise(logits):
        sizes = zip(finer.shape[2:], coarser.shape[2:], strict=True)
        targets.append(coarsened(targets[-1], [fine // coarse for fine, coarse in sizes]))
    for weight, x, g in zip(level_weights(len(logits)), logits, targets, strict=True):
        values = [term.weight * _value(term, x, g) for term in terms]
        total += weight * sum(values)
    return total


def _value(term: LossTerm, logits: Logits, target: Target) -> float:
    return LOSSES[term.name](logits, target, **term.parameters.model_dump())
