import io
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image as Pillow
from scipy import ndimage

from breastseg.core.errors import GeometryError
from breastseg.core.lesion import find_lesions
from breastseg.report.overlays import (
    MODEL_COLOUR,
    READER_COLOUR,
    Line,
    draw_overlay,
    thumbnail_jpeg,
    triptych_png,
)

PIXELS = np.random.default_rng(0).uniform(0, 200, (60, 80)).astype(np.float32)
SQUARE = np.zeros((60, 80), bool)
SQUARE[20:40, 30:50] = True


def painted(picture, colour):
    return (picture == np.array(colour, np.uint8)).all(axis=-1)


def test_the_outline_is_thin_and_runs_along_the_edge_of_the_mask():
    picture = draw_overlay(PIXELS, SQUARE, longer_side=800, legend=False)
    assert picture.shape == (600, 800, 3)
    assert picture.dtype == np.uint8
    line = painted(picture, MODEL_COLOUR)
    enlarged = np.kron(SQUARE, np.ones((10, 10), bool))
    near_edge = ndimage.binary_dilation(enlarged, iterations=5) & ~ndimage.binary_erosion(
        enlarged, iterations=5
    )
    assert line.sum() > 700  # four sides of 200
    assert not (line & ~near_edge).any()


def test_the_inside_of_a_lesion_stays_visible():
    plain = draw_overlay(PIXELS, None, longer_side=800, legend=False)
    drawn = draw_overlay(PIXELS, SQUARE, SQUARE, longer_side=800, legend=False)
    np.testing.assert_array_equal(drawn[220:380, 320:480], plain[220:380, 320:480])


def test_model_and_reader_can_be_told_apart_without_colour():
    reader = draw_overlay(PIXELS, None, SQUARE, longer_side=800, legend=False)
    model = draw_overlay(PIXELS, SQUARE, None, longer_side=800, legend=False)
    assert not painted(reader, MODEL_COLOUR).any()
    assert not painted(model, READER_COLOUR).any()
    dashes, line = (
        ndimage.label(painted(picture, colour), np.ones((3, 3)))[1]
        for picture, colour in ((reader, READER_COLOUR), (model, MODEL_COLOUR))
    )
    assert line == 1
    assert dashes > 30


