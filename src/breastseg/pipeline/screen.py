"""What the screen of an ultrasound machine adds to a picture: text, calipers, colour, a frame."""

import cv2
import numpy as np
from jaxtyping import Float32, UInt8

from breastseg.pipeline.preprocess import standardise

Square = Float32[np.ndarray, "size size"]
Paper = UInt8[np.ndarray, "size size"]

_LETTERS = tuple("ABCDEFGHIKLMNOPRSTUVXYZabcdefgmrtx0123456789.:+-")
# Sides of a colour box and its slant, and the width of a vessel, as shares of the size.
_BOX = (0.2, 0.8)
_SLANT = 0.2
_VESSEL = (0.008, 0.03)
# The longer side of a picture within a screen, as a share of the size, and the other beside it.
_PICTURE = (0.55, 0.95)
_SQUEEZE = (0.8, 1)


def draw_marks(image: Square, mask: Square, stream: np.random.Generator) -> Square:
    """Draw some lines of text and calipers, half of which measure a lesion where there is one."""
    low, high = float(image.min()), float(image.max())
    for _ in range(stream.integers(1, 5)):
        paper = np.zeros(image.shape, np.uint8)
        if stream.integers(2):
            _draw_calipers(paper, mask, stream)
        else:
            _draw_text(paper, stream)
        ink = low + (high - low) * float(stream.uniform(0.7, 1.2))
        image = image + (ink - image) * (paper / np.float32(255))
    return image


def _draw_text(paper: Paper, stream: np.random.Generator) -> None:
    size = paper.shape[0]
    text = "".join(stream.choice(_LETTERS, stream.integers(2, 14)).tolist())
    where = stream.integers(0, size, 2).tolist()
    height = float(stream.uniform(0.2, 0.5)) * size / 256
    cv2.putText(paper, text, where, cv2.FONT_HERSHEY_SIMPLEX, height, 255, 1, cv2.LINE_AA)


def _draw_calipers(paper: Paper, mask: Square, stream: np.random.Generator) -> None:
    """Draw two crosses, and at times the dotted line that is measured between them."""
    size = paper.shape[0]
    if mask.any() and stream.integers(2):
        ends = _extent(mask, stream.uniform(0, np.pi))
    else:
        ends = stream.integers(0, size, (2, 2))
    arm, kind = round(float(stream.uniform(2, 5)) * size / 256), int(stream.integers(2))
    for end in ends.tolist():
        cv2.drawMarker(paper, end, 255, kind, 2 * arm)
    if stream.random() < 0.5:
        num_dots = int(np.abs(ends[1] - ends[0]).max()) // 4 + 2
        columns, rows = np.linspace(ends[0], ends[1], num_dots).round().astype(int).T
        paper[rows, columns] = 255


def _extent(mask: Square, angle: float) -> np.ndarray:
    """Return the (column, row) of the two pixels of a mask that are farthest along an angle."""
    places = np.argwhere(mask)[:, ::-1]
    along = places @ (np.cos(angle), np.sin(angle))
    return places[[along.argmin(), along.argmax()]]


def draw_doppler(image: Square, stream: np.random.Generator) -> Square:
    """Draw a box of colour Doppler as it looks in grey: flow of two brightnesses, an outline.

    What is 0 around the picture stays 0.
    """
    size = image.shape[0]
    low, high = float(image.min()), float(image.max())
    box = np.zeros(image.shape, np.uint8)
    corners, inside = _box(size, stream), image != 0
    cv2.fillPoly(box, [corners], 1)
    box[~inside] = 0
    vessel = size * float(stream.uniform(*_VESSEL))
    noise = cv2.GaussianBlur(stream.standard_normal((size, size), np.float32), (0, 0), vessel)
    field = noise / max(float(noise.std()), 1e-6)
    least, opacity = stream.uniform(1, 2.4), stream.uniform(0.6, 1)
    for flow in (field, -field):
        shown = np.clip(4 * (flow - least), 0, 1) * (box * opacity)
        ink = low + (high - low) * stream.uniform(0.1, 0.8)
        image = np.asarray(image + (ink - image) * shown, np.float32)
    if stream.random() < 0.7:
        outline = np.zeros(image.shape, np.uint8)
        cv2.polylines(outline, [corners], isClosed=True, color=1)
        bright = np.float32(low + (high - low) * stream.uniform(0.5, 1))
        image = np.where(outline * inside, bright, image)
    return image


def _box(size: int, stream: np.random.Generator) -> np.ndarray:
    """Draw a parallelogram: the (column, row) of its corners, which may lie outside."""
    width, height = size * stream.uniform(*_BOX, 2)
    left, top = stream.uniform(0, size - width), stream.uniform(0, size - height)
    slant = size * stream.uniform(-_SLANT, _SLANT) * stream.integers(2)
    corners = [
        (left + slant, top),
        (left + width + slant, top),
        (left + width - slant, top + height),
        (left - slant, top + height),
    ]
    return np.asarray(corners).round().astype(np.int32)


def show_on_screen(
    image: Square, mask: Square, stream: np.random.Generator
) -> tuple[Square, Square]:
    """Shrink a picture onto a dark screen with text and a grey bar; the mask goes with it.

    The result is standardised. What was 0 around the picture is as dark as the screen.
    """
    size = image.shape[0]
    inside = image != 0
    if not inside.any():
        return image, mask
    low, high = float(image[inside].min()), float(image.max())
    sides = size * stream.uniform(*_PICTURE) * stream.permuted([1, stream.uniform(*_SQUEEZE)])
    rows, columns = (round(side) for side in sides)
    top, left = (int(stream.integers(0, size - side + 1)) for side in (rows, columns))
    picture = (slice(top, top + rows), slice(left, left + columns))
    paper = np.zeros(image.shape, np.uint8)
    for _ in range(stream.integers(2, 10)):
        _draw_text(paper, stream)
    if stream.integers(2):
        _draw_grey_bar(paper, stream)
    screen = low + (high - low) * float(stream.uniform(0.4, 1)) * (paper / np.float32(255))
    dark = np.where(inside, image, np.float32(low))
    screen[picture] = cv2.resize(dark, (columns, rows), interpolation=cv2.INTER_AREA)
    target = np.zeros_like(mask)
    shares = cv2.resize(mask, (columns, rows), interpolation=cv2.INTER_AREA)
    target[picture] = shares >= 0.5
    return standardise(screen), target


def _draw_grey_bar(paper: Paper, stream: np.random.Generator) -> None:
    """Draw the bar that shows all grey values, from bright at the top to dark."""
    size = paper.shape[0]
    height, width = (round(size * stream.uniform(*span)) for span in ((0.1, 0.4), (0.01, 0.03)))
    top, left = stream.integers(0, size - height), stream.integers(0, size - width)
    ramp = np.linspace(255, 0, height).astype(np.uint8)
    paper[top : top + height, left : left + width] = ramp[:, None]
