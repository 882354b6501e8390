"""The losses of both frameworks against their definition in NumPy float64."""

import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
import tensorflow as tf
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from breastseg.backends.pytorch import losses as pytorch_losses
from breastseg.backends.tensorflow import losses as tensorflow_losses
from breastseg.core.recipe import LossTerm
from breastseg.networks.losses import LOSSES

SHAPE = (2, 1, 6, 5)
logits_arrays = hnp.arrays(np.float32, SHAPE, elements=st.floats(-30, 30, width=32))
target_arrays = hnp.arrays(np.float32, SHAPE, elements=st.sampled_from([0.0, 1.0]))
names = pytest.mark.parametrize("name", sorted(LOSSES))


def pytorch_value_and_gradient(name, logits, target):
    leaf = torch.from_numpy(logits.copy()).requires_grad_()
    value = pytorch_losses.LOSSES[name](leaf, torch.from_numpy(target))
    value.backward()
    return float(value.detach()), leaf.grad.numpy()


def tensorflow_value_and_gradient(name, logits, target):
    leaf = tf.Variable(logits)
    with tf.GradientTape() as tape:
        value = tensorflow_losses.LOSSES[name](leaf, tf.constant(target))
    return float(value), tape.gradient(value, leaf).numpy()


twins = pytest.mark.parametrize(
    "twin",
    [pytorch_value_and_gradient, tensorflow_value_and_gradient],
    ids=["pytorch", "tensorflow"],
)


def test_both_frameworks_have_every_loss():
    assert set(pytorch_losses.LOSSES) == set(LOSSES) == set(tensorflow_losses.LOSSES)


@names
@twins
@given(logits=logits_arrays, target=target_arrays)
@settings(deadline=None, max_examples=50)
def test_value_is_that_of_the_definition(twin, name, logits, target):
    expected = LOSSES[name](logits.astype(np.float64), target.astype(np.float64))
    assert twin(name, logits, target)[0] == pytest.approx(expected, rel=1e-6, abs=1e-6)


@names
@twins
def test_gradient_is_that_of_finite_differences(twin, name):
    stream = np.random.default_rng(0)
    logits = stream.normal(0, 2, SHAPE)
    target = (stream.random(SHAPE) > 0.6).astype(np.float64)
    expected = np.empty(SHAPE)
    for index in np.ndindex(SHAPE):
        step = np.zeros(SHAPE)
        step[index] = 1e-5
        rise = LOSSES[name](logits + step, target) - LOSSES[name](logits - step, target)
        expected[index] = rise / 2e-5
    _, gradient = twin(name, logits.astype(np.float32), target.astype(np.float32))
    np.testing.assert_allclose(gradient, expected, atol=1e-6)


@names
def test_an_image_without_lesion_and_without_prediction_costs_nothing(name):
    empty = np.zeros(SHAPE)
    assert LOSSES[name](empty - 1e3, empty) == pytest.approx(0, abs=1e-9)


@names
def test_each_image_counts_alike_whatever_its_lesion_covers(name):
    stream = np.random.default_rng(1)
    logits, target = stream.normal(size=SHAPE), (stream.random(SHAPE) > 0.3).astype(float)
    each = [LOSSES[name](logits[i : i + 1], target[i : i + 1]) for i in range(2)]
    assert LOSSES[name](logits, target) == pytest.approx(np.mean(each))


def test_terms_are_summed_with_their_weights():
    terms = (LossTerm(name="bce", weight=0.25), LossTerm(name="dice", weight=2.0))
    stream = np.random.default_rng(2)
    logits = stream.normal(size=SHAPE).astype(np.float32)
    target = (stream.random(SHAPE) > 0.5).astype(np.float32)
    expected = 0.25 * LOSSES["bce"](logits, target) + 2 * LOSSES["dice"](logits, target)
    in_torch = pytorch_losses.total_loss(terms, torch.from_numpy(logits), torch.from_numpy(target))
    in_tensorflow = tensorflow_losses.total_loss(terms, tf.constant(logits), tf.constant(target))
    assert float(in_torch) == pytest.approx(expected, rel=1e-6)
    assert float(in_tensorflow) == pytest.approx(expected, rel=1e-6)
