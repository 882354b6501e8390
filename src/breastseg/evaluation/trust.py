"""Whether probabilities and guarantees of a model can be trusted, gathered image by image.

    trust = Trust(calibration)
    for each image:  trust.add(case_id, group, calibrated=..., raw=..., reference=...)
    at the end:      trust.reliability(), trust.guarantees()

48 numbers are kept of each group and a few of each image, never a map.
"""

from collections.abc import Hashable, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from breastseg.core.calibration import Calibration, ConformalThreshold
from breastseg.core.image import LabelMap, Pixels
from breastseg.evaluation.coverage import BoundsScore, check_bounds, score_bounds
from breastseg.evaluation.matching import CandidateScore
from breastseg.evaluation.overlap import Mask
from breastseg.evaluation.reliability import Reliability

LEAST_VOXEL_PROBABILITY = 0.01
"""Of the voxels of a volume, below which they have no part in the reliability."""


class Trust:
    """Sums of one model over images that had no part in its calibration.

    Args:
        calibration: whose guarantees are checked; None where several models took turns, such
            as the folds of a cross-validation, for which none is claimed.
    """

    def __init__(self, calibration: Calibration | None) -> None:
        self._calibration = calibration
        self._pixels = {"before": Reliability(), "after": Reliability()}
        self._findings = Reliability()
        self._bounds: list[BoundsScore] = []

    def add(
        self,
        case_id: str,
        group: Hashable,
        *,
        calibrated: Pixels,
        raw: Pixels,
        reference: LabelMap,
        candidates: Sequence[CandidateScore],
    ) -> None:
        """Add an image.

        Args:
            group: patient or near-duplicate group, which intervals resample.
            calibrated, raw: lesion probability after and before the temperature, in [0, 1].
            reference: 0 is background, each lesion has a label of its own.
            candidates: of the calibrated probability; one that lies on a lesion came true, be
                it the first on it or a further one.

        Raises:
            GeometryError, InputError: the maps do not fit together.
        """
        drawn = reference > 0
        if len(calibrated) == 1:
            self._pixels["before"].add(raw, drawn, group)
            self._pixels["after"].add(calibrated, drawn, group)
        else:
            self._add_voxels(calibrated, raw, drawn, group)
        if candidates:
            scores = np.array([each.score for each in candidates])
            came_true = np.array([each.outcome != "false positive" for each in candidates])
            self._findings.add(scores, came_true, group, weight=len(candidates))
        if self._calibration is not None:
            bounds = self._calibration.bounds(calibrated)
            self._bounds.append(score_bounds(bounds, drawn, case_id=case_id, group=group))

    def _add_voxels(self, calibrated: Pixels, raw: Pixels, drawn: Mask, group: Hashable) -> None:
        """Add the voxels of a volume about which something is said; their share is the weight.

        Chosen by the probability alone, so that how often it comes true stays what it is; all
        others, most of them air and far from a breast, would drown any fault in zeros.
        """
        said = calibrated >= LEAST_VOXEL_PROBABILITY
        count = int(np.count_nonzero(said))
        if count:
            for name, values in (("before", raw), ("after", calibrated)):
                self._pixels[name].add(
                    values[said], drawn[said], group, weight=count / calibrated.size
                )

    def reliability(self) -> dict[str, Any]:
        """Return how true the probabilities came: each a ReliabilitySummary as plain values.

        Of pixels before and after the temperature, and of findings, whose score is their
        highest calibrated probability; None where there is none.
        """
        parts = {**self._pixels, "findings": self._findings}
        return {
            name: None if (found := part.summary()) is None else asdict(found)
            for name, part in parts.items()
        }

    def guarantees(self) -> dict[str, Any] | None:
        """Return the guarantees and what became of them; None where none is claimed."""
        calibration = self._calibration
        if calibration is None:
            return None
        return {
            "promised": {
                "outer": _promise(calibration.outer),
                "inner": _promise(calibration.inner),
                "abstain_above": calibration.abstain_above,
            },
            "found": asdict(check_bounds(self._bounds, calibration)),
        }


def _promise(guarantee: ConformalThreshold | None) -> dict[str, Any] | None:
    return None if guarantee is None else asdict(guarantee)
