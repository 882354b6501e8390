"""Cross-validation by the command line: every image held out once, the folds used as one."""

import json
import shutil

import numpy as np
import pytest

from breastseg.backends.weights import read_weights
from breastseg.training.checkpoint import open_run
from breastseg.training.model import open_model

NUM_FOLDS = 2


@pytest.fixture(scope="module")
def command(phantom_data):
    return (
        *("train", phantom_data, "--folds", NUM_FOLDS, "--recipe", "smoke", "--threads", 1),
        *("--set", "preprocessing.size=32", "--set", "network.channels=[8,8]"),
        *("--set", "optimisation.precision=float32", "--set", "optimisation.epochs=3"),
    )


@pytest.fixture(scope="module")
def folds(breastseg, command, tmp_path_factory):
    """Two trained folds; leave them as they are."""
    path = tmp_path_factory.mktemp("folds") / "two"
    answer = breastseg(*command, "--output", path, "--json")
    assert answer.code == 0, answer.told
    told = json.loads(answer.out)
    assert told["num_folds"] == NUM_FOLDS
    assert told["fold_2"].startswith("3 of 3 epochs")
    return path


def scorecard(folder):
    return json.loads((folder / "scorecard.json").read_text())


def test_every_image_is_scored_once_by_the_fold_that_held_it_out(folds):
    card = scorecard(folds / "scorecard")
    content = open_run(folds / "fold-1").content
    assert sorted(case["case_id"] for case in card["cases"]) == sorted(content)
    held_out = [set(run.split.parts["test"]) for run in open_model(folds).runs]
    assert not held_out[0] & held_out[1]
    assert [part["num_images"] for part in card["by_fold"].values()] == list(map(len, held_out))
    assert not card["warnings"]
    assert len(card["calibration"]["temperatures"]) == NUM_FOLDS
    assert "none is claimed" in card["guarantees"]["note"]
    assert "By fold" in (folds / "scorecard" / "scorecard.html").read_text()


def test_a_fold_scores_its_own_part_as_the_cross_validation_does(
    folds, breastseg, phantom_data, tmp_path
):
    whole = {case["case_id"]: case for case in scorecard(folds / "scorecard")["cases"]}
    output = tmp_path / "card"
    answer = breastseg(
        *("evaluate", folds / "fold-2", phantom_data, "--output", output, "--threads", 1)
    )
    assert answer.code == 0, answer.told
    for case in scorecard(output)["cases"]:
        assert case == whole[case["case_id"]]


def test_other_data_is_scored_and_predicted_by_all_folds_together(
    folds, breastseg, other_data, tmp_path
):
    output = tmp_path / "other"
    answer = breastseg("evaluate", folds, other_data, "--output", output, "--threads", 1)
    assert answer.code == 0, answer.told
    assert scorecard(output)["by_fold"] == {}
    assert "not seen" in scorecard(output)["details"]["Scored on"]

    found = tmp_path / "found"
    answer = breastseg("predict", other_data, "--model", folds, "--output", found, "--threads", 1)
    assert answer.code == 0, answer.told
    index = json.loads((found / "predictions.json").read_text())
    assert index["model"]["recipe"] == "smoke, 2 folds"


def test_two_cross_validations_are_compared_out_of_fold(folds, breastseg, phantom_data, tmp_path):
    again = shutil.copytree(folds, tmp_path / "again")
    output = tmp_path / "cmp"
    answer = breastseg(
        *("compare", folds, again, phantom_data, "--output", output, "--threads", 1, "--json")
    )
    assert answer.code == 0, answer.told
    assert json.loads(answer.out)["pairs"][0]["difference"]["mean"] == 0


def test_one_fold_beside_the_cross_validation_would_leak_and_is_refused(
    folds, breastseg, phantom_data
):
    answer = breastseg("evaluate", folds, phantom_data, "--against", folds / "fold-1")
    assert answer.code == 2
    assert "were trained on" in answer.err


def test_what_has_no_meaning_for_several_networks_is_refused(folds, breastseg, phantom_data):
    answer = breastseg("export", folds, "--output", "model.onnx")
    assert answer.code == 2
    assert "fold-1" in answer.err
    answer = breastseg("evaluate", folds, phantom_data, "--split", "train")
    assert answer.code == 2
    assert "--split test or all" in answer.err


def test_info_tells_how_far_each_fold_is(folds, breastseg):
    told = json.loads(breastseg("info", folds, "--json").out)
    assert [told[f"fold_{fold}"][:13] for fold in (1, 2)] == ["3 of 3 epochs"] * 2


def test_a_recipe_that_names_a_fold_is_refused(command, breastseg, tmp_path):
    answer = breastseg(*command, "--set", "split.test_fold=1", "--output", tmp_path / "x")
    assert answer.code == 2
    assert "split.test_fold=1" in answer.err
    assert not (tmp_path / "x").exists()


def test_a_killed_cross_validation_goes_on_to_the_same_weights(
    folds, command, process, wait_for, breastseg, tmp_path
):
    path = tmp_path / "killed"
    begun = process(*command, "--output", path)
    wait_for(path / "fold-1" / "metrics.jsonl", begun)
    begun.kill()
    begun.wait()
    assert json.loads(breastseg("info", path, "--json").out)["fold_2"] == "not begun"

    resumed = breastseg("train", "--resume", path, "--threads", 1)
    assert resumed.code == 0, resumed.told
    for fold in ("fold-1", "fold-2"):
        ours, theirs = (read_weights(each / fold / "weights.safetensors") for each in (path, folds))
        assert all(np.array_equal(ours[name], theirs[name]) for name in theirs)
    assert scorecard(path / "scorecard")["cases"] == scorecard(folds / "scorecard")["cases"]
