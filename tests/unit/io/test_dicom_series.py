import itertools

import numpy as np
import pytest
from pydicom import dcmread

from breastseg.core.scan_faults import ScanError, ScanFault
from breastseg.io.dicom_files import find_series
from breastseg.io.dicom_series import FLOOR_HU, read_grid, read_series
from tests.dicom_phantom import DAMAGES, change, put, tilt, write_enhanced, write_series

RT_STRUCTURE_SET = "1.2.840.10008.5.1.4.1.1.481.3"


@pytest.fixture
def truth(tmp_path):
    return write_series(tmp_path / "series")


def assert_is(series, truth):
    assert np.array_equal(series.image.pixels, truth.pixels)
    assert np.allclose(series.image.affine, truth.affine, atol=1e-9)


def refusal(source, **options):
    with pytest.raises(ScanError) as caught:
        read_series(source, **options)
    return caught.value


def test_a_series_is_a_volume_in_hu_with_its_files_in_order(truth):
    series = read_series(truth.folder)
    assert_is(series, truth)
    assert series.instance_paths == truth.paths
    assert series.case_id.startswith("ct-")
    assert series.notes == ()
    header = dcmread(truth.paths[0])
    assert series.study_instance_uid == header.StudyInstanceUID
    assert series.frame_of_reference_uid == header.FrameOfReferenceUID


@pytest.mark.parametrize("suffix", ["", ".IMA", ".1", ".txt"])
def test_names_do_not_matter(tmp_path, suffix):
    truth = write_series(tmp_path / "s", suffix=suffix)
    (tmp_path / "s" / "notes.md").write_text("# Notes")
    (tmp_path / "s" / ".DS_Store").write_bytes(b"\0\0\0\1")
    assert_is(read_series(tmp_path), truth)


def test_a_file_without_a_preamble_is_read(truth):
    for path in truth.paths:
        path.write_bytes(path.read_bytes()[132:])
    assert_is(read_series(truth.folder), truth)


@pytest.mark.parametrize("damage", DAMAGES)
def test_each_damage_has_its_code_and_names_its_file(truth, damage):
    spoil, fault = DAMAGES[damage]
    spoil(truth, 2)
    error = refusal(truth.folder)
    assert error.fault is fault
    assert str(error).endswith(f"{fault.mend} [{fault}]")
    assert error.path == truth.folder or error.path.parent == truth.folder
    assert "Doe" not in str(error)
    assert "SECRET" not in str(error)


@pytest.mark.parametrize(
    "damage", ["no spacing", "another PixelSpacing", "a localizer", "pixels cut", "a slice flipped"]
)
def test_the_file_that_is_named_is_the_odd_one(truth, damage):
    DAMAGES[damage][0](truth, 3)
    assert refusal(truth.folder).path == truth.paths[3]


def test_other_series_are_listed_and_left(truth, tmp_path):
    write_enhanced(tmp_path / "plan.dcm")
    change(
        tmp_path / "plan.dcm",
        lambda dataset: setattr(dataset, "SOPClassUID", "1.2.840.10008.5.1.4.1.1.481.3"),
    )
    scout = write_series(tmp_path / "scout", shape=(1, 4, 4))
    put("ImageType", ["DERIVED", "PRIMARY", "LOCALIZER"])(scout, 0)
    put("SeriesInstanceUID", "1.2.840.99")(scout, 0)
    kinds = sorted((summary.kind, summary.num_files) for summary in find_series(tmp_path))
    assert kinds == [("CT", 6), ("CT localizer", 1), ("RT Structure Set", 1)]
    assert_is(read_series(tmp_path), truth)


def test_damaged_files_are_told_and_the_rest_is_listed(truth):
    truth.paths[1].write_bytes(b"")
    told = []
    (summary,) = find_series(truth.folder, told.append)
    assert [error.path for error in told] == [truth.paths[1]]
    assert refusal(summary).fault is ScanFault.MISSING_SLICE


def test_an_enhanced_object_is_the_same_volume(tmp_path):
    truth = write_enhanced(tmp_path / "enhanced.dcm")
    series = read_series(tmp_path)
    assert_is(series, truth)
    assert series.instance_paths == truth.paths


