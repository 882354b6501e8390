"""Deep supervision: both frameworks against the definition and against each other."""

import numpy as np
import pytest
import tensorflow as tf
import torch

from breastseg.backends.protocol import FRAMEWORKS, BackendConfig, make_backend
from breastseg.backends.pytorch import losses as pytorch_losses
from breastseg.backends.tensorflow import losses as tensorflow_losses
from breastseg.core.loss_terms import LossTerm
from breastseg.core.network_recipe import UNetSpec
from breastseg.core.recipe import Optimisation, Recipe
from breastseg.inference.runtime import open_runtime
from breastseg.networks.deep_supervision import coarser_targets, deeply_supervised_loss
from breastseg.networks.losses import LOSSES, needs_distance, signed_distance
from breastseg.networks.spec import initial_weights, without_training_heads
from breastseg.pipeline.batches import Batch

NUM_COARSER = 2
SPECS = {
    "group": UNetSpec(channels=(8, 16, 24, 24), norm="group", convolutions=(1, 2, 1, 1)),
    "batch": UNetSpec(channels=(4, 8, 8, 8), norm="batch", convolutions=1),
    "interpolation": UNetSpec(channels=(4, 8, 12, 8), upsampling="interpolation", convolutions=1),
}
specs = pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS.keys())
BCE_DICE = (LossTerm(name="bce-dice"),)
TERMS = [LossTerm(name=name) for name in LOSSES]
terms = pytest.mark.parametrize("term", TERMS, ids=lambda term: term.name)


def config(spec, loss=BCE_DICE, **options):
    given = {"precision": "float32", "deep_supervision": NUM_COARSER} | options
    return BackendConfig(
        network=spec,
        loss=loss,
        optimisation=Optimisation(**given),
        seed=3,
        device="cpu",
        num_threads=1,
    )


def both(spec, **options):
    return [make_backend(framework, config(spec, **options)) for framework in FRAMEWORKS]


def blobs(size=16, count=3):
    """Discs that a network can learn, bright where the target is; the last image has none."""
    stream = np.random.default_rng(5)
    row, column = np.mgrid[:size, :size]
    centres = stream.uniform(size / 4, 3 * size / 4, (count, 2, 1, 1))
    targets = (np.hypot(row - centres[:, 0], column - centres[:, 1]) < size / 4).astype(np.float32)
    targets[-1] = 0
    noise = stream.normal(size=(count, 1, size, size))
    images = (targets[:, None] + 0.5 * noise).astype(np.float32)
    return Batch(images, targets[:, None], signed_distance(targets[:, None]))


def weights_off_their_start(spec):
    """Weights without the zeros and ones of a fresh network, variances positive."""
    stream = np.random.default_rng(7)
    first = initial_weights(spec, 0, NUM_COARSER)
    moved = {n: array + stream.normal(0, 0.1, array.shape) for n, array in first.items()}
    moved = {n: np.abs(a) if n.endswith("variance") else a for n, a in moved.items()}
    return {name: array.astype(np.float32) for name, array in moved.items()}


def level_logits(backend, images, *, training=False):
    """Logits of every supervised level, channels first, as the training has them."""
    if backend.name == "pytorch":
        network = backend._network.train(training)
        with torch.no_grad():
            return [logits.numpy() for logits in network.supervised(torch.from_numpy(images))]
    found = backend._models.supervised(np.moveaxis(images, 1, -1), training=training)
    return [np.moveaxis(logits.numpy(), -1, 1) for logits in found]


# --- the loss of several levels -----------------------------------------------------------------


def pyramid(seed, size=8, levels=3):
    stream = np.random.default_rng(seed)
    logits = [stream.normal(0, 2, (2, 1, size >> n, size >> n)) for n in range(levels)]
    target = np.zeros((2, 1, size, size), np.float32)
    target[0, 0, 1:4, 2:6] = 1
    return [each.astype(np.float32) for each in logits], target


