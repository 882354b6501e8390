from dataclasses import replace

import numpy as np
import pytest
from scipy.special import expit

from breastseg.core.errors import GeometryError, InputError, WeightsError
from breastseg.core.image import Image
from breastseg.core.network_recipe import UNetSpec
from breastseg.core.recipe import Preprocessing, Recipe
from breastseg.inference.segment import Segmenter
from breastseg.networks.output import NetworkOutput
from breastseg.networks.spec import initial_weights

RECIPE = Recipe(
    network=UNetSpec(channels=(4, 8), convolutions=1), preprocessing=Preprocessing(size=32)
)


class FakeRuntime:
    """Takes the image for its logits, times a factor; of classes it says what it is told to."""

    def __init__(self, factor=4.0, class_logits=None, class_map=None):
        self.factor, self.class_logits, self.class_map = factor, class_logits, class_map
        self.shapes = []

    def logits(self, images):
        return self.predict(images).logits

    def predict(self, images):
        self.shapes.append(images.shape)
        told = self.class_logits
        classes = None if told is None else np.array([told], np.float32)
        of_classes = None if self.class_map is None else np.array([self.class_map], np.float32)
        return NetworkOutput(images * np.float32(self.factor), classes, of_classes)


def image_of(pixels, affine=None):
    return Image(pixels=np.asarray(pixels, np.float32)[None], affine=affine)


def disc(rows, columns, centre, radius):
    grid = np.indices((rows, columns)) - np.reshape(centre, (2, 1, 1))
    return np.where((grid**2).sum(axis=0) <= radius**2, 200.0, 20.0)


def test_a_bright_disc_is_found_on_its_own_grid():
    affine = np.diag([1.0, 0.1, 0.1, 1.0])
    image = image_of(disc(60, 90, (20, 65), 12), affine)
    runtime = FakeRuntime()
    prediction = Segmenter(RECIPE, runtime).predict("disc", image)
    assert runtime.shapes == [(1, 1, 32, 32)]
    assert prediction.probability.shape == prediction.labels.shape == (1, 60, 90)
    (lesion,) = prediction.lesions
    row_start, column_start, row_stop, column_stop = lesion.bounding_box
    assert (row_start + row_stop) / 2 == pytest.approx(20.5, abs=2)
    assert (column_start + column_stop) / 2 == pytest.approx(65.5, abs=2)
    assert lesion.long_axis_mm == pytest.approx(2.5, abs=0.5)
    np.testing.assert_array_equal(prediction.mask, prediction.labels == 1)
    inside = prediction.probability[prediction.mask]
    assert inside.min() >= prediction.threshold == 0.5
    assert lesion.probability == inside.max() <= 1


@pytest.mark.parametrize("shape", [(5, 5), (1, 1), (3, 2000), (700, 2), (31, 33)])
def test_images_of_any_shape_give_a_defined_result(shape):
    pixels = np.random.default_rng(0).integers(0, 255, shape)
    probability = Segmenter.open(RECIPE, initial_weights(RECIPE.network, 0), threads=1).probability(
        image_of(pixels)
    )
    assert probability.shape == (1, *shape)
    assert probability.dtype == np.float32
    assert np.isfinite(probability).all()
    assert probability.min() >= 0
    assert probability.max() <= 1


def test_a_constant_image_is_the_image_of_zeros_for_the_network():
    segmenter = Segmenter(RECIPE, FakeRuntime())
    for value in (0, 255, 65535):
        np.testing.assert_array_equal(segmenter.probability(image_of(np.full((9, 9), value))), 0.5)


@pytest.mark.filterwarnings("error")
def test_the_sigmoid_holds_for_huge_logits():
    pixels = disc(32, 32, (16, 16), 5)
    probability = Segmenter(RECIPE, FakeRuntime(1e6)).probability(image_of(pixels))
    assert probability[0, 16, 16] == 1
    assert probability[0, 0, 0] == 0


def test_logits_that_are_not_finite_are_an_error():
    with pytest.raises(WeightsError, match="logits must be finite"):
        Segmenter(RECIPE, FakeRuntime(np.inf)).probability(image_of(disc(32, 32, (16, 16), 5)))


