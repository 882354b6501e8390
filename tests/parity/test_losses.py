"""The losses of both frameworks against their definition in NumPy float64."""

import inspect

import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
import tensorflow as tf
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from breastseg.backends.protocol import FRAMEWORKS, BackendConfig, make_backend
from breastseg.backends.pytorch import losses as pytorch_losses
from breastseg.backends.tensorflow import losses as tensorflow_losses
from breastseg.core.loss_terms import PARAMETERS, LossTerm
from breastseg.core.network_recipe import UNetSpec
from breastseg.core.recipe import Optimisation, Recipe
from breastseg.networks.losses import LOSSES, needs_distance, signed_distance
from breastseg.pipeline.batches import Batch

SHAPE = (2, 1, 6, 5)
OTHER_PARAMETERS = {
    "weighted-bce": {"positive_weight": 3.0},
    "top-k-bce": {"share": 0.5},
    "focal": {"alpha": 0.6, "gamma": 0.5},
    "tversky": {"alpha": 0.9, "beta": 0.2},
    "focal-tversky": {"alpha": 0.5, "beta": 0.5, "gamma": 0.75},
    "unified-focal": {"focal_share": 0.2, "delta": 0.3, "gamma": 0.1},
}
TERMS = [LossTerm(name=name) for name in LOSSES]
TERMS += [LossTerm(name=name, parameters=given) for name, given in OTHER_PARAMETERS.items()]

logits_arrays = hnp.arrays(np.float32, SHAPE, elements=st.floats(-30, 30, width=32))
target_arrays = hnp.arrays(np.float32, SHAPE, elements=st.sampled_from([0.0, 1.0]))
terms = pytest.mark.parametrize("term", TERMS, ids=lambda term: f"{term.name}-{term.parameters!r}")


def in_numpy(term, logits, target):
    return LOSSES[term.name](logits, target, **term.parameters.model_dump())


def in_pytorch(term, logits, target):
    leaf = torch.from_numpy(logits.copy()).requires_grad_()
    distance = torch.from_numpy(signed_distance(target)) if needs_distance([term]) else None
    value = pytorch_losses.total_loss([term], leaf, torch.from_numpy(target), distance)
    value.backward()
    return float(value.detach()), leaf.grad.numpy()


def in_tensorflow(term, logits, target):
    """Channels last, as the engine has them."""
    leaf = tf.Variable(np.moveaxis(logits, 1, -1))
    distance = np.moveaxis(signed_distance(target), 1, -1) if needs_distance([term]) else None
    with tf.GradientTape() as tape:
        value = tensorflow_losses.total_loss([term], leaf, np.moveaxis(target, 1, -1), distance)
    return float(value), np.moveaxis(tape.gradient(value, leaf).numpy(), -1, 1)


twins = pytest.mark.parametrize("twin", [in_pytorch, in_tensorflow], ids=["pytorch", "tensorflow"])


def random_images(seed, *, scale=2.0, shape=SHAPE):
    stream = np.random.default_rng(seed)
    logits = stream.normal(0, scale, shape).astype(np.float32)
    return logits, (stream.random(shape) > 0.6).astype(np.float32)


def test_both_frameworks_have_every_loss_under_the_same_names():
    assert list(pytorch_losses.LOSSES) == list(LOSSES) == list(tensorflow_losses.LOSSES)
    assert list(LOSSES) == list(PARAMETERS)


@pytest.mark.parametrize("name", LOSSES)
def test_definition_and_twins_take_the_parameters_of_the_recipe(name):
    for function in (LOSSES[name].compute, pytorch_losses.LOSSES[name]):
        keywords = [
            parameter.name
            for parameter in inspect.signature(function).parameters.values()
            if parameter.kind is parameter.KEYWORD_ONLY
        ]
        assert keywords == list(PARAMETERS[name].model_fields)
    in_torch, in_tf = (twin.LOSSES[name] for twin in (pytorch_losses, tensorflow_losses))
    assert list(inspect.signature(in_torch).parameters) == list(inspect.signature(in_tf).parameters)


@terms
@twins
@given(logits=logits_arrays, target=target_arrays)
@settings(deadline=None, max_examples=25)
def test_value_is_that_of_the_definition(twin, term, logits, target):
    expected = in_numpy(term, logits.astype(np.float64), target.astype(np.float64))
    assert twin(term, logits, target)[0] == pytest.approx(expected, rel=1e-6, abs=1e-6)


@terms
@twins
def test_gradient_is_that_of_finite_differences(twin, term):
    logits, target = random_images(0, shape=(2, 1, 4, 5))
    target[1] = 0  # a lesion-free image beside one with a lesion
    wide = logits.astype(np.float64)
    expected = np.empty(wide.shape)
    for index in np.ndindex(wide.shape):
        step = np.zeros(wide.shape)
        step[index] = 1e-5
        rise = in_numpy(term, wide + step, target) - in_numpy(term, wide - step, target)
        expected[index] = rise / 2e-5
    np.testing.assert_allclose(twin(term, logits, target)[1], expected, rtol=1e-5, atol=1e-6)


