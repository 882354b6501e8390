import numpy as np
import pytest

from breastseg.core.image import Image
from breastseg.core.orientation import slices_in_words
from breastseg.datasets.inspection.volume_geometry import describe_geometry, describe_series
from breastseg.io.dicom_series import read_series
from tests.dicom_phantom import change, put, strip, write_series


def described(values, **options):
    pixels = np.array(values, np.float32).reshape(-1, 1, 2)
    return describe_geometry(Image(pixels=pixels), **options)


def test_every_voxel_is_counted_once_also_beyond_the_ends():
    histogram = described([-3024, -1024, -1000, -992, 0, 31, 32, 5000])["histogram"]
    assert (histogram["start"], histogram["width"]) == (-1024, 32)
    counts = np.array(histogram["counts"])
    assert {int(at): int(counts[at]) for at in np.flatnonzero(counts)} == {
        0: 3,
        1: 1,
        32: 2,
        33: 1,
        127: 1,
    }


def test_shares_of_tissues_include_the_ends_of_their_ranges():
    shares = described([-1000, -200, -199, -150, -50, 0, 100, 101, 300, 2000])["tissues"]
    assert shares == {"air and lung": 0.2, "fat": 0.2, "soft tissue": 0.2, "bone": 0.2}


@pytest.mark.parametrize("values", [[0, 0.25, 0.5, 1], [7, 7, 7, 7]])
def test_values_of_an_unknown_unit_are_counted_between_their_ends(values):
    geometry = described(values, in_hu=False)
    assert geometry["tissues"] is None
    histogram = geometry["histogram"]
    assert sum(histogram["counts"]) == 4
    assert histogram["start"] == values[0]
    assert histogram["counts"][-1] == (1 if values[-1] > values[0] else 0)


@pytest.mark.parametrize(
    ("along_slices", "along_rows", "along_columns", "words"),
    [
        ((0, 0, -1), (0, 1, 0), (-1, 0, 0), "axial slices from head to feet; anterior is up and"),
        ((0, 0, 1), (0, -1, 0), (-1, 0, 0), "axial slices from feet to head; posterior is up and"),
        ((0, 1, 0), (0, 0, -1), (-1, 0, 0), "coronal slices from anterior to posterior; head is"),
    ],
)
def test_words_say_where_an_array_lies_in_the_patient(
    along_slices, along_rows, along_columns, words
):
    affine = np.eye(4)
    affine[:3, :3] = np.transpose([along_slices, along_rows, along_columns])
    told = slices_in_words(affine, 9)
    assert told.startswith(words)
    assert told.endswith("left at the left")
    assert slices_in_words(affine, 1).startswith(words.split()[0] + " slice; ")


def test_what_the_files_claim_is_passed_on_and_moves_nothing(tmp_path):
    truth = write_series(tmp_path / "s")
    plain = describe_series(read_series(truth.folder))
    assert (plain["slice_thickness_mm"], plain["patient_position"]) == (2.5, None)
    for at in range(len(truth.paths)):
        put("PatientPosition", "FFP")(truth, at)
        put("SliceThickness", "5")(truth, at)
    claimed = describe_series(read_series(truth.folder))
    assert (claimed["slice_thickness_mm"], claimed["patient_position"]) == (5.0, "FFP")
    for same in ("spacing_mm", "slices", "directions"):
        assert claimed[same] == plain[same]
    strip("SliceThickness")(truth, 3)
    assert describe_series(read_series(truth.folder))["slice_thickness_mm"] is None


def test_padding_is_a_share_of_the_voxels_in_the_files(tmp_path):
    truth = write_series(tmp_path / "s", shape=(2, 4, 5))
    stored = int(truth.pixels[0, 0, 0]) + 1024
    for path in truth.paths:
        change(path, lambda dataset: dataset.add_new("PixelPaddingValue", "US", stored))
    share = np.mean(truth.pixels == truth.pixels[0, 0, 0])
    assert describe_series(read_series(truth.folder))["padded_share"] == pytest.approx(share)
