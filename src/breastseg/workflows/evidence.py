"""What is gathered of the model that a scorecard is about, beside the scores of its masks."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from breastseg.core.image import Case, Pixels
from breastseg.evaluation import detection
from breastseg.evaluation.classification import ToldImage, summarise_classes
from breastseg.evaluation.matching import ImageDetection, score_detection
from breastseg.evaluation.trust import Trust
from breastseg.training.model import Model

NO_PART = (
    "The run has no calibration part: its probabilities are the network's own, and nothing is "
    "guaranteed. Whether they can be trusted was not measured."
)
NOT_CALIBRATED = (
    "The run was not calibrated, or by a version of breastseg that chose the operating threshold "
    "alone: its probabilities are the network's own, and nothing is guaranteed. Whether they can "
    "be trusted is seen after `breastseg calibrate RUN`."
)
SEVERAL_FOLDS = (
    "Each fold has guarantees of its own, for the images that it held out; for all folds together "
    "none is claimed. Score a fold alone to see them."
)
OTHER_DATA = (
    "These images are not of the data set that the run was calibrated on: nothing is promised for "
    "them, and the table says what came of the thresholds nevertheless."
)


class Evidence:
    """Gathered image by image; see add and to_document. A few numbers are kept of each image."""

    def __init__(self, model: Model) -> None:
        calibrations = [run.calibration for run in model.runs]
        self._temperatures = [each.temperature for each in calibrations]
        self._has_part = any(run.split.parts.get("calibration") for run in model.runs)
        self.images: list[ImageDetection] = []
        self._told: list[ToldImage] = []
        self._trust = None
        if all(each.is_fitted for each in calibrations):
            self._trust = Trust(None if model.is_ensemble else calibrations[0])

    def add(
        self,
        case: Case,
        *,
        calibrated: Pixels,
        raw: Pixels,
        threshold: float,
        group: str,
        label: str | None,
        smallest_px: float = 0.0,
        classes: Mapping[str, float] | None = None,
    ) -> None:
        """Add what the model says of an image.

        Args:
            case: with a reference.
            calibrated, raw: lesion probability after and before the temperature.
            threshold: the operating threshold, in (0, 1].
            group: patient or near-duplicate group.
            label: the class that the data set gives the image.
            smallest_px: smaller candidates are not shown.
            classes: calibrated probability of each class of the whole image.
        """
        assert case.reference is not None
        image = score_detection(
            case,
            calibrated,
            threshold=threshold,
            group=group,
            label=label,
            smallest_px=smallest_px,
        )
        self.images.append(image)
        told = ToldImage(case_id=case.case_id, group=group, label=label, probability=classes or {})
        self._told.append(told)
        if self._trust is not None:
            self._trust.add(
                case.case_id,
                group,
                calibrated=calibrated,
                raw=raw,
                reference=case.reference,
                candidates=image.candidates,
            )

    def to_document(
        self, *, is_own_data: bool, sources: Mapping[str, str] | None = None
    ) -> dict[str, Any]:
        """Return the keys that scorecard.json gets from here; `note` says why one is empty."""
        summary = detection.summarise(self.images, sources=sources)
        classes = summarise_classes(self._told)
        return {
            "detection": detection.to_document(summary),
            **self._trust_document(is_own_data=is_own_data),
            "classes": classes and asdict(classes),
        }

    def _trust_document(self, *, is_own_data: bool) -> dict[str, Any]:
        if self._trust is None:
            note = NOT_CALIBRATED if self._has_part else NO_PART
            return {"calibration": {"note": note}, "guarantees": {"note": note}}
        guarantees = self._trust.guarantees()
        if guarantees is None:
            guarantees = {"note": SEVERAL_FOLDS}
        else:
            guarantees["note"] = None if is_own_data else OTHER_DATA
        return {
            "calibration": {
                "note": None,
                "temperatures": self._temperatures,
                **self._trust.reliability(),
            },
            "guarantees": guarantees,
        }
