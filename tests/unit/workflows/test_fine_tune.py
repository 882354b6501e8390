"""What a training that begins from a model takes over, refuses and says."""

import logging
import shutil

import numpy as np
import pytest
from PIL import Image as Pillow

from breastseg.backends.pretrained import first_weights
from breastseg.core.errors import InputError, LayoutError, RecipeError, RunFolderError
from breastseg.core.recipes import ct_3d, smoke
from breastseg.core.search_spaces import resolve_space
from breastseg.datasets.checked import check_data, content_of
from breastseg.datasets.layouts import find_data_set
from breastseg.datasets.sketches import read_and_sketch
from breastseg.datasets.splits import DataSplit
from breastseg.io.raster import read_luminance
from breastseg.networks.spec import initial_weights, weight_table
from breastseg.training.begun_from import copy_model, trained
from breastseg.training.checkpoint import create_run
from breastseg.training.model import Model
from breastseg.training.notice_file import save_notice
from breastseg.training.sketch_file import SKETCHES_NAME, save_sketches
from breastseg.workflows.fine_tune import (
    Beginning,
    inherited_notice,
    known_cases,
    open_beginning,
    recipe_from,
)
from breastseg.workflows.search_plan import plan_search
from breastseg.workflows.seen_before import all_seen, exposures_of
from breastseg.workflows.slim_model import slim_model

CLASSES = 'network.classes=["benign","malignant"]'


def silent(*told):
    pass


@pytest.fixture
def make_model(tmp_path):
    """Return a function that makes a model of some cases, the last of them held out."""

    def make(name="parent", recipe=None, cases=()):
        recipe = recipe or smoke()
        ids = tuple(case.case_id for case in cases)
        split = DataSplit(
            method="image",
            parts={"train": ids[:-1], "test": ids[-1:]},
            groups={each: each for each in ids},
        )
        run = create_run(
            tmp_path / name,
            recipe=recipe,
            split=split,
            environment={"framework": "pytorch", "versions": {}, "device": "cpu"},
            content=content_of(cases),
        )
        run.save_best(initial_weights(recipe.network, 9))
        save_sketches(run.path, run.content, read_and_sketch(cases, silent))
        return run

    return make


@pytest.fixture
def cases(phantom_data):
    return find_data_set(phantom_data).cases[:4]


# --- the recipe -------------------------------------------------------------------------------


def test_without_a_recipe_it_is_the_models_own_for_the_number_of_images(make_model, phantom_data):
    model = make_model()
    recipe = recipe_from(model, phantom_data, settings=["optimisation.epochs=7"])
    assert recipe.name == "smoke-tuned"
    assert recipe.begins_from == model.fingerprint
    assert recipe.optimisation.epochs == 7
    # 14 images in batches of 4 are 3 steps an epoch.
    assert recipe_from(model, phantom_data).optimisation.epochs == 100


def test_a_recipe_of_ones_own_trains_with_the_model_as_its_beginning(make_model, phantom_data):
    model = make_model()
    recipe = recipe_from(model, phantom_data, recipe=smoke(), settings=["seed=3"])
    wanted = smoke().with_settings(["seed=3", f"initial_weights=model:{model.fingerprint}"])
    assert recipe == wanted


def test_another_network_is_refused_by_its_fields(make_model, phantom_data):
    other = smoke().with_settings(["network.norm=none"])
    with pytest.raises(RecipeError, match=r"network\.norm=none \(the model: group\).*Leave"):
        recipe_from(make_model(), phantom_data, recipe=other)


def test_another_preparation_is_refused_unless_it_is_asked_for(make_model, phantom_data, caplog):
    model, other = make_model(), smoke().with_settings(["preprocessing.size=128"])
    with pytest.raises(RecipeError, match=r"size=128 \(the model: 64\)\. Leave --recipe"):
        recipe_from(model, phantom_data, recipe=other)
    assert "prepared otherwise" not in caplog.text
    recipe = recipe_from(model, phantom_data, settings=["preprocessing.size=128"])
    assert recipe.preprocessing.size == 128
    assert "prepared otherwise" in caplog.text


def test_a_model_of_volumes_is_not_begun_from_with_pictures(make_model, phantom_data):
    model = make_model(recipe=ct_3d())
    with pytest.raises(LayoutError, match="expected CT volumes"):
        recipe_from(model, phantom_data)
    with pytest.raises(RecipeError, match=r"network\.dimensions=2 \(the model: 3\)"):
        recipe_from(model, phantom_data, recipe=smoke())


@pytest.mark.parametrize(
    "beginning", ["initial_weights=random", "initial_weights=model:0123456789ab"]
)
def test_a_recipe_that_begins_otherwise_is_refused(make_model, phantom_data, beginning):
    model = make_model()
    with pytest.raises(RecipeError, match=f"{beginning}: expected model:{model.fingerprint}"):
        recipe_from(model, phantom_data, settings=[beginning])
    with pytest.raises(RecipeError, match=f"{beginning}: expected"):
        Beginning.open(model.path, smoke().with_settings([beginning]))


def test_a_recipe_that_begins_from_a_model_needs_it(phantom_data):
    recipe = smoke().with_settings(["initial_weights=model:0123456789ab"])
    with pytest.raises(RecipeError, match=r"model 0123456789ab, which was not given.*--init"):
        Beginning.open(None, recipe).weights()
    with pytest.raises(RecipeError, match="a search does not take"):
        plan_search(phantom_data, resolve_space("losses"), recipe)


