"""Reading never returns a wrong geometry in silence: it is the truth, or an error with a code."""

import itertools
import tempfile
from pathlib import Path

import numpy as np
import pytest
from highdicom import get_volume_from_series
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom import dcmread
from pydicom.errors import InvalidDicomError

from breastseg.core.image import Image
from breastseg.core.scan_faults import ScanError
from breastseg.io.dicom_series import read_series
from breastseg.io.nifti import read_nifti, write_nifti
from tests.dicom_phantom import DAMAGES, SPACING_MM, flip_bits, header_length, write_series

AXES = [tuple(sign * row for row in np.eye(3)[axis]) for axis in range(3) for sign in (1, -1)]
# Directions of columns and rows: 24 right-handed grids; with slices counted backwards, 48.
DIRECTIONS = [(a, b) for a, b in itertools.product(AXES, AXES) if np.dot(a, b) == 0]


def rotations():
    """Rotation matrices: the orthogonal factor of any matrix that has one."""
    entries = st.lists(st.floats(-1, 1), min_size=9, max_size=9)
    matrices = entries.map(lambda values: np.array(values).reshape(3, 3))
    regular = matrices.filter(lambda matrix: abs(np.linalg.det(matrix)) > 0.05)
    return regular.map(lambda matrix: np.linalg.qr(matrix)[0])


def assert_true_or_refused(truth):
    """Read a damaged series; what is returned must lie where the undamaged slices lie."""
    try:
        series = read_series(truth.folder)
    except ScanError:
        return
    affine, tolerance = series.image.affine, 0.02 * SPACING_MM[0] + 1e-3
    assert np.allclose(affine[:3, 1:3], truth.affine[:3, 1:3], atol=1e-3)
    assert series.image.pixels.shape[1:] == truth.pixels.shape[1:]
    for at, path in enumerate(series.instance_paths):
        place = truth.paths.index(path)
        expected = truth.affine @ [place, 0, 0, 1]
        assert np.allclose(affine @ [at, 0, 0, 1], expected, atol=tolerance)


@settings(max_examples=40, deadline=None)
@given(
    damages=st.lists(
        st.tuples(st.sampled_from(sorted(DAMAGES)), st.integers(0, 5)), min_size=1, max_size=2
    )
)
def test_any_damages_together(damages):
    with tempfile.TemporaryDirectory() as folder:
        truth = write_series(Path(folder))
        for damage, at in damages:
            try:
                DAMAGES[damage][0](truth, at)
            # The first damage may leave nothing for the second.
            except (OSError, AttributeError, KeyError, ValueError, TypeError, InvalidDicomError):
                continue
        if "a tilted gantry" not in dict(damages):
            assert_true_or_refused(truth)
        else:
            with pytest.raises(ScanError):
                read_series(truth.folder)


@settings(max_examples=80, deadline=None)
@given(at=st.integers(0, 5), places=st.lists(st.integers(0, 2**20), min_size=1, max_size=4))
def test_bits_flipped_in_a_header(at, places):
    with tempfile.TemporaryDirectory() as folder:
        truth = write_series(Path(folder))
        path = truth.paths[at]
        bits = header_length(path) * 8
        flip_bits(path, [place % bits for place in places])
        assert_true_or_refused(truth)


@settings(max_examples=40, deadline=None)
@given(at=st.integers(0, 5), length=st.integers(0, 2000))
def test_a_file_cut_anywhere(at, length):
    with tempfile.TemporaryDirectory() as folder:
        truth = write_series(Path(folder))
        data = truth.paths[at].read_bytes()
        truth.paths[at].write_bytes(data[: min(length, len(data) - 1)])
        with pytest.raises(ScanError):
            read_series(truth.folder)


@pytest.mark.parametrize("directions", DIRECTIONS)
def test_all_orientations_come_from_the_affine_alone(tmp_path, directions):
    truth = write_series(tmp_path, orientation=directions, shape=(3, 4, 5))
    series = read_series(tmp_path)
    assert np.allclose(series.image.affine, truth.affine, atol=1e-9)
    assert np.array_equal(series.image.pixels, truth.pixels)


@settings(max_examples=15, deadline=None)
@given(rotation=rotations())
def test_oblique_series_agree_with_highdicom(rotation):
    directions = (tuple(rotation[0]), tuple(rotation[1]))
    with tempfile.TemporaryDirectory() as folder:
        truth = write_series(Path(folder), orientation=directions, shape=(3, 4, 5))
        series = read_series(truth.folder)
        theirs = get_volume_from_series([dcmread(path) for path in truth.paths])
    assert np.allclose(series.image.affine, truth.affine, atol=1e-6)
    # Both orders of the slices are right; a voxel of theirs must lie where it lies in ours.
    last = [theirs.array.shape[0] - 1, 0, 0, 1]
    ours = np.linalg.inv(series.image.affine) @ theirs.affine @ last
    assert np.allclose(ours, np.round(ours), atol=1e-6)
    first = round(ours[0])
    assert np.array_equal(theirs.array[-1], series.image.pixels[first])


@pytest.mark.parametrize("backwards", [False, True])
@pytest.mark.parametrize("directions", DIRECTIONS)
def test_nifti_keeps_all_48_orientations(tmp_path, directions, backwards):
    truth = write_series(tmp_path / "s", orientation=directions, shape=(3, 4, 5))
    affine = truth.affine.copy()
    if backwards:
        affine[:3, 3] += 2 * affine[:3, 0]
        affine[:3, 0] *= -1
    write_nifti(tmp_path / "volume.nii", Image(pixels=truth.pixels, affine=affine), dtype=np.int16)
    back = read_nifti(tmp_path / "volume.nii")
    assert np.array_equal(back.pixels, truth.pixels)
    assert np.allclose(back.affine, affine, atol=1e-5)


@settings(max_examples=40, deadline=None)
@given(rotation=rotations(), spacing=st.tuples(*[st.floats(0.05, 10)] * 3))
def test_nifti_keeps_oblique_grids(rotation, spacing):
    affine = np.eye(4)
    affine[:3, :3] = rotation * spacing
    affine[:3, 3] = (-123.4, 56.7, 890.1)
    pixels = np.arange(60, dtype=np.float32).reshape(3, 4, 5)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "volume.nii.gz")
        write_nifti(path, Image(pixels=pixels, affine=affine))
        back = read_nifti(path)
    assert np.array_equal(back.pixels, pixels)
    assert np.allclose(back.affine, affine, atol=1e-4)