def compared_with(term, logits, target):
    distance = signed_distance(target) if needs_distance([term]) else None
    return [(target, distance), *coarser_targets(target, [(2, 2)] * (len(logits) - 1), [term])]


def in_pytorch(term, logits, target):
    leaves = [torch.from_numpy(each.copy()).requires_grad_() for each in logits]
    targets = [
        tuple(None if each is None else torch.from_numpy(each) for each in level)
        for level in compared_with(term, logits, target)
    ]
    value = pytorch_losses.deeply_supervised_loss([term], leaves, targets)
    value.backward()
    return float(value.detach()), [leaf.grad.numpy() for leaf in leaves]


def in_tensorflow(term, logits, target):
    leaves = [tf.Variable(np.moveaxis(each, 1, -1)) for each in logits]
    targets = [
        tuple(None if each is None else np.moveaxis(each, 1, -1) for each in level)
        for level in compared_with(term, logits, target)
    ]
    with tf.GradientTape() as tape:
        value = tensorflow_losses.deeply_supervised_loss([term], leaves, targets)
    gradients = tape.gradient(value, leaves)
    return float(value), [np.moveaxis(each.numpy(), -1, 1) for each in gradients]


twins = pytest.mark.parametrize("twin", [in_pytorch, in_tensorflow], ids=["pytorch", "tensorflow"])


@terms
@twins
def test_value_is_that_of_the_definition(twin, term):
    logits, target = pyramid(0)
    expected = deeply_supervised_loss([term], [x.astype(float) for x in logits], target)
    assert twin(term, logits, target)[0] == pytest.approx(expected, rel=1e-6, abs=1e-6)


@terms
@twins
def test_gradient_at_each_level_is_that_of_finite_differences(twin, term):
    logits, target = pyramid(1, size=4)
    wide = [each.astype(float) for each in logits]
    for found, level in zip(twin(term, logits, target)[1], wide, strict=True):
        expected = np.empty(level.shape)
        for index in np.ndindex(level.shape):
            here, sides = level[index], []
            for step in (1e-5, -1e-5):
                level[index] = here + step
                sides.append(deeply_supervised_loss([term], wide, target))
            level[index], expected[index] = here, (sides[0] - sides[1]) / 2e-5
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


# --- the networks -------------------------------------------------------------------------------


@specs
@pytest.mark.parametrize("training", [False, True], ids=["evaluating", "training"])
def test_logits_of_every_level_agree(spec, training):
    images, levels = blobs(32).images, []
    for backend in both(spec):
        backend.load_weights(weights_off_their_start(spec))
        levels.append(level_logits(backend, images, training=training))
    ours, theirs = levels
    assert [each.shape[2:] for each in ours] == [(32, 32), (16, 16), (8, 8)]
    for one, other in zip(ours, theirs, strict=True):
        assert one.dtype == other.dtype == np.float32
        assert np.ptp(one) > 0.1
        np.testing.assert_allclose(other, one, atol=1e-4)


@specs
@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_a_step_has_the_loss_of_the_definition_on_the_logits_of_all_levels(spec, framework):
    loss = tuple(LossTerm(name=name) for name in ("bce", "dice", "boundary"))
    backend, examples = make_backend(framework, config(spec, loss)), blobs()
    backend.load_weights(weights := weights_off_their_start(spec))
    logits = level_logits(backend, examples.images, training=True)
    backend.load_weights(weights)  # running statistics have moved
    found = backend.train_step(examples, step=1, learning_rate=1e-3)
    assert found == pytest.approx(deeply_supervised_loss(loss, logits, examples.targets), rel=1e-5)
    alone = deeply_supervised_loss(loss, logits[:1], examples.targets)
    assert abs(found - alone) > 1e-3


