"""DICOM studies in any folders: each CT series is a case, with the masks that name it.

Masks are paired by the series that they refer to, or, where they name none, by its images; never
by patient or study alone, since one study holds many series. What the files cannot say, which
structures are lesions and which scans have none, stands in lesions.json.
"""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from breastseg.core.errors import InputError, LayoutError
from breastseg.core.scan_faults import ScanError
from breastseg.core.series import series_case_id
from breastseg.core.structure import MaskFile
from breastseg.datasets.cases import CaseFiles, DataSet, with_unique_ids
from breastseg.datasets.faults import Fault, OnFault, refuse
from breastseg.datasets.folder import UnfitError
from breastseg.datasets.stated import StatedLesions, read_lesions
from breastseg.io.dicom_files import CT_KINDS, SeriesSummary, find_series, read_header
from breastseg.io.dicom_masks import describe_mask_file

LAYOUT = "DICOM tree"
_MASKS = ("SEG", "RTSTRUCT")


def find_dicom_tree(root: Path, on_fault: OnFault = refuse) -> DataSet:
    """Read a folder as DICOM studies; no pixel is read.

    Raises:
        UnfitError: there is no CT series in it.
        LayoutError: a mask refers to a series that is not there, or to several, or lesions.json
            is broken.
        ScanError, MaskError: a file is damaged, or a mask that is none.
    """
    found = find_series(root, lambda error: on_fault(_damaged(error)))
    scans = [series for series in found if series.kind in CT_KINDS]
    if not scans:
        held = ", ".join(f"{count} {kind}" for kind, count in _kinds(found)) or "no DICOM file"
        raise UnfitError(f"it holds {held}, and no CT series")
    pairing = _pair(found, _mask_files(found, on_fault), on_fault)
    stated = read_lesions(root)
    cases = [
        _case(root, series, pairing.masks_of.get(series.series_instance_uid), stated)
        for series in scans
    ]
    return DataSet(
        layout=LAYOUT,
        root=root,
        cases=with_unique_ids(cases, root, on_fault),
        notes=(*_left(found), *pairing.notes),
    )


def _case(
    root: Path, series: SeriesSummary, masks: tuple[Path, ...] | None, stated: StatedLesions
) -> CaseFiles:
    case_id = series_case_id(series.series_instance_uid, "CT")
    if masks is None and stated.has_none(case_id, series.paths[0], root):
        masks = ()
    return CaseFiles(
        case_id=case_id,
        image_path=series.paths[0],
        mask_paths=masks,
        patient_id=patient_group(series.paths[0]),
        series_paths=series.paths,
        lesion_structures=stated.structures,
        modality="CT",
    )


def _damaged(error: ScanError) -> Fault:
    return Fault("image-unreadable", error.path, error)


def _kinds(found: Iterable[SeriesSummary]) -> list[tuple[str, int]]:
    return sorted(Counter(series.kind for series in found).items())


def _left(found: Sequence[SeriesSummary]) -> tuple[str, ...]:
    others = [
        series for series in found if series.kind not in CT_KINDS and series.modality not in _MASKS
    ]
    if not others:
        return ()
    listed = ", ".join(f"{count} {kind}" for kind, count in _kinds(others))
    return (f"{len(others)} series are neither CT slices nor masks and were left: {listed}.",)


def patient_group(path: Path) -> str | None:
    """Return what tells a patient from others without saying who it is; None where not said.

    "patient-" and 12 hex digits of the SHA-256 of PatientID and its issuer. Whoever knows a
    PatientID can find it again: it is no anonymisation.

    Raises:
        ScanError: the file is damaged.
    """
    tags = ["SOPClassUID", "SeriesInstanceUID", "PatientID", "IssuerOfPatientID"]
    header = read_header(path, tags)
    number = str(header.get("PatientID") or "").strip()
    if not number:
        return None
    issuer = str(header.get("IssuerOfPatientID") or "").strip()
    return f"patient-{hashlib.sha256(f'{issuer}/{number}'.encode()).hexdigest()[:12]}"


def _mask_files(found: Iterable[SeriesSummary], on_fault: OnFault) -> list[MaskFile]:
    files = []
    for path in (path for series in found if series.modality in _MASKS for path in series.paths):
        try:
            files.append(describe_mask_file(path))
        except InputError as error:
            on_fault(Fault("mask-unreadable", path, error))
    return files


@dataclass(frozen=True, slots=True)
class _Pairing:
    """masks_of: files by the series that they were drawn on."""

    masks_of: Mapping[str, tuple[Path, ...]]
    notes: tuple[str, ...]


def _pair(found: Sequence[SeriesSummary], masks: Sequence[MaskFile], on_fault: OnFault) -> _Pairing:
    by_uid = {series.series_instance_uid: series for series in found}
    drawn: dict[str, list[Path]] = defaultdict(list)
    on_others: Counter[str] = Counter()
    for mask in masks:
        owners = [uid for uid in mask.series_uids or _owners(mask, found) if uid in by_uid]
        if len(owners) != 1:
            on_fault(_unpaired(mask, len(owners)))
        elif by_uid[owners[0]].kind in CT_KINDS:
            drawn[owners[0]].append(mask.path)
        else:
            on_others[by_uid[owners[0]].kind] += 1
    notes = tuple(
        f"{count} mask files were drawn on {kind} series and were left."
        for kind, count in sorted(on_others.items())
    )
    return _Pairing({uid: tuple(sorted(paths)) for uid, paths in drawn.items()}, notes)


def _owners(mask: MaskFile, found: Iterable[SeriesSummary]) -> list[str]:
    """Return the series that hold an image which a mask names."""
    tags = ["SOPClassUID", "SeriesInstanceUID", "SOPInstanceUID"]
    return [
        series.series_instance_uid
        for series in found
        if series.modality not in _MASKS
        and any(
            str(read_header(path, tags).get("SOPInstanceUID")) in mask.instance_uids
            for path in series.paths
        )
    ]


def _unpaired(mask: MaskFile, num_owners: int) -> Fault:
    if num_owners:
        error = LayoutError(
            f"{mask.path}: expected a mask of one series, found one that refers to {num_owners}. "
            "Export a mask of its own for each series."
        )
        return Fault("mask-ambiguous", mask.path, error)
    error = LayoutError(
        f"{mask.path}: expected the series that this mask refers to, found none of it in the "
        "folder. Add the series or remove the mask."
    )
    return Fault("mask-without-image", mask.path, error)
