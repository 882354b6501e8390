"""The picture of where the score for malignant comes from, with the sum that it is.

Colours lie over the image, so it is a picture of its own: the outline is judged in the overlay
beside it. Towards malignant is vermilion, away from it blue.
"""

import math

import cv2
import numpy as np
from jaxtyping import Float32
from PIL import Image as Pillow
from PIL import ImageDraw, ImageFont

from breastseg.inference.class_activation import MalignancyMap
from breastseg.report.overlays import (
    LONGER_SIDE,
    STRIP_COLOUR,
    TEXT_COLOUR,
    Colour,
    Grey,
    Line,
    Mask,
    draw_outlines,
    load_font,
    plain_picture,
)

FOR_COLOUR, AGAINST_COLOUR = (255, 96, 16), (40, 140, 255)
OUTLINE_COLOUR = (255, 255, 255)
LEAST_LIMIT = 0.1
"""Log odds of one place that the full colour stands for at least: weak maps look weak."""
_OPACITY = 0.6
_GREY = 64

Share = Float32[np.ndarray, "rows columns"]


def draw_malignancy(
    pixels: Grey, mask: Mask, found: MalignancyMap, *, longer_side: int = LONGER_SIDE
) -> Colour:
    """Draw the contributions to the score over an image, with their scale and sum below.

    Args:
        pixels, longer_side: as of overlays.draw_overlay.
        mask: what the model marked: a white outline.
        found: of this image.
    """
    limit = max(float(np.abs(found.places).max()), LEAST_LIMIT)
    plain = plain_picture(pixels, longer_side=longer_side)
    rows, columns, _ = plain.shape
    share = cv2.resize(found.on_image() / np.float32(limit), (columns, rows))
    picture = _tinted(plain, np.asarray(share, np.float32))
    draw_outlines(picture, [Line(mask=mask, name="model", colour=OUTLINE_COLOUR)])
    return np.vstack([picture, _scale(columns, limit), _text(columns, _sum_in_words(found))])


def _tinted(picture: Colour, share: Share) -> Colour:
    """Lay colours over a picture, the thicker the nearer their share is to 1 or -1."""
    opacity = _OPACITY * np.clip(np.abs(share), 0, 1)[..., None]
    colour = np.where(share[..., None] > 0, FOR_COLOUR, AGAINST_COLOUR)
    return np.asarray(np.rint(picture * (1 - opacity) + colour * opacity), np.uint8)


def _scale(width: int, limit: float) -> Colour:
    """Return a bar of the colours over grey, with what its ends and its middle stand for."""
    size = _font_size(width)
    font, long = load_font(size), width - 2 * size
    share = np.broadcast_to(np.linspace(-1, 1, long).astype(np.float32), (size, long))
    bar = _tinted(np.full((size, long, 3), _GREY, np.uint8), share)
    strip = Pillow.new("RGB", (width, round(3.2 * size)), STRIP_COLOUR)
    strip.paste(Pillow.fromarray(bar), (size, round(0.6 * size)))
    draw, y = ImageDraw.Draw(strip), round(2.5 * size)
    ends = ((size, f"against {-limit:.2f}", "lm"), (width - size, f"{limit:+.2f} for", "rm"))
    for x, text, anchor in (*ends, (width // 2, "0", "mm")):
        draw.text((x, y), text, fill=TEXT_COLOUR, font=font, anchor=anchor)
    return np.asarray(strip)


def _sum_in_words(found: MalignancyMap) -> str:
    """Say how the places add up to the score, and what the picture cannot tell."""
    places, side = found.places.sum(), found.pixels_per_place
    margin = f" ({found.margin:+.2f} of it beyond the edges)" if found.has_margin else ""
    return (
        f"Where the score for malignant comes from. Malignant against {found.against}: "
        f"{found.score:+.2f} log odds = {places:+.2f} from all places{margin}, "
        f"{found.bias:+.2f} as in every image. Coarse: a place is {side:.0f} px wide here, and "
        "sees more around it. Not a proof of cancer."
    )


def _text(width: int, text: str) -> Colour:
    """Return a strip with a text in as many lines as it needs."""
    size = _font_size(width)
    font, height = load_font(size), round(1.35 * size)
    lines = _wrapped(text, font, width - 2 * size)
    strip = Pillow.new("RGB", (width, height * len(lines) + size), STRIP_COLOUR)
    draw = ImageDraw.Draw(strip)
    for number, line in enumerate(lines):
        place = (size, number * height + round(0.3 * size))
        draw.text(place, line, fill=TEXT_COLOUR, font=font)
    return np.asarray(strip)


def _wrapped(text: str, font: ImageFont.FreeTypeFont, width: int) -> list[str]:
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".lstrip()
        if font.getlength(longer) <= width:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines


def _font_size(width: int) -> int:
    return max(11, math.ceil(width / 42))
