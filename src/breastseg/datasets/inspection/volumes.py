"""Looking at volumes and their masks: geometry, values, structures and their volumes."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy import ndimage

from breastseg.core.errors import InputError
from breastseg.core.image import Image
from breastseg.core.mask_faults import MaskError, MaskFault
from breastseg.core.scan_faults import ScanError
from breastseg.core.series import Series
from breastseg.core.structure import MaskFile, StructureMask
from breastseg.datasets.cases import CaseFiles, DataSet
from breastseg.datasets.collection import is_collection
from breastseg.datasets.dicom_tree import find_dicom_tree
from breastseg.datasets.faults import Fault
from breastseg.datasets.inspection.findings import Finding, in_order
from breastseg.datasets.inspection.nifti_volumes import inspect_nifti
from breastseg.datasets.inspection.volume_geometry import describe_series
from breastseg.datasets.inspection.volume_marks import Look, Marks, look_away
from breastseg.datasets.inspection.volume_record import (
    NIFTI_LAYOUT,
    VolumeInspection,
    VolumeRecord,
    part_volumes_mm3,
    refused,
    structure_row,
)
from breastseg.datasets.layouts import find_data_set
from breastseg.io.dicom_masks import (
    DEFAULT_THRESHOLD,
    MaskReader,
    choose_structures,
    describe_mask_file,
    fits,
)
from breastseg.io.dicom_series import read_series
from breastseg.io.file_kinds import is_nifti

Progress = Callable[[str, int, int], None]

_ALL_NEIGHBOURS = np.ones((3, 3, 3), np.int32)


@dataclass(frozen=True, slots=True)
class MaskChoice:
    """Which structures are read, and how; see io.dicom_masks.read_masks.

    labels: patterns of names; without any, all structures are.
    lesions: patterns of the names of those that are lesions, where the data set says so.
    """

    labels: tuple[str, ...] = ()
    threshold: float = DEFAULT_THRESHOLD
    fill_gaps: bool = False
    lesions: tuple[str, ...] = ()


ReadSeries = Callable[[Sequence[Path]], Series]
"""Reads the files of one series; io.dicom_series.read_series with some of its options."""


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
        root: a tree of DICOM studies, one DICOM file of a CT series, nnU-Net raw with NIfTI, or a
            NIfTI volume.
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
            records.append(inspect_nifti(files, look))
        progress("Inspecting volumes and masks", len(records), len(data_set.cases))
    general = [Finding(code=each.code, cases=(), message=str(each.error)) for each in faults]
    findings = in_order([*general, *(f for record in records for f in record.findings)])
    return VolumeInspection(data_set=data_set, records=tuple(records), findings=tuple(findings))


def find_volumes(root: Path, on_fault: Callable[[Fault], None]) -> DataSet:
    """Find CT series in a folder or in one DICOM file, or take a NIfTI volume for itself.

    Raises:
        LayoutError: there is no such folder, or nothing in it of a known layout.
    """
    if is_collection(root) or not root.is_file():
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
        masks = tuple(_listed(path) for path in files.mask_paths or ())
        return VolumeRecord(files=files, masks=masks, findings=(refused(files, error),))
    marks = Marks(series.image.pixels.shape)
    if not choice.labels:
        choice = replace(choice, lesions=files.lesion_structures)
    masks = tuple(
        _inspect_mask(path, files, series, choice, findings, marks)
        for path in files.mask_paths or ()
    )
    findings += _notes(files.case_id, series.notes)
    look(marks.sight(files.case_id, series.image))
    return VolumeRecord(
        files=files,
        geometry=describe_series(series),
        masks=masks,
        findings=tuple(findings),
    )


def _notes(case_id: str, notes: Sequence[str]) -> Iterator[Finding]:
    for note in notes:
        yield Finding(code="series-note", cases=(case_id,), message=note)


def _listed(path: Path) -> dict[str, Any]:
    """List a mask file without its series."""
    file = describe_mask_file(path)
    return {**_header(file), "structures": [structure_row(each) for each in file.structures]}


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
        "structures": [structure_row(each) for each in chosen],
    }


def _header(file: MaskFile) -> dict[str, Any]:
    return {"file": str(file.path), "modality": file.modality, "type": file.type}


def _inspect_mask(
    path: Path,
    files: CaseFiles,
    series: Series,
    choice: MaskChoice,
    findings: list[Finding],
    marks: Marks,
) -> dict[str, Any]:
    """Read a mask structure by structure, so that one that is refused hides no other."""
    case = (files.case_id,)
    try:
        reader = MaskReader(path, series, threshold=choice.threshold, fill_gaps=choice.fill_gaps)
    except InputError as error:
        findings.append(Finding(code="mask-refused", cases=case, message=str(error)))
        return _listed(path)
    for note in reader.notes:
        message = f"{path.name}: {note}"
        findings.append(Finding(code="mask-note", cases=case, message=message))
    lesions = _lesions(reader.file, choice, findings, case)
    rows = []
    for structure in reader.file.structures:
        if choice.labels and not fits(structure.name, choice.labels):
            continue
        try:
            is_lesion = structure.number in lesions
            rows.append(_measured(reader.read(structure), series.image, marks, is_lesion=is_lesion))
        except MaskError as error:
            rows.append({**structure_row(structure), "refused": error.fault.value})
            findings.append(Finding(code="structure-refused", cases=case, message=str(error)))
            continue
        for note in rows[-1]["notes"]:
            message = f"{path.name}, '{structure.name}': {note}"
            findings.append(Finding(code="mask-note", cases=case, message=message))
    return {**_header(reader.file), "structures": rows}


def _lesions(
    file: MaskFile, choice: MaskChoice, findings: list[Finding], case: tuple[str, ...]
) -> set[int]:
    """Return the numbers of the structures that a training takes for lesions."""
    try:
        return {each.number for each in choose_structures(file, choice.labels or choice.lesions)}
    except MaskError as error:
        if error.fault is MaskFault.SEVERAL_LABELS:
            findings.append(Finding(code="lesions-unnamed", cases=case, message=str(error)))
        return set()


def _measured(
    mask: StructureMask, image: Image, marks: Marks, *, is_lesion: bool
) -> dict[str, Any]:
    volume = mask.volume_mm3(image)
    parts, num_parts = ndimage.label(mask.mask, structure=_ALL_NEIGHBOURS)
    marks.add(mask.structure, parts)
    row = {
        **structure_row(mask.structure),
        "voxels": int(np.count_nonzero(mask.mask)),
        "volume_mm3": None if volume is None else round(volume, 1),
        "lesions": int(num_parts),
        "notes": list(mask.notes),
    }
    if is_lesion:
        row["lesion_volumes_mm3"] = part_volumes_mm3(parts, image)
    return row
