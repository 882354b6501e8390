"""Dropout of both frameworks: its rate, its scale, and the seed that decides its mask."""

import numpy as np
import pytest
import tensorflow as tf
import torch

from breastseg.backends.protocol import FRAMEWORKS
from breastseg.backends.pytorch.layers import Dropout
from breastseg.backends.tensorflow.layers import SeededDropout


def dropped(framework, rate, seed=0, *, training=True, channels=7):
    """Ones of 4 x channels x 50 x 60 after dropout, channels first."""
    shape = (4, channels, 50, 60)
    if framework == "pytorch":
        torch.manual_seed(seed)
        return Dropout(rate).train(training)(torch.ones(shape)).numpy()
    layer = SeededDropout(rate, tf.Variable([seed, 3], dtype=tf.int32), number=1)
    features = layer(tf.ones((4, 50, 60, channels)), training=training)
    return np.moveaxis(features.numpy(), -1, 1)


frameworks = pytest.mark.parametrize("framework", FRAMEWORKS)


@frameworks
@pytest.mark.parametrize("rate", [0.1, 0.25, 0.5, 0.9])
def test_a_share_is_dropped_and_the_mean_is_kept(framework, rate):
    found = dropped(framework, rate)
    np.testing.assert_allclose(np.unique(found), [0, 1 / (1 - rate)], rtol=1e-6)
    deviation = np.sqrt(rate * (1 - rate) / found.size)
    assert abs((found == 0).mean() - rate) < 5 * deviation


@frameworks
def test_every_place_is_dropped_by_itself(framework):
    """Neither images nor channels, rows or columns share a mask, as halved random words could."""
    kept = dropped(framework, 0.5, channels=8) > 0
    for axis in range(4):
        first, second = (np.take(kept, index, axis) for index in (0, 1))
        assert abs((first == second).mean() - 0.5) < 5 * 0.5 / np.sqrt(first.size), axis


@frameworks
def test_the_seed_alone_decides_the_mask(framework):
    first = dropped(framework, 0.5, seed=1)
    np.testing.assert_array_equal(first, dropped(framework, 0.5, seed=1))
    assert np.any(first != dropped(framework, 0.5, seed=2))


@frameworks
@pytest.mark.parametrize(("rate", "training"), [(0.5, False), (0.0, True)])
def test_without_training_or_rate_nothing_is_dropped(framework, rate, training):
    assert (dropped(framework, rate, training=training) == 1).all()


@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16])
def test_the_mask_reaches_the_gradient_in_every_precision(kind):
    features = torch.ones((2, 3, 4, 5), dtype=kind, requires_grad=True)
    found = Dropout(0.5)(features)
    found.sum().backward()
    assert torch.equal(found, features.grad)
    assert set(features.grad.unique().tolist()) == {0.0, 2.0}


@frameworks
def test_nearly_everything_may_be_dropped(framework):
    assert np.isfinite(dropped(framework, 1 - 1e-7)).all()
