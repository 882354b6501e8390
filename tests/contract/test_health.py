"""The seed's mistakes, made again in both frameworks, and a healthy training in both."""

import logging
import math

import numpy as np
import pytest
import tensorflow as tf
import torch

from breastseg.backends.protocol import FRAMEWORKS, BackendConfig, make_backend
from breastseg.core.errors import HealthError
from breastseg.core.network_recipe import UNetSpec
from breastseg.core.recipe import LossTerm, Optimisation, Recipe, Schedule
from breastseg.core.recipes import smoke
from breastseg.datasets.splits import DataSplit
from breastseg.networks.spec import initial_weights
from breastseg.pipeline.batches import epoch_batches
from breastseg.pipeline.image_set import ImageSet, PreparedCase
from breastseg.training.checkpoint import create_run
from breastseg.training.fit import batching_of, fit
from breastseg.training.range_test import propose_learning_rate
from breastseg.workflows.progress import silent_listener
from breastseg.workflows.train import Hardware, train

frameworks = pytest.mark.parametrize("framework", FRAMEWORKS)


def cases(count, seed):
    """Bright rectangles in noise."""
    stream = np.random.default_rng(seed)
    made = []
    for _ in range(count):
        target = np.zeros((16, 16), bool)
        row, column = stream.integers(2, 8, 2)
        target[row : row + 6, column : column + 5] = True
        image = stream.normal(0, 0.5, (16, 16)) + 2 * target
        made.append(PreparedCase(image.astype(np.float32), target))
    return made


def recipe(loss="bce-dice", **optimisation):
    """A small network without normalisation, as the seed's were."""
    given = {"batch_size": 4, "epochs": 8, "precision": "float32"}
    return Recipe(
        network=UNetSpec(channels=(8, 16, 16)),
        loss=(LossTerm(name=loss),),
        optimisation=Optimisation(schedule=Schedule(name="constant"), **given | optimisation),
    )


def backend(framework, of):
    config = BackendConfig(
        network=of.network,
        loss=of.loss,
        optimisation=of.optimisation,
        seed=of.seed,
        device="cpu",
        num_threads=1,
    )
    return make_backend(framework, config)


@pytest.fixture
def learn(tmp_path):
    """Return a function that trains a backend on rectangles and returns the run."""

    def fit_it(engine, of):
        parts = {"train": ("a",), "test": ("b",)}
        split = DataSplit(method="by hand", parts=parts, groups={"a": "a", "b": "b"})
        environment = {"framework": engine.name, "versions": {}}
        run = create_run(
            tmp_path / "run", recipe=of, split=split, environment=environment, content={}
        )
        fit(engine, ImageSet(cases(16, 0)), ImageSet(cases(6, 1)), run, silent_listener())
        return run

    return fit_it


@frameworks
def test_a_learning_rate_of_0_3_is_stopped_and_the_one_proposed_learns(framework, learn, tmp_path):
    absurd = recipe(learning_rate=0.3)
    with pytest.raises(HealthError, match=r"has risen to .* A range test .* proposes") as stopped:
        learn(backend(framework, absurd), absurd)
    assert stopped.value.exit_code == 3
    proposed = float(str(stopped.value).split("learning_rate=")[1].split(")")[0])
    assert 1e-4 <= proposed <= 3e-2
    (tmp_path / "run").rename(tmp_path / "stopped")
    better = recipe(learning_rate=proposed)
    assert learn(backend(framework, better), better).state().dice[-1] > 0.5


@frameworks
def test_a_network_destroyed_under_a_bounded_loss_is_a_constant_prediction(framework, learn):
    absurd = recipe(loss="dice", learning_rate=0.3)
    with pytest.raises(HealthError, match=r"epoch \d: the network has collapsed: for 5 epochs"):
        learn(backend(framework, absurd), absurd)


def forget_to_step(engine):
    if engine.name == "pytorch":
        engine._optimiser._torch.step = lambda: None
    else:
        engine._optimiser.apply = lambda gradients, coefficients: None


