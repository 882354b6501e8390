import json

import numpy as np
import pytest

from breastseg.core.errors import GeometryError
from breastseg.core.image import Image
from breastseg.core.lesion_volume import measure_lesions, surface_area
from tests.made_series import affine_of

SUPINE = ((0, 0, 1), (0, 1, 0), (1, 0, 0))
CORONAL = ((0, 1, 0), (0, 0, -1), (1, 0, 0))


def measured(mask, affine, *, pixels=None):
    pixels = np.zeros(mask.shape, np.float32) if pixels is None else pixels.astype(np.float32)
    image = Image(pixels=pixels, affine=affine)
    return measure_lesions(image, mask.astype(np.int32), in_hu=True)


def test_a_box_measured_by_hand():
    mask = np.zeros((5, 9, 9), bool)
    mask[1:3, 2:8, 1:5] = True  # 2 slices of 2 mm, 6 rows of 0.5 mm, 4 columns of 1 mm
    pixels = np.full(mask.shape, 500.0)
    pixels[1, 2:8, 1:5], pixels[2, 2:8, 1:5] = 10, 30
    (lesion,) = measured(mask, affine_of(spacing_mm=(2, 0.5, 1)), pixels=pixels)
    assert lesion.num_voxels == 48
    assert lesion.volume_mm3 == pytest.approx(48)
    assert lesion.long_axis_mm == pytest.approx(5)  # 3 by 4 mm in the axial plane
    assert lesion.short_axis_mm == pytest.approx(2 * 3 * 4 / 5)
    assert lesion.diameter_3d_mm == pytest.approx(np.sqrt(3**2 + 4**2 + 4**2))
    assert (lesion.mean_hu, lesion.sd_hu) == (20, 10)
    assert lesion.bounding_box == (1, 2, 1, 3, 8, 5)
    # The middle of the box: slice 1.5, row 4.5, column 2.5 from the origin (-10, 20, -300).
    assert lesion.centroid == pytest.approx((-10 + 2.5, 20 + 4.5 * 0.5, -300 + 1.5 * 2))
    ends = np.array(lesion.long_axis_ends)
    assert np.linalg.norm(ends[0] - ends[1]) == pytest.approx(5)
    assert ends[0][2] == ends[1][2]


def test_the_axial_axes_are_those_of_the_plane_where_the_long_one_is_longest():
    mask = np.zeros((3, 12, 12), bool)
    mask[0, 2:4, 2:10] = True
    mask[1, 2:11, 2:4] = True  # longer by one pixel
    (lesion,) = measured(mask, affine_of(spacing_mm=(5, 1, 1)))
    assert lesion.long_axis_mm == pytest.approx(np.hypot(9, 2))
    assert lesion.short_axis_mm == pytest.approx(2 * 9 * 2 / np.hypot(9, 2))
    assert {end[2] for end in lesion.long_axis_ends} == {-295.0}


def test_a_coronal_series_gives_the_measures_of_the_axial_one():
    stream = np.random.default_rng(3)
    axial = stream.random((6, 7, 8)) < 0.4
    pixels = stream.normal(0, 50, axial.shape)
    (first,) = measured(axial, affine_of(spacing_mm=(2, 0.5, 0.75)), pixels=pixels)
    coronal = axial.transpose(1, 0, 2)[:, ::-1]
    affine = affine_of(
        spacing_mm=(0.5, 2, 0.75), directions=CORONAL, origin=(-10, 20, -300 + 5 * 2)
    )
    (second,) = measured(coronal, affine, pixels=pixels.transpose(1, 0, 2)[:, ::-1])
    for name in ("volume_mm3", "long_axis_mm", "short_axis_mm", "diameter_3d_mm", "width_3d_mm"):
        assert getattr(second, name) == pytest.approx(getattr(first, name)), name
    assert second.surface_mm2 == pytest.approx(first.surface_mm2)
    assert second.mean_hu == pytest.approx(first.mean_hu)
    assert second.centroid == pytest.approx(first.centroid)


@pytest.mark.parametrize(
    ("spacing", "radius", "tolerance"),
    [((1, 1, 1), 10, 0.01), ((2, 0.8, 0.8), 10, 0.02), ((5, 0.8, 0.8), 20, 0.02)],
)
def test_the_surface_of_a_sphere(spacing, radius, tolerance):
    sizes = [int(radius / step) + 2 for step in spacing]
    axes = [np.arange(-n, n + 1) * step + 0.2 for n, step in zip(sizes, spacing, strict=True)]
    squares = [each**2 for each in np.meshgrid(*axes, indexing="ij")]
    area = surface_area(sum(squares) <= radius**2, np.diag(spacing).astype(float))
    assert area == pytest.approx(4 * np.pi * radius**2, rel=tolerance)


def test_a_label_that_is_absent_is_no_lesion_and_numbers_are_kept():
    labels = np.zeros((1, 3, 5), np.int32)
    labels[0, 0, 0], labels[0, 2, 4] = 2, 7
    image = Image(pixels=np.zeros(labels.shape, np.float32), affine=affine_of())
    lesions = measure_lesions(image, labels, in_hu=False)
    assert [lesion.number for lesion in lesions] == [2, 7]
    assert lesions[0].mean_hu is None
    assert measure_lesions(image, labels * 0, in_hu=True) == ()


def test_the_probability_of_a_lesion_is_its_largest():
    labels = np.ones((1, 2, 2), np.int32)
    image = Image(pixels=np.zeros(labels.shape, np.float32), affine=affine_of())
    probability = np.array([[[0.5, 0.75], [0.25, 0.5]]])
    (lesion,) = measure_lesions(image, labels, in_hu=True, probability=probability)
    assert lesion.probability == 0.75


def test_the_document_is_json_of_plain_numbers():
    mask = np.zeros((2, 3, 3), bool)
    mask[0, 1, 1] = True
    (lesion,) = measured(mask, affine_of(directions=SUPINE))
    document = json.loads(json.dumps(lesion.to_document()))
    assert document["bounding_box"] == [0, 1, 1, 1, 2, 2]
    assert document["volume_mm3"] == 0.75
    assert document["centroid"] == [-9.25, 20.5, -300]
    assert len(document["long_axis_ends"]) == 2


def test_refuses_what_has_no_place_or_another_shape():
    labels = np.ones((2, 2, 2), np.int32)
    pixels = np.zeros((2, 2, 2), np.float32)
    with pytest.raises(GeometryError, match="affine is missing"):
        measure_lesions(Image(pixels=pixels), labels, in_hu=True)
    with pytest.raises(GeometryError, match=r"shape \(2, 2, 2\).*got \(1, 2, 2\)"):
        measure_lesions(Image(pixels=pixels, affine=affine_of()), labels[:1], in_hu=True)
