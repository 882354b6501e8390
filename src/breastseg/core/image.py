"""The nouns of the field as immutable values. Arrays are (slice, row, column)."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int32

from breastseg.core.errors import GeometryError

Pixels = Float32[np.ndarray, "slices rows columns"]
LabelMap = Int32[np.ndarray, "slices rows columns"]


class Area(NamedTuple):
    """A rectangle of a picture: its first row and column, and those behind its last."""

    top: int
    bottom: int
    left: int
    right: int

    @property
    def slices(self) -> tuple[slice, slice]:
        """Its rows and columns, to index a picture with."""
        return slice(self.top, self.bottom), slice(self.left, self.right)

    @property
    def shape(self) -> tuple[int, int]:
        """Its number of rows and columns."""
        return self.bottom - self.top, self.right - self.left

    def in_words(self) -> str:
        """Say that only here lesions are looked for."""
        return (
            f"Rows {self.top} to {self.bottom - 1} and columns {self.left} to {self.right - 1} "
            "are the scan; the screen around it is not searched."
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """One scalar image.

    pixels: intensities, axes (slice, row, column); a 2D image has one slice. The unit is
        arbitrary for ultrasound.
    affine: voxel index (slice, row, column) to patient LPS position in mm; None where the
        file says nothing about millimetres. It is never guessed. Ultrasound has no place in the
        patient: its affine maps to millimetres in the picture.
    scan_area: the part of a picture of a screen that is the scan, where the file says so; None
        where it is all of it. Only there lesions are looked for.
    drawn: where an otherwise grey picture is coloured, by text, calipers or Doppler; None where
        nowhere. What lies under it is not known, and networks are shown their surroundings there.
    """

    pixels: Pixels
    affine: Float64[np.ndarray, "4 4"] | None = None
    scan_area: Area | None = None
    drawn: Bool[np.ndarray, "slices rows columns"] | None = None

    @property
    def spacing_mm(self) -> tuple[float, float, float] | None:
        """Distance between voxel centres along (slice, row, column) in mm, if known."""
        if self.affine is None:
            return None
        along_slice, along_row, along_column = np.linalg.norm(self.affine[:3, :3], axis=0)
        return float(along_slice), float(along_row), float(along_column)

    def in_words(self) -> tuple[str, ...]:
        """Say what of the image is not searched as it is; nothing where all of it is."""
        told = [] if self.scan_area is None else [self.scan_area.in_words()]
        if self.drawn is not None:
            told.append(
                f"{self.drawn.mean():.1%} of the picture is drawn over in colour, as by calipers, "
                "text or Doppler; the model is shown the grey around it there."
            )
        return tuple(told)


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One image to segment, with what a reader has drawn on it, if anything.

    reference: label map of the image's shape: 0 is background, each lesion has a label of
        its own; all zeros says that a reader found no lesion. None says that nobody looked.
    """

    case_id: str
    image: Image
    reference: LabelMap | None = None

    def __post_init__(self) -> None:
        if self.reference is not None and self.reference.shape != self.image.pixels.shape:
            raise GeometryError(
                f"case '{self.case_id}': the reference mask must have the image's shape "
                f"{self.image.pixels.shape[1:]} (rows, columns), got {self.reference.shape[1:]}. "
                "Export the mask again on the grid of its image."
            )
