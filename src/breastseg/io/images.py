"""Reading an image of any kind; the library of a format is loaded when a file needs it."""

from pathlib import Path

from breastseg.core.errors import GeometryError
from breastseg.core.image import Image
from breastseg.core.series import Series
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


def read_scan(path: Path, *, workers: int = 1) -> Series:
    """Read a CT series or an ultrasound image in DICOM: a file, or a folder with one series.

    Args:
        workers: processes that decode a long compressed series; 1 starts none.

    Raises:
        ScanError: see dicom_series.read_series and dicom_ultrasound.read_ultrasound.
        GeometryError: the ultrasound is a loop or several images.
    """
    from breastseg.io.dicom_files import ULTRASOUND_KIND
    from breastseg.io.dicom_series import one_series, read_series
    from breastseg.io.dicom_ultrasound import read_instance, read_ultrasound

    summary = one_series(path)
    if summary.kind != ULTRASOUND_KIND:
        return read_series(summary, workers=workers)
    num_frames = sum(read_instance(each).num_frames for each in summary.paths)
    if num_frames > 1:
        raise GeometryError(
            f"{path}: expected one ultrasound image, found {num_frames} frames in "
            f"{summary.num_files} file(s). Name the file of one image; export a frame of a loop "
            "as an image of its own."
        )
    return read_ultrasound(summary.paths[0])
