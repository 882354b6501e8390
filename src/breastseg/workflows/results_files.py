"""The files of the lesions of one series: for a PACS, for programs and for readers."""

import csv
import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from breastseg.core.errors import OutputError
from breastseg.core.image import Image, LabelMap
from breastseg.io.atomic import make_folder, write_bytes, write_json, write_text
from breastseg.io.dicom_results import SEG_NAME, SR_NAME, DicomResults, write_dicom_results
from breastseg.io.nifti_mask import write_label_map
from breastseg.io.raster import encode_png
from breastseg.report.results_page import results_page
from breastseg.workflows.results_pictures import Drawn

LESIONS_NAME = "lesions.json"
TABLE_NAME = "lesions.csv"
REPORT_NAME = "report.html"
MASK_NAME = "mask.nii.gz"
_OURS = (SEG_NAME, SR_NAME, "overlay-*.dcm", "overlay-*.png", TABLE_NAME, REPORT_NAME, MASK_NAME)


def _nothing() -> None:
    """Write nothing more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SeriesResults:
    """All that is known of the lesions of a series.

    made: None where the series is no DICOM, or no results for a PACS are wanted.
    document: lesions.json. details: how it was made, to be read by people.
    """

    image: Image
    label_map: LabelMap
    made: DicomResults | None
    drawn: Drawn
    document: dict[str, Any]
    details: dict[str, str]


def write_results(
    output: Path, results: SeriesResults, *, before_last: Callable[[], None] = _nothing
) -> None:
    """Write all files; what an earlier call left is taken away first, its lesions.json before.

    lesions.json is written last: a folder with it is complete.

    Args:
        before_last: writes more files, before lesions.json.

    Raises:
        OutputError: a file cannot be written.
    """
    make_folder(output)
    remove_results(output)
    if results.made is not None:
        write_dicom_results(output, results.made)
    for number, picture in enumerate(results.drawn.captures, start=1):
        write_bytes(output / f"overlay-{number}.png", encode_png(picture.pixels))
    if results.image.affine is not None:
        write_label_map(output / MASK_NAME, results.label_map, results.image.affine)
    write_text(output / TABLE_NAME, _table(results.document))
    page = results_page(
        results.document,
        results.drawn.lesions,
        overview=results.drawn.overview,
        details=results.details,
    )
    write_text(output / REPORT_NAME, page)
    before_last()
    write_json(output / LESIONS_NAME, results.document)


def remove_results(output: Path) -> None:
    """Take away what an earlier call left, its lesions.json before all else.

    Raises:
        OutputError: a file cannot be removed.
    """
    try:
        (output / LESIONS_NAME).unlink(missing_ok=True)
        for pattern in _OURS:
            for path in output.glob(pattern):
                path.unlink()
    except OSError as error:
        raise OutputError(
            f"{output}: earlier results cannot be replaced ({error.strerror}). Choose another "
            "--output."
        ) from None


def _table(document: dict[str, Any]) -> str:
    """One line per lesion; positions and boxes are spread over columns."""
    rows = [flat_lesion(lesion) for lesion in document["lesions"]]
    buffer = io.StringIO()
    names = list(rows[0]) if rows else ["number"]
    writer = csv.DictWriter(buffer, ("case_id", *names), lineterminator="\n")
    writer.writeheader()
    writer.writerows({"case_id": document["case_id"], **row} for row in rows)
    return buffer.getvalue()


def flat_lesion(lesion: dict[str, Any]) -> dict[str, Any]:
    """Return a lesion of lesions.json as one line of a table."""
    flat: dict[str, Any] = {}
    for name, value in lesion.items():
        if name == "long_axis_ends":
            continue
        if name == "position":
            flat.update(value or {})
            continue
        if name == "centroid":
            flat.update(
                zip(("centroid_l_mm", "centroid_p_mm", "centroid_h_mm"), value, strict=True)
            )
        elif name == "bounding_box":
            axes = ("slice", "row", "column")[-len(value) // 2 :]
            edges = [f"{axis}_{edge}" for edge in ("start", "stop") for axis in axes]
            flat.update(zip(edges, value, strict=True))
        else:
            flat[name] = value
    return flat
