"""The U-Net on an EfficientNet-Lite, and the classes of an image: three builders compute the same.

TensorFlow traces 49 blocks for each network, so the tests share what they build.
"""

import numpy as np
import pytest

from breastseg.backends.protocol import FRAMEWORKS, BackendConfig, make_backend
from breastseg.core.loss_terms import LossTerm
from breastseg.core.network_recipe import UNLABELLED, LiteUNetSpec, UNetSpec
from breastseg.core.recipe import Optimisation
from breastseg.inference.runtime import open_runtime
from breastseg.networks.classification import class_cross_entropy
from breastseg.networks.deep_supervision import deeply_supervised_loss
from breastseg.networks.spec import initial_weights, without_training_heads
from breastseg.pipeline.batches import Batch

CLASSES = ("normal", "benign", "malignant")
SLIM = {"decoder": (4, 4, 8, 8, 8), "convolutions": 1}
LITE0 = LiteUNetSpec(encoder="efficientnet-lite0", classes=CLASSES, **SLIM)
LITE2 = LiteUNetSpec(
    encoder="efficientnet-lite2",
    norm="group",
    channels_per_group=4,
    upsampling="interpolation",
    **SLIM,
)
PLAIN = UNetSpec(channels=(4, 8), convolutions=1, classes=("benign", "malignant"))
VOLUMES = UNetSpec(channels=(4, 8), convolutions=1, dimensions=3, classes=CLASSES)
BCE_DICE = (LossTerm(name="bce-dice"),)
WEIGHT = 0.5


def both(spec, **options):
    config = BackendConfig(
        network=spec,
        loss=BCE_DICE,
        optimisation=Optimisation(**{"precision": "float32"} | options),
        class_loss_weight=WEIGHT,
        seed=3,
        device="cpu",
        num_threads=1,
    )
    return [make_backend(framework, config) for framework in FRAMEWORKS]


def blobs(count=4, size=64):
    """Discs that a network can learn: bright where the target is. One image has no class."""
    stream = np.random.default_rng(5)
    row, column = np.mgrid[:size, :size]
    centres = stream.uniform(size / 4, 3 * size / 4, (count, 2, 1, 1))
    targets = (np.hypot(row - centres[:, 0], column - centres[:, 1]) < size / 4).astype(np.float32)
    noise = stream.normal(size=(count, 1, size, size))
    labels = np.array([1, UNLABELLED, 0, 1])[:count]
    images = (targets[:, None] + 0.5 * noise).astype(np.float32)
    return Batch(images, targets[:, None], labels=labels)


def settled(spec, stream):
    """Random weights as a training leaves them: no norm is the start's, features stay in range."""
    weights = dict(initial_weights(spec, 0))
    for name, array in weights.items():
        if name.endswith((".norm.weight", ".norm.bias", ".mean")):
            weights[name] = (array + stream.normal(0, 0.1, array.shape)).astype(np.float32)
        elif name.endswith(".variance"):
            weights[name] = stream.uniform(0.5, 1.5, array.shape).astype(np.float32)
    return weights


@pytest.fixture(scope="module")
def engines():
    """LITE0 in both frameworks, with one supervised level more."""
    return both(LITE0, deep_supervision=1)


def assert_builders_agree(spec, backends, weights, size):
    images = np.random.default_rng(0).normal(size=(2, 1, *size)).astype(np.float32)
    kept = without_training_heads(weights)
    found = [
        open_runtime(spec, kept, threads=1, runtime=runtime).predict(images)
        for runtime in ("openvino", "onnxruntime")
    ]
    for backend in backends:
        backend.load_weights(weights)
        found.append(backend.predict(images))
    assert np.ptp(found[0].logits) > 0.1
    for each in found:
        assert each.logits.shape == (2, 1, *size)
        np.testing.assert_allclose(each.logits, found[0].logits, atol=1e-4)
        if spec.classes:
            assert each.class_logits.shape == (2, len(spec.classes))
            np.testing.assert_allclose(each.class_logits, found[0].class_logits, atol=1e-4)
        else:
            assert each.class_logits is None
            assert each.class_map is None
    if spec.classes:
        assert_maps_add_up(found[:2], backends[0], images, weights)


def assert_maps_add_up(found, backend, images, weights):
    """The map of the runtimes is that of the latent features in PyTorch; its mean the logits."""
    handed_over = []
    module = backend._network.encoder
    hook = module.register_forward_hook(lambda *ends: handed_over.append(ends[-1][-1]))
    logits = backend.predict(images).class_logits
    hook.remove()
    latent = handed_over[0].numpy()
    expected = np.einsum("bf...,cf->bc...", latent, weights["classes.weight"])
    space = tuple(range(2, latent.ndim))
    assert expected.std(axis=space).min() > 1e-4, "places differ"
    for each in found:
        np.testing.assert_allclose(each.class_map, expected, atol=1e-4)
        added_up = each.class_map.mean(axis=space) + weights["classes.bias"]
        np.testing.assert_allclose(added_up, logits, atol=1e-4)


