import numpy as np
import pytest
from scipy import ndimage

from breastseg.core.errors import InputError, OutputError
from breastseg.datasets.cases import read_case
from breastseg.datasets.layouts import find_data_set
from breastseg.datasets.phantom_ultrasound import make_phantom, write_phantoms
from breastseg.workflows.phantom import make_ultrasound_phantoms


@pytest.fixture(scope="module")
def phantoms():
    return [make_phantom(0, index) for index in range(36)]


def test_a_phantom_is_decided_by_seed_and_index(phantoms):
    again = make_phantom(0, 5)
    np.testing.assert_array_equal(again.pixels, phantoms[5].pixels)
    assert not np.array_equal(make_phantom(1, 5).pixels[:100, :100], again.pixels[:100, :100])


def test_pictures_are_eight_bit_and_vary_in_size_and_gain(phantoms):
    assert all(phantom.pixels.dtype == np.uint8 for phantom in phantoms)
    assert all(phantom.pixels.shape <= (192, 256) for phantom in phantoms)
    assert len({phantom.pixels.shape for phantom in phantoms}) > 20
    assert np.std([phantom.pixels.mean() for phantom in phantoms]) > 5


def test_classes_come_in_fixed_shares(phantoms):
    labels = [phantom.label for phantom in phantoms]
    assert [labels.count(label) for label in ("benign", "malignant", "normal")] == [18, 12, 6]


def test_lesions_have_masks_of_the_picture_that_do_not_overlap(phantoms):
    for phantom in phantoms:
        assert bool(phantom.lesion_masks) == (phantom.label != "normal")
        assert all(mask.shape == phantom.pixels.shape for mask in phantom.lesion_masks)
        assert all(0.003 < mask.mean() < 0.2 for mask in phantom.lesion_masks)
        assert np.sum(phantom.lesion_masks or [[0]], axis=0).max() <= 1
    assert {len(phantom.lesion_masks) for phantom in phantoms} == {0, 1, 2}


def test_lesions_are_darker_than_what_lies_around_them(phantoms):
    for phantom in phantoms:
        for mask in phantom.lesion_masks:
            around = ndimage.binary_dilation(mask, iterations=8)
            around &= ~np.any(phantom.lesion_masks, axis=0)
            assert phantom.pixels[mask].mean() < phantom.pixels[around].mean()


def test_no_threshold_finds_the_lesions(phantoms):
    def dice(phantom, threshold):
        reference = np.any(phantom.lesion_masks, axis=0)
        found = phantom.pixels < threshold
        return 2 * np.sum(found & reference) / (found.sum() + reference.sum())

    with_lesion = [phantom for phantom in phantoms if phantom.lesion_masks]
    best = max(
        np.mean([dice(phantom, threshold) for phantom in with_lesion])
        for threshold in range(5, 200, 5)
    )
    assert best < 0.35


def test_speckle_is_finer_in_depth_than_across(phantoms):
    """As of any scanner: the pulse is shorter than the beam is wide (Wagner et al. 1983)."""
    grey = np.log1p(phantoms[3].pixels[40:90].astype(float))
    axial, lateral = (np.diff(grey, axis=axis).std() for axis in (0, 1))
    assert lateral < 0.8 * axial


def test_the_set_is_read_as_busi_with_one_lesion_per_mask_file(phantom_data):
    data_set = find_data_set(phantom_data)
    assert data_set.layout == "BUSI"
    assert data_set.notes == ()
    assert len(data_set.cases) == 24
    for files in data_set.cases:
        assert (read_case(files).reference.max() == 0) == (files.label == "normal")
    assert any(len(files.mask_paths) == 2 for files in data_set.cases)


def test_more_cases_leave_the_first_ones_as_they_are(tmp_path):
    for num_cases in (2, 3):
        write_phantoms(tmp_path / str(num_cases), num_cases=num_cases, seed=7, size=(48, 64))
    files = sorted(path for path in (tmp_path / "2").rglob("*.png"))
    assert len(files) == 4
    for path in files:
        assert path.read_bytes() == (tmp_path / "3" / path.relative_to(tmp_path / "2")).read_bytes()


def test_a_folder_that_holds_something_is_refused(tmp_path):
    (tmp_path / "mine.txt").write_text("keep")
    with pytest.raises(OutputError, match=r"expected a new or empty folder .*another --output"):
        make_ultrasound_phantoms(tmp_path, num_cases=1)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


@pytest.mark.parametrize("wrong", [{"num_cases": 0}, {"seed": -1}])
def test_numbers_out_of_range_are_refused(tmp_path, wrong):
    with pytest.raises(InputError, match=r"must be \d or more, got"):
        make_ultrasound_phantoms(tmp_path / "new", **wrong)
    assert not (tmp_path / "new").exists()
