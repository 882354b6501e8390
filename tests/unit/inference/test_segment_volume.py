"""A network that answers on brightness, on crude volumes: what is found, where, on which grid."""

from dataclasses import replace

import numpy as np
import pytest

from breastseg.core.errors import GeometryError, RecipeError, WeightsError
from breastseg.core.image import Image
from breastseg.core.network_recipe import UNetSpec
from breastseg.core.recipe import Recipe
from breastseg.inference.segment_volume import (
    OUTSIDE_LOGIT,
    VolumeSegmenter,
    find_in_volume,
    find_labels,
)
from tests.bright_network import bright_recipe, bright_weights
from tests.crude_chest import IN_RIGHT_BREAST, crude_chest, with_lesion

ABOVE_HU = 150.0


def _segmenter(*, temperature: float = 1.0, **volume: object) -> VolumeSegmenter:
    recipe = bright_recipe(**volume)
    weights = bright_weights(recipe, ABOVE_HU)
    return VolumeSegmenter.open(recipe, weights, threads=1, temperature=temperature)


def _bright_box() -> Image:
    pixels = np.full((24, 40, 36), -50, np.float32)
    pixels[8:14, 10:18, 20:26] = 300
    affine = np.array([[0, 0, 2, -30.0], [0, 2, 0, -40], [3, 0, 0, 5], [0, 0, 0, 1]])
    return Image(pixels=pixels, affine=affine)


def test_a_bright_box_is_found_on_the_grid_of_the_scan() -> None:
    image = _bright_box()
    found = _segmenter().predict("case", image)
    (lesion,) = found.lesions
    truth = image.pixels > ABOVE_HU
    dice = 2 * (found.mask & truth).sum() / (found.mask.sum() + truth.sum())
    assert dice > 0.85
    assert lesion.probability > 0.9
    np.testing.assert_allclose(lesion.centroid, [15, -13, 36.5], atol=1.5)
    assert lesion.volume_mm3 == found.mask.sum() * 12
    assert found.sides == (None,)
    assert found.in_words() == ("The whole scan was searched, not the breasts alone.",)


def test_the_whole_array_tells_what_the_slabs_tell() -> None:
    image = _bright_box()
    found = _segmenter(temperature=1.7).predict("case", image, threshold=0.6)
    labels, lesions = find_labels(image, found.probability, 0.6)
    np.testing.assert_array_equal(labels, found.labels)
    assert lesions == found.lesions


def test_a_turned_volume_has_the_same_lesion_in_the_patient() -> None:
    image = _bright_box()
    turned = np.ascontiguousarray(np.transpose(image.pixels, (2, 0, 1))[:, ::-1])
    affine = np.eye(4)
    affine[:3, :3] = image.affine[:3, [2, 0, 1]] * [1, -1, 1]
    affine[:3, 3] = image.affine[:3, 3] + image.affine[:3, 0] * (image.pixels.shape[0] - 1)
    segmenter = _segmenter()
    (one,) = segmenter.predict("a", image).lesions
    (other,) = segmenter.predict("b", Image(pixels=turned, affine=affine)).lesions
    np.testing.assert_allclose(one.centroid, other.centroid, atol=1e-6)
    assert one.volume_mm3 == pytest.approx(other.volume_mm3)


def test_temperature_softens_and_leaves_the_outline_at_one_half() -> None:
    image = _bright_box()
    sharp, soft = _segmenter(), _segmenter(temperature=3.0)
    probability, before = soft.probabilities(image)
    np.testing.assert_array_equal(before, sharp.probability(image))
    np.testing.assert_array_equal(probability >= 0.5, before >= 0.5)
    assert probability.max() < before.max()
    logits = sharp.logits(image)
    np.testing.assert_allclose(1 / (1 + np.exp(-logits.astype(float))), before, atol=1e-6)


def test_lesions_are_looked_for_in_the_breasts_alone() -> None:
    image = crude_chest()
    both = with_lesion(with_lesion(image, IN_RIGHT_BREAST), (-70.0, 0.0, 0.0), 15)
    segmenter = _segmenter(region="breasts")
    found = segmenter.predict("case", both)
    (lesion,) = found.lesions
    np.testing.assert_allclose(lesion.centroid, IN_RIGHT_BREAST, atol=3)
    assert found.sides == ("right",)
    labels = found.searched.region.labels
    assert found.probability[labels == 0].sum() < found.probability.sum() / 2
    logits = segmenter.logits(both)
    assert (logits == OUTSIDE_LOGIT).mean() > 0.5
    np.testing.assert_array_equal(found.probability > 0, logits > OUTSIDE_LOGIT)
    assert len(_segmenter().predict("case", both).lesions) > 1, "bones and the lung's are bright"


