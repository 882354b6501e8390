import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from breastseg.core.recipe import Augmentation
from breastseg.pipeline.augment import augment

SIZE = 48


@pytest.fixture
def image():
    return np.random.default_rng(0).normal(size=(SIZE, SIZE)).astype(np.float32)


@pytest.fixture
def mask():
    """Return a lesion left of and above the centre, so that no flip leaves it where it is."""
    mask = np.zeros((SIZE, SIZE), np.float32)
    mask[8:20, 6:22] = 1
    return mask


def stream(seed=0):
    return np.random.default_rng(seed)


def centre(mask):
    return np.argwhere(mask > 0).mean(axis=0)


EVERYTHING = Augmentation(
    flip=0.5,
    rotation_degrees=20,
    scale=0.3,
    shift=0.1,
    brightness=0.3,
    contrast=0.3,
    gamma=0.3,
    noise=0.2,
)


def test_with_everything_off_nothing_changes(image, mask):
    changed, moved = augment(image, mask, Augmentation(), stream())
    np.testing.assert_array_equal(changed, image)
    np.testing.assert_array_equal(moved, mask)


def test_a_flip_mirrors_image_and_mask_exactly(image, mask):
    changed, moved = augment(image, mask, Augmentation(flip=1), stream())
    np.testing.assert_array_equal(changed, np.fliplr(image))
    np.testing.assert_array_equal(moved, np.fliplr(mask))


def test_a_flip_comes_as_often_as_it_is_asked_for(image, mask):
    flips = [
        not np.array_equal(augment(image, mask, Augmentation(flip=0.25), stream(seed))[1], mask)
        for seed in range(400)
    ]
    assert np.mean(flips) == pytest.approx(0.25, abs=0.07)


@given(st.integers(0, 2**32 - 1))
@settings(deadline=None, max_examples=100)
def test_the_mask_moves_as_its_image_does(seed):
    """A lesion drawn into the image is where its mask says, whatever the movement."""
    mask = np.zeros((SIZE, SIZE), np.float32)
    mask[14:30, 16:28] = 1
    movement = Augmentation(flip=0.5, rotation_degrees=30, scale=0.3, shift=0.1)
    image, moved = augment(mask.copy(), mask, movement, stream(seed))
    assert set(np.unique(moved)) <= {0.0, 1.0}
    found = image >= 0.5
    overlap = np.count_nonzero(found & (moved > 0))
    assert 2 * overlap / (found.sum() + moved.sum()) > 0.95


def test_a_shift_stays_within_its_limit_and_reaches_towards_it(image, mask):
    away = np.array(
        [
            centre(augment(image, mask, Augmentation(shift=0.1), stream(seed))[1]) - centre(mask)
            for seed in range(200)
        ]
    )
    assert 0.08 * SIZE < np.abs(away).max() <= 0.1 * SIZE + 0.5
    assert away.min() < 0 < away.max()


def test_a_rotation_stays_within_its_limit(image, mask):
    middle = (SIZE - 1) / 2
    angles = []
    for seed in range(200):
        moved = augment(image, mask, Augmentation(rotation_degrees=20), stream(seed))[1]
        before, after = (complex(*(centre(each) - middle)) for each in (mask, moved))
        assert abs(after) == pytest.approx(abs(before), rel=0.05)
        angles.append(np.degrees(np.angle(after / before)))
    assert 17 < np.abs(angles).max() <= 20.5
    assert min(angles) < 0 < max(angles)


def test_a_scale_enlarges_as_often_as_it_shrinks(image, mask):
    sizes = np.array(
        [
            np.sqrt(augment(image, mask, Augmentation(scale=0.3), stream(seed))[1].sum())
            for seed in range(200)
        ]
    ) / np.sqrt(mask.sum())
    assert sizes.max() == pytest.approx(1.3, abs=0.06)
    assert sizes.min() == pytest.approx(1 / 1.3, abs=0.06)
    assert np.mean(sizes > 1) == pytest.approx(0.5, abs=0.15)


@pytest.mark.parametrize("name", ["brightness", "contrast", "gamma", "noise"])
def test_a_change_of_grey_values_leaves_mask_and_padding_alone(name, image, mask):
    image[:, :8] = 0
    changed, moved = augment(image, mask, Augmentation(**{name: 0.5}), stream())
    np.testing.assert_array_equal(moved, mask)
    assert not changed[:, :8].any()
    assert np.abs(changed - image)[:, 8:].mean() > 0.01


def test_brightness_adds_and_contrast_multiplies_within_their_limits(image, mask):
    offsets, gains = [], []
    for seed in range(100):
        brighter, _ = augment(image, mask, Augmentation(brightness=0.3), stream(seed))
        offsets.append(np.median(brighter - image))
        np.testing.assert_allclose(brighter - image, offsets[-1], atol=1e-5)
        steeper, _ = augment(image, mask, Augmentation(contrast=0.5), stream(seed))
        gains.append(np.median(steeper / image))
        np.testing.assert_allclose(steeper, gains[-1] * image, atol=1e-5)
    assert 0.25 < np.abs(offsets).max() <= 0.3
    assert 1 / 1.5 <= min(gains) < 1 < max(gains) <= 1.5


def test_gamma_keeps_the_range_and_the_order_of_grey_values(image, mask):
    changed, _ = augment(image, mask, Augmentation(gamma=0.5), stream(1))
    assert changed.min() == pytest.approx(image.min(), abs=1e-4)
    assert changed.max() == pytest.approx(image.max(), abs=1e-4)
    order = np.argsort(image, axis=None)
    assert (np.diff(changed.ravel()[order]) >= -1e-5).all()


def test_the_same_stream_gives_the_same_change_and_another_does_not(image, mask):
    first, second, other = (augment(image, mask, EVERYTHING, stream(seed)) for seed in (3, 3, 4))
    np.testing.assert_array_equal(first[0], second[0])
    np.testing.assert_array_equal(first[1], second[1])
    assert not np.array_equal(first[0], other[0])


def test_what_is_given_is_not_changed_in_place(image, mask):
    before, drawn = image.copy(), mask.copy()
    augment(image, mask, EVERYTHING, stream())
    np.testing.assert_array_equal(image, before)
    np.testing.assert_array_equal(mask, drawn)


def test_a_constant_image_stays_finite(mask):
    changed, _ = augment(np.zeros((SIZE, SIZE), np.float32), mask, EVERYTHING, stream())
    assert np.isfinite(changed).all()
