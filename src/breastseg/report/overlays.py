"""Pictures of an image with the outlines of what the model marked and the reader drew.

The colours are those of Okabe and Ito, told apart by colour-blind people; the reader's line
is dashed as well, so that a grey print can be read too.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Bool, Float32, Int, UInt8
from PIL import Image as Pillow
from PIL import ImageDraw, ImageFont

from breastseg.core.errors import GeometryError
from breastseg.core.lesion import Lesion
from breastseg.io.raster import encode_jpeg, encode_png

MODEL_COLOUR = (230, 159, 0)
READER_COLOUR = (86, 180, 233)
LONGER_SIDE = 768
JPEG_QUALITY = 88
"""At which thin coloured lines stay crisp."""

RIM_COLOUR = (0, 0, 0)
STRIP_COLOUR = (16, 22, 28)
TEXT_COLOUR = (222, 229, 236)
_WINDOW_PERCENTILES = (1, 99)
_DASH, _GAP = 10, 6
_PANEL_GAP = 4
_DOT = 4
"""Dashes up to this length are dots, in a legend too."""
_SAMPLE = 40
"""Pixels of a legend in front of the name of a line."""

Grey = Float32[np.ndarray, "rows columns"]
Mask = Bool[np.ndarray, "rows columns"]
Colour = UInt8[np.ndarray, "rows columns 3"]
Outline = Int[np.ndarray, "points 1 2"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """The outline of a mask in a picture.

    dash: drawn and left out by turns, in points along the line; None for a solid line.
    empty: what the legend says of an empty mask.
    least: parts and holes whose outline encloses fewer pixels of the picture are not drawn.
    """

    mask: Mask
    name: str
    colour: tuple[int, int, int]
    dash: tuple[int, int] | None = None
    empty: str = "no lesion"
    least: int = 0


def model_line(mask: Mask | None) -> list[Line]:
    """Return the outline of what the model marked: solid orange; none where it has not looked."""
    return [] if mask is None else [Line(mask=mask, name="model", colour=MODEL_COLOUR)]


def reader_line(mask: Mask | None) -> list[Line]:
    """Return the outline of what the reader drew: dashed blue; none where nobody has looked."""
    if mask is None:
        return []
    return [Line(mask=mask, name="reader", colour=READER_COLOUR, dash=(_DASH, _GAP))]


def draw_overlay(
    pixels: Grey,
    mask: Mask | None,
    reference: Mask | None = None,
    *,
    lesions: Sequence[Lesion] = (),
    others: Sequence[Line] = (),
    longer_side: int = LONGER_SIDE,
    legend: bool = True,
) -> Colour:
    """Draw thin outlines over an image, scaled so that its longer side has a given length.

    Args:
        pixels: grey values in any unit; shown from their 1st to their 99th percentile.
        mask: what the model marked: a solid orange line. None where no model has looked.
        reference: what the reader drew: a dashed blue line. None where no reader has looked.
        lesions: numbered in the picture, with their probability.
        others: outlines beside these two, which they are drawn over.
        longer_side: of the picture in pixels, without the legend. A small image is enlarged,
            so that the lines stay thin beside what they outline.
        legend: add a strip below the image that names the lines.

    Raises:
        GeometryError: a mask has another shape than the image.
    """
    lines = [*model_line(mask), *reader_line(reference)]
    drawn = draw_lines(pixels, [*others, *lines], longer_side=longer_side)
    canvas = Pillow.fromarray(drawn)
    _number(canvas, lesions, longer_side / max(pixels.shape))
    return np.asarray(with_legend(canvas, [*lines, *others]) if legend else canvas)


def draw_lines(pixels: Grey, lines: Sequence[Line], *, longer_side: int = LONGER_SIDE) -> Colour:
    """Draw outlines over an image, the later ones on top; arguments and errors of draw_overlay."""
    for line in lines:
        if line.mask.shape != pixels.shape:
            raise GeometryError(
                f"an outline must have the shape of its image {pixels.shape}, got "
                f"{line.mask.shape}."
            )
    picture = plain_picture(pixels, longer_side=longer_side)
    draw_outlines(picture, lines)
    return picture


def plain_picture(pixels: Grey, *, longer_side: int = LONGER_SIDE) -> Colour:
    """Return an image without any line, scaled and shown as in draw_overlay."""
    scale = longer_side / max(pixels.shape)
    return np.repeat(_scaled(_windowed(pixels), scale)[..., None], 3, axis=2)


def thumbnail_jpeg(
    pixels: Grey,
    reference: Mask | None = None,
    *,
    colours: Colour | None = None,
    longer_side: int = 220,
) -> bytes:
    """Return a small picture with the reader's outline as a JPEG file.

    Args:
        pixels: grey values in any unit.
        reference: what the reader drew; None where no reader has looked.
        colours: shown instead of the grey values, where there are any.
        longer_side: of the picture in pixels.

    Raises:
        GeometryError: the reference has another shape than the image.
    """
    if colours is None:
        picture = draw_overlay(pixels, None, reference, longer_side=longer_side, legend=False)
        return encode_jpeg(picture)
    scale = longer_side / max(pixels.shape)
    channels = [_scaled(colours[..., channel], scale) for channel in range(3)]
    picture = np.ascontiguousarray(np.stack(channels, axis=2))
    draw_outlines(picture, reader_line(reference))
    return encode_jpeg(picture)


def triptych_png(
    pixels: Grey, probability: Grey, mask: Mask, reference: Mask, *, longer_side: int = 256
) -> bytes:
    """Return a PNG of an image, of the network's probability, and of the outlines over the image.

    Args:
        probability: in [0, 1], drawn from black to white: what a network that marks nothing
            has begun to see.
        mask, reference: outlined as in draw_overlay.
        longer_side: of each of the three pictures in pixels.
    """
    plain = draw_overlay(pixels, None, longer_side=longer_side, legend=False)
    grey = np.asarray(np.rint(255 * np.clip(probability, 0, 1)), np.uint8)
    seen = np.repeat(_scaled(grey, longer_side / max(grey.shape))[..., None], 3, axis=2)
    outlined = draw_overlay(pixels, mask, reference, longer_side=longer_side, legend=False)
    gap = np.full((len(plain), _PANEL_GAP, 3), STRIP_COLOUR, np.uint8)
    canvas = Pillow.fromarray(np.hstack([plain, gap, seen, gap, outlined]))
    lines = [*model_line(mask), *reader_line(reference)]
    return encode_png(np.asarray(with_legend(canvas, lines)))


def _windowed(pixels: Grey) -> UInt8[np.ndarray, "rows columns"]:
    low, high = np.percentile(pixels, _WINDOW_PERCENTILES)
    if high <= low:  # nearly all of one grey: show whatever stands out of it
        low, high = float(pixels.min()), float(pixels.max())
    grey = (pixels - low) / max(high - low, np.finfo(np.float32).tiny)
    return np.asarray(np.rint(255 * np.clip(grey, 0, 1)), np.uint8)


def _scaled(
    grey: UInt8[np.ndarray, "rows columns"], scale: float
) -> UInt8[np.ndarray, "rows columns"]:
    rows, columns = (max(1, round(scale * length)) for length in grey.shape)
    method = cv2.INTER_CUBIC if scale > 1 else cv2.INTER_AREA
    return np.asarray(cv2.resize(grey, (columns, rows), interpolation=method), np.uint8)


def draw_outlines(picture: Colour, lines: Sequence[Line]) -> None:
    """Draw all lines with a dark rim, dashed ones last so that all show where they meet."""
    shape = picture.shape[:2]
    thickness = max(2, round(max(shape) / 384))
    outlines = [_outlines(line, shape) for line in lines]
    rims = [outline for each in outlines for outline in each]
    cv2.polylines(picture, rims, True, RIM_COLOUR, thickness + 2, cv2.LINE_AA)
    for line, drawn in zip(lines, outlines, strict=True):
        pieces = drawn if line.dash is None else _dashes(drawn, *line.dash)
        cv2.polylines(picture, pieces, line.dash is None, line.colour, thickness, cv2.LINE_AA)


def _outlines(line: Line, shape: tuple[int, ...]) -> list[Outline]:
    """Return the outer and inner outlines of the mask of a line, at the size of the picture.

    Between pixels the edge runs smoothly. Where the picture is smaller than the image, a mask
    of a single pixel still shows.
    """
    mask, (rows, columns) = line.mask, shape
    shrinks = rows < mask.shape[0] or columns < mask.shape[1]
    method, level = (cv2.INTER_AREA, 0.0) if shrinks else (cv2.INTER_LINEAR, 0.49)
    share = cv2.resize(mask.astype(np.float32), (columns, rows), interpolation=method)
    inside = (share > level).astype(np.uint8)
    outlines, _ = cv2.findContours(inside, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    return [each for each in outlines if not line.least or cv2.contourArea(each) >= line.least]


def _dashes(outlines: Sequence[Outline], dash: int, gap: int) -> list[Outline]:
    return [
        outline[start : start + dash]
        for outline in outlines
        for start in range(0, len(outline), dash + gap)
    ]


def _number(canvas: Pillow.Image, lesions: Sequence[Lesion], scale: float) -> None:
    """Write each lesion's number and probability above its bounding box, inside the image."""
    draw, font = ImageDraw.Draw(canvas), _font(canvas)
    for lesion in lesions:
        text = f"{lesion.number}"
        if lesion.probability is not None:
            text += f": {lesion.probability:.2f}"
        left, top, right, bottom = draw.textbbox((0, 0), text, font)
        width, height, margin = right + 8, bottom + 6, 4
        row, column, *_ = lesion.bounding_box
        x = min(max(round(column * scale), 0), max(canvas.width - int(width), 0))
        y = max(round(row * scale) - int(height) - margin, 0)
        draw.rectangle((x, y, x + width, y + height), fill=MODEL_COLOUR)
        draw.text((x + 4 - left / 2, y + 3 - top / 2), text, fill=RIM_COLOUR, font=font)


