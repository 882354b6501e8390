"""A network run over a volume tile by tile, with its answers put together."""

from collections.abc import Callable, Iterator, Sequence
from itertools import product

import numpy as np
from jaxtyping import Bool, Float32, UInt8
from scipy import ndimage

Volume = Float32[np.ndarray, "slices rows columns"]
Tiles = Float32[np.ndarray, "batch channel *space"]
Wanted = Bool[np.ndarray, "slices rows columns"] | UInt8[np.ndarray, "slices rows columns"]
Corner = tuple[int, int, int]

_SIGMA_SHARE = 0.125
"""Of a tile's side: standard deviation of its weights, as in Isensee et al. 2021."""
_SMALLEST_WEIGHT = 1e-3


def tile_weights(tile: Sequence[int]) -> Volume:
    """Return how much each voxel of a tile counts: a Gaussian, for the centre is known best."""
    along = [
        np.exp(-0.5 * np.square((np.arange(side) - (side - 1) / 2) / max(side * _SIGMA_SHARE, 0.5)))
        for side in tile
    ]
    weights = along[0][:, None, None] * along[1][:, None] * along[2]
    return np.asarray(np.maximum(weights, _SMALLEST_WEIGHT), np.float32)


def tile_corners(
    shape: Sequence[int], tile: Sequence[int], overlap: float, wanted: Wanted
) -> Iterator[Corner]:
    """Yield the first voxel of each tile that holds a wanted voxel, in the order of the array.

    Args:
        overlap: share of a side that neighbouring tiles have in common at least, in [0, 1).
        wanted: of the volume's shape. Each number above 0 is a part with tiles of its own: two
            breasts apart take fewer of them than the box around both.
    """
    corners: set[Corner] = set()
    for number, box in enumerate(ndimage.find_objects(wanted.astype(np.uint8)), start=1):
        if box is None:
            continue
        sides = zip(shape, tile, box, strict=True)
        starts = [_starts(size, side, overlap, within) for size, side, within in sides]
        for corner in product(*starts):
            at = zip(corner, tile, strict=True)
            if (wanted[tuple(slice(start, start + side) for start, side in at)] == number).any():
                corners.add((corner[0], corner[1], corner[2]))
    yield from sorted(corners)


def _starts(size: int, side: int, overlap: float, within: slice) -> list[int]:
    """Return where tiles begin that cover a part of an axis, as near around it as they can."""
    part = within.stop - within.start
    if part <= side:
        middle = (within.start + within.stop - side) // 2
        return [max(0, min(middle, size - side))]
    steps = int(np.ceil((part - side) / max(1, int(side * (1 - overlap)))))
    return [within.start + round(number * (part - side) / steps) for number in range(steps + 1)]


def logits_by_tiles(
    run: Callable[[Tiles], Tiles],
    volume: Volume,
    tile: Sequence[int],
    *,
    wanted: Wanted,
    overlap: float = 0.5,
    reach: int | None = None,
    done: Callable[[int, int], None] = lambda _done, _all: None,
) -> Volume:
    """Run a network over all tiles that hold a wanted voxel; weighted mean where they overlap.

    Args:
        run: from tiles (1, 1, *tile) to logits of the same shape; of a network of two dimensions
            from images (1, 2 * reach + 1, rows, columns) to logits (1, 1, rows, columns).
        volume: standardised; a volume smaller than a tile is continued by its last voxels.
        wanted: where an answer is needed; see tile_corners.
        overlap: see tile_corners.
        reach: of a network of two dimensions: how many slices before and behind a slice are its
            further channels; tiles then have one slice. None for three dimensions.
        done: told how many of the tiles are done.

    Returns:
        Logits in float32; where no tile was run, the lowest finite number.
    """
    missing = [max(0, side - size) for size, side in zip(volume.shape, tile, strict=True)]
    padded = np.pad(volume, [(0, each) for each in missing], mode="edge")
    asked = np.pad(wanted, [(0, each) for each in missing])
    total, weight = np.zeros(padded.shape, np.float32), np.zeros(padded.shape, np.float32)
    seen = padded if not reach else np.pad(padded, [(reach, reach), (0, 0), (0, 0)], mode="edge")
    weights = tile_weights(tile)
    corners = list(tile_corners(padded.shape, tile, overlap, asked))
    for number, corner in enumerate(corners, start=1):
        inside = tuple(slice(at, at + side) for at, side in zip(corner, tile, strict=True))
        deep = slice(corner[0], corner[0] + tile[0] + 2 * (reach or 0))
        cut = np.ascontiguousarray(seen[(deep, *inside[1:])])[None]
        total[inside] += weights * run(cut[None] if reach is None else cut)[0, 0]
        weight[inside] += weights
        done(number, len(corners))
    lowest = np.finfo(np.float32).min
    np.divide(total, weight, out=total, where=weight > 0)
    total[weight == 0] = lowest
    return total[tuple(slice(size) for size in volume.shape)]
