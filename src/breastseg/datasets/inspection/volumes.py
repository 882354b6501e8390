"""Looking at volumes and their masks: geometry, values, structures and their volumes."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from scipy import ndimage

from breastseg.core.errors import InputError
from breastseg.core.image import Image
from breastseg.core.mask_faults import MaskError
from breastseg.core.scan_faults import ScanError
from breastseg.core.series import Series
from breastseg.core.structure import MaskFile, Structure, StructureMask
from breastseg.datasets.cases import CaseFiles, DataSet
from breastseg.datasets.dicom_tree import find_dicom_tree
from breastseg.datasets.faults import Fault
from breastseg.datasets.inspection.findings import Finding, any_spoils, in_order
from breastseg.datasets.inspection.volume_geometry import describe_geometry, describe_series
from breastseg.datasets.inspection.volume_marks import Marks, Sight, unmarked
from breastseg.datasets.layouts import find_data_set
from breastseg.io.dicom_masks import DEFAULT_THRESHOLD, MaskReader, describe_mask_file, fits
from breastseg.io.dicom_series import read_series
from breastseg.io.file_kinds import is_nifti
from breastseg.io.nifti import read_nifti

NIFTI_LAYOUT = "NIfTI volume"

Progress = Callable[[str, int, int], None]

_ALL_NEIGHBOURS = np.ones((3, 3, 3), np.int32)


@dataclass(frozen=True, slots=True)
class MaskChoice:
    """Which structures are read, and how; see io.dicom_masks.read_masks.

    labels: patterns of names; without any, all structures are.
    """

    labels: tuple[str, ...] = ()
    threshold: float = DEFAULT_THRESHOLD
    fill_gaps: bool = False


ReadSeries = Callable[[Sequence[Path]], Series]
"""Reads the files of one series; io.dicom_series.read_series with some of its options."""

Look = Callable[[Sight], None]
"""Told of each volume that was read; it must not keep the pixels."""


def look_away(sight: Sight) -> None:
    """Draw nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VolumeRecord:
    """One series and its masks, in plain values; geometry is None where it is refused.

    breasts: BreastRegion.to_document() of a CT; None where nobody has looked for them.
    """

    files: CaseFiles
    geometry: dict[str, Any] | None = None
    masks: tuple[dict[str, Any], ...] = ()
    breasts: dict[str, Any] | None = None
    findings: tuple[Finding, ...] = field(default=(), repr=False)

    def to_document(self) -> dict[str, Any]:
        """Return its row of inspection.json."""
        return {
            "case": self.files.case_id,
            "patient": self.files.patient_id,
            "first_file": str(self.files.image_path),
            "files": len(self.files.series_paths),
            "geometry": self.geometry,
            "breasts": self.breasts,
            "masks": list(self.masks),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class VolumeInspection:
    """What is in a tree of DICOM studies; findings are the worst first."""

    data_set: DataSet
    records: tuple[VolumeRecord, ...] = field(repr=False)
    findings: tuple[Finding, ...] = field(repr=False)

    @property
    def spoils(self) -> bool:
        """Whether something would spoil a result."""
        return any_spoils(self.findings)

    def to_document(self) -> dict[str, Any]:
        """Return inspection.json."""
        return {
            "schema_version": 1,
            "spoils": self.spoils,
            "summary": self.summary(),
            "findings": [finding.to_document() for finding in self.findings],
            "cases": [record.to_document() for record in self.records],
        }

    def summary(self) -> dict[str, Any]:
        """Return what is in the tree, in plain values."""
        patients = {record.files.patient_id for record in self.records} - {None}
        return {
            "root": str(self.data_set.root),
            "layout": self.data_set.layout,
            "notes": list(self.data_set.notes),
            "volumes": len(self.records),
            "readable": sum(record.geometry is not None for record in self.records),
            "patients": len(patients) or None,
            "with_mask": sum(record.files.mask_paths is not None for record in self.records),
            "structures": sum(
                structure["voxels"] is not None
                for record in self.records
                for mask in record.masks
                for structure in mask["structures"]
            ),
        }


def inspect_volumes(
    root: Path,
    choice: MaskChoice,
    progress: Progress,
    *,
    read: ReadSeries = read_series,
    look: Look = look_away,
) -> VolumeInspection:
    """Inspect volumes. What is wrong with single files stops nothing.

    Args:
        root: a tree of DICOM studies, one DICOM file of a CT series, or a NIfTI volume.
        choice: which structures are brought onto their series and measured.
        progress: told what is being done, how many are done and how many there are.
        read: reads a series.
        look: shown each volume that could be read, with its masks.

    Raises:
        LayoutError: there is no such folder, or no CT series in it.
    """
    faults: list[Fault] = []
    data_set = find_volumes(root, faults.append)
    records = []
    for files in data_set.cases:
        if files.series_paths:
            records.append(_inspect_series(files, choice, read, look))
        else:
            records.append(_inspect_nifti(files, look))
        progress("Inspecting CT series and masks", len(records), len(data_set.cases))
    general = [Finding(code=each.code, cases=(), message=str(each.error)) for each in faults]
    findings = in_order([*general, *(f for record in records for f in record.findings)])
    return VolumeInspection(data_set=data_set, records=tuple(records), findings=tuple(findings))


def find_volumes(root: Path, on_fault: Callable[[Fault], None]) -> DataSet:
    """Find CT series in a folder or in one DICOM file, or take a NIfTI volume for itself.

    Raises:
        LayoutError: there is no such folder, or nothing in it of a known layout.
    """
    if not root.is_file():
        return find_data_set(root, on_fault=on_fault, volumes=True)
    if is_nifti(root):
        case = CaseFiles(case_id=root.name.partition(".nii")[0], image_path=root)
        return DataSet(layout=NIFTI_LAYOUT, root=root, cases=(case,))
    return find_dicom_tree(root, on_fault)


def _inspect_series(
    files: CaseFiles, choice: MaskChoice, read: ReadSeries, look: Look
) -> VolumeRecord:
    findings: list[Finding] = []
    try:
        series = read(files.series_paths)
    except ScanError as error:
        refused = _refused(files, error)
        masks = tuple(_listed(path) for path in files.mask_paths or ())
        return VolumeRecord(files=files, masks=masks, findings=(refused,))
    marks = Marks(series.image.pixels.shape)
    masks = tuple(
        _inspect_mask(path, series, choice, findings, marks) for path in files.mask_paths or ()
    )
    findings += _notes(files.case_id, series.notes)
    look(marks.sight(files.case_id, series.image))
    return VolumeRecord(
        files=files,
        geometry=describe_series(series),
        masks=masks,
        findings=tuple(findings),
    )


def _inspect_nifti(files: CaseFiles, look: Look) -> VolumeRecord:
    try:
        image = read_nifti(files.image_path)
    except ScanError as error:
        return VolumeRecord(files=files, findings=(_refused(files, error),))
    look(unmarked(files.case_id, image, in_hu=False))
    return VolumeRecord(files=files, geometry=describe_geometry(image, in_hu=False))


def _refused(files: CaseFiles, error: ScanError) -> Finding:
    return Finding(code="series-refused", cases=(files.case_id,), message=str(error))


def _notes(case_id: str, notes: Sequence[str]) -> Iterator[Finding]:
    for note in notes:
        yield Finding(code="series-note", cases=(case_id,), message=note)


def _listed(path: Path) -> dict[str, Any]:
    """List a mask file without its series."""
    file = describe_mask_file(path)
    return {**_header(file), "structures": [_structure(each) for each in file.structures]}


def list_structures(path: Path, labels: Sequence[str] = ()) -> dict[str, Any]:
    """Return what a SEG or RTSTRUCT file says of itself, in plain values; no pixel is read.

    Args:
        labels: patterns of the names that are listed; without any, all are.

    Raises:
        ScanError, MaskError: the file is damaged, or no mask.
    """
    file = describe_mask_file(path)
    chosen = [each for each in file.structures if not labels or fits(each.name, labels)]
    return {
        **_header(file),
        "series_named": len(file.series_uids),
        "images_named": len(file.instance_uids),
        "structures": [_structure(each) for each in chosen],
    }


def _header(file: MaskFile) -> dict[str, Any]:
    return {"file": str(file.path), "modality": file.modality, "type": file.type}


def _structure(structure: Structure) -> dict[str, Any]:
    return {
        "number": structure.number,
        "name": structure.name,
        "kind": structure.kind,
        "parts": structure.num_parts,
        "closed": structure.is_closed,
        "voxels": None,
        "volume_mm3": None,
        "lesions": None,
        "notes": [],
        "refused": None,
    }


def _inspect_mask(
    path: Path,
    series: Series,
    choice: MaskChoice,
    findings: list[Finding],
    marks: Marks,
) -> dict[str, Any]:
    """Read a mask structure by structure, so that one that is refused hides no other."""
    case = (series.case_id,)
    try:
        reader = MaskReader(path, series, threshold=choice.threshold, fill_gaps=choice.fill_gaps)
    except InputError as error:
        findings.append(Finding(code="mask-refused", cases=case, message=str(error)))
        return _listed(path)
    for note in reader.notes:
        message = f"{path.name}: {note}"
        findings.append(Finding(code="mask-note", cases=case, message=message))
    rows = []
    for structure in reader.file.structures:
        if choice.labels and not fits(structure.name, choice.labels):
            continue
        try:
            rows.append(_measured(reader.read(structure), series.image, marks))
        except MaskError as error:
            rows.append({**_structure(structure), "refused": error.fault.value})
            findings.append(Finding(code="structure-refused", cases=case, message=str(error)))
            continue
        for note in rows[-1]["notes"]:
            message = f"{path.name}, '{structure.name}': {note}"
            findings.append(Finding(code="mask-note", cases=case, message=message))
    return {**_header(reader.file), "structures": rows}


def _measured(mask: StructureMask, image: Image, marks: Marks) -> dict[str, Any]:
    volume = mask.volume_mm3(image)
    parts, num_parts = ndimage.label(mask.mask, structure=_ALL_NEIGHBOURS)
    marks.add(mask.structure, parts)
    return {
        **_structure(mask.structure),
        "voxels": int(np.count_nonzero(mask.mask)),
        "volume_mm3": None if volume is None else round(volume, 1),
        "lesions": int(num_parts),
        "notes": list(mask.notes),
    }
