import json

import numpy as np
import pytest

from breastseg.core.errors import GeometryError, InputError
from breastseg.core.lesion import Lesion, find_lesions, measure_planar_lesions


def lesions_of(rows, *, threshold=0.5, spacing_mm=None):
    """Lesions of a map drawn as text: digits are tenths, a dot is 0."""
    values = [[0 if mark == "." else int(mark) / 10 for mark in row] for row in rows]
    probability = np.array([values], np.float32)
    return find_lesions(probability, threshold=threshold, spacing_mm=spacing_mm)


def test_a_rectangle_of_3_by_4_measured_by_hand():
    _, (lesion,) = lesions_of(["......", ".9999.", ".9999.", ".9999."])
    assert lesion.area_px == 12
    assert lesion.bounding_box == (1, 1, 4, 5)
    assert lesion.probability == pytest.approx(0.9)
    assert lesion.long_axis_px == pytest.approx(5)
    assert lesion.short_axis_px == pytest.approx(2 * 3 * 4 / 5)
    assert (lesion.area_mm2, lesion.long_axis_mm, lesion.short_axis_mm) == (None, None, None)


def test_millimetres_of_pixels_that_are_not_square():
    _, (lesion,) = lesions_of(["99"] * 6, spacing_mm=(7.0, 0.5, 2.0))
    assert lesion.area_mm2 == pytest.approx(12)
    assert lesion.long_axis_mm == pytest.approx(5)
    assert lesion.short_axis_mm == pytest.approx(4.8)
    assert lesion.long_axis_px == pytest.approx(np.sqrt(6**2 + 2**2))
    assert lesion.short_axis_px == pytest.approx(2 * 6 * 2 / np.sqrt(40))


def test_one_pixel_has_the_diagonal_of_a_pixel():
    _, (lesion,) = lesions_of(["...", ".9.", "..."])
    assert lesion.area_px == 1
    assert lesion.long_axis_px == pytest.approx(np.sqrt(2))
    assert lesion.short_axis_px == pytest.approx(np.sqrt(2))


def test_pixels_that_touch_at_a_corner_are_one_lesion():
    _, (lesion,) = lesions_of(["9..", ".9.", "..9"])
    assert lesion.area_px == 3
    assert lesion.long_axis_px == pytest.approx(3 * np.sqrt(2))
    assert lesion.short_axis_px == pytest.approx(np.sqrt(2))


def test_a_hollow_of_the_outline_does_not_shorten_the_axes():
    _, (corner,) = lesions_of(["9999", "9...", "9..."])
    assert corner.area_px == 6
    assert corner.long_axis_px == pytest.approx(5)
    # From the long axis, (0, 4) to (3, 0), the pixel corners reach 12/5 up and 4/5 down.
    assert corner.short_axis_px == pytest.approx(12 / 5 + 4 / 5)


def test_axes_agree_with_all_pairs_of_corners():
    stream = np.random.default_rng(5)
    mask = stream.random((9, 7)) < 0.3
    mask[4, :] = mask[:, 3] = True
    _, lesions = find_lesions(
        mask[None].astype(np.float32), threshold=0.5, spacing_mm=(1.0, 0.7, 1.3)
    )
    lesion = lesions[0]
    labels, _ = find_lesions(mask[None].astype(np.float32), threshold=0.5, spacing_mm=None)
    pixels = np.argwhere(labels[0] == 1)
    corners = np.concatenate([np.add(pixels, (i, j)) for i in (0, 1) for j in (0, 1)]) * [0.7, 1.3]
    distances = np.linalg.norm(corners[:, None] - corners[None], axis=2)
    assert lesion.long_axis_mm == pytest.approx(distances.max())
    start, end = np.unravel_index(distances.argmax(), distances.shape)
    along = (corners[end] - corners[start]) / distances.max()
    across = corners @ [-along[1], along[0]]
    assert lesion.short_axis_mm == pytest.approx(across.max() - across.min())


