import functools
import json

import numpy as np
import pytest
from pydicom import dcmread

from breastseg.core.errors import InputError, OutputError
from breastseg.datasets.cases import read_case
from breastseg.datasets.layouts import find_data_set
from breastseg.datasets.phantom_ct.phantom import PhantomSettings, make_phantom_ct
from breastseg.io.dicom_series import read_series
from breastseg.io.nifti import read_nifti
from breastseg.workflows import phantom as workflow
from breastseg.workflows.phantom import make_ct_phantoms

LESION = {"num_lesions": 1, "diameters_mm": (24.0, 28.0)}
SMALL = PhantomSettings(shape=(12, 64, 64), **LESION)
PRONE = PhantomSettings(shape=(12, 48, 48), pose="prone", **LESION)
TINY = PhantomSettings(shape=(4, 24, 24), num_lesions=0)

# That the generator gives the same voxels for the same seed is tested beside it.
make_once = functools.cache(make_phantom_ct)


@pytest.fixture(autouse=True)
def each_phantom_is_made_once(monkeypatch):
    monkeypatch.setattr(workflow, "make_phantom_ct", make_once)


def contents(folder):
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


@pytest.mark.parametrize("kind", ["dicom", "nifti"])
def test_the_same_seed_gives_the_same_bytes(tmp_path, kind):
    folders = [tmp_path / name for name in ("first", "second")]
    for folder in folders:
        make_ct_phantoms(folder, num_cases=1, seed=2, kind=kind, settings=SMALL)
    first, second = map(contents, folders)
    assert len(first) > 4
    assert first == second


@pytest.mark.parametrize("settings", [SMALL, PRONE], ids=["supine", "prone"])
def test_a_dicom_phantom_comes_back_through_our_readers(tmp_path, settings):
    folder = make_ct_phantoms(tmp_path / "set", num_cases=1, seed=2, settings=settings)
    made = make_once(2, 0, settings)
    series = read_series(folder / "phantom-0001" / "ct")
    np.testing.assert_array_equal(series.image.pixels, made.image.pixels)
    np.testing.assert_allclose(series.image.affine, made.image.affine, atol=1e-4)
    assert series.patient_position == ("HFP" if settings is PRONE else "HFS")
    (case,) = (read_case(files) for files in find_data_set(folder, volumes=True).cases)
    np.testing.assert_array_equal(case.reference > 0, made.labels > 0)


def test_a_nifti_phantom_comes_back_with_its_truth(tmp_path):
    folder = make_ct_phantoms(tmp_path / "set", num_cases=1, seed=2, kind="nifti", settings=SMALL)
    made = make_once(2, 0, SMALL)
    image = read_nifti(folder / "imagesTr" / "phantom-0001_0000.nii.gz")
    np.testing.assert_array_equal(image.pixels, made.image.pixels)
    np.testing.assert_allclose(image.affine, made.image.affine, atol=1e-3)
    truth = folder / "truth" / "phantom-0001"
    for name in ("breasts", "tissues"):
        stored = read_nifti(truth / f"{name}.nii.gz").pixels
        np.testing.assert_array_equal(stored, getattr(made, name))
    (lesion,) = json.loads((truth / "truth.json").read_text())["lesions"]
    assert lesion["num_voxels"] == (made.labels == 1).sum()
    assert lesion["volume_mm3"] == pytest.approx(made.lesions[0].shape.volume_mm3, abs=0.01)
    assert lesion["side"] in ("right", "left")


def test_a_phantom_without_lesion_has_no_segmentation(tmp_path):
    folder = make_ct_phantoms(tmp_path / "set", num_cases=1, settings=TINY)
    assert not (folder / "phantom-0001" / "seg.dcm").exists()
    truth = json.loads((folder / "truth" / "phantom-0001" / "truth.json").read_text())
    assert truth["lesions"] == []


def test_what_was_begun_is_gone_on_with_and_whole_cases_are_kept(tmp_path):
    at_once = make_ct_phantoms(tmp_path / "once", num_cases=2, kind="nifti", settings=TINY)
    folder = make_ct_phantoms(tmp_path / "set", num_cases=1, kind="nifti", settings=TINY)
    first = folder / "imagesTr" / "phantom-0001_0000.nii.gz"
    before = first.stat().st_mtime_ns
    told = []
    make_ct_phantoms(
        folder, num_cases=2, kind="nifti", settings=TINY, progress=lambda *done: told.append(done)
    )
    assert first.stat().st_mtime_ns == before
    assert told == [("phantoms", 2, 2)]
    assert contents(folder) == contents(at_once)


def test_a_case_that_was_cut_short_is_made_again(tmp_path):
    folder = make_ct_phantoms(tmp_path / "set", num_cases=1, settings=TINY)
    whole = contents(folder)
    (folder / "truth" / "phantom-0001" / "truth.json").unlink()
    (folder / "phantom-0001" / "ct" / "0002.dcm").unlink()
    make_ct_phantoms(folder, num_cases=1, settings=TINY)
    assert contents(folder) == whole


def test_another_request_does_not_mix_with_what_is_there(tmp_path):
    folder = make_ct_phantoms(tmp_path / "set", num_cases=1, seed=0, settings=TINY)
    with pytest.raises(OutputError, match="seed is 1, was 0"):
        make_ct_phantoms(folder, num_cases=1, seed=1, settings=TINY)


def test_processes_make_the_same_files(tmp_path):
    alone, shared = (
        make_ct_phantoms(tmp_path / str(workers), num_cases=2, settings=TINY, workers=workers)
        for workers in (1, 2)
    )
    assert contents(alone) == contents(shared)
    patients = {dcmread(path).PatientID for path in shared.glob("*/ct/0001.dcm")}
    assert len(patients) == 2


def test_a_folder_with_files_is_refused(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(OutputError, match="new or empty"):
        make_ct_phantoms(tmp_path, num_cases=1)


def test_a_request_that_cannot_be_read_is_refused(tmp_path):
    (tmp_path / "phantoms.json").write_text("{")
    with pytest.raises(OutputError, match="cannot be read"):
        make_ct_phantoms(tmp_path, num_cases=1)


@pytest.mark.parametrize("wrong", [{"num_cases": 0}, {"seed": -1}])
def test_wrong_numbers_are_refused(tmp_path, wrong):
    with pytest.raises(InputError, match="must be"):
        make_ct_phantoms(tmp_path / "set", **wrong)
