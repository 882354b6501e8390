"""Evaluation refuses what a run has seen, or marks it."""

import json
import shutil

import pytest

from breastseg.datasets.layouts import find_data_set
from breastseg.training.checkpoint import open_run


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
