import gzip
import struct

import nibabel
import numpy as np
import pytest

from breastseg.core.errors import GeometryError
from breastseg.core.image import Image
from breastseg.core.scan_faults import ScanError, ScanFault
from breastseg.io.nifti import read_nifti, write_nifti

VALUES = np.random.default_rng(2).integers(-1000, 1000, (3, 4, 5)).astype(np.float32)
# Identity directions in LPS: columns to the left, rows to the back, slices to the head.
LPS = np.array([[0, 0, 0.5, -10], [0, 0.6, 0, -20], [2.0, 0, 0, 30], [0, 0, 0, 1]])
PIXDIM, SROW_X, DIM = 76, 280, 40


@pytest.fixture
def path(tmp_path):
    write_nifti(tmp_path / "v.nii", Image(pixels=VALUES, affine=LPS), dtype=np.int16)
    return tmp_path / "v.nii"


def patch(path, offset, form, *values):
    data = bytearray(path.read_bytes())
    struct.pack_into(form, data, offset, *values)
    path.write_bytes(data)


def refusal(path):
    with pytest.raises(ScanError) as caught:
        read_nifti(path)
    return caught.value.fault


def test_ras_of_the_file_becomes_lps(path):
    volume = nibabel.load(path)
    assert volume.shape == (5, 4, 3)
    # RAS: the first index runs to the patient's left, so to negative x.
    assert volume.affine[0].tolist() == [-0.5, 0, 0, 10]
    assert volume.get_data_dtype() == np.int16
    image = read_nifti(path)
    assert np.array_equal(image.pixels, VALUES)
    assert np.allclose(image.affine, LPS, atol=1e-6)


def test_a_ras_file_of_another_tool_keeps_its_voxels_in_place(tmp_path):
    affine = np.array([[0.9, 0, 0, -90], [0, 0.8, 0, -126], [0, 0, 1.5, -72], [0, 0, 0, 1]])
    stored = VALUES.T.astype(np.int16)
    nibabel.save(nibabel.Nifti1Image(stored, affine), tmp_path / "r.nii.gz")
    image = read_nifti(tmp_path / "r.nii.gz")
    ras = affine @ [4, 1, 2, 1]
    assert np.allclose(image.affine @ [2, 1, 4, 1], [-ras[0], -ras[1], ras[2], 1], atol=1e-4)
    assert image.pixels[2, 1, 4] == stored[4, 1, 2]


def test_slope_and_intercept_are_applied(path):
    patch(path, 112, "<ff", 2.0, -24.0)
    assert np.array_equal(read_nifti(path).pixels, VALUES * 2 - 24)


def test_a_fourth_dimension_of_one_is_dropped(tmp_path):
    volume = nibabel.Nifti1Image(VALUES.T[..., None].astype(np.int16), np.eye(4))
    nibabel.save(volume, tmp_path / "v.nii")
    assert read_nifti(tmp_path / "v.nii").pixels.shape == (3, 4, 5)


@pytest.mark.parametrize("value", [0.0, -0.6, float("nan"), float("inf")])
def test_a_wrong_pixdim_is_refused(path, value):
    patch(path, PIXDIM + 8, "<f", value)
    assert refusal(path) is ScanFault.NO_SPACING


def test_contradicting_forms_are_refused(path):
    patch(path, SROW_X + 12, "<f", 12.0)
    assert refusal(path) is ScanFault.AMBIGUOUS_AFFINE


def test_forms_that_differ_by_rounding_are_one(path):
    patch(path, SROW_X + 12, "<f", 10.00001)
    assert np.allclose(read_nifti(path).affine, LPS, atol=1e-4)


def test_a_pixdim_unlike_the_affine_is_refused(path):
    patch(path, PIXDIM + 4, "<f", 0.55)
    assert refusal(path) is ScanFault.AMBIGUOUS_AFFINE


def test_no_form_is_refused(path):
    patch(path, 252, "<hh", 0, 0)
    assert refusal(path) is ScanFault.NO_AFFINE


def test_several_volumes_are_refused(tmp_path):
    for shape in ((5, 4, 3, 2), (5, 4, 3, 1, 3)):
        nibabel.save(nibabel.Nifti1Image(np.zeros(shape, np.int16), np.eye(4)), tmp_path / "v.nii")
        assert refusal(tmp_path / "v.nii") is ScanFault.DIMENSIONS


def test_nan_is_refused(tmp_path):
    values = VALUES.copy()
    values[0, 0, 0] = np.nan
    nibabel.save(nibabel.Nifti1Image(values.T, np.eye(4)), tmp_path / "v.nii")
    assert refusal(tmp_path / "v.nii") is ScanFault.NOT_FINITE


@pytest.mark.parametrize("cut", [1, 60, 118])
def test_truncated_voxels_are_refused(path, cut):
    data = path.read_bytes()
    path.write_bytes(data[:-cut])
    assert refusal(path) is ScanFault.TRUNCATED_PIXELS


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9, 0.999])
def test_truncated_gzip_is_refused(path, share):
    data = gzip.compress(path.read_bytes())
    whole = path.with_suffix(".nii.gz")
    whole.write_bytes(data[: int(len(data) * share)])
    assert refusal(whole) is ScanFault.DAMAGED_FILE


def test_what_is_no_nifti_is_refused(tmp_path):
    (tmp_path / "v.nii").write_bytes(b"text" * 200)
    assert refusal(tmp_path / "v.nii") is ScanFault.NOT_NIFTI
    assert refusal(tmp_path / "none.nii") is ScanFault.NOT_NIFTI


@pytest.mark.parametrize("shear", [1e-4, 2e-3])
def test_a_grid_that_counts_as_straight_comes_back_exactly(tmp_path, shear):
    affine = LPS.copy()
    affine[1, 0] += shear * np.linalg.norm(affine[:3, 0])
    pixels = np.zeros((200, 2, 2), np.float32)
    write_nifti(tmp_path / "v.nii.gz", Image(pixels=pixels, affine=affine))
    assert np.allclose(read_nifti(tmp_path / "v.nii.gz").affine, affine, atol=1e-5)


def test_writing_refuses_what_would_be_lost(tmp_path):
    half = Image(pixels=VALUES + 0.5, affine=LPS)
    with pytest.raises(GeometryError, match="do not fit int16"):
        write_nifti(tmp_path / "v.nii", half, dtype=np.int16)
    sheared = LPS.copy()
    sheared[1, 0] = 0.5
    with pytest.raises(GeometryError, match="sheared"):
        write_nifti(tmp_path / "v.nii", Image(pixels=VALUES, affine=sheared))
    with pytest.raises(GeometryError, match="has none"):
        write_nifti(tmp_path / "v.nii", Image(pixels=VALUES))
    assert not list(tmp_path.iterdir())
