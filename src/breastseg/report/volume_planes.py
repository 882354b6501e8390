"""Planes of a volume as a radiologist sees them, whatever the orientation of the array.

Axial: the patient's right at the left of the picture, anterior up. Coronal: right at the left,
head up. Sagittal: anterior at the left, head up. All from the affine alone. A plane of an
oblique series is the plane of the array that is nearest; the letters at its edges say how
oblique it is.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float32

from breastseg.core.errors import GeometryError
from breastseg.core.image import Image, LabelMap
from breastseg.core.orientation import Anatomy, anatomy_of, direction_letters

PlaneName = Literal["axial", "coronal", "sagittal"]
PLANES: tuple[PlaneName, ...] = ("axial", "coronal", "sagittal")
Voxel = tuple[int, int, int]

Grey = Float32[np.ndarray, "rows columns"]
Mask = Bool[np.ndarray, "rows columns"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plane:
    """One plane, rows downwards and columns to the right of the picture.

    labels: of the lesions that it cuts.
    spacing_mm: of rows and of columns.
    letters: where the left, right, top and bottom edge of the picture lie in the patient.
    where: the position of the plane in words, such as "H 12 mm".
    """

    name: PlaneName
    pixels: Grey
    labels: np.ndarray
    spacing_mm: tuple[float, float]
    letters: tuple[str, str, str, str]
    where: str


@dataclass(frozen=True, slots=True)
class Viewer:
    """A volume turned so that its axes run to the head, posterior and to the left."""

    pixels: np.ndarray
    labels: np.ndarray
    spacing_mm: tuple[float, float, float]
    directions: tuple[np.ndarray, np.ndarray, np.ndarray]
    anatomy: Anatomy
    image: Image

    @classmethod
    def of(cls, image: Image, labels: LabelMap) -> "Viewer":
        """Turn a volume; no voxel is copied.

        Raises:
            GeometryError: the image has no affine.
        """
        if image.affine is None:
            raise GeometryError(
                "planes need the orientation of the volume; its affine is missing. Read it from "
                "a DICOM series or a NIfTI file."
            )
        anatomy = anatomy_of(image.affine)
        order = anatomy.axes[::-1]
        columns = [
            image.affine[:3, axis] * sign
            for axis, sign in zip(order, anatomy.signs[::-1], strict=True)
        ]
        lengths = [float(np.linalg.norm(column)) for column in columns]
        return cls(
            pixels=anatomy.to_lps(image.pixels),
            labels=anatomy.to_lps(labels),
            spacing_mm=(lengths[0], lengths[1], lengths[2]),
            directions=(columns[0], columns[1], columns[2]),
            anatomy=anatomy,
            image=image,
        )

    def plane(self, name: PlaneName, index: int) -> Plane:
        """Return a plane by its index from the feet, from anterior or from the right."""
        return self._made(name, self.pixels, self.labels, index)

    def projection(self, name: PlaneName) -> Plane:
        """Return the maximum intensity projection onto a plane, with the lesions' shadows."""
        axis = PLANES.index(name)
        pixels = self.pixels.max(axis=axis, keepdims=True)
        labels = self.labels.max(axis=axis, keepdims=True)
        return self._made(name, pixels, labels, None)

    def fullest(self, name: PlaneName, number: int) -> int:
        """Return the plane in which a lesion is largest, the middle one of equals."""
        axis = PLANES.index(name)
        others = tuple(other for other in range(3) if other != axis)
        sizes = np.asarray((self.labels == number).sum(axis=others))
        best = np.flatnonzero(sizes == sizes.max())
        return int(best[len(best) // 2])

    def middle(self, name: PlaneName) -> int:
        """Return the index of the middle plane."""
        return int(self.pixels.shape[PLANES.index(name)]) // 2

    def _made(
        self, name: PlaneName, pixels: np.ndarray, labels: np.ndarray, index: int | None
    ) -> Plane:
        axis = PLANES.index(name)
        head, posterior, left = self.directions
        right, down = {
            "axial": (left, posterior),
            "coronal": (left, -head),
            "sagittal": (posterior, -head),
        }[name]
        cut = np.take(pixels, 0 if index is None else index, axis=axis)
        cut_labels = np.take(labels, 0 if index is None else index, axis=axis)
        if name != "axial":
            cut, cut_labels = cut[::-1], cut_labels[::-1]
        rows, columns = (each for each in range(3) if each != axis)
        return Plane(
            name=name,
            pixels=np.ascontiguousarray(cut, np.float32),
            labels=np.ascontiguousarray(cut_labels),
            spacing_mm=(self.spacing_mm[rows], self.spacing_mm[columns]),
            letters=(
                direction_letters(-right),
                direction_letters(right),
                direction_letters(-down),
                direction_letters(down),
            ),
            where="maximum projection" if index is None else self._where(axis, index),
        )

    def _where(self, axis: int, index: int) -> str:
        """Return the patient coordinate of a plane's middle, as viewers write it."""
        middle = [size // 2 for size in self.pixels.shape]
        middle[axis] = index
        assert self.image.affine is not None
        position = self.image.affine @ [*self._voxel(tuple(middle)), 1]
        coordinate = float(position[2 - axis])
        letter = (("F", "H"), ("A", "P"), ("R", "L"))[axis][coordinate >= 0]
        return f"{letter} {abs(coordinate):.1f} mm"

    def _voxel(self, turned: tuple[int, ...]) -> list[int]:
        """Return the index in the array as stored."""
        voxel = [0, 0, 0]
        for place, axis, sign in zip(
            turned, self.anatomy.axes[::-1], self.anatomy.signs[::-1], strict=True
        ):
            size = self.image.pixels.shape[axis]
            voxel[axis] = place if sign > 0 else size - 1 - place
        return voxel
