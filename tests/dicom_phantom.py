"""Small synthetic CT series with a known truth, and everything that can go wrong with one."""

import random
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydicom import Dataset, dcmread
from pydicom.dataset import FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRLittleEndian, generate_uid
from pydicom.valuerep import format_number_as_ds

from breastseg.core.scan_faults import ScanFault

AXIAL = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0))
SHAPE = (6, 5, 7)
SPACING_MM = (2.5, 0.8, 0.6)
CT_IMAGE = "1.2.840.10008.5.1.4.1.1.2"
ENHANCED_CT_IMAGE = "1.2.840.10008.5.1.4.1.1.2.1"


@dataclass(frozen=True)
class Truth:
    """What a reader must return. pixels in HU; paths by slice, along the normal."""

    folder: Path
    pixels: np.ndarray
    affine: np.ndarray
    paths: tuple[Path, ...]


def truth_volume(orientation=AXIAL, shape=SHAPE, spacing=SPACING_MM, origin=(-20.0, 31.5, 4.25)):
    """Return HU (slice, row, column) and the affine to LPS of a right-handed grid."""
    columns_direction, rows_direction = (np.array(direction) for direction in orientation)
    affine = np.eye(4)
    affine[:3, 0] = np.cross(columns_direction, rows_direction) * spacing[0]
    affine[:3, 1] = rows_direction * spacing[1]
    affine[:3, 2] = columns_direction * spacing[2]
    affine[:3, 3] = origin
    pixels = np.random.default_rng(7).integers(-1000, 1500, shape).astype(np.float32)
    return pixels, affine


def write_series(folder, orientation=AXIAL, shape=SHAPE, spacing=SPACING_MM, suffix=".dcm"):
    """Write a series of single-frame CT images; the file names say nothing about the order."""
    folder.mkdir(parents=True, exist_ok=True)
    pixels, affine = truth_volume(orientation, shape, spacing)
    uids = {name: generate_uid(entropy_srcs=[name]) for name in ("study", "series", "frame")}
    order = random.Random(3).sample(range(shape[0]), shape[0])
    paths = [folder / f"{order[at]:03d}{suffix}" for at in range(shape[0])]
    for at, path in enumerate(paths):
        write_slice(path, pixels[at], affine, at, orientation, spacing, uids)
    return Truth(folder, pixels, affine, tuple(paths))


def write_slice(path, hounsfield, affine, at, orientation, spacing, uids):
    dataset = base_dataset(CT_IMAGE, "CT", uids)
    dataset.InstanceNumber = at + 1
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    dataset.ImagePositionPatient = numbers((affine @ [at, 0, 0, 1])[:3])
    dataset.ImageOrientationPatient = numbers(np.concatenate(orientation))
    dataset.PixelSpacing = numbers(spacing[1:])
    dataset.SliceThickness = str(spacing[0])
    dataset.RescaleSlope, dataset.RescaleIntercept = "1", "-1024"
    set_pixels(dataset, (hounsfield + 1024).astype(np.uint16))
    dataset.save_as(path, enforce_file_format=True)


def base_dataset(sop_class, modality, uids):
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SOPClassUID, dataset.SOPInstanceUID = sop_class, generate_uid()
    dataset.PatientName, dataset.PatientID = "Doe^Jane", "SECRET-7"
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = uids["study"], uids["series"]
    dataset.FrameOfReferenceUID = uids["frame"]
    dataset.Modality = modality
    return dataset


def set_pixels(dataset, stored):
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.Rows, dataset.Columns = stored.shape[-2:]
    bits = stored.dtype.itemsize * 8
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = bits, bits, bits - 1
    dataset.PixelRepresentation = 0
    dataset.PixelData = stored.tobytes() + b"\0" * (stored.nbytes % 2)


def numbers(values):
    return [format_number_as_ds(float(value)) for value in values]


