"""Segments to voxels: written by highdicom, read here."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from breastseg.core.mask_faults import MaskError, MaskFault
from breastseg.core.series import Series
from breastseg.io.dicom_masks import describe_mask_file, read_masks
from tests.dicom_masks import OBLIQUE, uid_of, write_ct, write_seg


@pytest.fixture(scope="module")
def series(tmp_path_factory: pytest.TempPathFactory) -> Series:
    return write_ct(tmp_path_factory.mktemp("series") / "ct", directions=OBLIQUE)


def blob(series: Series, *, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random(series.image.pixels.shape) > 0.7


@pytest.mark.parametrize("kind", ["BINARY", "LABELMAP"])
def test_a_mask_comes_back_voxel_for_voxel(series: Series, tmp_path: Path, kind: str) -> None:
    one = blob(series)
    other = blob(series, seed=1) & ~one
    path = write_seg(tmp_path / "seg.dcm", series, {"one": one, "other": other}, kind=kind)
    read = read_masks(path, series, labels=["*"])
    assert [each.structure.name for each in read] == ["one", "other"]
    assert np.array_equal(read[0].mask, one)
    assert np.array_equal(read[1].mask, other)


def test_segments_may_overlap(series: Series, tmp_path: Path) -> None:
    one, other = blob(series), blob(series, seed=1)
    assert (one & other).any()
    path = write_seg(tmp_path / "seg.dcm", series, {"one": one, "other": other})
    for read, written in zip(read_masks(path, series, labels=["*"]), (one, other), strict=True):
        assert np.array_equal(read.mask, written)


def test_a_fractional_segment_is_cut_at_the_threshold(series: Series, tmp_path: Path) -> None:
    share = np.zeros(series.image.pixels.shape)
    share[1, 2, 3:7] = [0.1, 0.5, 0.75, 1.0]
    path = write_seg(tmp_path / "seg.dcm", series, {"one": share}, kind="FRACTIONAL")
    for threshold, count in ((0.5, 3), (0.51, 2), (1.0, 1), (0.05, 4)):
        (read,) = read_masks(path, series, threshold=threshold)
        assert np.count_nonzero(read.mask) == count


def test_slices_that_the_file_leaves_out_are_empty(series: Series, tmp_path: Path) -> None:
    mask = np.zeros(series.image.pixels.shape, bool)
    mask[3, 4, 5] = True
    path = write_seg(tmp_path / "seg.dcm", series, {"one": mask})
    assert describe_mask_file(path).structures[0].num_parts == 1
    assert np.array_equal(read_masks(path, series)[0].mask, mask)


def test_a_segment_on_a_finer_or_shifted_grid_is_refused(series: Series, tmp_path: Path) -> None:
    def finer(seg: Any) -> None:
        seg.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0].PixelSpacing = [0.4, 0.35]

    def shifted(seg: Any) -> None:
        for frame in seg.PerFrameFunctionalGroupsSequence:
            position = frame.PlanePositionSequence[0].ImagePositionPatient
            position[0] = float(position[0]) + 0.2

    for change in (finer, shifted):
        path = write_seg(tmp_path / "seg.dcm", series, {"one": blob(series)}, change=change)
        with pytest.raises(MaskError) as caught:
            read_masks(path, series)
        assert caught.value.fault == MaskFault.OTHER_GRID
        assert "SECRET" not in str(caught.value)


def test_a_segment_with_rows_upside_down_lands_on_the_same_voxels(
    series: Series, tmp_path: Path
) -> None:
    mask = blob(series)
    affine = series.image.affine
    assert affine is not None

    def upside_down(seg: Any) -> None:
        """Turn the description of the rows; the pixels stay, so that the mask is turned."""
        orientation = seg.SharedFunctionalGroupsSequence[0].PlaneOrientationSequence[0]
        cosines = [float(value) for value in orientation.ImageOrientationPatient]
        orientation.ImageOrientationPatient = [*cosines[:3], *(-value for value in cosines[3:])]
        for frame in seg.PerFrameFunctionalGroupsSequence:
            plane = frame.PlanePositionSequence[0]
            last_row = np.array(plane.ImagePositionPatient, float) + 13 * affine[:3, 1]
            plane.ImagePositionPatient = [round(float(value), 6) for value in last_row]

    path = write_seg(tmp_path / "seg.dcm", series, {"one": mask}, change=upside_down)
    assert np.array_equal(read_masks(path, series)[0].mask, mask[:, ::-1])


def test_pixels_outside_the_image_are_counted(series: Series, tmp_path: Path) -> None:
    affine = series.image.affine
    assert affine is not None
    mask = np.zeros(series.image.pixels.shape, bool)
    mask[3:, 4, 5] = True

    def move(by: int) -> Any:
        def change(seg: Any) -> None:
            for frame in seg.PerFrameFunctionalGroupsSequence:
                plane = frame.PlanePositionSequence[0]
                moved = np.array(plane.ImagePositionPatient, float) + by * affine[:3, 0]
                plane.ImagePositionPatient = [round(float(value), 6) for value in moved]

        return change

    path = write_seg(tmp_path / "seg.dcm", series, {"one": mask}, change=move(1))
    (read,) = read_masks(path, series)
    assert np.argwhere(read.mask).tolist() == [[4, 4, 5]]
    assert read.notes == ("1 of 2 pixels lie outside the image and were left out.",)
    path = write_seg(tmp_path / "seg.dcm", series, {"one": mask}, change=move(9))
    with pytest.raises(MaskError) as caught:
        read_masks(path, series)
    assert caught.value.fault == MaskFault.OUTSIDE


def test_a_segment_of_another_series_is_refused(series: Series, tmp_path: Path) -> None:
    def change(seg: Any) -> None:
        seg.ReferencedSeriesSequence[0].SeriesInstanceUID = uid_of("other")

    path = write_seg(tmp_path / "seg.dcm", series, {"one": blob(series)}, change=change)
    with pytest.raises(MaskError) as caught:
        read_masks(path, series)
    assert caught.value.fault == MaskFault.OTHER_SERIES


def test_an_empty_segment_is_refused(series: Series, tmp_path: Path) -> None:
    mask = np.zeros(series.image.pixels.shape, bool)
    path = write_seg(tmp_path / "seg.dcm", series, {"one": blob(series), "none": mask})
    with pytest.raises(MaskError) as caught:
        read_masks(path, series, labels=["none"])
    assert caught.value.fault == MaskFault.EMPTY_STRUCTURE


def cut_pixels(seg: Any) -> None:
    seg.PixelData = seg.PixelData[: len(seg.PixelData) // 2 // 2 * 2]


def drop_frame(seg: Any) -> None:
    del seg.PerFrameFunctionalGroupsSequence[0]


def drop_orientation(seg: Any) -> None:
    del seg.SharedFunctionalGroupsSequence[0].PlaneOrientationSequence


def strange_type(seg: Any) -> None:
    seg.SegmentationType = "SOMETHING"


def drop_series_uid(seg: Any) -> None:
    del seg.ReferencedSeriesSequence[0].SeriesInstanceUID


@pytest.mark.parametrize(
    "change", [cut_pixels, drop_frame, drop_orientation, strange_type, drop_series_uid]
)
def test_damage_is_refused(series: Series, tmp_path: Path, change: Any) -> None:
    path = write_seg(tmp_path / "seg.dcm", series, {"one": blob(series)}, change=change)
    with pytest.raises(MaskError) as caught:
        read_masks(path, series)
    assert caught.value.fault == MaskFault.DAMAGED_MASK