def test_order_is_probability_then_area_then_place():
    labels, lesions = lesions_of(["7.8", "...", "77.", "...", "7.9"])
    assert [lesion.bounding_box for lesion in lesions] == [
        (4, 2, 5, 3),
        (0, 2, 1, 3),
        (2, 0, 3, 2),
        (0, 0, 1, 1),
        (4, 0, 5, 1),
    ]
    assert [lesion.number for lesion in lesions] == [1, 2, 3, 4, 5]
    assert labels.dtype == np.int32
    assert labels[0].tolist() == [[4, 0, 2], [0, 0, 0], [3, 3, 0], [0, 0, 0], [5, 0, 1]]


def test_the_threshold_itself_is_lesion_and_the_probability_is_the_largest():
    probability = np.array(
        [[[0.5, 0.75, np.nextafter(np.float32(0.5), np.float32(0))]]], np.float32
    )
    labels, (lesion,) = find_lesions(probability, threshold=0.5, spacing_mm=None)
    assert labels.tolist() == [[[1, 1, 0]]]
    assert lesion.probability == 0.75


def test_a_frame_around_another_lesion_is_kept_apart():
    labels, lesions = lesions_of(["99999", "9...9", "9.8.9", "9...9", "99999"])
    assert [lesion.area_px for lesion in lesions] == [16, 1]
    assert labels[0, 2, 2] == 2


def test_nothing_is_found_in_an_empty_map_and_one_lesion_in_a_full_one():
    labels, lesions = lesions_of(["...", "..."])
    assert lesions == ()
    assert not labels.any()
    _, (lesion,) = lesions_of(["999", "999"])
    assert (lesion.area_px, lesion.bounding_box) == (6, (0, 0, 2, 3))


def test_document_can_be_read_back_from_json():
    _, (lesion,) = lesions_of(["99."], spacing_mm=(1.0, 0.25, 0.25))
    document = json.loads(json.dumps(lesion.to_document()))
    assert document == {
        "number": 1,
        "probability": 0.9,
        "area_px": 2,
        "area_mm2": 0.125,
        "bounding_box": [0, 0, 1, 2],
        "long_axis_px": 2.2361,
        "long_axis_mm": 0.559,
        "short_axis_px": 1.7889,
        "short_axis_mm": 0.4472,
        "depth_to_width": None,
    }
    again = Lesion.from_document(document)
    assert again.bounding_box == (0, 0, 1, 2)
    assert again.to_document() == document


@pytest.mark.parametrize("threshold", [0, -0.1, 1.01, float("nan")])
def test_refuses_a_threshold_that_is_no_probability(threshold):
    with pytest.raises(InputError, match="above 0 and at most 1"):
        lesions_of(["9"], threshold=threshold)


def test_refuses_a_volume():
    with pytest.raises(GeometryError, match=r"\(1, rows, columns\), got \(3, 2, 2\)"):
        find_lesions(np.zeros((3, 2, 2), np.float32), threshold=0.5, spacing_mm=None)


def test_what_a_reader_drew_is_measured_label_by_label():
    labels = np.zeros((1, 8, 9), np.int32)
    labels[0, 1:5, 2:4] = 3  # 4 rows of 0.5 mm deep, 2 columns of 0.25 mm wide
    labels[0, 7, 4:9] = 1
    flat, tall = measure_planar_lesions(
        labels, spacing_mm=(1.0, 0.5, 0.25), rows_run_with_depth=True
    )
    assert (flat.number, tall.number) == (1, 3)
    assert tall.depth_to_width == pytest.approx(4.0)
    assert flat.depth_to_width == pytest.approx(0.5 / 1.25)
    assert tall.area_mm2 == pytest.approx(1.0)
    assert tall.long_axis_mm == pytest.approx(np.hypot(2, 0.5))
    assert tall.probability is None
    assert measure_planar_lesions(labels * 0, spacing_mm=None) == ()


def test_depth_to_width_is_not_guessed():
    labels = np.ones((1, 2, 2), np.int32)
    (unknown,) = measure_planar_lesions(labels, spacing_mm=None, rows_run_with_depth=True)
    (unsaid,) = measure_planar_lesions(labels, spacing_mm=(1.0, 0.5, 0.5))
    assert (unknown.depth_to_width, unsaid.depth_to_width) == (None, None)
    with pytest.raises(GeometryError, match=r"\(1, rows, columns\), got \(2, 2, 2\)"):
        measure_planar_lesions(np.ones((2, 2, 2), np.int32), spacing_mm=None)
