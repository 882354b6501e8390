"""Structures as lesions."""

import numpy as np
import pytest

from breastseg.core.errors import GeometryError
from breastseg.core.image import Image
from breastseg.core.structure import Structure, StructureMask, lesions_of


def drawn(*boxes: tuple[slice, slice, slice], shape: tuple[int, ...] = (4, 8, 8)) -> StructureMask:
    mask = np.zeros(shape, bool)
    for box in boxes:
        mask[box] = True
    return StructureMask(
        structure=Structure(number=1, name="a", kind=None, num_parts=None), mask=mask
    )


def box(
    slices: tuple[int, int], rows: tuple[int, int], columns: tuple[int, int]
) -> tuple[slice, slice, slice]:
    return slice(*slices), slice(*rows), slice(*columns)


def test_connected_parts_are_lesions_the_largest_first() -> None:
    labels = lesions_of([drawn(box((0, 1), (0, 2), (0, 2)), box((0, 2), (4, 8), (4, 8)))])
    assert np.bincount(labels.ravel())[1:].tolist() == [32, 4]


def test_parts_that_touch_at_a_corner_are_one() -> None:
    labels = lesions_of([drawn(box((0, 1), (0, 2), (0, 2)), box((1, 2), (2, 4), (2, 4)))])
    assert labels.max() == 1


def test_structures_that_touch_stay_apart() -> None:
    labels = lesions_of([drawn(box((0, 1), (0, 2), (0, 4))), drawn(box((0, 1), (2, 4), (0, 4)))])
    assert np.bincount(labels.ravel())[1:].tolist() == [8, 8]


def test_where_structures_overlap_the_smaller_is_whole() -> None:
    labels = lesions_of([drawn(box((0, 1), (1, 3), (1, 3))), drawn(box((0, 1), (0, 4), (0, 4)))])
    assert np.bincount(labels.ravel())[1:].tolist() == [12, 4]


def test_masks_of_two_shapes_are_refused() -> None:
    for masks in ([], [drawn(), drawn(shape=(1, 2, 3))]):
        with pytest.raises(GeometryError, match="one shape"):
            lesions_of(masks)


def test_a_volume_is_voxels_times_their_size_on_an_oblique_grid_too() -> None:
    mask = drawn(box((0, 1), (0, 2), (0, 2)))
    image = Image(pixels=np.zeros((4, 8, 8), np.float32))
    assert mask.volume_mm3(image) is None
    affine = np.eye(4)
    affine[:3, :3] = [[0, 0, 0.7], [0.8, 0, 0], [0, -3, 0]]
    assert mask.volume_mm3(Image(pixels=image.pixels, affine=affine)) == pytest.approx(4 * 1.68)
