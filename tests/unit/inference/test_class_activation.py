"""The map of malignancy: what adds up to what, and where it lies in the image."""

import numpy as np
import pytest

from breastseg.inference.class_activation import OTHERS, MalignancyMap
from breastseg.pipeline.preprocess import Letterbox

THREE = ("normal", "benign", "malignant")
BIAS = np.array([0.5, 0.25, -1.0])


def made(class_map, names=THREE, *, shape=(64, 64), stride=16, temperature=1.0, bias=BIAS):
    class_map = np.asarray(class_map, np.float32)
    return MalignancyMap.of(
        class_map,
        class_map.mean(axis=(1, 2)) + bias[: len(names)],
        names,
        temperature=temperature,
        letterbox=Letterbox.fit(shape, 64),
        stride=(stride, stride),
    )


def noise(classes=3, places=4):
    return np.random.default_rng(0).normal(size=(classes, places, places))


@pytest.mark.parametrize(
    ("names", "against", "contrast"),
    [
        (THREE, "benign", [0, -1, 1]),
        (("malignant", "benign"), "benign", [1, -1]),
        (("malignant", "normal", "cyst"), OTHERS, [1, -0.5, -0.5]),
    ],
)
def test_places_and_bias_add_up_to_a_difference_of_logits(names, against, contrast):
    class_map = noise(len(names))
    found = made(class_map, names, temperature=2.0)
    logits = class_map.mean(axis=(1, 2)) + BIAS[: len(names)]
    assert found.against == against
    assert found.score == pytest.approx(contrast @ logits / 2, abs=1e-6)
    assert found.bias == pytest.approx(contrast @ BIAS[: len(names)] / 2, abs=1e-6)
    assert found.places.sum() + found.bias == pytest.approx(found.score, abs=1e-6)


def test_a_network_that_tells_nothing_of_malignant_has_no_map():
    assert made(noise(2), ("benign", "normal")) is None
    assert MalignancyMap.mean([None, None]) is None


def test_the_map_of_an_ensemble_is_the_mean():
    one, other = made(noise()), made(2 * noise())
    both = MalignancyMap.mean([one, other])
    np.testing.assert_allclose(both.places, 1.5 * one.places, rtol=1e-5)
    assert both.score == pytest.approx((one.score + other.score) / 2)
    assert both.places.sum() + both.bias == pytest.approx(both.score, abs=1e-6)
    assert MalignancyMap.mean([one]) is one


def one_place(row, column):
    class_map = np.zeros((3, 4, 4))
    class_map[2, row, column] = 16
    return class_map


@pytest.mark.parametrize(
    ("shape", "place", "centre"),
    [
        ((64, 64), (1, 2), (24, 40)),
        ((32, 128), (1, 2), (0, 80)),  # the place reaches from above the image into it
        ((128, 64), (2, 1), (80, 16)),
        ((100, 100), (3, 0), (87.5, 12.5)),
    ],
)
def test_a_place_lies_where_it_does_in_the_image(shape, place, centre):
    on_image = made(one_place(*place), shape=shape).on_image()
    assert on_image.shape == shape
    assert on_image.dtype == np.float32
    assert on_image.min() >= 0
    highest = np.argwhere(on_image > 0.97 * on_image.max()).mean(axis=0) + 0.5
    assert highest[1] == pytest.approx(centre[1], abs=13 if place[1] in (0, 3) else 2)
    if shape != (32, 128):
        assert highest[0] == pytest.approx(centre[0], abs=13 if place[0] in (0, 3) else 2)


def test_what_comes_from_beyond_the_edges_is_told():
    square = made(one_place(0, 0))
    assert not square.has_margin
    assert square.margin == pytest.approx(0, abs=1e-6)
    # 32 of 64 rows hold the image: the first 16 and the last are margin, places of 16 whole.
    above, inside = (made(one_place(row, 0), shape=(32, 64)) for row in (0, 1))
    assert above.has_margin
    assert above.margin == pytest.approx(above.places.sum())
    assert inside.margin == pytest.approx(0, abs=1e-6)
    # 24 of 64 rows: the second place is half inside.
    half = made(one_place(1, 0), shape=(24, 64))
    assert half.margin == pytest.approx(half.places.sum() * 0.25)


def test_places_beyond_a_size_that_is_no_multiple_of_the_stride_are_margin():
    found = made(np.ones((3, 4, 4)) * [[[0]], [[0]], [[1]]], stride=20)
    assert found.has_margin  # 4 places of 20 for 64 pixels
    assert found.margin == pytest.approx(1 - (64 / 80) ** 2)
    np.testing.assert_allclose(found.on_image(), 1 / 16, rtol=1e-5)


def test_the_side_of_a_place_is_told_in_pixels_of_the_image():
    assert made(noise(), shape=(128, 96)).pixels_per_place == 32


def test_the_document_has_four_digits_that_add_up():
    document = made(noise()).to_document()
    assert document.keys() == {"against", "score", "bias", "margin"}
    assert document["bias"] == -1.25
