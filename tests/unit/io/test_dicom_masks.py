"""Choosing structures by name, and every mask file of the real scans."""

import gzip
import re
from pathlib import Path

import numpy as np
import pydicom
import pytest

from breastseg.core.image import Image
from breastseg.core.mask_faults import MaskError, MaskFault
from breastseg.core.scan_faults import ScanError
from breastseg.core.series import Series
from breastseg.io.dicom_files import read_header
from breastseg.io.dicom_masks import (
    MaskReader,
    choose_structures,
    describe_mask_file,
    fits,
    is_mask_file,
    read_masks,
)
from breastseg.io.dicom_series import read_series
from tests.dicom_masks import square, write_ct, write_rtstruct, write_seg

# Inside pydicom itself: the series that highdicom's SEGs were made of.
PYDICOM_SCANS = Path(pydicom.__file__).parent / "data" / "test_files" / "dicomdirtests"


@pytest.fixture(scope="module")
def series(tmp_path_factory: pytest.TempPathFactory) -> Series:
    return write_ct(tmp_path_factory.mktemp("series") / "ct")


@pytest.fixture
def two(series: Series, tmp_path: Path) -> Path:
    rois = {"Tumor Bed": [square(1, 1.5, 3.5)], "Heart": [square(2, 1.5, 6.5)]}
    return write_rtstruct(tmp_path / "rt.dcm", series, rois)


def test_patterns_choose_by_name_whatever_the_case() -> None:
    assert fits("Pre-dose, LEFT BREAST - 1", ["*breast*"])
    assert not fits("Tumor Bed", ["heart", "tumor"])


def test_labels_choose_structures(two: Path, series: Series) -> None:
    assert [m.structure.name for m in read_masks(two, series, labels=["TUMOR*"])] == ["Tumor Bed"]
    assert len(read_masks(two, series, labels=["tumor*", "heart"])) == 2


def test_several_structures_need_a_choice(two: Path) -> None:
    file = describe_mask_file(two)
    for labels, fault in (([], MaskFault.SEVERAL_LABELS), (["lung"], MaskFault.NO_SUCH_LABEL)):
        with pytest.raises(MaskError, match="'Tumor Bed', 'Heart'") as caught:
            choose_structures(file, labels)
        assert caught.value.fault == fault


def test_what_is_no_mask_is_refused(series: Series, tmp_path: Path) -> None:
    text = tmp_path / "a.txt"
    text.write_text("no mask")
    assert not is_mask_file(text)
    assert not is_mask_file(tmp_path)
    assert not is_mask_file(series.instance_paths[0])
    with pytest.raises(MaskError) as caught:
        describe_mask_file(series.instance_paths[0])
    assert caught.value.fault == MaskFault.NOT_A_MASK


def read_nrrd(path: Path) -> np.ndarray:
    """Return the voxels of a gzipped NRRD file of int16 as (slice, row, column)."""
    head, _, data = path.read_bytes().partition(b"\n\n")
    found = re.search(rb"sizes: (\d+) (\d+) (\d+)", head)
    assert found is not None
    assert b"encoding: gzip" in head
    columns, rows, slices = (int(size) for size in found.groups())
    return np.frombuffer(gzip.decompress(data), "<i2").reshape(slices, rows, columns)


def grid_of(*paths: Path) -> Series:
    """Return a series by its headers alone, also where its values are no HU."""
    headers = [read_header(path) for path in paths]
    order = np.argsort([float(header.ImagePositionPatient[2]) for header in headers])
    headers = [headers[index] for index in order]
    first, last = (np.array(headers[at].ImagePositionPatient, float) for at in (0, -1))
    along_row, along_column = np.array(headers[0].ImageOrientationPatient, float).reshape(2, 3)
    affine = np.eye(4)
    affine[:3, 0] = (last - first) / (len(paths) - 1)
    affine[:3, 1] = along_column * float(headers[0].PixelSpacing[0])
    affine[:3, 2] = along_row * float(headers[0].PixelSpacing[1])
    affine[:3, 3] = first
    shape = (len(paths), headers[0].Rows, headers[0].Columns)
    return Series(
        case_id="ct-0",
        modality="CT",
        image=Image(pixels=np.zeros(shape, np.float32), affine=affine),
        series_instance_uid=headers[0].SeriesInstanceUID,
        study_instance_uid=headers[0].StudyInstanceUID,
        instance_paths=tuple(paths[index] for index in order),
        frame_of_reference_uid=headers[0].FrameOfReferenceUID,
    )


@pytest.mark.data
@pytest.mark.parametrize(
    ("name", "segments"),
    [
        ("liver", {"Liver": ("liver_seg", 1)}),
        (
            "partial_overlaps",
            {
                "GREEN": ("partial_overlaps-1", 1),
                "ORANGE": ("partial_overlaps-2", 2),
                "PURPLE": ("partial_overlaps-3", 3),
                "LIGHT_BLUE": ("partial_overlaps-1", 4),
                "DARK_BLUE": ("partial_overlaps-1", 5),
            },
        ),
    ],
)
def test_segments_are_those_of_the_nrrd_beside_them(
    shared_data: Path, name: str, segments: dict[str, tuple[str, int]]
) -> None:
    folder = shared_data / "dicom-interop" / "seg"
    masks = read_masks(folder / f"{name}.dcm", read_series(folder / "ct-3slice"), labels=["*"])
    assert {each.structure.name for each in masks} == set(segments)
    for each in masks:
        file, value = segments[each.structure.name]
        assert np.array_equal(each.mask, read_nrrd(folder / f"{file}.nrrd") == value)


