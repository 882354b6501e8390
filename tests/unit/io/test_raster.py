import contextlib
import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from breastseg.core.errors import ImageFileError, ReferenceMaskError
from breastseg.io.raster import (
    _values,
    encode_png,
    is_raster,
    read_grey_and_colours,
    read_image,
    read_luminance,
    read_mask,
    read_size,
)

GREY = np.array([[0, 1, 100], [200, 254, 255]], np.uint8)
COLOUR = np.array([[[255, 0, 0], [0, 255, 0]], [[0, 0, 255], [10, 10, 10]]], np.uint8)
LUMINANCE = [[76, 150], [29, 10]]  # 0.299 red + 0.587 green + 0.114 blue


def save(path, picture, **options):
    picture.save(path, **options)
    return path


# --- formats and modes ----------------------------------------------------------------------


@pytest.mark.parametrize("ending", ["png", "bmp", "tif", "TIFF"])
def test_grey_of_every_lossless_format_keeps_its_values(tmp_path, ending):
    path = save(tmp_path / f"x.{ending}", Image.fromarray(GREY))
    assert read_luminance(path).dtype == np.float32
    assert read_luminance(path).tolist() == GREY.tolist()


@pytest.mark.parametrize("ending", ["jpg", "JPEG"])
def test_jpeg_keeps_its_values_nearly(tmp_path, ending):
    ramp = np.tile(np.arange(0, 256, 4, dtype=np.uint8), (16, 1))
    path = save(tmp_path / f"x.{ending}", Image.fromarray(ramp), quality=95)
    np.testing.assert_allclose(read_luminance(path), ramp, atol=3)


@pytest.mark.parametrize("ending", ["png", "bmp", "tif"])
def test_colour_becomes_luminance(tmp_path, ending):
    path = save(tmp_path / f"x.{ending}", Image.fromarray(COLOUR))
    assert read_luminance(path).tolist() == LUMINANCE


def test_grey_kept_as_colour_is_the_same_grey(tmp_path):
    for mode in ("RGB", "RGBA", "LA", "P"):
        path = save(tmp_path / f"{mode}.png", Image.fromarray(GREY).convert(mode))
        assert read_luminance(path).tolist() == GREY.tolist(), mode


def test_transparency_lies_over_black(tmp_path):
    alpha = np.array([[255, 0], [255, 51]], np.uint8)
    rgba = np.dstack([np.full((2, 2, 3), 100, np.uint8), alpha])
    path = save(tmp_path / "x.png", Image.fromarray(rgba))
    assert read_luminance(path).tolist() == [[100, 0], [100, 20]]


def test_palette_entries_become_their_colours(tmp_path):
    picture = Image.fromarray(np.array([[0, 1], [2, 0]], np.uint8), mode=None).convert("P")
    picture.putpalette([0, 0, 0, 255, 0, 0, 0, 255, 0])
    path = save(tmp_path / "x.png", picture)
    assert read_luminance(path).tolist() == [[0, 76], [150, 0]]


def test_a_transparent_palette_entry_is_black(tmp_path):
    picture = Image.fromarray(np.array([[0, 1]], np.uint8)).convert("P")
    picture.putpalette([255, 255, 255, 90, 90, 90])
    path = save(tmp_path / "x.png", picture, transparency=0)
    assert read_luminance(path).tolist() == [[0, 90]]


@pytest.mark.parametrize("ending", ["png", "bmp", "tif"])
def test_one_bit_is_black_and_white(tmp_path, ending):
    bits = Image.fromarray(np.array([[0, 255, 0], [255, 255, 0]], np.uint8)).convert("1")
    path = save(tmp_path / f"x.{ending}", bits)
    assert read_luminance(path).tolist() == [[0, 255, 0], [255, 255, 0]]


@pytest.mark.parametrize("ending", ["png", "tif"])
def test_sixteen_bits_keep_their_values_and_do_not_turn_white(tmp_path, ending):
    deep = np.array([[0, 255, 256], [4095, 40000, 65535]], np.uint16)
    path = save(tmp_path / f"x.{ending}", Image.fromarray(deep))
    assert read_luminance(path).tolist() == deep.tolist()


def test_float_tiff_keeps_its_values(tmp_path):
    values = np.array([[-1.5, 0.25], [1e6, 3.0]], np.float32)
    path = save(tmp_path / "x.tif", Image.fromarray(values))
    assert read_luminance(path).tolist() == values.tolist()


def test_the_orientation_of_a_photograph_is_obeyed(tmp_path):
    picture = Image.fromarray(GREY)
    exif = picture.getexif()
    exif[0x0112] = 6  # turn by 90 degrees
    path = save(tmp_path / "x.png", picture, exif=exif)
    assert read_luminance(path).shape == (3, 2)


