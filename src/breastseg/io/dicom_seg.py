"""Reading DICOM Segmentations: binary, fractional and label maps, overlapping or not.

Source: DICOM PS3.3, sections A.51, C.8.20.2 and C.8.20.3.
"""

import warnings
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float64, Int64
from pydicom import Dataset, dcmread
from pydicom.pixels.utils import get_expected_length, iter_pixels

from breastseg.core.mask_faults import MaskError, MaskFault
from breastseg.core.structure import Mask, MaskFile, Structure, StructureMask
from breastseg.io.mask_reference import Target

# How far a pixel may lie from the voxel that it is, in voxels: positions are rounded.
_PLACE_TOLERANCE = 0.05
_BACKGROUND = 0

Indices = Int64[np.ndarray, "pixels 3"]

# Morphologically abnormal (altered) structure, in SNOMED CT and as older files write it.
_ABNORMAL = {("49755003", "SCT"), ("M-01000", "SRT"), ("M-01000", "99SDM")}


def describe_segmentation(path: Path, header: Dataset) -> MaskFile:
    """List the segments of a SEG and what it refers to; no pixel is read.

    Raises:
        MaskError: damaged-mask.
    """
    kind = str(header.get("SegmentationType", ""))
    if kind not in ("BINARY", "FRACTIONAL", "LABELMAP"):
        found = f"expected SegmentationType BINARY, FRACTIONAL or LABELMAP, found '{kind}'"
        raise MaskError(MaskFault.DAMAGED_MASK, path, found)
    frames = Counter(number for number in _segment_numbers(path, header, kind))
    series = header.get("ReferencedSeriesSequence") or []
    frame_of_reference = header.get("FrameOfReferenceUID")
    return MaskFile(
        path=path,
        modality="SEG",
        type=kind,
        structures=tuple(
            _structure(path, segment, frames if frames else None)
            for segment in header.get("SegmentSequence") or []
            if not (kind == "LABELMAP" and segment.get("SegmentNumber") == _BACKGROUND)
        ),
        series_uids=tuple(str(item.SeriesInstanceUID) for item in series),
        instance_uids=frozenset(
            str(image.ReferencedSOPInstanceUID)
            for item in series
            for image in item.get("ReferencedInstanceSequence") or []
        ),
        frame_of_reference_uids=(str(frame_of_reference),) if frame_of_reference else (),
    )


def _structure(path: Path, segment: Dataset, frames: Counter[int] | None) -> Structure:
    number = segment.get("SegmentNumber")
    if number is None:
        raise MaskError(MaskFault.DAMAGED_MASK, path, "expected a SegmentNumber, found none")
    types = segment.get("SegmentedPropertyTypeCodeSequence") or [Dataset()]
    return Structure(
        number=int(number),
        name=str(segment.get("SegmentLabel", "")).strip(),
        kind=str(types[0].get("CodeMeaning", "")).strip() or None,
        num_parts=None if frames is None else frames[int(number)],
        is_abnormal=_is_abnormal(segment),
    )


def _is_abnormal(segment: Dataset) -> bool:
    """Whether the category of a segment is that of lesions; DICOM PS3.16, CID 7150."""
    category = (segment.get("SegmentedPropertyCategoryCodeSequence") or [Dataset()])[0]
    code = (str(category.get("CodeValue", "")), str(category.get("CodingSchemeDesignator", "")))
    return code in _ABNORMAL


def _segment_numbers(path: Path, header: Dataset, kind: str) -> Iterator[int]:
    """Yield the segment of each frame; nothing where the frames hold all of them or a tile."""
    if kind == "LABELMAP" or _is_tiled(header):
        return
    for index, frame in enumerate(header.get("PerFrameFunctionalGroupsSequence") or []):
        number = _attribute(
            header, frame, "SegmentIdentificationSequence", "ReferencedSegmentNumber"
        )
        if number is None:
            found = f"expected a segment for frame {index + 1}, found none"
            raise MaskError(MaskFault.DAMAGED_MASK, path, found)
        yield int(number)


def _is_tiled(header: Dataset) -> bool:
    return "TotalPixelMatrixColumns" in header


def refuse_tiles(path: Path, header: Dataset) -> None:
    """Refuse the segmentation of a whole-slide image.

    Raises:
        MaskError: whole-slide.
    """
    if _is_tiled(header):
        found = "expected slices, found tiles of a whole-slide image"
        raise MaskError(MaskFault.WHOLE_SLIDE, path, found)


