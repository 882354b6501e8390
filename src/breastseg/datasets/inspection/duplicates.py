"""Near duplicates, and where they contradict each other."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import cv2
import numpy as np
from jaxtyping import Bool, Int

from breastseg.core.errors import InputError
from breastseg.datasets.cases import read_case
from breastseg.datasets.inspection.findings import Finding
from breastseg.datasets.inspection.record import Record
from breastseg.datasets.near_duplicates import likeness

SAME_PICTURE = 0.85
"""Likeness from which two pictures must agree in class, patient and masks."""
_MAX_COMPARED = 12
_GRID = 128
_SHIFTS = range(-6, 7, 2)
_MIN_DICE = 0.5

Mask = Bool[np.ndarray, "128 128"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """Two near duplicates. is_mirrored: one is the mirror image of the other."""

    first: Record
    second: Record
    likeness: float
    is_mirrored: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Near duplicates. likeness: the largest between two of them; at most 12 are compared."""

    records: tuple[Record, ...]
    likeness: float
    findings: tuple[Finding, ...]

    @property
    def case_ids(self) -> tuple[str, ...]:
        """Ids of its cases."""
        return tuple(record.case_id for record in self.records)

    def to_document(self) -> dict[str, Any]:
        """Return what inspection.json says of it."""
        return {
            "cases": list(self.case_ids),
            "classes": sorted({r.files.label for r in self.records if r.files.label}),
            "likeness": round(self.likeness, 3),
            "codes": [finding.code for finding in self.findings],
        }


def find_groups(
    records: Sequence[Record],
    numbers: Int[np.ndarray, " images"],
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[Group]:
    """Return the groups of at least two, those with contradictions first.

    Args:
        records: of images that could be read.
        numbers: their group numbers, see near_duplicates.group_numbers.
        progress: told how many of how many groups are compared.
    """
    members: dict[int, list[Record]] = defaultdict(list)
    for record, number in zip(records, numbers.tolist(), strict=True):
        members[number].append(record)
    several = [each for each in members.values() if len(each) > 1]
    groups = []
    for done, each in enumerate(several, start=1):
        groups.append(_group(each))
        progress(done, len(several))
    return sorted(groups, key=lambda group: (-len(group.findings), -group.likeness))


def _group(records: Sequence[Record]) -> Group:
    pairs = [_pair(*two) for two in combinations(records[:_MAX_COMPARED], 2)]
    same = [pair for pair in pairs if pair.likeness >= SAME_PICTURE]
    return Group(
        records=tuple(records),
        likeness=max(pair.likeness for pair in pairs),
        findings=(_near(records), *_contradictions(same)),
    )


def _pair(first: Record, second: Record) -> Pair:
    assert first.signature is not None
    assert second.signature is not None
    if first.sha256 == second.sha256:
        return Pair(first=first, second=second, likeness=1.0, is_mirrored=False)
    value, is_mirrored = likeness(first.signature, second.signature)
    return Pair(first=first, second=second, likeness=min(value, 1.0), is_mirrored=is_mirrored)


def _near(records: Sequence[Record]) -> Finding:
    cases = tuple(record.case_id for record in records)
    return Finding(
        code="near-duplicates", cases=cases, message=f"{len(cases)} images show nearly the same."
    )


def _contradictions(pairs: Sequence[Pair]) -> Iterator[Finding]:
    """Yield one finding of each code over the pairs of a group that show the same picture."""
    fields: dict[str, Callable[[Record], object]] = {
        "duplicates-in-two-classes": lambda record: record.files.label,
        "duplicates-across-patients": lambda record: record.files.patient_id,
        "duplicates-across-folds": lambda record: record.files.fold,
    }
    for code, value in fields.items():
        apart = [p for p in pairs if _differ(value(p.first), value(p.second))]
        if apart:
            values = sorted({str(value(r)) for p in apart for r in (p.first, p.second)})
            yield _contradiction(code, apart, f"The same picture: {', '.join(values)}.")
    dice = {index: _mask_dice(pair) for index, pair in enumerate(pairs)}
    apart = [pairs[index] for index, value in dice.items() if value < _MIN_DICE]
    if apart:
        worst = min(dice.values())
        message = f"Their masks overlap with a Dice of {worst:.2f}, laid over each other."
        yield _contradiction("duplicates-with-other-masks", apart, message)


def _differ(first: object, second: object) -> bool:
    return first is not None and second is not None and first != second


def _contradiction(code: str, pairs: Sequence[Pair], message: str) -> Finding:
    cases = {record.case_id: None for pair in pairs for record in (pair.first, pair.second)}
    return Finding(code=code, cases=tuple(cases), message=message)


def _mask_dice(pair: Pair) -> float:
    """Return the Dice of two masks, stretched over each other and shifted a little; else 1."""
    first, second = _mask(pair.first), _mask(pair.second)
    if first is None or second is None:
        return 1.0
    if pair.is_mirrored:
        second = np.fliplr(second)
    total = int(first.sum() + second.sum())
    if not total:
        return 1.0
    overlap = max(
        int((first & np.roll(second, (down, right), (0, 1))).sum())
        for down in _SHIFTS
        for right in _SHIFTS
    )
    return 2 * overlap / total


def _mask(record: Record) -> Mask | None:
    if record.mask is None:
        return None
    try:
        reference = read_case(record.files).reference
    except InputError:  # changed since it was inspected
        return None
    if reference is None:
        return None
    share = cv2.resize(
        (reference[0] > 0).astype(np.float32), (_GRID, _GRID), interpolation=cv2.INTER_AREA
    )
    return np.asarray(share >= min(0.5, float(share.max()) or 1.0))
