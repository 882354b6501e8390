"""Pictures of what is guaranteed of an image: the outer and the inner outline, or "not sure"."""

from collections.abc import Sequence

import numpy as np
from PIL import Image as Pillow
from PIL import ImageDraw, ImageFont

from breastseg.core.calibration import Bounds, Calibration
from breastseg.core.lesion import Lesion
from breastseg.io.raster import encode_jpeg
from breastseg.report.overlays import (
    JPEG_QUALITY,
    LONGER_SIDE,
    Colour,
    Grey,
    Line,
    Mask,
    draw_lines,
    draw_overlay,
    model_line,
    reader_line,
)

# Okabe and Ito's green and purple, lightened for a dark picture.
OUTER_COLOUR = (64, 214, 160)
INNER_COLOUR = (240, 150, 205)

_DOTS = (4, 5)
_LEAST = 150
"""Of a picture of 768 pixels: what is smaller is speckle, which hides what it lies on."""
_SENTENCES = {
    "outer": "outer, with {confidence:.0%} confidence: at least {share:.0%} of the lesion lies "
    "within it",
    "inner": "inner, with {confidence:.0%} confidence: at least {share:.0%} of what lies within "
    "it is lesion",
}
_NOT_SURE = "not sure"
_BADGE_COLOUR = (16, 22, 28)
_BADGE_TEXT = (255, 255, 255)


def bounds_jpeg(
    pixels: Grey, mask: Mask, reference: Mask, bounds: Bounds, *, longer_side: int = LONGER_SIDE
) -> bytes:
    """Return the picture of draw_bounds as a JPEG file."""
    picture = draw_bounds(pixels, mask, reference, bounds, longer_side=longer_side)
    return encode_jpeg(picture, quality=JPEG_QUALITY)


def draw_prediction(
    pixels: Grey, mask: Mask, lesions: Sequence[Lesion], bounds: Bounds | None
) -> Colour:
    """Draw what the model marked as overlays.draw_overlay does, and what is guaranteed of it.

    Args:
        bounds: of this image, drawn as in draw_bounds; None where nothing is guaranteed.
    """
    others = [] if bounds is None else _bound_lines(bounds)
    picture = draw_overlay(pixels, mask, lesions=lesions, others=others)
    return _with_badge(picture, _NOT_SURE) if bounds and bounds.abstains else picture


def guarantees_in_words(calibration: Calibration) -> dict[str, str]:
    """Say what the contours of a model guarantee: "outer", "inner", and with what confidence."""
    said = {}
    for name, sentence in _SENTENCES.items():
        chosen = getattr(calibration, name)
        if chosen and chosen.threshold is not None:
            share, confidence = 1 - chosen.tolerance, 1 - chosen.alpha
            said[name] = sentence.format(share=share, confidence=confidence)
    return said


def draw_bounds(
    pixels: Grey, mask: Mask, reference: Mask, bounds: Bounds, *, longer_side: int = LONGER_SIDE
) -> Colour:
    """Draw what the model marked and the reader drew between what is guaranteed of both.

    The outer outline is dotted green, the inner one dotted purple, both without the smallest
    parts and holes. Where the model abstains
    the outer mask is most of the image: the picture says "not sure" in its stead.

    Args:
        pixels, mask, reference, longer_side: as of overlays.draw_overlay.
        bounds: of this image; what has no guarantee is not drawn.

    Raises:
        GeometryError: a mask has another shape than the image.
    """
    lines = [*_bound_lines(bounds), *model_line(mask), *reader_line(reference)]
    picture = draw_lines(pixels, lines, longer_side=longer_side)
    return _with_badge(picture, _NOT_SURE) if bounds.abstains else picture


def _bound_lines(bounds: Bounds) -> list[Line]:
    drawn = (
        ("outer, lesion within", None if bounds.abstains else bounds.outer, OUTER_COLOUR),
        ("inner, only lesion", bounds.inner, INNER_COLOUR),
    )
    return [
        Line(mask=mask[0], name=name, colour=colour, dash=_DOTS, empty="none", least=_LEAST)
        for name, mask, colour in drawn
        if mask is not None
    ]


def _with_badge(picture: Colour, text: str) -> Colour:
    """Write a word into the upper right corner."""
    canvas = Pillow.fromarray(picture)
    draw = ImageDraw.Draw(canvas)
    font = ImageFont.load_default(max(14, max(canvas.size) // 26))
    left, top, right, bottom = draw.textbbox((0, 0), text, font)
    margin = (bottom - top) // 2
    width, height = right - left + 2 * margin, bottom - top + 2 * margin
    x, y = canvas.width - width - margin, margin
    draw.rectangle((x, y, x + width, y + height), fill=_BADGE_COLOUR, outline=_BADGE_TEXT)
    draw.text((x + margin - left, y + margin - top), text, fill=_BADGE_TEXT, font=font)
    return np.asarray(canvas)
