"""Pictures of a volume: three planes through each lesion, close-ups, maximum projections."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from PIL import Image as Pillow
from PIL import ImageDraw

from breastseg.core.lesion_volume import VolumeLesion
from breastseg.report.overlays import (
    MODEL_COLOUR,
    READER_COLOUR,
    RIM_COLOUR,
    STRIP_COLOUR,
    TEXT_COLOUR,
    Colour,
    Line,
    draw_outlines,
    load_font,
    model_line,
    reader_line,
)
from breastseg.report.volume_planes import PLANES, Plane, Viewer

PANEL = 384
_WIDE_PANEL = 576
_GAP = 6
_TEXT_SIZE = 14
_LEAST_SIDE = 104
_CLOSE_UP_TIMES = 2.5
_SMALLEST_CLOSE_UP_MM = 40.0
_BAR_LENGTHS_MM = (200, 100, 50, 20, 10, 5, 2, 1)
_LARGEST_BAR = 0.3
_KEY_WIDTH = 40

Box = tuple[int, int, int, int]

MARKED, DRAWN = 1, 2


@dataclass(frozen=True, slots=True)
class Window:
    """Which values are shown: black below level - width / 2, white above level + width / 2."""

    name: str
    level: float
    width: float
    unit: str = " HU"

    def __str__(self) -> str:
        return (
            f"{self.name} window, level {self.level:g}{self.unit}, width {self.width:g}{self.unit}"
        )

    def grey(self, pixels: np.ndarray) -> np.ndarray:
        """Return grey values from 0 to 255."""
        low = self.level - self.width / 2
        return np.rint(255 * np.clip((pixels - low) / self.width, 0, 1)).astype(np.uint8)


SOFT_TISSUE = Window("soft tissue", 40, 400)
LUNG = Window("lung", -600, 1500)
BONE = Window("bone", 400, 1800)


@dataclass(frozen=True, slots=True)
class Style:
    """How a volume is drawn.

    by_model: lesions are outlined as what a model marked, otherwise as what a reader drew.
    window: which values are shown.
    both: labels are sums instead, MARKED where a model has marked and DRAWN where a reader drew.
    author: who drew the outlines, where that is neither.
    """

    by_model: bool
    window: Window = SOFT_TISSUE
    author: str | None = None
    both: bool = False

    def lines(self, labels: np.ndarray) -> list[Line]:
        """Return the outlines of the labels of a plane."""
        if self.both:
            return [*model_line((labels & MARKED) > 0), *reader_line((labels & DRAWN) > 0)]
        line = model_line if self.by_model else reader_line
        return [each for number in np.unique(labels[labels > 0]) for each in line(labels == number)]

    def key(self) -> list[tuple[str, bool]]:
        """Return who is outlined, and whether by the line of a model."""
        both = [("model", True), ("reader", False)]
        if self.both:
            return both
        name, by_model = both[0] if self.by_model else both[1]
        return [(self.author or name, by_model)]


def lesion_picture(viewer: Viewer, lesion: VolumeLesion, style: Style) -> Colour:
    """Return axial, coronal and sagittal planes through a lesion, and below a close-up of each.

    Each plane is the one in which the lesion is largest. The frame in it shows where the
    close-up lies.
    """
    planes = [viewer.plane(name, viewer.fullest(name, lesion.number)) for name in PLANES]
    side_mm = max(_SMALLEST_CLOSE_UP_MM, _CLOSE_UP_TIMES * lesion.diameter_3d_mm)
    crops = [crop(plane, plane.labels == lesion.number, side_mm) for plane in planes]
    px_per_mm = PANEL / max(max(size_mm(plane)) for plane in planes)
    whole = [
        panel(plane, style, px_per_mm, box=box)
        for plane, (_, box) in zip(planes, crops, strict=True)
    ]
    close = [panel(each, style, PANEL / max(size_mm(each))) for each, _ in crops]
    return sheet([whole, close], style, f"lesion {lesion.number}")


def projection_picture(viewer: Viewer, style: Style) -> Colour:
    """Return coronal and sagittal maximum intensity projections with the shadows of all lesions."""
    planes = [viewer.projection(name) for name in ("coronal", "sagittal")]
    return sheet([_row(planes, style, 1.5 * PANEL)], style, "lesions")


def middle_picture(viewer: Viewer, style: Style) -> Colour:
    """Return the three middle planes of a volume: what there is to see without a lesion."""
    planes = [viewer.plane(name, viewer.middle(name)) for name in PLANES]
    caption = "lesions" if viewer.labels.any() else "no lesion marked"
    return sheet([_row(planes, style, PANEL)], style, caption)


def survey_picture(viewer: Viewer, number: int | None, window: Window) -> Colour:
    """Return three planes through a structure, or through the middle where nothing was drawn.

    All labels are outlined as what a reader drew. Planes of a volume of one slice that would be
    lines are left out.

    Args:
        number: the label to look at, each plane where it is largest.
    """
    style = Style(by_model=False, window=window)
    return _survey(viewer, number, style, None if number is None else "masks")


def region_picture(viewer: Viewer, number: int) -> Colour:
    """Return three planes through a breast, with the outlines of the breast region.

    Args:
        number: the label of the breast, each plane where it is largest.
    """
    style = Style(by_model=True, author="computed")
    return _survey(viewer, number, style, "breast region")


def _survey(viewer: Viewer, number: int | None, style: Style, caption: str | None) -> Colour:
    """Draw three planes, the larger ones beside each other."""
    planes = [
        viewer.plane(name, viewer.middle(name) if number is None else viewer.fullest(name, number))
        for name in PLANES
    ]
    planes = [plane for plane in planes if min(plane.pixels.shape) > 1] or planes[:1]
    row = _row(planes, style, _WIDE_PANEL)
    if sum(panel.height for panel in row[1:]) + _GAP > row[0].height:
        row = _row(planes, style, PANEL)
    elif len(row) > 1:
        row = [row[0], _pile(row[1:])]
    return sheet([row], style, caption)


def _pile(panels: Sequence[Pillow.Image]) -> Pillow.Image:
    """Put panels below each other: low ones need not lie beside a high one."""
    height = sum(panel.height + _GAP for panel in panels) - _GAP
    pile = Pillow.new("RGB", (max(panel.width for panel in panels), height), STRIP_COLOUR)
    y = 0
    for panel in panels:
        pile.paste(panel, ((pile.width - panel.width) // 2, y))
        y += panel.height + _GAP
    return pile


def _row(planes: Sequence[Plane], style: Style, side: float) -> list[Pillow.Image]:
    px_per_mm = side / max(max(size_mm(plane)) for plane in planes)
    return [panel(plane, style, px_per_mm) for plane in planes]


def size_mm(plane: Plane) -> tuple[float, float]:
    """Return height and width of a plane."""
    rows, columns = plane.pixels.shape
    return rows * plane.spacing_mm[0], columns * plane.spacing_mm[1]


def crop(plane: Plane, lesion: np.ndarray, side_mm: float) -> tuple[Plane, Box]:
    """Return the surroundings of a lesion in a plane, and where they lie in it.

    Args:
        lesion: True inside it, of the plane's shape.
    """
    inside = np.argwhere(lesion)
    centre = (inside.min(axis=0) + inside.max(axis=0) + 1) / 2
    half = side_mm / 2 / np.array(plane.spacing_mm)
    low = np.maximum(np.floor(centre - half), 0).astype(int)
    high = np.minimum(np.ceil(centre + half), plane.pixels.shape).astype(int)
    cut = (slice(low[0], high[0]), slice(low[1], high[1]))
    close = Plane(
        name=plane.name,
        pixels=plane.pixels[cut],
        labels=plane.labels[cut],
        spacing_mm=plane.spacing_mm,
        letters=plane.letters,
        where="close-up",
    )
    return close, (int(low[0]), int(low[1]), int(high[0]), int(high[1]))


def panel(plane: Plane, style: Style, px_per_mm: float, *, box: Box | None = None) -> Pillow.Image:
    """Draw one plane with square pixels, the outlines of its lesions, and a frame at a box."""
    down, right = (spacing * px_per_mm for spacing in plane.spacing_mm)
    rows, columns = (
        max(1, round(size * scale))
        for size, scale in zip(plane.pixels.shape, (down, right), strict=True)
    )
    method = cv2.INTER_AREA if max(down, right) < 1 else cv2.INTER_LINEAR
    grey = cv2.resize(style.window.grey(plane.pixels), (columns, rows), interpolation=method)
    picture = np.repeat(grey[..., None], 3, axis=2)
    draw_outlines(picture, style.lines(plane.labels))
    canvas = Pillow.fromarray(picture)
    if box is not None:
        top, left, bottom, end = box
        edges = (left * right, top * down, end * right - 1, bottom * down - 1)
        ImageDraw.Draw(canvas).rectangle(edges, outline=TEXT_COLOUR)
    canvas = _at_least(canvas, _LEAST_SIDE)
    _annotate(canvas, plane, px_per_mm)
    return canvas


def _at_least(canvas: Pillow.Image, side: int) -> Pillow.Image:
    """Lay a picture that is too low or narrow for its letters onto black."""
    if min(canvas.size) >= side:
        return canvas
    width, height = (max(length, side) for length in canvas.size)
    black = Pillow.new("RGB", (width, height))
    black.paste(canvas, ((width - canvas.width) // 2, (height - canvas.height) // 2))
    return black


def _annotate(canvas: Pillow.Image, plane: Plane, px_per_mm: float) -> None:
    """Write the letters at the edges, the name of the plane, and a scale bar."""
    width, height, margin = canvas.width, canvas.height, 5
    left, right, top, bottom = plane.letters
    _write(canvas, (margin, height / 2), left, "lm")
    _write(canvas, (width - margin, height / 2), right, "rm")
    _write(canvas, (width / 2, margin), top, "mt")
    _write(canvas, (width / 2, height - margin), bottom, "mb")
    _write(canvas, (margin, margin), f"{plane.name}\n{plane.where}", "la")
    bar_mm = next((mm for mm in _BAR_LENGTHS_MM if mm * px_per_mm <= _LARGEST_BAR * width), 1)
    x, y = width - margin, height - margin - 2
    draw = ImageDraw.Draw(canvas)
    for colour, thickness in ((RIM_COLOUR, 6), (TEXT_COLOUR, 2)):
        draw.line((x - bar_mm * px_per_mm, y, x, y), fill=colour, width=thickness)
    _write(canvas, (x, y - 6), f"{bar_mm // 10} cm" if bar_mm >= 10 else f"{bar_mm} mm", "rb")


def _write(canvas: Pillow.Image, place: tuple[float, float], text: str, anchor: str) -> None:
    ImageDraw.Draw(canvas).text(
        place,
        text,
        fill=TEXT_COLOUR,
        font=load_font(_TEXT_SIZE),
        anchor=anchor,
        stroke_width=2,
        stroke_fill=RIM_COLOUR,
    )


def sheet(rows: Sequence[Sequence[Pillow.Image]], style: Style, caption: str | None) -> Colour:
    """Put panels into rows and columns, with a strip below that names lines and window.

    Args:
        caption: what the lines outline; None where there is none, since nobody has looked.
    """
    widths = [max(row[column].width for row in rows) for column in range(len(rows[0]))]
    heights = [max(panel.height for panel in row) for row in rows]
    strip = 2 * _TEXT_SIZE
    width = sum(widths) + _GAP * (len(widths) - 1)
    text = f"{style.window}    research use only"
    names = [] if caption is None else [name for name, _ in style.key()]
    if names and caption:
        text = f"{names[-1]}: {caption}    {text}"
    elif names:
        text = f"{names[-1]}    {text}"
    left = 8 + sum(_KEY_WIDTH + _name_width(name) for name in names[:-1])
    left += _KEY_WIDTH if names else 0
    width = max(width, left + math.ceil(load_font(_TEXT_SIZE).getlength(text)) + 8)
    whole = Pillow.new("RGB", (width, sum(heights) + _GAP * len(heights) + strip), STRIP_COLOUR)
    y = 0
    for row, height in zip(rows, heights, strict=True):
        x = 0
        for panel, breadth in zip(row, widths, strict=True):
            whole.paste(panel, (x + (breadth - panel.width) // 2, y))
            x += breadth + _GAP
        y += height + _GAP
    if names:
        _draw_key(whole, y + strip // 2, style)
    _write(whole, (left, y + strip / 2), text, "lm")
    return np.asarray(whole)


def _name_width(name: str) -> int:
    return math.ceil(load_font(_TEXT_SIZE).getlength(f"{name}  "))


def _draw_key(canvas: Pillow.Image, y: int, style: Style) -> None:
    """Draw a piece of each line, and the name of all but the last, which the caption has."""
    x, draw = 8, ImageDraw.Draw(canvas)
    for place, (name, by_model) in enumerate(style.key(), start=1):
        colour = MODEL_COLOUR if by_model else READER_COLOUR
        for start, end in ((0, 32),) if by_model else ((0, 8), (12, 20), (24, 32)):
            draw.line((x + start, y, x + end, y), fill=colour, width=3)
        if place < len(style.key()):
            _write(canvas, (x + _KEY_WIDTH, y), name, "lm")
            x += _KEY_WIDTH + _name_width(name)
