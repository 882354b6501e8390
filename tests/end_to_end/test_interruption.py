"""Ctrl-C in the middle: the run can be used, and resumed to the bits of an uninterrupted one."""

import json
import signal

import numpy as np

from breastseg.backends.weights import read_weights

LONG = ("--set", "optimisation.epochs=25", "--set", "optimisation.batch_size=2")


def test_an_interrupted_training_can_be_used_and_resumed(
    framework, process, wait_for, breastseg, small, phantom_data, tmp_path
):
    run = tmp_path / "run"
    command = ("train", phantom_data, "--framework", framework, *small, *LONG)
    training = process(*command, "--output", run)
    wait_for(run / "metrics.jsonl", training)
    training.send_signal(signal.SIGINT)
    _, told = training.communicate(timeout=60)
    assert training.returncode == 130, told
    assert "Interrupted" in told
    assert "Traceback" not in told

    done = int(json.loads(breastseg("info", run, "--json").out)["epochs"].split(" of ")[0])
    assert 1 <= done < 25
    assert (run / "model.onnx").is_file()
    scored = breastseg("evaluate", run, phantom_data, "--threads", 1)
    assert scored.code == 0, scored.told

    resumed = breastseg("train", "--resume", run, "--threads", 1, "--json")
    assert resumed.code == 0, resumed.told
    assert json.loads(resumed.out)["epochs"] == "25 of 25"

    whole = breastseg(*command, "--output", tmp_path / "whole")
    assert whole.code == 0, whole.told
    for name in ("weights.safetensors", "last/weights.safetensors", "last/optimiser.safetensors"):
        found, expected = (read_weights(folder / name) for folder in (run, tmp_path / "whole"))
        assert all(np.array_equal(found[key], expected[key]) for key in expected), name


def test_a_terminated_command_ends_like_an_interrupted_one(
    process, wait_for, phantom_data, tmp_path
):
    """As when a job scheduler's time is up."""
    begun = process(
        *("train", phantom_data, "--recipe", "smoke", "--set", "optimisation.epochs=10000"),
        *("--threads", 1, "--output", tmp_path / "run"),
    )
    wait_for(tmp_path / "run" / "metrics.jsonl", begun)
    begun.terminate()
    _, told = begun.communicate(timeout=60)
    assert begun.returncode == 130, told
    assert (tmp_path / "run" / "model.onnx").is_file()


def test_a_training_interrupted_in_its_first_epoch_predicts_and_resumes(
    breastseg, small, phantom_data, tmp_path, monkeypatch
):
    def interrupt(bar, **told):
        raise KeyboardInterrupt

    run = tmp_path / "run"
    with monkeypatch.context() as patch:
        patch.setattr("breastseg.workflows.progress.TrainingBar.step_done", interrupt)
        answer = breastseg(
            *("train", phantom_data, *small, "--output", run),
            *("--set", "optimisation.epochs=1"),
        )
    assert answer.code == 130
    assert json.loads(breastseg("info", run, "--json").out)["epochs"] == "0 of 1"
    assert breastseg("evaluate", run, phantom_data).code == 0
    assert breastseg("train", "--resume", run, "--threads", 1).code == 0
    assert json.loads(breastseg("info", run, "--json").out)["epochs"] == "1 of 1"


def test_an_interrupted_prediction_goes_on_where_it_stopped(
    breastseg, runs, other_data, tmp_path, monkeypatch
):
    def interrupt(bar, what, done, total):
        if done == 3:
            raise KeyboardInterrupt

    model, output = ("--model", runs["pytorch"]), ("--output", tmp_path / "out")
    predict = ("predict", other_data, *model, *output, "--threads", 2)
    with monkeypatch.context() as patch:
        patch.setattr("breastseg.workflows.progress.WorkBar.__call__", interrupt)
        assert breastseg(*predict).code == 130
    finished = sorted((tmp_path / "out").glob("*/lesions.json"))
    assert 3 <= len(finished) <= 6  # two are worked at together, and two more begun
    for case in (tmp_path / "out").iterdir():
        if case.is_dir():
            assert {path.name for path in case.iterdir()} >= {"mask.png", "overlay.png"}
            assert case / "lesions.json" in finished
    before = [path.stat().st_mtime_ns for path in finished]
    assert breastseg(*predict).code == 0
    assert [path.stat().st_mtime_ns for path in finished] == before
    assert len(list((tmp_path / "out").glob("*/lesions.json"))) == 8
