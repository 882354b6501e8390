import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as Pillow

from breastseg.core.image import Area, Image
from breastseg.core.recipe import Preprocessing
from breastseg.io.raster import read_image
from breastseg.pipeline.preprocess import Letterbox, pad_to_stride, prepare_image, standardise

sides = st.integers(1, 700)
sizes = st.sampled_from([32, 64, 97, 128, 256])


def disc(rows, columns, radius):
    row, column = np.mgrid[:rows, :columns]
    return np.hypot(row - 0.45 * rows, column - 0.55 * columns) < radius


def dice(first, second):
    return 2 * np.count_nonzero(first & second) / (first.sum() + second.sum())


# --- there and back ---------------------------------------------------------------------------


@given(sides, sides, sizes)
@settings(deadline=None, max_examples=80)
def test_any_shape_fits_the_square_and_comes_back(rows, columns, size):
    letterbox = Letterbox.fit((rows, columns), size)
    square = letterbox.apply(np.ones((rows, columns), np.float32))
    assert square.shape == (size, size)
    inside = square[letterbox.inside]
    assert inside.shape == (letterbox.scaled_rows, letterbox.scaled_columns)
    assert max(inside.shape) == size
    assert square.sum() == pytest.approx(inside.size, rel=1e-5)
    back = letterbox.invert(square)
    assert back.shape == (rows, columns)
    np.testing.assert_allclose(back, 1, rtol=1e-5)


@given(sides, sides, sizes)
@settings(deadline=None, max_examples=80)
def test_the_picture_is_in_the_middle_and_keeps_its_aspect(rows, columns, size):
    letterbox = Letterbox.fit((rows, columns), size)
    for first, length in (
        (letterbox.top, letterbox.scaled_rows),
        (letterbox.left, letterbox.scaled_columns),
    ):
        behind = size - first - length
        assert 0 <= behind - first <= 1
    ratio = size / max(rows, columns)
    assert abs(letterbox.scaled_rows - max(1, rows * ratio)) <= 0.5
    assert abs(letterbox.scaled_columns - max(1, columns * ratio)) <= 0.5


@given(st.integers(60, 600), st.integers(60, 600), st.sampled_from([64, 128, 256]))
@settings(deadline=None, max_examples=60)
def test_a_mask_comes_back_nearly_as_it_was(rows, columns, size):
    radius = min(rows, columns) * 0.3
    mask = disc(rows, columns, radius)
    letterbox = Letterbox.fit((rows, columns), size)
    square = letterbox.apply_mask(mask)
    assert set(np.unique(square)) <= {0.0, 1.0}
    back = letterbox.invert(square) >= 0.5
    pixel = max(1.0, max(rows, columns) / size)
    assert dice(back, mask) > 1 - 1.5 * pixel / radius


def test_a_mask_moves_with_its_image():
    pixels = np.zeros((90, 200), np.float32)
    pixels[20:60, 50:130] = 1
    letterbox = Letterbox.fit(pixels.shape, 64)
    np.testing.assert_array_equal(
        letterbox.apply(pixels) >= 0.5, letterbox.apply_mask(pixels > 0) > 0
    )


def test_a_picture_of_the_squares_size_is_not_changed():
    pixels = np.random.default_rng(0).normal(size=(64, 64)).astype(np.float32)
    letterbox = Letterbox.fit(pixels.shape, 64)
    np.testing.assert_array_equal(letterbox.apply(pixels), pixels)
    np.testing.assert_array_equal(letterbox.invert(pixels), pixels)


def test_shrinking_takes_the_mean_of_what_a_pixel_covers():
    """Any other interpolation would fold the speckle of ultrasound into false structure."""
    pixels = np.random.default_rng(0).normal(size=(128, 128)).astype(np.float32)
    expected = pixels.reshape(32, 4, 32, 4).mean(axis=(1, 3))
    np.testing.assert_allclose(Letterbox.fit((128, 128), 32).apply(pixels), expected, atol=1e-6)


# --- grey values ------------------------------------------------------------------------------


def test_grey_values_have_mean_0_and_deviation_1():
    pixels = np.random.default_rng(0).uniform(10, 200, (40, 50)).astype(np.float32)
    standard = standardise(pixels)
    assert standard.mean() == pytest.approx(0, abs=1e-6)
    assert standard.std() == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("value", [0, 7, 255, 65535])
def test_a_constant_picture_becomes_0(value):
    image = Image(pixels=np.full((1, 30, 40), value, np.float32))
    prepared, _ = prepare_image(image, Preprocessing(size=64))
    assert not prepared.any()
    assert prepared.shape == (1, 64, 64)


