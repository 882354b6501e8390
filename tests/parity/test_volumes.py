"""Networks and losses in three dimensions: three builders compute the same."""

import numpy as np
import pytest
import tensorflow as tf
import torch

from breastseg.backends.protocol import FRAMEWORKS, BackendConfig, make_backend
from breastseg.backends.pytorch import losses as pytorch_losses
from breastseg.backends.tensorflow import losses as tensorflow_losses
from breastseg.core.loss_terms import LossTerm
from breastseg.core.network_recipe import UNetSpec
from breastseg.core.recipe import Optimisation
from breastseg.inference.runtime import open_runtime
from breastseg.networks.deep_supervision import deeply_supervised_loss
from breastseg.networks.losses import LOSSES, needs_distance, signed_distance
from breastseg.networks.spec import initial_weights, without_training_heads
from breastseg.pipeline.batches import Batch

THICK = {"kernels": ((1, 3, 3), (1, 3, 3), (3, 3, 3)), "strides": ((1, 2, 2), (2, 2, 2))}
GROUPS = {"norm": "group", "channels_per_group": 4}
SPECS = {
    "cubes": UNetSpec(dimensions=3, channels=(4, 8), convolutions=1),
    "thick slices": UNetSpec(dimensions=3, channels=(4, 8, 8), **GROUPS, **THICK),
    "batch": UNetSpec(dimensions=3, channels=(4, 6, 8), norm="batch", convolutions=1, **THICK),
    "interpolation": UNetSpec(
        dimensions=3, channels=(4, 8, 8), upsampling="interpolation", convolutions=1, **THICK
    ),
    # An odd one out: no side has the stride or the taps of another; two channels.
    "each axis by itself": UNetSpec(
        dimensions=3,
        input_channels=2,
        channels=(4, 4, 8),
        convolutions=1,
        kernels=((3, 1, 3), (1, 3, 1), (3, 3, 1)),
        strides=((2, 1, 1), (2, 2, 1)),
    ),
    "anisotropic images": UNetSpec(
        channels=(4, 8, 8),
        convolutions=1,
        kernels=((1, 3), (3, 1), (3, 3)),
        strides=((1, 2), (2, 1)),
    ),
}
specs = pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS.keys())
BCE_DICE = (LossTerm(name="bce-dice"),)


def both(spec, loss=BCE_DICE, **options):
    config = BackendConfig(
        network=spec,
        loss=loss,
        optimisation=Optimisation(**{"precision": "float32"} | options),
        seed=3,
        device="cpu",
        num_threads=1,
    )
    return [make_backend(framework, config) for framework in FRAMEWORKS]


def blobs(spec, count=2):
    """Balls that a network can learn: bright where the target is.

    Of the seed 5 one feature lies within 2e-6 of 0, where rounding decides whether ReLU passes
    its gradient: frameworks then differ by 5e-4, and neither is wrong.
    """
    shape = (8, 16, 16)[-spec.dimensions :]
    stream = np.random.default_rng(11)
    grid = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"))
    targets = np.empty((count, 1, *shape), np.float32)
    for target in targets:
        centre = [stream.uniform(size / 4, 3 * size / 4) for size in shape]
        offset = grid - np.reshape(centre, (-1, *(1,) * len(shape)))
        target[0] = np.square(offset).sum(axis=0) < 16
    noise = stream.normal(size=(count, spec.input_channels, *shape))
    images = (targets + 0.5 * noise).astype(np.float32)
    return Batch(images, targets, signed_distance(targets))


def weights_off_their_start(spec):
    """Weights without the zeros and ones of a fresh network, variances positive."""
    stream, moved = np.random.default_rng(7), {}
    for name, array in initial_weights(spec, 0).items():
        noisy = array + stream.normal(0, 0.1, array.shape)
        moved[name] = (np.abs(noisy) if name.endswith("variance") else noisy).astype(np.float32)
    return moved


# --- networks -----------------------------------------------------------------------------------


@specs
def test_logits_of_all_builders_agree(spec):
    """At a size that is padded along each axis."""
    weights, size = weights_off_their_start(spec), (5, 11, 9)[-spec.dimensions :]
    stream = np.random.default_rng(0)
    images = stream.normal(size=(2, spec.input_channels, *size)).astype(np.float32)
    logits = [
        open_runtime(spec, weights, threads=1, runtime=runtime).logits(images)
        for runtime in ("openvino", "onnxruntime")
    ]
    for backend in both(spec):
        backend.load_weights(weights)
        logits.append(backend.predict_logits(images))
    assert np.ptp(logits[0]) > 0.1
    for other in logits:
        assert other.shape == (2, 1, *size)
        np.testing.assert_allclose(other, logits[0], atol=1e-4)


