"""What a run learns on the CT volumes of its calibration part; calibrate's own for volumes."""

from collections.abc import Sequence

import numpy as np

from breastseg.core.calibration import Calibration
from breastseg.core.image import Case
from breastseg.datasets.cases import CaseFiles, read_case
from breastseg.evaluation.calibrate_volumes import (
    CalibrationVolume,
    calibrate_volumes,
    measure_volume,
)
from breastseg.evaluation.calibration import LogitHistogram
from breastseg.inference.segment_volume import OUTSIDE_LOGIT, VolumeSegmenter
from breastseg.training.checkpoint import Run
from breastseg.workflows.progress import Reading


def calibrate_on_volumes(
    run: Run, cases: Sequence[CaseFiles], *, threads: int | None, reading: Reading
) -> Calibration:
    """Run the network on each volume once; arguments and errors of calibrate_run.

    In memory are one volume and the box around what is searched of it.

    Args:
        cases: the calibration part.
    """
    segmenter = VolumeSegmenter.open(run.recipe, run.weights(), threads=threads)
    histogram, figures = LogitHistogram(), []
    for done, files in enumerate(cases, start=1):
        volume = _searched(segmenter, read_case(files), run.split.groups[files.case_id])
        figures.append(measure_volume(volume, histogram))
        reading("Calibrating", done, len(cases))
    return calibrate_volumes(figures, histogram)


def _searched(segmenter: VolumeSegmenter, case: Case, group: str) -> CalibrationVolume:
    """Return the logits of what is searched, and what was drawn there and elsewhere."""
    assert case.reference is not None
    assert case.image.affine is not None
    answer = segmenter.answer(case.image)
    slabs = list(answer.logit_slabs())
    grid = answer.searched.grid
    if grid is None or not slabs:
        logits = np.full((1, 1, 1), OUTSIDE_LOGIT, np.float32)
        reference = np.zeros((1, 1, 1), case.reference.dtype)
    else:
        logits = np.concatenate(slabs)
        reference = np.ascontiguousarray(grid.box_of(case.reference))
    return CalibrationVolume(
        logits=logits,
        searched=logits > OUTSIDE_LOGIT,
        reference=reference,
        missed_voxels=int(np.count_nonzero(case.reference) - np.count_nonzero(reference)),
        missed_lesions=len(np.setdiff1d(case.reference, np.append(reference, 0))),
        voxel_mm3=float(abs(np.linalg.det(case.image.affine[:3, :3]))),
        group=group,
    )
