"""A DICOM series that has been read: its voxels, and what results must refer to."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from breastseg.core.image import Image


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """One series of one modality, on one regular grid. It holds nothing that names a patient.

    case_id: "ct-" or "us-" and 12 hex digits of the SHA-256 of the SeriesInstanceUID.
    modality: DICOM's Modality (0008,0060), such as "CT" or "US".
    image: voxels, axes (slice, row, column), of CT in HU; an affine to LPS, or None where the
        files say nothing about millimetres.
    instance_paths: the file of each slice, in the order of the slices; one file for all where
        it is a multi-frame object.
    frame_of_reference_uid: None where the files name none.
    slice_thickness_mm: SliceThickness, where all slices name the same; the geometry does not
        rest on it.
    patient_position: PatientPosition (0018,5100) as the file claims it, such as "HFS"; the
        geometry does not rest on it.
    padded_share: of the voxels in the files, what held no measurement and was set to the floor.
    notes: what a reader of the result should know, such as padding or burnt-in text.
    """

    case_id: str
    modality: str
    image: Image
    series_instance_uid: str
    study_instance_uid: str
    instance_paths: tuple[Path, ...]
    frame_of_reference_uid: str | None = None
    slice_thickness_mm: float | None = None
    patient_position: str | None = None
    padded_share: float = 0.0
    notes: tuple[str, ...] = ()


def series_case_id(series_instance_uid: str, modality: str) -> str:
    """Return "ct-" or "us-" and 12 hex digits of the SHA-256 of the SeriesInstanceUID.

    >>> series_case_id("1.2.3", "CT")
    'ct-c47f5b18b8a4'
    """
    digest = hashlib.sha256(series_instance_uid.encode("ascii", "replace")).hexdigest()
    return f"{modality.lower()}-{digest[:12]}"
