"""One specification, three builders: PyTorch, TensorFlow and ONNX compute the same."""

import numpy as np
import pytest

from breastseg.backends.protocol import FRAMEWORKS, BackendConfig, make_backend
from breastseg.core.network_recipe import NETWORKS, UNetSpec
from breastseg.core.recipe import LossTerm, Optimisation
from breastseg.inference.runtime import open_runtime
from breastseg.networks.spec import initial_weights
from breastseg.pipeline.batches import Batch

SPECS = {
    "plain": UNetSpec(channels=(4, 8, 12)),
    "group": UNetSpec(channels=(8, 16, 24), norm="group", convolutions=(1, 2, 3)),
    "batch": UNetSpec(channels=(4, 8), norm="batch", convolutions=1),
    "interpolation": UNetSpec(channels=(4, 8, 12), upsampling="interpolation"),
    "two channels": UNetSpec(channels=(4, 8), input_channels=2),
}
specs = pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS.keys())


def config(spec, **options):
    optimisation = Optimisation(precision="float32", **options)
    loss = (LossTerm(name="bce-dice"),)
    return BackendConfig(
        network=spec, loss=loss, optimisation=optimisation, seed=3, device="cpu", num_threads=1
    )


def both(spec, **options):
    return [make_backend(framework, config(spec, **options)) for framework in FRAMEWORKS]


def batch(spec, size=16, count=4):
    """Blobs that a network can learn: bright where the target is."""
    stream = np.random.default_rng(5)
    row, column = np.mgrid[:size, :size]
    centres = stream.uniform(size / 4, 3 * size / 4, (count, 2, 1, 1))
    targets = (np.hypot(row - centres[:, 0], column - centres[:, 1]) < size / 4).astype(np.float32)
    noise = stream.normal(size=(count, spec.input_channels, size, size))
    return Batch((targets[:, None] + 0.5 * noise).astype(np.float32), targets[:, None])


def trained_weights(spec):
    """Weights without the zeros and ones of a fresh network, variances positive."""
    stream = np.random.default_rng(7)
    return {
        name: (
            np.abs(array + stream.normal(0, 0.1, array.shape))
            if name.endswith("variance")
            else array + stream.normal(0, 0.1, array.shape)
        ).astype(np.float32)
        for name, array in initial_weights(spec, 0).items()
    }


@specs
@pytest.mark.parametrize("size", [(32, 32), (33, 45)], ids=["fits", "padded"])
def test_logits_of_all_builders_agree(spec, size):
    weights = trained_weights(spec)
    images = np.random.default_rng(0).normal(size=(2, spec.input_channels, *size))
    images = images.astype(np.float32)
    logits = [open_runtime(spec, weights, threads=1).logits(images)]
    for backend in both(spec):
        backend.load_weights(weights)
        logits.append(backend.predict_logits(images))
    assert logits[0].shape == (2, 1, *size)
    assert np.ptp(logits[0]) > 0.1
    for other in logits[1:]:
        np.testing.assert_allclose(other, logits[0], atol=1e-4)


@pytest.mark.parametrize("name", ["unet-256", "unet-1024", "unet-deep"])
def test_logits_of_the_named_networks_agree(name):
    spec = NETWORKS[name]
    weights = initial_weights(spec, 0)
    images = np.random.default_rng(0).normal(size=(1, 1, 64, 64)).astype(np.float32)
    logits = [open_runtime(spec, weights, threads=1).logits(images)]
    for backend in both(spec):
        backend.load_weights(weights)
        logits.append(backend.predict_logits(images))
    assert np.ptp(logits[0]) > 0.1
    for other in logits[1:]:
        np.testing.assert_allclose(other, logits[0], atol=1e-4)


@specs
def test_weights_survive_the_way_through_either_framework(spec):
    weights = trained_weights(spec)
    for backend in both(spec):
        backend.load_weights(weights)
        kept = backend.weights()
        assert kept.keys() == weights.keys()
        for name, array in weights.items():
            np.testing.assert_array_equal(kept[name], array)