def _attribute(header: Dataset, frame: Dataset, group: str, keyword: str) -> Any:
    """Return an attribute of a frame, or the one that all frames share."""
    for place in (frame, *(header.get("SharedFunctionalGroupsSequence") or [])):
        if items := place.get(group):
            return items[0].get(keyword)
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Reader:
    """One SEG that is brought onto a series."""

    file: MaskFile
    header: Dataset
    target: Target

    def refuse(self, fault: MaskFault, found: str) -> MaskError:
        return MaskError(fault, self.file.path, found)

    @property
    def shape(self) -> tuple[int, ...]:
        return self.target.series.image.pixels.shape


def read_segment(
    file: MaskFile, header: Dataset, structure: Structure, target: Target, *, threshold: float
) -> StructureMask:
    """Read one segment onto the grid of a series, voxel for voxel; nothing is resampled.

    A frame is placed by its position where series and frame have one, flipped or turned where
    its axes are those of the grid in another order; else by the image that it was made of.

    Args:
        threshold: of FRACTIONAL segments, the share of the largest value that a pixel must reach.

    Raises:
        MaskError: other-grid, outside, empty-structure, broken-reference, damaged-mask.
    """
    reader = _Reader(file=file, header=header, target=target)
    mask: Mask = np.zeros(reader.shape, bool)
    cut = num_pixels = 0
    for index, frame, inside in _marked(reader, structure, threshold):
        pixels = np.argwhere(inside)
        voxels = _place(reader, index, frame, pixels)
        within = ((voxels >= 0) & (voxels < reader.shape)).all(axis=1)
        mask[tuple(voxels[within].T)] = True
        cut += int(np.count_nonzero(~within))
        num_pixels += len(pixels)
    if cut == num_pixels:
        found = f"expected pixels of the segment '{structure.name}' in the image, found "
        fault = MaskFault.OUTSIDE if cut else MaskFault.EMPTY_STRUCTURE
        raise reader.refuse(fault, found + (f"all {cut} outside it" if cut else "none at all"))
    notes = (f"{cut} of {num_pixels} pixels lie outside the image and were left out.",)
    return StructureMask(structure=structure, mask=mask, notes=notes if cut else ())


def _marked(reader: _Reader, structure: Structure, threshold: float) -> Iterator[tuple[Any, ...]]:
    """Yield the frames that hold a segment: their index, attributes and marked pixels."""
    kind, header = reader.file.type, reader.header
    frames = list(header.get("PerFrameFunctionalGroupsSequence") or [])
    if len(frames) != int(header.get("NumberOfFrames") or 0):
        found = (
            f"expected attributes for {header.get('NumberOfFrames')} frames, found {len(frames)}"
        )
        raise reader.refuse(MaskFault.DAMAGED_MASK, found)
    numbers = list(_segment_numbers(reader.file.path, header, kind))
    wanted = [n for n in range(len(frames)) if not numbers or numbers[n] == structure.number]
    if not wanted:
        return
    largest = int(header.get("MaximumFractionalValue") or 1)
    for index, pixels in zip(wanted, _decoded(reader, wanted), strict=True):
        if kind == "LABELMAP":
            inside = pixels == structure.number
        elif kind == "FRACTIONAL":
            inside = (pixels > 0) & (pixels >= threshold * largest)
        else:
            inside = pixels > 0
        yield index, frames[index], inside


def _decoded(reader: _Reader, indices: list[int]) -> Iterator[np.ndarray]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            # By its path, pydicom 3.0.2 decodes wrong frames of a file that is cut short.
            dataset = dcmread(reader.file.path)
            _check_length(reader, dataset)
            yield from iter_pixels(dataset, indices=indices, raw=True)
    except MaskError:
        raise
    # Each decoder has errors of its own.
    except Exception as error:
        found = f"the pixel data cannot be decoded ({type(error).__name__})"
        raise reader.refuse(MaskFault.DAMAGED_MASK, found) from None


def _check_length(reader: _Reader, dataset: Dataset) -> None:
    if dataset.file_meta.TransferSyntaxUID.is_compressed:
        return
    expected, length = get_expected_length(dataset), len(dataset.PixelData)
    if length < expected:
        found = f"expected {expected} bytes of pixel data, found {length}"
        raise reader.refuse(MaskFault.DAMAGED_MASK, found)


