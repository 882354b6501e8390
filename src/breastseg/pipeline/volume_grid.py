"""From a CT volume to the network's grid and back; the same code in training and prediction.

The network's axes run to the head, to posterior and to the left of the patient, whatever the
order in the file. Axes are exchanged and turned round, and lengths resampled; an oblique grid
is not rotated, as its affine says where its voxels lie.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from jaxtyping import Bool, Float32, UInt8

from breastseg.core.errors import GeometryError
from breastseg.core.image import Image
from breastseg.core.orientation import Anatomy, anatomy_of
from breastseg.core.volume_recipe import VolumePreprocessing

Volume = Float32[np.ndarray, "slices rows columns"]
Mask = Bool[np.ndarray, "slices rows columns"]
Labels = UInt8[np.ndarray, "slices rows columns"]
Weights = Float32[np.ndarray, "resampled original"]
Box = tuple[slice, slice, slice]

_SLAB = 16
"""Slices that are resampled at a time: so much is copied, whatever the size of the scan."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VolumeGrid:
    """A box of a scan on the grid of the network, and the way back.

    anatomy: how the file's axes run in the patient.
    box: the part of the scan that the network sees, in voxels of the scan as
        `anatomy.to_lps` views it: axes to (head, posterior, left).
    shape: voxels of the network's grid.
    scale: voxels of the scan per voxel of that grid, along each axis.
    """

    anatomy: Anatomy
    box: Box
    shape: tuple[int, int, int]
    scale: tuple[float, float, float]

    @classmethod
    def fit(
        cls,
        image: Image,
        spacing_mm: Sequence[float],
        inside: Mask | Labels | None = None,
        *,
        margin_mm: float = 0.0,
        least: Sequence[int] = (1, 1, 1),
    ) -> Self:
        """Lay a grid of that spacing over an image.

        Args:
            image: with an affine.
            spacing_mm: of the network's grid, to (head, posterior, left).
            inside: on the image's grid: what the box must hold; None or nothing for all.
            margin_mm: that the box reaches beyond it, as far as the image goes.
            least: voxels of the network's grid that the box must have along each axis, as far
                as the image goes: a tile sees what there is instead of a continued border.

        Raises:
            GeometryError: the image has no affine.
        """
        if image.affine is None:
            raise GeometryError(
                "a volume must say where its voxels lie in millimetres; its affine is missing. "
                "Read it from a DICOM series or a NIfTI file."
            )
        anatomy = anatomy_of(image.affine)
        lengths = np.linalg.norm(image.affine[:3, :3], axis=0)[list(anatomy.axes[::-1])]
        scale = np.asarray(spacing_mm, np.float64) / lengths
        tight = _box(anatomy.to_lps(image.pixels if inside is None else inside), inside is not None)
        sizes = anatomy.to_lps(image.pixels).shape
        grown = (
            _grown(side, size, margin_mm / length, count * step)
            for side, size, length, count, step in zip(
                tight, sizes, lengths, least, scale, strict=True
            )
        )
        box = tuple(grown)
        sides = [each.stop - each.start for each in box]
        shape = [max(1, round(side / step)) for side, step in zip(sides, scale, strict=True)]
        return cls(
            anatomy=anatomy,
            box=(box[0], box[1], box[2]),
            shape=(shape[0], shape[1], shape[2]),
            scale=(float(scale[0]), float(scale[1]), float(scale[2])),
        )

    def apply(self, values: np.ndarray) -> Volume:
        """Bring an array on the image's grid to that of the network, linearly.

        Along an axis that becomes coarser it is smoothed as far as the new voxels reach.
        """
        return self._apply(values, lambda slab: np.asarray(slab, np.float32))

    def apply_mask(self, mask: Mask | Labels, label: int = 1) -> Mask:
        """Bring a mask to the network's grid: true where at least half of a voxel is inside.

        Args:
            label: of a label map, which of its values counts.
        """
        return np.asarray(self._apply(mask, lambda slab: (slab == label).astype(np.float32)) >= 0.5)

    def _apply(self, values: np.ndarray, prepared: Callable[[np.ndarray], Volume]) -> Volume:
        view = self.anatomy.to_lps(values)[self.box]
        along = [
            _weights(old, new, step)
            for old, new, step in zip(view.shape, self.shape, self.scale, strict=True)
        ]
        planes = np.empty((view.shape[0], *self.shape[1:]), np.float32)
        for start in range(0, len(view), _SLAB):
            slab = prepared(view[start : start + _SLAB])
            planes[start : start + _SLAB] = along[1] @ slab @ along[2].T
        return _along_slices(along[0], planes)

    @property
    def sides(self) -> tuple[int, int, int]:
        """Voxels of the scan in the box, to (head, posterior, left)."""
        head, posterior, left = (each.stop - each.start for each in self.box)
        return head, posterior, left

    def invert(self, values: Volume) -> Volume:
        """Bring an array on the network's grid to the scan's voxels in the box, linearly.

        Its axes run to (head, posterior, left); `box_of` says where it belongs.
        """
        return np.concatenate(list(self.invert_slabs(values)))

    def invert_slabs(self, values: Volume) -> Iterator[Volume]:
        """Yield what `invert` returns, some slices at a time: the whole is nowhere held."""
        along = [
            _weights(old, new, 1 / step)
            for old, new, step in zip(self.shape, self.sides, self.scale, strict=True)
        ]
        for start in range(0, self.sides[0], _SLAB):
            wanted = along[0][start : start + _SLAB]
            (used,) = np.nonzero(wanted.any(axis=0))
            near = slice(used[0], used[-1] + 1)
            planes = along[1] @ np.asarray(values[near], np.float32) @ along[2].T
            yield _along_slices(np.ascontiguousarray(wanted[:, near]), planes)

    def box_of(self, array: np.ndarray) -> np.ndarray:
        """Return a view of the box in an array on the image's grid, to be read or written."""
        return self.anatomy.to_lps(array)[self.box]