@given(st.floats(0.01, 300), st.floats(-1000, 1000))
@settings(deadline=None, max_examples=50)
def test_the_unit_of_grey_values_makes_no_difference(gain, offset):
    pixels = np.random.default_rng(0).uniform(0, 255, (1, 20, 24)).astype(np.float32)
    other = (gain * pixels + offset).astype(np.float32)
    prepared, _ = prepare_image(Image(pixels=pixels), Preprocessing(size=32))
    again, _ = prepare_image(Image(pixels=other), Preprocessing(size=32))
    np.testing.assert_allclose(again, prepared, atol=0.02)


def test_8_and_16_bit_grey_and_colour_of_one_picture_are_the_same_input(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (50, 70), dtype=np.uint8)
    Pillow.fromarray(pixels).save(tmp_path / "8.png")
    Pillow.fromarray(pixels.astype(np.uint16) * 257).save(tmp_path / "16.png")
    Pillow.fromarray(np.stack([pixels] * 3, axis=-1)).save(tmp_path / "rgb.png")
    inputs = [
        prepare_image(read_image(tmp_path / f"{name}.png"), Preprocessing(size=64))[0]
        for name in ("8", "16", "rgb")
    ]
    for other in inputs[1:]:
        np.testing.assert_allclose(other, inputs[0], atol=1e-5)


def test_padding_is_the_mean_of_the_image():
    pixels = np.full((1, 20, 40), 200, np.float32)
    pixels[:, :, :20] = 100
    prepared, letterbox = prepare_image(Image(pixels=pixels), Preprocessing(size=40))
    outside = np.ones((40, 40), bool)
    outside[letterbox.inside] = False
    assert not prepared[0][outside].any()
    assert prepared[0][letterbox.inside].mean() == pytest.approx(0, abs=1e-6)


# --- strides ----------------------------------------------------------------------------------


@given(st.integers(1, 70), st.integers(1, 70), st.sampled_from([1, 2, 16, 32]))
@settings(deadline=None, max_examples=50)
def test_padding_to_the_stride_adds_as_little_as_possible_behind_the_image(rows, columns, stride):
    images = np.ones((2, 1, rows, columns), np.float32)
    padded = pad_to_stride(images, (stride, stride))
    for before, after in zip((rows, columns), padded.shape[2:], strict=True):
        assert after % stride == 0
        assert before <= after < before + stride
    np.testing.assert_array_equal(padded[..., :rows, :columns], images)
    assert padded.sum() == images.sum()


def test_what_is_drawn_in_colour_takes_the_grey_around_it():
    """Of a smooth picture little is left of marks; without them nothing changes."""
    rows, columns = np.mgrid[:64, :64].astype(np.float32)
    smooth = 40 + rows + 2 * columns
    drawn = np.zeros((64, 64), bool)
    drawn[20:24, 10:50] = drawn[30:50, 30:34] = True
    marked = np.where(drawn, np.float32(255), smooth)
    expected, _ = prepare_image(Image(pixels=smooth[None]), Preprocessing(size=64))
    prepared, _ = prepare_image(
        Image(pixels=marked[None], drawn=drawn[None]), Preprocessing(size=64)
    )
    assert np.abs(prepared - expected).max() < 0.3
    unmended, _ = prepare_image(Image(pixels=marked[None]), Preprocessing(size=64))
    assert np.abs(unmended - expected).max() > 1
    assert marked[22, 20] == 255


def test_the_screen_around_a_scan_is_left_out_and_comes_back_as_told():
    """What is prepared of a scan on a screen is what is prepared of the scan alone."""
    screen = np.random.default_rng(4).uniform(0, 255, (90, 120)).astype(np.float32)
    area = Area(10, 70, 30, 80)
    alone = Image(pixels=screen[None, *area.slices])
    on_screen = Image(pixels=screen[None], scan_area=area)
    expected, own = prepare_image(alone, Preprocessing(size=64))
    prepared, letterbox = prepare_image(on_screen, Preprocessing(size=64))
    np.testing.assert_array_equal(prepared, expected)
    back = letterbox.invert(prepared[0], outside=-7)
    assert back.shape == screen.shape
    np.testing.assert_array_equal(back[area.slices], own.invert(expected[0]))
    back[area.slices] = -7
    assert (back == -7).all()
    mask = np.zeros(screen.shape, bool)
    mask[30:50, 40:60] = True
    np.testing.assert_array_equal(
        letterbox.apply_mask(mask), own.apply_mask(np.ascontiguousarray(mask[area.slices]))
    )
