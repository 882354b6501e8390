"""Volumes as a data set: content, groups, and what `train` asks of them."""

import json
import shutil
from pathlib import Path

import pytest

from breastseg.core.errors import LayoutError
from breastseg.datasets.cases import CaseFiles, DataSet, read_case
from breastseg.datasets.checked import check_data, content_of, find_training_data
from breastseg.datasets.layouts import find_data_set
from breastseg.datasets.near_duplicates import case_groups
from breastseg.datasets.phantom_ct.phantom import PhantomSettings
from breastseg.datasets.volume_groups import BY_PATIENT, BY_PATIENT_OR_VOLUME, BY_VOLUME
from breastseg.workflows.phantom import make_ct_phantoms
from breastseg.workflows.phantom_insertion import insert_ct_lesions

SMALL = PhantomSettings(shape=(12, 64, 64), num_lesions=2, diameters_mm=(20.0, 24.0))


@pytest.fixture(scope="module", params=["dicom", "nifti"])
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three phantoms with two lesions each."""
    folder = tmp_path_factory.mktemp("made") / request.param
    return make_ct_phantoms(folder, num_cases=3, seed=2, kind=request.param, settings=SMALL)


@pytest.fixture
def phantoms(made: Path, tmp_path: Path) -> Path:
    """A copy of the phantoms, to change."""
    return Path(shutil.copytree(made, tmp_path / "phantoms"))


def silent(what: str, done: int, total: int) -> None:
    pass


def edit(path: Path, **changes: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_phantoms_are_checked_as_training_data(made: Path) -> None:
    checked = check_data(find_training_data(made, volumes=True), silent)
    assert len(checked.data_set.cases) == len(set(checked.groups.values())) == 3
    assert checked.method == BY_PATIENT
    assert checked.sketches is None
    assert checked.content == content_of(checked.data_set.cases)
    for files in checked.data_set.cases:
        case = read_case(files)
        assert case.image.pixels.min() < -900  # HU
        assert case.reference is not None
        assert case.reference.max() == 2


def test_content_is_of_all_files_and_of_nothing_else(phantoms: Path, tmp_path: Path) -> None:
    (first, *_) = find_data_set(phantoms, volumes=True).cases
    before = first.sha256()
    paths = first.series_paths or (first.image_path,)
    copies = [
        shutil.copy(path, tmp_path / f"{9 - place}.nii.gz") for place, path in enumerate(paths)
    ]
    series = tuple(copies) if first.series_paths else ()
    assert CaseFiles(case_id="x", image_path=copies[0], series_paths=series).sha256() == before
    with Path(copies[-1]).open("ab") as file:
        file.write(b"0")
    assert CaseFiles(case_id="x", image_path=copies[0], series_paths=series).sha256() != before


def test_a_phantom_without_lesion_is_training_data_too(tmp_path: Path) -> None:
    plain = PhantomSettings(shape=(6, 32, 32), num_lesions=0)
    folder = make_ct_phantoms(tmp_path / "set", num_cases=2, settings=plain)
    for files in find_training_data(folder, volumes=True).cases:
        reference = read_case(files).reference
        assert reference is not None
        assert not reference.any()


@pytest.mark.parametrize("kind", ["dicom", "nifti"])
def test_copies_of_one_scan_are_one_group(tmp_path: Path, kind: str) -> None:
    plain = PhantomSettings(shape=(24, 96, 96), num_lesions=0)
    source = make_ct_phantoms(tmp_path / "plain", num_cases=1, settings=plain)
    scan, truth = source / "phantom-0001" / "ct", source / "truth" / "phantom-0001"
    breasts = truth / "breasts.nii.gz"
    for seed in (1, 2):
        output = tmp_path / "sets" / f"{seed}"
        insert_ct_lesions(scan, output, breasts=breasts, num_cases=2, seed=seed, kind=kind)
    sets = [find_training_data(tmp_path / "sets" / f"{seed}", volumes=True) for seed in (1, 2)]
    cases = [case for each in sets for case in each.cases]
    # The second set, made later, is of the same scan.
    assert len({case.patient_id for case in cases}) == 1
    assert len({case.sha256() for case in cases}) == 4
    if kind == "dicom":
        assert len(find_data_set(tmp_path / "sets", volumes=True).cases) == 4


# --- groups ---------------------------------------------------------------------------------


def volumes(**patients: str | None) -> list[CaseFiles]:
    return [
        CaseFiles(case_id=name, image_path=Path(f"{name}.nii.gz"), patient_id=patient)
        for name, patient in patients.items()
    ]


def test_patients_are_groups_and_else_each_volume_is_one() -> None:
    content = {name: name for name in "abc"}
    groups, method = case_groups(volumes(a="p", b=None, c="p"), content=content)
    assert (groups, method) == ({"a": "p", "b": "b", "c": "p"}, BY_PATIENT_OR_VOLUME)
    assert case_groups(volumes(a=None, b=None), content=content) == (
        {"a": "a", "b": "b"},
        BY_VOLUME,
    )
    assert case_groups(volumes(a="p", b="q"), content=content)[1] == BY_PATIENT


def test_the_same_content_joins_groups_whole() -> None:
    cases = volumes(a="p", b="q", c="q", d="r", e="p", f=None)
    content = {"a": "1", "b": "1", "c": "2", "d": "2", "e": "3", "f": "4"}
    groups, _ = case_groups(cases, content=content)
    assert groups == dict.fromkeys("abcde", "p") | {"f": "f"}


def test_groups_json_names_what_belongs_together(phantoms: Path) -> None:
    ids = [case.case_id for case in find_data_set(phantoms, volumes=True).cases]
    stated = dict(zip(ids, ["one", "two", "one"], strict=True)) | {"another": "three"}
    (phantoms / "groups.json").write_text(json.dumps(stated))
    groups, method = case_groups(find_data_set(phantoms, volumes=True).cases)
    assert [groups[each] for each in ids] == ["one", "two", "one"]
    assert method == BY_PATIENT


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ("{}", "3 have none, such as"),
        ('{"a": 1}', "with texts"),
        ("[]", "a JSON object"),
        ("{", "a JSON document"),
    ],
)
def test_a_broken_groups_json_is_refused(phantoms: Path, document: str, message: str) -> None:
    (phantoms / "groups.json").write_text(document)
    with pytest.raises(LayoutError, match=rf"groups\.json: .*{message}"):
        find_data_set(phantoms, volumes=True)


# --- what is refused ------------------------------------------------------------------------


def test_pictures_beside_volumes_are_refused(made: Path, busi_dir: Path) -> None:
    cases = (*find_data_set(made, volumes=True).cases, *find_data_set(busi_dir).cases)
    mixed = DataSet(layout="", root=Path("mixed"), cases=cases)
    with pytest.raises(LayoutError, match=r"found 3 volumes .* beside 4 pictures .*two folders"):
        check_data(mixed, silent)


def test_pictures_are_no_training_data_for_volumes(busi_dir: Path) -> None:
    with pytest.raises(LayoutError, match="expected CT volumes, found 4 pictures"):
        find_training_data(busi_dir, volumes=True)


def test_volumes_that_are_not_said_to_be_ct_are_no_training_data(tmp_path: Path) -> None:
    folder = make_ct_phantoms(tmp_path / "set", num_cases=1, kind="nifti", settings=SMALL)
    edit(folder / "dataset.json", channel_names={"0": "ct"})
    assert len(find_training_data(folder, volumes=True).cases) == 1
    edit(folder / "dataset.json", channel_names={"0": "T1"})
    with pytest.raises(LayoutError, match="found 'phantom-0001' of T1"):
        find_training_data(folder, volumes=True)
