import numpy as np
import pytest

from breastseg.core.geometry import Grid, resample, resample_labels
from breastseg.core.image import Image


def test_the_same_box_in_other_voxels():
    grid = Grid(shape=(10, 20, 20), affine=np.diag([3.0, 1, 1, 1]))
    finer = grid.with_spacing((1.0, 1.0, 2.0))
    for each in (grid, finer):
        first = each.affine @ [-0.5, -0.5, -0.5, 1]
        last = each.affine @ [*(np.array(each.shape) - 0.5), 1]
        np.testing.assert_allclose([first[:3], last[:3]], [[-1.5, -0.5, -0.5], [28.5, 19.5, 19.5]])


def test_a_box_that_no_whole_number_of_voxels_fills_keeps_its_centre():
    grid = Grid(shape=(5, 7, 7), affine=np.diag([2.0, 1, 1, 1]))
    other = grid.with_spacing((3.0, 1.0, 1.0))
    assert other.shape == (3, 7, 7)
    middle = other.affine @ [*((np.array(other.shape) - 1) / 2), 1]
    np.testing.assert_allclose(middle[:3], [4, 3, 3])


def test_what_is_not_covered_is_said_to_be_outside():
    image = Image(pixels=np.ones((2, 2, 2), np.float32), affine=np.eye(4))
    beyond = Grid(shape=(2, 2, 3), affine=np.eye(4))
    assert resample(image, beyond, outside=-1000).pixels[0, 0].tolist() == [1, 1, -1000]
    labels = resample_labels(np.ones((2, 2, 2), np.int32), np.eye(4), beyond)
    assert labels[0, 0].tolist() == [1, 1, 0]


def test_half_way_between_two_voxels_is_their_mean():
    image = Image(pixels=np.arange(4, dtype=np.float32).reshape(1, 1, 4), affine=np.eye(4))
    moved = np.eye(4)
    moved[2, 3] = 0.5
    halves = resample(image, Grid(shape=(1, 1, 3), affine=moved), outside=0)
    assert halves.pixels.ravel() == pytest.approx([0.5, 1.5, 2.5])
    np.testing.assert_array_equal(halves.affine, moved)
