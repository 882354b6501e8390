"""Reading DICOM RT Structure Sets: contours in millimetres to voxels, by stated rules.

Source: DICOM PS3.3, sections A.19, C.8.8.5 and C.8.8.6. The rules: docs/reference/masks.md.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import numpy as np
from jaxtyping import Float64
from pydicom import Dataset

from breastseg.core.mask_faults import MaskError, MaskFault
from breastseg.core.structure import Mask, MaskFile, Structure, StructureMask
from breastseg.io.contours import CrossingError, Plane, between, combine, enclosed
from breastseg.io.mask_reference import Target

_CLOSED = ("CLOSED_PLANAR", "CLOSEDPLANAR_XOR")
# Shares of the distance between two slices.
_FLAT = 0.1
_ON_SLICE = 0.25
_WORTH_A_NOTE = 0.02

Points = Float64[np.ndarray, "points 3"]


@dataclass(frozen=True, slots=True)
class _Contour:
    """One closed contour. points: (slice, row, column) in voxels of the target."""

    points: Points = field(repr=False)
    exclusive: bool
    instance_uid: str | None

    @property
    def place(self) -> float:
        """Where it lies along the slices."""
        return float(self.points[:, 0].mean())


def describe_structure_set(path: Path, header: Dataset) -> MaskFile:
    """List the ROIs of an RTSTRUCT and what it refers to.

    Raises:
        MaskError: damaged-mask.
    """
    contours = _contours_by_roi(header)
    observed = {
        int(item.ReferencedROINumber): str(item.get("RTROIInterpretedType", "")).strip()
        for item in header.get("RTROIObservationsSequence") or []
        if item.get("ReferencedROINumber") is not None
    }
    structures, frames = [], []
    for roi in header.get("StructureSetROISequence") or []:
        if roi.get("ROINumber") is None:
            raise MaskError(MaskFault.DAMAGED_MASK, path, "expected an ROINumber, found none")
        number = int(roi.ROINumber)
        drawn = contours.get(number, [])
        structures.append(
            Structure(
                number=number,
                name=str(roi.get("ROIName", "")).strip(),
                kind=observed.get(number) or None,
                num_parts=len(drawn),
                is_closed=not drawn or any(map(_is_closed, drawn)),
            )
        )
        frames.append(str(roi.get("ReferencedFrameOfReferenceUID", "")))
    return MaskFile(
        path=path,
        modality="RTSTRUCT",
        type="CONTOURS",
        structures=tuple(structures),
        series_uids=tuple(dict.fromkeys(_series_uids(header))),
        instance_uids=frozenset(
            uid for drawn in contours.values() for item in drawn if (uid := _instance_uid(item))
        ),
        frame_of_reference_uids=tuple(dict.fromkeys(filter(None, frames))),
    )


def _contours_by_roi(header: Dataset) -> dict[int, list[Dataset]]:
    return {
        int(roi.ReferencedROINumber): list(roi.get("ContourSequence") or [])
        for roi in header.get("ROIContourSequence") or []
        if roi.get("ReferencedROINumber") is not None
    }


def _is_closed(item: Dataset) -> bool:
    return str(item.get("ContourGeometricType", "")) in _CLOSED


def _series_uids(header: Dataset) -> Iterable[str]:
    for frame in header.get("ReferencedFrameOfReferenceSequence") or []:
        for study in frame.get("RTReferencedStudySequence") or []:
            for series in study.get("RTReferencedSeriesSequence") or []:
                yield str(series.get("SeriesInstanceUID", ""))


def _instance_uid(item: Dataset) -> str | None:
    """Return the image that a contour was drawn on, where it names exactly one."""
    images = item.get("ContourImageSequence") or []
    uid = images[0].get("ReferencedSOPInstanceUID") if len(images) == 1 else None
    return str(uid) if uid else None


@dataclass(slots=True)
class _Drawing:
    """One structure that is brought onto a series, and what is noted on the way."""

    file: MaskFile
    structure: Structure
    target: Target
    notes: list[str] = field(default_factory=list)

    def refuse(self, fault: MaskFault, found: str) -> MaskError:
        return MaskError(fault, self.file.path, f"structure '{self.structure.name}': {found}")

    @property
    def shape(self) -> tuple[int, ...]:
        return self.target.series.image.pixels.shape

    @property
    def slice_mm(self) -> float:
        spacing = self.target.series.image.spacing_mm
        return 1.0 if spacing is None else spacing[0]


def read_roi(
    file: MaskFile, header: Dataset, structure: Structure, target: Target, *, fill_gaps: bool
) -> StructureMask:
    """Mark the voxels of a series whose centres an ROI encloses; see docs/reference/masks.md.

    Args:
        fill_gaps: interpolate slices without a contour between outlines that face each other,
            which are refused otherwise.

    Raises:
        MaskError: not-closed, empty-structure, outside, off-plane, not-parallel, wrong-slice,
            crossing, gap, broken-reference, damaged-mask.
    """
    drawing = _Drawing(file, structure, target)
    contours = _closed_contours(drawing, _contours_by_roi(header).get(structure.number, []))
    planes = {
        place: _plane(drawing, place, group)
        for place, group in sorted(_by_slice(drawing, contours).items())
    }
    mask: Mask = np.zeros(drawing.shape, bool)
    for place, plane in planes.items():
        mask[place] = plane
    if not mask.any():
        raise drawing.refuse(MaskFault.EMPTY_STRUCTURE, "encloses no voxel centre of the image")
    _close_gaps(drawing, mask, planes, fill=fill_gaps)
    return StructureMask(structure=structure, mask=mask, notes=tuple(drawing.notes))


def _closed_contours(drawing: _Drawing, items: list[Dataset]) -> list[_Contour]:
    if not items:
        raise drawing.refuse(MaskFault.EMPTY_STRUCTURE, "has no contour")
    affine = drawing.target.series.image.affine
    if affine is None:
        found = "contours are in millimetres, and the image has no position in millimetres"
        raise drawing.refuse(MaskFault.BROKEN_REFERENCE, found)
    to_voxels = np.linalg.inv(affine)
    closed = [item for item in items if _is_closed(item)]
    if not closed:
        kinds = sorted({str(item.get("ContourGeometricType", "")) for item in items})
        found = f"expected closed contours, found only {', '.join(kinds)}"
        raise drawing.refuse(MaskFault.NOT_CLOSED, found)
    contours = [_contour(drawing, item, to_voxels) for item in closed]
    contours = [contour for contour in contours if len(contour.points) > 2]
    _note(drawing, len(items) - len(contours), "contours are points or lines")
    if not contours:
        raise drawing.refuse(MaskFault.EMPTY_STRUCTURE, "no contour has three points")
    return contours


def _note(drawing: _Drawing, count: int, what: str) -> None:
    if count:
        drawing.notes.append(f"{count} {what} and were left out.")


def _contour(drawing: _Drawing, item: Dataset, to_voxels: Float64[np.ndarray, "4 4"]) -> _Contour:
    try:
        points = np.array([float(value) for value in item.ContourData]).reshape(-1, 3)
    except (AttributeError, TypeError, ValueError):
        found = "expected ContourData of three numbers per point, found something else"
        raise drawing.refuse(MaskFault.DAMAGED_MASK, found) from None
    stated = item.get("NumberOfContourPoints")
    if stated is not None and int(stated) != len(points):
        found = f"expected the {stated} points that a contour names, found {len(points)}"
        raise drawing.refuse(MaskFault.DAMAGED_MASK, found)
    offset = [float(value) for value in item.get("ContourOffsetVector") or (0,)]
    if not np.isfinite(points).all() or any(offset):
        found = "expected finite points on the plane of their contour, found others"
        raise drawing.refuse(MaskFault.DAMAGED_MASK, found)
    voxels = points @ to_voxels[:3, :3].T + to_voxels[:3, 3]
    exclusive = item.ContourGeometricType == "CLOSEDPLANAR_XOR"
    return _Contour(voxels, exclusive, _instance_uid(item))


def _by_slice(drawing: _Drawing, contours: list[_Contour]) -> Mapping[int, list[_Contour]]:
    """Give each contour to its slice; those before the first or after the last are left out."""
    groups: dict[int, list[_Contour]] = defaultdict(list)
    num_slices = drawing.shape[0]
    beyond = farthest = 0.0
    for contour in contours:
        place = round(contour.place)
        _check_flat(drawing, contour)
        if not -0.5 <= contour.place < num_slices - 0.5:
            beyond += 1
            continue
        _check_place(drawing, contour, place)
        farthest = max(farthest, abs(contour.place - place))
        groups[place].append(contour)
    if not groups:
        found = f"all {len(contours)} contours lie beyond the {num_slices} slices of the image"
        raise drawing.refuse(MaskFault.OUTSIDE, found)
    _note(drawing, int(beyond), f"of {len(contours)} contours lie beyond the slices of the image")
    if farthest > _WORTH_A_NOTE:
        drawing.notes.append(
            f"Contours lie up to {farthest * drawing.slice_mm:.2g} mm beside their slices."
        )
    return groups


def _check_flat(drawing: _Drawing, contour: _Contour) -> None:
    depth = float(np.ptp(contour.points[:, 0]))
    if depth > _FLAT:
        found = (
            "expected contours along the slices, found one that runs through "
            f"{depth * drawing.slice_mm:.3g} mm of them"
        )
        raise drawing.refuse(MaskFault.NOT_PARALLEL, found)


def _check_place(drawing: _Drawing, contour: _Contour, place: int) -> None:
    off = abs(contour.place - place)
    if off > _ON_SLICE:
        found = (
            f"expected contours on slices that are {drawing.slice_mm:.4g} mm apart, found one "
            f"{off * drawing.slice_mm:.3g} mm from the nearest"
        )
        raise drawing.refuse(MaskFault.OFF_PLANE, found)
    named = drawing.target.slices.get(contour.instance_uid or "")
    if named is not None and named != place and not drawing.target.is_multi_frame:
        found = f"a contour lies on slice {place + 1} but names the image of slice {named + 1}"
        raise drawing.refuse(MaskFault.WRONG_SLICE, found)


def _plane(drawing: _Drawing, place: int, contours: list[_Contour]) -> Plane:
    rows, columns = drawing.shape[1:]
    limits = np.array([rows, columns]) - 0.5
    for contour in contours:
        corners = contour.points[:, 1:]
        if (corners < -0.5).any() or (corners > limits).any():
            drawing.notes.append(f"A contour on slice {place + 1} was cut at the image's edge.")
    planes = [enclosed(contour.points[:, 1:], (rows, columns)) for contour in contours]
    try:
        return combine(planes, exclusive=any(contour.exclusive for contour in contours))
    except CrossingError as error:
        raise drawing.refuse(MaskFault.CROSSING, f"on slice {place + 1}, {error}") from None


def _close_gaps(drawing: _Drawing, mask: Mask, planes: Mapping[int, Plane], *, fill: bool) -> None:
    """Fill or refuse slices without a contour where the outlines on both sides face each other.

    Where the outlines have no pixel in common they are taken as parts of their own.
    """
    filled = []
    for below, above in pairwise(sorted(planes)):
        missing = range(below + 1, above)
        if not missing or not (planes[below] & planes[above]).any():
            continue
        if not fill:
            found = (
                f"slices {below + 1} and {above + 1} have contours that face each other, and the "
                f"{len(missing)} between them none"
            )
            raise drawing.refuse(MaskFault.GAP, found)
        for place in missing:
            share = (place - below) / (above - below)
            mask[place] = between(planes[below], planes[above], share)
        filled += [str(place + 1) for place in missing]
    if filled:
        drawing.notes.append(
            f"Interpolated where no contour was drawn: slices {', '.join(filled)}."
        )
