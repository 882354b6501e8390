"""Dividing a data set so that no patient and no near duplicate is on two sides."""

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from breastseg.core.errors import SplitError
from breastseg.core.split_recipe import Split
from breastseg.datasets.cases import CaseFiles

Part = Literal["train", "validation", "calibration", "test"]
PARTS: tuple[Part, ...] = ("train", "validation", "calibration", "test")
_Kind = tuple[str | None, str | None]
"""Data set and class of an image: each part gets its share of each kind."""
_ELSE_BY, _NOT_BY = ", else by ", ", not by "


@dataclass(frozen=True, slots=True, kw_only=True)
class DataSplit:
    """Which cases are in which part, and the groups that were kept together.

    method: how the groups came about, in words for a report.
    groups: group by case id: a patient, or a set of near duplicates.
    divides_groups: groups were ignored on purpose, to measure how much that flatters a score.
    """

    method: str
    parts: Mapping[Part, tuple[str, ...]]
    groups: Mapping[str, str]
    divides_groups: bool = False

    def __post_init__(self) -> None:
        if self.divides_groups:
            return
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
        document = {"schema_version": 1, "method": self.method, "parts": dict(self.parts)}
        return {**document, "divides_groups": True} if self.divides_groups else document

    @classmethod
    def from_document(cls, split: Mapping[str, Any], groups: Mapping[str, str]) -> "DataSplit":
        """Read split.json and groups.json, and check them again.

        Raises:
            SplitError: a group is on two sides.
        """
        return cls(
            method=split["method"],
            parts={part: tuple(split["parts"].get(part, ())) for part in PARTS},
            groups=groups,
            divides_groups=split.get("divides_groups", False) is True,
        )

    @property
    def kind_of_groups(self) -> str:
        """What the groups are."""
        return self.dealt_by.rpartition(_NOT_BY)[2]

    @property
    def dealt_by(self) -> str:
        """What was dealt out whole, without which fold is the test part."""
        return self.method.rpartition(_ELSE_BY)[2]

    def shared_groups(self) -> frozenset[str]:
        """Return the groups of the test part that another part holds images of; should be none."""
        test = {self.groups[each] for each in self.parts.get("test", ())}
        others = (ids for part, ids in self.parts.items() if part != "test")
        return frozenset(test & {self.groups[each] for ids in others for each in ids})


def split_cases(
    cases: Sequence[CaseFiles],
    groups: Mapping[str, str],
    split: Split,
    *,
    seed: int,
    method: str,
    trained_on: Collection[str] = (),
) -> DataSplit:
    """Divide the groups by the shares of the recipe, each class of each data set evenly.

    Every part gets its share of the large groups as of the small, so that what is learnt on the
    calibration part holds for the test part. The same cases, groups, shares and seed give the
    same split.

    Args:
        cases: the data set.
        groups: group by case id; a group is never divided.
        split: shares, or the fold that is the test or the validation part.
        seed: of the random order.
        method: how the groups came about.
        trained_on: case ids that the model which the training begins from knows: they and all
            of their groups are in the training part.

    Raises:
        SplitError: a part would be empty, the data set has no such fold, or a fold holds what
            was trained on.
    """
    wanted = {
        "validation": split.validation,
        "calibration": split.calibration,
        "test": split.test,
    }
    dealt_by = {case.case_id: case.case_id for case in cases} if split.ignores_groups else groups
    dealer = _Dealer(groups=dealt_by, seed=seed, num_cases=len(cases))
    held_out, kind = _held_out(cases, split, wanted, dealer)
    method = f"image{_NOT_BY}{method}" if split.ignores_groups else method
    method = f"{kind}{_ELSE_BY}{method}" if kind else method
    known = _of_known_groups(cases, dealt_by, trained_on)
    _require_unknown(held_out, known)
    taken = {case.case_id for part in (*held_out.values(), known) for case in part}
    rest = [case for case in cases if case.case_id not in taken]
    left = {part: 0.0 if part in held_out else share for part, share in wanted.items()}
    left["train"] = 1 - sum(left.values()) - len(taken) / max(1, len(cases))
    dealt = {**dealer.deal(rest, left), **held_out}
    dealt["train"] = [*dealt.get("train", []), *known]
    parts = {part: dealt.get(part, []) for part in PARTS}
    for part in PARTS:
        if not parts[part] and (part == "train" or wanted[part] > 0):
            raise SplitError(
                f"the {part} part would be empty: {len(set(dealt_by.values()))} groups ({method}) "
                f"are too few for the shares of the recipe{_told(known)}. {_way_out(part)}"
            )
    ids = {part: tuple(sorted(case.case_id for case in parts[part])) for part in PARTS}
    return DataSplit(
        method=method, parts=ids, groups=dict(groups), divides_groups=split.ignores_groups
    )


def _of_known_groups(
    cases: Sequence[CaseFiles], dealt_by: Mapping[str, str], trained_on: Collection[str]
) -> list[CaseFiles]:
    """Return the cases of all groups of which some case was trained on."""
    groups = {dealt_by[case_id] for case_id in trained_on}
    return [case for case in cases if dealt_by[case.case_id] in groups]


def _require_unknown(
    held_out: Mapping[str, Sequence[CaseFiles]], known: Sequence[CaseFiles]
) -> None:
    ids = {case.case_id for case in known}
    for part, cases in held_out.items():
        if both := [case.case_id for case in cases if case.case_id in ids]:
            raise SplitError(
                f"the {part} part is a fold, and {len(both)} of its {len(cases)} images were "
                "trained on by the model that the training begins from, or share a group with "
                f"such, as '{both[0]}'. Leave folds away, so that these go to train; or begin "
                "from a model that has not seen them."
            )


