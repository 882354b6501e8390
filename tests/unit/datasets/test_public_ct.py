"""What is chosen for a download, and the download itself, from a stand-in of the archive."""

import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

from breastseg.core.errors import ArchiveError, InputError, OutputError
from breastseg.datasets import fetch as fetching
from breastseg.datasets.fetch import fetch, missing_series, sources_page
from breastseg.datasets.layouts import find_data_set
from breastseg.datasets.public_ct import COLLECTIONS, find_collection, plan_fetch
from tests.dicom_masks import uid_of
from tests.public_ct import FakeArchive, entry

EAY131 = COLLECTIONS["eay131-breast"]
QIN = COLLECTIONS["qin-breast"]


def silent(what: str, done: int, total: int) -> None:
    assert 0 < done <= total


def test_masks_are_paired_by_the_series_that_they_refer_to() -> None:
    swapped = {
        uid_of("RTSTRUCT", "a"): uid_of("series", "b", "b"),
        uid_of("RTSTRUCT", "b"): uid_of("series", "a", "a"),
    }
    plan = plan_fetch(FakeArchive(references=swapped), EAY131)
    pairs = {item.image.patient_id: [m.patient_id for m in item.masks] for item in plan.items}
    assert pairs == {"P-a": ["P-b"], "P-b": ["P-a"], "P-c": ["P-c"]}
    assert plan.size_mb == 3 * 41.5
    assert plan.num_patients == 3


def test_masks_on_pet_or_on_nothing_are_left_and_counted() -> None:
    pet = entry("p", "PT")
    others = (pet, entry("p", "SEG"), entry("q", "SEG"))
    references = {uid_of("SEG", "p"): pet.series_uid}
    plan = plan_fetch(FakeArchive(others=others, references=references), EAY131)
    assert len(plan.items) == 3
    assert plan.notes == (
        "1 masks were left: the series that they refer to is not in the archive.",
        "1 masks were left: they were drawn on another modality than CT.",
    )


def test_of_several_readers_the_most_trusted_is_taken() -> None:
    others = (entry("a", "SEG", "radiologist 1 corrected"),)
    references = {uid_of("SEG", "a"): uid_of("series", "a", "a")}
    archive = FakeArchive(descriptions=dict.fromkeys("abc", "AI"), others=others)
    archive.references = references
    plan = plan_fetch(archive, QIN)
    assert [item.masks[0].description for item in plan.items] == [
        "radiologist 1 corrected",
        "AI",
        "AI",
    ]
    assert plan.notes == ("1 masks were left: a more trusted reader has drawn on the same series.",)


def test_a_limit_keeps_the_most_trusted() -> None:
    descriptions = {"a": "AI", "b": "non-expert 2 corrected", "c": "radiologist 1 corrected"}
    plan = plan_fetch(FakeArchive(descriptions=descriptions), QIN, limit=2)
    assert [item.image.patient_id for item in plan.items] == ["P-c", "P-b"]
    assert plan.notes == ("1 more CT series were left: --limit 2.",)
    with pytest.raises(InputError, match="1 or more"):
        plan_fetch(FakeArchive(), QIN, limit=0)


def test_an_index_without_the_masks_is_refused() -> None:
    with pytest.raises(InputError, match="has no masks of eay131-breast"):
        plan_fetch(FakeArchive(names=()), EAY131)


def test_an_unknown_collection_is_refused() -> None:
    with pytest.raises(InputError, match="Did you mean 'qin-breast'"):
        find_collection("qin_breast")


def test_what_is_fetched_is_a_data_set(tmp_path: Path) -> None:
    archive = FakeArchive()
    plan = plan_fetch(archive, EAY131)
    assert fetch(plan, archive, tmp_path / "data", silent) == 6
    found = find_data_set(tmp_path / "data", volumes=True)
    assert len(found.cases) == 3
    assert all(case.mask_paths and len(case.mask_paths) == 1 for case in found.cases)
    assert len({case.patient_id for case in found.cases}) == 3
    sources = json.loads((tmp_path / "data" / "sources.json").read_text())
    assert {each["case"] for each in sources["cases"]} == {c.case_id for c in found.cases}


def test_licences_and_citations_lie_beside_the_files(tmp_path: Path) -> None:
    archive = FakeArchive()
    plan = plan_fetch(archive, EAY131)
    fetch(plan, archive, tmp_path / "data", silent)
    page = (tmp_path / "data" / "SOURCES.md").read_text()
    assert page == sources_page(plan)
    assert "- CC BY 4.0: https://doi.org/10.1/masks" in page
    assert "- Reader, A., & B. (2026). Masks." in page
    assert "- https://doi.org/10.1/images" in page


def test_an_interrupted_download_goes_on_where_it_stopped(tmp_path: Path) -> None:
    archive = FakeArchive(fails_at=4)
    plan = plan_fetch(archive, EAY131)
    with pytest.raises(ArchiveError, match="network is down"):
        fetch(plan, archive, tmp_path / "data", silent)
    assert len(missing_series(plan, tmp_path / "data")) == 3
    assert not list((tmp_path / "data").rglob("half.dcm"))
    first = list(archive.downloaded)
    assert fetch(plan, archive, tmp_path / "data", silent) == 3
    assert archive.downloaded[:3] == first[:3]
    assert archive.downloaded[4:] == [e.series_uid for e in plan.series][3:]
    assert fetch(plan, archive, tmp_path / "data", silent) == 0


def test_a_killed_download_leaves_no_half_series(tmp_path: Path) -> None:
    archive = FakeArchive()
    plan = plan_fetch(archive, EAY131)
    left = tmp_path / "data" / ".part"
    left.mkdir(parents=True)
    (left / "half.dcm").write_bytes(b"half")
    fetch(plan, archive, tmp_path / "data", silent)
    assert not left.exists()
    assert not list((tmp_path / "data").rglob("half.dcm"))


def test_a_series_with_too_few_files_is_refused(tmp_path: Path) -> None:
    archive = FakeArchive(sends_less=True)
    with pytest.raises(ArchiveError, match="expected 5 files of the series, the archive sent 4"):
        fetch(plan_fetch(archive, EAY131), archive, tmp_path / "data", silent)
    assert not list((tmp_path / "data").glob("ct-*"))


def test_a_disk_that_is_too_small_is_refused_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        fetching, "shutil", SimpleNamespace(disk_usage=lambda path: SimpleNamespace(free=3e8))
    )
    archive = FakeArchive()
    with pytest.raises(OutputError, match=r"expected 324 MB .* found 300 MB"):
        fetch(plan_fetch(archive, EAY131), archive, tmp_path / "data", silent)
    assert not archive.downloaded
    assert shutil.disk_usage(tmp_path).free > 0
