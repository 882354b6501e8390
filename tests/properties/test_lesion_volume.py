from itertools import product

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy.spatial.transform import Rotation

from breastseg.core.image import Image
from breastseg.core.lesion_volume import measure_lesions

MASKS = arrays.arrays(bool, st.tuples(*[st.integers(1, 4)] * 3)).filter(lambda mask: mask.any())
SPACINGS = st.tuples(*[st.sampled_from([0.5, 0.8, 1.0, 3.0])] * 3)
TURNS = st.tuples(*[st.floats(-0.5, 0.5)] * 3)


def corners_of(voxels):
    shifts = np.array(list(product((-0.5, 0.5), repeat=3)))
    return (voxels[:, None] + shifts).reshape(-1, 3)


def affine_with(spacing, turn):
    affine = np.eye(4)
    supine = np.array([[0, 0, 1], [0, 1, 0], [1, 0, 0]], float)
    affine[:3, :3] = Rotation.from_rotvec(turn).as_matrix() @ supine * spacing
    affine[:3, 3] = 7, -8, 9
    return affine


@settings(max_examples=40, deadline=None)
@given(mask=MASKS, spacing=SPACINGS, turn=TURNS)
def test_measures_agree_with_all_pairs_of_voxel_corners(mask, spacing, turn):
    affine = affine_with(spacing, turn)
    image = Image(pixels=np.zeros(mask.shape, np.float32), affine=affine)
    (lesion,) = measure_lesions(image, mask.astype(np.int32), in_hu=True)
    voxels = np.argwhere(mask)
    points = corners_of(voxels) @ affine[:3, :3].T
    distances = np.linalg.norm(points[:, None] - points, axis=2)
    np.testing.assert_allclose(lesion.diameter_3d_mm, distances.max(), rtol=1e-9)
    np.testing.assert_allclose(lesion.volume_mm3, mask.sum() * np.prod(spacing))
    centre = (voxels @ affine[:3, :3].T + affine[:3, 3]).mean(axis=0)
    np.testing.assert_allclose(lesion.centroid, centre)
    in_plane = []
    for plane in np.unique(voxels[:, 0]):
        flat = corners_of(voxels[voxels[:, 0] == plane])[:, 1:] * spacing[1:]
        in_plane.append(np.linalg.norm(flat[:, None] - flat, axis=2).max())
    np.testing.assert_allclose(lesion.long_axis_mm, max(in_plane), rtol=1e-9)
    np.testing.assert_allclose(
        np.linalg.norm(np.subtract(*lesion.long_axis_ends)), lesion.long_axis_mm
    )
    assert lesion.short_axis_mm <= lesion.long_axis_mm * (1 + 1e-9)
    assert lesion.width_3d_mm <= lesion.diameter_3d_mm * (1 + 1e-9)