def test_an_image_has_one_slice_and_no_spacing(tmp_path):
    image = read_image(save(tmp_path / "x.png", Image.fromarray(GREY)))
    assert image.pixels.shape == (1, 2, 3)
    assert image.spacing_mm is None


def test_size_is_rows_and_columns(tmp_path):
    assert read_size(save(tmp_path / "x.png", Image.fromarray(GREY))) == (2, 3)


def test_encoded_png_reads_back(tmp_path):
    for pixels, expected in ((GREY, GREY.tolist()), (COLOUR, LUMINANCE)):
        (tmp_path / "x.png").write_bytes(encode_png(pixels))
        assert read_luminance(tmp_path / "x.png").tolist() == expected


@pytest.mark.parametrize(
    ("name", "expected"),
    [("a.PNG", True), ("a.tiff", True), (".a.png", False), ("a.dcm", False), ("png", False)],
)
def test_pictures_are_told_by_name(tmp_path, name, expected):
    assert is_raster(tmp_path / name) is expected


# --- files that are refused -----------------------------------------------------------------


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ImageFileError, match=r"gone\.png: .* there is no such file"):
        read_luminance(tmp_path / "gone.png")


def test_a_folder_is_no_picture(tmp_path):
    (tmp_path / "x.png").mkdir()
    with pytest.raises(ImageFileError, match=r"x\.png: "):
        read_luminance(tmp_path / "x.png")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"x\.png: .* the file is empty\. Copy it again"),
        (b"patient;age\n", r"x\.png: .* the file holds text\. Replace or remove it"),
        (b"\x00\x01\xff" * 50, r"x\.png: .* the file holds something else"),
        (b"\x89PNG\r\n\x1a\n", r"x\.png: "),
    ],
)
def test_what_is_no_picture_is_told(tmp_path, content, message):
    (tmp_path / "x.png").write_bytes(content)
    for read in (read_luminance, read_size):
        with pytest.raises(ImageFileError, match=message):
            read(tmp_path / "x.png")


@pytest.mark.parametrize("ending", ["png", "jpg", "bmp", "tif"])
def test_a_truncated_picture_is_told(tmp_path, ending):
    noise = np.random.default_rng(0).integers(0, 256, (64, 64), dtype=np.uint8)
    path = save(tmp_path / f"x.{ending}", Image.fromarray(noise))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(ImageFileError, match=rf"x\.{ending}: "):
        read_luminance(path)


def test_several_pages_are_refused(tmp_path):
    page = Image.fromarray(GREY)
    path = save(tmp_path / "x.tif", page, save_all=True, append_images=[page, page])
    with pytest.raises(ImageFileError, match=r"x\.tif: expected one picture, found 3 pages"):
        read_luminance(path)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_values_that_are_no_numbers_are_refused(tmp_path, value):
    path = save(tmp_path / "x.tif", Image.fromarray(np.array([[0, value]], np.float32)))
    with pytest.raises(ImageFileError, match=r"x\.tif: grey values must be finite"):
        read_luminance(path)


def test_a_small_file_that_would_fill_the_memory_is_refused(tmp_path):
    header = struct.pack(">IIBBBBB", 20_000, 20_000, 8, 0, 0, 0, 0)
    path = tmp_path / "bomb.png"
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + _chunk(b"IHDR", header)
        + _chunk(b"IDAT", zlib.compress(b"\0" * 1000))
        + _chunk(b"IEND", b"")
    )
    for read in (read_luminance, read_size):
        with pytest.raises(ImageFileError, match=r"bomb\.png: .* too large to be read safely"):
            read(path)


def _chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("form", ["PNG", "JPEG", "BMP", "TIFF"])
def test_damaged_bytes_never_raise_anything_else(tmp_path, form):
    buffer = io.BytesIO()
    stream = np.random.default_rng(0)
    Image.fromarray(stream.integers(0, 256, (9, 11), dtype=np.uint8)).save(buffer, form)
    path = tmp_path / "x.png"
    for _ in range(200):
        content = bytearray(buffer.getvalue())
        for place in stream.integers(0, len(content), 3):
            content[place] = stream.integers(256)
        path.write_bytes(content)
        with contextlib.suppress(ImageFileError):
            read_luminance(path)


# --- masks ----------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [1, 255])
def test_a_mask_of_two_values_is_read(tmp_path, value):
    path = save(tmp_path / "m.png", Image.fromarray(np.array([[0, value]], np.uint8)))
    assert read_mask(path).tolist() == [[False, True]]


def test_an_empty_mask_is_read(tmp_path):
    path = save(tmp_path / "m.png", Image.fromarray(np.zeros((2, 2), np.uint8)))
    assert not read_mask(path).any()


