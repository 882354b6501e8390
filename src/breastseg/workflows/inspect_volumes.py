"""breastseg inspect, where the data are CT series and masks in DICOM."""

import logging
from pathlib import Path

from breastseg.core.errors import InputError, LayoutError
from breastseg.datasets.inspection.volumes import (
    MaskChoice,
    VolumeInspection,
    list_structures,
)
from breastseg.datasets.inspection.volumes import inspect_volumes as inspect_tree
from breastseg.datasets.layouts import find_data_set
from breastseg.io.atomic import write_json, write_text
from breastseg.io.dicom_masks import is_mask_file
from breastseg.report.volumes import volumes_page
from breastseg.workflows.progress import Reading, log_file, silent_reading

__all__ = ["MaskChoice", "holds_volumes", "inspect_volumes", "is_mask_file", "list_structures"]

log = logging.getLogger(__name__)


def holds_volumes(data: Path) -> bool:
    """Whether a folder is a tree of DICOM studies with CT series."""
    try:
        found = find_data_set(data, on_fault=lambda fault: None, volumes=True)
    except (LayoutError, InputError):
        return False
    return any(case.series_paths for case in found.cases)


def inspect_volumes(
    data: Path,
    *,
    choice: MaskChoice | None = None,
    report: Path | None = None,
    reading: Reading | None = None,
) -> VolumeInspection:
    """Inspect a tree of DICOM studies: geometry, values, structures and their volumes.

    Args:
        data: a folder with CT series, and SEG or RTSTRUCT files that refer to them.
        choice: which structures are measured, and how; all of them by default.
        report: where inspection.json and inspection.html go; None writes nothing.
        reading: told of the progress.

    Raises:
        LayoutError: there is no such folder, or no CT series in it.
        OutputError: the report cannot be written.
    """
    choice = choice or MaskChoice()
    reading = reading or silent_reading
    if report is None:
        return inspect_tree(data, choice, reading)
    with log_file(report):
        inspection = inspect_tree(data, choice, reading)
        document = inspection.to_document()
        write_json(report / "inspection.json", document)
        write_text(report / "inspection.html", volumes_page(document))
        log.info(
            "%s: %d CT series, %d findings",
            data,
            len(inspection.records),
            len(inspection.findings),
        )
    return inspection
