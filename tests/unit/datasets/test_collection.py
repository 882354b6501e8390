"""Several data sets as one: what the file may say, what the cases are called, and the groups."""

import json
import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from breastseg.core.errors import LayoutError, ReferenceMaskError
from breastseg.core.split_recipe import Split
from breastseg.datasets.cases import read_case
from breastseg.datasets.inspection.inspection import inspect_data
from breastseg.datasets.layouts import find_data_set
from breastseg.datasets.near_duplicates import case_groups
from breastseg.datasets.splits import split_cases


@pytest.fixture
def collect(tmp_path):
    """Return a function that writes a collection of the data sets given and finds it."""

    def find(on_fault=None, **data_sets):
        path = tmp_path / "both.json"
        named = {name.replace("_", "-"): each for name, each in data_sets.items()}
        path.write_text(json.dumps({"schema_version": 1, "data_sets": named}))
        return find_data_set(path, **({"on_fault": on_fault} if on_fault else {}))

    return find


@pytest.fixture
def both(collect, busi_dir, busbra_dir):
    return collect(busi={"path": busi_dir.name}, bus_bra={"path": str(busbra_dir)})


def ids(data_set):
    return [case.case_id for case in data_set.cases]


def without(*cases, why="not wanted"):
    return {"path": "Dataset_BUSI_with_GT", "leave_out": [{"cases": cases, "why": why}]}


# --- what is found --------------------------------------------------------------------------


def test_cases_and_patients_bear_the_name_of_their_data_set(both, tmp_path):
    assert ids(both) == sorted(ids(both))
    assert Counter(case.source for case in both.cases) == {"busi": 4, "bus-bra": 3}
    by_id = {case.case_id: case for case in both.cases}
    assert by_id["bus-bra__bus_0001-l"].patient_id == "bus-bra__1"
    assert by_id["bus-bra__bus_0001-l"].own_id == "bus_0001-l"
    assert by_id["busi__benign__benign (2)"].patient_id is None
    assert read_case(by_id["busi__benign__benign (2)"]).reference.max() == 2
    assert both.layout == "collection of BUSI and BUS-BRA"
    assert (both.root, both.name) == (tmp_path / "both.json", "both")


def test_each_data_set_is_a_member_with_its_own_folder(both, busbra_dir):
    assert list(both.members) == ["busi", "bus-bra"]
    assert both.members["bus-bra"].root == busbra_dir
    assert set(both.cases) == {case for each in both.members.values() for case in each.cases}


def test_published_folds_are_kept_only_where_all_have_them(both, collect, busbra_dir):
    assert {case.fold for case in both.cases} == {None}
    again = shutil.copytree(busbra_dir, busbra_dir.with_name("again"))
    twice = collect(one={"path": busbra_dir.name}, two={"path": again.name})
    assert {case.fold for case in twice.cases} == {1, 3}
    assert twice.layout == "collection of 2 x BUS-BRA"


def test_patients_of_two_data_sets_never_clash(collect, busbra_dir):
    again = shutil.copytree(busbra_dir, busbra_dir.with_name("again"))
    twice = collect(one={"path": busbra_dir.name}, two={"path": again.name})
    assert len({case.patient_id for case in twice.cases}) == 4


def test_groups_json_of_a_data_set_still_counts(collect, busi_dir, busbra_dir):
    alone = find_data_set(busi_dir)
    (busi_dir / "groups.json").write_text(json.dumps(dict.fromkeys(ids(alone), "all")))
    found = collect(busi={"path": busi_dir.name}, bus_bra={"path": busbra_dir.name})
    assert {case.patient_id for case in found.cases if case.source == "busi"} == {"busi__all"}


# --- what is left out -----------------------------------------------------------------------


def test_brackets_of_an_id_stand_for_themselves(collect, busi_dir):
    found = collect(busi=without("benign__benign (1)", "normal__*", why="a copy"))
    assert ids(found) == ["busi__benign__benign (2)", "busi__malignant__malignant (1)"]
    assert found.notes == ("busi: 2 images left out: a copy",)


def test_a_question_mark_stands_for_one_character_and_a_square_bracket_for_itself(
    collect, suffix_pairs_dir
):
    entry = {"path": suffix_pairs_dir.name, "leave_out": [{"cases": ["[a]"], "why": "x"}]}
    with pytest.raises(LayoutError, match=r"names '\[a\]'"):
        collect(pairs=entry)
    entry["leave_out"][0]["cases"] = ["?"]
    assert ids(collect(pairs=entry)) == ["pairs__clinic__b"]


