"""Masks and probability maps of images that another program wrote: pictures, NIfTI, NumPy.

A mask is 0 outside lesions: 0 and one other value, or a label map of whole numbers up to 15,
all of which are lesion. A probability map holds fractions in [0, 1], or 16-bit whole numbers
from 0 to 65535. Both must lie on the grid of their image; nothing is resampled or guessed.

An image in a NIfTI file has its axes as (column, row), and nnU-Net writes it so, by ITK, with
the affine of a picture: columns to the left of the patient, rows to the back. Whoever saves a
NumPy array of (row, column) directly gets the axes the other way round. The shape tells both
apart, unless the image is square: then only ITK's affine does, and without it the file is
refused. The signs of the affine are looked at here as NIfTI has them, in RAS.

Source: github.com/MIC-DKFZ/nnUNet, nnunetv2/imageio and nnunetv2/inference/export_prediction.py.
"""

import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float32
from PIL import Image as Pillow

from breastseg.core.errors import GeometryError, ImageFileError, ReferenceMaskError
from breastseg.core.orientation import Affine
from breastseg.io.file_kinds import is_nifti
from breastseg.io.raster import SUFFIXES, read_luminance

ARRAY_ENDING = ".npz"
VOLUME_ENDINGS = (".nii.gz", ".nii", ARRAY_ENDING)
ENDINGS = (*VOLUME_ENDINGS, *SUFFIXES)

HIGHEST_LABEL = 15
_HIGHEST_16_BIT = 2**16 - 1
_ROUNDING = 0.02
"""By which nnU-Net's 16-bit floats may miss a sum of 1."""
_KEYS = ("probabilities", "softmax", "probability")

Size = tuple[int, int]
Mask = Bool[np.ndarray, "rows columns"]
Probability = Float32[np.ndarray, "rows columns"]
Channels = Float32[np.ndarray, "channels ..."]


def ending_of(path: Path) -> str | None:
    """Return the ending of a file that can be read here, as it is written; else None.

    >>> ending_of(Path("case.nii.gz")), ending_of(Path("plans.json"))
    ('.nii.gz', None)
    """
    name = path.name.lower()
    found = next((ending for ending in ENDINGS if name.endswith(ending)), None)
    return None if found is None else path.name[-len(found) :]


def read_given_mask(path: Path, size: Size) -> Mask:
    """Read a mask that a program wrote; True inside a lesion.

    Args:
        path: a picture or a NIfTI file.
        size: rows and columns of the image.

    Raises:
        ImageFileError: missing, truncated, or of another kind; a ScanError where it is NIfTI.
        GeometryError: of another size, or with axes that could be either way round.
        ReferenceMaskError: its values are not those of a mask.
    """
    values, _ = _read(path, size)
    different = np.unique(values)
    told = ", ".join(f"{each:g}" for each in different[:5]) + (
        ", ..." if different.size > 5 else ""
    )
    whole = bool((different == np.floor(different)).all()) and different[0] >= 0
    if not whole and different[0] >= 0 and different[-1] <= 1:
        raise ReferenceMaskError(
            f"{path}: expected a mask, found fractions ({told}). If this is a probability map, "
            "name it after its case with _probability, such as case_probability.tif."
        )
    two = different.size == 1 or (different.size == 2 and different[0] == 0)
    if not whole or not (two or different[-1] <= HIGHEST_LABEL):
        raise ReferenceMaskError(
            f"{path}: expected a mask (0 and one other value) or labels from 0 to "
            f"{HIGHEST_LABEL}, found {different.size} values: {told}. Cut a probability map at "
            "its threshold, and save masks as PNG: JPEG makes grey edges."
        )
    return np.asarray(values > 0)


def read_given_probability(path: Path, size: Size) -> Probability:
    """Read a map of lesion probabilities in [0, 1] that a program wrote.

    Args:
        path: a picture (float or 16 bit), a NIfTI file, or the .npz of nnU-Net's
            --save_probabilities, in which every channel but the first is lesion; one channel,
            or channels that do not add up to 1, are regions, of which the highest counts.
        size: rows and columns of the image.

    Raises:
        ImageFileError: missing, truncated, or of another kind; a ScanError where it is NIfTI.
        GeometryError: of another size, or with axes that could be either way round.
        ReferenceMaskError: its values are not probabilities.
    """
    if path.name.lower().endswith(ARRAY_ENDING):
        values = lesion_of_channels(_read_channels(path, size))
    else:
        values, scale = _read(path, size)
        if scale is None:
            raise ReferenceMaskError(
                f"{path}: expected probabilities as floats in [0, 1] or as 16-bit whole numbers, "
                "found 8 bit, which is too coarse near 0 and 1. Save the map as a 16-bit PNG, a "
                "float TIFF, NIfTI or .npz."
            )
        values = values / scale
    if not (np.isfinite(values).all() and values.min() >= 0 and values.max() <= 1 + _ROUNDING):
        raise ReferenceMaskError(
            f"{path}: expected probabilities in [0, 1], found {values.min():.3g} to "
            f"{values.max():.3g}. Save the sigmoid or softmax, not the logits."
        )
    return np.asarray(np.clip(values, 0, 1), np.float32)


