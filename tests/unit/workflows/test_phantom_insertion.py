import numpy as np
import pytest
from pydicom import dcmread

from breastseg.core.errors import InputError
from breastseg.core.image import Image
from breastseg.datasets.phantom_ct.phantom import PhantomSettings
from breastseg.io.dicom_series import read_series
from breastseg.io.nifti import read_nifti, write_nifti
from breastseg.workflows.phantom import make_ct_phantoms
from breastseg.workflows.phantom_insertion import insert_ct_lesions

PLAIN = PhantomSettings(shape=(40, 96, 96), num_lesions=0, density="c", pose="prone")


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """Return a phantom without lesions, as DICOM."""
    folder = tmp_path_factory.mktemp("plain") / "set"
    return make_ct_phantoms(folder, num_cases=1, seed=7, settings=PLAIN)


@pytest.fixture
def scan(source):
    return source / "phantom-0001" / "ct"


@pytest.fixture
def breasts(source):
    return source / "truth" / "phantom-0001" / "breasts.nii.gz"


def as_nifti(path, pixels, affine):
    write_nifti(path, Image(pixels=pixels.astype(np.float32), affine=affine), dtype=np.int16)
    return path


def test_lesions_are_put_into_a_scan_by_its_breast_mask(scan, breasts, tmp_path):
    folder = insert_ct_lesions(scan, tmp_path / "set", breasts=breasts, num_cases=2, seed=1)
    before = read_series(scan).image.pixels
    for name in ("inserted-0001", "inserted-0002"):
        after = read_series(folder / name / "ct").image.pixels
        lesions = read_nifti(folder / "truth" / name / "lesions.nii.gz").pixels
        assert lesions.any()
        changed = after != before
        assert 0 < changed.mean() < 0.1
        assert (read_nifti(breasts).pixels[lesions > 0] > 0).mean() > 0.8


def test_copies_are_scans_of_one_patient_who_lies_as_in_the_source(scan, breasts, tmp_path):
    folder = insert_ct_lesions(scan, tmp_path / "set", breasts=breasts, num_cases=2)
    slices = [dcmread(path) for path in sorted(folder.glob("*/ct/0001.dcm"))]
    assert {each.PatientPosition for each in slices} == {"HFP"}
    assert len({each.PatientID for each in slices}) == 1
    assert len({each.SeriesInstanceUID for each in slices}) == 2


def test_breasts_are_found_where_no_mask_is_given(scan, breasts, tmp_path):
    folder = insert_ct_lesions(scan, tmp_path / "set", kind="nifti")
    lesions = read_nifti(folder / "labelsTr" / "inserted-0001.nii.gz").pixels
    assert lesions.any()
    assert (read_nifti(breasts).pixels[lesions > 0] > 0).any()
    found = read_nifti(folder / "truth" / "inserted-0001" / "breasts.nii.gz").pixels
    assert {1, 2} <= {*np.unique(found)}


def test_nothing_is_said_of_the_position_where_it_is_not_known(scan, breasts, tmp_path):
    image = read_series(scan).image
    path = as_nifti(tmp_path / "scan.nii.gz", image.pixels, image.affine)
    folder = insert_ct_lesions(path, tmp_path / "set", breasts=breasts)
    assert read_series(folder / "inserted-0001" / "ct").patient_position is None


def test_a_scan_without_a_chest_is_refused_with_its_reason(tmp_path):
    water = as_nifti(tmp_path / "water.nii.gz", np.zeros((8, 32, 32)), np.diag([5.0, 8, 8, 1]))
    with pytest.raises(InputError, match=r"No breast: .* --breasts"):
        insert_ct_lesions(water, tmp_path / "set")
    assert not (tmp_path / "set").exists()


def test_a_mask_without_a_breast_is_refused(scan, source, tmp_path):
    empty = source / "truth" / "phantom-0001" / "lesions.nii.gz"
    with pytest.raises(InputError, match="no lesion fits"):
        insert_ct_lesions(scan, tmp_path / "set", breasts=empty)
