import numpy as np
import pytest
from pydicom import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import generate_uid

from breastseg.core.scan_faults import ScanError, ScanFault
from breastseg.io.dicom_ultrasound import read_ultrasound
from breastseg.io.images import read_any_image
from tests.dicom_phantom import base_dataset, set_pixels, write_series

ULTRASOUND_IMAGE = "1.2.840.10008.5.1.4.1.1.6.1"
GREY = np.arange(60, dtype=np.uint8).reshape(6, 10)


@pytest.fixture
def write(tmp_path):
    """Write an ultrasound file of these stored values, edited as told."""

    def write_file(stored=GREY, edit=lambda dataset: None):
        uids = {name: generate_uid() for name in ("study", "series", "frame")}
        dataset = base_dataset(ULTRASOUND_IMAGE, "US", uids)
        set_pixels(dataset, stored)
        if stored.ndim == 3:
            dataset.NumberOfFrames = len(stored)
        edit(dataset)
        dataset.save_as(tmp_path / "us.dcm", enforce_file_format=True)
        return tmp_path / "us.dcm"

    return write_file


def region(row_cm=0.02, column_cm=0.01, spatial_format=1, units=3):
    dataset = Dataset()
    dataset.RegionSpatialFormat, dataset.RegionDataType = spatial_format, 1
    dataset.PhysicalUnitsXDirection = dataset.PhysicalUnitsYDirection = units
    dataset.PhysicalDeltaX, dataset.PhysicalDeltaY = column_cm, row_cm
    return dataset


def spacing_with(write, *regions):
    def edit(dataset):
        dataset.SequenceOfUltrasoundRegions = Sequence(regions)

    series = read_ultrasound(write(edit=edit))
    spacing = series.image.spacing_mm
    return (None if spacing is None else spacing[1:]), series.notes


def test_grey_is_as_it_is_and_no_spacing_is_guessed(write):
    series = read_ultrasound(write())
    assert np.array_equal(series.image.pixels, GREY[None])
    assert series.image.affine is None
    assert series.case_id.startswith("us-")
    assert "sizes are in pixels" in series.notes[0]


def test_spacing_of_agreeing_regions(write):
    assert spacing_with(write, region())[0] == pytest.approx((0.2, 0.1))
    assert spacing_with(write, region(column_cm=-0.01))[0] == pytest.approx((0.2, 0.1))
    motion = region(row_cm=0.5, spatial_format=2)
    spectrum = region(row_cm=0.5, units=4)
    assert spacing_with(write, region(), region(), motion, spectrum)[0] == pytest.approx((0.2, 0.1))


def test_ambiguous_spacing_is_none(write):
    assert spacing_with(write, region(), region(row_cm=0.03)) == (
        None,
        ("The regions of the picture have different scales: sizes are in pixels.",),
    )
    for wrong in (0.0, float("nan")):
        assert spacing_with(write, region(row_cm=wrong))[0] is None
    assert spacing_with(write, region(spatial_format=2))[0] is None


SCREEN = np.random.default_rng(2).integers(0, 255, (90, 120)).astype(np.uint8)


def area_with(write, *corners, spatial_format=1):
    """The scan area of a screen whose regions have these corners (x0, y0, x1, y1)."""
    regions = [region(spatial_format=spatial_format) for _ in corners]
    for each, (left, top, right, bottom) in zip(regions, corners, strict=True):
        each.RegionLocationMinX0, each.RegionLocationMinY0 = left, top
        each.RegionLocationMaxX1, each.RegionLocationMaxY1 = right, bottom

    def edit(dataset):
        dataset.SequenceOfUltrasoundRegions = Sequence(regions)

    series = read_ultrasound(write(SCREEN, edit))
    assert np.array_equal(series.image.pixels[0], SCREEN)
    return series.image.scan_area


def test_the_scan_is_what_the_regions_lie_in(write):
    area = area_with(write, (20, 10, 79, 69))
    assert area == (10, 70, 20, 80)
    assert SCREEN[area.slices].shape == (60, 60)
    assert "Rows 10 to 69 and columns 20 to 79" in area.in_words()
    assert area_with(write, (20, 10, 59, 49), (30, 20, 99, 69)) == (10, 70, 20, 100)
    assert area_with(write, (20, 10, 120, 95)) == (10, 90, 20, 120)


def test_a_region_that_is_everything_or_nothing_or_no_picture_is_no_scan_area(write):
    for corners in ((0, 0, 119, 89), (20, 10, 40, 30), (80, 60, 20, 10), (200, 200, 300, 300)):
        assert area_with(write, corners) is None
    assert area_with(write, (20, 10, 79, 69), spatial_format=2) is None


