"""Parts of lesion images in which no lesion lies: negatives for data sets that have none."""

import numpy as np
from jaxtyping import Float32

from breastseg.core.image import Area
from breastseg.pipeline.preprocess import Letterbox, standardise

Square = Float32[np.ndarray, "size size"]

_CLEARANCE = 0.04
"""Kept from a lesion, whose edge is drawn where its halo is not yet over; share of the size."""
_SMALLEST = 0.3
"""Shorter side of a part, as a share of the size: smaller ones are mostly blur."""


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
    beside = _beside(area_of(inside), area_of(mask > 0), image.shape[0])
    if not beside:
        return image, mask
    chosen = _some_of(beside[stream.integers(len(beside))], image.shape[0], stream)
    part = standardise(np.ascontiguousarray(image[chosen.slices]))
    enlarged = Letterbox.fit(part.shape, image.shape[0]).apply(part)
    return enlarged, np.zeros_like(mask)


def area_of(region: np.ndarray) -> Area:
    """Return the smallest area around what is true; something is."""
    rows, columns = np.flatnonzero(region.any(axis=1)), np.flatnonzero(region.any(axis=0))
    return Area(int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1)


def _beside(picture: Area, lesion: Area, size: int) -> list[Area]:
    """Return what of the picture lies above, below, left and right of the lesions, if enough."""
    clear = round(_CLEARANCE * size)
    areas = [
        picture._replace(bottom=lesion.top - clear),
        picture._replace(top=lesion.bottom + clear),
        picture._replace(right=lesion.left - clear),
        picture._replace(left=lesion.right + clear),
    ]
    return [each for each in areas if min(each.shape) >= _SMALLEST * size]


def _some_of(area: Area, size: int, stream: np.random.Generator) -> Area:
    """Return a random part of an area: between the smallest side and the whole, anywhere."""
    least = round(_SMALLEST * size)
    rows = _some_along(area.top, area.bottom, least, stream)
    columns = _some_along(area.left, area.right, least, stream)
    return Area(*rows, *columns)


def _some_along(start: int, stop: int, least: int, stream: np.random.Generator) -> tuple[int, int]:
    length = int(stream.integers(min(least, stop - start), stop - start + 1))
    first = start + int(stream.integers(0, stop - start - length + 1))
    return first, first + length