def _read(path: Path, size: Size) -> tuple[np.ndarray, float | None]:
    """Return the values on the grid (row, column), and what stands for a probability of 1."""
    if is_nifti(path):
        from breastseg.io.nifti import read_stored  # only where there is such a file

        stored, affine = read_stored(path)
        values = _upright(stored, affine, size, path)
        return values, _scale(values.dtype)
    values = read_luminance(path)
    if values.shape != size:
        raise _wrong_size(path, size, values.shape)
    with Pillow.open(path) as picture:
        mode = picture.mode
    if mode == "F":
        return values, 1.0
    return values, _HIGHEST_16_BIT if mode == "I" or mode.startswith("I;16") else None


def _scale(kind: np.dtype[Any]) -> float | None:
    if np.issubdtype(kind, np.floating):
        return 1.0
    return _HIGHEST_16_BIT if kind.itemsize >= 2 else None


def _upright(stored: np.ndarray, affine: Affine, size: Size, path: Path) -> np.ndarray:
    """Return an image of a NIfTI file on the grid (row, column)."""
    plane = stored[:, :, 0] if stored.ndim == 3 and stored.shape[2] == 1 else stored
    if plane.ndim != 2 or plane.shape not in (size, size[::-1]):
        raise GeometryError(
            f"{path}: expected a NIfTI file of the shape {(*size[::-1], 1)} (columns, rows, one "
            f"slice), got {stored.shape}. Export it on the grid of the image."
        )
    signs = _diagonal_signs(affine)
    if signs is None:
        raise GeometryError(
            f"{path}: expected the affine of a picture, found one that turns or mirrors it. Save "
            "the mask as PNG."
        )
    is_of_itk = signs == (-1, -1)
    if size[0] != size[1]:
        if is_of_itk and plane.shape == size:
            raise _wrong_size(path, size, plane.shape[::-1])
        return plane.T if plane.shape == size[::-1] else plane
    if is_of_itk or np.array_equal(plane, plane.T):
        return plane.T
    raise GeometryError(
        f"{path}: the image is square, and the file does not say whether its first axis is the "
        "row or the column. Write it by SimpleITK, as nnU-Net does, or save it as PNG."
    )


def _diagonal_signs(affine: Affine) -> tuple[int, int] | None:
    """Return the signs of the first two axes, which must be both + or both -; else None."""
    axes = affine[:2, :2]
    if axes[0, 1] != 0 or axes[1, 0] != 0 or axes[0, 0] * axes[1, 1] <= 0:
        return None
    return (1, 1) if axes[0, 0] > 0 else (-1, -1)


def read_array(path: Path) -> Float32[np.ndarray, "..."]:
    """Read the probabilities of an .npz file in the shape that they have.

    Raises:
        ImageFileError: missing, truncated, or without an array of a known name.
    """
    try:
        with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
            key = next((key for key in _KEYS if key in file.files), None)
            values = None if key is None else np.asarray(file[key], np.float32)
            found = ", ".join(file.files) or "nothing"
    except (OSError, EOFError, ValueError, zipfile.BadZipFile, zlib.error) as error:
        raise ImageFileError(
            f"{path}: the .npz file is missing, truncated or damaged ({error}). Write it again."
        ) from None
    if values is None:
        raise ImageFileError(
            f"{path}: expected an array named {' or '.join(_KEYS)}, found {found}. nnU-Net writes "
            "it with --save_probabilities."
        )
    return values


def _read_channels(path: Path, size: Size) -> Float32[np.ndarray, "channels rows columns"]:
    values = read_array(path)
    planes = values.reshape(-1, *values.shape[-2:]) if values.ndim >= 2 else values
    if planes.shape[1:] != size or values.ndim > 4 or (values.ndim == 4 and values.shape[1] != 1):
        raise GeometryError(
            f"{path}: expected an array of the shape (channels, 1, {size[0]}, {size[1]}), got "
            f"{values.shape}. It must be on the grid of the original image."
        )
    return planes


def lesion_of_channels(channels: Channels) -> Float32[np.ndarray, "..."]:
    """Return the lesion probability of classes or regions; see read_given_probability."""
    sums = channels.sum(axis=0)
    inside = sums > _ROUNDING  # nnU-Net leaves what it crops away at 0, background too
    if len(channels) > 1 and (np.abs(sums[inside] - 1) <= _ROUNDING).all():
        return np.asarray(channels[1:].sum(axis=0), np.float32)
    return np.asarray(channels.max(axis=0), np.float32)


def _wrong_size(path: Path, size: Size, found: tuple[int, ...]) -> GeometryError:
    return GeometryError(
        f"{path}: expected the size of its image, {size} (rows, columns), got {found}. Export it "
        "on the grid of the image; nothing is resampled here."
    )
