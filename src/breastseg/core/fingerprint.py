"""What is measured of a data set before a network is chosen for it: a few numbers, no image."""

from dataclasses import asdict, dataclass
from typing import Any

Triple = tuple[float, float, float]
AXES = ("head", "posterior", "left")


@dataclass(frozen=True, slots=True, kw_only=True)
class VolumeFacts:
    """Of one CT volume; triples run to (head, posterior, left).

    spacing_mm, size_mm: of its voxels, and of the whole scan.
    breast_mm: sides of the box around the larger breast; None where none was found.
    lesion_mm: diameter of a sphere of the volume of each lesion.
    num_in_breasts: lesions of which half the voxels or more lie in the breasts.
    lesion_hu: lesion voxels' 0.5th and 99.5th percentile; None without a lesion.
    region_hu: mean and standard deviation of the voxels of the breasts, else of the body, cut to
        [-200, 300].
    """

    spacing_mm: Triple
    size_mm: Triple
    breast_mm: Triple | None
    lesion_mm: tuple[float, ...]
    num_in_breasts: int
    lesion_hu: tuple[float, float] | None
    region_hu: tuple[float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class PictureFacts:
    """Of one picture. size: rows and columns. lesion_px: diameter of a disk of each area."""

    size: tuple[int, int]
    lesion_px: tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fingerprint:
    """Of a data set: facts of its volumes, or of its pictures."""

    volumes: tuple[VolumeFacts, ...] = ()
    pictures: tuple[PictureFacts, ...] = ()

    @property
    def num_cases(self) -> int:
        """How many images it holds."""
        return len(self.volumes) + len(self.pictures)

    def to_document(self) -> dict[str, Any]:
        """Return it as plain values, as the cache keeps it."""
        return asdict(self)

    @classmethod
    def from_document(cls, document: dict[str, Any]) -> "Fingerprint":
        """Read what to_document wrote.

        Raises:
            TypeError, KeyError: the document is none of a fingerprint.
        """
        return cls(
            volumes=tuple(VolumeFacts(**_tuples(each)) for each in document["volumes"]),
            pictures=tuple(PictureFacts(**_tuples(each)) for each in document["pictures"]),
        )


def _tuples(values: dict[str, Any]) -> dict[str, Any]:
    return {key: tuple(each) if isinstance(each, list) else each for key, each in values.items()}