@pytest.mark.parametrize(
    "damage",
    ["a PixelSpacing of 0", "no position"],
)
def test_an_enhanced_object_is_refused_like_single_frames(tmp_path, damage):
    path = write_enhanced(tmp_path / "enhanced.dcm").paths[0]

    def edit(dataset):
        if damage == "no position":
            del dataset.PerFrameFunctionalGroupsSequence[2].PlanePositionSequence
        else:
            dataset.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0].PixelSpacing = [0, 1]

    change(path, edit)
    assert refusal(path).fault is DAMAGES[damage][1]


def test_a_functional_group_for_each_frame(tmp_path):
    path = write_enhanced(tmp_path / "enhanced.dcm").paths[0]
    change(path, lambda dataset: dataset.PerFrameFunctionalGroupsSequence.pop())
    assert refusal(path).fault is ScanFault.DAMAGED_FILE


def test_a_single_slice_takes_its_thickness_and_says_so(tmp_path):
    truth = write_series(tmp_path / "s", shape=(1, 5, 7))
    series = read_series(truth.paths[0])
    assert_is(series, truth)
    assert "SliceThickness" in series.notes[0]
    change(truth.paths[0], lambda dataset: delattr(dataset, "SliceThickness"))
    assert refusal(truth.paths[0]).fault is ScanFault.NO_SPACING


def test_padding_becomes_the_floor_of_the_scale(truth):
    def edit(dataset):
        pixels = np.frombuffer(dataset.PixelData, np.uint16).copy()
        pixels[:3] = 4000
        dataset.PixelData = pixels.tobytes()
        dataset.add_new("PixelPaddingValue", "US", 4000)

    change(truth.paths[0], edit)
    series = read_series(truth.folder)
    assert (series.image.pixels[0].ravel()[:3] == FLOOR_HU).all()
    assert np.array_equal(series.image.pixels[1:], truth.pixels[1:])
    assert series.notes == ("3 voxels of padding were set to -1024 HU.",)


def test_a_tilt_is_resampled_on_request_where_the_voxels_lie(tmp_path):
    truth = write_series(tmp_path / "s", shape=(4, 12, 9))
    tilt(truth, 0)
    grid = read_grid(truth.folder)
    # Brightness is the y coordinate, which interpolation keeps, whatever the grid.
    for at, path in enumerate(truth.paths):
        rows = (grid.affine @ [[at] * 12, range(12), [0] * 12, [1] * 12])[1]

        def edit(dataset, rows=rows):
            stored = np.repeat(np.round(rows * 100)[:, None] - 2000, 9, axis=1)
            dataset.PixelData = stored.astype(np.uint16).tobytes()

        change(path, edit)
    assert refusal(truth.folder).fault is ScanFault.GANTRY_TILT
    series = read_series(truth.folder, resample_tilt=True)
    affine = series.image.affine
    assert np.allclose(
        affine[:3, :3].T @ affine[:3, :3], np.diag(np.square(series.image.spacing_mm))
    )
    assert "tilt of" in series.notes[-1]
    for index in itertools.product(range(4), range(2, 10), range(9)):
        value = series.image.pixels[index]
        if value > FLOOR_HU:
            assert (affine @ [*index, 1])[1] * 100 - 3024 == pytest.approx(value, abs=1)
    assert np.count_nonzero(series.image.pixels > FLOOR_HU) >= 4 * 11 * 9


def test_different_rescaling_of_slices_is_obeyed_and_noted(truth):
    put("RescaleIntercept", "-1000")(truth, 2)
    series = read_series(truth.folder)
    assert np.array_equal(series.image.pixels[2], truth.pixels[2] + 24)
    assert "differ" in series.notes[0]


def test_a_folder_without_dicom_and_no_folder(tmp_path):
    (tmp_path / "notes.txt").write_text("nothing")
    for path in (tmp_path, tmp_path / "nowhere", tmp_path / "notes.txt"):
        assert refusal(path).fault is ScanFault.NOT_DICOM


def test_files_of_one_series_can_be_named(truth):
    assert_is(read_series(list(truth.paths)[::-1]), truth)


def test_a_grid_needs_no_hounsfield_units(truth):
    for at in range(len(truth.paths)):
        put("RescaleType", "US")(truth, at)
    assert np.allclose(read_grid(truth.folder).affine, truth.affine)
