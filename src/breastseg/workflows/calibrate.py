"""What a run learns on its calibration part, once its training has ended."""

import logging
from collections.abc import Iterator

from breastseg.core.calibration import Calibration, ConformalThreshold
from breastseg.datasets.cases import DataSet, read_case
from breastseg.evaluation.calibrate import CalibrationImage, calibrate
from breastseg.inference.segment import Segmenter
from breastseg.training.checkpoint import Run
from breastseg.workflows.progress import Reading, silent_reading

log = logging.getLogger(__name__)


def calibrate_run(
    run: Run,
    data_set: DataSet,
    *,
    threads: int | None = None,
    reading: Reading = silent_reading,
) -> Calibration | None:
    """Fit temperature, operating threshold and guarantees of a run, and write calibration.json.

    Args:
        run: with weights; what it learnt before is replaced.
        data_set: that the run was trained on.
        threads: of the CPU; None takes all.
        reading: told of the progress; the images are read twice.

    Returns:
        None where the run has no calibration part; nothing is written then.

    Raises:
        WeightsError, RunFolderError: the run's weights.
        ImageFileError, ReferenceMaskError, GeometryError: the data.
    """
    cases = data_set.only(run.split.parts.get("calibration", ()))
    if not cases:
        return None
    segmenter = Segmenter.open(run.recipe, run.weights(), threads=threads)
    done = 0

    def images() -> Iterator[CalibrationImage]:
        nonlocal done
        for files in cases:
            case = read_case(files)
            assert case.reference is not None
            yield CalibrationImage(
                logits=segmenter.logits(case.image),
                reference=case.reference > 0,
                group=run.split.groups[files.case_id],
            )
            done += 1
            reading("Calibrating", done, 2 * len(cases))

    found = calibrate(images)
    run.save_calibration(found)
    log.info(
        "calibration part: temperature %.3g, operating threshold %g, outer mask %s, inner mask %s",
        *(found.temperature, found.operating_threshold, _told(found.outer), _told(found.inner)),
    )
    return found


def _told(guarantee: ConformalThreshold | None) -> str:
    if guarantee is None or guarantee.threshold is None:
        return "without a guarantee"
    return f"from {guarantee.threshold:.3g}"
