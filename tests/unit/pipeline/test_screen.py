"""What the screen of a machine adds to a training picture."""

import cv2
import numpy as np
import pytest

from breastseg.core.recipe import Augmentation
from breastseg.pipeline import screen
from breastseg.pipeline.augment import augment

SIZE = 64


@pytest.fixture
def image():
    noise = np.random.default_rng(3).standard_normal((SIZE, SIZE)).astype(np.float32)
    return (noise - noise.mean()) / noise.std()


@pytest.fixture
def mask():
    rows, columns = np.mgrid[:SIZE, :SIZE]
    return ((rows - 24) ** 2 + (columns - 36) ** 2 < 10**2).astype(np.float32)


def stream(seed=0):
    return np.random.default_rng(seed)


def test_marks_are_few_bright_pixels_and_leave_the_target(image, mask):
    for seed in range(50):
        changed, moved = augment(image, mask, Augmentation(marks=1), stream(seed))
        np.testing.assert_array_equal(moved, mask)
        drawn = changed != image
        assert drawn.mean() < 0.4
        assert changed.max() <= image.max() + 0.2 * np.ptp(image) + 1e-4


def test_calipers_measure_a_lesion_more_often_than_chance(image):
    """In a picture whose lesion is one pixel, marks hit it far more often than any other."""
    mask = np.zeros((SIZE, SIZE), np.float32)
    mask[20, 30] = 1
    drawn = [
        augment(image, mask, Augmentation(marks=1), stream(seed))[0] != image for seed in range(200)
    ]
    often = np.mean(drawn, axis=0)
    assert often[20, 30] > 2 * np.median(often)
    assert often[20, 30] > 0.3


def test_doppler_stays_in_its_box_and_leaves_range_and_target(image, mask, monkeypatch):
    corners = np.array([(10, 12), (40, 12), (40, 50), (10, 50)], np.int32)
    monkeypatch.setattr(screen, "_box", lambda size, stream: corners)
    shares = []
    for seed in range(100):
        changed, moved = augment(image, mask, Augmentation(doppler=1), stream(seed))
        np.testing.assert_array_equal(moved, mask)
        assert changed.min() >= image.min() - 1e-4
        assert changed.max() <= image.max() + 1e-4
        drawn = changed != image
        shares.append(drawn[12:51, 10:41].mean())
        drawn[12:51, 10:41] = False
        assert not drawn.any()
    assert np.median(shares) > 0.1


def test_boxes_of_doppler_differ_and_are_part_of_the_picture(image, mask):
    shares = []
    for seed in range(100):
        changed, _ = augment(image, mask, Augmentation(doppler=1), stream(seed))
        shares.append(np.mean(changed != image))
    assert max(shares) < 0.6
    assert np.median(shares) > 0.02


def test_doppler_leaves_the_padding_around_a_picture_empty(image, mask):
    image[:20], image[-20:] = 0, 0
    for seed in range(50):
        changed, _ = augment(image, mask, Augmentation(doppler=1), stream(seed))
        assert not changed[:20].any()
        assert not changed[-20:].any()


def test_a_picture_on_a_screen_is_smaller_and_whole(mask):
    image = 5 - 2 * mask + np.random.default_rng(1).normal(0, 0.05, mask.shape).astype(np.float32)
    for seed in range(100):
        changed, moved = augment(image, mask, Augmentation(screen=1), stream(seed))
        assert changed.mean() == pytest.approx(0, abs=1e-4)
        assert changed.std() == pytest.approx(1, abs=1e-4)
        share = moved.sum() / mask.sum()
        assert 0.5**2 * 0.8 < share < 0.96**2


def test_the_target_lies_on_the_lesion_that_the_screen_shows():
    """A lesion alone brighter than all text; its centre is that of the target."""
    rows, columns = np.mgrid[:256, :256]
    mask = ((rows - 100) ** 2 + (columns - 140) ** 2 < 30**2).astype(np.float32)
    image = np.where(mask, 40, stream().uniform(-1, 1, mask.shape)).astype(np.float32)
    apart = []
    for seed in range(40):
        changed, moved = augment(image, mask, Augmentation(screen=1), stream(seed))
        shown = changed > (changed.min() + changed.max()) / 2
        near = cv2.dilate(moved, np.ones((9, 9))) > 0
        centres = [np.argwhere(each).mean(axis=0) for each in (shown & near, moved > 0)]
        apart.append(centres[1] - centres[0])
    assert np.abs(np.median(apart, axis=0)).max() < 0.1
    assert np.abs(apart).max() < 0.5


def test_padding_around_a_picture_becomes_the_dark_of_the_screen(image, mask):
    image[:, :12] = 0
    changed, _ = augment(image, mask, Augmentation(screen=1), stream(2))
    values, counts = np.unique(changed, return_counts=True)
    assert counts[0] > 0.1 * changed.size
    assert values[0] == changed.min()
    assert not (changed == 0).any()


def test_an_empty_picture_stays_on_no_screen(mask):
    empty = np.zeros((SIZE, SIZE), np.float32)
    changed, moved = augment(empty, mask, Augmentation(screen=1), stream())
    np.testing.assert_array_equal(changed, empty)
    np.testing.assert_array_equal(moved, mask)