def write_enhanced(path, orientation=AXIAL, shape=SHAPE, spacing=SPACING_MM):
    """Write the same volume as one Enhanced CT object; its frames are not in order."""
    pixels, affine = truth_volume(orientation, shape, spacing)
    uids = {name: generate_uid() for name in ("study", "series", "frame")}
    dataset = base_dataset(ENHANCED_CT_IMAGE, "CT", uids)
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "VOLUME", "NONE"]
    order = random.Random(5).sample(range(shape[0]), shape[0])
    dataset.NumberOfFrames = shape[0]
    dataset.SharedFunctionalGroupsSequence = Sequence(
        [
            group(
                PlaneOrientationSequence={
                    "ImageOrientationPatient": numbers(np.ravel(orientation))
                },
                PixelMeasuresSequence={
                    "PixelSpacing": numbers(spacing[1:]),
                    "SliceThickness": str(spacing[0]),
                },
                PixelValueTransformationSequence={
                    "RescaleSlope": "1",
                    "RescaleIntercept": "-1024",
                    "RescaleType": "HU",
                },
            )
        ]
    )
    places = [numbers((affine @ [at, 0, 0, 1])[:3]) for at in order]
    dataset.PerFrameFunctionalGroupsSequence = Sequence(
        [group(PlanePositionSequence={"ImagePositionPatient": place}) for place in places]
    )
    set_pixels(dataset, (pixels[order] + 1024).astype(np.uint16))
    dataset.save_as(path, enforce_file_format=True)
    return Truth(path.parent, pixels, affine, (path,))


def group(**sequences):
    dataset = Dataset()
    for name, attributes in sequences.items():
        item = Dataset()
        for keyword, value in attributes.items():
            setattr(item, keyword, value)
        setattr(dataset, name, Sequence([item]))
    return dataset


# Damages: each changes a series on disk.


def change(path, edit: Callable[[Dataset], None]):
    dataset = dcmread(path)
    edit(dataset)
    dataset.save_as(path)


def shift(path, mm):
    def edit(dataset):
        dataset.ImagePositionPatient = numbers(np.array(dataset.ImagePositionPatient, float) + mm)

    change(path, edit)


def drop(truth, at):
    truth.paths[at].unlink()


def duplicate(truth, at):
    def edit(dataset):
        dataset.SOPInstanceUID = generate_uid()

    copy = truth.paths[at].with_name("copy.dcm")
    copy.write_bytes(truth.paths[at].read_bytes())
    change(copy, edit)


def tilt(truth, _):
    for at, path in enumerate(truth.paths):
        shift(path, truth.affine[:3, 1] * 0.6 * at)


def push_aside(truth, at):
    shift(truth.paths[at], truth.affine[:3, 2] * 0.5)


def push_along(truth, at):
    shift(truth.paths[at], truth.affine[:3, 0] * 0.3)


def flip(truth, at):
    def edit(dataset):
        directions = np.array(dataset.ImageOrientationPatient, float)
        dataset.ImageOrientationPatient = numbers(-directions)

    change(truth.paths[at], edit)


def turn(truth, at):
    def edit(dataset):
        directions = np.array(dataset.ImageOrientationPatient, float)
        dataset.ImageOrientationPatient = numbers(np.roll(directions, 3))

    change(truth.paths[at], edit)


def truncate(truth, at):
    data = truth.paths[at].read_bytes()
    truth.paths[at].write_bytes(data[:-20])


def cut_header(truth, at):
    truth.paths[at].write_bytes(truth.paths[at].read_bytes()[:200])


def empty(truth, at):
    truth.paths[at].write_bytes(b"")


def strip(keyword):
    def damage(truth, at):
        change(truth.paths[at], lambda dataset: delattr(dataset, keyword))

    return damage


def put(keyword, value):
    def damage(truth, at):
        change(truth.paths[at], lambda dataset: setattr(dataset, keyword, value))

    return damage


def add_series(truth, at):
    other = truth.folder / "other.dcm"
    other.write_bytes(truth.paths[at].read_bytes())
    change(other, lambda dataset: setattr(dataset, "SeriesInstanceUID", generate_uid()))


