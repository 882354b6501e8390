"""The instances that results refer to: their headers, and which slice each of them is."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float64
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError

from breastseg.core.errors import GeometryError, InputError
from breastseg.core.image import LabelMap
from breastseg.core.orientation import Affine
from breastseg.core.series import Series

POSITION_TOLERANCE_MM = 1e-3
_MAY_BE_MISSING = (
    "PatientID",
    "PatientName",
    "PatientBirthDate",
    "PatientSex",
    "AccessionNumber",
    "StudyID",
    "StudyDate",
    "StudyTime",
)
_NEEDED = ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID")


@dataclass(frozen=True, slots=True)
class Sources:
    """Headers of the instances of a series.

    headers: one for each slice, in the order of the slices; a single one where all slices are
        frames of one instance. Without pixel data.
    frame_of_slice: for a multi-frame instance, the frame of each slice, from 0.
    """

    headers: tuple[Dataset, ...]
    frame_of_slice: tuple[int, ...] | None

    def in_file_order(self, labels: LabelMap) -> LabelMap:
        """Return the slices of a label map in the order of the frames of the source."""
        if self.frame_of_slice is None:
            return labels
        return np.asarray(labels[np.argsort(self.frame_of_slice)])

    def of_slices(self, first: int, stop: int) -> list[tuple[Dataset, list[int] | None]]:
        """Return the instances of some slices, with the frame numbers (from 1) of each."""
        if self.frame_of_slice is None:
            return [(header, None) for header in self.headers[first:stop]]
        frames = sorted(frame + 1 for frame in self.frame_of_slice[first:stop])
        return [(self.headers[0], frames)]


def read_sources(series: Series) -> Sources:
    """Read the headers of a series, and make sure that the grid of its image is theirs.

    Raises:
        InputError: a file is gone, is no DICOM, or lacks an identifier.
        GeometryError: the slices of the image don't lie where the files say: the image has
            been resampled, so a mask of it has no place among them.
    """
    headers = tuple(_read(path) for path in dict.fromkeys(series.instance_paths))
    num_slices = len(series.image.pixels)
    if len(headers) == 1 and "NumberOfFrames" in headers[0]:
        frames = _frames_of_slices(headers[0], series, num_slices)
        return Sources(headers, frames)
    if len(headers) != num_slices:
        raise GeometryError(
            f"series {series.case_id}: expected one file for each of {num_slices} slices, got "
            f"{len(headers)}. Read the series again from its folder."
        )
    if series.image.affine is not None and series.modality != "US":
        for index, (path, header) in enumerate(zip(series.instance_paths, headers, strict=True)):
            _require_place(path, _affine_of_plane(header), series.image.affine, index)
    return Sources(headers, None)


def _read(path: Path) -> Dataset:
    try:
        header = dcmread(path, stop_before_pixels=True)
    except (OSError, InvalidDicomError) as error:
        raise InputError(
            f"{path}: the results must refer to this file, which cannot be read any more "
            f"({error}). Put it back, or read the series again."
        ) from None
    missing = [name for name in _NEEDED if not header.get(name)]
    if missing:
        raise InputError(
            f"{path}: results must name their source, which has no {', '.join(missing)}. Export "
            "the series again from where it came from."
        )
    for name in _MAY_BE_MISSING:
        if name not in header:
            setattr(header, name, "")
    return header


def _frames_of_slices(header: Dataset, series: Series, num_slices: int) -> tuple[int, ...]:
    """Return the frame of each slice; in time order where frames have no place in space."""
    affine = series.image.affine
    groups = header.get("PerFrameFunctionalGroupsSequence")
    if affine is None or not groups or "PlanePositionSequence" not in groups[0]:
        return tuple(range(num_slices))
    positions = np.array(
        [
            [float(x) for x in group.PlanePositionSequence[0].ImagePositionPatient]
            for group in groups
        ]
    )
    slices = affine[:3, 3] + np.arange(num_slices)[:, None] * affine[:3, 0]
    distances = np.linalg.norm(slices[:, None] - positions[None], axis=2)
    if (distances.min(axis=1) > POSITION_TOLERANCE_MM).any():
        raise GeometryError(_elsewhere(series.instance_paths[0]))
    return tuple(int(frame) for frame in distances.argmin(axis=1))


def _affine_of_plane(header: Dataset) -> Float64[np.ndarray, "3 3"]:
    """Return position, step along rows and step along columns of an instance, as columns."""
    across, down = np.reshape([float(x) for x in header.ImageOrientationPatient], (2, 3))
    row_mm, column_mm = (float(x) for x in header.PixelSpacing)
    position = np.array([float(x) for x in header.ImagePositionPatient])
    return np.column_stack([position, down * row_mm, across * column_mm])


def _require_place(
    path: Path, plane: Float64[np.ndarray, "3 3"], affine: Affine, index: int
) -> None:
    expected = np.column_stack([affine[:3, 3] + index * affine[:3, 0], affine[:3, 1:3]])
    if np.abs(plane - expected).max() > POSITION_TOLERANCE_MM:
        raise GeometryError(_elsewhere(path))


def _elsewhere(path: Path) -> str:
    return (
        f"{path}: the image and this file disagree by more than {POSITION_TOLERANCE_MM} mm on "
        "where the slice lies. Results refer to the files, so the mask must be on their grid: "
        "resample it back to the series as it was stored."
    )
