"""breastseg calibrate: what a run learns on its calibration part, once its training has ended."""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from breastseg.backends.onnx.network import onnx_file
from breastseg.core.calibration import NORMAL, Calibration, ConformalThreshold
from breastseg.core.errors import InputError, RunFolderError
from breastseg.core.image import Case
from breastseg.datasets.cases import CaseFiles, DataSet, read_case
from breastseg.datasets.checked import content_of
from breastseg.datasets.layouts import find_data_set
from breastseg.datasets.splits import Part
from breastseg.evaluation.calibrate import CalibrationImage, with_classes
from breastseg.evaluation.calibrate import calibrate as fit_calibration
from breastseg.evaluation.calibration import TemperatureFit
from breastseg.evaluation.classification import fit_class_temperature
from breastseg.inference.segment import ImageAnswer, Segmenter
from breastseg.io.atomic import write_bytes
from breastseg.training.checkpoint import Run
from breastseg.training.lock import only_trainer
from breastseg.training.model import open_model
from breastseg.workflows.calibrate_volumes import calibrate_on_volumes
from breastseg.workflows.image_classes import class_number
from breastseg.workflows.progress import Reading, log_file, silent_reading

log = logging.getLogger(__name__)


def calibrate(
    path: Path,
    data: Path | None = None,
    *,
    mirrored: bool = False,
    gated: bool | None = None,
    threads: int | None = None,
    reading: Reading = silent_reading,
) -> list[Calibration]:
    """Calibrate a run that was made before, or anew; of a cross-validation every fold.

    Args:
        path: a trained run, or the folds of a cross-validation.
        data: the data set that it was trained on; where it lay then, where None.
        mirrored: whether pictures are to be seen mirrored too from now on, see Segmenter.
        gated: whether doubt that a picture has a lesion is to weaken its findings, see
            core.calibration; where None, it does if the network tells the class `normal`.
        threads: of the CPU; None takes all.
        reading: told of the progress.

    Returns:
        What each run learnt: its calibration.json.

    Raises:
        RunFolderError: a run is in use, or has no calibration part; or the data set lacks images
            of it or has others of their names.
        WeightsError: a run's weights.
        LayoutError, ImageFileError, ReferenceMaskError, GeometryError: the data.
        InputError: a model of volumes is to see them mirrored; or a network that does not tell the
            class `normal` is to be gated by it.
        OutputError: the run cannot be written.
    """
    model = open_model(path)
    if mirrored and model.of_volumes:
        raise InputError(f"{path}: --mirror is for models of pictures, and this is one of volumes.")
    if gated and not all(NORMAL in run.recipe.network.classes for run in model.runs):
        raise InputError(
            f"{path}: --gate is for models that tell the class 'normal' of a picture, and this one "
            f"tells {', '.join(model.runs[0].recipe.network.classes) or 'none'}."
        )
    for run in model.runs:
        if not run.split.parts.get("calibration"):
            raise RunFolderError(
                f"{run.path}: expected a run with a calibration part, but split.calibration was "
                "0. Train again with some of the images set aside for it."
            )
    first = model.runs[0]
    volumes = first.recipe.volume is not None
    data_set = find_data_set(data or Path(first.environment["data"]), volumes=volumes)
    found = []
    for run in model.runs:
        require_own_images(run, data_set, "calibration")
        with only_trainer(run.path), log_file(run.path):
            calibration = calibrate_run(
                run, data_set, mirrored=mirrored, gated=gated, threads=threads, reading=reading
            )
            assert calibration is not None
            make_usable(run)
        found.append(calibration)
    return found


def require_own_images(run: Run, data_set: DataSet, part: Part) -> None:
    """Refuse images that are not those of a part of the run.

    Raises:
        RunFolderError: some are missing or others.
    """
    wanted = {case_id: run.content[case_id] for case_id in run.split.parts[part]}
    content = content_of(data_set.only(wanted))
    other = sorted(case_id for case_id in wanted if content.get(case_id) != wanted[case_id])
    if other:
        raise RunFolderError(
            f"{data_set.root}: expected the {len(wanted)} images of the {part} part of "
            f"{run.path}, but {len(other)} are missing or changed, such as '{other[0]}'. Give the "
            "data set that the run was trained on."
        )