@pytest.mark.parametrize("shape", [(2, 8, 8), (1, 0, 8), (8, 8)])
def test_refuses_what_is_no_2d_image(shape):
    image = Image(pixels=np.zeros(shape, np.float32))
    with pytest.raises(GeometryError, match=r"\(1, rows, columns\)"):
        Segmenter(RECIPE, FakeRuntime()).predict("case", image)


def test_refuses_a_threshold_out_of_range():
    with pytest.raises(InputError, match="threshold"):
        Segmenter(RECIPE, FakeRuntime()).predict("case", image_of(np.ones((4, 4))), threshold=50)


def noisy_disc(rows, columns):
    noise = np.random.default_rng(0).normal(0, 60, (rows, columns))
    return image_of(disc(rows, columns, (rows // 3, columns // 2), min(rows, columns) // 4) + noise)


@pytest.mark.parametrize("shape", [(60, 90), (20, 17), (32, 32), (1, 1)])
@pytest.mark.parametrize("temperature", [0.3, 1.7, 15])
def test_a_temperature_leaves_the_mask_at_a_half_as_it_was(shape, temperature):
    image = noisy_disc(*shape)
    plain = Segmenter(RECIPE, FakeRuntime(8)).probability(image)
    calibrated = Segmenter(RECIPE, FakeRuntime(8), temperature).probability(image)
    np.testing.assert_array_equal(calibrated >= 0.5, plain >= 0.5)
    assert calibrated.shape == plain.shape
    assert calibrated.dtype == np.float32
    if temperature > 1:
        assert (np.abs(calibrated - 0.5) <= np.abs(plain - 0.5) + 1e-6).all()


@pytest.mark.parametrize("shape", [(60, 90), (20, 17)])
def test_the_logits_are_those_of_the_probability_on_the_grid_of_the_image(shape):
    image = noisy_disc(*shape)
    segmenter = Segmenter(RECIPE, FakeRuntime(3))
    logits, probability = segmenter.logits(image), segmenter.probability(image)
    assert logits.dtype == np.float32
    np.testing.assert_allclose(expit(logits), probability, atol=1e-6)
    np.testing.assert_array_equal(logits >= 0, probability >= 0.5)


def test_logits_tell_apart_what_probabilities_no_longer_do():
    ramp = image_of(np.tile(np.arange(32.0), (32, 1)))
    bright, brighter = Segmenter(RECIPE, FakeRuntime(30)).logits(ramp)[0, 0, 30:]
    assert 16.7 < bright < brighter < 60
    assert Segmenter(RECIPE, FakeRuntime(30)).probability(ramp)[0, 0, 30] == 1
    probability = Segmenter(RECIPE, FakeRuntime(30), 10.0).probability(ramp)[0, 0, 30:]
    assert probability[0] < probability[1] < 1


@pytest.mark.filterwarnings("error")
def test_logits_are_finite_for_a_network_that_is_certain():
    logits = Segmenter(RECIPE, FakeRuntime(1e6)).logits(image_of(disc(32, 32, (16, 16), 5)))
    assert np.isfinite(logits).all()
    assert logits[0, 16, 16] > 80
    assert logits[0, 0, 0] < -80


def test_refuses_a_temperature_that_logits_cannot_be_divided_by():
    with pytest.raises(InputError, match="temperature must be a number above 0"):
        Segmenter(RECIPE, FakeRuntime(), 0)


TELLING = RECIPE.with_settings(['network.classes=["normal","benign","malignant"]'])


def test_classes_of_the_image_are_divided_by_their_own_temperature():
    image = image_of(disc(32, 32, (16, 16), 5))
    runtime = FakeRuntime(class_logits=[0.0, 0.0, np.log(4)])
    plain = Segmenter(TELLING, runtime).predict("case", image).classes
    assert plain == pytest.approx({"normal": 1 / 6, "benign": 1 / 6, "malignant": 4 / 6})
    softened = Segmenter(TELLING, runtime, 3.0, 2.0).predict("case", image)
    assert softened.classes == pytest.approx({"normal": 0.25, "benign": 0.25, "malignant": 0.5})
    assert Segmenter(RECIPE, FakeRuntime()).predict("case", image).classes == {}


def test_the_gate_weakens_a_finding_by_the_calibrated_doubt_that_there_is_a_lesion():
    image = image_of(disc(32, 32, (16, 16), 5))
    plain = Segmenter(TELLING, FakeRuntime(class_logits=[np.log(16.0), 0.0, -40.0]), 1.5, 2.0)
    gated = replace(plain, gated=True)
    assert plain.answer(image).classes["normal"] == pytest.approx(0.8)
    logits = plain.logits(image)
    expected = np.where(logits > 0, 0.2 * logits, logits)
    np.testing.assert_allclose(gated.logits(image), expected, rtol=1e-5)
    np.testing.assert_allclose(gated.probability(image), expit(expected / 1.5), rtol=1e-5)
    for temperature in (1.0, 1.5):
        both = [replace(each, temperature=temperature) for each in (plain, gated)]
        masks = [each.probability(image) >= 0.5 for each in both]
        np.testing.assert_array_equal(*masks)
        assert both[1].probability(image).max() < both[0].probability(image).max()


def test_the_map_of_malignancy_adds_up_to_the_calibrated_log_odds():
    image = image_of(disc(32, 32, (16, 16), 5))
    class_map = np.random.default_rng(0).normal(size=(3, 16, 16))
    logits = class_map.mean(axis=(1, 2)) + np.array([0.5, 0.25, -1])
    segmenter = Segmenter(TELLING, FakeRuntime(class_logits=logits, class_map=class_map), 3.0, 2.0)
    found = segmenter.predict("case", image)
    odds = np.log(found.classes["malignant"] / found.classes["benign"])
    assert found.malignancy.score == pytest.approx(odds, abs=1e-5)
    assert found.malignancy.places.sum() + found.malignancy.bias == pytest.approx(odds, abs=1e-5)
    assert found.malignancy.bias == pytest.approx((-1 - 0.25) / 2, abs=1e-5)
    assert Segmenter(RECIPE, FakeRuntime()).predict("case", image).malignancy is None


def test_class_logits_that_are_not_finite_are_told():
    runtime = FakeRuntime(class_logits=[0.0, np.nan, 0.0])
    with pytest.raises(WeightsError, match="finite"):
        Segmenter(TELLING, runtime).answer(image_of(disc(32, 32, (16, 16), 5)))


def test_the_network_runs_once_for_both_maps():
    runtime = FakeRuntime(8)
    calibrated, raw = Segmenter(RECIPE, runtime, 2.0).probabilities(
        image_of(disc(32, 32, (16, 16), 5))
    )
    assert len(runtime.shapes) == 1
    assert raw.max() > calibrated.max()
    assert raw.min() < calibrated.min()


class Lopsided(FakeRuntime):
    """Answers with the image on its left half and with nothing on its right half."""

    def predict(self, images):
        found = super().predict(images)
        found.logits[..., images.shape[-1] // 2 :] = 0
        return found


def test_a_mirrored_network_sees_both_sides_alike():
    """The mean of both answers: on each half the image counts by half."""
    image = image_of(np.random.default_rng(0).normal(size=(32, 32)))
    plain = Segmenter(RECIPE, FakeRuntime()).answer(image).square
    runtime = Lopsided(class_logits=[1.0, 3.0])
    answer = Segmenter(RECIPE, runtime, mirrored=True).answer(image)
    np.testing.assert_allclose(answer.square, plain / 2, atol=1e-6)
    np.testing.assert_array_equal(answer.class_logits, [1, 3])
    assert runtime.shapes == [(1, 1, 32, 32)] * 2


def test_a_map_of_classes_is_turned_with_its_picture():
    class_map = np.arange(4, dtype=np.float32).reshape(1, 1, 1, 4)
    found = NetworkOutput(np.zeros((1, 1, 2, 8), np.float32), np.zeros((1, 1)), class_map)
    assert found.mirrored().class_map.ravel().tolist() == [3, 2, 1, 0]
    assert found.averaged(found.mirrored()).class_map.ravel().tolist() == [1.5] * 4
