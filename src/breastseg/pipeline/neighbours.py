"""2.5D: a slice and its neighbours as the channels of an image.

The cheap way to let a 2D network see a volume: UNetSpec(input_channels=2 * reach + 1).
"""

from typing import TypeVar

import numpy as np
from jaxtyping import Shaped

Kind = TypeVar("Kind", bound=np.generic)


def with_neighbours(
    volume: Shaped[np.ndarray[tuple[int, ...], np.dtype[Kind]], "slice row column"], *, reach: int
) -> Shaped[np.ndarray[tuple[int, ...], np.dtype[Kind]], "slice channel row column"]:
    """Return each slice with those before and behind it, in the order of the volume.

    The middle channel is the slice itself. Beyond the ends of the volume its first and its last
    slice are repeated. All images look into one copy of the volume and cannot be written to:
    take a batch of them by index.

    Args:
        reach: how many slices on each side; 0 for the slice alone.

    >>> volume = np.arange(4).reshape(4, 1, 1)
    >>> with_neighbours(volume, reach=1)[:, :, 0, 0].tolist()
    [[0, 0, 1], [0, 1, 2], [1, 2, 3], [2, 3, 3]]
    """
    padded = np.pad(volume, ((reach, reach), (0, 0), (0, 0)), mode="edge")
    windows = np.lib.stride_tricks.sliding_window_view(padded, 2 * reach + 1, axis=0)
    return np.moveaxis(windows, -1, 1)
