from types import SimpleNamespace

import pytest

from breastseg.datasets.splits import DataSplit
from breastseg.training.model import Model
from breastseg.workflows.leakage import leakage_certificate


def run_of(name="run", *, method="near-duplicate group", content=None, regrouped=None):
    """A run on four images in three groups; `content` makes two of one content."""
    parts = {"train": ("a", "b"), "calibration": ("c",), "test": ("d",)}
    groups = {"a": "1", "b": "1", "c": "2", "d": "3"} | (regrouped or {})
    split = DataSplit(method=method, parts=parts, groups=groups, divides_groups=bool(regrouped))
    return SimpleNamespace(
        path=SimpleNamespace(name=name),
        split=split,
        content=content or {each: f"sha {each}" for each in groups},
    )


def certify(scored, *runs, is_own_data=True):
    model = Model(path=None, runs=runs or (run_of(),))
    return leakage_certificate(model, scored, is_own_data=is_own_data)


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


@pytest.mark.parametrize("case_id", ["a", "c"])
def test_seen_images_are_counted_by_content(case_id):
    found = certify({"renamed": f"sha {case_id}", "d": "sha d"})
    assert found["num_seen"] == 1


def test_other_data_says_that_near_duplicates_were_not_looked_for():
    found = certify({"x": "new"}, is_own_data=False)
    assert (found["num_known"], found["num_seen"]) == (0, 0)
    assert "were not looked for" in found["not_checked"][0]


def test_patients_are_told_from_near_duplicates():
    assert "two patients" in certify({"d": "sha d"}, run_of(method="patient"))["not_checked"][0]