@terms
@given(seed=st.integers(0, 2**32 - 1), scale=st.floats(0.01, 20))
@settings(deadline=None, max_examples=10)
def test_gradients_of_the_frameworks_agree(term, seed, scale):
    logits, target = random_images(seed, scale=scale)
    np.testing.assert_allclose(
        in_pytorch(term, logits, target)[1],
        in_tensorflow(term, logits, target)[1],
        rtol=1e-4,
        atol=1e-6,
    )


@terms
@twins
@pytest.mark.parametrize("size", [0.0, 30.0, 100.0, 1e4])
def test_certain_predictions_of_any_target_have_finite_value_and_gradient(twin, term, size):
    stream = np.random.default_rng(3)
    mixed = (stream.random((1, 6, 5)) > 0.5).astype(np.float32)
    target = np.stack([mixed, 0 * mixed, 0 * mixed + 1] * 3)
    prediction = np.stack([mixed] * 3 + [0 * mixed] * 3 + [0 * mixed + 1] * 3)
    logits = (size * (2 * prediction - 1)).astype(np.float32)
    value, gradient = twin(term, logits, target)
    expected = in_numpy(term, logits.astype(np.float64), target.astype(np.float64))
    assert value == pytest.approx(expected, rel=1e-6, abs=1e-6)
    assert np.isfinite(gradient).all()


@terms
@twins
@pytest.mark.parametrize("label", [0.0, 1.0], ids=["all empty", "all lesion"])
def test_batches_of_one_class_alone_agree_with_the_definition(twin, term, label):
    logits, target = random_images(4)
    target[:] = label
    value, gradient = twin(term, logits, target)
    expected = in_numpy(term, logits.astype(np.float64), target.astype(np.float64))
    assert value == pytest.approx(expected, rel=1e-6, abs=1e-6)
    assert np.isfinite(gradient).all()


@twins
@pytest.mark.parametrize("name", ["lovasz-hinge", "top-k-bce", "boundary", "unified-focal"])
def test_large_images_keep_their_digits(twin, name):
    logits, target = random_images(5, shape=(1, 1, 128, 128))
    target[:] = 0
    target[..., 40:80, 30:60] = 1
    expected = in_numpy(LossTerm(name=name), logits.astype(np.float64), target.astype(np.float64))
    assert twin(LossTerm(name=name), logits, target)[0] == pytest.approx(expected, rel=1e-6)


@twins
def test_terms_are_summed_with_their_weights_and_parameters(twin):
    text = "bce:0.25,dice:2,tversky(alpha=0.5,beta=0.5),boundary:0.01"
    loss = Recipe().with_settings([f"loss={text}"]).loss
    logits, target = random_images(2)
    expected = sum(term.weight * in_numpy(term, logits, target) for term in loss)
    distance = signed_distance(target)
    if twin is in_pytorch:
        arrays = map(torch.from_numpy, (logits, target, distance))
        found = pytorch_losses.total_loss(loss, *arrays)
    else:
        found = tensorflow_losses.total_loss(loss, *map(tf.constant, (logits, target, distance)))
    assert float(found) == pytest.approx(expected, rel=1e-6)


def test_tensorflow_losses_work_in_a_graph_that_does_not_know_its_shapes():
    logits, target = random_images(6)
    arrays = [np.moveaxis(each, 1, -1) for each in (logits, target, signed_distance(target))]
    anything = tf.TensorSpec((None, None, None, 1), tf.float32)
    chosen = [LossTerm(name=name) for name in LOSSES]

    @tf.function(input_signature=[anything, anything, anything])
    def compiled(logits, target, distance):
        return tensorflow_losses.total_loss(chosen, logits, target, distance)

    eager = tensorflow_losses.total_loss(chosen, *arrays)
    assert float(compiled(*arrays)) == pytest.approx(float(eager), rel=1e-6)


def test_networks_trained_with_all_losses_at_once_fall_alike():
    """The engines hand every loss what it needs, the distance map among it."""
    config = BackendConfig(
        network=UNetSpec(channels=(8, 16), convolutions=1, norm="group"),
        loss=tuple(LossTerm(name=name) for name in LOSSES),
        optimisation=Optimisation(precision="float32"),
        device="cpu",
        num_threads=1,
    )
    _, targets = random_images(7, shape=(3, 1, 16, 16))
    targets[1:] = 0
    targets[1, 0, 4:9, 3:12] = 1
    images = targets + random_images(8, scale=0.5, shape=targets.shape)[0]
    curves = []
    for framework in FRAMEWORKS:
        backend = make_backend(framework, config)
        steps = range(1, 11)
        batch = Batch(images, targets, signed_distance(targets))
        curves.append([backend.train_step(batch, step=s, learning_rate=1e-2) for s in steps])
    np.testing.assert_allclose(*curves, rtol=1e-4)
    assert curves[0][-1] < 0.8 * curves[0][0]