def test_each_breast_has_tiles_of_its_own() -> None:
    image = crude_chest()
    segmenter = _segmenter(region="breasts", patch=(32, 32, 32))
    found = segmenter.search_area(image)
    assert set(np.unique(found.parts)) == {0, 1, 2}
    told = []
    segmenter.answer(image, found, done=lambda number, count: told.append((number, count)))
    merged = replace(found, parts=(found.parts > 0).astype(np.uint8))
    more = []
    segmenter.answer(image, merged, done=lambda number, count: more.append((number, count)))
    assert told[-1][0] == told[-1][1] == len(told) < len(more)


def test_without_a_breast_no_network_runs_and_the_result_says_so() -> None:
    image = crude_chest(lungs=False)

    class Unused:
        def logits(self, images: np.ndarray) -> np.ndarray:
            raise AssertionError("the network ran")

    segmenter = VolumeSegmenter(bright_recipe(region="breasts"), Unused())
    found = segmenter.predict("case", image)
    assert found.lesions == ()
    assert not found.probability.any()
    assert (segmenter.logits(image) == OUTSIDE_LOGIT).all()
    assert "No breast" in found.in_words()[0]
    assert found.in_words()[-1] == "No lesion was looked for."


def test_what_is_too_small_is_not_shown() -> None:
    image = _bright_box()
    shown = _segmenter().predict("case", image, smallest_mm3=1e6)
    assert shown.lesions == ()
    assert not shown.mask.any()


def test_the_mean_of_several_networks_counts() -> None:
    image = _bright_box()
    sharp, soft = _segmenter(), _segmenter(temperature=4.0)
    answers = [sharp.answer(image), soft.answer(image)]
    found = find_in_volume("case", image, answers, 0.5)
    mean = (sharp.probability(image) + soft.probability(image)) / 2
    np.testing.assert_allclose(found.probability, mean, atol=1e-6)


def test_a_flat_network_sees_slices_with_their_neighbours() -> None:
    flat = UNetSpec(channels=(2, 2), convolutions=1, input_channels=3)
    recipe = bright_recipe(flat, patch=(1, 32, 32))
    segmenter = VolumeSegmenter.open(recipe, bright_weights(recipe, ABOVE_HU), threads=1)
    image = _bright_box()
    (lesion,) = segmenter.predict("case", image).lesions
    np.testing.assert_allclose(lesion.centroid, [15, -13, 36.5], atol=1.5)


def test_nothing_as_large_as_the_scan_is_added_up() -> None:
    """Logits and parts lie on the network's grid, in the box around the breasts."""
    image = crude_chest()
    answer = _segmenter(region="breasts", spacing_mm=(8.0, 8.0, 8.0)).answer(image)
    box = answer.searched.grid.sides
    assert np.prod(box) < 0.6 * image.pixels.size
    assert answer.logits.size == pytest.approx(np.prod(box) / 8, rel=0.1)
    assert {len(slab) for slab in answer.slabs()} <= {16, box[0] % 16}


def test_what_cannot_be_predicted_is_refused() -> None:
    with pytest.raises(RecipeError, match="one for pictures"):
        VolumeSegmenter(Recipe(), runtime=None)
    with pytest.raises(GeometryError, match="affine is missing"):
        _segmenter().predict("case", Image(pixels=np.zeros((4, 4, 4), np.float32)))
    with pytest.raises(GeometryError, match="at least one voxel"):
        _segmenter().predict(
            "case", Image(pixels=np.zeros((0, 4, 4), np.float32), affine=np.eye(4))
        )


def test_an_answer_that_is_not_finite_is_refused() -> None:
    class Broken:
        def logits(self, images: np.ndarray) -> np.ndarray:
            return np.full_like(images, np.nan)

    with pytest.raises(WeightsError, match="must be finite"):
        VolumeSegmenter(bright_recipe(), Broken()).answer(_bright_box())
