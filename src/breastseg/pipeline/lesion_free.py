"""Parts of lesion images in which no lesion lies: negatives for data sets that have none."""

import numpy as np
from jaxtyping import Float32

from breastseg.pipeline.preprocess import Letterbox, standardise

Square = Float32[np.ndarray, "size size"]

_CLEARANCE = 0.04
"""Kept from a lesion, whose edge is drawn where its halo is not yet over; share of the size."""
_SMALLEST = 0.3
"""Shorter side of a part, as a share of the size: smaller ones are mostly blur."""

Box = tuple[int, int, int, int]
"""Top, bottom, left, right; bottom and right do not belong to it."""


def lesion_free_part(
    image: Square, mask: Square, stream: np.random.Generator
) -> tuple[Square, Square]:
    """Return a random part without lesion, enlarged to the square and standardised anew.

    Args:
        image: a standardised picture, 0 around it.
        mask: 1 inside a lesion; somewhere it is.
        stream: the case's own random numbers.

    Returns:
        Image and an empty mask; both as they are where no part is large enough, or where the
        picture is empty.
    """
    inside = image != 0
    if not inside.any():
        return image, mask
    beside = _beside(box_of(inside), box_of(mask > 0), image.shape[0])
    if not beside:
        return image, mask
    top, bottom, left, right = _some_of(
        beside[stream.integers(len(beside))], image.shape[0], stream
    )
    part = standardise(np.ascontiguousarray(image[top:bottom, left:right]))
    enlarged = Letterbox.fit(part.shape, image.shape[0]).apply(part)
    return enlarged, np.zeros_like(mask)


def box_of(region: np.ndarray) -> Box:
    """Return the smallest box around what is true; something is."""
    rows, columns = np.flatnonzero(region.any(axis=1)), np.flatnonzero(region.any(axis=0))
    return int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1


def _beside(picture: Box, lesion: Box, size: int) -> list[Box]:
    """Return what of the picture lies above, below, left and right of the lesions, if enough."""
    top, bottom, left, right = picture
    clear = round(_CLEARANCE * size)
    boxes = [
        (top, lesion[0] - clear, left, right),
        (lesion[1] + clear, bottom, left, right),
        (top, bottom, left, lesion[2] - clear),
        (top, bottom, lesion[3] + clear, right),
    ]
    least = _SMALLEST * size
    return [box for box in boxes if min(box[1] - box[0], box[3] - box[2]) >= least]


def _some_of(box: Box, size: int, stream: np.random.Generator) -> Box:
    """Return a random part of a box: between the smallest side and the whole, anywhere."""
    least = round(_SMALLEST * size)
    top, bottom = _some_along(box[0], box[1], least, stream)
    left, right = _some_along(box[2], box[3], least, stream)
    return top, bottom, left, right


def _some_along(start: int, stop: int, least: int, stream: np.random.Generator) -> tuple[int, int]:
    length = int(stream.integers(min(least, stop - start), stop - start + 1))
    first = start + int(stream.integers(0, stop - start - length + 1))
    return first, first + length