@specs
def test_gradients_agree(spec):
    states = []
    for backend in both(spec):
        backend.train_step(batch(spec), step=1, learning_rate=1e-3)
        states.append(backend.optimiser_state())
    ours, theirs = states
    assert ours.keys() == theirs.keys()
    gradients = {name: array * 10 for name, array in ours.items() if name.startswith("first.")}
    largest = max(np.abs(array).max() for array in gradients.values())
    for name, gradient in gradients.items():
        np.testing.assert_allclose(gradient, theirs[name] * 10, atol=1e-5 * largest, err_msg=name)


SGD = {"optimiser": "sgd", "weight_decay": 1e-3}
OPTIMISERS = {
    "adam": {"optimiser": "adam", "weight_decay": 0.0},
    "adamw": {"optimiser": "adamw", "weight_decay": 0.1},
    "sgd": {**SGD, "weight_decay": 0.1},
    "sgd without nesterov": {**SGD, "nesterov": False},
    "sgd without momentum": {**SGD, "momentum": 0.0, "nesterov": False},
    "clipped": {**SGD, "clip_norm": 0.1},
    "accumulated": {"accumulation": 3},
}


@pytest.mark.parametrize("options", OPTIMISERS.values(), ids=OPTIMISERS.keys())
def test_one_step_of_the_optimiser_agrees_from_the_same_state(options):
    spec = SPECS["group"]
    first, second = both(spec, **options)
    examples = batch(spec)
    for step in range(1, 4):
        first.train_step(examples, step=step, learning_rate=1e-2)
    before = first.weights()
    second.load_weights(before)
    second.load_optimiser_state(first.optimiser_state())
    losses = [b.train_step(examples, step=4, learning_rate=1e-2) for b in (first, second)]
    assert losses[0] == pytest.approx(losses[1], abs=1e-6)
    after, other = first.weights(), second.weights()
    assert max(np.abs(after[name] - before[name]).max() for name in after) > 1e-3
    for name, array in after.items():
        np.testing.assert_allclose(other[name], array, atol=2e-5, err_msg=name)


@pytest.mark.parametrize("name", ["group", "batch"])
def test_fifty_steps_follow_the_same_curve(name):
    spec = SPECS[name]
    examples = batch(spec)
    curves = [
        [backend.train_step(examples, step=step, learning_rate=3e-3) for step in range(1, 51)]
        for backend in both(spec)
    ]
    assert curves[0][-1] < 0.7 * curves[0][0]
    np.testing.assert_allclose(curves[1], curves[0], rtol=2e-3)


FIFTY = {
    "sgd, clipped": {**SGD, "momentum": 0.95, "clip_norm": 0.5},
    "adamw, clipped and accumulated": {"clip_norm": 0.5, "accumulation": 2},
}


@pytest.mark.parametrize("options", FIFTY.values(), ids=FIFTY.keys())
def test_fifty_steps_of_a_falling_rate_follow_the_same_curve(options):
    """Keras's own SGD keeps the rate inside the velocity: a schedule would show it."""
    spec, examples = SPECS["group"], batch(SPECS["group"])
    start = 3e-2 if options.get("optimiser") == "sgd" else 3e-3
    rates = [start * 0.5 ** (step // 10) for step in range(50)]
    curves, last = [], []
    for backend in both(spec, **options):
        curves.append(
            [
                backend.train_step(examples, step=step, learning_rate=rate)
                for step, rate in enumerate(rates, start=1)
            ]
        )
        last.append(backend.weights())
    assert curves[0][-1] < 0.8 * curves[0][0]
    np.testing.assert_allclose(curves[1], curves[0], rtol=2e-3)
    for name, array in last[0].items():
        np.testing.assert_allclose(last[1][name], array, atol=5e-3, err_msg=name)


def test_bfloat16_stays_near_float32():
    spec = SPECS["group"]
    images = batch(spec).images
    for framework in FRAMEWORKS:
        logits = {}
        for precision in ("float32", "bfloat16"):
            wide = config(spec)
            optimisation = wide.optimisation.model_copy(update={"precision": precision})
            narrow = BackendConfig(
                network=spec, loss=wide.loss, optimisation=optimisation, device="cpu", num_threads=1
            )
            logits[precision] = make_backend(framework, narrow).predict_logits(images)
        error = np.abs(logits["bfloat16"] - logits["float32"]).max()
        assert 0 < error < 0.05 * np.ptp(logits["float32"])