def test_a_coloured_mask_is_read(tmp_path):
    pixels = np.zeros((1, 2, 3), np.uint8)
    pixels[0, 1] = (255, 0, 0)
    path = save(tmp_path / "m.png", Image.fromarray(pixels))
    assert read_mask(path).tolist() == [[False, True]]


def test_a_mask_with_grey_values_is_refused(tmp_path):
    path = save(tmp_path / "m.png", Image.fromarray(GREY))
    message = r"m\.png: a mask has two values .* found 6: 0, 1, 100, 200, 254, \.\.\.\. Cut it at"
    with pytest.raises(ReferenceMaskError, match=message):
        read_mask(path)


def test_a_mask_without_background_is_refused(tmp_path):
    for values in ([[255, 255]], [[128, 255]]):
        path = save(tmp_path / "m.png", Image.fromarray(np.array(values, np.uint8)))
        with pytest.raises(ReferenceMaskError, match=r"m\.png: .* background of value 0, found"):
            read_mask(path)


def test_named_lesion_values_are_all_lesion_and_others_are_refused(tmp_path):
    path = save(tmp_path / "m.png", Image.fromarray(np.array([[0, 1, 2]], np.uint8)))
    assert read_mask(path, lesion_values=(1, 2)).tolist() == [[False, True, True]]
    with pytest.raises(ReferenceMaskError, match=r"m\.png: .*\(1,\) \(dataset\.json\), found 0, 1"):
        read_mask(path, lesion_values=(1,))


# --- colours ----------------------------------------------------------------------------------


def test_colours_are_read_over_black_and_grey_pictures_have_none(tmp_path):
    grey = np.full((4, 5), 90, np.uint8)
    Image.fromarray(grey).save(tmp_path / "grey.png")
    assert read_grey_and_colours(tmp_path / "grey.png")[1] is None
    colours = np.zeros((4, 5, 4), np.uint8)
    colours[..., 0], colours[..., 3] = 200, 255
    colours[0, 0, 3] = 0
    Image.fromarray(colours).save(tmp_path / "colour.png")
    _, read = read_grey_and_colours(tmp_path / "colour.png")
    assert read.shape == (4, 5, 3)
    assert read[1, 1].tolist() == [200, 0, 0]
    assert read[0, 0].tolist() == [0, 0, 0]


def bright_scan():
    """Return the grey values of a scan, most of them dark."""
    return np.random.default_rng(5).gamma(2, 30, (60, 80)).clip(0, 255)


def in_colours(grey, shares=(1, 1, 1)):
    return (grey[..., None] * np.array(shares)).astype(np.uint8)


@pytest.mark.parametrize("colour", [(255, 255, 0), (0, 255, 0), (220, 40, 20), (20, 60, 220)])
@pytest.mark.parametrize("ending", [".png", ".jpg"])
def test_colour_on_a_grey_picture_is_known_and_the_grey_is_not(tmp_path, colour, ending):
    colours = in_colours(bright_scan())
    colours[20:32, 30:50] = colour
    path = tmp_path / f"a{ending}"
    Image.fromarray(colours).save(path, quality=90)
    (drawn,) = read_image(path).drawn
    assert drawn[20:32, 30:50].all()
    drawn[16:36, 26:54] = False
    assert not drawn.any()


@pytest.mark.parametrize(
    "shares", [(1, 1, 1), (1, 0.82, 0.6), (0.6, 0.8, 1), (1, 0.9, 0.8), (0.75, 1, 1), (1, 1, 0.8)]
)
def test_a_grey_or_tinted_picture_is_not_drawn_over(tmp_path, shares):
    for darkness in (1, 2, 3):
        colours = in_colours(255 * (bright_scan() / 255) ** darkness, shares)
        Image.fromarray(colours).save(tmp_path / "a.png")
        assert read_image(tmp_path / "a.png").drawn is None


def test_a_picture_that_is_stored_grey_is_not_drawn_over(tmp_path):
    Image.fromarray(bright_scan().astype(np.uint8)).save(tmp_path / "a.png")
    assert read_image(tmp_path / "a.png").drawn is None


def test_colours_of_no_picture_are_refused(tmp_path):
    (tmp_path / "a.png").write_text("text")
    with pytest.raises(ImageFileError, match="holds text"):
        read_grey_and_colours(tmp_path / "a.png")


@pytest.mark.parametrize("values", [[0, 255], [0, 3, 7], [0, 0.5], [0, 65535], [-1, 4]])
def test_the_values_of_a_mask_are_those_that_unique_finds(values):
    grey = np.array(values, np.float32)[np.random.default_rng(0).integers(0, len(values), (9, 9))]
    assert _values(grey).tolist() == np.unique(grey).tolist()
