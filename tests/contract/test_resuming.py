"""A training with averaged weights, interrupted and resumed, in both frameworks."""

import numpy as np
import pytest

from breastseg.backends.protocol import FRAMEWORKS, BackendConfig, make_backend
from breastseg.backends.weights import read_weights
from breastseg.core.recipe import Optimisation, Recipe, UNetSpec
from breastseg.datasets.splits import DataSplit
from breastseg.pipeline.batches import PreparedCase
from breastseg.training.checkpoint import create_run, open_run
from breastseg.training.fit import fit
from breastseg.workflows.progress import silent_listener

RECIPE = Recipe(
    network=UNetSpec(channels=(4, 8), norm="batch", dropout=(0.5,)),
    optimisation=Optimisation(
        optimiser="sgd",
        clip_norm=1.0,
        batch_size=4,
        accumulation=2,
        epochs=3,
        ema_decay=0.9,
        sampling="balanced",
        precision="float32",
    ),
)


def cases(count):
    stream = np.random.default_rng(count)
    images = stream.normal(size=(count, 16, 16)).astype(np.float32)
    return [PreparedCase(image, (image > 1) & (n % 3 > 0)) for n, image in enumerate(images)]


def new_backend(framework):
    config = BackendConfig(
        network=RECIPE.network,
        loss=RECIPE.loss,
        optimisation=RECIPE.optimisation,
        device="cpu",
        num_threads=1,
    )
    return make_backend(framework, config)


class CtrlC:
    """A listener that interrupts in the middle of the second epoch."""

    def step_done(self, *, epoch, step, num_steps, loss):
        if epoch == 2:
            raise KeyboardInterrupt

    def epoch_done(self, record, *, is_best):
        pass


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_averaged_weights_resume_to_the_same_bits(framework, tmp_path):
    split = DataSplit(method="by hand", parts={"train": ("a",)}, groups={"a": "a"})
    whole, halved = (
        create_run(
            tmp_path / name,
            recipe=RECIPE,
            split=split,
            environment={"framework": framework, "versions": {}},
            content={},
        )
        for name in ("whole", "halved")
    )
    data = (cases(12), cases(6))
    fit(new_backend(framework), *data, whole, silent_listener())
    with pytest.raises(KeyboardInterrupt):
        fit(new_backend(framework), *data, halved, CtrlC())
    assert halved.state().epoch == 1
    fit(new_backend(framework), *data, open_run(halved.path), silent_listener())
    for name in ("weights", "last/weights", "last/average", "last/optimiser"):
        ours, theirs = (read_weights(run.path / f"{name}.safetensors") for run in (halved, whole))
        assert ours.keys() == theirs.keys()
        assert all(np.array_equal(ours[key], theirs[key]) for key in ours), name
    average = read_weights(whole.path / "last" / "average.safetensors")
    last = read_weights(whole.path / "last" / "weights.safetensors")
    assert not np.array_equal(average["head.weight"], last["head.weight"])
