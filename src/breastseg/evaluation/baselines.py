"""What a mask scores that never looks at the image: the floor under every model.

The seed of this project reported an accuracy of 0.9 for a network that marked nothing. Every
score therefore stands beside two masks that are the same for all images: nothing at all, and
the one that fits the training masks best.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float32, Float64

from breastseg.core.errors import InputError
from breastseg.evaluation.overlap import Mask

CELLS = 64
"""A constant mask is a grid of 64 x 64 cells, stretched over an image of any size."""

_SIZES = tuple(number / 10 for number in range(1, 11))
_NUM_THRESHOLDS = 64

Grid = Bool[np.ndarray, "64 64"]
Coverage = Float32[np.ndarray, "64 64"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ConstantMask:
    """A mask in relative coordinates that ignores the image.

    cells: axes (row, column); each cell covers 1/64 of the image's height and width.
    """

    name: str
    description: str
    cells: Grid

    def on(self, shape: tuple[int, ...]) -> Mask:
        """Return the mask stretched over an image of that shape (slices, rows, columns).

        Every slice of a volume gets the same mask.
        """
        slices, rows, columns = shape
        row = (2 * np.arange(rows) + 1) * CELLS // (2 * rows)
        column = (2 * np.arange(columns) + 1) * CELLS // (2 * columns)
        return np.repeat(self.cells[np.ix_(row, column)][None], slices, axis=0)


ALL_BACKGROUND = ConstantMask(
    name="all background",
    description="no pixel is marked, in any image",
    cells=np.zeros((CELLS, CELLS), bool),
)


def whole_region() -> ConstantMask:
    """Return the constant mask of volumes: every voxel of the region that is searched.

    Bodies lie differently in every scan, so that no mask in relative coordinates fits two of
    them; the breasts do. Whoever scores it cuts it to that region, as predictions are.
    """
    return ConstantMask(
        name="whole breast region",
        description="every voxel of the breasts is marked, in any scan",
        cells=np.ones((CELLS, CELLS), bool),
    )


def best_constant_mask(
    references: Iterable[Mask], *, chosen_on: str = "the training masks"
) -> ConstantMask:
    """Choose the mask of the highest mean Dice over references, were it drawn on every image.

    The candidates: every pixel; centred rectangles and ellipses of a tenth, two tenths and so
    on of the height and width; and the mean reference mask, cut at 64 quantiles. On the grid
    the Dice of each candidate is exact, also for volumes. One grid of 64 x 64 is kept per
    reference, so that any iterator will do; references without a lesion have no Dice and are
    passed over.

    Args:
        references: the masks to choose on. They must not be the ones that are scored.
        chosen_on: what these are, for the description.

    Raises:
        InputError: no reference holds a lesion.
    """
    coverages = [_coverage(reference) for reference in references if reference.any()]
    if not coverages:
        raise InputError(
            f"the best constant mask needs a lesion in {chosen_on}, found none. "
            "Pass the references of the training part."
        )
    stack = np.stack(coverages)
    names, grids = zip(*_candidates(stack.mean(axis=0)), strict=True)
    scores = _mean_dice(np.stack(grids), stack)
    best = int(np.argmax(scores))
    return ConstantMask(
        name="best constant mask",
        description=f"the same mask on every image: {names[best]}; of {len(names)} such masks it "
        f"fits {chosen_on} best (mean Dice {scores[best]:.3f})",
        cells=grids[best],
    )


def _coverage(reference: Mask) -> Coverage:
    """Return the share of lesion in each cell, in [0, 1]; the mean over the slices."""
    _, rows, columns = reference.shape
    image = reference.mean(axis=0)
    coverage = _cell_weights(rows) @ image @ _cell_weights(columns).T
    return np.asarray(coverage, np.float32)


def _cell_weights(num_pixels: int) -> Float64[np.ndarray, "64 pixels"]:
    """Return which share of each cell is covered by each pixel, along one axis."""
    edges = np.arange(num_pixels + 1) * (CELLS / num_pixels)
    cells = np.arange(CELLS)[:, None]
    shared = np.minimum(edges[1:], cells + 1) - np.maximum(edges[:-1], cells)
    return np.asarray(np.maximum(shared, 0.0))


def _candidates(mean_coverage: Coverage) -> Iterator[tuple[str, Grid]]:
    yield "every pixel", np.ones((CELLS, CELLS), bool)
    offset = np.abs((np.arange(CELLS) + 0.5) / CELLS - 0.5)
    row, column = offset[:, None], offset[None, :]
    for height in _SIZES:
        for width in _SIZES:
            size = f"{height:g} of the height and {width:g} of the width"
            across, along = 2 * row / height, 2 * column / width
            yield f"a centred rectangle, {size}", np.maximum(across, along) <= 1
            yield f"a centred ellipse, {size}", across**2 + along**2 <= 1
    levels = np.quantile(mean_coverage[mean_coverage > 0], np.linspace(0, 1, _NUM_THRESHOLDS))
    for level in np.unique(levels):
        share = f"in at least {100 * level:.3g} % of the references"
        yield f"where a lesion lies {share}", mean_coverage >= level


def _mean_dice(
    grids: Bool[np.ndarray, "candidates 64 64"], coverages: Float32[np.ndarray, "references 64 64"]
) -> Float32[np.ndarray, " candidates"]:
    candidates = grids.reshape(len(grids), -1).astype(np.float32)
    references = coverages.reshape(len(coverages), -1)
    sizes = candidates.sum(axis=1)[:, None] + references.sum(axis=1)[None, :]
    means: Float32[np.ndarray, " candidates"] = (2 * candidates @ references.T / sizes).mean(axis=1)
    return means
