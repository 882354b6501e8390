"""Evaluation refuses what a run has seen, or marks it."""

import json
import shutil

import numpy as np
import pytest
from PIL import Image as Pillow

from breastseg.datasets.layouts import find_data_set
from breastseg.io.raster import read_luminance
from breastseg.training.checkpoint import open_run
from breastseg.training.sketch_file import SKETCHES_NAME


@pytest.fixture(scope="module")
def twins(phantom_data, tmp_path_factory):
    """Return twelve phantoms, each a second time under another name."""
    folder = tmp_path_factory.mktemp("twins") / "data"
    for name in ("images", "masks"):
        (folder / name).mkdir(parents=True)
    for number, case in enumerate(find_data_set(phantom_data).cases[:12]):
        for twin in ("first", "second"):
            name = f"{number:02}-{twin}.png"
            shutil.copy(case.image_path, folder / "images" / name)
            shutil.copy(case.mask_paths[0], folder / "masks" / name)
    return folder


@pytest.fixture(scope="module")
def divided_run(breastseg, twins, tmp_path_factory):
    """Return a run whose split ignored that the images are there twice."""
    path = tmp_path_factory.mktemp("runs") / "divided"
    answer = breastseg(
        *("train", twins, "--recipe", "smoke", "--threads", 1, "--output", path),
        *("--set", "preprocessing.size=32", "--set", "network.channels=[8,8]"),
        *("--set", "optimisation.epochs=1", "--set", "split.by=image-ignoring-groups"),
    )
    assert answer.code == 0, answer.told
    assert "The split ignores the groups" in answer.err
    return path


def test_folds_that_ignore_groups_are_scored_and_marked(breastseg, twins, tmp_path):
    answer = breastseg(
        *("train", twins, "--recipe", "smoke", "--threads", 1, "--folds", 2),
        *("--set", "preprocessing.size=32", "--set", "network.channels=[8,8]"),
        *("--set", "optimisation.epochs=1", "--set", "split.by=image-ignoring-groups"),
        *("--output", tmp_path / "folds"),
    )
    assert answer.code == 0, answer.told
    assert "Leakage: " in answer.out


def test_a_test_part_whose_twins_were_trained_on_is_refused(breastseg, divided_run, twins):
    answer = breastseg("evaluate", divided_run, twins)
    assert answer.code == 2
    assert "split by image" in answer.err
    assert "split.by=group" in answer.err
    assert "--allow-leakage" in answer.err


def test_it_is_scored_and_marked_where_leakage_is_allowed(breastseg, divided_run, twins, tmp_path):
    folder = tmp_path / "card"
    answer = breastseg("evaluate", divided_run, twins, "--allow-leakage", "--output", folder)
    assert answer.code == 0, answer.told
    assert "Leakage: " in answer.out
    (told,) = json.loads((folder / "scorecard.json").read_text())["leakage"]["runs"]
    assert told["groups_shared"] == len(open_run(divided_run).split.shared_groups()) > 0
    assert "these figures flatter" in (folder / "scorecard.html").read_text()


# --- near duplicates in other data ------------------------------------------------------------


@pytest.fixture
def changed(runs, phantom_data, other_data, tmp_path):
    """Return other phantoms, and a mirrored JPEG of an image that the run was trained on."""
    folder = tmp_path / "changed"
    for name in ("images", "masks"):
        (folder / name).mkdir(parents=True)
    for number, case in enumerate(find_data_set(other_data).cases[:3]):
        shutil.copy(case.image_path, folder / "images" / f"new-{number}.png")
        shutil.copy(case.mask_paths[0], folder / "masks" / f"new-{number}.png")
    trained = open_run(runs["pytorch"]).split.parts["train"][0]
    (case,) = find_data_set(phantom_data).only([trained])
    pixels = read_luminance(case.image_path).astype(np.uint8)
    Pillow.fromarray(np.fliplr(pixels)).save(folder / "images" / "copy.jpg", quality=50)
    with Pillow.open(case.mask_paths[0]) as mask:
        Pillow.fromarray(np.fliplr(np.array(mask))).save(folder / "masks" / "copy.png")
    return folder, trained


def test_a_changed_training_image_in_other_data_is_refused_or_marked(
    breastseg, run_copy, changed, tmp_path
):
    data, trained = changed
    answer = breastseg("evaluate", run_copy, data)
    assert answer.code == 2
    assert "1 of 4 images are near duplicates" in answer.err
    assert f"(like '{trained}' of train, likeness" in answer.err
    assert "Take 'images__copy' out of the data" in answer.err
    folder = tmp_path / "card"
    answer = breastseg("evaluate", run_copy, data, "--allow-leakage", "--output", folder)
    assert answer.code == 0, answer.told
    assert "Leakage: 1 of 4 images are near duplicates" in answer.out
    told = json.loads((folder / "scorecard.json").read_text())["leakage"]
    assert (told["num_near_duplicates"], told["num_compared"]) == (1, 4)
    assert [(pair["case_id"], pair["twin"]) for pair in told["pairs"]] == [
        ("images__copy", trained)
    ]
    assert "1 near duplicate of images that had been" in (folder / "scorecard.html").read_text()


def test_without_sketches_files_alone_are_known_again(breastseg, run_copy, changed, tmp_path):
    (run_copy / SKETCHES_NAME).unlink()
    folder = tmp_path / "card"
    answer = breastseg("evaluate", run_copy, changed[0], "--output", folder)
    assert answer.code == 0, answer.told
    told = json.loads((folder / "scorecard.json").read_text())["leakage"]
    assert (told["num_near_duplicates"], told["num_not_compared"]) == (0, 4)
    assert any("no sketches.npz" in each for each in told["not_checked"])


def test_a_resumed_training_sketches_what_is_missing(breastseg, run_copy):
    before = (run_copy / SKETCHES_NAME).read_bytes()
    (run_copy / SKETCHES_NAME).unlink()
    answer = breastseg("train", "--resume", run_copy, "--threads", 1)
    assert answer.code == 0, answer.told
    assert (run_copy / SKETCHES_NAME).read_bytes() == before


# --- how much it would have flattered ---------------------------------------------------------


def test_show_leak_scores_what_was_trained_on(breastseg, runs, phantom_data, tmp_path):
    folder = tmp_path / "card"
    answer = breastseg(
        *("evaluate", runs["pytorch"], phantom_data, "--show-leak", "--output", folder)
    )
    assert answer.code == 0, answer.told
    for told in ("held out (honest)", "trained on", "A random split, by estimate"):
        assert told in answer.out
    document = json.loads((folder / "scorecard.json").read_text())
    inflation = document["inflation"]
    split = open_run(runs["pytorch"]).split
    assert 0 < inflation["seen"]["num_images"] <= len(split.parts["train"])
    assert inflation["unseen"]["dice"] == document["table"][0]["summary"]["dice"]["value"]
    page = (folder / "scorecard.html").read_text()
    assert "How much leakage would have flattered" in page


def test_show_leak_needs_the_test_part_of_own_data(breastseg, run_copy, other_data):
    answer = breastseg("evaluate", run_copy, other_data, "--show-leak")
    assert answer.code == 2
    assert "data that the run does not know" in answer.err
    assert not (run_copy / "scorecard-elsewhere").exists()
