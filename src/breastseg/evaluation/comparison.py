"""Several models on the same images: every pair, and a p-value that knows how many there are."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

from breastseg.evaluation.confidence import PairedDifference
from breastseg.evaluation.scorecard import Contender, dice_difference


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """The difference in Dice of two models, first minus second.

    p_holm: the p-value adjusted for all pairs that were looked at.
    """

    first: str
    second: str
    difference: PairedDifference
    p_holm: float


def compare_pairs(models: Sequence[Contender], *, seed: int = 0) -> tuple[Pair, ...]:
    """Compare every pair of models that share images with a lesion, in the order given."""
    found = [
        (first.name, second.name, difference)
        for first, second in combinations(models, 2)
        if (difference := dice_difference(first.scores, second.scores, seed=seed)) is not None
    ]
    adjusted = holm([difference.p_value for _, _, difference in found])
    return tuple(
        Pair(first=first, second=second, difference=difference, p_holm=p)
        for (first, second, difference), p in zip(found, adjusted, strict=True)
    )


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjust p-values for their number, so that one false alarm among them stays unlikely.

    Args:
        p_values: each in (0, 1].

    Returns:
        The adjusted values in the same order, each in (0, 1] and at least what it was.

    Source: Holm 1979, Scandinavian Journal of Statistics 6:65, section 3.

    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    order = sorted(range(len(p_values)), key=lambda index: p_values[index])
    adjusted = [0.0] * len(p_values)
    largest = 0.0
    for rank, index in enumerate(order):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = largest
    return adjusted
