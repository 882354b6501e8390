import json
from pathlib import Path

import pytest

from breastseg.core.errors import SplitError
from breastseg.core.split_recipe import Folds, Split
from breastseg.datasets.cases import CaseFiles
from breastseg.datasets.layouts import find_data_set
from breastseg.datasets.splits import PARTS, DataSplit, split_cases


def cases(count, *, folds=None, label=None):
    return [
        CaseFiles(
            case_id=f"c{i:03}",
            image_path=Path(f"c{i:03}.png"),
            label=label(i) if label else None,
            fold=folds[i] if folds else None,
        )
        for i in range(count)
    ]


def alone(cases):
    return {case.case_id: case.case_id for case in cases}


def split(cases, groups=None, share=None, *, seed=0):
    return split_cases(cases, groups or alone(cases), share or Split(), seed=seed, method="patient")


def sizes(divided):
    return {part: len(ids) for part, ids in divided.parts.items()}


def test_shares_of_single_cases_are_exact():
    assert sizes(split(cases(100))) == {
        "train": 60,
        "validation": 10,
        "calibration": 10,
        "test": 20,
    }


def test_each_class_is_divided_alike():
    given = cases(200, label=lambda i: "malignant" if i % 4 == 0 else "benign")
    labels = {case.case_id: case.label for case in given}
    for part, ids in split(given).parts.items():
        malignant = sum(labels[case_id] == "malignant" for case_id in ids)
        assert malignant == pytest.approx(len(ids) / 4, abs=1), part


def test_a_large_group_goes_where_there_is_room_for_it():
    given = cases(100)
    groups = alone(given) | {f"c{i:03}": "large" for i in range(50)}
    divided = split(given, groups)
    assert {f"c{i:03}" for i in range(50)} <= set(divided.parts["train"])


def test_another_seed_divides_otherwise():
    given = cases(50)
    assert split(given, seed=0) == split(given, seed=0)
    assert split(given, seed=0).parts != split(given, seed=1).parts


def test_a_part_that_is_not_wanted_stays_empty():
    divided = split(cases(20), share=Split(validation=0.2, calibration=0, test=0))
    assert sizes(divided) == {"train": 16, "validation": 4, "calibration": 0, "test": 0}


@pytest.mark.parametrize(
    ("num_groups", "message"),
    [
        (1, r"validation part would be empty: 1 groups \(patient\).*lower the shares of the other"),
        (3, r"calibration part would be empty: 3 groups.*--set split\.calibration=0"),
    ],
)
def test_too_few_groups_are_told_with_the_way_out(num_groups, message):
    given = cases(40)
    groups = {case.case_id: f"p{number % num_groups}" for number, case in enumerate(given)}
    share = Split(validation=0.3, calibration=0.05, test=0.3)
    with pytest.raises(SplitError, match=message):
        split(given, groups, share)


# --- a published fold -------------------------------------------------------------------------


def test_the_published_fold_is_the_test_part():
    given = cases(100, folds=[1 + i % 5 for i in range(100)])
    divided = split(given, share=Split(test_fold=3))
    assert set(divided.parts["test"]) == {case.case_id for case in given if case.fold == 3}
    assert divided.method == "published fold 3 as test, else by patient"
    assert sizes(divided) == {"train": 60, "validation": 10, "calibration": 10, "test": 20}


def test_a_fold_that_is_not_published_is_told_with_those_that_are():
    with pytest.raises(SplitError, match=r"test_fold=9: the data set publishes the folds \[1, 2\]"):
        split(cases(4, folds=[1, 2, 1, 2]), share=Split(test_fold=9))
    with pytest.raises(SplitError, match=r"publishes no folds; set split\.test instead"):
        split(cases(4), share=Split(test_fold=1))


def test_a_published_fold_that_divides_a_patient_is_refused():
    """BUS-BRA's valid_k columns do that; its kFold does not."""
    given = cases(20, folds=[1 + i % 2 for i in range(20)])
    groups = alone(given) | {"c000": "same", "c001": "same"}
    with pytest.raises(SplitError, match="'same' on one side"):
        split(given, groups, Split(test_fold=1))


def test_a_fold_so_large_that_nothing_is_left_to_train_on_is_refused():
    given = cases(20, folds=[1] * 17 + [2] * 3)
    with pytest.raises(SplitError, match="train part would be empty"):
        split(given, share=Split(test_fold=1))


# --- folds ------------------------------------------------------------------------------------


def test_a_fold_is_a_fifth_of_each_class():
    given = cases(100)
    divided = split(given, share=Split(folds=Folds(count=5, fold=2)))
    assert divided.method == "fold 2 of 5 as test, else by patient"
    assert sizes(divided) == {"train": 60, "validation": 10, "calibration": 10, "test": 20}


def test_as_many_folds_as_the_data_set_publishes_are_the_published_ones():
    given = cases(100, folds=[1 + i % 5 for i in range(100)])
    divided = split(given, share=Split(folds=Folds(count=5, fold=2)))
    assert set(divided.parts["test"]) == {case.case_id for case in given if case.fold == 2}
    assert divided.method.startswith("published fold 2 of 5 as test")
    other = split(given, share=Split(folds=Folds(count=4, fold=2)))
    assert other.method.startswith("fold 2 of 4 as test")


def test_published_folds_that_divide_a_patient_are_not_used():
    given = cases(20, folds=[1 + i % 2 for i in range(20)])
    groups = alone(given) | {"c000": "same", "c001": "same"}
    divided = split(given, groups, Split(folds=Folds(count=2)))
    assert divided.method.startswith("fold 1 of 2 as test")