def make_smaller(truth, at):
    def edit(dataset):
        dataset.Rows = dataset.Rows - 1
        dataset.PixelData = dataset.PixelData[: dataset.Rows * dataset.Columns * 2]

    change(truth.paths[at], edit)


DAMAGES: dict[str, tuple[Callable[[Truth, int], None], ScanFault]] = {
    "a slice dropped": (drop, ScanFault.MISSING_SLICE),
    "a slice twice": (duplicate, ScanFault.DUPLICATE_SLICE),
    "a tilted gantry": (tilt, ScanFault.GANTRY_TILT),
    "a slice aside": (push_aside, ScanFault.SHIFTED_SLICES),
    "a slice too far": (push_along, ScanFault.UNEVEN_SLICES),
    "a slice flipped": (flip, ScanFault.MIXED_ORIENTATION),
    "a slice turned": (turn, ScanFault.MIXED_ORIENTATION),
    "pixels cut": (truncate, ScanFault.TRUNCATED_PIXELS),
    "header cut": (cut_header, ScanFault.DAMAGED_FILE),
    "an empty file": (empty, ScanFault.DAMAGED_FILE),
    "no pixels": (strip("PixelData"), ScanFault.NO_PIXELS),
    "no position": (strip("ImagePositionPatient"), ScanFault.NO_POSITION),
    "no orientation": (strip("ImageOrientationPatient"), ScanFault.NO_ORIENTATION),
    "no spacing": (strip("PixelSpacing"), ScanFault.NO_SPACING),
    "no slope": (strip("RescaleSlope"), ScanFault.NO_RESCALE),
    "no intercept": (strip("RescaleIntercept"), ScanFault.NO_RESCALE),
    "no rows": (strip("Rows"), ScanFault.NO_PIXELS),
    "no series": (strip("SeriesInstanceUID"), ScanFault.DAMAGED_FILE),
    "an empty series": (put("SeriesInstanceUID", ""), ScanFault.DAMAGED_FILE),
    "a negative slope": (put("RescaleSlope", "-1"), ScanFault.NO_RESCALE),
    "another unit": (put("RescaleType", "US"), ScanFault.NOT_HU),
    "inverted grey": (put("PhotometricInterpretation", "MONOCHROME1"), ScanFault.NOT_HU),
    "another PixelSpacing": (put("PixelSpacing", ["0.8", "0.61"]), ScanFault.MIXED_SPACING),
    "a PixelSpacing of 0": (put("PixelSpacing", ["0", "0.6"]), ScanFault.NO_SPACING),
    "a skewed orientation": (
        put("ImageOrientationPatient", ["1", "0", "0", "0.5", "1", "0"]),
        ScanFault.NO_ORIENTATION,
    ),
    "another frame of reference": (
        put("FrameOfReferenceUID", "1.2.3"),
        ScanFault.MIXED_FRAME_OF_REFERENCE,
    ),
    "another modality": (put("Modality", "MR"), ScanFault.MODALITY),
    "another series": (put("SeriesInstanceUID", "1.2.3"), ScanFault.SEVERAL_SERIES),
    "a second series": (add_series, ScanFault.SEVERAL_SERIES),
    "a localizer": (put("ImageType", ["ORIGINAL", "PRIMARY", "LOCALIZER"]), ScanFault.LOCALIZER),
    "a smaller slice": (make_smaller, ScanFault.MIXED_SIZE),
}


def flip_bits(path: Path, places: list[int]) -> None:
    """Flip bits; a place is a bit of the file, counted from its start, modulo its length."""
    data = bytearray(path.read_bytes())
    for place in places:
        data[place // 8 % len(data)] ^= 1 << place % 8
    path.write_bytes(data)


def header_length(path: Path) -> int:
    """Return where the pixels begin."""
    return path.read_bytes().index(struct.pack("<HH", 0x7FE0, 0x0010))
