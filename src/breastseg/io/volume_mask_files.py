"""Masks and probability maps of CT volumes that another program wrote: NIfTI, or nnU-Net's .npz.

What counts is where voxels lie in the patient: a NIfTI file may store its axes in another order
or direction than the scan. An .npz has no affine; its axes must be those of the scan's array,
(slice, row, column), as nnU-Net has them. Nothing is resampled.

Source: github.com/MIC-DKFZ/nnUNet, nnunetv2/inference/export_prediction.py.
"""

from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float32

from breastseg.core.errors import GeometryError, ReferenceMaskError
from breastseg.core.image import Image
from breastseg.io.mask_files import ARRAY_ENDING, HIGHEST_LABEL, lesion_of_channels, read_array
from breastseg.io.nifti import read_nifti
from breastseg.io.nifti_mask import turned_to_grid

_ROUNDING = 0.02
"""By which a probability may lie above 1, as nnU-Net's 16-bit floats do."""

Mask = Bool[np.ndarray, "slices rows columns"]
Probability = Float32[np.ndarray, "slices rows columns"]


def read_volume_mask(path: Path, image: Image) -> Mask:
    """Read a mask that a program made of a volume; True inside a lesion.

    Args:
        path: a NIfTI file: 0 and one other value, or labels from 0 to 15, all of them lesion.
        image: of the scan, with an affine.

    Raises:
        ScanError: the file is no NIfTI, or is damaged.
        GeometryError: it does not lie on the grid of the scan.
        ReferenceMaskError: its values are not those of a mask.
    """
    values = _on_grid(path, image)
    inside = values[values != 0]
    whole = bool((inside == np.rint(inside)).all())
    lowest, highest = (float(inside.min()), float(inside.max())) if inside.size else (0.0, 0.0)
    if not whole or lowest < 0 or (highest > HIGHEST_LABEL and lowest != highest):
        kind = "fractions" if not whole else f"values from {lowest:g} to {highest:g}"
        raise ReferenceMaskError(
            f"{path}: expected a mask (0 and one other value) or labels from 0 to "
            f"{HIGHEST_LABEL}, found {kind}. Name a probability map after its case with "
            "_probability, such as case_probability.nii.gz."
        )
    return np.ascontiguousarray(values != 0)


def read_volume_probability(path: Path, image: Image) -> Probability:
    """Read a map of lesion probabilities in [0, 1] that a program made of a volume.

    Args:
        path: a NIfTI file of floats, or an .npz as mask_files.read_given_probability has it.
        image: of the scan, with an affine.

    Raises:
        ImageFileError: missing or damaged; a ScanError where it is NIfTI.
        GeometryError: it does not lie on the grid of the scan.
        ReferenceMaskError: its values are not probabilities.
    """
    if path.name.lower().endswith(ARRAY_ENDING):
        values = _of_array(path, image.pixels.shape)
    else:
        values = _on_grid(path, image)
    lowest, highest = float(values.min()), float(values.max())
    if not (lowest >= 0 and highest <= 1 + _ROUNDING):
        raise ReferenceMaskError(
            f"{path}: expected probabilities in [0, 1], found {lowest:.3g} to {highest:.3g}. Save "
            "the sigmoid or softmax as floats, not the logits."
        )
    return np.ascontiguousarray(np.minimum(values, 1), np.float32)


def _on_grid(path: Path, image: Image) -> np.ndarray:
    if image.affine is None:
        raise GeometryError(
            f"{path}: the scan says nothing about millimetres, so that no mask can be laid onto it."
        )
    return turned_to_grid(path, read_nifti(path), image.pixels.shape, image.affine)


def _of_array(path: Path, shape: tuple[int, ...]) -> np.ndarray:
    values = read_array(path)
    channels = values[None] if values.ndim == 3 else values
    if channels.ndim != 4 or channels.shape[1:] != shape:
        raise GeometryError(
            f"{path}: expected an array of the shape (channels, {', '.join(map(str, shape))}), "
            f"(slices, rows, columns) of the scan, got {values.shape}. Nothing is resampled here."
        )
    return lesion_of_channels(channels)
