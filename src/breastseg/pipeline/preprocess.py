"""From an image to the network's input and back; the same code in training and prediction."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Bool, Float32

from breastseg.core.image import Area, Image
from breastseg.core.recipe import Preprocessing

Plane = Float32[np.ndarray, "rows columns"]
Square = Float32[np.ndarray, "size size"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Letterbox:
    """Scaling of the longer side of a scan to a square's size, centred, and back.

    picture: rows and columns of the whole picture. area: the part of it that is the scan.
    rows, columns: of the scan. scaled_rows, scaled_columns: what they become inside the
    square; top, left: where that begins.
    """

    size: int
    picture: tuple[int, int]
    area: Area
    rows: int
    columns: int
    scaled_rows: int
    scaled_columns: int
    top: int
    left: int

    @classmethod
    def fit(cls, shape: tuple[int, int], size: int, area: Area | None = None) -> "Letterbox":
        """Place an image of that shape (rows, columns) in a square of `size` pixels.

        Args:
            area: the part that is the scan, inside the image; None for all of it.

        >>> Letterbox.fit((100, 200), 64).scaled_rows
        32
        """
        area = area or Area(0, shape[0], 0, shape[1])
        rows, columns = area.shape
        ratio = size / max(rows, columns)
        scaled_rows = max(1, round(rows * ratio))
        scaled_columns = max(1, round(columns * ratio))
        return cls(
            size=size,
            picture=shape,
            area=area,
            rows=rows,
            columns=columns,
            scaled_rows=scaled_rows,
            scaled_columns=scaled_columns,
            top=(size - scaled_rows) // 2,
            left=(size - scaled_columns) // 2,
        )

    @property
    def inside(self) -> tuple[slice, slice]:
        """Rows and columns of the square that hold the image."""
        return (
            slice(self.top, self.top + self.scaled_rows),
            slice(self.left, self.left + self.scaled_columns),
        )

    def apply(self, pixels: Plane) -> Square:
        """Scale the scan of a picture into the square, see `fill`."""
        return self.fill(pixels[self.area.slices])

    def fill(self, scan: Plane) -> Square:
        """Scale a scan into the square; 0 around it. Area averaging when it shrinks."""
        square = np.zeros((self.size, self.size), np.float32)
        square[self.inside] = self._resize(scan, self.scaled_rows, self.scaled_columns)
        return square

    def apply_mask(self, mask: Bool[np.ndarray, "rows columns"]) -> Square:
        """Scale a mask into the square: 1 where at least half of a pixel is inside it."""
        return (self.apply(mask.astype(np.float32)) >= 0.5).astype(np.float32)

    def invert(self, values: Square, outside: float = 0) -> Plane:
        """Bring probabilities back to the picture's grid, bilinearly; `outside` of the scan."""
        inside = np.ascontiguousarray(values[self.inside])
        return self.placed(self._resize(inside, self.rows, self.columns), outside)

    def placed(self, scan: Plane, outside: float = 0) -> Plane:
        """Return values of the scan's grid on the picture's, with a constant around them."""
        if scan.shape == self.picture:
            return scan
        picture = np.full(self.picture, outside, np.float32)
        picture[self.area.slices] = scan
        return picture

    @staticmethod
    def _resize(pixels: Plane, rows: int, columns: int) -> Plane:
        shrinks = rows < pixels.shape[0] or columns < pixels.shape[1]
        how = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
        return np.asarray(cv2.resize(pixels, (columns, rows), interpolation=how), np.float32)


def standardise(pixels: Plane) -> Plane:
    """Shift and scale grey values to mean 0 and standard deviation 1; a constant becomes 0.

    The unit of the file (8 or 16 bit) thus makes no difference.
    """
    wide = pixels.astype(np.float64)
    deviation = wide.std()
    if deviation < 1e-6 * max(1.0, float(np.abs(wide).max())):
        return np.zeros(pixels.shape, np.float32)
    return np.asarray((wide - wide.mean()) / deviation, np.float32)


def prepare_image(
    image: Image, preprocessing: Preprocessing
) -> tuple[Float32[np.ndarray, "1 size size"], Letterbox]:
    """Return the network's input for a 2D image and the way back to its grid.

    The scan, without the screen around it, is standardised first; padding is 0, its mean. What is
    drawn over it in colour takes the grey of its surroundings.
    """
    rows, columns = image.pixels.shape[1:]
    letterbox = Letterbox.fit((rows, columns), preprocessing.size, image.scan_area)
    drawn = None if image.drawn is None else image.drawn[0]
    scan = _painted_over(image.pixels[0], drawn)[letterbox.area.slices]
    return letterbox.fill(standardise(scan))[None], letterbox


def _painted_over(pixels: Plane, drawn: Bool[np.ndarray, "rows columns"] | None) -> Plane:
    """Paint what is drawn, and two pixels around it, with the grey of its surroundings.

    Source: Telea 2004, An image inpainting technique based on the fast marching method.
    """
    if drawn is None:
        return pixels
    around = cv2.dilate(drawn.astype(np.uint8), np.ones((5, 5), np.uint8))
    return np.asarray(cv2.inpaint(pixels, around, 3, cv2.INPAINT_TELEA), np.float32)


def pad_to_stride(
    images: Float32[np.ndarray, "batch channel *space"], stride: Sequence[int]
) -> Float32[np.ndarray, "batch channel *padded_space"]:
    """Add zeros at the far end of each axis until its size is a multiple of its stride."""
    sizes = zip(images.shape[2:], stride, strict=True)
    missing = [(0, 0), (0, 0), *((0, -size % step) for size, step in sizes)]
    return np.pad(images, missing) if any(after for _, after in missing) else images


def cropped_to(
    logits: Float32[np.ndarray, "batch 1 *padded_space"], shape: Sequence[int]
) -> Float32[np.ndarray, "batch 1 *space"]:
    """Take away what pad_to_stride added to images of that shape."""
    inside: tuple[slice, ...] = tuple(slice(size) for size in shape)
    return logits[(slice(None), slice(None), *inside[2:])]
