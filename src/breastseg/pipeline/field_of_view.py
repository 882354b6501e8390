"""Where the picture of a CT ends: at the border of the array, or at a circle within it."""

import numpy as np
from jaxtyping import Bool, Float32

_ROUND_EDGE = 0.015


def edge_of_field(
    planes: Float32[np.ndarray, "slices rows columns"],
) -> Bool[np.ndarray, "rows columns"]:
    """Return the outermost pixels of axial planes.

    Where all beyond the circle that touches the four borders is one value, the field of view
    is round, and the pixels along that circle belong to its edge.
    """
    _, rows, columns = planes.shape
    edge = np.zeros((rows, columns), bool)
    edge[[0, -1]] = edge[:, [0, -1]] = True
    down, across = np.mgrid[0:rows, 0:columns]
    radius = np.hypot(
        (down - (rows - 1) / 2) / (rows / 2), (across - (columns - 1) / 2) / (columns / 2)
    )
    beside = planes[:, radius > 1.01]
    if beside.min() == beside.max():
        edge |= np.abs(radius - 1) < _ROUND_EDGE
    return edge
