import numpy as np
import pytest

from breastseg.pipeline.neighbours import with_neighbours


@pytest.mark.parametrize("reach", [0, 1, 2, 5])
@pytest.mark.parametrize("num_slices", [1, 2, 6])
def test_channels_are_the_slices_around_and_the_ends_are_repeated(num_slices, reach):
    volume = np.random.default_rng(0).normal(size=(num_slices, 3, 4)).astype(np.float32)
    images = with_neighbours(volume, reach=reach)
    assert images.shape == (num_slices, 2 * reach + 1, 3, 4)
    assert images.dtype == np.float32
    for place in range(num_slices):
        for channel in range(2 * reach + 1):
            nearest = min(max(place + channel - reach, 0), num_slices - 1)
            np.testing.assert_array_equal(images[place, channel], volume[nearest])


def test_the_volume_is_held_once():
    volume = np.zeros((40, 8, 8), np.int16)
    images = with_neighbours(volume, reach=3)
    assert images.size == 7 * volume.size
    assert images.strides[0] == images.strides[1] == 8 * 8 * 2
    with pytest.raises(ValueError, match="read-only"):
        images[0] = 1
