"""Reading an image of any kind; the library of a format is loaded when a file needs it."""

from pathlib import Path

from breastseg.core.image import Image
from breastseg.io.file_kinds import is_dicom, is_nifti
from breastseg.io.raster import is_raster, read_image

Notes = tuple[str, ...]


def read_any_image(path: Path, frame: int = 0) -> tuple[Image, Notes]:
    """Read a picture, a NIfTI volume or a frame of DICOM ultrasound, and notes on it.

    Args:
        frame: of a multi-frame file, from 0.

    Raises:
        ImageFileError: missing, damaged, of no known kind; a ScanError with its code where it is
            NIfTI or DICOM, such as modality for a CT.
    """
    if not is_raster(path):
        if is_nifti(path):
            from breastseg.io.nifti import read_nifti

            return read_nifti(path), ()
        if is_dicom(path):
            from breastseg.io.dicom_ultrasound import read_ultrasound

            series = read_ultrasound(path, frame)
            return series.image, series.notes
    return read_image(path), ()
