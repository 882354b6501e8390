"""What a user is told when a training cannot succeed, or is already going on."""

import os

from breastseg.training.lock import only_trainer


def test_a_training_that_cannot_succeed_ends_with_3_and_a_fix(
    framework, breastseg, small, phantom_data, tmp_path
):
    answer = breastseg(
        *("train", phantom_data, "--framework", framework, *small, "--output", tmp_path / "run"),
        *("--set", "optimisation.learning_rate=1e-60"),
        *("--set", "optimisation.schedule.name=constant"),
        *("--set", "optimisation.schedule.warmup_epochs=0"),
    )
    assert answer.code == 3
    assert "epoch 1: no weight has changed since the training began" in answer.err
    assert "1e-60 is lost in rounding" in answer.err
    assert "The last good checkpoint is kept." in answer.err


def test_a_run_that_another_process_trains_is_refused(run_copy, breastseg):
    with only_trainer(run_copy):
        answer = breastseg("train", "--resume", run_copy)
    assert answer.code == 2
    assert f"process {os.getpid()} on " in answer.err
    assert breastseg("train", "--resume", run_copy, "--threads", 1).code == 0


def test_a_run_that_stops_early_is_finished(framework, breastseg, small, phantom_data, tmp_path):
    run = tmp_path / "run"
    answer = breastseg(
        *("train", phantom_data, "--framework", framework, *small, "--output", run),
        *("--set", "optimisation.epochs=30", "--set", "optimisation.early_stopping=1"),
        *("--set", "optimisation.ema_decay=0.9", "--set", "optimisation.sampling=balanced"),
        *("--set", "optimisation.optimiser=sgd", "--set", "optimisation.clip_norm=1"),
        *("--set", "optimisation.accumulation=2", "--set", "health=warn"),
    )
    assert answer.code == 0, answer.told
    assert (run / "model.onnx").is_file()
    assert (run / "last" / "average.safetensors").is_file()
