"""Random changes of training patches of volumes, by one interpolation for all movements."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Float32, Float64
from scipy import ndimage

from breastseg.core.recipe import Augmentation
from breastseg.pipeline.augment import change_intensity

Volume = Float32[np.ndarray, "slices rows columns"]

OUT_OF_PLANE = 1 / 3
"""Of Augmentation.rotation_degrees: the largest turn about the two axes that lie in a slice."""


@dataclass(frozen=True, slots=True)
class Movement:
    """Where each voxel of a patch comes from: `matrix @ (voxel - centre)` from the source's centre.

    Axes are (slice, row, column), in voxels.
    """

    matrix: Float64[np.ndarray, "3 3"]

    @property
    def is_none(self) -> bool:
        """Whether nothing moves."""
        return bool(np.array_equal(self.matrix, np.eye(3)))

    def source_shape(self, shape: Sequence[int]) -> tuple[int, int, int]:
        """Return the voxels, of the same parity, that a patch of that shape is made from."""
        if self.is_none:
            return shape[0], shape[1], shape[2]
        half = (np.asarray(shape) - 1) / 2
        beyond = np.abs(self.matrix) @ half - half
        more = np.where(beyond > 0, np.ceil(beyond).astype(int) + 1, 0)
        sides = [side + 2 * int(each) for side, each in zip(shape, more, strict=True)]
        return sides[0], sides[1], sides[2]

    def apply(self, source: Volume, shape: Sequence[int], *, nearest: bool) -> Volume:
        """Make a patch from a source of source_shape; beyond it the last voxels go on."""
        if self.is_none:
            return source
        if not source.any():
            return np.zeros(tuple(shape), np.float32)
        if self._keeps_slices:
            return self._within_slices(source, shape, nearest=nearest)
        centre = (np.asarray(source.shape) - 1) / 2
        offset = centre - self.matrix @ ((np.asarray(shape) - 1) / 2)
        moved = ndimage.affine_transform(
            source,
            self.matrix,
            offset,
            output_shape=tuple(shape),
            output=np.float32,
            order=0 if nearest else 1,
            mode="nearest",
            prefilter=False,
        )
        return np.asarray(moved)

    @property
    def _keeps_slices(self) -> bool:
        unmoved = np.eye(3)[0]
        return np.array_equal(self.matrix[0], unmoved) and np.array_equal(
            self.matrix[:, 0], unmoved
        )

    def _within_slices(self, source: Volume, shape: Sequence[int], *, nearest: bool) -> Volume:
        """Move each slice alike, ten times as fast as a volume."""
        rows, columns = shape[1:]
        matrix = self.matrix[:0:-1, :0:-1]  # cv2 has columns first
        centre = (np.array(source.shape[:0:-1]) - 1) / 2
        offset = centre - matrix @ ((np.array([columns, rows]) - 1) / 2)
        how = cv2.INTER_NEAREST if nearest else cv2.INTER_LINEAR
        moved = [
            cv2.warpAffine(
                plane,
                np.column_stack([matrix, offset]),
                (columns, rows),
                flags=how | cv2.WARP_INVERSE_MAP,
                borderMode=cv2.BORDER_REPLICATE,
            )
            for plane in source
        ]
        return np.asarray(np.stack(moved), np.float32)


def draw_movement(
    augmentation: Augmentation,
    spacing_mm: Sequence[float],
    stream: np.random.Generator,
    *,
    within_slices: bool,
) -> Movement:
    """Draw flip (left and right), turns and zoom.

    Args:
        spacing_mm: of the grid, (slice, row, column); turns are those of the patient.
        within_slices: slices keep their places, as the channels of a network of two dimensions
            must.
    """
    largest = np.deg2rad(augmentation.rotation_degrees)
    axial, tilt, roll = largest * stream.uniform(-1, 1, 3)
    zoom = (1 + augmentation.scale) ** stream.uniform(-1, 1)
    flip = -1.0 if stream.random() < augmentation.flip else 1.0
    turn = _turn(1, 2, axial)
    if not within_slices:
        turn = turn @ _turn(0, 1, OUT_OF_PLANE * tilt) @ _turn(0, 2, OUT_OF_PLANE * roll)
    sizes = np.full(3, 1 / zoom)
    if within_slices:
        sizes[0] = 1.0
    millimetres = np.diag(np.asarray(spacing_mm, np.float64))
    matrix = np.linalg.inv(millimetres) @ turn @ np.diag(sizes) @ millimetres
    if not largest:  # no rounding: what does not move is not interpolated
        matrix = np.diag(sizes)
    return Movement(matrix @ np.diag([1.0, 1.0, flip]))


def _turn(first: int, second: int, angle: float) -> Float64[np.ndarray, "3 3"]:
    turn = np.eye(3)
    cosine, sine = np.cos(angle), np.sin(angle)
    turn[first, first] = turn[second, second] = cosine
    turn[first, second], turn[second, first] = -sine, sine
    return turn


def change_look(volume: Volume, augmentation: Augmentation, stream: np.random.Generator) -> Volume:
    """Blur within the slices, as a smoother kernel does; change gamma, contrast, brightness, noise.

    Args:
        volume: standardised.
    """
    if augmentation.blur and (deviation := augmentation.blur * stream.random()) > 0.1:
        volume = np.stack([cv2.GaussianBlur(plane, (0, 0), deviation) for plane in volume])
    return np.asarray(change_intensity(volume, augmentation, stream), np.float32)