def test_more_folds_than_groups_are_refused():
    share = Split(folds=Folds(count=5))
    with pytest.raises(SplitError, match="5 folds need at least as many groups, got 4"):
        split(cases(4), share=share)


# --- the value --------------------------------------------------------------------------------


def test_a_split_with_a_group_on_two_sides_cannot_be_made():
    with pytest.raises(SplitError, match=r"'p' on one side, but it is in train and test.*'b'"):
        DataSplit(
            method="by hand",
            parts={"train": ("a",), "test": ("b",)},
            groups={"a": "p", "b": "p"},
        )


def test_a_split_survives_its_document():
    divided = split(cases(30))
    document = json.loads(json.dumps(divided.to_document()))
    assert document["schema_version"] == 1
    assert DataSplit.from_document(document, divided.groups) == divided


# --- on real scans ----------------------------------------------------------------------------


@pytest.mark.data
def test_folds_of_busbra_are_whole_patients_and_cover_every_case(shared_data):
    given = find_data_set(shared_data / "BUSBRA").cases
    patients = {case.case_id: case.patient_id for case in given}
    folds = {case.fold for case in given}
    tested = []
    for fold in folds:
        divided = split(given, patients, Split(test_fold=fold))
        assert len(divided.parts["test"]) == pytest.approx(len(given) / len(folds), rel=0.1)
        assert sum(sizes(divided).values()) == len(given)
        assert all(divided.parts[part] for part in PARTS)
        tested += divided.parts["test"]
    assert len(folds) > 1
    assert sorted(tested) == sorted(patients)


# --- a split that ignores groups, to measure how much that flatters ----------------------------


def pairs_of(given):
    """Group the cases two by two."""
    return {case.case_id: f"pair {place // 2}" for place, case in enumerate(given)}


def by_image(**fields):
    return Split(by="image-ignoring-groups", **fields)


def test_images_are_dealt_one_by_one_when_groups_are_ignored():
    given = cases(200)
    divided = split(given, pairs_of(given), by_image())
    assert sizes(divided)["test"] == 40
    # Of 40 images drawn at random, each finds its twin outside the test part with chance 160/199.
    assert 20 <= len(divided.shared_groups()) <= 40
    assert divided.divides_groups
    assert divided.method == "image, not by patient"
    assert divided.kind_of_groups == "patient"
    assert divided.groups == pairs_of(given)


def test_a_split_by_groups_shares_none():
    given = cases(200)
    assert not split(given, pairs_of(given)).shared_groups()


def test_a_split_that_ignores_groups_is_read_again_as_such():
    given = cases(40)
    divided = split(given, pairs_of(given), by_image())
    document = json.loads(json.dumps(divided.to_document()))
    assert DataSplit.from_document(document, pairs_of(given)) == divided
    del document["divides_groups"]
    with pytest.raises(SplitError, match="on one side"):
        DataSplit.from_document(document, pairs_of(given))


def test_published_folds_are_not_taken_when_groups_are_ignored():
    given = cases(40, folds=[1 + i // 2 % 4 for i in range(40)])
    folds = {"folds": Folds(count=4, fold=2)}
    kept = split(given, pairs_of(given), Split(**folds))
    divided = split(given, pairs_of(given), by_image(**folds))
    assert not kept.shared_groups()
    assert divided.shared_groups()
    assert kept.method == "published fold 2 of 4 as test, else by patient"
    assert divided.method == "fold 2 of 4 as test, else by image, not by patient"
    assert (divided.dealt_by, divided.kind_of_groups) == ("image, not by patient", "patient")


def test_a_published_test_fold_cannot_be_divided_by_image():
    with pytest.raises(ValueError, match="leave by at 'group'"):
        by_image(test_fold=1)


# --- what a model that a training begins from knows ---------------------------------------------


def split_knowing(cases, trained_on, groups=None, share=None):
    given = {"seed": 0, "method": "patient", "trained_on": trained_on}
    return split_cases(cases, groups or alone(cases), share or Split(), **given)


def test_what_a_model_was_trained_on_is_in_train_and_the_rest_is_dealt():
    known = {case.case_id for case in cases(100)[:50]}
    divided = split_knowing(cases(100), known)
    assert known <= set(divided.parts["train"])
    assert sizes(divided) == {"train": 60, "validation": 10, "calibration": 10, "test": 20}


def test_all_of_a_group_goes_to_train_with_the_image_that_is_known():
    given = cases(40)
    groups = {case.case_id: str(place // 2) for place, case in enumerate(given)}
    divided = split_knowing(given, {given[0].case_id}, groups)
    assert {given[0].case_id, given[1].case_id} <= set(divided.parts["train"])


def test_where_more_is_known_than_train_has_room_for_the_rest_is_held_out():
    given = cases(100)
    divided = split_knowing(given, {case.case_id for case in given[:80]})
    assert set(divided.parts["train"]) == {case.case_id for case in given[:80]}
    assert sizes(divided) == {"train": 80, "validation": 5, "calibration": 5, "test": 10}


def test_data_of_which_all_is_known_is_refused():
    given = cases(10)
    with pytest.raises(SplitError, match="since 10 images must be in train: the model"):
        split_knowing(given, {case.case_id for case in given})


@pytest.mark.parametrize("share", [Split(folds=Folds(count=2)), Split(test_fold=1)])
def test_a_fold_that_holds_what_is_known_is_refused(share):
    given = cases(20, folds=[1, 2] * 10)
    with pytest.raises(SplitError, match=r"test part is a fold, and \d+ of its \d+ images"):
        split_knowing(given, {case.case_id for case in given}, share=share)