def test_logits_of_all_builders_agree_at_an_odd_size(engines):
    stream = np.random.default_rng(7)
    heads = {
        name: array for name, array in engines[0].weights().items() if name.startswith("decoder.1")
    }
    assert_builders_agree(LITE0, engines, heads | settled(LITE0, stream), (65, 83))


OTHERS = {"lite2": (LITE2, (33, 64)), "plain": (PLAIN, (9, 8)), "volumes": (VOLUMES, (4, 7, 8))}


@pytest.mark.parametrize(("spec", "size"), OTHERS.values(), ids=OTHERS.keys())
def test_logits_of_other_networks_agree(spec, size):
    stream = np.random.default_rng(7)
    assert_builders_agree(spec, both(spec), settled(spec, stream), size)


def test_weights_survive_the_way_through_either_framework(engines):
    stream = np.random.default_rng(7)
    weights = {
        name: stream.uniform(0.1, 1, array.shape).astype(np.float32)
        for name, array in engines[0].weights().items()
    }
    for backend in engines:
        backend.load_weights(weights)
        kept = backend.weights()
        assert kept.keys() == weights.keys()
        for name, array in weights.items():
            np.testing.assert_array_equal(kept[name], array)


def apart(one, other):
    """Norm of the difference of two sets of arrays, relative to that of the other."""
    difference = sum(np.square(one[name] - other[name]).sum() for name in other)
    return float(np.sqrt(difference / sum(np.square(array).sum() for array in other.values())))


def test_two_steps_of_adamw_agree_in_gradients_statistics_and_weights(engines):
    """By the norm: at the deepest level 16 values are normalised, and ReLU6 has two kinks.

    Where a value lies within rounding of a kink, a gradient passes or does not. Against a
    gradient in float64, PyTorch's in float32 is 7e-4 of the norm away and TensorFlow's 3e-5, and
    single kernels near 1e-2; a padding on the wrong side or another epsilon is 0.1 and more.
    """
    weights = dict(engines[0].weights()) | settled(LITE0, np.random.default_rng(7))
    losses = []
    for backend in engines:
        backend.load_weights(weights)
        losses.append(backend.train_step(blobs(), step=1, learning_rate=1e-3))
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)
    ours, theirs = (
        {name: array for name, array in b.optimiser_state().items() if name.startswith("first.")}
        for b in engines
    )
    assert {"first.classes.weight", "first.encoder.stem.convolution.weight"} <= ours.keys()
    assert apart(ours, theirs) < 3e-3
    for name in ours:
        if name.endswith(("convolution.weight", "up.weight", "classes.weight")):
            assert apart({name: ours[name]}, {name: theirs[name]}) < 0.03, name
    first, second = engines
    one, other = (backend.weights() for backend in engines)
    for name, array in one.items():
        if name.endswith((".mean", ".variance")):
            assert np.any(array != weights[name])
            np.testing.assert_allclose(other[name], array, atol=1e-5, rtol=1e-4, err_msg=name)
    second.load_weights(one)
    second.load_optimiser_state(first.optimiser_state())
    for backend in engines:
        backend.train_step(blobs(), step=2, learning_rate=1e-3)
    changes = [
        {name: array - one[name] for name, array in backend.weights().items()}
        for backend in engines
    ]
    assert max(np.abs(change).max() for change in changes[0].values()) > 5e-4
    assert apart(*changes) < 2e-3


def class_loss(predicted, examples):
    logits = [predicted.logits.astype(np.float64)]
    pixels = deeply_supervised_loss(BCE_DICE, logits, examples.targets.astype(np.float64))
    return pixels + WEIGHT * class_cross_entropy(predicted.class_logits, examples.labels)


def test_the_loss_of_classes_is_its_definition_and_parts_of_a_batch_add_up():
    examples = blobs(count=3, size=8)
    for whole, parts in zip(both(PLAIN), both(PLAIN, accumulation=3), strict=True):
        expected = class_loss(whole.predict(examples.images), examples)
        losses = [b.train_step(examples, step=1, learning_rate=1e-2) for b in (whole, parts)]
        assert losses == pytest.approx([expected, expected], abs=1e-5)
        moments = [b.optimiser_state()["first.classes.weight"] for b in (whole, parts)]
        assert np.abs(moments[0]).max() > 1e-4
        np.testing.assert_allclose(moments[1], moments[0], atol=1e-6)


def test_a_batch_without_labels_teaches_the_classes_nothing():
    examples = blobs(size=8)
    for backend in both(PLAIN, weight_decay=0.0):
        before = backend.weights()
        backend.train_step(Batch(examples.images, examples.targets), step=1, learning_rate=1e-2)
        after = backend.weights()
        np.testing.assert_array_equal(after["classes.weight"], before["classes.weight"])
        assert np.any(after["encoder.1.block.0.convolution.weight"])
