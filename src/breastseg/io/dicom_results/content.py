"""What all results of one call share: findings, who marked them, and the equipment module."""

from dataclasses import dataclass
from typing import Any

from highdicom import UID
from pydicom.uid import generate_uid

from breastseg import __version__
from breastseg.core.lesion import Lesion
from breastseg.core.lesion_volume import VolumeLesion
from breastseg.io.dicom_results.codes import Laterality

MANUFACTURER = "The breastseg developers"
MODEL_NAME = "breastseg"
DEVICE_UID = generate_uid(entropy_srcs=[MODEL_NAME])
RESEARCH_USE = (
    "Research use only: not a medical device, not verified by a reader. No diagnosis and no "
    "treatment may rest on it."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Maker:
    """Who marked the lesions.

    algorithm: the name of the program or model; None where a person drew them.
    version: of the algorithm.
    notice: what every reader must know of the algorithm; None where nothing.
    """

    algorithm: str | None = None
    version: str = ""
    notice: str | None = None

    def __str__(self) -> str:
        if self.algorithm is None:
            return "a reader"
        return f"{self.algorithm} {self.version}".strip()


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One lesion as the results of a series state it.

    tracking_uid: the same in SEG and SR, and in lesions.json.
    laterality: of the breast; None where nobody has said.
    """

    lesion: Lesion | VolumeLesion
    tracking_uid: str
    laterality: Laterality | None = None

    @property
    def tracking_id(self) -> str:
        """The name that a viewer shows, such as "Lesion 1"."""
        return f"Lesion {self.lesion.number}"


def new_uid() -> str:
    """Return a UID that nobody else has; of a random UUID, so it tells nothing."""
    return str(UID())


def series_attributes(description: str, *, number: int) -> dict[str, Any]:
    """Return what highdicom wants to know of a new series of results."""
    return {
        "series_instance_uid": new_uid(),
        "series_number": number,
        "series_description": description,
        "manufacturer": MANUFACTURER,
        "manufacturer_model_name": MODEL_NAME,
        "software_versions": __version__,
        "device_serial_number": __version__,
    }
