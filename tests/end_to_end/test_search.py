"""A search as a user meets it: killed, interrupted, shared, and what it leaves."""

import json
import signal
import time

import pytest

from breastseg.core.recipe import read_recipe
from breastseg.training.checkpoint import open_run

SPACE = """
name: tiny
base: smoke
space:
  loss: [bce, dice]
  optimisation.learning_rate: [1e-3, 1e-2]
"""
TINY = (
    *("--set", "preprocessing.size=32", "--set", "network.channels=[8,8]", "--threads", 1),
    *("--set", "optimisation.precision=float32", "--set", "optimisation.epochs=2"),
)


@pytest.fixture
def space(tmp_path):
    path = tmp_path / "tiny.yaml"
    path.write_text(SPACE)
    return path


def wait_until(condition, process, seconds=120):
    end = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end, f"not within {seconds} s"
        time.sleep(0.01)


def trained(folder):
    """Return what was begun, in order: trial 0; trial 1, which was left; ..."""
    text = (folder / "breastseg.log").read_text()
    lines = [line for line in text.splitlines() if ": loss" in line]
    return [line.split("INFO ")[1].split(": loss")[0] for line in lines]


def assert_whole_grid(document):
    assert document["num_trials"]["complete"] == 4
    assert [row["rank"] for row in document["table"]] == [1, 2, 3, 4]
    assert len({json.dumps(row["parameters"]) for row in document["table"]}) == 4


def test_a_search_that_was_killed_goes_on_and_loses_no_cell(
    breastseg, process, phantom_data, space, tmp_path
):
    folder = tmp_path / "search"
    command = ("search", phantom_data, "--space", space, *TINY, "--output", folder)
    begun = process(*command, "--set", "optimisation.epochs=12")
    second = folder / "trials" / "0001" / "seed-0"
    wait_until(lambda: (second / "metrics.jsonl").is_file(), begun)
    begun.kill()
    begun.communicate()
    epochs = open_run(second).state().epoch
    assert epochs >= 1

    answer = breastseg(*command, "--set", "optimisation.epochs=12", "--json")
    assert answer.code == 0, answer.told
    document = json.loads(answer.out)
    assert_whole_grid(document)
    assert trained(folder) == [
        *("trial 0", "trial 1", "trial 1, which was left", "trial 2", "trial 3"),
    ]

    gap = document["selection_gap"]
    assert gap["gap"] == pytest.approx(gap["validation"]["value"] - gap["test"]["value"])
    assert document["scored_on_test"] == [document["winner"]]
    kept = [path.parents[1].name for path in folder.glob("trials/*/*/weights.safetensors")]
    assert kept == [f"{document['winner']:04d}"]

    best = folder / "best.recipe.json"
    assert read_recipe(best).name == "best-of-tiny"
    answer = breastseg(
        *("train", phantom_data, "--recipe", best, "--output", tmp_path / "best", "--threads", 1)
    )
    assert answer.code == 0, answer.told
    again, searched = (
        open_run(path).split.parts
        for path in (
            tmp_path / "best",
            folder / "trials" / f"{document['winner']:04d}" / "seed-0",
        )
    )
    assert again == searched, "the winner is trained anew on the split that it was chosen on"


def test_two_processes_share_a_search(process, phantom_data, space, tmp_path):
    folder = tmp_path / "search"
    command = ("search", phantom_data, "--space", space, *TINY, "--output", folder)
    both = [process(*command), process(*command)]
    told = [each.communicate(timeout=300) for each in both]
    assert [each.returncode for each in both] == [0, 0], told
    begun = trained(folder)
    assert sorted(begun) == sorted(set(begun)), "no combination was trained twice"
    assert_whole_grid(json.loads((folder / "search.json").read_text()))


def test_jobs_are_processes_of_one_command(process, phantom_data, space, tmp_path):
    folder = tmp_path / "search"
    command = ("search", phantom_data, "--space", space, *TINY, "--output", folder)
    begun = process(*command, "--jobs", 2, "--folds", 2, "--trials", 3, "--json")
    out, err = begun.communicate(timeout=300)
    assert begun.returncode == 0, err
    document = json.loads(out)
    assert document["num_trials"]["complete"] == 3
    assert document["table"][0]["interval"] is not None
    assert len(set(trained(folder))) == len(trained(folder)) == 3
    assert document["selection_gap"]["validation"]["num_images"] > 2, "of both folds"


@pytest.mark.parametrize("jobs", [1, 2])
def test_ctrl_c_ends_the_search_and_keeps_what_is_done(
    process, phantom_data, space, tmp_path, jobs
):
    folder = tmp_path / "search"
    command = ("search", phantom_data, "--space", space, *TINY, "--output", folder)
    begun = process(*command, "--set", "optimisation.epochs=200", "--jobs", jobs)
    last = f"{jobs - 1:04d}"
    wait_until(lambda: (folder / "trials" / last / "seed-0/metrics.jsonl").is_file(), begun)
    # SIGTERM, as a job scheduler sends it, reaches the parent alone.
    begun.send_signal(signal.SIGINT if jobs == 1 else signal.SIGTERM)
    _, told = begun.communicate(timeout=120)
    assert begun.returncode == 130, told
    assert "Interrupted" in told
    assert "Traceback" not in told
    document = json.loads((folder / "search.json").read_text())
    assert document["num_trials"]["running"] >= jobs
    assert document["selection_gap"] is None
    assert (folder / "trials" / last / "seed-0" / "model.onnx").is_file()


def test_workers_end_when_their_command_is_killed(process, phantom_data, space, tmp_path):
    folder = tmp_path / "search"
    command = ("search", phantom_data, "--space", space, *TINY, "--output", folder)
    begun = process(*command, "--set", "optimisation.epochs=100000", "--jobs", 2)
    state = folder / "trials" / "0001" / "seed-0" / "model.onnx"
    metrics = folder / "trials" / "0001" / "seed-0" / "metrics.jsonl"
    wait_until(metrics.is_file, begun)
    begun.kill()
    end = time.monotonic() + 60
    while not state.is_file():
        assert time.monotonic() < end, "the worker went on without its parent"
        time.sleep(0.05)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ((), "search needs DATA"),
        (("DATA", "--space", "loses"), "Did you mean 'losses'"),
        (("DATA", "--space", "losses", "--seeds", 2, "--folds", 2), "give one of them"),
        (("DATA", "--space", "losses", "--budget", "soon"), "--budget soon"),
        (("DATA", "--space", "losses", "--set", "network.norm=9"), "network.norm"),
        (("--report", "nowhere"), "expected a search folder"),
    ],
)
def test_wrong_use_is_told_in_a_line(breastseg, phantom_data, tmp_path, options, told):
    given = [phantom_data if each == "DATA" else each for each in options]
    answer = breastseg("search", *given)
    assert answer.code == 2
    assert told in answer.err


def test_the_shipped_spaces_are_listed_and_shown(breastseg, tmp_path):
    assert "seed-grid" in breastseg("spaces", "list").out
    shown = breastseg("spaces", "show", "losses")
    assert shown.code == 0
    (tmp_path / "mine.json").write_text(shown.out)
    assert breastseg("spaces", "show", tmp_path / "mine.json").out == shown.out
