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
    elastic=0.05,
    blur=1.0,
    speckle=0.4,
    shadow=0.8,
    cutout=0.3,
    aspect=0.3,
    tone=0.4,
    depth_gain=0.4,
    margin=0.5,
    marks=0.5,
    doppler=0.5,
    screen=0.5,
    lesion_free=0.3,
    inpaint=0.5,
    inpaint_beside=0.5,
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
    movement = Augmentation(flip=0.5, rotation_degrees=30, scale=0.3, shift=0.1, aspect=0.3)
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


@pytest.mark.parametrize(
    "name", ["brightness", "contrast", "gamma", "noise", "speckle", "tone", "depth_gain"]
)
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


def test_an_elastic_change_bends_image_and_mask_alike():
    """A lesion drawn into the image is where its mask says, and it is no longer a rectangle."""
    mask = np.zeros((SIZE, SIZE), np.float32)
    mask[14:34, 14:34] = 1
    sizes = []
    for seed in range(30):
        image, moved = augment(mask.copy(), mask, Augmentation(elastic=0.08), stream(seed))
        found = image >= 0.5
        overlap = np.count_nonzero(found & (moved > 0))
        assert 2 * overlap / (found.sum() + moved.sum()) > 0.95
        sizes.append(moved.sum())
    assert np.ptp(sizes) > 0.1 * mask.sum()


def test_a_blur_takes_detail_away_and_keeps_the_mean(image, mask):
    changed = [augment(image, mask, Augmentation(blur=2), stream(seed))[0] for seed in range(20)]
    assert min(each.std() for each in changed) < 0.5 * image.std()
    assert all(each.std() <= image.std() for each in changed)
    assert all(abs(each.mean() - image.mean()) < 0.1 for each in changed)


def test_speckle_is_stronger_where_the_image_is_bright(mask):
    image = np.full((SIZE, SIZE), -1.0, np.float32)
    image[:, SIZE // 2 :] = 1.0
    image[0, 0] = -1.1
    changed, _ = augment(image, mask, Augmentation(speckle=0.5), stream(3))
    noise = np.abs(changed - image)
    assert noise[:, SIZE // 2 :].mean() > 5 * noise[:, : SIZE // 2].mean() > 0


def test_a_shadow_falls_on_half_of_the_images_and_only_darkens(image, mask):
    changes = [
        augment(image, mask, Augmentation(shadow=1), stream(seed))[0] - image for seed in range(200)
    ]
    assert all(change.max() < 1e-5 for change in changes)
    assert np.mean([change.min() < -0.01 for change in changes]) == pytest.approx(0.5, abs=0.12)


def test_a_cutout_blanks_a_square_and_leaves_the_target(image, mask):
    areas = []
    for seed in range(200):
        changed, moved = augment(image, mask, Augmentation(cutout=0.5), stream(seed))
        np.testing.assert_array_equal(moved, mask)
        blank = np.argwhere(changed != image)
        areas.append(len(blank))
        if len(blank):
            sides = np.ptp(blank, axis=0) + 1
            assert sides[0] == sides[1] <= SIZE / 2
            assert not changed[tuple(blank.T)].any()
    assert np.mean(np.array(areas) == 0) == pytest.approx(0.5, abs=0.12)
    assert max(areas) > (0.4 * SIZE) ** 2


def test_a_change_that_is_off_draws_no_random_number(image, mask):
    """So that a new kind of change leaves the runs of older recipes as they were."""
    first, second = stream(), stream()
    augment(image, mask, Augmentation(flip=0.5), first)
    for draws in (1, 1, 2, 1, 1, 1, 1):
        second.random(draws)
    assert first.random() == second.random()


def test_an_aspect_stretches_one_axis_against_the_other_and_keeps_the_area(image):
    square = np.zeros((SIZE, SIZE), np.float32)
    square[14:34, 14:34] = 1
    ratios, areas = [], []
    for seed in range(100):
        moved = augment(image, square, Augmentation(aspect=0.5), stream(seed))[1]
        rows, columns = np.ptp(np.argwhere(moved), axis=0) + 1
        ratios.append(columns / rows)
        areas.append(moved.sum())
    assert 1.35 < max(ratios) < 1.6
    assert 1 / 1.6 < min(ratios) < 1 / 1.35
    assert np.ptp(areas) < 0.15 * square.sum()


def test_a_tone_keeps_the_order_of_grey_values_and_the_ends_of_their_range(image, mask):
    changed, _ = augment(image, mask, Augmentation(tone=0.5), stream(1))
    assert changed.min() == pytest.approx(image.min(), abs=1e-4)
    assert changed.max() == pytest.approx(image.max(), abs=1e-4)
    assert (np.diff(changed.ravel()[np.argsort(image, axis=None)]) >= -1e-5).all()


def test_a_depth_gain_brightens_one_end_and_darkens_the_other(mask):
    image = np.ones((SIZE, SIZE), np.float32)
    image[0, 0] = -1
    ends = []
    for seed in range(100):
        changed, _ = augment(image, mask, Augmentation(depth_gain=0.5), stream(seed))
        ends.append((changed[1].max() - 1, changed[-1].max() - 1))
        assert ends[-1][0] * ends[-1][1] < 0
    assert 0.8 < np.abs(ends).max() <= 1.01


def test_a_margin_is_as_dark_as_the_darkest_pixel_and_the_whole_is_standardised(image, mask):
    image[:, :12] = 0
    changed, _ = augment(image, mask, Augmentation(margin=1), stream())
    assert np.unique(changed[:, :12]).tolist() == [changed.min()]
    assert changed.mean() == pytest.approx(0, abs=1e-4)
    assert changed.std() == pytest.approx(1, abs=1e-4)
    assert np.corrcoef(changed[:, 12:].ravel(), image[:, 12:].ravel())[0, 1] > 0.9999


def test_a_lesion_free_part_holds_nothing_of_the_lesion(image, mask):
    """The lesion shines, and none of it is left; the part is a picture like any other."""
    shining = image + 100 * mask
    for seed in range(100):
        changed, target = augment(shining, mask, Augmentation(lesion_free=1), stream(seed))
        assert not target.any()
        assert changed.max() < 10
        inside = changed[changed != 0]
        assert inside.mean() == pytest.approx(0, abs=0.2)


def test_a_lesion_that_fills_the_picture_stays(image):
    everywhere = np.ones((SIZE, SIZE), np.float32)
    changed, target = augment(image, everywhere, Augmentation(lesion_free=1), stream())
    np.testing.assert_array_equal(changed, image)
    np.testing.assert_array_equal(target, everywhere)


def test_an_empty_picture_has_no_lesion_free_part(mask):
    changed, target = augment(np.zeros_like(mask), mask, Augmentation(lesion_free=1), stream())
    np.testing.assert_array_equal(target, mask)
    assert not changed.any()


def test_lesion_free_parts_come_as_often_as_they_are_asked_for(image, mask):
    empty = [
        not augment(image, mask, Augmentation(lesion_free=0.3), stream(seed))[1].any()
        for seed in range(400)
    ]
    assert np.mean(empty) == pytest.approx(0.3, abs=0.07)
