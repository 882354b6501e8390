"""TensorBoard's own reader is the judge of what is written, and metrics.jsonl of the numbers."""

import io
import json
import logging
import subprocess
import sys
from dataclasses import asdict

import numpy as np
import pytest
from PIL import Image as Pillow
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from breastseg.core.errors import OutputError
from breastseg.pipeline.image_set import PreparedCase
from breastseg.training import tracking
from breastseg.training.fit import fit
from breastseg.training.tracking import (
    FOLDER_NAME,
    Listeners,
    Tracker,
    choose_cases,
    is_shown,
)

NUM_EPOCHS, STEPS_PER_EPOCH = 3, 2
UNLIMITED = {"scalars": 0, "images": 0, "tensors": 0}


class Quiet:
    def step_done(self, *, epoch, step, num_steps, loss):
        pass

    def epoch_done(self, record, *, is_best):
        pass


class KilledError(BaseException):
    """The process ends here: nothing may catch it."""


@pytest.fixture
def train(training, validation):
    """Return a function that trains a backend into a run folder, tracked."""

    def fit_it(backend, run, listener=None):
        tracker = Tracker(run, [f"case {n}" for n in range(len(validation))], validation)
        told = Listeners(tracker, listener or Quiet())
        return fit(backend, training, validation, run, told, tracker.validated)

    return fit_it


def read(run):
    accumulator = EventAccumulator(str(run.path / FOLDER_NAME), size_guidance=UNLIMITED)
    return accumulator.Reload()


def scalars(run, tag):
    """What TensorBoard has of a tag, as pairs of step and value."""
    return [(event.step, event.value) for event in read(run).Scalars(tag)]


def metrics(run):
    return [json.loads(line) for line in (run.path / "metrics.jsonl").read_text().splitlines()]


def assert_as_metrics(run):
    """Each number of metrics.jsonl stands in the events once, and no other."""
    events, records = read(run), metrics(run)
    for name in records[0].keys() - {"epoch"}:
        expected = [(each["epoch"], each[name]) for each in records if each[name] is not None]
        tag = f"epoch/{name}"
        found = events.Scalars(tag) if tag in events.Tags()["scalars"] else []
        assert [each.step for each in found] == [epoch for epoch, _ in expected], tag
        values = np.array([value for _, value in expected], np.float32)
        np.testing.assert_array_equal(np.array([each.value for each in found], np.float32), values)


# --- a training that goes well ----------------------------------------------------------------


def test_the_numbers_are_those_of_metrics_jsonl(fake_backend, new_run, train):
    run = new_run()
    train(fake_backend(), run)
    assert_as_metrics(run)
    assert "epoch/validation_specificity" in read(run).Tags()["scalars"]


def test_each_step_has_its_loss(fake_backend, new_run, train):
    run = new_run()
    state = train(fake_backend(), run)
    steps = scalars(run, "step/loss")
    assert [step for step, _ in steps] == list(range(1, NUM_EPOCHS * STEPS_PER_EPOCH + 1))
    of_last = [loss for step, loss in steps if step > (NUM_EPOCHS - 1) * STEPS_PER_EPOCH]
    assert np.mean(of_last) == pytest.approx(state.history[-1].loss)


def test_pictures_of_fixed_cases_are_png_files_of_their_size(fake_backend, new_run, train):
    run = new_run()
    train(fake_backend(), run)
    events = read(run)
    tags = events.Tags()["images"]
    assert len(tags) == 4
    assert "validation/case 4" in tags, "the one without a lesion"
    for tag in tags:
        assert [each.step for each in events.Images(tag)] == [1, 2, 3]
        for each in events.Images(tag):
            with Pillow.open(io.BytesIO(each.encoded_image_string)) as picture:
                assert picture.format == "PNG"
                assert picture.size == (each.width, each.height)
                assert picture.width > 3 * 256


