"""A model fine-tuned by the command line: 20 images, the other framework, stopped and gone on."""

import json
import shutil

import numpy as np
import pytest

from breastseg.backends.weights import read_weights
from breastseg.core.recipes import ct_25d, smoke
from breastseg.training.checkpoint import open_run
from breastseg.workflows.fine_tune import recipe_from
from breastseg.workflows.phantom import make_ultrasound_phantoms
from breastseg.workflows.train import Hardware, resume, train
from tests.chest_set import write_chest_set

ONE_THREAD = Hardware(device="cpu", threads=1)
NOTICE = "Of phantoms, which tell nothing of patients."


@pytest.fixture(scope="module")
def few(tmp_path_factory):
    """Twenty images that no model has seen."""
    return make_ultrasound_phantoms(tmp_path_factory.mktemp("few") / "data", num_cases=20, seed=9)


@pytest.fixture
def model(runs, tmp_path):
    """The run of PyTorch, with a notice."""
    path = shutil.copytree(runs["pytorch"], tmp_path / "model")
    (path / "notice.txt").write_text(NOTICE)
    return path


def test_twenty_images_tune_a_model_in_the_other_framework(breastseg, model, few, tmp_path):
    tuned, command = tmp_path / "tuned", ("--init", model, "--framework", "tensorflow")
    answer = breastseg(
        *("train", few, *command, "--threads", 1, "--output", tuned, "--json"),
        *("--set", "optimisation.epochs=2"),
    )
    assert answer.code == 0, answer.told
    assert "epoch 0: validation Dice" in answer.err
    parent, run = open_run(model), open_run(tuned)
    told = f"model ({parent.fingerprint}, pytorch)"
    assert json.loads(answer.out)["begun_from"] == told
    assert run.recipe.network == parent.recipe.network
    assert run.recipe.preprocessing == parent.recipe.preprocessing
    assert run.notice == f"Begun from model: {NOTICE}"
    assert run.environment["begun_from"]["fingerprint"] == parent.fingerprint
    answer = breastseg("info", tuned, "--json")
    assert json.loads(answer.out)["begun_from"] == told

    shutil.rmtree(model)  # nothing needs it any more
    card = tmp_path / "card"
    answer = breastseg("evaluate", tuned, few, "--threads", 1, "--output", card)
    assert answer.code == 0, answer.told
    document = json.loads((card / "scorecard.json").read_text())
    assert document["details"]["Begun from"] == told
    assert any("Begun from model" in warning for warning in document["warnings"])
    assert told in (card / "scorecard.html").read_text()


def test_data_that_the_model_was_trained_on_flatters_no_score(
    breastseg, model, few, phantom_data, tmp_path
):
    """Neither that of a part held out by the new run, nor of the model's own data as other data."""
    tuned, options = tmp_path / "tuned", ("--threads", 1, "--set", "optimisation.epochs=1")
    answer = breastseg("train", phantom_data, "--init", model, *options, "--output", tuned)
    assert answer.code == 0, answer.told
    assert "images are known to the model" in answer.err
    parent, run = open_run(model), open_run(tuned)
    held_out = {each for part, ids in run.split.parts.items() if part != "train" for each in ids}
    assert held_out
    assert held_out <= set(parent.split.parts["test"])
    answer = breastseg("evaluate", tuned, phantom_data, "--threads", 1)
    assert answer.code == 0, answer.told

    other = tmp_path / "other"
    answer = breastseg("train", few, "--init", model, *options, "--output", other)
    assert answer.code == 0, answer.told
    answer = breastseg("evaluate", other, phantom_data, "--threads", 1)
    assert answer.code == 2
    assert "of train of model" in answer.err
    assert "Take the images that the model which it began from had seen" in answer.err


def test_every_fold_begins_from_the_model(breastseg, model, few, phantom_data, tmp_path):
    path, command = tmp_path / "folds", ("--init", model, "--folds", 2, "--threads", 1)
    epochs = ("--set", "optimisation.epochs=1")
    answer = breastseg("train", few, *command, *epochs, "--output", path, "--json")
    assert answer.code == 0, answer.told
    told = f"model ({open_run(model).fingerprint}, pytorch)"
    assert json.loads(answer.out)["begun_from"] == told
    assert open_run(path / "fold-2").environment["begun_from"]["name"] == "model"

    shutil.rmtree(path / "fold-2")
    answer = breastseg("train", phantom_data, *command, *epochs, "--output", tmp_path / "known")
    assert answer.code == 2
    assert "--folds holds every image out once, but" in answer.err
    shutil.rmtree(model)
    answer = breastseg("train", "--resume", path, "--threads", 1)
    assert answer.code == 0, answer.told
    assert open_run(path / "fold-2").notice == f"Begun from model: {NOTICE}"


