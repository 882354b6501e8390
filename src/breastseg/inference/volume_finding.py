"""A lesion that a model marked in a CT volume, with all that lesions.json says of it."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any
from uuid import uuid4

from breastseg.core.lesion_volume import VolumeLesion
from breastseg.inference.segment_volume import VolumePrediction
from breastseg.pipeline.breast_position import BreastPosition, locate_lesions
from breastseg.pipeline.breast_region import Side


@dataclass(frozen=True, slots=True, kw_only=True)
class VolumeFinding:
    """One finding. position: in the breast; None where the breasts were not looked for."""

    lesion: VolumeLesion
    laterality: Side | None
    position: BreastPosition | None
    tracking_uid: str

    @property
    def number(self) -> int:
        """Its label in the mask."""
        return self.lesion.number

    @property
    def probability(self) -> float | None:
        """The largest inside it."""
        return self.lesion.probability

    def to_document(self) -> dict[str, Any]:
        """Return its part of lesions.json; fractions have 4 digits."""
        position = None if self.position is None else asdict(self.position)
        if position is not None:
            rounded = {
                name: round(value, 4) for name, value in position.items() if type(value) is float
            }
            position |= rounded
        return {
            **self.lesion.to_document(),
            "laterality": self.laterality,
            "position": position,
            "tracking_uid": self.tracking_uid,
        }

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> "VolumeFinding":
        """Read what to_document wrote.

        Raises:
            TypeError, KeyError: the document is not one of a finding.
        """
        position = document["position"]
        return cls(
            lesion=VolumeLesion.from_document(document),
            laterality=document["laterality"],
            position=None if position is None else BreastPosition(**position),
            tracking_uid=document["tracking_uid"],
        )


def findings_of(prediction: VolumePrediction) -> tuple[VolumeFinding, ...]:
    """Return the lesions of a prediction with their places, each with a new tracking UID."""
    region = prediction.searched.region
    located: Mapping[int, BreastPosition] = {}
    if region is not None and prediction.lesions:
        located = locate_lesions(region, prediction.image, prediction.labels)
    return tuple(
        VolumeFinding(
            lesion=lesion,
            laterality=side,
            position=located.get(lesion.number),
            tracking_uid=_new_uid(),
        )
        for lesion, side in zip(prediction.lesions, prediction.sides, strict=True)
    )


def _new_uid() -> str:
    """Return a UID of a random UUID, which tells nothing: DICOM PS3.5, section B.2."""
    return f"2.25.{uuid4().int}"
