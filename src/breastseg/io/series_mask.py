"""A mask of the lesions of a series, whatever file it comes in, as a label map."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from breastseg.core.errors import InputError
from breastseg.core.geometry import Grid
from breastseg.core.image import LabelMap
from breastseg.core.series import Series
from breastseg.core.structure import Structure, StructureMask, lesions_of
from breastseg.io.dicom_masks import DEFAULT_THRESHOLD, is_mask_file, read_masks
from breastseg.io.file_kinds import is_nifti
from breastseg.io.mask_files import read_given_mask
from breastseg.io.nifti_mask import read_label_map, resample_label_map
from breastseg.io.raster import is_raster


def read_series_mask(
    path: Path,
    series: Series,
    labels: Sequence[str] = (),
    *,
    threshold: float = DEFAULT_THRESHOLD,
    fill_gaps: bool = False,
    resample: bool = False,
) -> tuple[LabelMap, tuple[str, ...]]:
    """Read the lesions of a series from NIfTI, a DICOM SEG, an RTSTRUCT or a picture.

    Each connected part (26 neighbours) is one lesion, in a SEG or RTSTRUCT of each chosen
    structure. A NIfTI of a volume with numbers above 1 has one lesion for each number. Pictures
    are masks of ultrasound images alone; they and NIfTI masks of them are read as
    `io.mask_files` reads any, with all labels as lesions.

    Args:
        labels: patterns for the names of segments or ROIs; only those have names.
        threshold: of fractional segments, see io.dicom_masks.
        fill_gaps: interpolate slices without a contour, see io.dicom_masks.
        resample: carry a NIfTI mask of a volume from another grid to that of the series.

    Returns:
        The label map on the grid of the series, and notes for the reader of the result.

    Raises:
        InputError: the file is missing, of another kind, or lies on another grid; its
            subclasses tell which.
    """
    if not path.is_file():
        raise InputError(f"{path}: there is no such mask file. Check the path.")
    is_flat = series.modality == "US"
    if is_nifti(path) or (is_flat and is_raster(path)):
        _refuse_labels(path, labels)
        if is_flat:
            return _from_picture(path, series), ()
        return _from_nifti(path, series, resample=resample)
    if is_mask_file(path):
        masks = read_masks(path, series, labels=labels, threshold=threshold, fill_gaps=fill_gaps)
        notes = tuple(dict.fromkeys(note for mask in masks for note in mask.notes))
        return lesions_of(masks), notes
    kinds = "NIfTI (.nii, .nii.gz), a DICOM SEG" + (
        " or a picture, such as PNG" if is_flat else " or an RTSTRUCT"
    )
    raise InputError(f"{path}: a mask must be {kinds}; this is none of them. Export it as one.")


def _refuse_labels(path: Path, labels: Sequence[str]) -> None:
    if labels:
        raise InputError(
            f"{path}: --label chooses segments and ROIs by name, but this file has no names. "
            "Leave --label out, or extract the label before."
        )


def _from_picture(path: Path, series: Series) -> LabelMap:
    rows, columns = series.image.pixels.shape[1:]
    return _connected_parts(path, read_given_mask(path, (rows, columns))[None])


def _from_nifti(path: Path, series: Series, *, resample: bool) -> tuple[LabelMap, tuple[str, ...]]:
    affine = series.image.affine
    if affine is None:
        raise InputError(
            f"series {series.case_id}: a NIfTI mask needs a series that says where its voxels "
            "lie; this one does not. Give the mask as DICOM SEG."
        )
    slices, rows, columns = series.image.pixels.shape
    grid = Grid(shape=(slices, rows, columns), affine=affine)
    if resample:
        found, notes = resample_label_map(path, grid)
    else:
        found, notes = read_label_map(path, shape=grid.shape, affine=affine), ()
    return (found if found.max(initial=0) > 1 else _connected_parts(path, found > 0)), notes


def _connected_parts(path: Path, mask: np.ndarray) -> LabelMap:
    whole = Structure(number=1, name=path.name, kind=None, num_parts=None)
    return lesions_of([StructureMask(structure=whole, mask=np.asarray(mask))])
