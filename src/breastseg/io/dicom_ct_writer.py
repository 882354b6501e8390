"""A CT volume as a DICOM series of single-frame images, with its lesions as a Segmentation.

For simulated scans only: the series says so in its attributes, and its patient is nobody.
Everything is derived from the identity, UIDs and dates too, so that the same volume gives the
same bytes.

Source: DICOM PS3.3, A.3 (CT Image IOD), C.8.2.1 (CT Image module).
"""

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid
from pydicom.valuerep import format_number_as_ds

from breastseg import __version__
from breastseg.core.errors import GeometryError
from breastseg.core.image import Image, LabelMap
from breastseg.core.lesion_volume import measure_lesions
from breastseg.core.series import Series, series_case_id
from breastseg.io.atomic import make_folder, write_bytes
from breastseg.io.dicom_results import Finding, Laterality, Maker, make_dicom_results

_INTERCEPT = -1024
_DATE, _TIME = "20000101", "120000"
_MOMENT = {"DA": _DATE, "TM": _TIME, "DT": _DATE + _TIME}
_STANDARD_ROOT = "1.2.840.10008."


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Whose series it is. Two series of the same identity have the same UIDs.

    patient_id: such as "phantom-1-0001".
    patient_position: DICOM's term, such as HFS or HFP; "" where it is not known.
    copy: what tells several series of one patient apart.
    """

    patient_id: str
    description: str
    patient_position: str
    copy: str = ""


def write_ct_series(folder: Path, image: Image, identity: Identity) -> Series:
    """Write one file per slice.

    Args:
        folder: is made.
        image: whole HU from -1024 to 3071, whose slices, rows and columns are right-handed.
        identity: see there.

    Returns:
        The series as a reader would return it.

    Raises:
        GeometryError: the image has no affine, or HU that 12 bits cannot hold.
        OutputError: a file cannot be written.
    """
    if image.affine is None:
        raise GeometryError("a CT series needs an affine, and the image has none.")
    stored = np.rint(image.pixels) - _INTERCEPT
    if stored.min() < 0 or stored.max() > 4095:
        raise GeometryError(
            f"a CT series holds -1024 to 3071 HU, got {image.pixels.min():g} to "
            f"{image.pixels.max():g}. Clip the image first."
        )
    make_folder(folder)
    paths = tuple(folder / f"{index + 1:04d}.dcm" for index in range(len(stored)))
    for index, path in enumerate(paths):
        dataset = _slice(stored[index].astype(np.uint16), image, index, identity)
        write_bytes(path, _encoded(dataset))
    uid = _uid(identity, "series")
    return Series(
        case_id=series_case_id(uid, "CT"),
        modality="CT",
        image=image,
        series_instance_uid=uid,
        study_instance_uid=_uid(identity, "study"),
        instance_paths=paths,
        frame_of_reference_uid=_uid(identity, "frame"),
    )


def write_truth_seg(
    path: Path, series: Series, labels: LabelMap, sides: tuple[Laterality, ...], identity: Identity
) -> None:
    """Write the lesions of a simulated series as a Segmentation; nothing where there is none.

    Args:
        path: of the file.
        series: from write_ct_series.
        labels: on its grid; 0, or the number of a lesion from 1.
        sides: of lesion 1, 2, and so on.
        identity: that of the series.
    """
    measured = measure_lesions(series.image, labels, in_hu=True)
    if not measured:
        return
    findings = tuple(
        Finding(
            lesion=lesion,
            tracking_uid=_uid(identity, "lesion", str(lesion.number)),
            laterality=sides[lesion.number - 1],
        )
        for lesion in measured
    )
    maker = Maker(algorithm="breastseg phantom", version=__version__)
    results = make_dicom_results(series, labels, findings, maker)
    if results.segmentation is not None:
        _make_reproducible(results.segmentation, series, identity)
        write_bytes(path, _encoded(results.segmentation))


def _slice(stored: np.ndarray, image: Image, index: int, identity: Identity) -> Dataset:
    dataset = _identified(identity)
    affine, spacing = image.affine, image.spacing_mm
    if affine is None or spacing is None:
        raise GeometryError("a CT series needs an affine, and the image has none.")
    dataset.SOPInstanceUID = _uid(identity, "slice", str(index))
    dataset.InstanceNumber = index + 1
    dataset.ImageType = ["DERIVED", "SECONDARY", "AXIAL"]
    dataset.ImagePositionPatient = _numbers((affine @ [index, 0, 0, 1])[:3])
    directions = affine[:3, [2, 1]] / np.array(spacing)[[2, 1]]
    dataset.ImageOrientationPatient = _numbers(directions.T.ravel() + 0.0)
    dataset.PixelSpacing = _numbers(spacing[1:])
    dataset.SliceThickness = format_number_as_ds(float(spacing[0]))
    dataset.RescaleSlope, dataset.RescaleIntercept = "1", str(_INTERCEPT)
    dataset.RescaleType, dataset.WindowCenter, dataset.WindowWidth = "HU", "40", "400"
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.Rows, dataset.Columns = stored.shape
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, 12, 11
    dataset.PixelRepresentation = 0
    dataset.PixelData = stored.astype("<u2").tobytes()
    return dataset


def _identified(identity: Identity) -> Dataset:
    """Return what all slices of the series share."""
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SOPClassUID, dataset.Modality = CTImageStorage, "CT"
    dataset.PatientName, dataset.PatientID = "Phantom^Simulated", identity.patient_id
    dataset.PatientBirthDate, dataset.PatientSex = "", "F"
    dataset.StudyInstanceUID = _uid(identity, "study")
    dataset.SeriesInstanceUID = _uid(identity, "series")
    dataset.FrameOfReferenceUID = _uid(identity, "frame")
    dataset.PositionReferenceIndicator = ""
    dataset.StudyID, dataset.SeriesNumber, dataset.AcquisitionNumber = "1", 1, 1
    dataset.AccessionNumber, dataset.ReferringPhysicianName = "", ""
    dataset.StudyDate, dataset.StudyTime = _DATE, _TIME
    dataset.Manufacturer, dataset.KVP = "breastseg (simulated, no patient)", ""
    dataset.SoftwareVersions = __version__
    dataset.SeriesDescription = identity.description
    dataset.PatientPosition = identity.patient_position
    return dataset


def _make_reproducible(dataset: Dataset, series: Series, identity: Identity) -> None:
    """Replace the random UIDs and the dates of a result by ones that follow from the identity."""
    kept = {series.series_instance_uid, series.study_instance_uid, series.frame_of_reference_uid}
    ours = {_uid(identity, "slice", str(at)) for at in range(len(series.instance_paths))}
    findings = {_uid(identity, "lesion", str(at)) for at in range(1, 100)}
    renamed: dict[str, str] = {}

    def mend(_: Dataset, element: Any) -> None:
        value = str(element.value)
        if element.VR == "UI" and not value.startswith(_STANDARD_ROOT):
            if value not in kept | ours | findings:
                renamed.setdefault(value, _uid(identity, "result", str(len(renamed))))
                element.value = renamed[value]
        elif element.VR in _MOMENT and value:
            element.value = _MOMENT[element.VR]

    dataset.walk(mend)
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID


def _uid(identity: Identity, *parts: str) -> str:
    whose = [identity.patient_id, *([identity.copy] if identity.copy else [])]
    sources = ["breastseg phantom", *whose, identity.description, *parts]
    return str(generate_uid(entropy_srcs=sources))


def _numbers(values: Any) -> list[str]:
    return [format_number_as_ds(float(value)) for value in values]


def _encoded(dataset: Dataset) -> bytes:
    buffer = io.BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()
