"""What is gathered of masks that anyone's model made, beside their scores."""

from collections.abc import Mapping
from typing import Any

from breastseg.core.image import Case
from breastseg.core.lesion import DEFAULT_THRESHOLD
from breastseg.datasets.cases import CaseFiles
from breastseg.datasets.given_masks import tell
from breastseg.datasets.sketches import ALIKE, SAME_PICTURE
from breastseg.evaluation import detection
from breastseg.evaluation.matching import ImageDetection, score_detection
from breastseg.evaluation.trust import Trust
from breastseg.workflows.contestants import Answer

MASKS_ALONE = (
    "Masks alone were given, so that each finding is as sure as any other: FROC curve, average "
    "precision, and ROC curve need probabilities, and are left out."
)
NO_PROBABILITIES = "Masks alone were given: whether the model's probabilities can be trusted was "
NO_PROBABILITIES += "not measured."
NO_GUARANTEE = "No guarantee was given with these masks."
NOT_KNOWN = (
    "It is not known what the model was trained on, nor what its threshold was chosen on. If it "
    "has seen any of these images, near duplicates of them or other images of these patients, "
    "the figures flatter. Whoever made the masks must say how the data was split."
)


class GivenEvidence:
    """Gathered image by image; see add and to_document."""

    def __init__(self) -> None:
        self.images: list[ImageDetection] = []
        self._trust = Trust(None)
        self._not_cut: list[str] = []

    def add(
        self, case: Case, answer: Answer, *, threshold: float, group: str, files: CaseFiles
    ) -> None:
        """Add what was said of an image.

        Args:
            case: with a reference.
            threshold: the operating threshold of the probabilities, if there are any.
            group: patient or near-duplicate group.
        """
        assert case.reference is not None
        probability = answer.probability
        if probability is None:
            threshold = DEFAULT_THRESHOLD
        image = score_detection(
            case, answer.map(), threshold=threshold, group=group, label=files.label
        )
        self.images.append(image)
        if probability is not None:
            self._trust.add(
                case.case_id,
                group,
                calibrated=probability,
                raw=probability,
                reference=case.reference,
                candidates=image.candidates,
            )
        if not answer.is_cut:
            self._not_cut.append(case.case_id)

    def warnings(self) -> tuple[str, ...]:
        """Return what does not fit together."""
        if not self._not_cut:
            return ()
        return (
            f"In {len(self._not_cut)} of {len(self.images)} images the mask is not the "
            f"probability map cut at 0.5, such as {tell(self._not_cut[:1])}: overlap and distances "
            "are those of the masks, the figures lesion by lesion those of the probabilities.",
        )

    def to_document(
        self, *, has_probabilities: bool, sources: Mapping[str, str] | None = None
    ) -> dict[str, Any]:
        """Return the keys that scorecard.json gets from here; `note` says why one is empty."""
        summary = detection.summarise(self.images, sources=sources)
        if not has_probabilities:
            return {
                "detection": detection.to_document(detection.unranked(summary, MASKS_ALONE)),
                "calibration": {"note": NO_PROBABILITIES},
                "guarantees": {"note": NO_GUARANTEE},
            }
        # They were given once, with or without a temperature: there is no before and after.
        found = {**self._trust.reliability(), "before": None}
        return {
            "detection": detection.to_document(summary),
            "calibration": {"note": None, "temperatures": [], **found},
            "guarantees": {"note": NO_GUARANTEE},
        }


def unknown_training(num_scored: int) -> dict[str, Any]:
    """Return the certificate of a model of which nobody has said what it was trained on."""
    return {
        "runs": [],
        "is_own_data": False,
        "num_scored": num_scored,
        "num_known": None,
        "num_seen": None,
        "num_near_duplicates": None,
        "num_group_seen": None,
        "num_alike": None,
        "num_compared": 0,
        "num_not_compared": num_scored,
        "near_duplicate_from": SAME_PICTURE,
        "alike_from": ALIKE,
        "pairs": [],
        "not_checked": [NOT_KNOWN],
    }