def test_a_case_is_drawn_from_its_own_logits_whichever_batch_they_come_in(new_run, validation):
    tracker = Tracker(new_run(), [str(n) for n in range(len(validation))], validation)
    for first, size in ((0, 4), (4, 1)):
        places = np.arange(first, first + size, dtype=np.float32)
        tracker.validated(1, first, np.broadcast_to(places[:, None, None, None], (size, 1, 16, 16)))
    drawn = {place: set(logits.flat) for place, logits in tracker._logits.items()}
    assert drawn == {place: {place} for place in choose_cases(validation.cases)}


def test_the_recipe_can_be_read(fake_backend, new_run, train):
    run = new_run()
    train(fake_backend(), run)
    (event,) = read(run).Tensors("recipe")
    (text,) = event.tensor_proto.string_val
    assert run.recipe.to_json() in text.decode()


def test_tracking_changes_no_bit_of_the_training(
    fake_backend, new_run, train, training, validation
):
    tracked, plain = new_run("tracked"), new_run("plain")
    states = (
        train(fake_backend(), tracked),
        fit(fake_backend(), training, validation, plain, Quiet()),
    )
    first, second = ([{**asdict(r), "seconds": 0} for r in state.history] for state in states)
    assert first == second
    for name in ("weights", "last/weights", "last/optimiser"):
        name = f"{name}.safetensors"
        assert (tracked.path / name).read_bytes() == (plain.path / name).read_bytes()


# --- which cases, which epochs ----------------------------------------------------------------


def of_size(pixels):
    target = np.zeros((16, 16), bool)
    target.flat[:pixels] = True
    return PreparedCase(np.zeros((16, 16), np.float32), target)


@pytest.mark.parametrize(
    ("sizes", "chosen"),
    [
        ([9, 1, 5, 0, 7, 3, 0, 8, 6], [5, 8, 7, 3]),  # ranked 1 3 5 6 7 8 9
        ([4, 2, 3], [1, 2, 0]),
        ([4, 2], [1, 0]),
        ([4], [0]),
        ([0, 0], [0]),
    ],
)
def test_cases_are_chosen_by_the_rank_of_their_size_and_one_is_free(sizes, chosen):
    assert choose_cases([of_size(size) for size in sizes]) == chosen


@pytest.mark.parametrize("epochs", [1, 2, 9, 10, 18, 19, 25, 40, 100, 1000])
def test_pictures_are_drawn_as_often_as_tensorboard_shows_them(epochs):
    shown = [epoch for epoch in range(1, epochs + 1) if is_shown(epoch, epochs)]
    assert (shown[0], shown[-1]) == (1, epochs)
    assert min(epochs, 5) <= len(shown) <= 10


# --- interruptions ----------------------------------------------------------------------------


def killed_at(step):
    def kill(backend, at):
        if at == step:
            raise KilledError

    return kill


def test_what_a_kill_loses_is_never_shown_and_nothing_twice(fake_backend, new_run, train):
    run = new_run()
    with pytest.raises(KilledError):
        train(fake_backend(on_step=killed_at(4)), run)
    assert [step for step, _ in scalars(run, "step/loss")] == [1, 2]
    train(fake_backend(), run)
    assert_as_metrics(run)
    assert [step for step, _ in scalars(run, "step/loss")] == [1, 2, 3, 4, 5, 6]
    assert [each.step for each in read(run).Images("validation/case 4")] == [1, 2, 3]
    assert len(list((run.path / FOLDER_NAME).iterdir())) == 2


def test_an_epoch_that_was_saved_but_not_shown_is_caught_up(
    fake_backend, new_run, train, monkeypatch
):
    run = new_run()

    def die(self, record, *, is_best):
        if record.epoch == 2:
            raise KilledError
        whole(self, record, is_best=is_best)

    whole = Tracker.epoch_done
    monkeypatch.setattr(Tracker, "epoch_done", die)
    with pytest.raises(KilledError):
        train(fake_backend(), run)
    monkeypatch.setattr(Tracker, "epoch_done", whole)
    assert len(scalars(run, "epoch/loss")) == 1
    train(fake_backend(), run)
    assert_as_metrics(run)