def with_legend(canvas: Pillow.Image, lines: Sequence[Line]) -> Pillow.Image:
    """Add a strip below a picture that names the lines, in as many rows as its width asks for."""
    font = _font(canvas)
    rows = _legend_rows(canvas, lines, font)
    height = round(1.5 * font.size)
    strip = height * len(rows) + round(0.7 * font.size)
    whole = Pillow.new("RGB", (canvas.width, canvas.height + strip), STRIP_COLOUR)
    whole.paste(canvas)
    draw, first = ImageDraw.Draw(whole), canvas.height + round(1.1 * font.size)
    for number, row in enumerate(rows):
        for x, line in row:
            _name_line(draw, (x, first + number * height), line, font)
    return whole


def _legend_rows(
    canvas: Pillow.Image, lines: Sequence[Line], font: ImageFont.FreeTypeFont
) -> list[list[tuple[float, Line]]]:
    """Return the lines of each row of the legend, with where each begins."""
    draw, left = ImageDraw.Draw(canvas), float(font.size)
    rows: list[list[tuple[float, Line]]] = [[]]
    x = left
    for line in lines:
        width = _SAMPLE + draw.textlength(_named(line), font)
        if rows[-1] and x + width > canvas.width:
            rows.append([])
            x = left
        rows[-1].append((x, line))
        x += width + 1.5 * font.size
    return rows


def _name_line(
    draw: ImageDraw.ImageDraw, place: tuple[float, float], line: Line, font: ImageFont.FreeTypeFont
) -> None:
    x, y = place
    dash, gap = (31, 0) if line.dash is None else (7, 5) if line.dash[0] > _DOT else (3, 4)
    for start in range(0, 31, dash + gap):
        draw.line((x + start, y, x + start + dash, y), fill=line.colour, width=3)
    draw.text((x + _SAMPLE, y), _named(line), fill=TEXT_COLOUR, font=font, anchor="lm")


def _named(line: Line) -> str:
    return line.name if line.mask.any() else f"{line.name}: {line.empty}"


def _font(canvas: Pillow.Image) -> ImageFont.FreeTypeFont:
    return load_font(max(11, max(canvas.size) // 38))


def load_font(size: int) -> ImageFont.FreeTypeFont:
    """Return the font of all pictures; size in pixels."""
    font = ImageFont.load_default(size)
    if not isinstance(font, ImageFont.FreeTypeFont):
        raise RuntimeError("Pillow was built without FreeType; install Pillow's own wheel.")
    return font