class CtrlC:
    """A listener that interrupts at the first step."""

    def step_done(self, *, epoch, step, num_steps, loss):
        raise KeyboardInterrupt

    def epoch_done(self, record, *, is_best):
        pass


def test_a_training_stopped_in_its_first_epoch_goes_on_to_the_same_bits_without_the_model(
    framework, model, few, tmp_path
):
    settings = ["optimisation.epochs=2", "optimisation.deep_supervision=0", "seed=2"]
    recipe = recipe_from(open_run(model), few, settings=settings)
    given = {"framework": framework, "init": model, "hardware": ONE_THREAD}
    whole = train(few, recipe, output=tmp_path / "whole", **given)
    with pytest.raises(KeyboardInterrupt):
        train(few, recipe, output=tmp_path / "halved", listener=CtrlC(), **given)
    shutil.rmtree(model)
    halved = resume(tmp_path / "halved", hardware=ONE_THREAD)
    for name in ("weights", "last/weights", "last/optimiser"):
        ours, theirs = (read_weights(run.path / f"{name}.safetensors") for run in (halved, whole))
        assert all(np.array_equal(ours[key], theirs[key]) for key in theirs), name


def test_a_model_that_fits_nothing_is_told_in_a_sentence(breastseg, model, few, tmp_path):
    (tmp_path / "other.json").write_text(smoke().to_json())
    command = ("train", few, "--output", tmp_path / "run")
    answer = breastseg(*command, "--init", model, "--recipe", tmp_path / "other.json")
    assert answer.code == 2
    assert "has another network than the model" in answer.err
    answer = breastseg(*command, "--init", tmp_path / "missing")
    assert answer.code == 2
    assert "expected a run folder or the name of a model that ships" in answer.err
    answer = breastseg("train", "--resume", model, "--init", model)
    assert answer.code == 2
    assert "--init" in answer.err
    assert not (tmp_path / "run").exists()


def test_a_model_handed_on_without_its_images_is_told_wherever_it_is_scored(
    breastseg, model, few, tmp_path
):
    slim, tuned, options = tmp_path / "slim", tmp_path / "tuned", ("--threads", 1)
    described = ("--format", "model", "--description", "Made of BUSI.")
    assert breastseg("export", model, *described, "--output", slim).code == 0
    unknown = "no record of the images that it was trained on"
    answer = breastseg("evaluate", slim, few, *options, "--output", tmp_path / "card")
    assert answer.code == 0, answer.told
    assert f"slim keeps {unknown}" in answer.told
    assert "not seen" not in answer.told
    page = (tmp_path / "card" / "scorecard.html").read_text()
    assert "Nobody can tell" in page
    assert "Groups shared" not in page
    epochs = ("--set", "optimisation.epochs=1")
    answer = breastseg("train", few, "--init", slim, *epochs, *options, "--output", tuned)
    assert answer.code == 0, answer.told
    told = " ".join(answer.err.split())
    assert f'slim keeps {unknown}. Its card says: "Made of BUSI".' in told
    answer = breastseg("evaluate", tuned, few, *options)
    assert answer.code == 0, answer.told
    assert "tuned began from slim: no record is left" in answer.told


def test_a_model_of_volumes_goes_on_in_the_other_framework(tmp_path, monkeypatch):
    """Known volumes go to train here too, by the content of their files."""
    monkeypatch.setenv("BREASTSEG_CACHE", str(tmp_path / "cache"))
    data = write_chest_set(tmp_path / "data", 12)
    recipe = ct_25d().with_settings(
        [
            *("volume.spacing_mm=[12,12,12]", "volume.patch=[1,16,16]"),
            *("volume.patches_per_volume=8", "network.channels=[8,8]"),
            *("optimisation.epochs=1", "optimisation.deep_supervision=0"),
            "split.test=0.4",
        ]
    )
    given = {"hardware": ONE_THREAD}
    parent = train(data, recipe, framework="pytorch", output=tmp_path / "parent", **given)
    recipe = recipe_from(parent, data, settings=["optimisation.epochs=1"])
    assert recipe.volume == parent.recipe.volume
    given |= {"init": parent.path}
    run = train(data, recipe, framework="tensorflow", output=tmp_path / "run", **given)
    held_out = {each for part, ids in run.split.parts.items() if part != "train" for each in ids}
    assert held_out == set(parent.split.parts["test"])
    assert run.environment["begun_from"]["images_known"] == 12 - len(held_out)