def test_a_record_cut_off_by_a_kill_hides_nothing(fake_backend, new_run, train):
    run = new_run()
    with pytest.raises(KilledError):
        train(fake_backend(on_step=killed_at(6)), run)
    (file,) = (run.path / FOLDER_NAME).iterdir()
    file.write_bytes(file.read_bytes()[:-7])
    train(fake_backend(), run)
    assert_as_metrics(run)


def test_events_of_another_course_are_removed(fake_backend, new_run, train):
    """Such as those behind an older checkpoint, put back from a backup."""
    run, other = new_run(), new_run("other")
    train(fake_backend(), run)
    with pytest.raises(KilledError):
        train(fake_backend(on_step=killed_at(4)), other)
    (run.path / "last").rename(run.path / "newer")
    (other.path / "last").rename(run.path / "last")
    train(fake_backend(on_step=lambda backend, step: backend.set_bias(-2)), run)
    assert_as_metrics(run)
    assert [path.name[-1] for path in (run.path / FOLDER_NAME).iterdir()] == ["2"]


def test_a_finished_run_gets_no_other_file(fake_backend, new_run, train):
    run = new_run()
    train(fake_backend(), run)
    train(fake_backend(), run)
    assert len(list((run.path / FOLDER_NAME).iterdir())) == 1


def test_a_listener_that_stops_the_training_comes_after_the_events(fake_backend, new_run, train):
    class Pruned(Quiet):
        def epoch_done(self, record, *, is_best):
            raise KilledError

    run = new_run()
    with pytest.raises(KilledError):
        train(fake_backend(), run, Pruned())
    assert len(scalars(run, "epoch/loss")) == 1


# --- without it -------------------------------------------------------------------------------


def test_without_tensorboard_it_trains_and_says_once_how_to_get_it(
    fake_backend, new_run, train, monkeypatch, caplog
):
    caplog.set_level(logging.INFO, logger="breastseg")
    tracking._say_once.cache_clear()
    with monkeypatch.context() as patch:
        for name in [each for each in sys.modules if each.startswith("tensorboard.compat.proto")]:
            patch.delitem(sys.modules, name)
        patch.setitem(sys.modules, "tensorboard.compat.proto", None)
        for name in ("first", "second"):
            assert train(fake_backend(), new_run(name)).epoch == NUM_EPOCHS
    told = [each for each in caplog.records if "breastseg[tensorboard]" in each.getMessage()]
    assert [each.levelno for each in told] == [logging.INFO]


def test_installed_later_it_has_all_epochs_that_were_saved(
    fake_backend, new_run, train, training, validation
):
    run = new_run()
    with pytest.raises(KilledError):
        fit(fake_backend(on_step=killed_at(6)), training, validation, run, Quiet())
    train(fake_backend(), run)
    assert_as_metrics(run)


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), OutputError("full")])
def test_a_full_disk_ends_the_tracking_and_not_the_training(
    fake_backend, new_run, train, monkeypatch, caplog, error
):
    def fail(self, events):
        raise error

    monkeypatch.setattr(tracking.EventFolder, "add", fail)
    assert train(fake_backend(), new_run()).epoch == NUM_EPOCHS
    warnings = [each.getMessage() for each in caplog.records if each.levelno == logging.WARNING]
    assert len([each for each in warnings if "no longer written" in each]) == 1


def test_neither_framework_nor_tensorboard_is_imported_before_it_is_needed(tmp_path):
    code = (
        "import sys; from pathlib import Path; import breastseg.workflows.train; "
        "from breastseg.training.events import EventFolder; "
        "print('tensorboard' in sys.modules); "
        f"folder = EventFolder(Path({str(tmp_path)!r})); "
        "folder.add([folder.figures(1, {'a': 2.5}), folder.text('b', 'c')]); "
        "print(folder.scalars('a')); "
        "print([name for name in ('torch', 'tensorflow', 'keras') if name in sys.modules])"
    )
    command = [sys.executable, "-W", "error", "-c", code]
    shown = subprocess.run(command, capture_output=True, text=True, check=True)
    assert shown.stdout.splitlines() == ["False", "{1: 2.5}", "[]"]
