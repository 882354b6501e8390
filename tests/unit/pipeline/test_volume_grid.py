import numpy as np
import pytest

from breastseg.core.errors import GeometryError
from breastseg.core.image import Image
from breastseg.core.volume_recipe import VolumePreprocessing
from breastseg.pipeline.volume_grid import VolumeGrid, standardise_hu

AXIAL = np.array([[0.0, 0, 0.8, 0], [0, 0.8, 0, 0], [2.0, 0, 0, 0], [0, 0, 0, 1]])
"""Slices to the head, rows to posterior, columns to the left."""


def _ramp(affine: np.ndarray = AXIAL, shape: tuple[int, int, int] = (20, 40, 50)) -> Image:
    """An image whose values are linear in the position in the patient."""
    index = np.stack([*np.meshgrid(*map(np.arange, shape), indexing="ij"), np.ones(shape)])
    position = np.tensordot(affine[:3], index, axes=1)
    pixels = np.tensordot([1.0, 2.0, 3.0], position, axes=1).astype(np.float32)
    return Image(pixels=pixels, affine=affine)


def test_the_grid_has_the_spacing_that_was_asked_for() -> None:
    grid = VolumeGrid.fit(_ramp(), (4.0, 1.6, 1.0))
    assert grid.shape == (10, 20, 40)
    assert grid.scale == pytest.approx((2.0, 2.0, 1.25))


def test_values_keep_their_slope_away_from_the_border() -> None:
    volume = VolumeGrid.fit(_ramp(), (4.0, 1.6, 1.2)).apply(_ramp().pixels)[2:-2, 2:-2, 2:-2]
    steps = [np.diff(volume, axis=axis) for axis in range(3)]
    for step, expected in zip(steps, (3 * 4.0, 2 * 1.6, 1 * 1.2), strict=True):
        np.testing.assert_allclose(step, expected, rtol=0.04)


@pytest.mark.parametrize(
    ("order", "signs"),
    [((0, 1, 2), (1, 1, 1)), ((2, 0, 1), (-1, 1, -1)), ((1, 2, 0), (1, -1, -1))],
)
def test_the_order_of_the_file_makes_no_difference(
    order: tuple[int, int, int], signs: tuple[int, int, int]
) -> None:
    plain = _ramp()
    turned = np.transpose(plain.pixels, order)
    affine = AXIAL[:, [*order, 3]].copy()
    for axis, sign in enumerate(signs):
        if sign < 0:
            turned = np.flip(turned, axis)
            affine[:, 3] += affine[:, axis] * (turned.shape[axis] - 1)
            affine[:, axis] *= -1
    other = Image(pixels=np.ascontiguousarray(turned), affine=affine)
    spacing = (3.0, 1.1, 0.9)
    expected = VolumeGrid.fit(plain, spacing).apply(plain.pixels)
    found = VolumeGrid.fit(other, spacing).apply(other.pixels)
    np.testing.assert_allclose(found, expected, atol=1e-3)


def test_a_box_holds_what_it_must_and_finds_its_way_back() -> None:
    image = _ramp()
    inside = np.zeros(image.pixels.shape, bool)
    inside[4:13, 10:30, 7:40] = True
    grid = VolumeGrid.fit(image, (2.0, 0.8, 0.8), inside)
    assert grid.shape == (9, 20, 33)
    volume = grid.apply(image.pixels)
    np.testing.assert_allclose(volume, image.pixels[4:13, 10:30, 7:40], atol=1e-4)
    np.testing.assert_allclose(grid.invert(volume), grid.box_of(image.pixels), atol=1e-4)
    target = np.zeros(image.pixels.shape, np.float32)
    grid.box_of(target)[...] = 1
    assert (target > 0).sum() == inside.sum() == (target[inside] > 0).sum()


def test_a_ball_survives_a_coarser_grid_and_the_way_back() -> None:
    shape = (40, 60, 60)
    image = _ramp(np.diag([1.0, 1, 1, 1])[[2, 1, 0, 3]], shape)
    away = np.sqrt(
        sum((axis - 20.3) ** 2 for axis in np.meshgrid(*map(np.arange, shape), indexing="ij"))
    )
    ball = away < 9
    grid = VolumeGrid.fit(image, (2.0, 1.5, 1.5))
    back = grid.invert(grid.apply_mask(ball).astype(np.float32)) >= 0.5
    assert 2 * (back & ball).sum() / (back.sum() + ball.sum()) > 0.93


def test_hu_are_cut_shifted_and_scaled() -> None:
    settings = VolumePreprocessing(window_hu=(-100, 100), mean_hu=0, sd_hu=50)
    found = standardise_hu(np.array([[[-1000.0, -50, 0, 3000]]], np.float32), settings)
    assert found.ravel().tolist() == [-2, -1, 0, 2]


def test_an_image_without_millimetres_is_refused() -> None:
    with pytest.raises(GeometryError, match="affine is missing"):
        VolumeGrid.fit(Image(pixels=np.zeros((2, 3, 4), np.float32)), (1, 1, 1))


def test_the_box_grows_by_a_margin_and_to_a_least_size_within_the_image() -> None:
    image = Image(pixels=np.zeros((40, 40, 40), np.float32), affine=np.eye(4)[[2, 1, 0, 3]])
    inside = np.zeros((40, 40, 40), np.uint8)
    inside[18:22, 1:5, 30:40] = 2
    grid = VolumeGrid.fit(image, (2, 2, 2), inside, margin_mm=3, least=(8, 12, 4))
    assert grid.box == (slice(12, 28), slice(0, 24), slice(27, 40))
    np.testing.assert_array_equal(np.concatenate(list(grid.invert_slabs(np.ones(grid.shape)))), 1)
    assert grid.apply_mask(inside, 2).sum() > 0
    assert grid.apply_mask(inside, 1).sum() == 0
