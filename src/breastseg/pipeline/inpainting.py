"""Painting tissue of the same depth over a lesion: negatives for data sets that have none.

Skin, fat, gland and muscle lie in layers, so what is found beside a lesion at its own depth could
well be in its place. Unlike a part without lesion (pipeline.lesion_free) the picture keeps its
frame, its depth and its marks: nothing but the lesion tells it from the picture as it was. What
is painted beside lesions keeps a network from learning the paint instead.
"""

import cv2
import numpy as np
from jaxtyping import Bool, Float32, Int

from breastseg.pipeline.lesion_free import area_of
from breastseg.pipeline.preprocess import standardise

Square = Float32[np.ndarray, "size size"]
Columns = Bool[np.ndarray, " size"]

_LARGEST = 0.15
"""Of the picture: over more than that, what lies beside a lesion cannot be told from it."""
_CLEARANCE = (0.01, 0.025)
"""Painted around a lesion, whose edge is drawn where its halo is not yet over; of the size."""
_SOFTNESS = (0.004, 0.01)
"""Deviation of the edge of the paint, of the size."""
_FAINTEST = 0.01
_DEPTH = 0.03
"""The most by which the tissue may come from another depth, of the size."""
_LEAST_OVERLAP = 0.15
"""Of what is taken from the left and from the right, as a share of the gap."""
_TRIALS = 6

Source = tuple[Int[np.ndarray, " gap"], Float32[np.ndarray, " gap"]]
"""The column that each column of a gap is filled from, and its share of the sum."""


def inpaint_lesion(
    image: Square, mask: Square, stream: np.random.Generator
) -> tuple[Square, Square]:
    """Paint tissue from beside the lesions over them, and standardise anew.

    Args:
        image: a standardised picture, 0 around it.
        mask: 1 inside a lesion; somewhere it is.
        stream: the case's own random numbers.

    Returns:
        Image and an empty mask; both as they are where the lesions are too large, or there is
        not enough beside them.
    """
    inside = image != 0
    if not inside.any() or mask.sum() > _LARGEST * inside.sum():
        return image, mask
    brush = _brush(mask, stream)
    painted = _paint(image, brush, _touched(brush), stream)
    return (image, mask) if painted is None else (painted, np.zeros_like(mask))


def inpaint_beside(image: Square, mask: Square, stream: np.random.Generator) -> Square:
    """Paint the same way over a place beside the lesions, where one is found.

    Arguments as in inpaint_lesion; the lesions stay, and so does the mask.
    """
    inside = image != 0
    if not inside.any():
        return image
    size = image.shape[0]
    brush = _brush(mask, stream)
    row, column = (float(places.mean()) for places in np.nonzero(brush > 0.5))
    for _ in range(_TRIALS):
        scale = stream.uniform(0.5, 1.2)
        down, right = stream.uniform(-0.3, 0.3) * size, stream.uniform(-0.6, 0.6) * size
        offsets = [column + right - scale * column, row + down - scale * row]
        matrix = np.column_stack([np.eye(2) * scale, offsets]).astype(np.float32)
        moved = np.asarray(cv2.warpAffine(brush, matrix, (size, size)), np.float32) * inside
        touched = moved > _FAINTEST
        if not touched.any() or mask[touched].any():
            continue
        painted = _paint(image, moved, _touched(moved) | _touched(mask), stream)
        if painted is not None:
            return painted
    return image


def _brush(mask: Square, stream: np.random.Generator) -> Square:
    """Return how much of the paint covers each pixel: 1 in the lesions, with a soft edge."""
    size = mask.shape[0]
    softness = size * stream.uniform(*_SOFTNESS)
    radius = round(size * stream.uniform(*_CLEARANCE) + softness)
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
    return np.asarray(cv2.GaussianBlur(cv2.dilate(mask, kernel), (0, 0), softness), np.float32)


def _touched(brush: Square) -> Columns:
    """Return the columns that a brush, or a mask, reaches."""
    return np.asarray((brush > _FAINTEST).any(axis=0))


def _paint(
    image: Square, brush: Square, taken: Columns, stream: np.random.Generator
) -> Square | None:
    """Return the image with tissue under the brush, or None where there is not enough.

    Args:
        taken: columns that no tissue may come from.
    """
    inside = image != 0
    top, bottom, left, right = area_of(inside)
    covered = np.flatnonzero(_touched(brush))
    gap = slice(int(covered[0]), int(covered[-1]) + 1)
    free = ~taken
    free[:left] = free[right:] = False
    ways = [way for way in (_elsewhere(gap, free, stream), _both_sides(gap, free, stream)) if way]
    if not ways:
        return None
    offset = image.shape[0] * stream.uniform(-_DEPTH, _DEPTH)
    rows = np.clip(np.arange(image.shape[0]) + offset, top, bottom - 1)
    tissue = np.zeros_like(image)
    for columns, share in ways[stream.integers(len(ways))]:
        column, row = (each.astype(np.float32) for each in np.meshgrid(columns, rows))
        tissue[:, gap] += share * cv2.remap(image, column, row, cv2.INTER_LINEAR)
    result = np.zeros_like(image)
    result[inside] = standardise((image + brush * (tissue - image))[inside][None])[0]
    return result


def _elsewhere(gap: slice, free: Columns, stream: np.random.Generator) -> list[Source]:
    """Return as many neighbouring columns as the gap has, at times mirrored, if there are."""
    width = gap.stop - gap.start
    runs = np.lib.stride_tricks.sliding_window_view(free, width).all(axis=1)
    starts = np.flatnonzero(runs)
    if not len(starts):
        return []
    columns = starts[stream.integers(len(starts))] + np.arange(width)
    return [(columns[::-1] if stream.random() < 0.5 else columns, np.ones(width, np.float32))]


def _both_sides(gap: slice, free: Columns, stream: np.random.Generator) -> list[Source]:
    """Return what lies left and right of the gap, mirrored into it, and how the two blend."""
    width = gap.stop - gap.start
    num_left = _num_free(free[: gap.start][::-1], width)
    num_right = _num_free(free[gap.stop :], width)
    overlap = num_left + num_right - width
    if overlap < _LEAST_OVERLAP * width:
        return []
    blend = max(_LEAST_OVERLAP * width, 0.5 * overlap)
    middle = stream.uniform(width - num_right + blend / 2, num_left - blend / 2)
    place = np.arange(width)
    to_right = np.clip((place + 0.5 - middle) / blend + 0.5, 0, 1).astype(np.float32)
    from_left = np.maximum(gap.start - 1 - place, gap.start - num_left)
    from_right = np.minimum(gap.stop + width - 1 - place, gap.stop + num_right - 1)
    return [(from_left, 1 - to_right), (from_right, to_right)]


def _num_free(beside: Columns, most: int) -> int:
    """Return how many columns are free from the first one on."""
    taken = np.flatnonzero(~beside[:most])
    return int(taken[0]) if len(taken) else len(beside[:most])
