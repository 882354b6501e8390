"""CT series, SEGs and RTSTRUCTs made for tests, by highdicom and pydicom."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import highdicom
import numpy as np
from pydicom import Dataset, FileMetaDataset
from pydicom.sr.codedict import codes
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

from breastseg.core.series import Series
from breastseg.io.dicom_series import read_series

CT_CLASS = "1.2.840.10008.5.1.4.1.1.2"
RTSTRUCT_CLASS = "1.2.840.10008.5.1.4.1.1.481.3"
AXIAL = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0))
# Turned about two axes; the slices lie across none of the patient's planes.
OBLIQUE = ((0.8, 0.6, 0.0), (-0.36, 0.48, 0.8))


def uid_of(*parts: object) -> str:
    """Return the same UID for the same words."""
    return generate_uid(entropy_srcs=[str(part) for part in parts])


def write_ct(
    folder: Path,
    *,
    shape: tuple[int, int, int] = (5, 14, 12),
    directions: tuple[tuple[float, ...], tuple[float, ...]] = AXIAL,
    spacing_mm: tuple[float, float, float] = (3.0, 0.8, 0.7),
    name: str = "ct",
    patient: str = "SECRET^NAME",
) -> Series:
    """Write a CT series of noise and read it."""
    folder.mkdir(parents=True, exist_ok=True)
    along_row, along_column = map(np.array, directions)
    normal = np.cross(along_row, along_column)
    noise = np.random.default_rng(0).integers(900, 1200, shape)
    for index in range(shape[0]):
        position = np.array([-40.0, -30.0, 12.5]) + index * spacing_mm[0] * normal
        header = _identity(CT_CLASS, "CT", name, index, patient)
        header.ImagePositionPatient = [round(float(value), 6) for value in position]
        header.ImageOrientationPatient = [*directions[0], *directions[1]]
        header.PixelSpacing = [spacing_mm[1], spacing_mm[2]]
        header.SliceThickness = spacing_mm[0]
        header.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
        header.RescaleSlope, header.RescaleIntercept, header.RescaleType = 1, -1024, "HU"
        header.Rows, header.Columns = shape[1:]
        header.SamplesPerPixel, header.PhotometricInterpretation = 1, "MONOCHROME2"
        header.BitsAllocated, header.BitsStored, header.HighBit = 16, 12, 11
        header.PixelRepresentation = 0
        header.PixelData = noise[index].astype("<u2").tobytes()
        header.save_as(folder / f"{index:03}.dcm", enforce_file_format=True)
    return read_series(folder)


def _identity(sop_class: str, modality: str, name: str, index: int, patient: str) -> Dataset:
    header = Dataset()
    header.file_meta = FileMetaDataset()
    header.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    header.SOPClassUID = sop_class
    header.SOPInstanceUID = uid_of(name, index)
    header.Modality = modality
    header.PatientName = patient
    header.PatientID = patient
    header.PatientBirthDate = header.PatientSex = ""
    header.StudyInstanceUID = uid_of("study", patient)
    header.StudyID = header.StudyDate = header.StudyTime = header.AccessionNumber = ""
    header.ReferringPhysicianName = header.Manufacturer = ""
    header.SeriesInstanceUID = uid_of("series", name, patient)
    header.SeriesNumber, header.InstanceNumber = 1, index + 1
    header.FrameOfReferenceUID = uid_of("frame", patient)
    header.PositionReferenceIndicator = ""
    return header


def write_seg(
    path: Path,
    series: Series,
    masks: Mapping[str, np.ndarray],
    *,
    kind: str = "BINARY",
    change: Any = None,
) -> Path:
    """Write a SEG of bool or, if fractional, float masks of the series' shape, by highdicom."""
    from pydicom import dcmread

    images = [dcmread(each) for each in series.instance_paths]
    descriptions = [
        highdicom.seg.SegmentDescription(
            segment_number=number,
            segment_label=label,
            segmented_property_category=codes.SCT.MorphologicallyAbnormalStructure,
            segmented_property_type=codes.SCT.Mass,
            algorithm_type=highdicom.seg.SegmentAlgorithmTypeValues.MANUAL,
        )
        for number, label in enumerate(masks, start=1)
    ]
    pixels = np.stack([*masks.values()], axis=-1)
    if kind == "LABELMAP":
        pixels = (pixels * np.arange(1, len(masks) + 1)).sum(axis=-1)
    segmentation = highdicom.seg.Segmentation(
        source_images=images,
        pixel_array=pixels.astype(np.float32 if kind == "FRACTIONAL" else np.uint8),
        segmentation_type=kind,
        segment_descriptions=descriptions,
        series_instance_uid=uid_of(path),
        series_number=2,
        sop_instance_uid=uid_of(path, 1),
        instance_number=1,
        manufacturer="none",
        manufacturer_model_name="none",
        software_versions="1",
        device_serial_number="1",
        max_fractional_value=200,
    )
    if change is not None:
        change(segmentation)
    segmentation.save_as(path)
    return path


