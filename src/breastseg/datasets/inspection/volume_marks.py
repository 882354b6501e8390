"""The structures that were drawn on a series, as one label map to look at."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int32

from breastseg.core.image import Image, LabelMap
from breastseg.core.structure import Structure

Parts = Int32[np.ndarray, "slices rows columns"]

# What says in a name or kind that a structure is no organ. It only chooses what is shown.
_LESION_WORDS = (
    *("gtv", "tumor", "tumour", "lesion", "mass", "nodule"),
    *("neoplasm", "carcinoma", "cancer", "metasta"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sight:
    """A volume to look at, while it is in memory.

    labels: the outlines to draw, 0 outside all structures.
    number: the label to look at; None where nothing was drawn.
    through: the name of the structure that it belongs to.
    in_hu: whether the values are HU.
    """

    case_id: str
    image: Image
    labels: LabelMap
    number: int | None = None
    through: str | None = None
    in_hu: bool = True


Look = Callable[[Sight], None]
"""Told of each volume that was read; it must not keep the pixels."""


def look_away(sight: Sight) -> None:
    """Draw nothing."""


@dataclass(frozen=True, slots=True)
class _Drawn:
    """A structure; size and largest_part in voxels."""

    structure: Structure
    size: int
    largest_part: int

    @property
    def rank(self) -> tuple[bool, int]:
        words = f"{self.structure.kind or ''} {self.structure.name}".casefold()
        return any(word in words for word in _LESION_WORDS), self.largest_part


class Marks:
    """Structures on the grid of a series; where they overlap, the smaller one shows.

    The largest part of each structure has an odd number of its own, its other parts the even
    number after it.
    """

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.labels: LabelMap = np.zeros(shape, np.int32)
        self._drawn: list[_Drawn] = []

    def add(self, structure: Structure, parts: Parts) -> None:
        """Draw a structure whose connected parts are numbered from 1."""
        sizes = np.bincount(parts.ravel())[1:]
        if not sizes.size:
            return
        size, largest = int(sizes.sum()), int(sizes.argmax()) + 1
        # By label: the size of the structure that it belongs to; nothing is larger than all.
        covered = [np.inf, *(each.size for each in self._drawn for _ in range(2))]
        self._drawn.append(_Drawn(structure, size, int(sizes.max())))
        number = 2 * len(self._drawn) - 1
        for drawn, here in zip(self.labels, parts, strict=True):
            shown = (here > 0) & (np.array(covered)[drawn] > size)
            drawn[shown] = np.where(here[shown] == largest, number, number + 1)

    def sight(self, case_id: str, image: Image, *, in_hu: bool = True) -> Sight:
        """Return what to look at: lesions rather than organs, and the largest of them.

        A structure that smaller ones cover altogether is passed over.
        """
        places = sorted(range(len(self._drawn)), key=lambda at: self._drawn[at].rank, reverse=True)
        for place in places:
            number = 2 * place + 1
            if (self.labels == number).any():
                name = self._drawn[place].structure.name
                return Sight(
                    case_id=case_id,
                    image=image,
                    labels=self.labels,
                    number=number,
                    through=name,
                    in_hu=in_hu,
                )
        return unmarked(case_id, image, in_hu=in_hu)


def unmarked(case_id: str, image: Image, *, in_hu: bool = True) -> Sight:
    """Return a volume on which nothing was drawn; its labels take no memory."""
    labels: LabelMap = np.broadcast_to(np.int32(0), image.pixels.shape)
    return Sight(case_id=case_id, image=image, labels=labels, in_hu=in_hu)