@frameworks
def test_an_optimiser_whose_step_is_never_called_is_stopped_after_one_epoch(framework, learn):
    engine = backend(framework, recipe())
    forget_to_step(engine)
    with pytest.raises(HealthError, match="epoch 1: no weight has changed"):
        learn(engine, recipe())


def end_with_a_sigmoid(engine):
    if engine.name == "pytorch":
        head = engine._network.head
        head.register_forward_hook(lambda module, given, logits: torch.sigmoid(logits))
        return
    engine._models.network.get_layer("head").activation = tf.sigmoid


@frameworks
@pytest.mark.parametrize("loss", ["bce", "dice"])
def test_a_sigmoid_in_network_and_loss_is_stopped(framework, loss, learn):
    engine = backend(framework, recipe(loss))
    end_with_a_sigmoid(engine)
    with pytest.raises(HealthError, match="epoch 3: a sigmoid is probably applied twice"):
        learn(engine, recipe(loss))


@frameworks
def test_a_rate_that_is_lost_is_told_with_one_that_learns(framework, learn):
    tiny = recipe(learning_rate=1e-9)
    with pytest.raises(HealthError, match=r"epoch 5: the loss has stayed .* proposes"):
        learn(backend(framework, tiny), tiny)


@frameworks
def test_a_recipe_may_ask_for_warnings_alone(framework, learn, caplog):
    patient = recipe().model_copy(update={"health": "warn"})
    engine = backend(framework, patient)
    forget_to_step(engine)
    assert learn(engine, patient).state().epoch == 8
    assert "no weight has changed since the training began" in caplog.text


@frameworks
def test_a_range_test_leaves_fresh_weights_and_finds_none_for_what_cannot_be_learnt(framework):
    of = recipe()
    engine, weights = backend(framework, of), initial_weights(of.network, of.seed)
    stream = np.random.default_rng(0)
    nothing = [PreparedCase(case.image * 0, stream.random((16, 16)) > 0.5) for case in cases(8, 0)]
    batches = [
        batch
        for epoch in range(19)
        for batch in epoch_batches(ImageSet(nothing), batching_of(of), epoch=epoch)
    ]
    propose_learning_rate(engine, batches, weights)
    for name, array in engine.weights().items():
        np.testing.assert_array_equal(array, weights[name])
    assert not any(array.any() for array in engine.optimiser_state().values())


@frameworks
def test_a_healthy_smoke_training_on_phantoms_raises_no_alarm(
    framework, phantom_data, tmp_path, caplog
):
    caplog.set_level(logging.INFO, logger="breastseg")
    of = smoke().with_settings(
        [
            "preprocessing.size=32",
            "optimisation.precision=float32",
            "optimisation.batch_size=2",
            "optimisation.epochs=80",
        ]
    )
    run = train(
        phantom_data, of, framework=framework, output=tmp_path / "run", hardware=Hardware(threads=1)
    )
    state = run.state()
    assert state.epoch == of.optimisation.epochs
    assert state.dice[2:10] == [0] * 8, "it is slow to find anything, and healthy all the same"
    assert max(state.dice) > 0.3
    assert all(math.isfinite(each.loss) for each in state.history)
    warnings = [each for each in caplog.records if each.levelno >= logging.WARNING]
    assert [each.getMessage() for each in warnings if each.name.endswith("training.fit")] == []


@frameworks
def test_a_healthy_training_whose_loss_may_be_negative_raises_no_alarm(
    framework, phantom_data, tmp_path, caplog
):
    of = smoke().with_settings(
        [
            *("loss=bce-dice:1,boundary:0.01", "optimisation.epochs=20"),
            *("preprocessing.size=32", "optimisation.precision=float32"),
            "optimisation.batch_size=2",
        ]
    )
    run = train(
        phantom_data, of, framework=framework, output=tmp_path / "run", hardware=Hardware(threads=1)
    )
    losses = [record.loss for record in run.state().history]
    assert len(losses) == 20
    assert losses[-1] < losses[0]
    told = [each for each in caplog.records if each.name.endswith("training.fit")]
    assert [each.getMessage() for each in told if each.levelno >= logging.WARNING] == []
