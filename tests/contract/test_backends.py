"""One suite that every backend must pass."""

import numpy as np
import pytest

from breastseg.backends.protocol import FRAMEWORKS, BackendConfig, make_backend, precision_of
from breastseg.core.errors import InputError, WeightsError
from breastseg.core.network_recipe import UNetSpec
from breastseg.core.recipe import LossTerm, Optimisation
from breastseg.networks.spec import initial_weights, without_training_heads
from breastseg.pipeline.batches import Batch

SPEC = UNetSpec(channels=(8, 16, 16), convolutions=1, norm="group", dropout=(0.5, 0.5))


def make(framework, **changes):
    given = {
        "network": SPEC,
        "loss": (LossTerm(name="bce"),),
        "optimisation": Optimisation(precision="float32"),
        "device": "cpu",
        "num_threads": 1,
    }
    return make_backend(framework, BackendConfig(**given | changes))


@pytest.fixture(params=FRAMEWORKS)
def framework(request):
    return request.param


@pytest.fixture
def examples():
    stream = np.random.default_rng(0)
    images = stream.normal(size=(3, 1, 16, 16)).astype(np.float32)
    return Batch(images, (images > 0.5).astype(np.float32))


def weights_after(framework, examples, *, steps, **changes):
    backend = make(framework, **changes)
    for step in range(1, steps + 1):
        backend.train_step(examples, step=step, learning_rate=1e-2)
    return backend.weights()


def test_a_step_returns_the_loss_before_it_and_changes_every_trained_weight(framework, examples):
    backend = make(framework)
    before = backend.weights()
    loss = backend.train_step(examples, step=1, learning_rate=1e-2)
    assert 0.1 < loss < 10
    after = backend.weights()
    assert all(np.any(after[name] != before[name]) for name in before)


def test_the_same_seed_gives_the_same_weights_bit_for_bit(framework, examples):
    first, second = (weights_after(framework, examples, steps=3) for _ in range(2))
    assert all(np.array_equal(first[name], second[name]) for name in first)


def test_a_loss_on_the_distance_map_wants_it_in_the_batch(framework, examples):
    backend = make(framework, loss=(LossTerm(name="boundary"),))
    with pytest.raises(ValueError, match=r"needs Batch\.distance"):
        backend.train_step(examples, step=1, learning_rate=1e-2)


def test_another_seed_gives_other_weights(framework, examples):
    first, second = (weights_after(framework, examples, steps=1, seed=s) for s in (0, 1))
    assert any(not np.array_equal(first[name], second[name]) for name in first)


OPTIMISATIONS = {
    "adamw": {},
    "sgd": {"optimiser": "sgd"},
    "accumulated": {"accumulation": 2},
    "deeply supervised": {"deep_supervision": 1},
    "deeply supervised, accumulated": {"deep_supervision": 1, "accumulation": 2},
}
optimisations = pytest.mark.parametrize(
    "optimisation",
    [Optimisation(precision="float32", **each) for each in OPTIMISATIONS.values()],
    ids=OPTIMISATIONS.keys(),
)


@optimisations
def test_resuming_gives_the_weights_of_the_uninterrupted_run_bit_for_bit(
    framework, examples, optimisation
):
    whole = weights_after(framework, examples, steps=4, optimisation=optimisation)
    begun = make(framework, optimisation=optimisation)
    for step in (1, 2):
        begun.train_step(examples, step=step, learning_rate=1e-2)
    resumed = make(framework, optimisation=optimisation)
    resumed.load_weights(begun.weights())
    resumed.load_optimiser_state(begun.optimiser_state())
    for step in (3, 4):
        resumed.train_step(examples, step=step, learning_rate=1e-2)
    final = resumed.weights()
    assert all(np.array_equal(final[name], whole[name]) for name in whole)


def test_every_head_of_deep_supervision_is_trained_and_kept_with_its_moments(framework, examples):
    backend = make(framework, optimisation=Optimisation(precision="float32", deep_supervision=1))
    before = backend.weights()
    backend.train_step(examples, step=1, learning_rate=1e-2)
    after, moments = backend.weights(), backend.optimiser_state()
    assert after.keys() - make(framework).weights().keys() == {
        "decoder.1.head.weight",
        "decoder.1.head.bias",
    }
    assert all(np.any(after[name] != before[name]) for name in before)
    for name in ("first.decoder.1.head.weight", "second.decoder.1.head.bias"):
        assert moments[name].any()


def test_deep_supervision_changes_the_training_and_not_the_network(framework, examples):
    plain = make(framework)
    deep = make(framework, optimisation=Optimisation(precision="float32", deep_supervision=1))
    expected = plain.predict_logits(examples.images)
    np.testing.assert_array_equal(deep.predict_logits(examples.images), expected)
    losses = [b.train_step(examples, step=1, learning_rate=1e-2) for b in (plain, deep)]
    assert losses[0] != losses[1]
    plain.load_weights(without_training_heads(deep.weights()))
    expected = plain.predict_logits(examples.images)
    np.testing.assert_array_equal(deep.predict_logits(examples.images), expected)
    assert not np.array_equal(expected, make(framework).predict_logits(examples.images))


