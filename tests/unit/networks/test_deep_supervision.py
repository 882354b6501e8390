"""Weights, targets and values of deep supervision, worked by hand."""

from math import log

import numpy as np
import pytest

from breastseg.core.loss_terms import LossTerm, loss_from_text
from breastseg.core.recipe import Recipe
from breastseg.networks.deep_supervision import (
    coarsened,
    coarser_targets,
    deeply_supervised_loss,
    level_weights,
)
from breastseg.networks.losses import LOSSES, signed_distance, soft_dice_loss

HALF = (2, 2)
BCE, BOUNDARY = (LossTerm(name="bce"),), (LossTerm(name="boundary"),)


def images(*images):
    return np.array(images, np.float32)[:, None]


@pytest.mark.parametrize(
    ("num_levels", "weights"), [(1, [1]), (2, [2 / 3, 1 / 3]), (3, [4 / 7, 2 / 7, 1 / 7])]
)
def test_each_level_counts_half_as_much_as_the_one_above_and_all_together_1(num_levels, weights):
    assert level_weights(num_levels) == pytest.approx(weights)


def test_the_image_alone_keeps_its_loss_to_the_bit():
    assert level_weights(1) == (1.0,)


def test_a_pixel_is_lesion_if_any_of_its_four_is():
    target = images([[0, 0, 1, 0], [0, 0, 0, 0], [1, 1, 0, 0], [1, 1, 0, 1]])
    np.testing.assert_array_equal(coarsened(target, HALF), images([[0, 1], [1, 1]]))


def test_a_level_is_coarser_along_the_axes_of_its_stride_alone():
    target = np.zeros((1, 1, 4, 4, 4), np.float32)
    target[0, 0, 3, 2, 1] = 1
    first, second = coarser_targets(target, [(1, 2, 2), (2, 1, 2)], BOUNDARY)
    assert first.target.shape == (1, 1, 4, 2, 2)
    assert np.argwhere(first.target[0, 0]).tolist() == [[3, 1, 0]]
    assert second.target.shape == (1, 1, 2, 2, 1)
    assert np.argwhere(second.target[0, 0]).tolist() == [[1, 1, 0]]
    np.testing.assert_array_equal(second.distance, signed_distance(second.target))


def test_the_loss_takes_the_strides_from_the_sizes_of_the_levels():
    stream = np.random.default_rng(0)
    target = (stream.random((2, 1, 4, 4, 4)) > 0.8).astype(float)
    fine, coarse = stream.normal(size=target.shape), stream.normal(size=(2, 1, 4, 2, 2))
    bce = LOSSES["bce"]
    expected = 2 / 3 * bce(fine, target) + 1 / 3 * bce(coarse, coarsened(target, (1, 2, 2)))
    assert deeply_supervised_loss(BCE, [fine, coarse], target) == pytest.approx(expected)


@pytest.mark.parametrize("row", range(8))
@pytest.mark.parametrize("column", [0, 3, 7])
def test_a_lesion_of_one_pixel_is_there_at_each_level(row, column):
    target = np.zeros((2, 1, 8, 8), np.float32)
    target[0, 0, row, column] = 1
    for level, coarse in enumerate(coarser_targets(target, [HALF] * 3, BCE), start=1):
        expected = np.zeros((2, 1, 8 >> level, 8 >> level))
        expected[0, 0, row >> level, column >> level] = 1
        np.testing.assert_array_equal(coarse.target, expected)
        assert coarse.target.dtype == np.float32


def test_a_distance_is_measured_in_pixels_of_its_level_and_only_where_a_loss_takes_it():
    target = np.zeros((1, 1, 8, 16), np.float32)
    target[..., 8:] = 1
    assert [each.distance for each in coarser_targets(target, [HALF] * 2, BCE)] == [None, None]
    first, second = coarser_targets(target, [HALF] * 2, BCE + BOUNDARY)
    assert first.distance[0, 0, 0].tolist() == [4, 3, 2, 1, 0, -1, -2, -3]
    assert second.distance[0, 0, 0].tolist() == [2, 1, 0, -1]
    np.testing.assert_array_equal(second.distance, signed_distance(second.target))


def test_the_loss_by_hand():
    """The image is right for certain, both coarser levels do not know: log 2 each."""
    target = np.zeros((1, 1, 8, 8))
    target[..., 2:4, 5:] = 1
    logits = [1e3 * (2 * target - 1), np.zeros((1, 1, 4, 4)), np.zeros((1, 1, 2, 2))]
    expected = (2 / 7 + 1 / 7) * log(2)
    assert deeply_supervised_loss(BCE, logits, target) == pytest.approx(expected)


def test_terms_keep_their_weights_and_parameters_at_each_level():
    terms = loss_from_text("bce:0.5,tversky(alpha=0.9,beta=0.2):2")
    terms = Recipe(loss=terms).loss
    stream = np.random.default_rng(0)
    target = (stream.random((2, 1, 4, 4)) > 0.8).astype(float)
    fine, coarse = stream.normal(size=(2, 1, 4, 4)), stream.normal(size=(2, 1, 2, 2))
    bce, tversky = LOSSES["bce"], LOSSES["tversky"]
    at = {
        "fine": 0.5 * bce(fine, target) + 2 * tversky(fine, target, alpha=0.9, beta=0.2),
        "coarse": 0.5 * bce(coarse, coarsened(target, HALF))
        + 2 * tversky(coarse, coarsened(target, HALF), alpha=0.9, beta=0.2),
    }
    expected = (2 * at["fine"] + at["coarse"]) / 3
    assert deeply_supervised_loss(terms, [fine, coarse], target) == pytest.approx(expected)


@pytest.mark.parametrize("name", LOSSES)
def test_nothing_predicted_where_nothing_is_costs_nothing_at_any_level(name):
    target = np.zeros((2, 1, 8, 8))
    logits = [np.full((2, 1, size, size), -1e3) for size in (8, 4, 2)]
    assert deeply_supervised_loss([LossTerm(name=name)], logits, target) == pytest.approx(0)


def test_false_pixels_of_a_lesion_free_image_cost_n_of_n_plus_1_at_their_own_level():
    target, logits = np.zeros((1, 1, 4, 4)), [np.full((1, 1, n, n), -1e3) for n in (4, 2)]
    logits[1][0, 0, 0, :] = 1e3
    assert soft_dice_loss(logits[1], coarsened(target, HALF)) == pytest.approx(2 / 3)
    found = deeply_supervised_loss([LossTerm(name="dice")], logits, target)
    assert found == pytest.approx(2 / 3 / 3)
