"""Where the axes of an array point in the patient, from the affine alone.

How the patient lay (prone, supine, feet first) and how the slices were cut are all in the
affine: no other attribute is asked.
"""

from dataclasses import dataclass
from itertools import permutations, product
from typing import TypeVar

import numpy as np
from jaxtyping import Float64

from breastseg.core.errors import GeometryError

Affine = Float64[np.ndarray, "4 4"]
Vector = Float64[np.ndarray, "3"]
_Scalar = TypeVar("_Scalar", bound=np.generic)

SHEAR_TOLERANCE = 2.5e-3
"""Cosine of two axes above which a grid is sheared: the sine of 0.15 degrees of gantry tilt."""
_LETTERS = (("R", "L"), ("A", "P"), ("F", "H"))
_ENDS = (("right", "left"), ("anterior", "posterior"), ("feet", "head"))
_SECOND_LETTER_FROM = np.sin(np.radians(15))


@dataclass(frozen=True, slots=True)
class Anatomy:
    """Which axis of an array runs along which axis of the patient.

    axes: the array axis nearest to left, posterior and head, in this order.
    signs: 1 where the index grows towards left, posterior and head; -1 where it falls.
    """

    axes: tuple[int, int, int]
    signs: tuple[int, int, int]

    def to_lps(self, array: np.ndarray) -> np.ndarray:
        """Return a view whose axes run to the head, posterior and left, in this order.

        Slice 0 is the lowest axial plane; within it rows run to posterior and columns to
        the patient's left, as a radiologist sees an axial picture.
        """
        left, posterior, head = self.axes
        view = np.transpose(array, (head, posterior, left))
        steps = (slice(None, None, self.signs[axis]) for axis in (2, 1, 0))
        return view[tuple(steps)]

    def affine_to_lps(self, affine: Affine, shape: tuple[int, ...]) -> Affine:
        """Return the affine of the view that to_lps returns of an array of this shape."""
        turned = affine.copy()
        for place, (axis, sign) in enumerate(zip(self.axes[::-1], self.signs[::-1], strict=True)):
            turned[:3, place] = sign * affine[:3, axis]
            if sign < 0:
                turned[:3, 3] += affine[:3, axis] * (shape[axis] - 1)
        return turned


def anatomy_of(affine: Affine) -> Anatomy:
    """Return which array axis is nearest to which patient axis.

    Args:
        affine: voxel index (slice, row, column) to LPS position in mm.

    >>> anatomy_of(np.diag([0.0, 0.0, 0.0, 1.0]) + np.eye(4)[[2, 1, 0, 3]] * [1, 1, 1, 0]).axes
    (2, 1, 0)
    """
    cosines = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    size = np.abs(cosines)
    axes = max(
        permutations(range(3)), key=lambda order: sum(size[i, axis] for i, axis in enumerate(order))
    )
    signs = [1 if cosines[i, axis] >= 0 else -1 for i, axis in enumerate(axes)]
    return Anatomy((axes[0], axes[1], axes[2]), (signs[0], signs[1], signs[2]))


def slices_in_words(affine: Affine, num_slices: int) -> str:
    """Say which way the slices of an array are cut and stored, from the affine alone.

    An oblique grid is called by the nearest plane. How the patient lay on the table is not in
    an affine, only how the array lies in the patient.

    >>> slices_in_words(np.eye(4)[[2, 1, 0, 3]], 20)
    'axial slices from feet to head; anterior is up and right at the left'
    """
    anatomy = anatomy_of(affine)
    patient_axes = [anatomy.axes.index(axis) for axis in range(3)]
    # Where the first and the last index of each axis of the array lie in the patient.
    ends = [_ENDS[patient][:: anatomy.signs[patient]] for patient in patient_axes]
    plane = ("sagittal", "coronal", "axial")[patient_axes[0]]
    slices = f"slices from {ends[0][0]} to {ends[0][1]}" if num_slices > 1 else "slice"
    return f"{plane} {slices}; {ends[1][0]} is up and {ends[2][0]} at the left"


def direction_letters(direction: Vector) -> str:
    """Return where a direction points, as DICOM writes it in PatientOrientation.

    Letters: R right, L left, A anterior, P posterior, H head, F feet; the strongest first, and
    a further one where the direction leaves the axis by more than 15 degrees.
    Source: DICOM PS3.3, C.7.6.1.1.1.

    >>> direction_letters(np.array([1.0, 0.0, 0.0])), direction_letters(np.array([0.0, -1.0, 1.0]))
    ('L', 'AH')
    """
    unit = direction / np.linalg.norm(direction)
    order = np.argsort(-np.abs(unit), kind="stable")
    return "".join(
        _LETTERS[axis][int(unit[axis] > 0)]
        for rank, axis in enumerate(order)
        if rank == 0 or abs(unit[axis]) > _SECOND_LETTER_FROM
    )


def farthest_mm(one: Affine, other: Affine, shape: tuple[int, ...]) -> float:
    """Return how far apart two affines place a voxel of an array at the most, in mm.

    >>> moved = np.eye(4)
    >>> moved[0, 0] += 0.5
    >>> farthest_mm(np.eye(4), moved, (11, 2, 2))
    5.0
    """
    corners = np.array([[*corner, 1] for corner in product(*((0, size - 1) for size in shape))])
    return float(np.linalg.norm((corners @ (one - other).T)[:, :3], axis=1).max())


def require_right_angles(affine: Affine) -> None:
    """Refuse a sheared grid: lengths within its planes and volumes would need a resampling.

    Raises:
        GeometryError: two axes of the array don't stand at right angles, or one has no length.
    """
    columns = affine[:3, :3]
    lengths = np.linalg.norm(columns, axis=0)
    if not np.isfinite(affine).all() or (lengths <= 0).any():
        raise GeometryError(
            "the affine must give each axis of the array a length in mm, got "
            f"{[round(float(length), 6) for length in lengths]}. Mend the header of the file."
        )
    cosines = (columns / lengths).T @ (columns / lengths) - np.eye(3)
    if np.abs(cosines).max() > SHEAR_TOLERANCE:
        raise GeometryError(
            "the axes of the array must stand at right angles, got a cosine of "
            f"{np.abs(cosines).max():.4f} between two. A gantry tilt is mended by resampling "
            "the series before it is measured."
        )