def test_weights_without_the_heads_that_are_trained_are_refused(framework):
    deep = make(framework, optimisation=Optimisation(precision="float32", deep_supervision=1))
    with pytest.raises(WeightsError, match=r"'decoder\.1\.head\.weight' is missing"):
        deep.load_weights(initial_weights(SPEC, 0))


def plain_sgd(**changes):
    """Steps that are the gradient times the rate."""
    constants = {"optimiser": "sgd", "momentum": 0.0, "nesterov": False, "weight_decay": 0.0}
    return Optimisation(precision="float32", **constants | changes)


def change(framework, examples, **options):
    """What one step of rate 1 takes from each weight: the gradient, as it was used."""
    backend = make(framework, **options)
    before = backend.weights()
    loss = backend.train_step(examples, step=1, learning_rate=1.0)
    return {name: before[name] - array for name, array in backend.weights().items()}, loss


def test_gradients_are_clipped_by_the_norm_of_all_together(framework, examples):
    free, _ = change(framework, examples, optimisation=plain_sgd())
    norm = np.sqrt(sum(np.square(array).sum() for array in free.values()))
    assert norm > 0.1
    clipped, _ = change(framework, examples, optimisation=plain_sgd(clip_norm=0.05))
    for name, array in free.items():
        np.testing.assert_allclose(clipped[name], array * 0.05 / norm, atol=1e-6, err_msg=name)
    loose, _ = change(framework, examples, optimisation=plain_sgd(clip_norm=float(2 * norm)))
    for name, array in free.items():
        np.testing.assert_allclose(loose[name], array, atol=1e-6, err_msg=name)


@pytest.mark.parametrize("parts", [2, 3])
def test_the_parts_of_a_batch_make_the_step_of_the_whole(framework, examples, parts):
    """The loss is a mean over images; parts of two and of one image count by their size."""
    network = SPEC.model_copy(update={"dropout": ()})
    whole, loss = change(framework, examples, network=network, optimisation=plain_sgd())
    accumulated = plain_sgd(accumulation=parts)
    found, same = change(framework, examples, network=network, optimisation=accumulated)
    assert same == pytest.approx(loss, rel=1e-5)
    for name, array in whole.items():
        np.testing.assert_allclose(found[name], array, atol=1e-5, err_msg=name)


def test_each_part_of_a_batch_has_dropout_of_its_own(framework, examples):
    pair = Batch(examples.images[[0, 0]], examples.targets[[0, 0]])
    alone = Batch(examples.images[:1], examples.targets[:1])
    _, twice = change(framework, pair, optimisation=plain_sgd(accumulation=2))
    _, once = change(framework, alone, optimisation=plain_sgd())
    assert twice != pytest.approx(once, rel=1e-6)


def test_dropout_is_in_training_alone(framework, examples):
    backend = make(framework)
    first, second = (backend.predict_logits(examples.images) for _ in range(2))
    np.testing.assert_array_equal(first, second)
    without = make(framework, network=SPEC.model_copy(update={"dropout": ()}))
    with_dropout = backend.train_step(examples, step=1, learning_rate=1e-2)
    assert with_dropout != without.train_step(examples, step=1, learning_rate=1e-2)


def test_any_size_is_padded_and_cropped(framework):
    images = np.zeros((1, 1, 7, 9), np.float32)
    assert make(framework).predict_logits(images).shape == (1, 1, 7, 9)


def test_weight_decay_spares_biases_and_scales(framework, examples):
    decayed = Optimisation(precision="float32", weight_decay=0.5)
    plain = Optimisation(precision="float32", weight_decay=0.0)
    with_decay, without = (
        weights_after(framework, examples, steps=1, optimisation=each) for each in (decayed, plain)
    )
    assert not np.array_equal(with_decay["head.weight"], without["head.weight"])
    np.testing.assert_array_equal(with_decay["head.bias"], without["head.bias"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda w: w.pop("head.bias"), "'head.bias' is missing"),
        (lambda w: w.update(extra=np.zeros(1, np.float32)), "'extra' is not one"),
        (lambda w: w.update({"head.bias": np.zeros(2, np.float32)}), r"shape \(1,\), got \(2,\)"),
        (lambda w: w.update({"head.bias": np.full(1, np.nan, np.float32)}), "found NaN"),
    ],
)
def test_weights_that_do_not_fit_are_refused(framework, change, message):
    weights = initial_weights(SPEC, 0)
    change(weights)
    with pytest.raises(WeightsError, match=message):
        make(framework).load_weights(weights)


def test_cuda_is_refused_where_there_is_none(framework):
    try:
        make(framework, device="cuda")
    except InputError as error:
        assert "--device cpu" in str(error)  # noqa: PT017 - a machine with CUDA raises nothing


def test_an_unknown_framework_is_refused():
    with pytest.raises(InputError, match="pytorch or tensorflow, got 'jax'"):
        make("jax")


def test_precision_follows_the_recipe_and_cuda():
    assert precision_of("float32", on_cuda=True) == "float32"
    assert precision_of("auto", on_cuda=True) == "bfloat16"
