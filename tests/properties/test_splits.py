"""Whatever the patients and near duplicates: nothing leaks and nothing is lost."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from breastseg.core.errors import SplitError
from breastseg.core.split_recipe import Folds, Split
from breastseg.datasets.cases import CaseFiles
from breastseg.datasets.splits import PARTS, split_cases


@st.composite
def data_sets(draw):
    """Cases of up to three classes, in groups of any size, in five published folds."""
    num_groups = draw(st.integers(12, 60))
    cases, groups = [], {}
    for group in range(num_groups):
        for member in range(draw(st.integers(1, 5))):
            case_id = f"{draw(st.sampled_from('abc'))}{group:02}-{member}"
            label = draw(st.sampled_from(["benign", "malignant", "normal", None]))
            groups[case_id] = f"group {group}"
            path = Path(f"{case_id}.png")
            cases.append(
                CaseFiles(case_id=case_id, image_path=path, label=label, fold=1 + group % 5)
            )
    return cases, groups


folds = st.builds(
    lambda count, fold, part: Folds(count=count, fold=min(fold, count), part=part),
    st.sampled_from([2, 3, 5]),
    st.integers(1, 5),
    st.sampled_from(["test", "validation"]),
)
held_out = st.one_of(
    st.none(),
    st.sampled_from([1, 5]).map(lambda fold: {"test_fold": fold}),
    folds.map(lambda each: {"folds": each}),
)
shares = st.builds(
    lambda validation, calibration, test, other: Split(
        validation=validation, calibration=calibration, test=test, **(other or {})
    ),
    validation=st.sampled_from([0.05, 0.1, 0.25]),
    calibration=st.sampled_from([0.0, 0.1, 0.2]),
    test=st.sampled_from([0.0, 0.2, 0.3]),
    other=held_out,
)
seeds = st.integers(0, 2**32 - 1)


def divide(data_set, share, seed):
    """Split, or leave the example: small data sets are refused, which is tested elsewhere."""
    cases, groups = data_set
    try:
        return split_cases(cases, groups, share, seed=seed, method="patient")
    except SplitError:
        assume(False)


@given(data_sets(), shares, seeds)
@settings(deadline=None, max_examples=60)
def test_no_group_is_on_two_sides_and_every_case_is_in_one_part(data_set, share, seed):
    cases, groups = data_set
    divided = divide(data_set, share, seed)
    homes = {}
    for part in PARTS:
        for case_id in divided.parts[part]:
            assert homes.setdefault(groups[case_id], part) == part
    dealt = [case_id for part in PARTS for case_id in divided.parts[part]]
    assert sorted(dealt) == sorted(case.case_id for case in cases)


@given(data_sets(), shares, seeds)
@settings(deadline=None, max_examples=60)
def test_parts_are_empty_only_where_none_is_wanted(data_set, share, seed):
    parts = divide(data_set, share, seed).parts
    assert parts["train"]
    assert parts["validation"]
    assert bool(parts["calibration"]) == bool(share.calibration)
    is_test_fold = share.test_fold or (share.folds and share.folds.part == "test")
    assert bool(parts["test"]) == bool(share.test or is_test_fold)


@given(data_sets(), shares, seeds, st.randoms(use_true_random=False))
@settings(deadline=None, max_examples=40)
def test_the_split_depends_on_content_and_seed_not_on_the_order_of_files(
    data_set, share, seed, shuffler
):
    cases, groups = data_set
    divided = divide(data_set, share, seed)
    shuffled = list(cases)
    shuffler.shuffle(shuffled)
    again = split_cases(shuffled, groups, share, seed=seed, method="patient")
    assert again == divided


@given(data_sets(), st.integers(1, 5), seeds)
@settings(deadline=None, max_examples=60)
def test_a_published_fold_is_the_test_part_and_nothing_else(data_set, fold, seed):
    divided = divide(data_set, Split(test_fold=fold), seed)
    expected = {case.case_id for case in data_set[0] if case.fold == fold}
    assert set(divided.parts["test"]) == expected


@given(data_sets(), st.sampled_from([2, 3, 5]), seeds)
@settings(deadline=None, max_examples=40)
def test_over_all_folds_every_case_is_tested_once(data_set, count, seed):
    tested = []
    for fold in range(1, count + 1):
        share = Split(calibration=0, folds=Folds(count=count, fold=fold))
        tested += divide(data_set, share, seed).parts["test"]
    assert sorted(tested) == sorted(case.case_id for case in data_set[0])


@given(data_sets(), st.sampled_from([2, 3, 5]), seeds)
@settings(deadline=None, max_examples=40)
def test_folds_of_validation_leave_the_same_images_unseen(data_set, count, seed):
    validated, unseen = [], set()
    for fold in range(1, count + 1):
        share = Split(calibration=0.1, folds=Folds(count=count, fold=fold, part="validation"))
        parts = divide(data_set, share, seed).parts
        validated += parts["validation"]
        unseen.add((parts["test"], parts["calibration"]))
    assert len(unseen) == 1
    apart = {case_id for part in unseen.pop() for case_id in part}
    everything = {case.case_id for case in data_set[0]}
    assert len(validated) == len(set(validated))
    assert set(validated) == everything - apart


@given(seeds, st.integers(1, 4))
@settings(deadline=None, max_examples=50)
def test_shares_are_kept_to_the_size_of_a_group(seed, largest):
    stream = np.random.default_rng(seed)
    sizes = stream.integers(1, largest + 1, 120)
    cases, groups = [], {}
    for group, size in enumerate(sizes.tolist()):
        for member in range(size):
            case_id = f"{group}-{member}"
            groups[case_id] = str(group)
            label = "benign" if group % 3 else "malignant"
            cases.append(CaseFiles(case_id=case_id, image_path=Path(f"{case_id}.png"), label=label))
    parts = divide((cases, groups), Split(), seed).parts
    wanted = {"train": 0.6, "validation": 0.1, "calibration": 0.1, "test": 0.2}
    for part, share in wanted.items():
        assert len(parts[part]) == pytest.approx(share * len(cases), abs=largest + 3), part