@specs
def test_gradients_agree_and_reach_the_heads(spec):
    states = []
    for backend in both(spec):
        backend.train_step(blobs(), step=1, learning_rate=1e-3)
        states.append(backend.optimiser_state())
    ours, theirs = states
    assert ours.keys() == theirs.keys()
    gradients = {name: array * 10 for name, array in ours.items() if name.startswith("first.")}
    largest = max(np.abs(array).max() for array in gradients.values())
    for name, gradient in gradients.items():
        np.testing.assert_allclose(gradient, theirs[name] * 10, atol=1e-5 * largest, err_msg=name)
    for level in (1, 2):
        for kind in ("weight", "bias"):
            assert np.abs(gradients[f"first.decoder.{level}.head.{kind}"]).max() > 1e-3


OPTIMISERS = {
    "adamw": {},
    "sgd, clipped": {"optimiser": "sgd", "clip_norm": 0.1},
    "accumulated": {"accumulation": 3},
}


@pytest.mark.parametrize("options", OPTIMISERS.values(), ids=OPTIMISERS.keys())
def test_one_step_of_the_optimiser_agrees_from_the_same_state(options):
    first, second = both(SPECS["group"], **options)
    for step in range(1, 4):
        first.train_step(blobs(), step=step, learning_rate=1e-2)
    before = first.weights()
    second.load_weights(before)
    second.load_optimiser_state(first.optimiser_state())
    losses = [b.train_step(blobs(), step=4, learning_rate=1e-2) for b in (first, second)]
    assert losses[0] == pytest.approx(losses[1], abs=1e-6)
    after, other = first.weights(), second.weights()
    assert np.any(after["decoder.2.head.weight"] != before["decoder.2.head.weight"])
    for name, array in after.items():
        np.testing.assert_allclose(other[name], array, atol=2e-5, err_msg=name)


@pytest.mark.parametrize("name", ["group", "batch"])
def test_thirty_steps_follow_the_same_curve(name):
    """With every kind of loss: of pixels, of regions and of distances."""
    loss = Recipe().with_settings(["loss=bce:1,dice:1,boundary:0.05"]).loss
    curves = [
        [backend.train_step(blobs(), step=step, learning_rate=3e-3) for step in range(1, 31)]
        for backend in both(SPECS[name], loss=loss)
    ]
    assert curves[0][-1] < 0.8 * curves[0][0]
    np.testing.assert_allclose(curves[1], curves[0], rtol=2e-3)


# --- what is kept -------------------------------------------------------------------------------


@specs
def test_onnx_without_the_heads_has_the_logits_of_the_frameworks(spec):
    kept = None
    for backend in both(spec):
        if kept is None:
            for step in range(1, 4):
                backend.train_step(blobs(), step=step, learning_rate=1e-2)
            kept = backend.weights()
        backend.load_weights(kept)
        images = np.random.default_rng(0).normal(size=(2, 1, 33, 45)).astype(np.float32)
        expected = backend.predict_logits(images)
        exported = open_runtime(spec, without_training_heads(kept), threads=1).logits(images)
        assert exported.shape == (2, 1, 33, 45)
        assert np.ptp(exported) > 0.1
        np.testing.assert_allclose(exported, expected, atol=1e-4)


def test_bfloat16_levels_stay_near_float32_and_have_its_type():
    spec, images = SPECS["group"], blobs().images
    for framework in FRAMEWORKS:
        wide, narrow = (
            make_backend(framework, config(spec, precision=precision))
            for precision in ("float32", "bfloat16")
        )
        losses = [b.train_step(blobs(), step=1, learning_rate=1e-3) for b in (wide, narrow)]
        assert losses[0] != losses[1]
        assert losses[1] == pytest.approx(losses[0], rel=0.02)
        if framework == "pytorch":
            inputs = torch.from_numpy(images)
            with torch.autocast("cpu", dtype=torch.bfloat16), torch.no_grad():
                types = {logits.dtype for logits in narrow._network.supervised(inputs)}
            assert types == {torch.float32}
        else:
            outputs = narrow._models.supervised(np.moveaxis(images, 1, -1))
            assert {logits.dtype for logits in outputs} == {tf.float32}
