"""A label map as a NIfTI file: read onto the grid of a series, and written on it.

The file may store its axes in another order or direction, as tools do: what counts is where
its voxels lie in the patient.
"""

import gzip
import zlib
from itertools import product
from pathlib import Path

import nibabel as nib
import numpy as np

from breastseg.core.errors import GeometryError, ImageFileError, ReferenceMaskError
from breastseg.core.image import LabelMap
from breastseg.core.orientation import Affine
from breastseg.io.atomic import write_bytes

TOLERANCE_MM = 1e-3
GREATEST_LABEL = 65535
_LPS_FROM_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
_SUFFIXES = (".nii", ".nii.gz")


def is_nifti(path: Path) -> bool:
    """Whether a file is a NIfTI by its name."""
    return path.name.lower().endswith(_SUFFIXES)


def read_label_map(path: Path, *, shape: tuple[int, int, int], affine: Affine) -> LabelMap:
    """Read a label map that lies on the grid of a series.

    Args:
        shape, affine: of the series, axes (slice, row, column), to LPS.

    Returns:
        Labels, 0 for background, with the axes of the series.

    Raises:
        ImageFileError: the file is no NIfTI, or truncated.
        ReferenceMaskError: a value is no whole number of at least 0.
        GeometryError: a voxel lies more than 0.001 mm from where the series has one.
    """
    try:
        file = nib.nifti1.Nifti1Image.from_filename(path)
        values = np.asanyarray(file.dataobj)
        stored = _LPS_FROM_RAS @ np.asarray(file.affine, np.float64)
    except (OSError, EOFError, ValueError, zlib.error, nib.filebasedimages.ImageFileError) as error:
        raise ImageFileError(
            f"{path}: expected a whole NIfTI file, but it cannot be read ({error}). Export or "
            "copy it again."
        ) from None
    if values.ndim == 4 and values.shape[3] == 1:
        values = values[..., 0]
    labels = _whole_numbers(path, values)
    order, flips = _turn(path, labels.shape, stored, shape, affine)
    turned = np.transpose(labels, order)[tuple(slice(None, None, flip) for flip in flips)]
    return np.ascontiguousarray(turned, np.int32)


def _whole_numbers(path: Path, values: np.ndarray) -> np.ndarray:
    if values.dtype.kind not in "iufb" or values.ndim != 3:
        raise ReferenceMaskError(
            f"{path}: a mask must be a volume of whole numbers, got {values.dtype} of the shape "
            f"{values.shape}. Export it as a label map."
        )
    if values.dtype.kind == "f":
        whole = np.isfinite(values) & (np.rint(values) == values)
        if not whole.all():
            raise ReferenceMaskError(
                f"{path}: a mask must hold whole numbers, but {int((~whole).sum())} voxels have "
                "none, such as probabilities. Apply a threshold before."
            )
    if values.min() < 0 or values.max() > GREATEST_LABEL:
        raise ReferenceMaskError(
            f"{path}: a mask must hold numbers from 0 to {GREATEST_LABEL}, got {values.min()} to "
            f"{values.max()}. Export it as a label map."
        )
    return values


def _turn(
    path: Path,
    stored_shape: tuple[int, ...],
    stored: Affine,
    shape: tuple[int, int, int],
    affine: Affine,
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the order of the stored axes, and their directions, that give those of the series."""
    if not np.isfinite(stored).all():
        raise GeometryError(
            f"{path}: the affine holds values that are no numbers. Export it again."
        )
    to_series = np.linalg.solve(affine, stored)
    rounded = np.rint(to_series[:3, :3]).astype(int)
    is_turn = (np.abs(rounded).sum(axis=0) == 1).all() and (np.abs(rounded).sum(axis=1) == 1).all()
    if is_turn:
        order = tuple(int(axis) for axis in np.abs(rounded).argmax(axis=1))
        flips = tuple(int(sign) for sign in rounded.sum(axis=1))
        if tuple(stored_shape[axis] for axis in order) == shape:
            expected = np.eye(4)
            expected[:3, :3] = rounded
            expected[:3, 3] = [
                0 if flip > 0 else size - 1 for flip, size in zip(flips, shape, strict=True)
            ]
            farthest = _farthest(affine @ expected - stored, stored_shape)
            if farthest <= TOLERANCE_MM:
                return order, flips
            raise _other_grid(
                path, stored_shape, shape, f"voxels lie up to {farthest:.4f} mm apart"
            )
    raise _other_grid(path, stored_shape, shape, "their axes or sizes differ")


def _farthest(difference: Affine, shape: tuple[int, ...]) -> float:
    """Return the largest length of a difference of affines at the corners of a volume."""
    corners = np.array([[*corner, 1] for corner in product(*((0, size - 1) for size in shape))])
    return float(np.linalg.norm((corners @ difference.T)[:, :3], axis=1).max())


def _other_grid(
    path: Path, stored_shape: tuple[int, ...], shape: tuple[int, int, int], how: str
) -> GeometryError:
    return GeometryError(
        f"{path}: the mask must lie on the grid of the series within {TOLERANCE_MM} mm, but {how}: "
        f"the mask has {stored_shape} voxels along its axes, the series {shape} (slices, rows, "
        "columns). Resample the mask to the series, with nearest neighbours, in the tool that "
        "drew it."
    )


def write_label_map(path: Path, labels: LabelMap, affine: Affine) -> None:
    """Write a label map as .nii.gz, with the axes (column, row, slice) as ITK stores them.

    The same labels give the same bytes.

    Raises:
        OutputError: the file cannot be written.
    """
    kind = np.uint8 if labels.max(initial=0) <= np.iinfo(np.uint8).max else np.int32
    turned = _LPS_FROM_RAS @ affine[:, [2, 1, 0, 3]]
    image = nib.nifti1.Nifti1Image(np.transpose(labels, (2, 1, 0)).astype(kind), turned)
    image.header.set_xyzt_units("mm")
    image.set_sform(turned, code="scanner")
    image.set_qform(turned, code="scanner")
    write_bytes(path, gzip.compress(image.to_bytes(), compresslevel=6, mtime=0))
