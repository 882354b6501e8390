import numpy as np
import pytest
from scipy import ndimage

from breastseg.core.recipe import Augmentation
from breastseg.pipeline.augment_volume import change_look, draw_movement

SPACING = (3.0, 1.5, 1.0)
SHAPE = (10, 21, 24)
TURNS = Augmentation(rotation_degrees=40)
EVERYTHING = Augmentation(flip=0.5, rotation_degrees=25, scale=0.3)


def movement(augmentation, seed=0, *, within_slices=False):
    stream = np.random.default_rng(seed)
    return draw_movement(augmentation, SPACING, stream, within_slices=within_slices)


def ball(shape, radius_mm, offset=(1.5, 3.0, -2.0)):
    """Return a smooth ball that is not in the middle; half way at its border."""
    middle = (np.array(shape) - 1) / 2
    places = np.moveaxis(np.indices(shape), 0, -1) - middle
    away = np.linalg.norm(places * SPACING - np.array(offset), axis=-1)
    return np.clip(0.5 + (radius_mm - away) / 3, 0, 1).astype(np.float32)


def test_what_is_off_moves_nothing_and_is_not_interpolated():
    found = movement(Augmentation(noise=0.3, gamma=0.2))
    assert found.is_none
    volume = np.random.default_rng(0).normal(size=SHAPE).astype(np.float32)
    assert found.source_shape(SHAPE) == SHAPE
    assert found.apply(volume, SHAPE, nearest=False) is volume


def test_a_flip_changes_left_and_right_to_the_bit():
    found = movement(Augmentation(flip=1.0))
    volume = np.random.default_rng(0).normal(size=found.source_shape(SHAPE)).astype(np.float32)
    inner = volume[
        tuple(
            slice((n - m) // 2, (n - m) // 2 + m) for n, m in zip(volume.shape, SHAPE, strict=True)
        )
    ]
    np.testing.assert_array_equal(found.apply(volume, SHAPE, nearest=False), inner[..., ::-1])


@pytest.mark.parametrize("seed", range(5))
def test_turns_are_turns_in_millimetres(seed):
    spacing = np.diag(SPACING)
    turn = spacing @ movement(TURNS, seed).matrix @ np.linalg.inv(spacing)
    np.testing.assert_allclose(turn @ turn.T, np.eye(3), atol=1e-12)
    assert not np.allclose(turn, np.eye(3), atol=0.01)


@pytest.mark.parametrize("seed", range(5))
def test_slices_that_are_channels_keep_their_places(seed):
    matrix = movement(EVERYTHING, seed, within_slices=True).matrix
    np.testing.assert_array_equal(matrix[0], [1, 0, 0])
    np.testing.assert_array_equal(matrix[:, 0], [1, 0, 0])
    assert not np.allclose(matrix[1:, 1:], np.eye(2), atol=0.01)


@pytest.mark.parametrize("seed", range(3))
def test_slices_are_moved_as_a_volume_would_be(seed):
    found = movement(EVERYTHING, seed, within_slices=True)
    source = ball(found.source_shape(SHAPE), radius_mm=9.0)
    offset = (np.array(source.shape) - 1) / 2 - found.matrix @ ((np.array(SHAPE) - 1) / 2)
    expected = ndimage.affine_transform(
        source, found.matrix, offset, output_shape=SHAPE, order=1, mode="nearest"
    )
    moved = found.apply(source, SHAPE, nearest=False)
    np.testing.assert_allclose(moved, expected, atol=0.02)  # cv2 counts in 1/32 of a pixel


@pytest.mark.parametrize("seed", range(8))
def test_the_source_holds_all_that_a_patch_is_made_of(seed):
    found = movement(EVERYTHING, seed)
    source = np.array(found.source_shape(SHAPE))
    assert ((source - SHAPE) % 2 == 0).all(), "the centres must agree"
    corners = np.array(np.meshgrid(*[(-(n - 1) / 2, (n - 1) / 2) for n in SHAPE])).reshape(3, -1)
    reached = found.matrix @ corners + (source[:, None] - 1) / 2
    assert (reached >= 0).all()
    assert (reached <= source[:, None] - 1).all()


@pytest.mark.parametrize("seed", range(5))
def test_image_and_target_move_together_and_zoom_changes_the_volume(seed):
    found = movement(EVERYTHING, seed)
    volume = ball(found.source_shape(SHAPE), radius_mm=9.0)
    image = found.apply(volume, SHAPE, nearest=False)
    target = found.apply((volume >= 0.5).astype(np.float32), SHAPE, nearest=True)
    assert set(np.unique(target)) == {0, 1}
    both = np.count_nonzero((image >= 0.5) & (target > 0))
    assert 2 * both / (np.count_nonzero(image >= 0.5) + target.sum()) > 0.85
    expected = np.count_nonzero(volume >= 0.5) / abs(np.linalg.det(found.matrix))
    assert np.count_nonzero(image >= 0.5) == pytest.approx(expected, rel=0.15)


def test_beyond_the_source_its_last_voxels_go_on():
    found = movement(EVERYTHING, 1)
    assert (found.apply(np.full(SHAPE, 2.5, np.float32), SHAPE, nearest=False) == 2.5).all()


def test_the_look_changes_where_it_is_asked_and_by_the_stream_alone():
    volume = np.random.default_rng(0).normal(size=SHAPE).astype(np.float32)
    np.testing.assert_array_equal(
        change_look(volume, Augmentation(), np.random.default_rng(1)), volume
    )
    for change in ({"blur": 1.5}, {"noise": 0.5}, {"gamma": 0.5}, {"contrast": 0.5}):
        augmentation = Augmentation(**change)
        first, second = (
            change_look(volume, augmentation, np.random.default_rng(1)) for _ in range(2)
        )
        np.testing.assert_array_equal(first, second)
        assert not np.allclose(first, volume), change


def test_blur_stays_within_the_slices():
    volume = np.zeros((5, 9, 9), np.float32)
    volume[2, 4, 4] = 1
    blurred = change_look(volume, Augmentation(blur=2.0), np.random.default_rng(0))
    assert 0 < blurred[2, 4, 5] < blurred[2, 4, 4] < 1
    assert not blurred[[0, 1, 3, 4]].any()