def test_one_impossible_region_among_others_leaves_the_whole_picture(write):
    for impossible in ((110, 85, 85, 75), (30, 40, 60, 20), (130, 10, 140, 20), (20, 95, 40, 99)):
        assert area_with(write, (20, 10, 79, 69), impossible) is None


def test_colour_becomes_luminance_as_in_a_png(write):
    colours = np.random.default_rng(1).integers(0, 256, (6, 10, 3)).astype(np.uint8)

    def edit(dataset):
        dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 3, "RGB"
        dataset.PlanarConfiguration, dataset.Rows, dataset.Columns = 0, 6, 10
        del dataset.NumberOfFrames

    pixels = read_ultrasound(write(colours, edit)).image.pixels[0]
    assert np.array_equal(
        pixels, np.rint(colours.astype(np.float32) @ np.float32([0.299, 0.587, 0.114]))
    )


def test_colour_on_grey_frames_is_known_frame_by_frame(write):
    frames = np.repeat(np.full((2, 40, 50, 1), 100, np.uint8), 3, axis=3)
    frames[1, 5:9, 7:20] = (220, 40, 20)

    def edit(dataset):
        dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 3, "RGB"
        dataset.PlanarConfiguration, dataset.Rows, dataset.Columns = 0, 40, 50
        dataset.NumberOfFrames = 2

    path = write(frames, edit)
    expected = np.zeros((2, 40, 50), bool)
    expected[1, 5:9, 7:20] = True
    np.testing.assert_array_equal(read_ultrasound(path).image.drawn, expected)
    np.testing.assert_array_equal(read_ultrasound(path, 1).image.drawn, expected[1:])
    assert read_ultrasound(path, 0).image.drawn is None
    assert read_ultrasound(write()).image.drawn is None


def test_a_palette_of_16_bits_becomes_luminance(write):
    def edit(dataset):
        dataset.PhotometricInterpretation = "PALETTE COLOR"
        for colour, level in (("Red", 255), ("Green", 0), ("Blue", 100)):
            setattr(dataset, f"{colour}PaletteColorLookupTableDescriptor", [256, 0, 16])
            table = np.full(256, level << 8, np.uint16)
            setattr(dataset, f"{colour}PaletteColorLookupTableData", table.tobytes())

    pixels = read_ultrasound(write(edit=edit)).image.pixels
    assert np.unique(pixels).tolist() == [np.rint(0.299 * 255 + 0.114 * 100)]


def test_inverted_grey_is_turned(write):
    path = write(edit=lambda dataset: setattr(dataset, "PhotometricInterpretation", "MONOCHROME1"))
    assert np.array_equal(read_ultrasound(path).image.pixels[0], 255 - GREY.astype(np.float32))


def test_frames_of_a_loop(write):
    frames = np.stack([GREY, GREY + 50, GREY + 100])
    path = write(frames)
    assert np.array_equal(read_ultrasound(path).image.pixels, frames)
    assert np.array_equal(read_ultrasound(path, 2).image.pixels, frames[2:])
    image, _ = read_any_image(path, 1)
    assert np.array_equal(image.pixels, frames[1:2])


def test_burnt_in_text_is_noted(write):
    path = write(edit=lambda dataset: setattr(dataset, "BurnedInAnnotation", "YES"))
    assert "burnt into the picture" in read_ultrasound(path).notes[-1]


def test_what_is_refused(write, tmp_path):
    truth = write_series(tmp_path / "ct")
    cases = [(truth.paths[0], ScanFault.MODALITY)]
    path = write(edit=lambda dataset: setattr(dataset, "PhotometricInterpretation", "HSV"))
    cases.append((path, ScanFault.PHOTOMETRY))
    for path, fault in cases:
        with pytest.raises(ScanError) as caught:
            read_ultrasound(path)
        assert caught.value.fault is fault


@pytest.mark.parametrize(
    ("keyword", "value"),
    [("BitsStored", None), ("SequenceOfUltrasoundRegions", None), ("NumberOfFrames", "0")],
)
def test_malformed_attributes_are_refused_or_passed_over(write, keyword, value):
    path = write(edit=lambda dataset: setattr(dataset, keyword, value))
    if keyword == "BitsStored":
        with pytest.raises(ScanError):
            read_ultrasound(path)
    else:
        assert np.array_equal(read_ultrasound(path).image.pixels[0], GREY)


def test_cut_pixels_are_refused(write):
    path = write()
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(ScanError) as caught:
        read_ultrasound(path)
    assert caught.value.fault is ScanFault.TRUNCATED_PIXELS
