"""`breastseg results`: what a PACS and a reader get of a series and a mask of its lesions."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from breastseg import __version__
from breastseg.core.errors import InputError
from breastseg.core.image import LabelMap
from breastseg.core.lesion import Lesion, measure_planar_lesions
from breastseg.core.lesion_volume import VolumeLesion, measure_lesions
from breastseg.core.series import Series
from breastseg.io.dicom_masks import DEFAULT_THRESHOLD
from breastseg.io.dicom_results import (
    Finding,
    Laterality,
    Maker,
    make_dicom_results,
    new_uid,
)
from breastseg.io.images import read_scan
from breastseg.io.raster import file_sha256
from breastseg.io.series_mask import read_series_mask
from breastseg.workflows.progress import Reading, log_file, silent_reading
from breastseg.workflows.results_files import (
    LESIONS_NAME,
    MASK_NAME,
    REPORT_NAME,
    SeriesResults,
    write_results,
)
from breastseg.workflows.results_pictures import draw

SCHEMA_VERSION = 1
_NUM_STEPS = 5

_log = logging.getLogger("breastseg.results")


@dataclass(frozen=True, slots=True, kw_only=True)
class ResultsMade:
    """What a call of results has written. document: lesions.json."""

    output: Path
    document: dict[str, Any]

    @property
    def report_path(self) -> Path:
        """The page to look at."""
        return self.output / REPORT_NAME


def results(
    series_path: Path,
    mask_path: Path,
    *,
    output: Path,
    labels: Sequence[str] = (),
    threshold: float = DEFAULT_THRESHOLD,
    fill_gaps: bool = False,
    resample_mask: bool = False,
    algorithm: str | None = None,
    laterality: Laterality | None = None,
    overwrite: bool = False,
    workers: int = 1,
    reading: Reading = silent_reading,
) -> ResultsMade:
    """Write SEG, structured report, secondary captures, measures, NIfTI and one page.

    Args:
        series_path: a CT series or an ultrasound image in DICOM: a folder or a file.
        mask_path: its lesions as NIfTI, DICOM SEG, RTSTRUCT or picture, see io.series_mask.
        output: the folder of the results; lesions.json is written last, so that a folder with
            it is complete.
        labels: patterns for the names of segments or ROIs.
        threshold: of fractional segments, the share of the largest value to reach.
        fill_gaps: interpolate slices without a contour of an RTSTRUCT.
        resample_mask: carry a NIfTI mask from another grid to that of the series, with a note.
        algorithm: "name" or "name version" of what marked the lesions; None for a reader.
        laterality: of the breast, where one is known for all lesions.
        overwrite: replace results that are there.
        workers: processes that decode a long compressed series; 1 starts none.
        reading: told of the progress.

    Raises:
        InputError: series or mask cannot be read or don't fit; subclasses tell which.
        OutputError: a result cannot be written.
    """
    if output.resolve() in (series_path.resolve(), series_path.resolve().parent):
        raise InputError(
            f"{output}: results would lie among the files of the series. Choose another --output."
        )
    if (output / LESIONS_NAME).exists() and not overwrite:
        raise InputError(
            f"{output}: there are results already. Choose another --output, or replace them with "
            "--overwrite."
        )
    with log_file(output):
        reading("Reading", 1, _NUM_STEPS)
        series = read_scan(series_path, workers=workers)
        label_map, notes = read_series_mask(
            mask_path,
            series,
            labels,
            threshold=threshold,
            fill_gaps=fill_gaps,
            resample=resample_mask,
        )
        reading("Measuring", 2, _NUM_STEPS)
        findings = find(series, label_map, laterality)
        maker = _maker(algorithm)
        document = _document(series, findings, maker, (*series.notes, *notes))
        document["mask"] = {"sha256": file_sha256(mask_path)}
        reading("Drawing", 3, _NUM_STEPS)
        drawn = draw(series, label_map, [finding.lesion for finding in findings], maker)
        reading("Writing", 4, _NUM_STEPS)
        made = make_dicom_results(series, label_map, findings, maker, drawn.captures)
        write_results(
            output,
            SeriesResults(
                image=series.image,
                label_map=label_map,
                made=made,
                drawn=drawn,
                document=document,
                details=_details(document),
            ),
        )
        _log.info("%s: %d lesions", series.case_id, len(findings))
        reading("Writing", _NUM_STEPS, _NUM_STEPS)
    return ResultsMade(output=output, document=document)


def find(
    series: Series, label_map: LabelMap, laterality: Laterality | None = None
) -> tuple[Finding, ...]:
    """Measure the lesions of a label map and give each a tracking UID.

    Raises:
        GeometryError: series and label map don't fit.
    """
    measured: Sequence[Lesion | VolumeLesion]
    if series.modality == "US":
        measured = measure_planar_lesions(
            label_map, spacing_mm=series.image.spacing_mm, rows_run_with_depth=True
        )
    else:
        measured = measure_lesions(series.image, label_map, in_hu=series.modality == "CT")
    return tuple(
        Finding(lesion=lesion, tracking_uid=new_uid(), laterality=laterality) for lesion in measured
    )


def _maker(algorithm: str | None) -> Maker:
    if algorithm is None:
        return Maker()
    name, _, version = algorithm.strip().partition(" ")
    if not name:
        raise InputError("--algorithm must name a program or model, such as 'breastnet 1.2'.")
    return Maker(algorithm=name, version=version.strip() or "unknown")


def _document(
    series: Series, findings: Sequence[Finding], maker: Maker, notes: Sequence[str]
) -> dict[str, Any]:
    dimensions = 2 if series.modality == "US" else 3
    spacing = series.image.spacing_mm
    return {
        "schema_version": SCHEMA_VERSION,
        "breastseg_version": __version__,
        "case_id": series.case_id,
        "modality": series.modality,
        "dimensions": dimensions,
        "marked_by": str(maker),
        "image": {
            "shape": list(series.image.pixels.shape[-dimensions:]),
            "spacing_mm": spacing and [round(length, 6) for length in spacing[-dimensions:]],
        },
        "notes": list(notes),
        "lesions": [
            {
                **finding.lesion.to_document(),
                "laterality": finding.laterality,
                "tracking_uid": finding.tracking_uid,
            }
            for finding in findings
        ],
    }


def _details(document: dict[str, Any]) -> dict[str, str]:
    spacing = document["image"]["spacing_mm"]
    axes = "rows, columns" if document["dimensions"] == 2 else "slices, rows, columns"
    files = "sr.dcm and overlay-*.dcm for the PACS"
    if document["lesions"]:
        files = f"seg.dcm, {files}; lesions.csv" + ("" if spacing is None else f", {MASK_NAME}")
    else:
        files += "; no SEG, since there is nothing to segment"
    return {
        "Series": document["case_id"],
        "Modality": document["modality"],
        "Marked by": document["marked_by"],
        "Size": " x ".join(str(length) for length in document["image"]["shape"]) + f" ({axes})",
        "Spacing": "not known"
        if spacing is None
        else " x ".join(f"{length:g}" for length in spacing) + " mm",
        "Files": files,
    }