def test_a_lesion_of_one_pixel_is_drawn_in_small_and_in_large_images():
    for shape in ((60, 80), (3000, 2500)):
        mask = np.zeros(shape, bool)
        mask[shape[0] // 2, shape[1] // 2] = True
        picture = draw_overlay(np.zeros(shape, np.float32), mask, longer_side=500, legend=False)
        assert max(picture.shape) == 500
        assert painted(picture, MODEL_COLOUR).any()


def test_a_hole_has_an_outline_of_its_own():
    ring = SQUARE.copy()
    ring[27:33, 37:43] = False
    picture = draw_overlay(PIXELS, ring, longer_side=800, legend=False)
    assert ndimage.label(painted(picture, MODEL_COLOUR), np.ones((3, 3)))[1] == 2


@pytest.mark.parametrize("scale", [1e-3, 1.0, 257.0])
def test_the_grey_window_does_not_depend_on_the_unit_or_on_a_few_hot_pixels(scale):
    pixels = PIXELS * scale
    pixels[0, :5] = 1e6 * scale
    picture = draw_overlay(pixels, None, longer_side=80, legend=False)
    assert 100 < picture.mean() < 155
    assert picture.min() == 0
    assert picture.max() == 255


@pytest.mark.parametrize("value", [0.0, 7.5, -3.0])
def test_an_image_of_a_single_grey_is_drawn_all_the_same(value):
    picture = draw_overlay(np.full((40, 30), value, np.float32), SQUARE[:40, :30])
    assert np.isfinite(picture).all()


def test_lesions_are_numbered_inside_the_image_even_at_its_edge():
    probability = np.zeros((1, 60, 80), np.float32)
    probability[0, :5, 70:] = 0.9
    _, lesions = find_lesions(probability, threshold=0.5, spacing_mm=None)
    drawn = draw_overlay(PIXELS, None, lesions=lesions, legend=False)
    plain = draw_overlay(PIXELS, None, legend=False)
    changed = np.argwhere((drawn != plain).any(axis=-1))
    assert drawn.shape == plain.shape
    assert changed[:, 0].max() < 60
    assert changed[:, 1].min() > 600


def test_the_legend_adds_a_strip():
    plain = draw_overlay(PIXELS, SQUARE, SQUARE, legend=False)
    whole = draw_overlay(PIXELS, SQUARE, SQUARE)
    strip = whole[plain.shape[0] :]
    np.testing.assert_array_equal(whole[: plain.shape[0]], plain)
    assert painted(strip, MODEL_COLOUR).any()
    assert painted(strip, READER_COLOUR).any()
    silent = draw_overlay(PIXELS, np.zeros_like(SQUARE))[plain.shape[0] :]
    assert not painted(silent, READER_COLOUR).any()


def test_a_legend_that_is_too_wide_has_several_rows_and_names_every_line():
    colours = [(10 * number, 0, 200) for number in range(1, 5)]
    others = [Line(mask=SQUARE, name="a name of some length", colour=each) for each in colours]
    wide, narrow = (
        draw_overlay(pixels, mask, others=[replace(each, mask=mask) for each in others])
        for pixels, mask in ((PIXELS, SQUARE), (PIXELS[:, :30], SQUARE[:, :30]))
    )
    assert narrow.shape[0] - 768 > wide.shape[0] - 576 > 0
    for colour in colours:
        assert painted(narrow[768:], colour).any()


def test_parts_that_are_smaller_than_a_line_asks_for_are_not_drawn():
    speckled = SQUARE.copy()
    speckled[5, 5] = True
    line = Line(mask=speckled, name="x", colour=(1, 2, 3))
    all_of_it, large = (
        painted(draw_overlay(PIXELS, None, others=[each], legend=False, longer_side=800), (1, 2, 3))
        for each in (line, replace(line, least=500))
    )
    assert all_of_it[:100, :100].any()
    assert not large[:100, :100].any()
    np.testing.assert_array_equal(all_of_it[150:], large[150:])


def test_a_mask_of_another_shape_is_refused():
    with pytest.raises(GeometryError, match=r"\(60, 80\), got \(80, 60\)"):
        draw_overlay(PIXELS, SQUARE.T)


def test_a_triptych_shows_image_probability_and_outlines_side_by_side():
    probability = np.where(SQUARE, 0.4, 0).astype(np.float32)
    png = triptych_png(PIXELS, probability, SQUARE, SQUARE, longer_side=160)
    with Pillow.open(io.BytesIO(png)) as opened:
        picture = np.asarray(opened)
    plain, seen, outlined = (picture[:120, start : start + 160] for start in (0, 164, 328))
    np.testing.assert_array_equal(plain, draw_overlay(PIXELS, None, longer_side=160, legend=False))
    np.testing.assert_array_equal(seen[60, 80], [102] * 3)
    assert not seen[10, 10].any()
    for colour in (MODEL_COLOUR, READER_COLOUR):
        assert painted(outlined, colour).any()
        assert not painted(plain, colour).any()
    assert picture.shape[1] == 3 * 160 + 2 * 4
    assert picture.shape[0] > 120, "a legend below"


def test_a_thumbnail_is_a_small_jpeg_in_colour_where_there_is_any():
    grey = np.full((300, 400), 100, np.float32)
    colours = np.zeros((300, 400, 3), np.uint8)
    colours[..., 0] = 250
    mask = np.zeros((300, 400), bool)
    mask[100:150, 100:200] = True
    for given in (None, colours):
        data = thumbnail_jpeg(grey, mask, colours=given, longer_side=120)
        with Pillow.open(io.BytesIO(data)) as picture:
            assert picture.format == "JPEG"
            assert picture.size == (120, 90)
            red, green, _ = picture.convert("RGB").getpixel((5, 5))
            assert (red > green + 100) == (given is not None)