def _place(reader: _Reader, index: int, frame: Dataset, pixels: Indices) -> Indices:
    """Return the voxels (slice, row, column) of a frame's pixels (row, column)."""
    position = _attribute(reader.header, frame, "PlanePositionSequence", "ImagePositionPatient")
    affine = reader.target.series.image.affine
    if position is None or affine is None:
        return _by_source(reader, index, frame, pixels)
    steps = np.linalg.inv(affine) @ _frame_affine(reader, index, frame, position)
    origin, along_row, along_column = steps[:3, 2], steps[:3, 0], steps[:3, 1]
    whole = np.rint(steps)
    corners = np.array([reader.header.Rows - 1, reader.header.Columns - 1])
    off = np.abs(origin - whole[:3, 2]) + np.abs(steps - whole)[:3, :2] @ corners
    distinct = (np.abs(whole[:3, :2]).sum(axis=0) == 1).all() and not np.array_equal(
        np.abs(whole[:3, 0]), np.abs(whole[:3, 1])
    )
    if not distinct or off.max() > _PLACE_TOLERANCE:
        raise reader.refuse(MaskFault.OTHER_GRID, _off_grid(index, along_row, along_column, off))
    placed: Indices = (
        whole[:3, 2] + pixels[:, :1] * whole[:3, 0] + pixels[:, 1:] * whole[:3, 1]
    ).astype(np.int64)
    return placed


def _off_grid(
    index: int,
    along_row: Float64[np.ndarray, " 3"],
    along_column: Float64[np.ndarray, " 3"],
    off: Float64[np.ndarray, " 3"],
) -> str:
    sizes = " x ".join(f"{np.linalg.norm(step):.4g}" for step in (along_row, along_column))
    return (
        f"expected the pixels of frame {index + 1} on voxels of the image, found pixels of "
        f"{sizes} voxels that lie up to {off.max():.3g} voxels beside them"
    )


def _frame_affine(
    reader: _Reader, index: int, frame: Dataset, position: Any
) -> Float64[np.ndarray, "4 3"]:
    """Return the matrix from (row, column, 1) to LPS in mm."""
    header = reader.header
    orientation = _attribute(header, frame, "PlaneOrientationSequence", "ImageOrientationPatient")
    spacing = _attribute(header, frame, "PixelMeasuresSequence", "PixelSpacing")
    try:
        directions = np.array([float(value) for value in orientation]).reshape(2, 3)
        rows_mm, columns_mm = (float(value) for value in spacing)
        origin = np.array([float(value) for value in position]).reshape(3)
    except (TypeError, ValueError):
        found = f"expected position, orientation and spacing of frame {index + 1}, found {spacing}"
        raise reader.refuse(MaskFault.DAMAGED_MASK, found) from None
    matrix = np.zeros((4, 3))
    matrix[:3] = np.stack([directions[1] * rows_mm, directions[0] * columns_mm, origin], axis=1)
    matrix[3, 2] = 1
    return matrix


def _by_source(reader: _Reader, index: int, frame: Dataset, pixels: Indices) -> Indices:
    """Place a frame on the image that it was made of, which must have its rows and columns."""
    size = (int(reader.header.Rows), int(reader.header.Columns))
    if size != reader.shape[1:]:
        found = (
            f"expected the size of the image, {reader.shape[1:]} (rows, columns), found {size} "
            "and no position"
        )
        raise reader.refuse(MaskFault.OTHER_GRID, found)
    derivation = frame.get("DerivationImageSequence") or []
    sources = [image for item in derivation for image in item.get("SourceImageSequence") or []]
    slices = {
        reader.target.slices[uid] + _frame_of(source)
        for source in sources
        if (uid := str(source.get("ReferencedSOPInstanceUID"))) in reader.target.slices
    }
    if len(slices) != 1:
        found = (
            f"expected frame {index + 1} to name one image of the series, found {len(slices)} and "
            "no position"
        )
        raise reader.refuse(MaskFault.BROKEN_REFERENCE, found)
    return np.insert(pixels, 0, slices.pop(), axis=1)


def _frame_of(source: Dataset) -> int:
    """Return the frame of a multi-frame image that is meant, from 0."""
    number = source.get("ReferencedFrameNumber")
    return 0 if number is None or not isinstance(number, int) else number - 1