@specs
def test_weights_survive_the_way_through_either_framework(spec):
    weights = weights_off_their_start(spec)
    for backend in both(spec):
        backend.load_weights(weights)
        kept = backend.weights()
        assert kept.keys() == weights.keys()
        for name, array in weights.items():
            np.testing.assert_array_equal(kept[name], array)


@specs
def test_gradients_and_running_statistics_agree(spec):
    backends = both(spec)
    for backend in backends:
        backend.train_step(blobs(spec), step=1, learning_rate=1e-3)
    ours, theirs = (backend.optimiser_state() for backend in backends)
    assert ours.keys() == theirs.keys()
    gradients = {name: array * 10 for name, array in ours.items() if name.startswith("first.")}
    largest = max(np.abs(array).max() for array in gradients.values())
    for name, gradient in gradients.items():
        np.testing.assert_allclose(gradient, theirs[name] * 10, atol=1e-5 * largest, err_msg=name)
    one, other = (backend.weights() for backend in backends)
    for name in one:
        if name.endswith((".mean", ".variance")):
            np.testing.assert_allclose(other[name], one[name], atol=1e-5, err_msg=name)


OPTIMISERS = {
    "adamw": {},
    "sgd, clipped": {"optimiser": "sgd", "clip_norm": 0.1},
    "accumulated, deeply supervised": {"accumulation": 2, "deep_supervision": 1},
}


@pytest.mark.parametrize("options", OPTIMISERS.values(), ids=OPTIMISERS.keys())
def test_one_step_of_the_optimiser_agrees_from_the_same_state(options):
    spec = SPECS["thick slices"]
    first, second = both(spec, **options)
    for step in (1, 2):
        first.train_step(blobs(spec), step=step, learning_rate=1e-2)
    before = first.weights()
    second.load_weights(before)
    second.load_optimiser_state(first.optimiser_state())
    losses = [b.train_step(blobs(spec), step=3, learning_rate=1e-2) for b in (first, second)]
    assert losses[0] == pytest.approx(losses[1], abs=1e-6)
    after, other = first.weights(), second.weights()
    assert max(np.abs(after[name] - before[name]).max() for name in after) > 1e-3
    for name, array in after.items():
        np.testing.assert_allclose(other[name], array, atol=2e-5, err_msg=name)


def test_ten_steps_follow_the_same_curve_under_every_kind_of_loss():
    """Pixels, regions and distances, at two levels of which one is coarser in the plane alone."""
    spec = SPECS["thick slices"]
    loss = tuple(LossTerm(name=name, weight=w) for name, w in (("bce-dice", 1), ("boundary", 0.05)))
    curves, kept = [], []
    for backend in both(spec, loss, deep_supervision=1):
        steps = range(1, 11)
        curves.append(
            [backend.train_step(blobs(spec), step=step, learning_rate=1e-2) for step in steps]
        )
        kept.append(backend)
    assert curves[0][-1] < 0.9 * curves[0][0]
    np.testing.assert_allclose(curves[1], curves[0], rtol=2e-3)
    exported = open_runtime(spec, without_training_heads(kept[0].weights()), threads=1)
    images = blobs(spec).images
    found = kept[0].predict_logits(images)
    np.testing.assert_allclose(exported.logits(images), found, atol=1e-4)


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_a_deeply_supervised_step_has_the_loss_of_the_definition(framework):
    spec = SPECS["thick slices"]
    loss = tuple(LossTerm(name=name) for name in ("bce", "dice", "boundary"))
    backend = both(spec, loss, deep_supervision=1)[FRAMEWORKS.index(framework)]
    examples = blobs(spec)
    if framework == "pytorch":
        with torch.no_grad():
            levels = backend._network.supervised(torch.from_numpy(examples.images))
        logits = [each.numpy() for each in levels]
    else:
        levels = backend._models.supervised(np.moveaxis(examples.images, 1, -1))
        logits = [np.moveaxis(each.numpy(), -1, 1) for each in levels]
    assert [each.shape[2:] for each in logits] == [(8, 16, 16), (8, 8, 8)]
    found = backend.train_step(examples, step=1, learning_rate=1e-3)
    expected = deeply_supervised_loss(loss, logits, examples.targets)
    assert found == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_dropout_depends_on_the_step_and_is_in_training_alone(framework):
    spec = SPECS["cubes"].model_copy(update={"dropout": (0.5,)})
    place = FRAMEWORKS.index(framework)
    losses = [
        both(spec)[place].train_step(blobs(spec), step=step, learning_rate=0.1)
        for step in (1, 1, 2)
    ]
    assert losses[0] == losses[1] != losses[2]
    backend, images = both(spec)[place], blobs(spec).images
    np.testing.assert_array_equal(backend.predict_logits(images), backend.predict_logits(images))


