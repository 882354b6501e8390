"""What a run folder keeps of the model that its training began from."""

import json
import shutil

import numpy as np
import pytest

from breastseg.core.errors import OutputError, RunFolderError
from breastseg.core.recipe import initial_weights_of
from breastseg.networks.spec import initial_weights
from breastseg.training.begun_from import (
    ancestors,
    begun_from,
    copy_model,
    record_of,
    told_beginning,
    weights_at_start,
    without_record_of_images,
)
from breastseg.training.checkpoint import create_run, open_run, require_new
from breastseg.training.notice_file import save_notice


@pytest.fixture
def model(new_run):
    """A run that was trained, as far as its weights tell."""
    run = new_run("parent")
    run.save_best(initial_weights(run.recipe.network, 5))
    run.seal(["weights.safetensors"])
    save_notice(run.path, "Of phantoms.")
    (run.path / "last").mkdir()
    return run


def begin(model, path, recipe=None):
    """A run that begins from a model."""
    recipe = (recipe or model.recipe).model_copy(
        update={"initial_weights": initial_weights_of(model.fingerprint)}
    )
    copy_model(model, path)
    record = record_of(model, anew=(), num_known=0)
    return create_run(
        path,
        recipe=recipe,
        split=model.split,
        environment={**model.environment, "begun_from": record},
        content=model.content,
    )


def test_a_run_needs_nothing_of_the_model_but_its_copy(model, tmp_path):
    run = begin(model, tmp_path / "child")
    weights, fingerprint = model.weights(), model.fingerprint
    shutil.rmtree(model.path)
    copy = begun_from(open_run(run.path))
    assert (copy.fingerprint, copy.notice, copy.content) == (
        fingerprint,
        "Of phantoms.",
        run.content,
    )
    assert not (copy.path / "last").exists()
    for name, array in weights_at_start(run).items():
        np.testing.assert_array_equal(array, weights[name])


def test_a_run_that_began_from_none_says_so(new_run):
    run = new_run()
    assert begun_from(run) is None
    assert not list(ancestors(run))
    assert told_beginning(run.environment) is None
    first = initial_weights(run.recipe.network, run.recipe.seed)
    np.testing.assert_array_equal(weights_at_start(run)["head.weight"], first["head.weight"])


def test_what_a_model_began_from_is_known_to_the_run_that_begins_from_it(model, tmp_path):
    child = begin(model, tmp_path / "child")
    child.save_best(initial_weights(child.recipe.network, 6))
    run = begin(child, tmp_path / "grandchild")
    assert [each.path.name for each in ancestors(run)] == ["child", "parent"]
    before = list(ancestors(run))[1]
    assert before.content == model.content
    assert not before.weights_path.exists()
    told = told_beginning(open_run(run.path).environment)
    assert told == (
        f"child ({child.fingerprint}, fake), which began from parent ({model.fingerprint}, fake)"
    )


def test_models_that_keep_no_record_of_their_images_are_named(model, tmp_path):
    slim = create_run(
        tmp_path / "slim",
        recipe=model.recipe,
        split=model.split,
        environment=model.environment,
        content={},
    )
    slim.save_best(model.weights())
    child = begin(slim, tmp_path / "child")
    child.save_best(model.weights())
    assert without_record_of_images(child.environment) == ["slim"]
    # One that was handed on does not know the images of those before it either.
    known = {"name": "first", "keeps_its_images": True, "begun_from": None}
    environment = {"begun_from": {"name": "slim", "keeps_its_images": False, "begun_from": known}}
    assert without_record_of_images(environment) == ["slim", "first"]
    assert without_record_of_images(begin(model, tmp_path / "whole").environment) == []


def test_a_copy_that_was_changed_or_taken_out_is_refused(model, tmp_path):
    run = begin(model, tmp_path / "child")
    copy = begun_from(run)
    copy.save_best(initial_weights(run.recipe.network, 6))
    with pytest.raises(RunFolderError, match=r"expected the model [0-9a-f]{12}.* found [0-9a-f]"):
        weights_at_start(run)
    shutil.rmtree(run.path / "begun-from")
    with pytest.raises(RunFolderError, match=r"found none\. Restore the folder"):
        weights_at_start(run)


def test_a_beginning_that_was_killed_behind_the_copy_can_be_made_again(model, tmp_path):
    copy_model(model, tmp_path / "child")
    require_new(tmp_path / "child")
    # From the copy itself, too.
    own = tmp_path / "child" / "begun-from" / "parent"
    run = begin(open_run(own), tmp_path / "child")
    assert begun_from(run).fingerprint == model.fingerprint


def test_a_copy_that_cannot_be_written_is_told(model, tmp_path):
    (tmp_path / "child").write_text("a file")
    with pytest.raises(OutputError, match="child"):
        copy_model(model, tmp_path / "child")


def test_the_record_names_the_model_and_what_is_said_of_it(model):
    record = record_of(model, anew=("classes",), num_known=3)
    assert record["fingerprint"] == model.fingerprint
    assert record["notice"] == "Of phantoms."
    assert (record["begun_anew"], record["images_known"]) == (["classes"], 3)
    assert record["keeps_its_images"] is True
    assert json.loads(json.dumps(record)) == record
