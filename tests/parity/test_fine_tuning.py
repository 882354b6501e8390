"""A training that begins from a model has the model's logits before its first step."""

import numpy as np
import pytest

from breastseg.backends.protocol import FRAMEWORKS, BackendConfig, make_backend
from breastseg.core.network_recipe import LiteUNetSpec, UNetSpec
from breastseg.core.recipe import Recipe
from breastseg.datasets.splits import DataSplit
from breastseg.pipeline.batches import Batch
from breastseg.training.begun_from import copy_model, weights_at_start
from breastseg.training.checkpoint import create_run

NETWORKS = {
    "group": UNetSpec(channels=(8, 16, 16), norm="group"),
    "batch, classes": UNetSpec(channels=(4, 8, 8), norm="batch", classes=("a", "b")),
    "volumes": UNetSpec(dimensions=3, channels=(4, 8, 8), norm="batch"),
    "efficientnet": LiteUNetSpec(encoder="efficientnet-lite0"),
}


def backend(framework, recipe):
    config = BackendConfig(
        network=recipe.network,
        loss=recipe.loss,
        optimisation=recipe.optimisation,
        seed=recipe.seed,
        device="cpu",
        num_threads=1,
    )
    return make_backend(framework, config)


def begin(path, recipe):
    split = DataSplit(method="by hand", parts={"train": ()}, groups={})
    return create_run(
        path, recipe=recipe, split=split, environment={"framework": "any"}, content={}
    )


@pytest.mark.parametrize(
    ("framework", "name"),
    [("tensorflow", name) for name in NETWORKS] + [("pytorch", "batch, classes")],
)
def test_a_run_of_either_framework_begins_with_the_logits_of_a_model(framework, name, tmp_path):
    network = NETWORKS[name]
    other = next(each for each in FRAMEWORKS if each != framework)
    recipe = Recipe(network=network).with_settings(
        ["optimisation.precision=float32", "optimisation.batch_size=2"]
    )
    shape = (2, 1, *(32,) * network.dimensions) if network.dimensions == 2 else (2, 1, 8, 8, 8)
    images = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    first = backend(other, recipe)
    labels = np.array([0, 1]) if network.classes else None
    batch = Batch(images, (images > 1).astype(np.float32), labels=labels)
    for step in (1, 2):
        first.train_step(batch, step=step, learning_rate=1e-3)
    model = begin(tmp_path / "model", recipe)
    model.save_best(first.weights())

    wanted = ["optimisation.deep_supervision=1", f"initial_weights=model:{model.fingerprint}"]
    goes_on = recipe.with_settings(wanted)
    copy_model(model, tmp_path / "run")
    run = begin(tmp_path / "run", goes_on)
    second = backend(framework, goes_on)
    second.load_weights(weights_at_start(run))
    before, after = first.predict(images), second.predict(images)
    assert np.ptp(before.logits) > 0.01
    np.testing.assert_allclose(after.logits, before.logits, atol=1e-4)
    if network.classes:
        np.testing.assert_allclose(after.class_logits, before.class_logits, atol=1e-4)
