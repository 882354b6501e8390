"""`breastseg predict`: lesions found in scans, as masks, measures, pictures and one page.

Of pictures, here; of CT volumes, in predict_volume, which is loaded when one is predicted.
"""

import contextlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from breastseg.core.calibration import Calibration
from breastseg.core.errors import InputError
from breastseg.core.lesion import check_threshold
from breastseg.datasets.cases import CaseFiles
from breastseg.datasets.scans import Scans, find_scans
from breastseg.inference.prediction_folder import (
    FIRST_OVERLAY_NAME,
    INDEX_NAME,
    MALIGNANCY_NAME,
    OVERLAY_NAME,
    PROBABILITY_NAME,
    REPORT_NAME,
    CaseResult,
    Failure,
    Maker,
    PredictionFolder,
)
from breastseg.inference.runtime import Device, Precision
from breastseg.inference.segment import Prediction
from breastseg.io.atomic import write_text
from breastseg.io.raster import encode_png
from breastseg.report.bounds_overlays import draw_prediction, guarantees_in_words
from breastseg.report.pages import PredictionEntry, prediction_page
from breastseg.training.model import Model, OpenModel, load_model, open_model
from breastseg.training.shipped import resolve_model
from breastseg.workflows.predict_case import read_scan_of, require_fit
from breastseg.workflows.progress import Reading, log_file, silent_reading
from breastseg.workflows.streaming import cases_at_once, in_order

_log = logging.getLogger("breastseg.predict")


@dataclass(frozen=True, slots=True, kw_only=True)
class PredictionResult:
    """What a call of predict has done; the files are in `output`.

    cases: with a result, from this call or, reused, from an earlier one.
    failures: cases without a result.
    masks: files that were recognised as masks and left out.
    notice: what every reader must know of the model; None where nothing.
    """

    output: Path
    cases: tuple[CaseResult, ...]
    failures: tuple[Failure, ...]
    masks: tuple[Path, ...]
    notice: str | None = None

    def empty_searches(self) -> tuple[str, ...]:
        """Say of each volume without any place to search why there was none."""
        if not any(case.searched for case in self.cases):
            return ()
        from breastseg.pipeline.search_area import NOT_SEARCHED

        return tuple(
            f"{case.case_id}: {' '.join(case.searched)}"
            for case in self.cases
            if NOT_SEARCHED in case.searched
        )

    @property
    def num_failed(self) -> int:
        """Cases without a result; the command line exits with 1 if there is one."""
        return len(self.failures)

    @property
    def report_path(self) -> Path:
        """The page to look at."""
        return self.output / REPORT_NAME

    @property
    def index_path(self) -> Path:
        """The same for programs: predictions.json."""
        return self.output / INDEX_NAME


def predict(
    scans: Sequence[Path],
    *,
    model: Path,
    output: Path,
    threshold: float | None = None,
    threads: int | None = None,
    overwrite: bool = False,
    device: Device = "cpu",
    precision: Precision | None = None,
    with_probability: bool = False,
    explain: bool = False,
    reading: Reading = silent_reading,
) -> PredictionResult:
    """Find the lesions in scans and write them into a prediction folder.

    A file that cannot be read fails alone. Cases that this model and threshold finished in
    an earlier call are not predicted again, so an interrupted call is repeated as it was.
    Unless one thread is asked for, pictures are read and written while the network sees another;
    the results are the same.

    Args:
        scans: pictures and DICOM ultrasound, or for a model of volumes DICOM CT series and NIfTI,
            and folders that are searched for them; masks are left out.
        model: a run folder, of either framework; the name of a model that ships; or the folds of
            a cross-validation, whose mean probability counts. Neither framework is needed.
        output: the prediction folder, see inference.prediction_folder.
        threshold: operating threshold in (0, 1], see core.lesion.find_lesions; the model's own
            where None.
        threads: of the CPU; None takes all.
        overwrite: predict all anew, and replace results of other models.
        device: cuda needs ONNX Runtime with CUDA.
        precision: bfloat16 is faster on CPUs that have it, and differs in the third digit; None
            takes int8 of a model in 8 bits, which has no other, and float32 of all others.
        with_probability: of volumes, also write probability.nii.gz.
        explain: of pictures, also draw where the score for malignant comes from, where the model
            tells that class.
        reading: told of the progress.

    Raises:
        InputError: wrong arguments, an explanation that the model cannot give, nothing to predict,
            nothing that the model is for, or results
            of another model.
        LayoutError: two scans have the same case id.
        RunFolderError, RecipeError, WeightsError: the model cannot be used.
        MissingExtraError: the device needs a package that is not installed.
        OutputError: a result cannot be written; what is there is whole.
    """
    if threshold is not None:
        check_threshold(threshold)
    found = find_scans(scans, results_dir=output)
    chosen = open_model(resolve_model(model))
    if explain:
        _require_malignant(chosen)
    maker = Maker(
        fingerprint=chosen.fingerprint,
        recipe=chosen.recipe_name,
        framework=chosen.framework,
        threshold=threshold or chosen.operating_threshold,
        notice=chosen.notice,
    )
    _refuse_all_unfit(found.cases, chosen)
    folder = PredictionFolder(output, maker)
    if not overwrite:
        folder.refuse_others(case.case_id for case in found.cases)
    loaded = load_model(chosen, device=device, threads=threads, precision=precision, cached=True)
    at_once = 1 if chosen.of_volumes else cases_at_once(threads)
    job = _Job(folder, loaded, overwrite, with_probability, explain, reading, at_once)
    with log_file(output):
        result = _predict_all(found, job, reading)
        folder.write_index(result.cases, result.failures)
        write_text(result.report_path, _page(result, maker, loaded.calibration))
    return result


