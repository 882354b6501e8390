"""Which DICOM series lie in a folder, whatever its files are called."""

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pydicom import Dataset, dcmread
from pydicom.uid import UID

from breastseg.core.scan_faults import ScanError, ScanFault
from breastseg.io.file_kinds import is_dicom as is_dicom
from breastseg.io.pydicom_silence import pydicom_silenced

# DICOM PS3.6, annex A. Single-frame CT; Enhanced and Legacy Converted Enhanced CT.
SINGLE_FRAME_CT = "1.2.840.10008.5.1.4.1.1.2"
MULTI_FRAME_CT = ("1.2.840.10008.5.1.4.1.1.2.1", "1.2.840.10008.5.1.4.1.1.2.2")
# Ultrasound: single frame, multi-frame, and the retired classes that old scanners send.
ULTRASOUND = (
    "1.2.840.10008.5.1.4.1.1.6.1",
    "1.2.840.10008.5.1.4.1.1.3.1",
    "1.2.840.10008.5.1.4.1.1.6",
    "1.2.840.10008.5.1.4.1.1.3",
)

CT_KINDS = ("CT", "CT multi-frame")
ULTRASOUND_KIND = "ultrasound"

OnScanError = Callable[[ScanError], None]
"""Told of a file that is refused; where it returns, the file is left out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SeriesSummary:
    """One series of a folder; nothing in it names a patient.

    kind: what its objects are in plain words, such as "CT", "CT localizer", "ultrasound" or
        "Segmentation": the name of the SOP class where there is no shorter one.
    paths: its files, sorted by name.
    """

    series_instance_uid: str
    study_instance_uid: str
    modality: str
    kind: str
    paths: tuple[Path, ...]

    @property
    def num_files(self) -> int:
        """How many files it has; a multi-frame object is one."""
        return len(self.paths)


def refuse(error: ScanError) -> None:
    """Stop at the first damaged file.

    Raises:
        ScanError: always.
    """
    raise error


def find_series(root: Path, on_error: OnScanError = refuse) -> list[SeriesSummary]:
    """List the series in a folder and all its subfolders, or of one file.

    Files that are no DICOM are passed over, hidden ones too. No pixel is read.

    Args:
        on_error: told of DICOM files that cannot be read; the first is refused by default,
            since it may be a slice that a series then lacks.

    Raises:
        ScanError: not-dicom where there is no such path; damaged-file.
    """
    return group_series(_files(root), on_error)


@contextmanager
def refusing_malformed(path: Path) -> Iterator[None]:
    """Refuse a file in which an attribute is of another type than the standard gives it.

    Raises:
        ScanError: damaged-file.
    """
    try:
        yield
    except ScanError:
        raise
    except (AttributeError, TypeError, ValueError, LookupError) as error:
        found = f"an attribute is malformed ({type(error).__name__})"
        raise ScanError(ScanFault.DAMAGED_FILE, path, found) from None


@pydicom_silenced()
def group_series(paths: Iterable[Path], on_error: OnScanError = refuse) -> list[SeriesSummary]:
    """List the series that files belong to, sorted by study and series; see find_series."""
    series: dict[tuple[str, str], list[tuple[Path, Dataset]]] = {}
    for path in paths:
        try:
            header = read_header(path, _IDENTITY)
        except ScanError as error:
            on_error(error)
            continue
        uids = (str(header.get("StudyInstanceUID", "")), str(header.get("SeriesInstanceUID", "")))
        series.setdefault(uids, []).append((path, header))
    return [_summary(uids, members) for uids, members in sorted(series.items(), key=lambda x: x[0])]


def read_header(path: Path, tags: list[str] | None = None) -> Dataset:
    """Read all attributes but the pixels, or only those of these keywords.

    Raises:
        ScanError: not-dicom, damaged-file.
    """
    if not path.is_file():
        raise ScanError(ScanFault.NOT_DICOM, path, "expected a DICOM file, found none")
    if not is_dicom(path):
        raise ScanError(ScanFault.NOT_DICOM, path, "expected a DICOM file, found another kind")
    try:
        with pydicom_silenced():
            header = dcmread(path, stop_before_pixels=True, force=True, specific_tags=tags)
            header.decode()
    # A malformed file can make the parser raise nearly anything.
    except Exception as error:
        found = f"the DICOM file cannot be parsed ({type(error).__name__})"
        raise ScanError(ScanFault.DAMAGED_FILE, path, found) from None
    uids = (header.get("SOPClassUID"), header.get("SeriesInstanceUID"))
    if not all(isinstance(uid, str) and uid for uid in uids):
        found = "expected SOPClassUID and SeriesInstanceUID in the file, found none"
        raise ScanError(ScanFault.DAMAGED_FILE, path, found)
    return header


_IDENTITY = [
    "SOPClassUID",
    "StudyInstanceUID",
    "SeriesInstanceUID",
    "Modality",
    "ImageType",
]


def _summary(uids: tuple[str, str], members: list[tuple[Path, Dataset]]) -> SeriesSummary:
    headers = [header for _, header in members]
    return SeriesSummary(
        series_instance_uid=uids[1],
        study_instance_uid=uids[0],
        modality=str(headers[0].get("Modality", "")),
        kind=_kind(headers),
        paths=tuple(sorted(path for path, _ in members)),
    )


def _kind(headers: list[Dataset]) -> str:
    """Name what most of the objects are; an odd one is refused by name when they are read."""
    kinds = [_kind_of(header) for header in headers]
    return max(kinds, key=kinds.count)


def _kind_of(header: Dataset) -> str:
    sop_class = UID(header.SOPClassUID)
    if sop_class in ULTRASOUND:
        return ULTRASOUND_KIND
    if sop_class not in (SINGLE_FRAME_CT, *MULTI_FRAME_CT):
        return sop_class.name.removesuffix(" Storage")
    if is_localizer(header):
        return "CT localizer"
    return "CT" if sop_class == SINGLE_FRAME_CT else "CT multi-frame"


def is_localizer(header: Dataset) -> bool:
    """Whether an image says of itself that it is a scout view, DICOM PS3.3, section C.8.2.1.1.1."""
    image_type = header.get("ImageType") or []
    return "LOCALIZER" in ([image_type] if isinstance(image_type, str) else list(image_type))


def _files(root: Path) -> Iterator[Path]:
    if root.is_file():
        yield root
        return
    if not root.is_dir():
        found = "expected a DICOM file or a folder, but there is no such path"
        raise ScanError(ScanFault.NOT_DICOM, root, found)
    for folder, subfolders, names in os.walk(root):
        subfolders[:] = sorted(name for name in subfolders if not name.startswith("."))
        for name in sorted(names):
            path = Path(folder, name)
            if not name.startswith(".") and path.is_file() and is_dicom(path):
                yield path
