"""breastseg inspect: what is in a folder, and what is wrong with it."""

import logging
from pathlib import Path

from breastseg.core.errors import InputError
from breastseg.datasets.cases import CaseFiles, read_case
from breastseg.datasets.inspection.inspection import Inspection, inspect_data
from breastseg.io.atomic import write_json, write_text
from breastseg.io.raster import read_grey_and_colours
from breastseg.report.inspection import Thumbnail, inspection_page
from breastseg.report.overlays import Mask, thumbnail_jpeg
from breastseg.report.rendering import data_uri
from breastseg.workflows.progress import Reading, log_file, silent_reading

log = logging.getLogger(__name__)


def inspect(
    data: Path, *, report: Path | None = None, reading: Reading | None = None
) -> Inspection:
    """Inspect a data set; what is wrong with single files is found and stops nothing.

    Args:
        data: a folder of a known layout, or any folder of pictures.
        report: where inspection.json and inspection.html go; None writes nothing.
        reading: told of the progress.

    Raises:
        LayoutError: there is no such folder, or its layout is broken as a whole.
        InputError: there is no picture in it.
        OutputError: the report cannot be written.
    """
    reading = reading or silent_reading
    if report is None:
        return inspect_data(data, reading)
    with log_file(report):
        inspection = inspect_data(data, reading)
        _write(inspection, report)
        log.info(
            "%s: %d images, %d findings", data, len(inspection.records), len(inspection.findings)
        )
    return inspection


def _write(inspection: Inspection, report: Path) -> None:
    document = inspection.to_document()
    cases = {record.case_id: record.files for record in inspection.records}
    page = inspection_page(document, lambda case_id: _thumbnail(cases[case_id]))
    write_json(report / "inspection.json", document)
    write_text(report / "inspection.html", page)


def _thumbnail(files: CaseFiles) -> Thumbnail:
    """Read a case again for its picture; a wrong mask is left out."""
    picture = None
    try:
        pixels, colours = read_grey_and_colours(files.image_path)
        picture = data_uri(thumbnail_jpeg(pixels, _mask(files), colours=colours), "jpeg")
    except InputError:
        log.debug("%s has no thumbnail", files.image_path)
    return Thumbnail(case_id=files.case_id, label=files.label, picture=picture)


def _mask(files: CaseFiles) -> Mask | None:
    try:
        reference = read_case(files).reference
    except InputError:
        return None
    return None if reference is None else reference[0] > 0
