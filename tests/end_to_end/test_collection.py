"""A collection by the command line: trained on, scored by data set, resumed, inspected."""

import json
import shutil

import pytest

from breastseg.training.checkpoint import open_run
from tests.end_to_end.conftest import SMALL


@pytest.fixture(scope="module")
def collection(phantom_data, tmp_path_factory):
    """Return two halves of the phantoms, one of them said to be simulated."""
    root = tmp_path_factory.mktemp("collection")
    halves = {"plain": root / "plain", "said": root / "said"}
    for place, half in enumerate(halves.values()):
        for path in phantom_data.rglob("*.png"):
            number = int(path.name.partition("(")[2].partition(")")[0])
            if number % 2 == place:
                (half / path.parent.name).mkdir(parents=True, exist_ok=True)
                shutil.copy(path, half / path.parent.name)
    (halves["said"] / "dataset.json").write_text('{"description": "simulated"}')
    data_sets = {name: {"path": half.name} for name, half in halves.items()}
    path = root / "both.json"
    path.write_text(json.dumps({"schema_version": 1, "data_sets": data_sets}))
    return path


@pytest.fixture(scope="module")
def run(breastseg, collection):
    """A run on both, of one epoch; leave it as it is."""
    path = collection.parent / "run"
    answer = breastseg(
        *("train", collection, *SMALL, "--set", "optimisation.epochs=1", "--output", path)
    )
    assert answer.code == 0, answer.told
    return path


def test_a_run_notes_its_file_and_what_each_data_set_was(run, collection):
    environment = open_run(run).environment
    assert environment["data"] == str(collection.resolve())
    assert list(environment["data_sets"]) == ["plain", "said"]
    counts = [each["images"] for each in environment["data_sets"].values()]
    assert sum(counts) == len(open_run(run).content)
    fingerprints = {each["fingerprint"] for each in environment["data_sets"].values()}
    assert len(fingerprints) == 2
    assert open_run(run).notice == "Trained on simulated lesions too: those of said."


def test_a_scorecard_has_the_figures_of_each_data_set(run, collection, breastseg, tmp_path):
    answer = breastseg("evaluate", run, collection, "--output", tmp_path / "card", "--threads", 1)
    assert answer.code == 0, answer.told
    card = json.loads((tmp_path / "card" / "scorecard.json").read_text())
    scored = [case["case_id"].partition("__")[0] for case in card["cases"]]
    assert {name: part["num_images"] for name, part in card["by_source"].items()} == {
        name: scored.count(name) for name in sorted(set(scored))
    }
    assert [part["name"] for part in card["detection"]["by_source"]] == sorted(set(scored))
    assert "By data set" in (tmp_path / "card" / "scorecard.html").read_text()
    assert "  plain: Dice" in answer.out


def test_one_data_set_alone_is_known_to_be_of_the_run(run, collection, breastseg, tmp_path):
    output = tmp_path / "alone"
    plain = collection.parent / "plain"
    answer = breastseg("evaluate", run, plain, "--output", output, "--threads", 1)
    assert answer.code == 0, answer.told
    card = json.loads((output / "scorecard.json").read_text())
    test = [each for each in open_run(run).split.parts["test"] if each.startswith("plain__")]
    assert sorted(case["case_id"] for case in card["cases"]) == sorted(
        each.removeprefix("plain__") for each in test
    )
    assert card["by_source"] == {}


def test_calibrate_and_resume_find_the_file_again(run, breastseg, tmp_path):
    again = shutil.copytree(run, tmp_path / "again")
    assert breastseg("calibrate", again, "--threads", 1).code == 0
    answer = breastseg("train", "--resume", again, "--threads", 1)
    assert answer.code == 0, answer.told
    assert "1 of 1" in answer.out


def test_other_data_bears_the_name_of_the_file(run, breastseg, tmp_path, busi_dir):
    data_sets = {"other": {"path": busi_dir.name}}
    path = tmp_path / "others.json"
    path.write_text(json.dumps({"schema_version": 1, "data_sets": data_sets}))
    again = shutil.copytree(run, tmp_path / "again")
    answer = breastseg("evaluate", again, path, "--threads", 1)
    assert answer.code == 0, answer.told
    assert (again / "scorecard-others" / "scorecard.html").is_file()


def test_an_inspection_takes_the_file(collection, breastseg):
    answer = breastseg("inspect", collection, "--json")
    summary = json.loads(answer.out)["summary"]
    assert summary["layout"] == "collection of 2 x BUSI"
    assert summary["root"] == str(collection)
