"""The 2D frames of CT objects, single or multi-frame, with the attributes that a volume needs."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float64
from pydicom import Dataset

from breastseg.core.scan_faults import ScanError, ScanFault
from breastseg.io.dicom_files import MULTI_FRAME_CT, SINGLE_FRAME_CT, is_localizer
from breastseg.io.dicom_pixels import transfer_syntax_of

# Of a unit vector's length and of the cosine between row and column; headers round to 4 digits.
_ORIENTATION_TOLERANCE = 1e-3

Vector = Float64[np.ndarray, " 3"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """One slice as its header describes it.

    index: of the frame in its file, from 0.
    rows_direction: LPS unit vector from one row to the next; columns_direction likewise.
    position: LPS of the centre of the first pixel, in mm.
    pixel_spacing_mm: between (rows, columns).
    slice_thickness_mm: None where the file names none.
    patient_position: as the file claims it, such as "HFS"; None where it names none.
    slope, intercept: from stored values to HU.
    padding: lowest and highest stored value that stand for no measurement.
    lossy: whether the file says that it was ever compressed with loss.
    """

    path: Path
    index: int
    size: tuple[int, int]
    rows_direction: Vector
    columns_direction: Vector
    position: Vector
    pixel_spacing_mm: tuple[float, float]
    slice_thickness_mm: float | None
    frame_of_reference_uid: str | None
    patient_position: str | None
    slope: float
    intercept: float
    padding: tuple[int, int] | None
    transfer_syntax: str
    lossy: bool


def ct_frames(path: Path, header: Dataset, *, hounsfield: bool = True) -> Iterator[Frame]:
    """Yield the frames of one CT object.

    Args:
        hounsfield: demand values in HU; without, only the grid is meant, and slope and intercept
            are 1 and 0.

    Raises:
        ScanError: modality, no-pixels, localizer, not-hu, no-rescale, no-orientation, no-position,
            no-spacing; always with the file.
    """
    _check_kind(path, header)
    for index in range(_num_frames(path, header)):
        yield _frame(path, header, index, hounsfield)


def _check_kind(path: Path, header: Dataset) -> None:
    modality = str(header.get("Modality", ""))
    if header.SOPClassUID not in (SINGLE_FRAME_CT, *MULTI_FRAME_CT) or modality != "CT":
        found = f"expected a CT image, found {header.SOPClassUID.name} of modality '{modality}'"
        raise ScanError(ScanFault.MODALITY, path, found)
    if is_localizer(header):
        raise ScanError(ScanFault.LOCALIZER, path, "expected slices, found a localizer")
    colours = str(header.get("PhotometricInterpretation", ""))
    if header.get("Rows") and colours != "MONOCHROME2":
        found = f"expected grey values (MONOCHROME2), found '{colours}'"
        raise ScanError(ScanFault.NOT_HU, path, found)


def _num_frames(path: Path, header: Dataset) -> int:
    groups = header.get("PerFrameFunctionalGroupsSequence")
    stated = header.get("NumberOfFrames")
    number = 1 if not stated else int(stated)
    if number < 1 or (groups is not None and len(groups) != number):
        found = (
            f"expected as many functional groups as frames ({number}), found {len(groups or ())}"
        )
        raise ScanError(ScanFault.DAMAGED_FILE, path, found)
    return number


class _Attributes:
    """Attributes of one frame: of its functional groups, of the shared ones, or of the file."""

    def __init__(self, header: Dataset, index: int) -> None:
        per_frame = header.get("PerFrameFunctionalGroupsSequence") or []
        self._places = [
            *([per_frame[index]] if per_frame else []),
            *(header.get("SharedFunctionalGroupsSequence") or []),
        ]
        self._header = header

    def get(self, group: str, keyword: str) -> Any:
        for place in self._places:
            items = place.get(group)
            if items and items[0].get(keyword) is not None:
                return items[0].get(keyword)
        return self._header.get(keyword)

    def numbers(self, group: str, keyword: str, count: int) -> tuple[float, ...] | None:
        """Return finite numbers, or None where they are absent, too few or something else."""
        value = self.get(group, keyword)
        try:
            values = tuple(float(part) for part in ([value] if count == 1 else value))
        except (TypeError, ValueError):
            return None
        return values if len(values) == count and all(map(math.isfinite, values)) else None


def _frame(path: Path, header: Dataset, index: int, hounsfield: bool) -> Frame:
    attributes = _Attributes(header, index)
    slope, intercept = _rescale(path, attributes) if hounsfield else (1.0, 0.0)
    columns_direction, rows_direction = _orientation(path, attributes)
    position = attributes.numbers("PlanePositionSequence", "ImagePositionPatient", 3)
    if position is None:
        found = "expected ImagePositionPatient as three numbers, found none"
        raise ScanError(ScanFault.NO_POSITION, path, found)
    spacing = attributes.numbers("PixelMeasuresSequence", "PixelSpacing", 2)
    if spacing is None or min(spacing) <= 0:
        found = f"expected PixelSpacing as two numbers above 0, found {spacing}"
        raise ScanError(ScanFault.NO_SPACING, path, found)
    thickness = attributes.numbers("PixelMeasuresSequence", "SliceThickness", 1)
    frame_of_reference = header.get("FrameOfReferenceUID")
    return Frame(
        path=path,
        index=index,
        size=_size(path, header),
        rows_direction=rows_direction,
        columns_direction=columns_direction,
        position=np.array(position),
        pixel_spacing_mm=(spacing[0], spacing[1]),
        slice_thickness_mm=thickness[0] if thickness and thickness[0] > 0 else None,
        frame_of_reference_uid=str(frame_of_reference) if frame_of_reference else None,
        patient_position=str(header.get("PatientPosition") or "").strip() or None,
        slope=slope,
        intercept=intercept,
        padding=_padding(header),
        transfer_syntax=transfer_syntax_of(header),
        lossy=str(header.get("LossyImageCompression", "")) == "01",
    )


def _size(path: Path, header: Dataset) -> tuple[int, int]:
    size = (header.get("Rows"), header.get("Columns"))
    if not all(isinstance(length, int) and length > 0 for length in size):
        found = "expected Rows and Columns above 0: the object holds no image"
        raise ScanError(ScanFault.NO_PIXELS, path, found)
    return int(size[0]), int(size[1])


def _rescale(path: Path, attributes: _Attributes) -> tuple[float, float]:
    """Return slope and intercept to HU; an absent RescaleType means HU.

    Source: DICOM PS3.3, section C.8.2.1 (CT Image Module) and C.7.6.16.2.9.
    """
    group = "PixelValueTransformationSequence"
    kind = str(attributes.get(group, "RescaleType") or "HU").strip()
    if kind != "HU":
        found = f"expected values in HU, found RescaleType '{kind}'"
        raise ScanError(ScanFault.NOT_HU, path, found)
    slope = attributes.numbers(group, "RescaleSlope", 1)
    intercept = attributes.numbers(group, "RescaleIntercept", 1)
    if slope is None or intercept is None or slope[0] <= 0:
        found = (
            "expected a RescaleSlope above 0 and a RescaleIntercept, found "
            f"{slope and slope[0]} and {intercept and intercept[0]}"
        )
        raise ScanError(ScanFault.NO_RESCALE, path, found)
    return slope[0], intercept[0]


def _orientation(path: Path, attributes: _Attributes) -> tuple[Vector, Vector]:
    """Return the directions along which columns and rows are counted."""
    values = attributes.numbers("PlaneOrientationSequence", "ImageOrientationPatient", 6)
    if values is None:
        found = "expected ImageOrientationPatient as six numbers, found none"
        raise ScanError(ScanFault.NO_ORIENTATION, path, found)
    along_row, along_column = np.array(values[:3]), np.array(values[3:])
    lengths = np.linalg.norm(along_row), np.linalg.norm(along_column)
    off = max(*(abs(length - 1) for length in lengths), abs(along_row @ along_column))
    if off > _ORIENTATION_TOLERANCE:
        found = (
            f"expected two perpendicular unit vectors in ImageOrientationPatient, found {values}"
        )
        raise ScanError(ScanFault.NO_ORIENTATION, path, found)
    return along_row / lengths[0], along_column / lengths[1]


def _padding(header: Dataset) -> tuple[int, int] | None:
    """Return the range of stored values that pad, DICOM PS3.3, section C.7.5.1.1.2."""
    values = (header.get("PixelPaddingValue"), header.get("PixelPaddingRangeLimit"))
    ends = [value for value in values if isinstance(value, int)]
    return (min(ends), max(ends)) if isinstance(values[0], int) else None