@pytest.mark.parametrize("name", ["thick slices", "interpolation"])
def test_bfloat16_stays_near_float32(name):
    spec = SPECS[name]
    pairs = zip(both(spec), both(spec, precision="bfloat16"), strict=True)
    for wide, narrow in pairs:
        images = blobs(spec).images
        expected = wide.predict_logits(images)
        error = np.abs(narrow.predict_logits(images) - expected).max()
        assert 0 < error < 0.05 * np.ptp(expected)
        losses = [b.train_step(blobs(spec), step=1, learning_rate=1e-3) for b in (wide, narrow)]
        assert losses[1] == pytest.approx(losses[0], rel=0.02)


def test_pytorch_keeps_volumes_channels_last():
    """The memory order that oneDNN and cuDNN read fastest, kept from layer to layer."""
    spec = SPECS["thick slices"]
    backend = both(spec)[FRAMEWORKS.index("pytorch")]
    kernel = backend._network.get_parameter("encoder.0.block.1.convolution.weight")
    assert kernel.is_contiguous(memory_format=torch.channels_last_3d)
    seen = []
    backend._network.encoder[-1].register_forward_hook(lambda _, __, found: seen.append(found))
    backend.predict_logits(blobs(spec).images)
    assert seen[0].is_contiguous(memory_format=torch.channels_last_3d)


# --- losses -------------------------------------------------------------------------------------

SHAPE = (2, 1, 3, 4, 5)
terms = pytest.mark.parametrize("name", LOSSES)


def example(name):
    stream = np.random.default_rng(1)
    target = (stream.random(SHAPE) > 0.6).astype(np.float32)
    target[1] = 0
    term = LossTerm(name=name)
    distance = signed_distance(target) if needs_distance([term]) else None
    return term, stream.normal(0, 2, SHAPE).astype(np.float32), target, distance


def in_pytorch(term, logits, *compared):
    leaf = torch.from_numpy(logits.copy()).requires_grad_()
    tensors = [None if each is None else torch.from_numpy(each) for each in compared]
    value = pytorch_losses.total_loss([term], leaf, *tensors)
    value.backward()
    return float(value.detach()), leaf.grad.numpy()


def in_tensorflow(term, logits, *compared):
    leaf = tf.Variable(np.moveaxis(logits, 1, -1))
    with tf.GradientTape() as tape:
        value = tensorflow_losses.total_loss(
            [term], leaf, *(None if each is None else np.moveaxis(each, 1, -1) for each in compared)
        )
    return float(value), np.moveaxis(tape.gradient(value, leaf).numpy(), -1, 1)


@terms
def test_losses_of_volumes_are_those_of_the_definition(name):
    term, logits, target, distance = example(name)
    parameters = term.parameters.model_dump()
    expected = LOSSES[name](logits.astype(float), target.astype(float), **parameters)
    found = [twin(term, logits, target, distance) for twin in (in_pytorch, in_tensorflow)]
    for value, _ in found:
        assert value == pytest.approx(expected, rel=1e-6, abs=1e-6)
    np.testing.assert_allclose(found[0][1], found[1][1], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", sorted(set(LOSSES) - {"boundary"}))
def test_a_loss_sees_voxels_and_no_neighbourhood(name):
    """A volume costs what the image of the same voxels costs; boundary alone sees distances."""
    term, *arrays, _ = example(name)
    logits, target = (each.astype(float) for each in arrays)
    parameters, flat = term.parameters.model_dump(), (2, 1, 12, 5)
    volume = LOSSES[name](logits, target, **parameters)
    image = LOSSES[name](logits.reshape(flat), target.reshape(flat), **parameters)
    assert volume == pytest.approx(image, rel=1e-12)


def test_the_distance_of_a_volume_goes_through_the_slices():
    target = np.zeros((1, 1, 5, 3, 3), np.float32)
    target[0, 0, 0, 1, 1] = 1
    found = signed_distance(target)[0, 0]
    assert found[:, 1, 1].tolist() == [0, 1, 2, 3, 4]
    assert found[1, 0, 0] == pytest.approx(np.sqrt(3))
