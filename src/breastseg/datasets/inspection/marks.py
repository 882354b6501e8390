"""What machines and readers draw into ultrasound pictures: calipers, text, colour, Doppler.

The limits were chosen by looking at what they flag on BUSI and BUS-BRA; how often they are
right is in docs/how-to/inspect-a-data-set.md. All lengths are in pixels: such marks are drawn
at the resolution of the screen.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Bool, Float32, Int

from breastseg.io.raster import Bytes, Colours, highest_and_chroma

# Half the length of a caliper's strokes; shorter ones are those of reduced pictures.
_ARMS = (4, 6, 9, 13)
_CROSS_MIN_GREY = 90.0
_CROSS_MIN_CONTRAST = 48.0
_STANDS_OUT = 4
_MIN_CROSSES = 2

_STROKE = 7
_TEXT_MIN_GREY = 140.0
_TEXT_MIN_CONTRAST = 80.0
_MIN_LETTER_HEIGHT, _MAX_LETTER_HEIGHT = 5, 24
_MIN_LETTERS = 3
_NEXT_LINE = 2.5
"""Letters of a line too short to be known as text are as far away, in heights of letters."""

# See highest_and_chroma.
_MIN_CHROMA = 30
_FLOW_CHROMA = 60
_BOX_CHROMA = 16
_MIN_COLOURED = 10
_MIN_FLOW = 12
_BOX_SIDE = 0.15

Grey = Float32[np.ndarray, "rows columns"]
Boxes = Int[np.ndarray, "boxes 4"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Marks:
    """What is drawn into a picture.

    num_crosses: of calipers, outside of text. num_letters: of the longest row of text.
    coloured: share of pixels that are not grey. is_doppler: flow or a colour box.
    """

    num_crosses: int
    num_letters: int
    coloured: float
    has_colour: bool
    is_doppler: bool

    @property
    def has_calipers(self) -> bool:
        """A caliper has two ends."""
        return self.num_crosses >= _MIN_CROSSES

    @property
    def has_text(self) -> bool:
        """Fewer letters could be a chance arrangement of bright spots."""
        return self.num_letters >= _MIN_LETTERS


def find_marks(grey: Grey, colours: Colours | None) -> Marks:
    """Find what is drawn into a picture.

    Args:
        grey: values from 0 to 255.
        colours: red, green and blue; None for a grey picture.
    """
    bytewise = cv2.convertScaleAbs(grey)  # bytes are quicker than floats
    rows_of_text = _text(bytewise)
    crosses = _crosses(bytewise)
    lone = [cross for cross in crosses if not any(_inside(cross, row) for row in rows_of_text)]
    has_colour, is_doppler, coloured = False, False, 0.0
    if colours is not None:
        has_colour, is_doppler, coloured = _colour(colours)
    return Marks(
        num_crosses=len(lone),
        num_letters=max((len(row) for row in rows_of_text), default=0),
        coloured=coloured,
        has_colour=has_colour or is_doppler,
        is_doppler=is_doppler,
    )


def _crosses(grey: Bytes) -> list[tuple[float, float]]:
    """Return (row, column) of the centres of upright crosses, brighter than what is between."""
    found = np.zeros(grey.shape, np.uint8)
    for arm in _ARMS:
        if min(grey.shape) <= 4 * arm:
            continue
        length = 2 * arm + 1
        along = cv2.erode(grey, np.ones((1, length), np.uint8))
        lit = np.minimum(along, cv2.erode(grey, np.ones((length, 1), np.uint8)))
        margin = arm + 2
        # What hardly stands out of its surroundings need not be looked at closely.
        stands_out = cv2.subtract(lit, cv2.blur(grey, (length, length))) >= _STANDS_OUT
        likely = stands_out & (lit >= _CROSS_MIN_GREY)
        rows, columns = np.nonzero(likely[margin:-margin, margin:-margin])
        rows, columns = rows + margin, columns + margin
        contrast = lit[rows, columns].astype(np.float32) - _between(grey, rows, columns, arm)
        is_cross = contrast >= _CROSS_MIN_CONTRAST
        found[rows[is_cross], columns[is_cross]] = 1
    if not found.any():
        return []
    _, _, _, centres = cv2.connectedComponentsWithStats(cv2.dilate(found, np.ones((5, 5))))
    return [(float(row), float(column)) for column, row in centres[1:]]


def _between(
    grey: Bytes, rows: Int[np.ndarray, " n"], columns: Int[np.ndarray, " n"], arm: int
) -> Float32[np.ndarray, " n"]:
    """Return the grey between the strokes; the brightest quarter may hold the caliper's number."""
    side = max(arm - 2, 2)
    mean, away = cv2.blur(grey, (side, side)), arm // 2 + 2
    quarters = [mean[rows + up, columns + left] for up in (-away, away) for left in (-away, away)]
    return np.asarray(np.sort(quarters, axis=0)[2], np.float32)


