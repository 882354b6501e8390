import numpy as np
import pytest

from breastseg.core.image import Image
from breastseg.core.lesion_volume import measure_lesions
from breastseg.report.overlays import MODEL_COLOUR, READER_COLOUR
from breastseg.report.volume_planes import Viewer
from breastseg.report.volume_views import (
    BONE,
    LUNG,
    SOFT_TISSUE,
    Style,
    lesion_picture,
    middle_picture,
    projection_picture,
    survey_picture,
)
from tests.made_series import affine_of

ORIENTATIONS = {
    "supine, head first": ((0, 0, 1), (0, 1, 0), (1, 0, 0)),
    "prone": ((0, 0, 1), (0, -1, 0), (-1, 0, 0)),
    "feet first": ((0, 0, -1), (0, 1, 0), (-1, 0, 0)),
    "coronal": ((0, 1, 0), (0, 0, -1), (1, 0, 0)),
    "sagittal": ((1, 0, 0), (0, 0, -1), (0, 1, 0)),
}
SIZE = 11


def volume_with(directions, mark_lps):
    """Return a cube of 11 mm whose one bright voxel lies that many mm from the middle, in LPS."""
    affine = affine_of(spacing_mm=(1, 1, 1), directions=directions, origin=(0, 0, 0))
    affine[:3, 3] = -affine[:3, :3] @ np.full(3, SIZE // 2)
    index = np.rint(np.linalg.solve(affine, [*mark_lps, 1]))[:3].astype(int)
    pixels = np.full((SIZE, SIZE, SIZE), -1000, np.float32)
    pixels[tuple(index)] = 1000
    labels = np.zeros(pixels.shape, np.int32)
    labels[tuple(index)] = 1
    return Image(pixels=pixels, affine=affine), labels


@pytest.mark.parametrize("name", ORIENTATIONS)
def test_the_radiological_convention_however_the_patient_lay(name):
    """A mark 2 mm to the right, 3 mm anterior and 4 mm towards the head of the middle."""
    image, labels = volume_with(ORIENTATIONS[name], (-2, -3, 4))
    viewer = Viewer.of(image, labels)
    middle = SIZE // 2
    expected = {
        "axial": (middle - 3, middle - 2),  # anterior up, right at the left
        "coronal": (middle - 4, middle - 2),  # head up, right at the left
        "sagittal": (middle - 4, middle - 3),  # head up, anterior at the left
    }
    letters = {
        "axial": ("R", "L", "A", "P"),
        "coronal": ("R", "L", "H", "F"),
        "sagittal": ("A", "P", "H", "F"),
    }
    where = {"axial": "H 4.0 mm", "coronal": "A 3.0 mm", "sagittal": "R 2.0 mm"}
    for plane_name, place in expected.items():
        plane = viewer.plane(plane_name, viewer.fullest(plane_name, 1))
        assert np.argwhere(plane.pixels == 1000).tolist() == [list(place)], plane_name
        assert np.argwhere(plane.labels == 1).tolist() == [list(place)]
        assert plane.letters == letters[plane_name]
        assert plane.where == where[plane_name]
        shadow = viewer.projection(plane_name)
        assert np.argwhere(shadow.pixels == 1000).tolist() == [list(place)]


def test_letters_of_an_oblique_series_say_so():
    turned = ((0, -0.5, 0.866), (0, 0.866, 0.5), (1, 0, 0))
    image, labels = volume_with(turned, (0, 0, 0))
    assert Viewer.of(image, labels).plane("axial", 0).letters == ("R", "L", "AF", "PH")


def made(spacing_mm, shape=(10, 40, 40)):
    pixels = np.full(shape, 0, np.float32)
    labels = np.zeros(shape, np.int32)
    labels[3:6, 10:20, 22:30] = 1
    image = Image(pixels=pixels, affine=affine_of(spacing_mm=spacing_mm))
    (lesion,) = measure_lesions(image, labels, in_hu=True)
    return Viewer.of(image, labels), lesion


def test_millimetres_have_the_same_length_in_all_directions():
    viewer, _ = made((5.0, 1.0, 1.0))
    picture = middle_picture(viewer, Style(True))
    # The coronal panel is 40 mm wide and 50 mm high, the axial one 40 by 40 mm.
    assert picture.shape[1] == pytest.approx((40 + 40 + 40) * 384 / 50 + 12, abs=3)
    assert picture.shape[0] == pytest.approx(384 + 6 + 28, abs=3)


@pytest.mark.parametrize(("by_model", "colour"), [(True, MODEL_COLOUR), (False, READER_COLOUR)])
def test_a_lesion_is_outlined_in_all_six_panels(by_model, colour):
    viewer, lesion = made((2.0, 1.0, 1.0))
    picture = lesion_picture(viewer, lesion, Style(by_model))
    painted = (picture == np.array(colour)).all(axis=-1)[:-28]
    rows, columns = picture.shape[0] - 34, picture.shape[1]
    for row in range(2):
        for column in range(3):
            panel = painted[
                row * rows // 2 : (row + 1) * rows // 2,
                column * columns // 3 : (column + 1) * columns // 3,
            ]
            assert panel.sum() > 50, (row, column)


def test_windows_are_black_below_and_white_above():
    hu = np.array([[-2000.0, 40.0, 3000.0]])
    assert SOFT_TISSUE.grey(hu).tolist() == [[0, 128, 255]]
    assert LUNG.grey(np.array([[-1350.0, 150.0]])).tolist() == [[0, 255]]
    assert BONE.grey(np.array([[-500.0, 1300.0]])).tolist() == [[0, 255]]


def test_a_volume_of_one_slice_and_one_without_a_lesion_are_drawn():
    affine = affine_of(spacing_mm=(5.0, 0.5, 0.5))
    image = Image(pixels=np.zeros((1, 30, 20), np.float32), affine=affine)
    labels = np.zeros((1, 30, 20), np.int32)
    assert middle_picture(Viewer.of(image, labels), Style(True)).ndim == 3
    labels[0, 29, 19] = 1
    viewer = Viewer.of(image, labels)
    (lesion,) = measure_lesions(image, labels, in_hu=True)
    assert lesion_picture(viewer, lesion, Style(True)).ndim == 3
    assert projection_picture(viewer, Style(True)).ndim == 3


def outlined(picture):
    """Return the columns with the colour of what a reader drew, without the strip below."""
    return np.flatnonzero((picture == np.array(READER_COLOUR)).all(axis=-1)[:-28].any(axis=0))


def test_a_survey_goes_through_the_structure_that_is_named():
    labels = np.zeros((10, 40, 40), np.int32)
    labels[1:3, 4:12, 4:12] = 3
    image = Image(pixels=np.zeros(labels.shape, np.float32), affine=affine_of())
    viewer = Viewer.of(image, labels)
    assert outlined(survey_picture(viewer, 3, SOFT_TISSUE)).size > 50
    assert not outlined(survey_picture(viewer, None, SOFT_TISSUE)).size


def test_a_survey_piles_low_planes_beside_the_axial_one():
    low = survey_picture(made((1.0, 1.0, 1.0))[0], None, SOFT_TISSUE)
    # Axial 40 by 40 mm; beside it coronal and sagittal, 10 mm high and 40 wide.
    assert low.shape[:2] == (576 + 6 + 28, 2 * 576 + 6)
    high = survey_picture(made((5.0, 1.0, 1.0))[0], None, SOFT_TISSUE)
    assert high.shape[1] == pytest.approx((40 + 40 + 40) * 384 / 50 + 12, abs=3)


def test_a_survey_of_one_slice_shows_that_slice_alone():
    affine = affine_of(spacing_mm=(5.0, 0.5, 0.5))
    image = Image(pixels=np.zeros((1, 30, 20), np.float32), affine=affine)
    labels = np.broadcast_to(np.int32(0), image.pixels.shape)
    picture = survey_picture(Viewer.of(image, labels), None, SOFT_TISSUE)
    assert picture.shape[0] == 576 + 6 + 28
    assert not outlined(picture).size