def test_a_fault_of_what_is_left_out_is_none(collect, busi_dir):
    (busi_dir / "benign" / "benign (1)_mask.png").unlink()
    with pytest.raises(ReferenceMaskError, match=r"benign \(1\)\.png: expected a mask"):
        collect(busi={"path": busi_dir.name})
    assert len(collect(busi=without("benign__benign (1)")).cases) == 3


# --- what is refused ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ({"busi": {"pth": "x"}}, r"data_sets\.busi\.pth' is no collection field\. Did.*'path'"),
        ({"BUSI": {"path": "x"}}, r"data_sets\.BUSI.*pattern"),
        ({}, r"data_sets: .*at least 1"),
        ({"a": {"path": "nothing"}}, r"both\.json, data_sets\.a: .*nothing: .*no such folder"),
        ({"a": {"path": "both.json"}}, r"data_sets\.a: .*holds no other"),
        ({"a": {"path": "empty"}}, r"data_sets\.a: .*the folder is empty"),
        (
            {"a": {"path": "Dataset_BUSI_with_GT"}, "b": {"path": "./Dataset_BUSI_with_GT/"}},
            r"'a' and 'b' are the same folder",
        ),
        ({"a": without("normal__normal (2)")}, r"data_sets\.a: .*Did you mean 'normal__normal \(1"),
        ({"a": without("*")}, r"data_sets\.a: leave_out leaves no case"),
        ({"a": without()}, r"leave_out\.0\.cases: .*at least 1"),
        ({"a": {"path": "x", "leave_out": [{"cases": ["x"]}]}}, r"leave_out\.0\.why: .*required"),
    ],
)
def test_what_is_wrong_is_told_by_its_entry(collect, busi_dir, tmp_path, entries, message):
    (tmp_path / "empty").mkdir()
    with pytest.raises(LayoutError, match=message):
        collect(**entries)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", r"expected a JSON file that names data sets, but"),
        ('{"schema_version": 1, "data_sets": {"a": {"path": "x"}, "a": {"path": "y"}}}', "'a' is"),
        ("[]", "expected a collection of data sets"),
        ('{"schema_version": 2, "data_sets": {"a": {"path": "x"}}}', "schema_version: .*1"),
    ],
)
def test_a_broken_file_is_told_by_its_name(tmp_path, text, message):
    (tmp_path / "both.json").write_text(text)
    with pytest.raises(LayoutError, match=rf"both\.json: .*{message}"):
        find_data_set(tmp_path / "both.json")


def test_volumes_beside_pictures_are_refused(collect, busi_dir, tmp_path):
    nnunet = tmp_path / "Dataset002_CT"
    for folder, name in (("imagesTr", "a_0000"), ("labelsTr", "a")):
        (nnunet / folder).mkdir(parents=True)
        (nnunet / folder / f"{name}.nii.gz").write_bytes(b"never read")
    labels = {"background": 0, "lesion": 1}
    description = {"channel_names": {"0": "CT"}, "labels": labels, "file_ending": ".nii.gz"}
    (nnunet / "dataset.json").write_text(json.dumps({**description, "numTraining": 1}))
    with pytest.raises(LayoutError, match=r"found 1 volumes such as 'ct__a' beside 4 pictures"):
        collect(busi={"path": busi_dir.name}, ct={"path": nnunet.name})


# --- groups and parts -----------------------------------------------------------------------


@pytest.fixture
def pictures(phantom_data):
    return sorted((phantom_data / "benign").glob("*).png"))


def two_sets(collect, root: Path, first, second, *, patients):
    """Collect two data sets of pictures with a mask each; the first knows its patients."""
    for name, paths in (("one", first), ("two", second)):
        for place, path in enumerate(paths):
            (root / name).mkdir(exist_ok=True)
            shutil.copy(path, root / name / f"{place}.png")
            mask = path.with_name(f"{path.stem}_mask.png")
            shutil.copy(mask, root / name / f"{place}_mask.png")
    for name, groups in patients.items():
        (root / name / "groups.json").write_text(json.dumps(groups))
    return collect(one={"path": "one"}, two={"path": "two"})


def sets_of(groups):
    joined = {}
    for case_id, group in groups.items():
        joined.setdefault(group, set()).add(case_id)
    return sorted(map(sorted, joined.values()))


def test_a_picture_of_two_data_sets_joins_the_patient_with_its_copy(collect, tmp_path, pictures):
    a, b, c = pictures[:3]
    patients = {"one": {"0": "p", "1": "p"}}
    found = two_sets(collect, tmp_path, (a, b), (b, c), patients=patients)
    groups, method = case_groups(found.cases)
    assert sets_of(groups) == [["one__0", "one__1", "two__0"], ["two__1"]]
    assert set(groups.values()) == {"one__0", "two__1"}
    assert method == "patient or near-duplicate group"


