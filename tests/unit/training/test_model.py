import json
import shutil

import numpy as np
import pytest

from breastseg.core.calibration import Calibration, ConformalThreshold
from breastseg.core.errors import RecipeError, RunFolderError
from breastseg.core.image import Image
from breastseg.core.network_recipe import UNetSpec
from breastseg.core.recipe import Preprocessing, Recipe
from breastseg.datasets.splits import DataSplit
from breastseg.inference.mean_answers import mean_classes
from breastseg.inference.segment import ImageAnswer, Segmenter
from breastseg.networks.spec import weight_table
from breastseg.training.checkpoint import create_run
from breastseg.training.model import (
    Plan,
    is_ensemble,
    load_model,
    open_model,
    read_plan,
)

RECIPE = Recipe(
    name="always",
    network=UNetSpec(channels=(1, 1), convolutions=1),
    preprocessing=Preprocessing(size=32),
)
GREY = Image(pixels=np.zeros((1, 8, 8), np.float32))


def always(logit):
    """Weights of a network that says the same of every pixel of every image."""
    weights = {
        weight.name: np.zeros(weight.shape, np.float32) for weight in weight_table(RECIPE.network)
    }
    weights["head.bias"][...] = logit
    return weights


def make_fold(path, recipe, *, test, train, logit):
    """A run that was tested on one image and trained on another, known by their content."""
    split = DataSplit(
        method="fold 1 of 2 as test, else by patient",
        parts={"train": (train,), "test": (test,)},
        groups={train: train, test: test},
    )
    run = create_run(
        path,
        recipe=recipe,
        split=split,
        environment={"framework": "pytorch"},
        content={train: f"content of {train}", test: f"content of {test}"},
    )
    run.save_best(always(logit))


@pytest.fixture
def ensemble(tmp_path):
    """Two folds: one says 0.1 of every pixel and held out a, the other 0.9 and held out b."""
    path = tmp_path / "two"
    plan = Plan(framework="pytorch", num_folds=2, recipe=RECIPE, data=tmp_path)
    path.mkdir()
    plan.save(path)
    logit = np.log(0.9 / 0.1)
    first, second = plan.fold_paths(path)
    make_fold(first, plan.fold_recipe(1), test="a", train="b", logit=-logit)
    make_fold(second, plan.fold_recipe(2), test="b", train="a", logit=logit)
    return path


def highest(prediction):
    return round(float(prediction.probability.max()), 3)


def test_an_image_is_predicted_by_the_fold_that_held_it_out(ensemble):
    model = load_model(open_model(ensemble), threads=1)
    assert highest(model.predict("x", GREY, sha256="content of a")) == 0.1
    assert highest(model.predict("x", GREY, sha256="content of b")) == 0.9


def test_an_image_that_no_fold_knows_gets_the_mean_probability(ensemble):
    model = load_model(open_model(ensemble), threads=1)
    assert highest(model.predict("x", GREY, sha256="new")) == 0.5


def test_a_fold_alone_knows_nothing_of_the_others(ensemble):
    model = load_model(open_model(ensemble / "fold-1"), threads=1)
    assert not model.model.is_ensemble
    assert highest(model.predict("x", GREY, sha256="content of b")) == 0.1


def test_over_all_folds_every_image_is_test(ensemble):
    assert open_model(ensemble).home() == {"content of a": "test", "content of b": "test"}
    assert open_model(ensemble / "fold-1").home() == {
        "content of a": "test",
        "content of b": "train",
    }


def test_the_threshold_is_the_median_of_the_folds(ensemble):
    assert open_model(ensemble).operating_threshold == 0.5
    for fold, threshold in ((1, 0.3), (2, 0.9)):
        document = {"schema_version": 1, "operating_threshold": threshold}
        (ensemble / f"fold-{fold}" / "calibration.json").write_text(json.dumps(document))
    assert open_model(ensemble).operating_threshold == pytest.approx(0.6)


def test_the_name_of_an_ensemble_depends_on_the_weights_of_each_fold(ensemble):
    before = open_model(ensemble).fingerprint
    other = open_model(ensemble).runs[1]
    other.save_best(always(0.0))
    assert open_model(ensemble).fingerprint != before


def test_a_fold_without_weights_is_told_with_the_way_out(ensemble):
    (ensemble / "fold-2" / "weights.safetensors").unlink()
    with pytest.raises(RunFolderError, match=r"expected 2 trained folds, but fold-2.*--resume"):
        open_model(ensemble)