def test_what_is_no_model_is_refused(make_model, tmp_path):
    with pytest.raises(RunFolderError, match="expected a run folder"):
        open_beginning(tmp_path)
    model = make_model()
    model.weights_path.unlink()
    with pytest.raises(RunFolderError, match=r"no weights\.safetensors"):
        open_beginning(model.path)
    (tmp_path / "ensemble.json").write_text("{}")
    with pytest.raises(InputError, match=r"Give one of them, such as .*fold-1"):
        open_beginning(tmp_path)


# --- the first weights ------------------------------------------------------------------------


def test_heads_that_a_model_does_not_hold_begin_at_random(make_model, phantom_data):
    model = make_model()
    recipe = recipe_from(model, phantom_data, settings=["optimisation.deep_supervision=1"])
    weights, random = first_weights(recipe, trained(model)), initial_weights(recipe.network, 0, 1)
    assert weights.keys() == {weight.name for weight in weight_table(recipe.network, 1)}
    for name, array in weights.items():
        wanted = random if ".head." in name else model.weights()
        np.testing.assert_array_equal(array, wanted[name])


@pytest.mark.parametrize("classes", ["[]", '["benign","malignant","normal"]'])
def test_other_classes_begin_anew_and_that_is_told(make_model, phantom_data, classes, caplog):
    model = make_model(recipe=smoke().with_settings([CLASSES]))
    recipe = recipe_from(model, phantom_data, settings=[f"network.classes={classes}"])
    beginning = Beginning.open(model.path, recipe)
    weights = beginning.weights()
    assert weights.keys() == {weight.name for weight in weight_table(recipe.network)}
    np.testing.assert_array_equal(weights["head.weight"], model.weights()["head.weight"])
    told = beginning.record({})["begun_anew"]
    assert told == ([] if classes == "[]" else ["classes"])
    assert ("leaves away" if classes == "[]" else "begins anew") in caplog.text


def test_the_same_classes_are_kept(make_model, phantom_data):
    model = make_model(recipe=smoke().with_settings([CLASSES]))
    weights = Beginning.open(model.path, recipe_from(model, phantom_data)).weights()
    np.testing.assert_array_equal(weights["classes.weight"], model.weights()["classes.weight"])


# --- what the model had seen ------------------------------------------------------------------


@pytest.fixture
def new_data(cases, tmp_path):
    """A folder of a training image, its mirrored copy, the held out image, and new ones."""
    root = tmp_path / "new"
    root.mkdir()
    kept = {"copied": cases[0], "mirrored": cases[1], "held-out": cases[3]}
    others = find_data_set(cases[0].image_path.parents[1]).cases[4:8]
    for name, case in (kept | {f"other-{n}": case for n, case in enumerate(others)}).items():
        shutil.copy(case.image_path, root / f"{name}.png")
        shutil.copy(case.mask_paths[0], root / f"{name}_mask.png")
    pixels = np.fliplr(read_luminance(cases[1].image_path)).astype(np.uint8)
    Pillow.fromarray(pixels).save(root / "mirrored.png")
    return check_data(find_data_set(root), silent)


def test_images_that_a_model_knows_are_found_among_new_ones(make_model, cases, new_data, caplog):
    known = known_cases(make_model(cases=cases), new_data)
    assert {each: known[each].how for each in known} == {
        "copied": "file",
        "mirrored": "near duplicate",
    }
    assert "2 of 7 images are known to the model" in caplog.text


def test_images_that_the_model_of_a_model_knows_are_found_too(make_model, cases, new_data):
    parent, model = make_model(cases=cases), make_model("child")
    copy_model(parent, model.path)
    known = known_cases(model, new_data)
    assert known.keys() == {"copied", "mirrored"}
    assert known["copied"].part == "train of parent"
    scored = new_data.data_set.cases
    found = exposures_of([Model(path=model.path, runs=(model,))], scored, new_data.content, silent)
    assert all_seen(found) == known


def test_a_model_without_record_of_its_images_is_told_with_its_card(
    make_model, cases, new_data, tmp_path, caplog
):
    model = make_model(cases=cases)
    slim = slim_model(model.path, tmp_path / "slim", description="Of BUSI and BUS-BRA")
    assert not known_cases(open_beginning(slim), new_data)
    assert "slim keeps no record of the images" in caplog.text
    assert 'Its card says: "Of BUSI and BUS-BRA"' in caplog.text


def test_a_model_without_sketches_says_that_changed_copies_are_not_known(
    make_model, cases, new_data, caplog
):
    model = make_model(cases=cases)
    (model.path / SKETCHES_NAME).unlink()
    assert known_cases(model, new_data).keys() == {"copied"}
    assert "parent keeps no sketches of its images" in caplog.text


def test_a_notice_is_kept_with_the_name_of_the_model_that_it_is_of(make_model):
    model = make_model()
    assert inherited_notice(model) is None
    save_notice(model.path, "Of phantoms.")
    assert inherited_notice(model) == "Begun from parent: Of phantoms."
    save_notice(model.path, "Begun from first: Of phantoms.")
    assert inherited_notice(model) == "Begun from first: Of phantoms."


@pytest.fixture(autouse=True)
def _loud(caplog):
    caplog.set_level(logging.INFO)
