"""One data set beside another: the drop of the Dice, and what of it goes with each factor."""

from collections.abc import Sequence
from dataclasses import dataclass

from breastseg.core.errors import InputError
from breastseg.evaluation.shift import MIN_SHARED, Decomposition, Sample, decompose
from breastseg.evaluation.shift_factors import (
    TOGETHER,
    Factor,
    ImageFacts,
    Sorted,
    factors_for,
    sort_into_kinds,
    sort_together,
)

MISSED, TOUCHED = "missed altogether", "touched"


@dataclass(frozen=True, slots=True, kw_only=True)
class LesionImage:
    """One image with a lesion: what it is like, and how it was done.

    group: patient or near-duplicate group, which intervals resample.
    """

    facts: ImageFacts
    group: str
    dice: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoredSet:
    """The images with a lesion of one data set."""

    name: str
    images: Sequence[LesionImage]

    @property
    def facts(self) -> list[ImageFacts]:
        """What the images are like, in their order."""
        return [image.facts for image in self.images]


@dataclass(frozen=True, slots=True, kw_only=True)
class FactorResult:
    """What goes with one factor.

    note: what must be known to read it, such as that the sets have nothing in common.
    parts: None where neither set says anything of the factor.
    """

    key: str
    name: str
    definition: str
    note: str | None
    parts: Decomposition | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SetComparison:
    """The drop from one set to another.

    misses: by whether the mask touches a lesion at all, an outcome and no factor: composition is
        what goes with more lesions missed altogether, rates with worse outlines of the others.
    factors: each alone; they overlap and don't add up.
    together: several at once, in wide ranges; its rates are what remains.
    """

    first: str
    second: str
    misses: Decomposition
    factors: tuple[FactorResult, ...]
    together: FactorResult


def compare_sets(first: ScoredSet, second: ScoredSet, *, seed: int = 0) -> SetComparison:
    """Compare one model on two data sets.

    Raises:
        InputError: a set has no image with a lesion.
    """
    for each in (first, second):
        if not each.images:
            raise InputError(f"{each.name}: a drop of the Dice needs images with a lesion.")
    factors = factors_for(first.facts, second.facts)
    return SetComparison(
        first=first.name,
        second=second.name,
        misses=_decompose(first, second, _by_outcome(first, second), seed),
        factors=tuple(_alone(each, first, second, seed) for each in factors),
        together=_together(factors, first, second, seed),
    )


def _decompose(first: ScoredSet, second: ScoredSet, kinds: Sorted, seed: int) -> Decomposition:
    return decompose(
        _sample(first, kinds.first), _sample(second, kinds.second), kinds.kinds, seed=seed
    )


def _sample(scored: ScoredSet, kinds: Sequence[str | None]) -> Sample:
    return Sample(
        scores=[image.dice for image in scored.images],
        groups=[image.group for image in scored.images],
        kinds=kinds,
    )


def _by_outcome(first: ScoredSet, second: ScoredSet) -> Sorted:
    sides = [
        tuple(TOUCHED if image.dice > 0 else MISSED for image in side.images)
        for side in (first, second)
    ]
    return Sorted(first=sides[0], second=sides[1], kinds=(MISSED, TOUCHED))


def _alone(factor: Factor, first: ScoredSet, second: ScoredSet, seed: int) -> FactorResult:
    kinds = sort_into_kinds(factor, first.facts, second.facts)
    silent = [
        side.name
        for side, names in ((first, kinds.first), (second, kinds.second))
        if not any(names)
    ]
    if len(silent) == 2:
        return _result(factor, "Neither data set says anything of it.", None)
    parts = _decompose(first, second, kinds, seed)
    if silent:
        note = f"{silent[0]} does not name it: nothing of the drop can be laid to it."
        return _result(factor, note, parts)
    return _result(factor, _note(parts, first.name, second.name), parts)


def _together(
    factors: Sequence[Factor], first: ScoredSet, second: ScoredSet, seed: int
) -> FactorResult:
    chosen = [
        factor
        for factor in factors
        if factor.key in TOGETHER and factor.is_known_of_all([*first.facts, *second.facts])
    ]
    parts = _decompose(first, second, sort_together(chosen, first.facts, second.facts), seed)
    return FactorResult(
        key="together",
        name=f"{', '.join(factor.name for factor in chosen).capitalize()} together",
        definition="each combination is one kind; numbers are cut into two ranges alone",
        note=_note(parts, first.name, second.name),
        parts=parts,
    )


def _result(factor: Factor, note: str | None, parts: Decomposition | None) -> FactorResult:
    return FactorResult(
        key=factor.key, name=factor.name, definition=factor.definition, note=note, parts=parts
    )


def _note(parts: Decomposition, first: str, second: str) -> str | None:
    """Say where the sets have too little in common."""
    shares = {first: parts.first_in_common, second: parts.second_in_common}
    if not any(shares.values()):
        return "The sets have no kind in common: nothing of the drop can be laid to it."
    short = [f"{share:.0%} of {name}" for name, share in shares.items() if share < MIN_SHARED]
    if short:
        return f"Only {' and '.join(short)} is of kinds in common: no share of the drop is given."
    return None