def test_a_plan_reads_as_it_was_written(ensemble, tmp_path):
    plan = read_plan(ensemble)
    assert plan == Plan(framework="pytorch", num_folds=2, recipe=RECIPE, data=tmp_path)
    assert plan.fold_recipe(2).split.folds.fold == 2
    assert is_ensemble(ensemble)
    assert not is_ensemble(ensemble / "fold-1")


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"ensemble_format": 9}'])
def test_a_damaged_plan_is_told(ensemble, text):
    (ensemble / "ensemble.json").write_text(text)
    with pytest.raises(RunFolderError, match=r"ensemble\.json: expected"):
        open_model(ensemble)


def test_a_changed_recipe_of_a_plan_is_told(ensemble):
    document = json.loads((ensemble / "ensemble.json").read_text())
    document["recipe"]["colour"] = "red"
    (ensemble / "ensemble.json").write_text(json.dumps(document))
    with pytest.raises(RecipeError, match="'colour' is no recipe field"):
        open_model(ensemble)


def test_a_folder_that_is_neither_is_told(tmp_path, ensemble):
    shutil.rmtree(ensemble)
    with pytest.raises(RunFolderError, match="expected a run folder"):
        open_model(ensemble)


def calibration(**fields):
    return Calibration(
        outer=ConformalThreshold(threshold=0.2, alpha=0.1, tolerance=0.1, num_groups=20), **fields
    )


def test_each_fold_has_its_own_temperature_before_the_mean_is_taken(ensemble):
    for run, temperature in zip(open_model(ensemble).runs, (2.0, 1.0), strict=True):
        run.save_calibration(calibration(temperature=temperature))
    model = load_model(open_model(ensemble), threads=1)
    calibrated, raw = model.probabilities(GREY, sha256="new")
    np.testing.assert_allclose(calibrated, (0.25 + 0.9) / 2, atol=1e-4)
    np.testing.assert_allclose(raw, 0.5, atol=1e-4)
    calibrated, raw = model.probabilities(GREY, sha256="content of a")
    np.testing.assert_allclose(calibrated, 0.25, atol=1e-4)
    np.testing.assert_allclose(raw, 0.1, atol=1e-4)


def test_what_is_predicted_is_the_calibrated_probability(ensemble):
    open_model(ensemble).runs[0].save_calibration(calibration(temperature=2.0))
    model = load_model(open_model(ensemble / "fold-1"), threads=1)
    assert highest(model.predict("x", GREY, sha256="new")) == 0.25
    np.testing.assert_allclose(model.probability(GREY), 0.25, atol=1e-4)


def test_another_calibration_is_another_model(ensemble):
    names = {open_model(ensemble).fingerprint}
    run = open_model(ensemble).runs[0]
    for temperature in (1.0, 1.5):
        run.save_calibration(calibration(temperature=temperature))
        names.add(open_model(ensemble).fingerprint)
    assert len(names) == 3


def test_a_calibration_of_the_first_version_does_not_rename_a_run(ensemble):
    before = open_model(ensemble).fingerprint
    document = {"schema_version": 1, "operating_threshold": 0.7}
    (ensemble / "fold-1" / "calibration.json").write_text(json.dumps(document))
    assert open_model(ensemble).fingerprint == before


def test_classes_of_folds_are_the_mean_of_calibrated_probabilities(ensemble):
    def answer(logits, temperature):
        recipe = RECIPE.with_settings(['network.classes=["benign","malignant"]'])
        square = np.zeros((32, 32), np.float32)
        return ImageAnswer(
            square=square,
            letterbox=None,
            class_logits=np.array(logits, np.float32),
            segmenter=Segmenter(recipe, None, class_temperature=temperature),
        )

    answers = [answer([0.0, np.log(3)], 1.0), answer([np.log(16), 0.0], 2.0)]
    expected = {"benign": (0.25 + 0.8) / 2, "malignant": (0.75 + 0.2) / 2}
    assert mean_classes(answers) == pytest.approx(expected)
    plain = load_model(open_model(ensemble), threads=1).answers(GREY)
    assert len(plain) == 2
    assert mean_classes(plain) == {}
    assert (
        len(load_model(open_model(ensemble), threads=1).answers(GREY, sha256="content of a")) == 1
    )
