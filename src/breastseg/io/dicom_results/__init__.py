"""Results as a PACS takes them: SEG, structured report and secondary captures.

`write_dicom_results` is what the rest of breastseg calls. An empty result writes no SEG, since
a Segmentation must have a segment and viewers hang on one without frames; it writes a report
that says so. See docs/decisions/0015-what-results-say.md.
"""

import io
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pydicom.dataset import Dataset
from scipy import ndimage

from breastseg.core.errors import InputError
from breastseg.core.image import LabelMap
from breastseg.core.series import Series
from breastseg.io.atomic import write_bytes
from breastseg.io.dicom_results.capture import Picture, capture
from breastseg.io.dicom_results.codes import Laterality
from breastseg.io.dicom_results.content import Finding, Maker, new_uid
from breastseg.io.dicom_results.report import report
from breastseg.io.dicom_results.segmentation import segmentation
from breastseg.io.dicom_results.sources import Sources, read_sources

__all__ = [
    "SEG_NAME",
    "SR_NAME",
    "DicomResults",
    "Finding",
    "Laterality",
    "Maker",
    "Picture",
    "make_dicom_results",
    "new_uid",
    "write_dicom_results",
]

SEG_NAME = "seg.dcm"
SR_NAME = "sr.dcm"
CAPTURE_NAME = "overlay-{number}.dcm"
_LETTERS: dict[Laterality | None, str] = {"right": "R", "left": "L"}


@dataclass(frozen=True, slots=True, kw_only=True)
class DicomResults:
    """The objects of one series, in one study with it.

    segmentation: None where there is no finding.
    """

    segmentation: Dataset | None
    report: Dataset
    captures: tuple[Dataset, ...]


def make_dicom_results(
    series: Series,
    labels: LabelMap,
    findings: Sequence[Finding],
    maker: Maker,
    pictures: Sequence[Picture] = (),
) -> DicomResults:
    """Make SEG, report and captures of the findings in a series.

    Args:
        labels: on the grid of the series; the voxels of each finding have its number.
        findings: in the order of the segments; empty where nothing was found.
        pictures: what the captures show.

    Raises:
        InputError: a file of the series is gone, a finding has no voxel, or is said to be in
            the other breast than the series.
        GeometryError: the image of the series is not on the grid of its files.
    """
    sources = read_sources(series)
    boxes = ndimage.find_objects(labels)  # no copy of the size of the scan
    present = {number for number, box in enumerate(boxes, start=1) if box is not None}
    for finding in findings:
        if finding.lesion.number not in present:
            raise InputError(
                f"series {series.case_id}: lesion {finding.lesion.number} has no voxel in the "
                "label map. Measure the lesions of the same label map."
            )
    with warnings.catch_warnings():
        # highdicom warns of unusual names of patients, and its warnings hold the names.
        warnings.simplefilter("ignore")
        return _made(
            sources, labels, tuple(findings), maker, pictures, _side(series, sources, findings)
        )


def _made(
    sources: Sources,
    labels: LabelMap,
    findings: tuple[Finding, ...],
    maker: Maker,
    pictures: Sequence[Picture],
    side: str,
) -> DicomResults:
    seg = segmentation(sources, labels, findings, maker) if findings else None
    series_uid = new_uid()
    return DicomResults(
        segmentation=seg,
        report=report(sources, seg, findings, maker),
        captures=tuple(
            capture(sources, picture, number=number, series_uid=series_uid, side=side)
            for number, picture in enumerate(pictures, start=1)
        ),
    )


def _side(series: Series, sources: Sources, findings: Sequence[Finding]) -> str:
    """Return "R", "L", or nothing where nobody has said: DICOM's Laterality (0020,0060)."""
    said = {finding.laterality for finding in findings}
    found = _LETTERS.get(said.pop(), "") if len(said) == 1 else ""
    header = sources.headers[0]
    own = str(header.get("Laterality") or header.get("ImageLaterality") or "")
    if found and own in _LETTERS.values() and own != found:
        raise InputError(
            f"series {series.case_id}: its files say that this is the other side (Laterality "
            f"{own}) than the findings ({found}). Check --laterality, or leave it out."
        )
    return found or own


def write_dicom_results(folder: Path, results: DicomResults) -> tuple[Path, ...]:
    """Write the objects into a folder as seg.dcm, sr.dcm and overlay-1.dcm, and so on.

    Raises:
        OutputError: a file cannot be written.
    """
    files = {SR_NAME: results.report}
    if results.segmentation is not None:
        files[SEG_NAME] = results.segmentation
    for number, dataset in enumerate(results.captures, start=1):
        files[CAPTURE_NAME.format(number=number)] = dataset
    for name, dataset in files.items():
        write_bytes(folder / name, _encoded(dataset))
    return tuple(folder / name for name in files)


def _encoded(dataset: Dataset) -> bytes:
    buffer = io.BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()