def onnx_of(run: Run) -> bytes:
    """Return the network of a trained run as an ONNX file, with its calibration noted."""
    calibration = run.calibration
    return onnx_file(
        run.recipe,
        run.weights(),
        temperature=calibration.temperature,
        class_temperature=calibration.class_temperature,
        gated=calibration.gated,
    )


def make_usable(run: Run) -> None:
    """Write what a trained run is used by without a framework, and seal it against damage."""
    network = onnx_of(run)
    write_bytes(run.path / "model.onnx", network)
    run.seal(["weights.safetensors", "model.onnx"])


def calibrate_run(
    run: Run,
    data_set: DataSet,
    *,
    mirrored: bool = False,
    gated: bool | None = None,
    threads: int | None = None,
    reading: Reading = silent_reading,
) -> Calibration | None:
    """Fit temperature, operating threshold and guarantees of a run, and write calibration.json.

    Args:
        run: with weights; what it learnt before is replaced.
        data_set: that the run was trained on.
        mirrored, gated: of pictures, see calibrate.
        threads: of the CPU; None takes all.
        reading: told of the progress; images are read twice, volumes once.

    Returns:
        None where the run has no calibration part; nothing is written then.

    Raises:
        WeightsError, RunFolderError: the run's weights.
        ImageFileError, ReferenceMaskError, GeometryError: the data.
    """
    cases = data_set.only(run.split.parts.get("calibration", ()))
    if not cases:
        return None
    if run.recipe.volume is None:
        if gated is None:
            gated = NORMAL in run.recipe.network.classes
        found = _on_images(
            run, cases, mirrored=mirrored, gated=gated, threads=threads, reading=reading
        )
    else:
        found = calibrate_on_volumes(run, cases, threads=threads, reading=reading)
    run.save_calibration(found)
    log.info(
        "calibration part: temperature %.3g, operating threshold %g, outer mask %s, inner mask %s",
        *(found.temperature, found.operating_threshold, _told(found.outer), _told(found.inner)),
    )
    if found.class_temperature is not None:
        log.info("classes of whole images: temperature %.3g", found.class_temperature)
    return found


def _on_images(
    run: Run,
    cases: Sequence[CaseFiles],
    *,
    mirrored: bool,
    gated: bool,
    threads: int | None,
    reading: Reading,
) -> Calibration:
    """Run the network on each image two or three times: no map is kept.

    The classes come first, since the gate needs their temperature.
    """
    segmenter = Segmenter.open(run.recipe, run.weights(), threads=threads)
    segmenter = replace(segmenter, mirrored=mirrored)
    classes = run.recipe.network.classes
    done, passes = 0, 3 if classes else 2

    def answers() -> Iterator[tuple[CaseFiles, Case, ImageAnswer]]:
        nonlocal done
        for files in cases:
            case = read_case(files)
            yield files, case, segmenter.answer(case.image)
            done += 1
            reading("Calibrating", done, passes * len(cases))

    def images() -> Iterator[CalibrationImage]:
        for files, case, answer in answers():
            assert case.reference is not None
            yield CalibrationImage(
                logits=answer.logits(),
                reference=case.reference > 0,
                group=run.split.groups[files.case_id],
            )

    fit: TemperatureFit | None = None
    if classes:
        logits, labels = [], []
        for files, _, answer in answers():
            assert answer.class_logits is not None
            logits.append(answer.class_logits)
            labels.append(class_number(files, classes))
        fit = fit_class_temperature(np.stack(logits), np.array(labels))
        segmenter = replace(segmenter, class_temperature=fit.temperature, gated=gated)
    found = replace(fit_calibration(images), mirrored=mirrored, gated=segmenter.gated)
    return found if fit is None else with_classes(found, fit)


def _told(guarantee: ConformalThreshold | None) -> str:
    if guarantee is None or guarantee.threshold is None:
        return "without a guarantee"
    return f"from {guarantee.threshold:.3g}"
