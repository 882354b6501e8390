"""Averaged weights and deep supervision, interrupted and resumed, in both frameworks."""

import numpy as np
import pytest

from breastseg.backends.onnx.network import build_onnx
from breastseg.backends.protocol import FRAMEWORKS, BackendConfig, make_backend
from breastseg.backends.weights import read_weights
from breastseg.core.errors import WeightsError
from breastseg.core.network_recipe import UNetSpec
from breastseg.core.recipe import Augmentation, Optimisation, Recipe
from breastseg.core.volume_recipe import VolumePreprocessing
from breastseg.datasets.splits import DataSplit
from breastseg.networks.spec import weight_table
from breastseg.pipeline.image_set import ImageSet, PreparedCase
from breastseg.pipeline.volume_sets import VolumePatches, WholeVolumes
from breastseg.training.checkpoint import create_run, open_run
from breastseg.training.fit import fit
from breastseg.workflows.progress import silent_listener
from tests.made_volumes import saved_volume

RECIPE = Recipe(
    network=UNetSpec(channels=(4, 8, 8), norm="batch", dropout=(0.5, 0.5)),
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
RECIPES = {
    "averaged": RECIPE,
    "deeply supervised": RECIPE.with_settings(
        ["optimisation.deep_supervision=1", "optimisation.ema_decay=0", "optimisation.epochs=2"]
    ),
    "both": RECIPE.with_settings(
        ["optimisation.deep_supervision=1", "optimisation.optimiser=adamw"]
    ),
}
OF_VOLUMES = RECIPES["both"].model_copy(
    update={
        "volume": VolumePreprocessing(patch=(4, 8, 8), patches_per_volume=4),
        "augmentation": Augmentation(flip=0.5, rotation_degrees=10, scale=0.1, noise=0.1),
        "network": UNetSpec(
            dimensions=3, channels=(4, 8, 8), norm="group", channels_per_group=4, dropout=(0.2, 0.2)
        ),
        "optimisation": RECIPES["both"].optimisation.model_copy(update={"sampling": "each"}),
    }
)
HEADS = {"decoder.1.head.weight", "decoder.1.head.bias"}


def cases(count):
    stream = np.random.default_rng(count)
    images = stream.normal(size=(count, 16, 16)).astype(np.float32)
    return ImageSet(
        [PreparedCase(image, (image > 1) & (n % 3 > 0)) for n, image in enumerate(images)]
    )


def new_backend(framework, recipe):
    config = BackendConfig(
        network=recipe.network,
        loss=recipe.loss,
        optimisation=recipe.optimisation,
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


@pytest.fixture(params=FRAMEWORKS)
def framework(request):
    return request.param


@pytest.fixture
def new_run(framework, tmp_path):
    """Return a function that begins a run folder of that name."""

    def create(name, recipe):
        split = DataSplit(method="by hand", parts={"train": ("a",)}, groups={"a": "a"})
        environment = {"framework": framework, "versions": {}}
        return create_run(
            tmp_path / name, recipe=recipe, split=split, environment=environment, content={}
        )

    return create


def saved(run, name):
    return read_weights(run.path / f"{name}.safetensors")


def assert_resumes_to_the_bit(framework, recipe, data, new_run):
    whole, halved = (new_run(name, recipe) for name in ("whole", "halved"))
    fit(new_backend(framework, recipe), *data, whole, silent_listener())
    with pytest.raises(KeyboardInterrupt):
        fit(new_backend(framework, recipe), *data, halved, CtrlC())
    assert halved.state().epoch == 1
    fit(new_backend(framework, recipe), *data, open_run(halved.path), silent_listener())
    names = ["weights", "last/weights", "last/optimiser"]
    for name in names + ["last/average"] * bool(recipe.optimisation.ema_decay):
        ours, theirs = (saved(run, name) for run in (halved, whole))
        assert ours.keys() == theirs.keys()
        assert all(np.array_equal(ours[key], theirs[key]) for key in ours), name


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES.keys())
def test_a_resumed_run_has_the_bits_of_an_uninterrupted_one(framework, recipe, new_run):
    assert_resumes_to_the_bit(framework, recipe, (cases(12), cases(6)), new_run)


def test_a_resumed_run_on_volumes_has_the_bits_of_an_uninterrupted_one(
    framework, new_run, tmp_path
):
    lesions = [(((4, 5, 6), 4),), (), (((3, 9, 12), 3), ((8, 3, 3), 1))]
    volumes = [saved_volume(tmp_path, *each, seed=n) for n, each in enumerate(lesions)]
    data = (VolumePatches(volumes, OF_VOLUMES.volume), WholeVolumes(volumes[:2], OF_VOLUMES.volume))
    assert_resumes_to_the_bit(framework, OF_VOLUMES, data, new_run)


def test_the_average_differs_from_the_last_weights(framework, new_run):
    run = new_run("run", RECIPE)
    fit(new_backend(framework, RECIPE), cases(12), cases(6), run, silent_listener())
    average, last = saved(run, "last/average"), saved(run, "last/weights")
    assert not np.array_equal(average["head.weight"], last["head.weight"])


def test_heads_of_deep_supervision_are_in_the_checkpoint_and_not_in_the_model(framework, new_run):
    run = new_run("run", RECIPES["both"])
    fit(new_backend(framework, run.recipe), cases(12), cases(6), run, silent_listener())
    for name in ("last/weights", "last/average"):
        assert saved(run, name).keys() > HEADS
    moments = {f"{moment}.{head}" for moment in ("first", "second") for head in HEADS}
    assert moments < saved(run, "last/optimiser").keys()
    kept = open_run(run.path).weights()
    assert kept.keys() == {weight.name for weight in weight_table(run.recipe.network)}
    opened = {node.name for node in build_onnx(run.recipe.network, kept).graph.node}
    assert "head" in opened
    assert not opened & {"decoder.1.head"}


def test_a_checkpoint_without_its_heads_is_refused(framework, new_run):
    """Such as one whose recipe.json was changed by hand."""
    run, recipe = new_run("run", RECIPE), RECIPES["both"]
    fit(new_backend(framework, RECIPE), cases(12), cases(6), run, silent_listener())
    (run.path / "recipe.json").write_text(recipe.to_json())
    with pytest.raises(WeightsError, match=r"'decoder\.1\.head\.weight' is missing"):
        open_run(run.path).load_last(new_backend(framework, recipe))
