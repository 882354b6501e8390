"""What a scorecard of CT volumes has beside that of pictures: what the lesions are like."""

from dataclasses import asdict
from typing import Any

from breastseg.core.image import Case
from breastseg.evaluation.lesion_traits import LesionTraits, Region, measure_traits
from breastseg.evaluation.matching import ImageDetection
from breastseg.evaluation.overlap import Mask
from breastseg.evaluation.scorecard import plain
from breastseg.evaluation.volume_detection import summarise_volumes
from breastseg.pipeline.breast_region import find_breasts


class VolumeEvidence:
    """Gathered volume by volume: a few numbers of each lesion."""

    def __init__(self) -> None:
        self._traits: dict[str, tuple[LesionTraits, ...]] = {}
        self._without_breasts: list[str] = []

    def look(self, case: Case) -> Mask:
        """Measure the lesions of a case and their breasts; return the breast region.

        Args:
            case: of a CT, with a reference.
        """
        found = find_breasts(case.image)
        region: Region | None = found.labels if found.sides else None
        if region is None:
            self._without_breasts.append(case.case_id)
        self._traits[case.case_id] = measure_traits(case, region)
        mask: Mask = found.labels > 0
        return mask

    def warnings(self) -> tuple[str, ...]:
        """Return what was not found."""
        if not self._without_breasts:
            return ()
        return (
            f"In {len(self._without_breasts)} of {len(self._traits)} volumes no breast was found, "
            f"such as '{self._without_breasts[0]}': the density of the breast is not measured "
            "there, and what lies around a lesion may hold muscle.",
        )

    def to_document(
        self, images: list[ImageDetection], *, has_probabilities: bool
    ) -> dict[str, Any]:
        """Return the section `volumes` of scorecard.json."""
        found = summarise_volumes(images, self._traits, has_scores=has_probabilities)
        return plain(asdict(found))
