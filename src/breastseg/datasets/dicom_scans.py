"""DICOM files that a user wants predicted: series become cases, reports and plans are left."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from breastseg.core.scan_faults import ScanError
from breastseg.core.series import series_case_id
from breastseg.datasets.cases import CaseFiles, case_id_of
from breastseg.io.dicom_files import CT_KINDS, ULTRASOUND_KIND, SeriesSummary, group_series
from breastseg.io.dicom_ultrasound import Instance, read_instance


@dataclass(frozen=True, slots=True, kw_only=True)
class DicomScans:
    """Cases among DICOM files, and notes on the series that are none."""

    cases: tuple[CaseFiles, ...]
    notes: tuple[str, ...]


def find_dicom_scans(files: Mapping[Path, Path | None]) -> DicomScans:
    """Make a case of each ultrasound frame and each CT series.

    A series of one ultrasound picture is named by it; of several, each picture has 8 more digits
    of the SHA-256 of its SOPInstanceUID, and each frame of a loop its number. A file that was
    named itself, or is damaged, is a case whatever it holds, so that its error is told.

    Args:
        files: each with the folder that it was found in, or None where it was named itself.
    """
    cases: list[CaseFiles] = []
    notes: list[str] = []

    def keep(error: ScanError) -> None:
        cases.append(_by_name(error.path, files[error.path]))

    for series in group_series(files, keep):
        if series.kind == ULTRASOUND_KIND:
            cases += _ultrasound(series)
        elif series.kind in CT_KINDS:
            case_id = series_case_id(series.series_instance_uid, "CT")
            cases.append(
                CaseFiles(case_id=case_id, image_path=series.paths[0], series_paths=series.paths)
            )
        else:
            named = [path for path in series.paths if files[path] is None]
            cases += [_by_name(path, None) for path in named]
            notes += _left_out(series, len(named))
    return DicomScans(cases=tuple(cases), notes=tuple(notes))


def _by_name(path: Path, root: Path | None) -> CaseFiles:
    return CaseFiles(case_id=case_id_of(path, root or path.parent), image_path=path)


def _left_out(series: SeriesSummary, num_named: int) -> Iterable[str]:
    if series.num_files > num_named:
        yield f"Left out: {series.kind}, {series.num_files} files such as {series.paths[0]}."


def _ultrasound(series: SeriesSummary) -> Iterator[CaseFiles]:
    instances = [read_instance(path) for path in series.paths]
    stem = series_case_id(series.series_instance_uid, "US")
    for instance in instances:
        several = f"-{instance.digits}" if len(instances) > 1 else ""
        yield from _frames(stem + several, instance)


def _frames(case_id: str, instance: Instance) -> Iterator[CaseFiles]:
    for frame in range(instance.num_frames):
        number = f"-f{frame + 1:03d}" if instance.num_frames > 1 else ""
        yield CaseFiles(case_id=case_id + number, image_path=instance.path, frame=frame)
