"""CT series made for tests: small, valid, of any orientation, with a patient who has a name."""

from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

from breastseg.core.image import Image
from breastseg.core.series import Series

PATIENT_NAME = "Secret^Patient"
CT_CLASS = "1.2.840.10008.5.1.4.1.1.2"
US_CLASS = "1.2.840.10008.5.1.4.1.1.6.1"


def affine_of(
    *,
    spacing_mm=(2.0, 0.5, 0.75),
    directions=((0, 0, 1), (0, 1, 0), (1, 0, 0)),
    origin=(-10.0, 20.0, -300.0),
):
    """Return the affine of (slice, row, column) steps along given LPS directions."""
    affine = np.eye(4)
    for axis in range(3):
        affine[:3, axis] = np.array(directions[axis], float) * spacing_mm[axis]
    affine[:3, 3] = origin
    return affine


def write_ct(folder: Path, pixels: np.ndarray, affine: np.ndarray) -> Series:
    """Write a CT series of HU values, and return it as a reader would."""
    folder.mkdir(parents=True, exist_ok=True)
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    study, series, frame = generate_uid(), generate_uid(), generate_uid()
    paths = []
    for index, plane in enumerate(pixels):
        header = _patient(study, series, CT_CLASS, "CT", index)
        header.FrameOfReferenceUID = frame
        header.PositionReferenceIndicator = ""
        header.ImagePositionPatient = _decimals(affine[:3, 3] + index * affine[:3, 0])
        across, down = affine[:3, 2] / spacing[2], affine[:3, 1] / spacing[1]
        header.ImageOrientationPatient = _decimals([*across, *down])
        header.PixelSpacing = _decimals([spacing[1], spacing[2]])
        header.SliceThickness = _decimals([spacing[0]])[0]
        header.KVP = "120"
        header.RescaleIntercept, header.RescaleSlope, header.RescaleType = "-1024", "1", "HU"
        _put(header, np.asarray(np.rint(plane) + 1024, np.uint16))
        paths.append(folder / f"{index:03d}.dcm")
        header.save_as(paths[-1], enforce_file_format=True)
    return Series(
        case_id="ct-0123456789ab",
        modality="CT",
        image=Image(pixels=pixels.astype(np.float32), affine=affine),
        series_instance_uid=series,
        study_instance_uid=study,
        instance_paths=tuple(paths),
        frame_of_reference_uid=frame,
    )


def write_ultrasound(folder: Path, pixels: np.ndarray, spacing_mm: float | None) -> Series:
    """Write one ultrasound image, and return it as a reader would."""
    folder.mkdir(parents=True, exist_ok=True)
    study, series = generate_uid(), generate_uid()
    header = _patient(study, series, US_CLASS, "US", 0)
    header.PatientOrientation = []
    header.Laterality = "L"
    _put(header, np.asarray(pixels, np.uint8))
    if spacing_mm is not None:
        header.SequenceOfUltrasoundRegions = [_region(spacing_mm, pixels.shape)]
    path = folder / "us.dcm"
    header.save_as(path, enforce_file_format=True)
    affine = None if spacing_mm is None else np.diag([1.0, spacing_mm, spacing_mm, 1.0])
    return Series(
        case_id="us-0123456789ab",
        modality="US",
        image=Image(pixels=pixels[None].astype(np.float32), affine=affine),
        series_instance_uid=series,
        study_instance_uid=study,
        instance_paths=(path,),
    )


def _region(spacing_mm: float, size: tuple[int, ...]) -> Dataset:
    region = Dataset()
    region.RegionSpatialFormat, region.RegionDataType, region.RegionFlags = 1, 1, 0
    region.RegionLocationMinX0, region.RegionLocationMinY0 = 0, 0
    region.RegionLocationMaxX1, region.RegionLocationMaxY1 = size[1] - 1, size[0] - 1
    region.PhysicalUnitsXDirection = region.PhysicalUnitsYDirection = 3
    region.PhysicalDeltaX = region.PhysicalDeltaY = spacing_mm / 10
    return region


def _patient(study: str, series: str, sop_class: str, modality: str, index: int) -> Dataset:
    header = Dataset()
    header.file_meta = FileMetaDataset()
    header.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    header.SOPClassUID, header.SOPInstanceUID = sop_class, generate_uid()
    header.file_meta.MediaStorageSOPClassUID = sop_class
    header.file_meta.MediaStorageSOPInstanceUID = header.SOPInstanceUID
    header.SpecificCharacterSet = "ISO_IR 100"
    header.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    header.PatientName, header.PatientID = PATIENT_NAME, "0815"
    header.PatientBirthDate, header.PatientSex = "19500101", "F"
    header.StudyInstanceUID, header.SeriesInstanceUID = study, series
    header.StudyDate, header.StudyTime, header.StudyID = "20240102", "030405", "1"
    header.AccessionNumber, header.ReferringPhysicianName = "", ""
    header.Manufacturer, header.Modality, header.SeriesNumber = "Made for tests", modality, 1
    header.InstanceNumber, header.AcquisitionNumber = index + 1, 1
    return header


def _put(header: Dataset, stored: np.ndarray) -> None:
    bits = 8 * stored.itemsize
    header.Rows, header.Columns = stored.shape
    header.SamplesPerPixel, header.PhotometricInterpretation = 1, "MONOCHROME2"
    header.BitsAllocated = header.BitsStored = bits
    header.HighBit, header.PixelRepresentation = bits - 1, 0
    header.PixelData = stored.tobytes()


def _decimals(values) -> list[str]:
    return [f"{value:.10g}" for value in values]
