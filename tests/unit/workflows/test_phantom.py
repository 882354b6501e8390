import json

import numpy as np
import pytest

from breastseg.core.errors import InputError, OutputError
from breastseg.datasets.cases import read_case
from breastseg.datasets.layouts import find_data_set
from breastseg.datasets.phantom_ct.phantom import PhantomSettings, make_phantom_ct
from breastseg.io.dicom_series import read_series
from breastseg.io.nifti import read_nifti
from breastseg.workflows.phantom import insert_ct_lesions, make_ct_phantoms

SMALL = PhantomSettings(shape=(12, 64, 64), num_lesions=1, diameters_mm=(24.0, 28.0))


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


@pytest.mark.parametrize("pose", ["supine", "prone"])
def test_a_dicom_phantom_comes_back_through_our_readers(tmp_path, pose):
    settings = PhantomSettings(
        shape=(12, 64, 64), pose=pose, num_lesions=1, diameters_mm=(24.0, 28.0)
    )
    folder = make_ct_phantoms(tmp_path / "set", num_cases=1, seed=2, settings=settings)
    made = make_phantom_ct(2, 0, settings)
    series = read_series(folder / "phantom-0001" / "ct")
    np.testing.assert_array_equal(series.image.pixels, made.image.pixels)
    np.testing.assert_allclose(series.image.affine, made.image.affine, atol=1e-4)
    (case,) = read_dicom_cases(folder)
    np.testing.assert_array_equal(case.reference > 0, made.labels > 0)


def read_dicom_cases(folder):
    return [read_case(files) for files in find_data_set(folder, volumes=True).cases]


def test_a_nifti_phantom_comes_back_with_its_truth(tmp_path):
    folder = make_ct_phantoms(tmp_path / "set", num_cases=1, seed=2, kind="nifti", settings=SMALL)
    made = make_phantom_ct(2, 0, SMALL)
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
    settings = PhantomSettings(shape=(6, 32, 32), num_lesions=0)
    folder = make_ct_phantoms(tmp_path / "set", num_cases=1, settings=settings)
    assert not (folder / "phantom-0001" / "seg.dcm").exists()
    truth = json.loads((folder / "truth" / "phantom-0001" / "truth.json").read_text())
    assert truth["lesions"] == []


def test_lesions_are_put_into_a_scan_by_its_breast_mask(tmp_path):
    plain = PhantomSettings(shape=(24, 96, 96), num_lesions=0)
    source = make_ct_phantoms(tmp_path / "plain", num_cases=1, settings=plain)
    scan = source / "phantom-0001" / "ct"
    breasts = source / "truth" / "phantom-0001" / "breasts.nii.gz"
    folder = insert_ct_lesions(scan, breasts, tmp_path / "set", num_cases=2, seed=1)
    before = read_series(scan).image.pixels
    for name in ("inserted-0001", "inserted-0002"):
        after = read_series(folder / name / "ct").image.pixels
        lesions = read_nifti(folder / "truth" / name / "lesions.nii.gz").pixels
        assert lesions.any()
        changed = after != before
        assert 0 < changed.mean() < 0.1
        assert (read_nifti(breasts).pixels[lesions > 0] > 0).mean() > 0.8


def test_a_mask_without_a_breast_is_refused(tmp_path):
    plain = PhantomSettings(shape=(6, 48, 48), num_lesions=0)
    source = make_ct_phantoms(tmp_path / "plain", num_cases=1, kind="nifti", settings=plain)
    scan = source / "imagesTr" / "phantom-0001_0000.nii.gz"
    empty = source / "truth" / "phantom-0001" / "lesions.nii.gz"
    with pytest.raises(InputError, match="no lesion fits"):
        insert_ct_lesions(scan, empty, tmp_path / "set")


def test_a_folder_with_files_is_refused(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(OutputError, match="new or empty"):
        make_ct_phantoms(tmp_path, num_cases=1)


@pytest.mark.parametrize("wrong", [{"num_cases": 0}, {"seed": -1}])
def test_wrong_numbers_are_refused(tmp_path, wrong):
    with pytest.raises(InputError, match="must be"):
        make_ct_phantoms(tmp_path / "set", **wrong)
