import json
import shutil

import numpy as np
import pytest

from breastseg.backends.weights import save_weights
from breastseg.core.calibration import Calibration, ConformalThreshold
from breastseg.core.errors import RecipeError, RunFolderError, SplitError, WeightsError
from breastseg.evaluation.baselines import best_constant_mask
from breastseg.training.checkpoint import (
    create_run,
    open_run,
)
from breastseg.training.state import EpochRecord, TrainingState


def record(epoch, dice):
    return EpochRecord(
        epoch=epoch,
        loss=0.5,
        validation_dice=dice,
        validation_specificity=None,
        learning_rate=0.1,
        seconds=1.0,
    )


@pytest.fixture
def backend(fake_backend):
    return fake_backend()


@pytest.fixture
def run(new_run, backend):
    """Return a run with one epoch, sealed as a finished one is."""
    run = new_run()
    run.save_best(backend.weights())
    run.save_last(backend, TrainingState(step=2, history=(record(1, 0.5),)))
    run.seal(["weights.safetensors"])
    return run


def flip_a_byte(path, at=-3):
    data = bytearray(path.read_bytes())
    data[at] ^= 0xFF
    path.write_bytes(data)


# --- opening ----------------------------------------------------------------------------------


def test_a_run_is_opened_as_it_was_begun(new_run, recipe):
    begun = new_run()
    opened = open_run(begun.path)
    assert opened.recipe == recipe
    assert dict(opened.split.groups) == dict(begun.split.groups)
    assert opened.split.parts["test"] == ("b",)
    assert opened.content == begun.content
    assert opened.framework == "fake"
    assert opened.state() == TrainingState()
    assert opened.state().best_epoch is None


def test_an_existing_folder_is_refused_whatever_it_holds(run, recipe, tmp_path):
    parts = {"recipe": recipe, "split": run.split, "environment": {}, "content": {}}
    with pytest.raises(RunFolderError, match=r"new or empty folder.*--resume"):
        create_run(run.path, **parts)
    (tmp_path / "file").touch()
    with pytest.raises(RunFolderError, match="new or empty folder"):
        create_run(tmp_path / "file", **parts)
    (tmp_path / "empty").mkdir()
    assert create_run(tmp_path / "empty", **parts).path.is_dir()


def test_a_beginning_that_was_killed_can_be_begun_again(run, recipe, tmp_path):
    parts = {"recipe": recipe, "split": run.split, "environment": {}, "content": {}}
    folder = tmp_path / "killed"
    create_run(folder, **parts)
    (folder / ".split.json.abcdef").touch()
    for name in ("environment.json", "recipe.json"):
        (folder / name).unlink()
        assert create_run(folder, **parts).path == folder
        (folder / "environment.json").unlink()


def test_a_file_of_the_users_own_is_never_written_over(run, recipe, tmp_path):
    parts = {"recipe": recipe, "split": run.split, "environment": {}, "content": {}}
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "recipe.json").write_text("mine")
    with pytest.raises(RunFolderError, match="new or empty folder"):
        create_run(tmp_path / "mine", **parts)


@pytest.mark.parametrize(("made", "found"), [(True, "other files"), (False, "no such folder")])
def test_what_is_no_run_folder_is_told(made, found, tmp_path):
    folder = tmp_path / "data"
    if made:
        folder.mkdir()
    with pytest.raises(RunFolderError, match=rf"expected a run folder .*, found {found}"):
        open_run(folder)


@pytest.mark.parametrize("version", [2, None, "1"])
def test_a_run_of_another_version_names_the_version_that_wrote_it(version, run):
    path = run.path / "environment.json"
    document = json.loads(path.read_text())
    path.write_text(json.dumps({**document, "run_format": version}))
    with pytest.raises(RunFolderError, match=rf"format 1, got {version!r}.*wrote it \(0\.1\.0\)"):
        open_run(run.path)


def test_a_checkpoint_of_another_version_is_told(run, backend):
    path = run.path / "last" / "state.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "run_format": 2}))
    with pytest.raises(RunFolderError, match=r"state\.json: expected .*format 1, got 2"):
        open_run(run.path).load_last(backend)