def _text(grey: Bytes) -> list[Boxes]:
    """Return the rows of text: boxes (left, top, width, height) of letters side by side."""
    strokes = cv2.morphologyEx(grey, cv2.MORPH_TOPHAT, np.ones((_STROKE, _STROKE), np.uint8))
    bright = (strokes >= _TEXT_MIN_CONTRAST) & (grey >= _TEXT_MIN_GREY)
    _, _, parts, _ = cv2.connectedComponentsWithStats(bright.astype(np.uint8), connectivity=8)
    letters = parts[1:][_like_letters(parts[1:], len(grey))]
    letters = letters[np.lexsort((letters[:, 1], letters[:, 0])), :4]
    left, rows = list(range(len(letters))), []
    while left:
        row = [left[0]]
        for index in left[1:]:
            if _continues(letters[row[-1]], letters[index]):
                row.append(index)
        left = [index for index in left if index not in row]
        if len(row) >= _MIN_LETTERS:
            rows.append(letters[row])
    return rows


def _like_letters(parts: Int[np.ndarray, "n 5"], num_rows: int) -> Bool[np.ndarray, " n"]:
    width, height, area = parts[:, 2], parts[:, 3], parts[:, 4]
    tallest = max(_MAX_LETTER_HEIGHT, round(0.08 * num_rows))
    fits = (height >= _MIN_LETTER_HEIGHT) & (height <= tallest) & (width <= 2.2 * height)
    return np.asarray(fits & (area >= 0.2 * width * height) & (area >= height))


def _continues(last: Int[np.ndarray, "4"], letter: Int[np.ndarray, "4"]) -> bool:
    """Whether a letter stands on the line of another, is as tall, and follows it closely."""
    left, top, width, height = last.tolist()
    gap = letter[0] - (left + width)
    off_the_line = abs((letter[1] + letter[3]) - (top + height))
    return bool(
        off_the_line <= max(1.0, 0.1 * height)
        and abs(letter[3] - height) <= max(1.0, 0.1 * height)
        and -1 <= gap <= 1.5 * height
    )


def _inside(cross: tuple[float, float], row: Boxes) -> bool:
    """Whether a cross is a stroke of a letter, such as of T or H, or in the next line."""
    margin = _NEXT_LINE * row[:, 3].max()
    left, top = row[:, :2].min(axis=0) - margin
    right, bottom = (row[:, :2] + row[:, 2:]).max(axis=0) + margin
    return bool(top <= cross[0] <= bottom and left <= cross[1] <= right)


def _colour(colours: Colours) -> tuple[bool, bool, float]:
    """Return whether there is colour, whether it is Doppler, and the share of coloured pixels."""
    _, chroma = highest_and_chroma(colours)
    num_coloured = int(np.count_nonzero(chroma >= _MIN_CHROMA))
    is_doppler = _has_flow(colours, chroma) or _has_box(chroma)
    return num_coloured >= _MIN_COLOURED, is_doppler, num_coloured / chroma.size


def _has_flow(colours: Colours, chroma: Bytes) -> bool:
    """Whether there are filled patches of red, orange or blue."""
    hue = cv2.cvtColor(colours, cv2.COLOR_RGB2HSV_FULL)[..., 0].astype(np.float32) * (360 / 256)
    flow = (hue <= 42) | (hue >= 340) | ((hue >= 190) & (hue <= 265))
    flow &= chroma >= _FLOW_CHROMA
    filled = cv2.morphologyEx(flow.astype(np.uint8), cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
    return int(filled.sum()) >= _MIN_FLOW


def _has_box(chroma: Bytes) -> bool:
    """Whether a thin coloured frame of upright and level lines is drawn."""
    tinted = (chroma >= _BOX_CHROMA).astype(np.uint8)
    if tinted.mean() > 0.5:  # the whole picture is tinted: a colour map, no frame
        return False
    rows, columns = (max(8, round(_BOX_SIDE * length)) for length in chroma.shape)
    level = cv2.morphologyEx(tinted, cv2.MORPH_OPEN, np.ones((1, columns), np.uint8))
    upright = cv2.morphologyEx(tinted, cv2.MORPH_OPEN, np.ones((rows, 1), np.uint8))
    return bool(level.any() and upright.any())
