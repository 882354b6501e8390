"""What `breastseg predict` and the Python API do alike with one scan before it is predicted."""

from breastseg.core.errors import InputError
from breastseg.core.image import Image
from breastseg.datasets.cases import CaseFiles
from breastseg.io.images import Notes, read_any_image
from breastseg.training.model import Model


def require_fit(case: CaseFiles, model: Model) -> None:
    """Refuse a case that the model is not for; a file that cannot be read, as such.

    Raises:
        InputError: a picture for a model of volumes, or the reverse.
        ImageFileError: the case is taken for a picture and is none.
    """
    if case.is_volume == model.of_volumes:
        return
    if not case.is_volume:
        read_any_image(case.image_path, case.frame)
        raise InputError(
            f"{case.image_path}: the model {model.path.name} is one for CT volumes, and this is a "
            "picture. Give a DICOM CT series or a NIfTI volume, or choose a model for pictures, "
            "such as `ultrasound`."
        )
    raise InputError(
        f"{case.image_path}: the model {model.path.name} is one for pictures, and this is a CT "
        "volume. Give pictures or DICOM ultrasound, or choose a model for CT volumes; `ct-demo` "
        "is a demonstration of one."
    )


def read_scan_of(case: CaseFiles) -> tuple[Image, Notes]:
    """Read the image of a case, a picture or a volume, and what a reader should know of it.

    Raises:
        ImageFileError: it cannot be read; a ScanError with its code for NIfTI and DICOM.
    """
    if not case.series_paths:
        return read_any_image(case.image_path, case.frame)
    # Whoever predicts pictures need not wait for pydicom.
    from breastseg.io.dicom_series import read_series

    series = read_series(case.series_paths)
    return series.image, series.notes
