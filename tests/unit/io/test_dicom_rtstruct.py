"""Contours in millimetres to voxels: what is read, and each reason to refuse."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import Dataset

from breastseg.core.mask_faults import MaskError, MaskFault
from breastseg.core.series import Series
from breastseg.core.structure import StructureMask
from breastseg.io.dicom_masks import describe_mask_file, read_masks
from tests.dicom_masks import OBLIQUE, Drawn, square, uid_of, write_ct, write_rtstruct


@pytest.fixture(scope="module")
def series(tmp_path_factory: pytest.TempPathFactory) -> Series:
    return write_ct(tmp_path_factory.mktemp("series") / "ct")


@pytest.fixture
def read(series: Series, tmp_path: Path) -> Any:
    """Return a function that writes one ROI and reads it."""

    def read_roi(*contours: Drawn, change: Any = None, **options: Any) -> StructureMask:
        path = write_rtstruct(tmp_path / "rt.dcm", series, {"tumour": contours}, change=change)
        return read_masks(path, series, **options)[0]

    return read_roi


def refused(read: Any, fault: MaskFault, *contours: Drawn, **options: Any) -> str:
    with pytest.raises(MaskError) as caught:
        read(*contours, **options)
    assert caught.value.fault == fault
    assert "SECRET" not in str(caught.value)
    return str(caught.value)


def squares(*places: float) -> Sequence[Drawn]:
    return [square(place, 1.5, 6.5) for place in places]


def test_a_square_marks_the_voxels_that_it_encloses(read: Any, series: Series) -> None:
    drawn = read(square(1, 1.5, 6.5), square(2, 2.5, 4.5))
    expected = np.zeros((5, 14, 12), bool)
    expected[1, 2:7, 2:7] = True
    expected[2, 3:5, 3:5] = True
    assert np.array_equal(drawn.mask, expected)
    assert drawn.notes == ()
    assert drawn.volume_mm3(series.image) == pytest.approx(29 * 3.0 * 0.8 * 0.7)


def test_points_are_turned_with_an_oblique_grid(tmp_path: Path) -> None:
    series = write_ct(tmp_path / "oblique", directions=OBLIQUE, name="oblique")
    path = write_rtstruct(tmp_path / "rt.dcm", series, {"tumour": [square(3, 1.5, 6.5)]})
    mask = read_masks(path, series)[0].mask
    assert np.count_nonzero(mask) == 25
    assert mask[3, 2:7, 2:7].all()


def test_holes_islands_and_parts_side_by_side(read: Any) -> None:
    drawn = read(
        square(2, 0.5, 8.5), square(2, 2.5, 6.5), square(2, 3.5, 5.5), square(2, 9.5, 10.5)
    )
    assert np.count_nonzero(drawn.mask) == 64 - 16 + 4 + 1


def test_a_keyhole_leaves_its_hole_out(read: Any) -> None:
    outer = [(0.5, 0.5), (0.5, 10.5), (10.5, 10.5), (10.5, 4)]
    inner = [(7.5, 4), (7.5, 7.5), (3.5, 7.5), (3.5, 3.5), (7.5, 3.5), (7.5, 4)]
    drawn = read(Drawn(2, [*outer, *inner, (10.5, 4), (10.5, 0.5)]))
    assert np.count_nonzero(drawn.mask) == 100 - 16


def test_contours_of_the_type_xor_are_combined_so(read: Any) -> None:
    xor = {"type": "CLOSEDPLANAR_XOR"}
    drawn = read(square(2, 0.5, 6.5, **xor), square(2, 3.5, 9.5, **xor))
    assert np.count_nonzero(drawn.mask) == 36 + 36 - 2 * 9


def test_contours_that_cross_are_refused(read: Any) -> None:
    message = refused(read, MaskFault.CROSSING, square(2, 0.5, 6.5), square(2, 3.5, 9.5))
    assert "slice 3" in message
    assert "structure 'tumour'" in message


def test_the_same_contour_twice_is_no_hole(read: Any) -> None:
    assert np.count_nonzero(read(*squares(2, 2)).mask) == 25


def test_a_gap_between_outlines_that_face_each_other_is_refused(read: Any) -> None:
    message = refused(read, MaskFault.GAP, *squares(0, 3))
    assert "slices 1 and 4" in message
    assert "the 2 between" in message


def test_a_gap_is_filled_only_when_asked_for_and_then_it_is_said(read: Any) -> None:
    drawn = read(*squares(0, 3), fill_gaps=True)
    assert drawn.mask.sum(axis=(1, 2)).tolist() == [25, 25, 25, 25, 0]
    assert drawn.notes == ("Interpolated where no contour was drawn: slices 2, 3.",)


def test_parts_that_do_not_face_each_other_have_no_gap(read: Any) -> None:
    drawn = read(square(0, 0.5, 3.5), square(3, 6.5, 9.5))
    assert drawn.mask.sum(axis=(1, 2)).tolist() == [9, 0, 0, 9, 0]


def test_contours_beyond_the_slices_are_left_out_and_counted(read: Any) -> None:
    drawn = read(*squares(3, 4, 5, 6))
    assert drawn.mask.sum(axis=(1, 2)).tolist() == [0, 0, 0, 25, 25]
    assert drawn.notes == ("2 of 4 contours lie beyond the slices of the image and were left out.",)


def test_a_structure_beyond_the_slices_is_refused(read: Any) -> None:
    assert "all 2 contours" in refused(read, MaskFault.OUTSIDE, *squares(7, 8))


def test_a_contour_cut_by_the_edge_of_the_image_is_noted(read: Any) -> None:
    drawn = read(square(2, -3.5, 3.5))
    assert np.count_nonzero(drawn.mask) == 16
    assert drawn.notes == ("A contour on slice 3 was cut at the image's edge.",)


def test_a_contour_between_two_slices_is_refused(read: Any) -> None:
    message = refused(read, MaskFault.OFF_PLANE, *squares(2.4))
    assert "3 mm apart" in message
    assert "1.2 mm from" in message


def test_a_contour_a_little_beside_its_slice_is_taken_and_noted(read: Any) -> None:
    drawn = read(*squares(2.2))
    assert np.count_nonzero(drawn.mask[2]) == 25
    assert drawn.notes == ("Contours lie up to 0.6 mm beside their slices.",)


def test_a_contour_that_is_not_parallel_to_the_slices_is_refused(read: Any, series: Series) -> None:
    level = square(2, 1.5, 6.5).to_mm(series)
    leaning = level + np.array([[0, 0, 0], [0, 0, 0], [0, 0, 1.5], [0, 0, 1.5]])
    assert "1.5 mm" in refused(read, MaskFault.NOT_PARALLEL, Drawn(2, points_mm=leaning))


def test_a_contour_that_names_the_image_of_another_slice_is_refused(read: Any) -> None:
    message = refused(read, MaskFault.WRONG_SLICE, square(2, 1.5, 6.5, names_slice=4))
    assert "slice 3" in message
    assert "slice 5" in message


@pytest.mark.parametrize("kind", ["POINT", "OPEN_PLANAR", "OPEN_NONPLANAR"])
def test_points_and_open_lines_are_no_mask(read: Any, kind: str) -> None:
    assert kind in refused(read, MaskFault.NOT_CLOSED, square(2, 1.5, 6.5, type=kind))


def test_points_beside_contours_are_left_out_and_counted(read: Any) -> None:
    drawn = read(*squares(2), square(2, 1.5, 2.5, type="POINT"), Drawn(2, [(1, 1), (2, 2)]))
    assert np.count_nonzero(drawn.mask) == 25
    assert drawn.notes == ("2 contours are points or lines and were left out.",)


def test_a_structure_that_encloses_no_voxel_centre_is_refused(read: Any) -> None:
    refused(read, MaskFault.EMPTY_STRUCTURE, square(2, 3.1, 3.9))


def test_a_structure_without_a_contour_is_refused(read: Any) -> None:
    refused(read, MaskFault.EMPTY_STRUCTURE)


def test_broken_numbers_are_refused(read: Any) -> None:
    def cut(header: Dataset) -> None:
        header.ROIContourSequence[0].ContourSequence[0].ContourData = ["1", "2", "3", "4"]

    def shift(header: Dataset) -> None:
        header.ROIContourSequence[0].ContourSequence[0].ContourOffsetVector = ["0", "0", "1"]

    def lose(header: Dataset) -> None:
        contour = header.ROIContourSequence[0].ContourSequence[0]
        contour.ContourData = list(contour.ContourData)[:-3]

    for change in (cut, shift, lose):
        refused(read, MaskFault.DAMAGED_MASK, *squares(2), change=change)


def other_series(header: Dataset) -> None:
    frame = header.ReferencedFrameOfReferenceSequence[0]
    frame.RTReferencedStudySequence[0].RTReferencedSeriesSequence[0].SeriesInstanceUID = uid_of("x")


def no_series(header: Dataset) -> None:
    del header.ReferencedFrameOfReferenceSequence


def no_images(header: Dataset) -> None:
    for contour in header.ROIContourSequence[0].ContourSequence:
        del contour.ContourImageSequence


def other_frame(header: Dataset) -> None:
    header.StructureSetROISequence[0].ReferencedFrameOfReferenceUID = uid_of("x")


def test_a_mask_of_another_series_of_the_same_study_is_refused(read: Any) -> None:
    refused(read, MaskFault.OTHER_SERIES, *squares(2), change=other_series)


def test_a_mask_that_names_no_series_is_tied_by_its_images(read: Any) -> None:
    assert np.count_nonzero(read(*squares(2), change=no_series).mask) == 25


@pytest.mark.parametrize("more", [no_images, other_frame])
def test_a_mask_that_names_no_series_and_nothing_else_that_fits_is_refused(
    read: Any, more: Any
) -> None:
    def change(header: Dataset) -> None:
        no_series(header)
        more(header)

    refused(read, MaskFault.BROKEN_REFERENCE, *squares(2), change=change)


def test_another_frame_of_reference_is_believed_only_with_the_images(read: Any) -> None:
    def change(header: Dataset) -> None:
        other_frame(header)
        no_images(header)

    assert np.count_nonzero(read(*squares(2), change=other_frame).mask) == 25
    refused(read, MaskFault.BROKEN_REFERENCE, *squares(2), change=change)


def test_contours_need_an_image_with_a_position(series: Series, tmp_path: Path) -> None:
    path = write_rtstruct(tmp_path / "rt.dcm", series, {"tumour": squares(2)})
    lost = replace(series, image=replace(series.image, affine=None))
    with pytest.raises(MaskError) as caught:
        read_masks(path, lost)
    assert caught.value.fault == MaskFault.BROKEN_REFERENCE


def test_a_file_says_what_is_in_it(series: Series, tmp_path: Path) -> None:
    rois = {"tumour": squares(1, 2), "seed": [square(1, 1, 2, type="POINT")], "nothing": []}
    file = describe_mask_file(write_rtstruct(tmp_path / "rt.dcm", series, rois))
    told = [(each.number, each.name, each.kind, each.num_parts) for each in file.structures]
    assert told == [(1, "tumour", "GTV", 2), (2, "seed", "GTV", 1), (3, "nothing", "GTV", 0)]
    assert [each.is_closed for each in file.structures] == [True, False, True]
    assert (file.modality, file.type) == ("RTSTRUCT", "CONTOURS")
    assert file.series_uids == (series.series_instance_uid,)
    assert file.frame_of_reference_uids == (series.frame_of_reference_uid,)
    assert len(file.instance_uids) == 2
