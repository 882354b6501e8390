"""A CT series together with what was drawn on it: the image, and one label per lesion."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from breastseg.core.image import Image, LabelMap
from breastseg.core.mask_faults import MaskError, MaskFault
from breastseg.core.series import Series
from breastseg.core.structure import StructureMask, lesions_of
from breastseg.io.dicom_masks import read_masks
from breastseg.io.dicom_series import read_series


def read_series_case(
    series_paths: Sequence[Path],
    mask_paths: Sequence[Path] | None,
    lesion_structures: Sequence[str] = (),
) -> tuple[Image, LabelMap | None]:
    """Read a CT series with the lesions of all its masks.

    Args:
        series_paths: all files of one series.
        mask_paths: SEG and RTSTRUCT files that were drawn on it; empty where somebody has said
            that it has no lesion, None where nobody has drawn anything.
        lesion_structures: patterns of names, see io.dicom_masks.choose_structures; a file
            without such a name is passed over where another one has it.

    Returns:
        The image in HU, and 0 for background with a label for each connected part of each lesion
        structure; None where nobody has drawn anything.

    Raises:
        ScanError: the series is refused.
        MaskError: a mask is refused, or no file has a structure of such a name.
    """
    series = read_series(series_paths)
    if mask_paths is None:
        return series.image, None
    if not mask_paths:
        return series.image, np.zeros(series.image.pixels.shape, np.int32)
    return series.image, lesions_of(list(_lesions(series, mask_paths, lesion_structures)))


def _lesions(
    series: Series, mask_paths: Sequence[Path], patterns: Sequence[str]
) -> Iterator[StructureMask]:
    without: list[MaskError] = []
    for path in mask_paths:
        try:
            yield from read_masks(path, series, labels=patterns)
        except MaskError as error:
            if error.fault is not MaskFault.NO_SUCH_LABEL:
                raise
            without.append(error)
    if len(without) == len(mask_paths):
        raise without[0]