def _told(known: Sequence[CaseFiles]) -> str:
    if not known:
        return ""
    return (
        f", since {len(known)} images must be in train: the model that the training begins from "
        "was trained on them, or on others of their groups"
    )


def _way_out(part: str) -> str:
    if part in ("train", "validation"):
        return "Add cases, or lower the shares of the other parts (--set split.test=...)."
    return f"Add cases, or --set split.{part}=0."


def _held_out(
    cases: Sequence[CaseFiles], split: Split, wanted: Mapping[str, float], dealer: "_Dealer"
) -> tuple[dict[str, list[CaseFiles]], str]:
    """Return the parts that are not dealt by their shares, and in words what they are."""
    if split.test_fold is not None:
        return {"test": _published_fold(cases, split.test_fold)}, (
            f"published fold {split.test_fold} as test"
        )
    if split.folds is None:
        return {}, ""
    if split.folds.part == "test":
        folds, published = _test_folds(cases, split, split.folds.count, dealer)
        name = "published fold" if published else "fold"
        return {"test": folds[split.folds.fold]}, (
            f"{name} {split.folds.fold} of {split.folds.count} as test"
        )
    fixed = {part: wanted[part] for part in ("calibration", "test")}
    dealt = dealer.deal(cases, {**fixed, "rest": 1 - sum(fixed.values())})
    folds = dealer.folds(dealt.pop("rest"), split.folds.count)
    return {**dealt, "validation": folds[split.folds.fold]}, (
        f"fold {split.folds.fold} of {split.folds.count} as validation"
    )


def _test_folds(
    cases: Sequence[CaseFiles], split: Split, count: int, dealer: "_Dealer"
) -> tuple[dict[int, list[CaseFiles]], bool]:
    """Return the cases of each fold; the data set's published folds where there are as many."""
    published: dict[int, list[CaseFiles]] = defaultdict(list)
    for case in cases:
        if case.fold is not None:
            published[case.fold].append(case)
    homes = [{dealer.groups[case.case_id] for case in fold} for fold in published.values()]
    is_whole = sum(map(len, homes)) == len(set(dealer.groups.values()))
    is_wanted = is_whole and not split.ignores_groups
    if set(published) == set(range(1, count + 1)) and is_wanted:
        return published, True
    return dealer.folds(cases, count), False


def _published_fold(cases: Sequence[CaseFiles], fold: int) -> list[CaseFiles]:
    test = [case for case in cases if case.fold == fold]
    if not test:
        folds = sorted({case.fold for case in cases if case.fold is not None})
        raise SplitError(
            f"split.test_fold={fold}: the data set publishes "
            + (f"the folds {folds}." if folds else "no folds; set split.test instead.")
        )
    return test


@dataclass(frozen=True, slots=True, kw_only=True)
class _Dealer:
    """Deals groups out. num_cases: of the whole data set, which the shares are of."""

    groups: Mapping[str, str]
    seed: int
    num_cases: int

    def folds(self, cases: Sequence[CaseFiles], count: int) -> dict[int, list[CaseFiles]]:
        """Divide cases evenly into folds, by number from 1.

        Raises:
            SplitError: a fold would be empty.
        """
        share = len(cases) / max(1, self.num_cases) / count
        dealt = self.deal(cases, {str(fold): share for fold in range(1, count + 1)})
        if not all(dealt.values()):
            num_groups = len({self.groups[case.case_id] for case in cases})
            raise SplitError(
                f"{count} folds need at least as many groups, got {num_groups}. Ask for fewer."
            )
        return {fold: dealt[str(fold)] for fold in range(1, count + 1)}

    def deal(
        self, cases: Sequence[CaseFiles], wanted: Mapping[str, float]
    ) -> dict[str, list[CaseFiles]]:
        """Deal the groups, large ones first, each to the part that has least of its share.

        So every part has large groups and small ones, and the calibration part is like the
        test part. A group for which no part has room goes where most is missing.
        """
        members: dict[str, list[CaseFiles]] = defaultdict(list)
        for case in cases:
            members[self.groups[case.case_id]].append(case)
        kind_counts = Counter(map(_kind, cases))
        scale = self.num_cases / max(1, len(cases))
        missing = {
            part: {kind: share * scale * count for kind, count in kind_counts.items()}
            for part, share in wanted.items()
            if share > 0
        }
        parts: dict[str, list[CaseFiles]] = {part: [] for part in missing}
        random = np.random.default_rng(self.seed)
        names = [str(name) for name in random.permutation(sorted(members))]
        for name in sorted(names, key=lambda name: -len(members[name])):
            held = Counter(map(_kind, members[name]))
            part = _part_for(held, missing, wanted, random)
            parts[part] += members[name]
            for kind, count in held.items():
                missing[part][kind] -= count
        return parts


def _kind(case: CaseFiles) -> _Kind:
    return case.source, case.label


def _part_for(
    held: Mapping[_Kind, int],
    missing: Mapping[str, Mapping[_Kind, float]],
    wanted: Mapping[str, float],
    random: np.random.Generator,
) -> str:
    """Return the part that lacks most of its share, by chance among equals.

    Args:
        held: cases of the group by kind.
        missing: cases that each part still lacks, by kind.
        wanted: share of all cases by part.
    """
    roomy = [
        part
        for part, lacking in missing.items()
        if all(lacking[kind] > count - 0.5 for kind, count in held.items())
    ]
    if not roomy:
        return max(missing, key=lambda part: sum(missing[part][kind] for kind in held))
    lacking = [
        sum(missing[part][kind] * count for kind, count in held.items()) / wanted[part]
        for part in roomy
    ]
    equals = np.flatnonzero(np.isclose(lacking, max(lacking)))
    return roomy[int(random.choice(equals))]
