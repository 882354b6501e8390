"""A label map as a NIfTI file: read onto the grid of a series, and written on it.

The file may store its axes in another order or direction, as tools do: what counts is where
its voxels lie in the patient.
"""

import contextlib
from pathlib import Path

import numpy as np

from breastseg.core.errors import GeometryError, ReferenceMaskError
from breastseg.core.geometry import Grid, resample_labels
from breastseg.core.image import Image, LabelMap, Pixels
from breastseg.core.orientation import Affine, farthest_mm
from breastseg.io.nifti import read_nifti, write_stored

TOLERANCE_MM = 1e-3
GREATEST_LABEL = 65535

_Turn = tuple[tuple[int, ...], tuple[int, ...]]


def read_label_map(path: Path, *, shape: tuple[int, int, int], affine: Affine) -> LabelMap:
    """Read a label map that lies on the grid of a series.

    Args:
        shape, affine: of the series, axes (slice, row, column), to LPS.

    Returns:
        Labels, 0 for background, with the axes of the series.

    Raises:
        ScanError: the file is no NIfTI, is truncated, or does not say where its voxels lie; see
            read_nifti.
        ReferenceMaskError: a value is no whole number of at least 0.
        GeometryError: a voxel lies more than 0.001 mm from where the series has one.
    """
    return _on_grid(path, _read(path), shape, affine)


def _read(path: Path) -> Image:
    stored = read_nifti(path)
    _require_labels(path, stored.pixels)
    return stored


def _on_grid(path: Path, stored: Image, shape: tuple[int, int, int], affine: Affine) -> LabelMap:
    return np.ascontiguousarray(turned_to_grid(path, stored, shape, affine), np.int32)


def turned_to_grid(path: Path, stored: Image, shape: tuple[int, ...], affine: Affine) -> Pixels:
    """Return the values of a volume with the axes of a series on whose grid it lies; no copy.

    Raises:
        GeometryError: a voxel lies more than 0.001 mm from where the series has one.
    """
    order, flips = _turn(path, stored, shape, affine)
    return np.transpose(stored.pixels, order)[tuple(slice(None, None, flip) for flip in flips)]


def resample_label_map(path: Path, grid: Grid) -> tuple[LabelMap, tuple[str, ...]]:
    """Read a label map that may lie on another grid, and carry it to that of a series.

    Returns:
        Labels on the grid, each voxel with the one nearest to its centre, and a note where that
        changed anything.

    Raises:
        ScanError, ReferenceMaskError: as read_label_map.
        GeometryError: a label has no voxel left: it lies outside, or between the voxels.
    """
    stored = _read(path)
    with contextlib.suppress(GeometryError):
        return _on_grid(path, stored, grid.shape, grid.affine), ()
    assert stored.affine is not None
    labels = stored.pixels.astype(np.int32)
    carried = resample_labels(labels, stored.affine, grid)
    lost = np.setdiff1d(labels, carried)
    if lost.any():
        raise GeometryError(
            f"{path}: expected every label on the grid of the series, but {lost[lost > 0].size} "
            f"have no voxel there, such as {lost[lost > 0][0]}: they lie outside the series, or "
            "are thinner than its voxels. Draw them on the series itself."
        )
    before, after = _volume_ml(labels, stored.affine), _volume_ml(carried, grid.affine)
    return carried, (
        "The mask lay on another grid and was resampled: each voxel of the series took the label "
        f"nearest to its centre. Volume of all labels: {before:.3f} ml before, {after:.3f} ml now.",
    )


def write_label_map(path: Path, labels: LabelMap, affine: Affine) -> None:
    """Write a label map with the least of 8 and 16 bits that holds it; see write_stored.

    Raises:
        GeometryError: the grid is sheared, or a label is above 65,535.
        OutputError: the file cannot be written.
    """
    dtype = np.uint8 if labels.max(initial=0) <= np.iinfo(np.uint8).max else np.uint16
    if labels.min(initial=0) < 0 or labels.max(initial=0) > GREATEST_LABEL:
        raise GeometryError(f"{path}: labels must be from 0 to {GREATEST_LABEL} in a label map.")
    write_stored(path, labels.astype(dtype), affine)


def _volume_ml(labels: LabelMap, affine: Affine) -> float:
    voxel_mm3 = abs(float(np.linalg.det(affine[:3, :3])))
    return np.count_nonzero(labels) * voxel_mm3 / 1000


def _require_labels(path: Path, values: Pixels) -> None:
    fractions = np.count_nonzero(np.rint(values) != values)
    if fractions:
        raise ReferenceMaskError(
            f"{path}: a mask must hold whole numbers, but {fractions} voxels have none, such as "
            "probabilities. Apply a threshold before."
        )
    if values.min() < 0 or values.max() > GREATEST_LABEL:
        raise ReferenceMaskError(
            f"{path}: a mask must hold numbers from 0 to {GREATEST_LABEL}, got {values.min():g} "
            f"to {values.max():g}. Export it as a label map."
        )


def _turn(path: Path, stored: Image, shape: tuple[int, ...], affine: Affine) -> _Turn:
    """Return the order of the stored axes, and their directions, that give those of the series."""
    assert stored.affine is not None
    to_series = np.linalg.solve(affine, stored.affine)
    rounded = np.rint(to_series[:3, :3]).astype(int)
    size = np.abs(rounded)
    order = tuple(int(axis) for axis in size.argmax(axis=1))
    is_turn = (size.sum(axis=0) == 1).all() and (size.sum(axis=1) == 1).all()
    if not is_turn or tuple(stored.pixels.shape[axis] for axis in order) != shape:
        raise _other_grid(path, stored, shape, "their axes or sizes differ")
    flips = tuple(int(sign) for sign in rounded.sum(axis=1))
    expected = np.eye(4)
    expected[:3, :3] = rounded
    expected[:3, 3] = [0 if flip > 0 else n - 1 for flip, n in zip(flips, shape, strict=True)]
    apart = farthest_mm(affine @ expected, stored.affine, stored.pixels.shape)
    if apart > TOLERANCE_MM:
        raise _other_grid(path, stored, shape, f"voxels lie up to {apart:.4f} mm apart")
    return order, flips


def _other_grid(path: Path, stored: Image, shape: tuple[int, ...], how: str) -> GeometryError:
    return GeometryError(
        f"{path}: the mask must lie on the grid of the series within {TOLERANCE_MM} mm, but {how}: "
        f"the mask has {stored.pixels.shape} slices, rows and columns in its own order, the series "
        f"{shape}. Export it on the grid of the series, or have it resampled "
        "(`breastseg results --resample-mask`)."
    )
