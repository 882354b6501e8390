"""A mask that somebody gives for a series, whatever file it comes in, as a label map."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from breastseg.core.errors import InputError
from breastseg.core.image import LabelMap
from breastseg.core.series import Series
from breastseg.core.structure import Structure, StructureMask, lesions_of
from breastseg.io.dicom_masks import is_mask_file, read_masks
from breastseg.io.nifti_mask import is_nifti, read_label_map


def read_given_mask(
    path: Path, series: Series, labels: Sequence[str] = ()
) -> tuple[LabelMap, tuple[str, ...]]:
    """Read the lesions of a series from a NIfTI file, a DICOM SEG or an RTSTRUCT.

    A NIfTI of zeros and ones holds one lesion for each connected part (26 neighbours); with
    larger numbers, each number is one lesion. In a SEG or RTSTRUCT each connected part of each
    chosen structure is one lesion.

    Args:
        labels: patterns for the names of segments or ROIs; not for NIfTI.

    Returns:
        The label map on the grid of the series, and notes for the reader of the result.

    Raises:
        InputError: the file is missing, of another kind, or lies on another grid; its
            subclasses tell which.
    """
    if not path.is_file():
        raise InputError(f"{path}: there is no such mask file. Check the path.")
    if is_nifti(path):
        return _from_nifti(path, series, labels), ()
    if is_mask_file(path):
        masks = read_masks(path, series, labels=labels)
        notes = tuple(dict.fromkeys(note for mask in masks for note in mask.notes))
        return lesions_of(masks), notes
    raise InputError(
        f"{path}: a mask must be a NIfTI file (.nii, .nii.gz), a DICOM SEG or an RTSTRUCT; this "
        "is none of them. Export it as one."
    )


def _from_nifti(path: Path, series: Series, labels: Sequence[str]) -> LabelMap:
    if labels:
        raise InputError(
            f"{path}: --label chooses segments and ROIs by name, but a NIfTI file has no names. "
            "Leave --label out, or extract the label before."
        )
    affine = series.image.affine
    if affine is None:
        raise InputError(
            f"series {series.case_id}: a NIfTI mask needs a series that says where its voxels "
            "lie; this one does not. Give the mask as DICOM SEG."
        )
    slices, rows, columns = series.image.pixels.shape
    found = read_label_map(path, shape=(slices, rows, columns), affine=affine)
    if found.max(initial=0) > 1:
        return found
    whole = Structure(number=1, name=path.name, kind=None, num_parts=None)
    return lesions_of([StructureMask(structure=whole, mask=np.asarray(found > 0))])