@dataclass(frozen=True, slots=True)
class _Job:
    """What is done to each case. at_once: cases that are worked at together."""

    folder: PredictionFolder
    model: OpenModel
    overwrite: bool
    with_probability: bool
    explain: bool
    reading: Reading
    at_once: int

    def do(self, case: CaseFiles) -> CaseResult:
        """Predict one case, unless it is done.

        Raises:
            InputError: the case cannot be predicted; others may.
            OutputError: a result cannot be written.
        """
        require_fit(case, self.model.model)
        sha256 = case.sha256()
        if finished := self._finished(case.case_id, sha256):
            return finished
        if case.is_volume:
            # Whoever predicts pictures need not wait for highdicom.
            from breastseg.workflows.predict_volume import predict_volume

            return predict_volume(
                case,
                sha256=sha256,
                model=self.model,
                folder=self.folder,
                with_probability=self.with_probability,
                reading=self.reading,
            )
        image, notes = read_scan_of(case)
        prediction = self.model.find(case.case_id, image, self.folder.maker.threshold)
        return self.folder.write_case(
            prediction,
            overlay=_overlay(prediction),
            malignancy=_malignancy(prediction) if self.explain else None,
            sha256=sha256,
            notes=notes,
        )

    def _finished(self, case_id: str, sha256: str) -> CaseResult | None:
        if self.overwrite:
            return None
        also = (PROBABILITY_NAME,) if self.with_probability and self.model.model.of_volumes else ()
        if self.explain and self.model.model.tells_malignant:
            also = (MALIGNANCY_NAME,)
        return self.folder.finished(case_id, sha256, also=also)


def _refuse_all_unfit(cases: Sequence[CaseFiles], model: Model) -> None:
    """Refuse scans of which none is what the model is for; single ones fail alone."""
    if all(case.is_volume != model.of_volumes for case in cases):
        require_fit(cases[0], model)


def _require_malignant(model: Model) -> None:
    if not model.tells_malignant:
        raise InputError(
            f"--explain draws where the score for malignant comes from, and the model "
            f"{model.path.name} tells no class of that name. Leave it out (guaranteed contours are "
            'drawn all the same), or train with --set \'network.classes=["benign","malignant"]\'.'
        )


def _overlay(prediction: Prediction) -> bytes:
    pixels, mask = prediction.image.pixels[0], prediction.mask[0]
    return encode_png(draw_prediction(pixels, mask, prediction.lesions, prediction.bounds))


def _malignancy(prediction: Prediction) -> bytes | None:
    if prediction.malignancy is None:
        return None
    # Whoever asks for no explanation need not wait for what draws it.
    from breastseg.report.malignancy_overlays import draw_malignancy

    pixels, mask = prediction.image.pixels[0], prediction.mask[0]
    return encode_png(draw_malignancy(pixels, mask, prediction.malignancy))


def _predict_all(found: Scans, job: _Job, reading: Reading) -> PredictionResult:
    cases, failures = [], []
    _log.info("%d cases, %d masks left out", len(found.cases), len(found.masks))
    for note in found.notes:
        _log.info(note)
    with contextlib.closing(in_order(job.do, found.cases, at_once=job.at_once)) as results:
        for done, (case, finished) in enumerate(zip(found.cases, results, strict=True), start=1):
            try:
                result = finished.result()
            except InputError as error:
                failures.append(Failure(case_id=case.case_id, reason=str(error)))
                _log.warning("%s: failed: %s", case.case_id, error)
            else:
                cases.append(result)
                _note(result)
            reading("Predicting", done, len(found.cases))
    return PredictionResult(
        output=job.folder.path,
        cases=tuple(cases),
        failures=tuple(failures),
        masks=found.masks,
        notice=job.folder.maker.notice,
    )


def _note(result: CaseResult) -> None:
    how = "done before" if result.reused else "done"
    _log.info("%s: %s, lesions: %d", result.case_id, how, len(result.lesions))
    for note in result.notes:
        _log.info("%s: %s", result.case_id, note)


def _page(result: PredictionResult, maker: Maker, calibration: Calibration | None) -> str:
    entries = [_entry(case) for case in result.cases]
    details = {
        "Fingerprint": maker.fingerprint,
        "Trained in": maker.framework,
        "Threshold": f"{maker.threshold:g}",
    }
    failures = [(failure.case_id, failure.reason) for failure in result.failures]
    return prediction_page(
        entries,
        model=maker.recipe,
        details=details,
        failures=failures,
        notice=maker.notice,
        guarantees=guarantees_in_words(calibration) if calibration else {},
    )


def _entry(case: CaseResult) -> PredictionEntry:
    name = quote(case.case_id)
    return PredictionEntry(
        case_id=case.case_id,
        picture=f"{name}/{FIRST_OVERLAY_NAME if case.in_volume else OVERLAY_NAME}",
        lesions=case.lesions,
        classes=case.classes,
        notes=(*case.notes, *case.searched),
        page=f"{name}/{REPORT_NAME}" if case.in_volume else None,
        malignancy=f"{name}/{MALIGNANCY_NAME}" if case.malignancy else None,
        unsure=bool(case.bounds and case.bounds["abstains"]),
    )