def test_copies_are_joined_where_both_data_sets_know_their_patients(collect, tmp_path, pictures):
    a, b, c = pictures[:3]
    patients = {"one": {"0": "p", "1": "q"}, "two": {"0": "p", "1": "r"}}
    found = two_sets(collect, tmp_path, (a, b), (b, c), patients=patients)
    assert sets_of(case_groups(found.cases)[0]) == [["one__0"], ["one__1", "two__0"], ["two__1"]]


def test_patients_of_some_cases_are_kept_together_in_one_data_set_too(phantom_data):
    cases = find_data_set(phantom_data).cases[:3]
    known = [replace(cases[0], patient_id="p"), cases[1], replace(cases[2], patient_id="p")]
    first, _, third = (each.case_id for each in cases)
    assert [first, third] in sets_of(case_groups(known)[0])


def test_each_part_gets_its_share_of_each_data_set(collect, tmp_path, write_picture, write_mask):
    """The small set is a tenth: by class alone chance could leave a part without it."""
    for name, count in (("large", 180), ("small", 20)):
        (tmp_path / name).mkdir()
        for number in range(count):
            write_picture(tmp_path / name / f"{number}.png")
            write_mask(tmp_path / name / f"{number}_mask.png")
    found = collect(large={"path": "large"}, small={"path": "small"})
    groups = {case_id: case_id for case_id in ids(found)}
    for seed in range(3):
        split = split_cases(found.cases, groups, Split(), seed=seed, method="image")
        counts = {
            part: Counter(case_id.partition("__")[0] for case_id in members)
            for part, members in split.parts.items()
        }
        assert counts["test"] == {"large": 36, "small": 4}
        assert counts["validation"] == counts["calibration"] == {"large": 18, "small": 2}


# --- inspection -----------------------------------------------------------------------------


def test_an_inspection_takes_several_data_sets_and_the_tables_of_each(both, busbra_dir):
    table = busbra_dir / "bus_data.csv"
    rows = table.read_text().splitlines()
    rows[-1] = rows[-1].replace("[4,2,4,3]", "[9,2,4,3]")
    absent = rows[-1].replace("bus_0002-l", "bus_0009-l")
    table.write_text("\n".join([*rows, absent]) + "\n")
    found = inspect_data(both.root, lambda *_: None)
    assert [record.case_id for record in found.records] == ids(both)
    told = {each.code: each for each in found.findings if each.code.startswith("table")}
    assert told["table-box"].cases == ("bus-bra__bus_0002-l",)
    assert "1 rows of bus_data.csv have no image (bus_0009-l)" in told["table-no-image"].message
    assert found.summary()["images_without_patient"] == 4


# --- real data ------------------------------------------------------------------------------


@pytest.mark.data
def test_busi_and_busbra_are_found_as_one(collect, shared_data):
    entry = without("benign__benign (433)", "normal__*")
    entry["path"] = str(shared_data / "Dataset_BUSI_with_GT")
    found = collect(busi=entry, bus_bra={"path": str(shared_data / "BUSBRA")})
    alone = {
        name: find_data_set(shared_data / name).cases for name in ("Dataset_BUSI_with_GT", "BUSBRA")
    }
    normal = sum(case.label == "normal" for case in alone["Dataset_BUSI_with_GT"])
    assert len(found.cases) == sum(map(len, alone.values())) - normal - 1
    patients = {case.patient_id for case in alone["BUSBRA"]}
    assert {f"bus-bra__{each}" for each in patients} == {
        case.patient_id for case in found.cases if case.source == "bus-bra"
    }


@pytest.mark.data
def test_groups_of_busi_and_busbra_divide_no_patient(collect, shared_data):
    """Of sixty images; the groups of all take half a minute."""
    found = collect(
        busi={"path": str(shared_data / "Dataset_BUSI_with_GT")},
        bus_bra={"path": str(shared_data / "BUSBRA")},
    )
    some = [*found.cases[:30], *found.cases[-30:]]
    assert {case.source for case in some} == {"busi", "bus-bra"}
    groups, method = case_groups(some)
    by_patient = {}
    for case in some:
        if case.patient_id is not None:
            by_patient.setdefault(case.patient_id, set()).add(groups[case.case_id])
    assert np.all([len(each) == 1 for each in by_patient.values()])
    assert method == "patient or near-duplicate group"