def _box(inside: np.ndarray, asked: bool) -> Box:
    whole = tuple(slice(0, size) for size in inside.shape)
    if not asked or not inside.any():
        return whole[0], whole[1], whole[2]
    sides = []
    for axis in range(3):
        others = tuple(other for other in range(3) if other != axis)
        (hit,) = np.nonzero(inside.any(axis=others))
        sides.append(slice(int(hit[0]), int(hit[-1]) + 1))
    return sides[0], sides[1], sides[2]


def _grown(side: slice, size: int, margin: float, least: float) -> slice:
    """Return a side of a box with its margin and of at least that length, within the image."""
    more = max(math.ceil(margin), math.ceil((least - (side.stop - side.start)) / 2))
    start, stop = max(0, side.start - more), min(size, side.stop + more)
    # At the border of the image, what is missing on one side is taken on the other.
    stop = min(size, max(stop, start + math.ceil(least)))
    return slice(max(0, min(start, stop - math.ceil(least))), stop)


def _weights(old: int, new: int, step: float) -> Weights:
    """Return what each new voxel takes of each old one, `step` old voxels apart.

    A triangle as wide as the coarser of the two grids; outside, the last voxel goes on.
    """
    centres = (np.arange(new) + 0.5) * step - 0.5
    width = max(1.0, step)
    first = np.floor(centres - width).astype(int)
    weights = np.zeros((new, old))
    for tap in range(int(np.ceil(2 * width)) + 2):
        at = first + tap
        share = np.maximum(0.0, 1 - np.abs(at - centres) / width)
        np.add.at(weights, (np.arange(new), np.clip(at, 0, old - 1)), share)
    return np.asarray(weights / weights.sum(axis=1, keepdims=True), np.float32)


def _along_slices(weights: Weights, planes: Volume) -> Volume:
    flat = weights @ planes.reshape(len(planes), -1)
    return np.asarray(flat.reshape(len(weights), *planes.shape[1:]), np.float32)


def standardise_hu(volume: Volume, preprocessing: VolumePreprocessing) -> Volume:
    """Cut HU to the recipe's window, and shift and scale them."""
    low, high = preprocessing.window_hu
    cut = np.clip(volume, low, high)
    return np.asarray((cut - preprocessing.mean_hu) / preprocessing.sd_hu, np.float32)