@dataclass(frozen=True)
class Drawn:
    """A contour in voxels (row, column) on a place along the slices, or in mm where `points_mm`."""

    place: float
    corners: Sequence[Sequence[float]] = ()
    type: str = "CLOSED_PLANAR"
    names_slice: int | None = None
    points_mm: np.ndarray | None = None

    def to_mm(self, series: Series) -> np.ndarray:
        """Return its points in LPS."""
        if self.points_mm is not None:
            return self.points_mm
        corners = np.asarray(self.corners, float)
        voxels = np.insert(corners, 0, self.place, axis=1)
        affine = series.image.affine
        assert affine is not None
        return voxels @ affine[:3, :3].T + affine[:3, 3]


def square(place: float, start: float, stop: float, **more: Any) -> Drawn:
    """Return a square contour from pixel to pixel along both axes."""
    corners = [(start, start), (start, stop), (stop, stop), (stop, start)]
    return Drawn(place=place, corners=corners, **more)


def write_rtstruct(
    path: Path, series: Series, rois: Mapping[str, Sequence[Drawn]], *, change: Any = None
) -> Path:
    """Write an RTSTRUCT of some ROIs, each contour with the image that it was drawn on."""
    from pydicom import dcmread

    header = _identity(RTSTRUCT_CLASS, "RTSTRUCT", str(path), 0, "SECRET^NAME")
    uids = [
        str(dcmread(each, stop_before_pixels=True).SOPInstanceUID) for each in series.instance_paths
    ]
    header.SeriesInstanceUID = uid_of("rt", path)
    header.StructureSetLabel = "test"
    header.ReferencedFrameOfReferenceSequence = [_reference(series, uids)]
    header.StructureSetROISequence, header.ROIContourSequence = [], []
    header.RTROIObservationsSequence = []
    for number, (name, contours) in enumerate(rois.items(), start=1):
        roi = Dataset()
        roi.ROINumber, roi.ROIName = number, name
        roi.ReferencedFrameOfReferenceUID = series.frame_of_reference_uid
        header.StructureSetROISequence.append(roi)
        observation = Dataset()
        observation.ReferencedROINumber, observation.RTROIInterpretedType = number, "GTV"
        header.RTROIObservationsSequence.append(observation)
        drawn = Dataset()
        drawn.ReferencedROINumber = number
        drawn.ContourSequence = [_contour(each, series, uids) for each in contours]
        header.ROIContourSequence.append(drawn)
    if change is not None:
        change(header)
    header.save_as(path, enforce_file_format=True)
    return path


def _reference(series: Series, uids: Sequence[str]) -> Dataset:
    inner, study, frame = Dataset(), Dataset(), Dataset()
    inner.SeriesInstanceUID = series.series_instance_uid
    inner.ContourImageSequence = [_image(uid) for uid in uids]
    study.RTReferencedSeriesSequence = [inner]
    frame.FrameOfReferenceUID = series.frame_of_reference_uid
    frame.RTReferencedStudySequence = [study]
    return frame


def _image(uid: str) -> Dataset:
    image = Dataset()
    image.ReferencedSOPClassUID, image.ReferencedSOPInstanceUID = CT_CLASS, uid
    return image


def _contour(drawn: Drawn, series: Series, uids: Sequence[str]) -> Dataset:
    contour = Dataset()
    points = drawn.to_mm(series)
    contour.ContourGeometricType = drawn.type
    contour.NumberOfContourPoints = len(points)
    contour.ContourData = [f"{value:.8g}" for value in points.ravel()]
    place = round(drawn.place) if drawn.names_slice is None else drawn.names_slice
    if 0 <= place < len(uids):
        contour.ContourImageSequence = [_image(uids[place])]
    return contour