GARBLED = {
    "cut off": lambda text: text[: len(text) // 2],
    "empty": lambda text: "",
    "a list": lambda text: "[1, 2]",
    "other keys": lambda text: '{"run_format": 1, "schema_version": 1, "something": "else"}',
    "no UTF-8": lambda text: b"\xff\xfe\x00{".decode("latin-1"),
}
garbled = pytest.mark.parametrize("how", GARBLED.values(), ids=GARBLED.keys())


@garbled
@pytest.mark.parametrize("name", ["environment.json", "split.json", "groups.json"])
def test_a_garbled_file_is_told_by_its_name(name, how, run):
    path = run.path / name
    path.write_bytes(how(path.read_text()).encode("latin-1"))
    with pytest.raises(RunFolderError, match=name.replace(".", r"\.")):
        open_run(run.path)


@garbled
def test_a_garbled_recipe_is_told_by_its_name(how, run):
    path = run.path / "recipe.json"
    path.write_bytes(how(path.read_text()).encode("latin-1"))
    with pytest.raises(RecipeError, match=r"recipe\.json"):
        open_run(run.path)


@garbled
def test_a_garbled_state_is_told_by_its_name(how, run, backend):
    path = run.path / "last" / "state.json"
    path.write_bytes(how(path.read_text()).encode("latin-1"))
    for read in (run.state, lambda: run.load_last(backend)):
        with pytest.raises(RunFolderError, match=r"state\.json"):
            read()


def test_wrong_types_inside_are_told_too(run):
    path = run.path / "last" / "state.json"
    document = json.loads(path.read_text())
    for history in ([{"epoch": 1}], [3], None):
        path.write_text(json.dumps({**document, "history": history}))
        with pytest.raises(RunFolderError, match=r"state\.json"):
            run.state()


@pytest.mark.parametrize("name", ["split.json", "groups.json"])
def test_a_missing_file_is_told_by_its_name(name, run):
    (run.path / name).unlink()
    with pytest.raises(RunFolderError, match=name.replace(".", r"\.")):
        open_run(run.path)


def test_a_split_that_was_edited_to_leak_is_refused(run):
    path = run.path / "groups.json"
    document = json.loads(path.read_text())
    document["groups"]["b"] = "a"
    path.write_text(json.dumps(document))
    with pytest.raises(SplitError, match="'a' on one side, but it is in train and test"):
        open_run(run.path)


def test_a_case_without_a_group_is_told(run):
    path = run.path / "groups.json"
    document = json.loads(path.read_text())
    del document["groups"]["b"]
    path.write_text(json.dumps(document))
    with pytest.raises(RunFolderError, match=r"groups\.json"):
        open_run(run.path)


# --- weights ----------------------------------------------------------------------------------


def test_a_run_without_weights_says_how_to_get_some(new_run):
    run = new_run()
    for ask in (run.weights, lambda: run.fingerprint):
        with pytest.raises(RunFolderError, match=r"no weights.*--resume"):
            ask()


def test_one_flipped_byte_in_finished_weights_is_found(run):
    flip_a_byte(run.weights_path)
    with pytest.raises(WeightsError, match="changed or damaged"):
        open_run(run.path).weights()


def test_damage_does_not_pass_as_good_when_a_finished_run_is_resumed(run):
    flip_a_byte(run.weights_path)
    with pytest.raises(WeightsError, match="changed or damaged"):
        run.unseal()
    assert (run.path / "checksums.json").is_file()


def test_unsealed_weights_may_change(run, backend):
    run.unseal()
    backend.set_bias(3)
    run.save_best(backend.weights())
    assert run.weights()["head.bias"] == 3
    run.unseal()


def test_weights_of_another_network_do_not_fit(run, fake_backend, recipe):
    network = recipe.network.model_copy(update={"channels": (2, 2)})
    run.unseal()
    run.save_best(fake_backend(recipe.model_copy(update={"network": network})).weights())
    with pytest.raises(WeightsError, match=r"weights\.safetensors: the weights do not fit .*shape"):
        run.weights()


def test_the_fingerprint_names_weights_and_recipe(run, new_run, backend, recipe):
    first = run.fingerprint
    assert first == open_run(run.path).fingerprint
    assert len(first) == 12
    backend.set_bias(1)
    run.save_best(backend.weights())
    assert run.fingerprint != first
    other = new_run("other", recipe.model_copy(update={"seed": 8}))
    shutil.copy(run.weights_path, other.weights_path)
    assert other.fingerprint != run.fingerprint


# --- the last checkpoint ----------------------------------------------------------------------


def test_the_last_state_comes_back_whole(run, backend, fake_backend):
    other = fake_backend()
    other.set_bias(9)
    state = open_run(run.path).load_last(other)
    assert state == TrainingState(step=2, history=(record(1, 0.5),))
    assert other.weights()["head.bias"] == backend.weights()["head.bias"]
    assert other.optimiser_state().keys() == backend.optimiser_state().keys()


@pytest.mark.parametrize("name", ["weights.safetensors", "optimiser.safetensors"])
def test_one_flipped_byte_in_the_checkpoint_is_found(name, run, backend):
    flip_a_byte(run.path / "last" / name)
    with pytest.raises(WeightsError, match=f"last.{name}.*changed or damaged"):
        run.load_last(backend)


@pytest.mark.parametrize("name", ["weights.safetensors", "optimiser.safetensors"])
def test_a_missing_part_of_the_checkpoint_is_told(name, run, backend):
    (run.path / "last" / name).unlink()
    with pytest.raises(WeightsError, match=f"last.{name}.*cannot be read"):
        run.load_last(backend)


def test_moments_of_another_network_do_not_fit(run, backend):
    path = run.path / "last" / "optimiser.safetensors"
    moments = dict(backend.optimiser_state())
    moments["first.head.bias"] = np.zeros(2, np.float32)
    state = run.path / "last" / "state.json"
    document = json.loads(state.read_text())
    document["sha256"]["optimiser"] = save_weights(path, moments)
    state.write_text(json.dumps(document))
    with pytest.raises(WeightsError, match=r"optimiser\.safetensors.*first\.head\.bias"):
        run.load_last(backend)


def test_a_kill_between_the_two_renames_leaves_the_checkpoint_before(run, backend, fake_backend):
    (run.path / "last").rename(run.path / "last.old")
    (run.path / "last.new").mkdir()
    assert open_run(run.path).state().epoch == 1
    assert open_run(run.path).load_last(fake_backend()).step == 2
    run.save_last(backend, TrainingState(step=4, history=(record(1, 0.5), record(2, 0.6))))
    assert run.state().epoch == 2
    assert not (run.path / "last.old").exists()
    assert not (run.path / "last.new").exists()


def test_the_best_epoch_is_the_first_of_the_highest_dice():
    history = tuple(record(i, dice) for i, dice in enumerate([0.1, 0.6, 0.6, 0.2], start=1))
    assert TrainingState(step=8, history=history).best_epoch == 2


# --- the constant baseline --------------------------------------------------------------------


def test_the_constant_mask_survives_the_folder(run):
    reference = np.zeros((1, 64, 64), bool)
    reference[:, 20:40, 10:30] = True
    chosen = best_constant_mask([reference])
    run.save_constant_mask(chosen)
    kept = open_run(run.path).constant_mask()
    np.testing.assert_array_equal(kept.cells, chosen.cells)
    assert (kept.name, kept.description) == (chosen.name, chosen.description)


@garbled
def test_a_garbled_constant_mask_is_told_by_its_name(how, run):
    run.save_constant_mask(best_constant_mask([np.ones((1, 8, 8), bool)]))
    path = run.path / "constant-mask.json"
    path.write_bytes(how(path.read_text()).encode("latin-1"))
    with pytest.raises(RunFolderError, match=r"constant-mask\.json"):
        run.constant_mask()


# --- calibration --------------------------------------------------------------------------------


def test_a_calibration_reads_as_it_was_written(new_run):
    run = new_run()
    assert run.calibration == Calibration()
    assert not run.calibration.is_fitted
    learnt = Calibration(
        temperature=1.5,
        operating_threshold=0.7,
        outer=ConformalThreshold(threshold=0.1, alpha=0.1, tolerance=0.1, num_groups=12),
        chosen_on={"part": "calibration"},
    )
    run.save_calibration(learnt)
    assert open_run(run.path).calibration == learnt
    assert run.operating_threshold == 0.7
    assert learnt.is_fitted


@garbled
def test_a_garbled_calibration_is_told_by_its_name(how, new_run):
    run = new_run()
    run.save_calibration(Calibration())
    path = run.path / "calibration.json"
    path.write_bytes(how(path.read_text()).encode("latin-1"))
    with pytest.raises(RunFolderError, match=r"calibration\.json"):
        _ = run.calibration
