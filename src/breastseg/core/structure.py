"""What a reader or a program has drawn on a series: structures, and their masks on its grid."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from jaxtyping import Bool
from scipy import ndimage

from breastseg.core.errors import GeometryError
from breastseg.core.image import Image, LabelMap

Mask = Bool[np.ndarray, "slices rows columns"]

_ALL_NEIGHBOURS = np.ones((3, 3, 3), np.int32)


@dataclass(frozen=True, slots=True, kw_only=True)
class Structure:
    """One segment of a SEG, or one region of interest (ROI) of an RTSTRUCT.

    number: its SegmentNumber or ROINumber.
    name: its SegmentLabel or ROIName.
    kind: what it is, in the words of the file, such as "Mass" or "GTV"; None where not said.
    num_parts: how many frames or contours it has; None where only the pixels tell.
    is_closed: False where all its contours are points or open lines.
    is_abnormal: the file codes it as a morphologically abnormal structure, as a lesion is.
    """

    number: int
    name: str
    kind: str | None
    num_parts: int | None
    is_closed: bool = True
    is_abnormal: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class MaskFile:
    """What a SEG or RTSTRUCT says of itself; nothing in it names a patient.

    modality: "SEG" or "RTSTRUCT".
    type: how it stores its masks: "BINARY", "FRACTIONAL", "LABELMAP" or "CONTOURS".
    series_uids, instance_uids: the series and images that it refers to; may be empty.
    """

    path: Path
    modality: str
    type: str
    structures: tuple[Structure, ...]
    series_uids: tuple[str, ...]
    instance_uids: frozenset[str] = field(repr=False)
    frame_of_reference_uids: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class StructureMask:
    """A structure on the grid of a series; notes say what a user should know of it."""

    structure: Structure
    mask: Mask = field(repr=False)
    notes: tuple[str, ...] = ()

    def volume_mm3(self, image: Image) -> float | None:
        """Return its volume on the grid of its image; None where millimetres are not known."""
        if image.affine is None:
            return None
        voxel_mm3 = abs(float(np.linalg.det(image.affine[:3, :3])))
        return int(np.count_nonzero(self.mask)) * voxel_mm3


def lesions_of(masks: Sequence[StructureMask]) -> LabelMap:
    """Number the lesions: each connected part (26 neighbours) of each structure is one.

    Where structures overlap, the smaller part is kept whole. Structures that touch stay apart,
    since a reader has drawn them as two.

    Raises:
        GeometryError: there is no mask, or they are not of one shape.
    """
    shapes = {each.mask.shape for each in masks}
    if len(shapes) != 1:
        raise GeometryError(f"expected masks of one shape, got {sorted(shapes) or 'none'}.")
    parts: list[tuple[int, int, tuple[slice, ...], Mask]] = []
    for order, each in enumerate(masks):
        components, _ = ndimage.label(each.mask, structure=_ALL_NEIGHBOURS)
        for number, window in enumerate(ndimage.find_objects(components), start=1):
            inside = components[window] == number
            parts.append((int(inside.sum()), order, window, inside))
    parts.sort(key=lambda part: (-part[0], part[1]))
    labels: LabelMap = np.zeros(shapes.pop(), np.int32)
    for number, (_, _, window, inside) in enumerate(parts, start=1):
        labels[window][inside] = number
    return labels
