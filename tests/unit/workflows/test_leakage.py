import hashlib
import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np

from breastseg.datasets import volume_groups
from breastseg.datasets.near_duplicates import BY_PATIENT_OR_RESEMBLANCE
from breastseg.datasets.splits import DataSplit
from breastseg.training.model import Model
from breastseg.training.sketch_file import save_sketches
from breastseg.workflows.leakage import (
    BY_BOTH,
    BY_PATIENT,
    BY_VOLUME,
    NO_NEAR_VOLUMES,
    OTHER_SCANS,
    leakage_certificate,
)
from breastseg.workflows.seen_before import Exposure, Seen


def run_of(name="run", *, method="near-duplicate group", content=None, regrouped=None, volume=None):
    """A run on four images in three groups; `content` makes two of one content."""
    parts = {"train": ("a", "b"), "calibration": ("c",), "test": ("d",)}
    groups = {"a": "1", "b": "1", "c": "2", "d": "3"} | (regrouped or {})
    split = DataSplit(method=method, parts=parts, groups=groups, divides_groups=bool(regrouped))
    return SimpleNamespace(
        path=Path("/nowhere") / name,
        split=split,
        recipe=SimpleNamespace(volume=volume),
        content=content or {each: f"sha {each}" for each in groups},
    )


def certify(scored, *runs, is_own_data=True, **exposure):
    model = Model(path=None, runs=runs or (run_of(),))
    return leakage_certificate(model, scored, Exposure(**exposure), is_own_data=is_own_data)


def seen(case_id, how, likeness=None):
    return Seen(case_id=case_id, how=how, twin="a", part="train", likeness=likeness)


def test_groups_of_both_kinds_say_what_neither_can_know():
    run = run_of(method=f"fold 1 of 5 as test, else by {BY_PATIENT_OR_RESEMBLANCE}")
    assert certify({"d": "sha d"}, run)["not_checked"][0] == BY_BOTH


def test_a_clean_run_shares_nothing():
    found = certify({"d": "sha d"})
    (run,) = found["runs"]
    assert run["parts"]["train"] == {"images": 2, "groups": 1}
    assert run["parts"]["test"] == {"images": 1, "groups": 1}
    assert (run["groups_shared"], run["images_shared"]) == (0, 0)
    assert (found["num_scored"], found["num_known"], found["num_seen"]) == (1, 1, 0)
    assert "names no patients" in found["not_checked"][0]


def test_what_is_shared_is_counted_and_not_assumed():
    leaking = run_of(
        content={"a": "same", "b": "sha b", "c": "sha c", "d": "same"}, regrouped={"d": "2"}
    )
    (run,) = certify({"d": "same"}, leaking)["runs"]
    assert (run["groups_shared"], run["images_shared"]) == (1, 1)


def test_what_had_been_seen_is_counted_by_how():
    exposed = {
        "w": seen("w", "near duplicate", 0.85),
        "x": seen("x", "file"),
        "y": seen("y", "near duplicate", 0.95),
        "z": seen("z", "group"),
    }
    alike = {"v": seen("v", "near duplicate", 0.75)}
    found = certify(dict.fromkeys("vwxyz", "new"), seen=exposed, alike=alike, num_compared=3)
    assert (found["num_seen"], found["num_near_duplicates"], found["num_group_seen"]) == (1, 2, 1)
    assert (found["num_scored"], found["num_alike"], found["num_compared"]) == (5, 1, 3)
    assert [pair["case_id"] for pair in found["pairs"]] == ["x", "z", "y", "w", "v"]
    json.dumps(found, allow_nan=False)


def test_other_data_says_what_cannot_be_known_again():
    found = certify({"x": "new"}, is_own_data=False, num_compared=1)
    assert (found["num_known"], found["num_seen"]) == (0, 0)
    assert "same patients" in found["not_checked"][0]


def test_patients_are_told_from_near_duplicates():
    told = certify({"d": "sha d"}, run_of(method="patient"))["not_checked"][0]
    assert "patients that the data set names" in told


def test_a_run_without_sketches_says_so():
    found = certify({"x": "new"}, is_own_data=False, num_not_compared=1)
    assert found["runs"][0]["near_duplicates_shared"] is None
    assert "no sketches.npz" in found["not_checked"][1]


def test_near_duplicates_of_two_patients_are_counted(tmp_path):
    run = run_of(method="patient")
    run.path = tmp_path
    run.content = {name: hashlib.sha256(name.encode()).hexdigest() for name in "abcd"}
    sketches = np.random.default_rng(0).integers(-127, 128, (4, 16, 16)).astype(np.int8)
    save_sketches(tmp_path, run.content, sketches)
    assert certify({}, run)["runs"][0]["near_duplicates_shared"] == 0
    sketches[3] = sketches[0]
    save_sketches(tmp_path, run.content, sketches)
    found = certify({}, run)
    assert found["runs"][0]["near_duplicates_shared"] == 1
    assert len(found["not_checked"]) == 1


def test_of_volumes_near_duplicates_are_not_looked_for():
    named, unnamed = (
        run_of(method=method, volume=True)
        for method in (volume_groups.BY_PATIENT, volume_groups.BY_VOLUME)
    )
    assert certify({"d": "sha d"}, named)["not_checked"] == [BY_PATIENT, NO_NEAR_VOLUMES]
    assert certify({"d": "sha d"}, unnamed)["not_checked"] == [BY_VOLUME, NO_NEAR_VOLUMES]
    other = certify({"x": "sha x"}, named, is_own_data=False, num_not_compared=1)
    assert other["not_checked"] == [OTHER_SCANS, NO_NEAR_VOLUMES]
