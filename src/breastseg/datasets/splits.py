"""Dividing a data set so that no patient and no near duplicate is on two sides."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from breastseg.core.errors import SplitError
from breastseg.core.recipe import Split
from breastseg.datasets.cases import CaseFiles

Part = Literal["train", "validation", "calibration", "test"]
PARTS: tuple[Part, ...] = ("train", "validation", "calibration", "test")


@dataclass(frozen=True, slots=True, kw_only=True)
class DataSplit:
    """Which cases are in which part, and the groups that were kept together.

    method: how the groups came about, in words for a report.
    groups: group by case id: a patient, or a set of near duplicates.
    """

    method: str
    parts: Mapping[Part, tuple[str, ...]]
    groups: Mapping[str, str]

    def __post_init__(self) -> None:
        home: dict[str, Part] = {}
        for part, case_ids in self.parts.items():
            for case_id in case_ids:
                other = home.setdefault(self.groups[case_id], part)
                if other != part:
                    raise SplitError(
                        f"the split must keep the group '{self.groups[case_id]}' on one side, but "
                        f"it is in {other} and {part} (case '{case_id}'). A score would be "
                        "flattered; split by groups."
                    )

    def to_document(self) -> dict[str, Any]:
        """Return split.json."""
        return {"schema_version": 1, "method": self.method, "parts": dict(self.parts)}

    @classmethod
    def from_document(cls, split: Mapping[str, Any], groups: Mapping[str, str]) -> "DataSplit":
        """Read split.json and groups.json, and check them again.

        Raises:
            SplitError: a group is on two sides.
        """
        parts = {part: tuple(split["parts"].get(part, ())) for part in PARTS}
        return cls(method=split["method"], parts=parts, groups=groups)


def split_cases(
    cases: Sequence[CaseFiles], groups: Mapping[str, str], split: Split, *, seed: int, method: str
) -> DataSplit:
    """Divide the groups by the shares of the recipe, each class evenly.

    Large groups are placed first, each where the classes that it holds are missing most;
    equal ones in random order. The same cases, groups, shares and seed give the same split.

    Args:
        cases: the data set.
        groups: group by case id; a group is never divided.
        split: shares, or the published fold that is the test part.
        seed: of the random order.
        method: how the groups came about.

    Raises:
        SplitError: a part would be empty, or the data set has no such fold.
    """
    wanted: dict[Part, float] = {
        "validation": split.validation,
        "calibration": split.calibration,
        "test": split.test,
    }
    parts: dict[Part, list[CaseFiles]] = {part: [] for part in PARTS}
    rest = list(cases)
    if split.test_fold is not None:
        parts["test"], rest = _published_fold(rest, split.test_fold)
        wanted["test"] = 0.0
        method = f"published fold {split.test_fold} as test, else by {method}"
    wanted["train"] = 1 - sum(wanted.values()) - len(parts["test"]) / max(1, len(cases))
    _deal(rest, groups, wanted, parts, seed=seed, num_cases=len(cases))
    for part, share in wanted.items():
        if not parts[part] and (share > 0 or part == "train"):
            raise SplitError(
                f"the {part} part would be empty: {len(set(groups.values()))} groups ({method}) "
                f"are too few for the shares of the recipe. {_way_out(part)}"
            )
    ids = {part: tuple(sorted(case.case_id for case in parts[part])) for part in PARTS}
    return DataSplit(method=method, parts=ids, groups=dict(groups))


def _way_out(part: Part) -> str:
    if part in ("train", "validation"):
        return "Add cases, or lower the shares of the other parts (--set split.test=...)."
    return f"Add cases, or --set split.{part}=0."


def _published_fold(
    cases: Sequence[CaseFiles], fold: int
) -> tuple[list[CaseFiles], list[CaseFiles]]:
    test = [case for case in cases if case.fold == fold]
    if not test:
        folds = sorted({case.fold for case in cases if case.fold is not None})
        raise SplitError(
            f"split.test_fold={fold}: the data set publishes "
            + (f"the folds {folds}." if folds else "no folds; set split.test instead.")
        )
    return test, [case for case in cases if case.fold != fold]


def _deal(
    cases: Sequence[CaseFiles],
    groups: Mapping[str, str],
    wanted: Mapping[Part, float],
    parts: dict[Part, list[CaseFiles]],
    *,
    seed: int,
    num_cases: int,
) -> None:
    """Place each group where the classes that it holds are missing most."""
    members: dict[str, list[CaseFiles]] = defaultdict(list)
    for case in cases:
        members[groups[case.case_id]].append(case)
    label_counts = Counter(case.label for case in cases)
    scale = num_cases / max(1, len(cases))
    missing = {
        part: {label: share * scale * count for label, count in label_counts.items()}
        for part, share in wanted.items()
        if share > 0
    }
    names = sorted(members)
    order = np.random.default_rng(seed).permutation(len(names)).tolist()
    for name in sorted((names[i] for i in order), key=lambda name: -len(members[name])):
        held = Counter(case.label for case in members[name])

        def need(part: Part, held: Counter[str | None] = held) -> float:
            return sum(n * missing[part][k] / label_counts[k] for k, n in held.items())

        part = max(missing, key=need)
        parts[part] += members[name]
        for label, count in held.items():
            missing[part][label] -= count
