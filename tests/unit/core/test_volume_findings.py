import numpy as np
import pytest
from scipy import ndimage

from breastseg.core.errors import InputError
from breastseg.core.volume_findings import find_candidates, label_candidates


def _random(seed: int) -> np.ndarray:
    noise = np.random.default_rng(seed).standard_normal((21, 18, 17))
    smooth = ndimage.gaussian_filter(noise, 1.2)
    return (1 / (1 + np.exp(-12 * smooth))).astype(np.float32)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("cuts", [(), (1,), (7, 8, 16), tuple(range(1, 21))])
def test_slabs_give_what_the_whole_gives(seed: int, cuts: tuple[int, ...]) -> None:
    volume = _random(seed)
    slabs = np.split(volume, cuts)
    found = find_candidates(slabs, threshold=0.8)
    components, count = ndimage.label(volume >= 0.5, structure=np.ones((3, 3, 3)))
    peaks = ndimage.maximum(volume, components, range(1, count + 1))
    shown = {number for number, peak in enumerate(peaks, start=1) if peak >= 0.8}
    expected = {tuple(np.flatnonzero(components == number)) for number in shown}
    assert {tuple(each.voxels) for each in found} == expected
    assert [each.probability for each in found] == sorted(peaks[peaks >= 0.8], reverse=True)


def test_voxels_that_touch_at_a_corner_across_slabs_are_one() -> None:
    volume = np.zeros((2, 3, 3), np.float32)
    volume[0, 0, 0] = volume[1, 1, 1] = 0.9
    (one,) = find_candidates([volume[:1], volume[1:]], threshold=0.5)
    assert one.voxels.tolist() == [0, 13]
    volume[1, 1, 1], volume[1, 2, 2] = 0, 0.9
    assert len(find_candidates([volume[:1], volume[1:]], threshold=0.5)) == 2


def test_a_low_threshold_outlines_more_and_a_high_one_drops_whole_lesions() -> None:
    volume = np.zeros((3, 3, 9), np.float32)
    volume[1, 1, 1:4] = 0.4, 0.9, 0.4
    volume[1, 1, 6] = 0.6
    assert [len(each.voxels) for each in find_candidates([volume], threshold=0.5)] == [1, 1]
    assert [len(each.voxels) for each in find_candidates([volume], threshold=0.3)] == [3, 1]
    assert [len(each.voxels) for each in find_candidates([volume], threshold=0.7)] == [1]


def test_labels_are_numbered_by_probability_and_small_ones_left_out() -> None:
    volume = np.zeros((4, 4, 12), np.float32)
    volume[:2, :2, :2] = 0.7
    volume[:2, :2, 5:7] = 0.8
    volume[3, 3, 11] = 0.99
    labels, found = label_candidates(volume, threshold=0.5, voxel_mm3=4.0, smallest_mm3=30.0)
    assert [round(each.probability, 2) for each in found] == [0.8, 0.7]
    assert labels[0, 0, 5] == 1
    assert labels[0, 0, 0] == 2
    assert labels[3, 3, 11] == 0


def test_nothing_is_found_in_nothing() -> None:
    assert find_candidates([], threshold=0.5) == ()
    assert find_candidates([np.zeros((2, 3, 3), np.float32)], threshold=0.5) == ()
    with pytest.raises(InputError, match="threshold must be"):
        find_candidates([], threshold=0.0)