@pytest.mark.data
@pytest.mark.parametrize(
    ("name", "nrrd"),
    [
        ("24x38x3/seg/label.seg", "24x38x3/nrrd/label.nrrd"),
        ("sparse-labelmap-noppv.dcm", "sparse_labelmap_noppv_seg.nrrd"),
        ("sparse-labelmap-ppv5.dcm", "sparse_labelmap_ppv5_seg.nrrd"),
    ],
)
def test_small_segments_are_those_of_the_nrrd(shared_data: Path, name: str, nrrd: str) -> None:
    folder = shared_data / "dicom-interop" / "seg"
    grid = grid_of(*sorted((folder / "24x38x3" / "image").glob("*.dcm")))
    (read,) = read_masks(folder / name, grid)
    assert read.structure.name == "Liver"
    assert np.array_equal(read.mask, read_nrrd(folder / nrrd) == 1)


@pytest.mark.data
@pytest.mark.parametrize(
    ("name", "counts"),
    [
        ("seg_image_ct_binary", {1: [127, 256, 255]}),
        ("seg_image_ct_binary_fractional", {1: [127, 256, 255]}),
        ("seg_image_ct_true_fractional", {1: [127, 256, 255]}),
    ],
)
def test_segments_of_highdicom(shared_data: Path, name: str, counts: dict[int, list[int]]) -> None:
    folder = PYDICOM_SCANS / "77654033" / "CT2"
    # The first image of that series lies 20 cm away.
    grid = grid_of(*(folder / file for file in ("17136", "17166", "17196")))
    file = shared_data / "dicom-interop" / "highdicom" / f"{name}.dcm"
    for each in read_masks(file, grid, labels=["*"]):
        assert each.mask.sum(axis=(1, 2)).tolist() == counts[each.structure.number]


@pytest.mark.data
def test_overlapping_segments_of_highdicom_are_what_highdicom_reads(shared_data: Path) -> None:
    from highdicom.seg import segread

    file = shared_data / "dicom-interop" / "highdicom" / "seg_image_ct_binary_overlap.dcm"
    folder = PYDICOM_SCANS / "77654033" / "CT2"
    paths = [folder / name for name in ("17136", "17166", "17196")]
    grid = grid_of(*paths)
    uids = [read_header(path).SOPInstanceUID for path in grid.instance_paths]
    expected = segread(file).get_pixels_by_source_instance(
        uids, ignore_spatial_locations=False, assert_missing_frames_are_empty=True
    )
    for at, each in enumerate(read_masks(file, grid, labels=["*"])):
        assert np.array_equal(each.mask, expected[..., at] > 0)


@pytest.mark.data
def test_one_frame_of_highdicom_on_its_slice(shared_data: Path) -> None:
    folder = shared_data / "dicom-interop" / "highdicom"
    series = read_series(folder / "ct_image.dcm")
    (read,) = read_masks(folder / "seg_image_ct_binary_single_frame.dcm", series)
    assert np.count_nonzero(read.mask) == 1832


@pytest.mark.data
def test_a_segment_without_a_position_lies_on_the_image_that_it_names(shared_data: Path) -> None:
    image = PYDICOM_SCANS / "77654033" / "CR1" / "6154"
    header = read_header(image)
    series = Series(
        case_id="cr-0",
        modality="CR",
        image=Image(pixels=np.zeros((1, header.Rows, header.Columns), np.float32)),
        series_instance_uid=header.SeriesInstanceUID,
        study_instance_uid=header.StudyInstanceUID,
        instance_paths=(image,),
    )
    file = shared_data / "dicom-interop" / "highdicom" / "seg_image_cr_binary.dcm"
    (read,) = read_masks(file, series)
    assert np.count_nonzero(read.mask) == 151
    assert read.volume_mm3(series.image) is None


@pytest.mark.data
def test_whole_slide_segments_are_listed_and_not_read(shared_data: Path) -> None:
    folder = shared_data / "dicom-interop" / "highdicom"
    series = read_series(folder / "ct_image.dcm")
    files = sorted(folder.glob("seg_image_sm_*.dcm"))
    assert len(files) == 6
    for path in files:
        assert len(describe_mask_file(path).structures) in (20, 50)
        with pytest.raises(MaskError) as caught:
            MaskReader(path, series)
        assert caught.value.fault == MaskFault.WHOLE_SLIDE


@pytest.mark.data
def test_what_else_lies_beside_them_is_no_mask(shared_data: Path) -> None:
    folder = shared_data / "dicom-interop" / "highdicom"
    others = [path for path in folder.glob("*.dcm") if not path.name.startswith("seg_")]
    assert len(others) > 10
    for path in others:
        with pytest.raises(MaskError) as caught:
            describe_mask_file(path)
        assert caught.value.fault == MaskFault.NOT_A_MASK


