"""One CT volume of `breastseg predict`: found, placed in the breast, drawn and written."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from breastseg import __version__
from breastseg.core.image import Image
from breastseg.core.series import Series
from breastseg.datasets.cases import CaseFiles
from breastseg.inference.prediction_folder import (
    FIRST_OVERLAY_NAME,
    PROBABILITY_NAME,
    CaseResult,
    PredictionFolder,
)
from breastseg.inference.segment_volume import VolumePrediction
from breastseg.inference.volume_finding import VolumeFinding, findings_of
from breastseg.io.dicom_results import (
    SEG_NAME,
    SR_NAME,
    DicomResults,
    Finding,
    Maker,
    Picture,
    make_dicom_results,
)
from breastseg.io.images import read_any_image
from breastseg.training.model import OpenModel
from breastseg.workflows import results_files
from breastseg.workflows.progress import Reading
from breastseg.workflows.results_pictures import draw_volume

_LONGEST_NAME = 64  # of a Long String: DICOM PS3.5, table 6.2-1


@dataclass(frozen=True, slots=True)
class _Scan:
    """series: None where the file is no DICOM, and nothing goes to a PACS."""

    image: Image
    notes: tuple[str, ...]
    series: Series | None


def predict_volume(
    case: CaseFiles,
    *,
    sha256: str,
    model: OpenModel,
    folder: PredictionFolder,
    with_probability: bool = False,
    reading: Reading,
) -> CaseResult:
    """Predict one CT volume and write its folder.

    Where no breast is found no network is run, and the results say so.

    Args:
        sha256: of case.sha256().
        with_probability: also write probability.nii.gz.
        reading: told of the tiles.

    Raises:
        InputError: the scan cannot be read or predicted.
        OutputError: a result cannot be written.
    """
    output = folder.folder_of(case.case_id)
    scan = _read(case)

    def tiles(done: int, count: int) -> None:
        reading(f"{case.case_id}, tiles", done, count)

    prediction = model.predict_volume(
        case.case_id, scan.image, sha256=sha256, threshold=folder.maker.threshold, done=tiles
    )
    findings = findings_of(prediction)
    document = _document(scan, prediction, findings, folder)
    document["image"]["sha256"] = sha256
    drawn = draw_volume(
        scan.image, prediction.labels, [each.lesion for each in findings], by_model=True
    )
    results_files.write_results(
        output,
        results_files.SeriesResults(
            image=scan.image,
            label_map=prediction.labels,
            made=_for_pacs(scan, prediction, findings, folder, drawn.captures),
            drawn=drawn,
            document=document,
            details=_details(document, folder),
        ),
        before_last=lambda: _write_probability(output, prediction, wanted=with_probability),
    )
    return CaseResult.from_document(document)


def _read(case: CaseFiles) -> _Scan:
    if not case.series_paths:
        image, notes = read_any_image(case.image_path)
        return _Scan(image, notes, None)
    from breastseg.io.dicom_series import read_series

    series = read_series(case.series_paths)
    return _Scan(series.image, series.notes, series)


def _document(
    scan: _Scan,
    prediction: VolumePrediction,
    findings: tuple[VolumeFinding, ...],
    folder: PredictionFolder,
) -> dict[str, Any]:
    assert scan.image.spacing_mm is not None
    region = prediction.searched.region
    maker = folder.maker
    return {
        **maker.to_document(),
        "breastseg_version": __version__,
        "case_id": prediction.case_id,
        "modality": "CT",
        "dimensions": 3,
        "marked_by": str(_maker(folder)),
        "image": {
            "shape": list(scan.image.pixels.shape),
            "spacing_mm": [round(length, 6) for length in scan.image.spacing_mm],
        },
        "searched": list(prediction.in_words()),
        "breasts": None if region is None else region.to_document(),
        "notes": list(scan.notes),
        "files": list(_files(scan, bool(findings))),
        "lesions": [finding.to_document() for finding in findings],
    }


def _files(scan: _Scan, found: bool) -> tuple[str, ...]:
    """Return the files that every case of this kind has, to know a whole one by."""
    names = (
        results_files.MASK_NAME,
        FIRST_OVERLAY_NAME,
        results_files.TABLE_NAME,
        results_files.REPORT_NAME,
    )
    if scan.series is None:
        return names
    return (*names, SR_NAME, SEG_NAME) if found else (*names, SR_NAME)


def _maker(folder: PredictionFolder) -> Maker:
    made_by = folder.maker
    return Maker(
        algorithm=f"breastseg {made_by.recipe}"[:_LONGEST_NAME],
        version=made_by.fingerprint,
        notice=made_by.notice,
    )


def _for_pacs(
    scan: _Scan,
    prediction: VolumePrediction,
    findings: tuple[VolumeFinding, ...],
    folder: PredictionFolder,
    pictures: tuple[Picture, ...],
) -> DicomResults | None:
    if scan.series is None:
        return None
    stated = [
        Finding(
            lesion=finding.lesion,
            tracking_uid=finding.tracking_uid,
            laterality=finding.laterality,
        )
        for finding in findings
    ]
    maker = _maker(folder)
    return make_dicom_results(scan.series, prediction.labels, stated, maker, pictures)


def _write_probability(output: Path, prediction: VolumePrediction, *, wanted: bool) -> None:
    path = output / PROBABILITY_NAME
    path.unlink(missing_ok=True)
    if wanted:
        from breastseg.io.nifti import write_nifti

        image = Image(pixels=prediction.probability, affine=prediction.image.affine)
        write_nifti(path, image, dtype=np.float32)


def _details(document: dict[str, Any], folder: PredictionFolder) -> dict[str, str]:
    image, maker = document["image"], folder.maker
    return {
        "Scan": document["case_id"],
        "Model": f"{maker.recipe}, {maker.fingerprint}, trained in {maker.framework}",
        "Threshold": f"{maker.threshold:g}",
        "Searched": " ".join(document["searched"]),
        "Size": " x ".join(str(side) for side in image["shape"]) + " (slices, rows, columns)",
        "Spacing": " x ".join(f"{length:g}" for length in image["spacing_mm"]) + " mm",
        "Files": ", ".join(document["files"]),
    }
