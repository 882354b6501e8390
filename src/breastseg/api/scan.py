"""What a caller may give to be predicted, and reading it: the same cases as the command line's."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Shaped

from breastseg.core.errors import GeometryError, InputError
from breastseg.core.image import Image
from breastseg.datasets.cases import CaseFiles
from breastseg.datasets.scans import find_scans
from breastseg.training.model import Model
from breastseg.workflows.predict_case import read_scan_of, require_fit

Scan = str | os.PathLike[str] | np.ndarray[Any, Any] | Image
"""A path; grey values (rows, columns); or an image in memory, see core.image."""

Source = CaseFiles | Image
Spacing = tuple[float, float]
IN_MEMORY = "image"
"""The case id of what has no file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadScan:
    """A scan in memory. sha256: of its files, where the model needs it; empty otherwise."""

    case_id: str
    image: Image
    notes: tuple[str, ...] = ()
    sha256: str = ""


def sources_of(scan: Scan) -> Sequence[Source]:
    """Return the cases at a path, masks left out, or what is in memory as the only one.

    Raises:
        InputError: the path does not exist, or nothing there can be predicted; LayoutError: two
            scans there have the same case id.
        GeometryError: an array that is not (rows, columns).
    """
    if isinstance(scan, Image):
        return (scan,)
    if isinstance(scan, np.ndarray):
        return (_image_of(scan),)
    return find_scans([Path(scan)]).cases


def only_source_of(scan: Scan) -> Source:
    """Return the one case that a scan is; errors of sources_of.

    Raises:
        InputError: it is a folder of several, or a file of several frames.
    """
    sources = sources_of(scan)
    if len(sources) != 1:
        raise InputError(
            f"{scan}: expected one scan, found {len(sources)}. Name one file or series, or use "
            "predict_many()."
        )
    return sources[0]


def read_source(source: Source, model: Model, spacing_mm: Spacing | None = None) -> ReadScan:
    """Read a case that the model is for.

    Args:
        spacing_mm: along (row, column), for a picture that does not say it.

    Raises:
        InputError: the scan is not what the model is for, or the spacing cannot be.
        ImageFileError: it cannot be read.
    """
    if isinstance(source, Image):
        _require_volume(source, model)
        return ReadScan(case_id=IN_MEMORY, image=_with_spacing(source, spacing_mm))
    require_fit(source, model)
    image, notes = read_scan_of(source)
    return ReadScan(
        case_id=source.case_id,
        image=_with_spacing(image, spacing_mm),
        notes=notes,
        sha256=source.sha256() if model.of_volumes else "",
    )


def _image_of(grey: Shaped[np.ndarray, "..."]) -> Image:
    if grey.ndim == 3 and grey.shape[-1] == 3 and (grey == grey[..., :1]).all():
        grey = grey[..., 0]  # Grey, stored as colours: whichever comes first, it is the same.
    if grey.ndim != 2 or not grey.size or grey.dtype.kind not in "buif":
        raise GeometryError(
            "an array must hold the grey values (rows, columns) of a picture, got the shape "
            f"{grey.shape} of {grey.dtype}. Turn colours into grey, such as by "
            "np.asarray(picture.convert('L')) of Pillow; give volumes as a path."
        )
    with np.errstate(over="ignore"):
        pixels = np.asarray(grey, np.float32)
    if not np.isfinite(pixels).all():
        raise InputError("grey values must be finite in float32, found NaN or infinity.")
    return Image(pixels=pixels[None])


def _require_volume(image: Image, model: Model) -> None:
    """Refuse a picture in memory for a model of volumes; the reverse is refused later."""
    if model.of_volumes and image.affine is None:
        raise InputError(
            f"the model {model.path.name} is one for CT volumes: expected the path of a DICOM "
            "series or a NIfTI file, or an Image in HU with an affine, got grey values without one."
        )


def _with_spacing(image: Image, spacing_mm: Spacing | None) -> Image:
    if spacing_mm is None:
        return image
    if image.affine is not None:
        raise InputError(
            f"the image says that its spacing is {image.spacing_mm} mm (slice, row, column), but "
            f"spacing_mm={spacing_mm} was given, too. Leave it out."
        )
    if len(spacing_mm) != 2 or not all(0 < each < np.inf for each in spacing_mm):
        raise InputError(f"spacing_mm must be two lengths (row, column) above 0, got {spacing_mm}.")
    along_row, along_column = spacing_mm
    return replace(image, affine=np.diag([1.0, along_row, along_column, 1.0]))