@pytest.mark.data
def test_a_square_with_a_hole_of_a_real_file(shared_data: Path) -> None:
    """Its corners are whole millimetres; pixels of 0.488281 mm from -125 mm: counted by hand."""
    folder = shared_data / "dicom-interop" / "rtstruct-2slice"
    series = read_series([folder / "ct_1.dcm", folder / "ct_2.dcm"])
    reader = MaskReader(folder / "rt.dcm", series)
    assert any("frame of reference" in note for note in reader.notes)
    mask = reader.read(reader.file.structures[0]).mask
    # Centres from -51 to -27 mm: 152 to 200. The hole is an octagon from -47 to -32 mm, of which
    # one corner, a triangle of less than 2 x 2 mm, is cut off at each end of one diagonal.
    assert mask[0, 152:201, 152:201].sum() == mask.sum()
    hole = 49 * 49 - mask.sum()
    assert hole == pytest.approx((15 * 15 - 2 * 0.5) / 0.488281**2, rel=0.02)
    assert not mask[1].any()


@pytest.mark.data
def test_broken_references_of_a_real_file(shared_data: Path) -> None:
    """Both name an image that is not here; one names no series at all."""
    folder = shared_data / "dicom-interop" / "rtstruct-2slice"
    series = read_series([folder / "ct_1.dcm", folder / "ct_2.dcm"])
    masks = []
    for name in ("invalid_reference_rt", "non_existent_reference_rt"):
        reader = MaskReader(folder / f"{name}.dcm", series)
        assert any("It names 1 image that" in note for note in reader.notes)
        assert any("names no series" in n for n in reader.notes) is name.startswith("non")
        for structure in reader.file.structures:
            read = reader.read(structure)
            assert read.notes == (
                "1 of 3 contours lie beyond the slices of the image and were left out.",
            )
            masks.append(read.mask)
    for one, other in zip(masks[:4], masks[4:], strict=True):
        assert np.array_equal(one, other)


@pytest.mark.data
def test_a_structure_set_of_which_one_slice_is_here(shared_data: Path) -> None:
    folder = shared_data / "dicom-interop" / "breast-rtstruct"
    reader = MaskReader(folder / "rtss.dcm", read_series(folder / "ct.0.dcm"))
    assert len(reader.file.structures) == 10
    body, areola, *others = reader.file.structures
    read = reader.read(body)
    assert read.notes == (
        "137 of 141 contours lie beyond the slices of the image and were left out.",
    )
    assert np.count_nonzero(read.mask) > 30_000
    for structure, fault in [
        (areola, MaskFault.EMPTY_STRUCTURE),
        *((other, MaskFault.OUTSIDE) for other in others),
    ]:
        with pytest.raises(MaskError) as caught:
            reader.read(structure)
        assert caught.value.fault == fault


@pytest.mark.parametrize("kind", ["SEG", "RTSTRUCT"])
def test_a_damaged_file_never_gives_another_mask_by_being_cut_short(
    series: Series, tmp_path: Path, kind: str
) -> None:
    mask = np.random.default_rng(0).random(series.image.pixels.shape) > 0.7
    rois = {"a": [square(1, 2, 5), square(2, 2, 5)], "b": [square(3, 2, 5)]}
    path = tmp_path / "whole.dcm"
    if kind == "SEG":
        write_seg(path, series, {"a": mask})
    else:
        write_rtstruct(path, series, rois)
    whole, data = read_masks(path, series, labels=["*"]), path.read_bytes()
    cut = tmp_path / "cut.dcm"
    refused = 0
    for length in range(140, len(data) - 1, len(data) // 40):
        cut.write_bytes(data[:length])
        try:
            again = read_masks(cut, series, labels=["*"])
        except (MaskError, ScanError):
            refused += 1
            continue
        # What comes last in an RTSTRUCT are remarks on its ROIs.
        assert len(again) == len(whole)
        assert all(np.array_equal(a.mask, b.mask) for a, b in zip(again, whole, strict=True))
    assert refused >= 35


@pytest.mark.parametrize("kind", ["SEG", "RTSTRUCT"])
def test_flipped_bits_are_refused_with_a_code_or_read(
    series: Series, tmp_path: Path, kind: str
) -> None:
    path = tmp_path / "whole.dcm"
    if kind == "SEG":
        write_seg(path, series, {"a": np.ones(series.image.pixels.shape, bool)})
    else:
        write_rtstruct(path, series, {"a": [square(1, 2, 5)]})
    random, data = np.random.default_rng(2), path.read_bytes()
    flipped = tmp_path / "flipped.dcm"
    codes = set()
    for _ in range(60):
        damaged = bytearray(data)
        for place in random.integers(132, len(data), 3):
            damaged[place] ^= 1 << int(random.integers(8))
        flipped.write_bytes(bytes(damaged))
        try:
            read_masks(flipped, series, labels=["*"])
        except (MaskError, ScanError) as error:
            codes.add(str(error.fault))
    assert len(codes) >= 2
