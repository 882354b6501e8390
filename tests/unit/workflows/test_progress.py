import io
import logging

import pytest
from rich.console import Console

from breastseg.core.errors import OutputError
from breastseg.training.state import EpochRecord
from breastseg.workflows import progress
from breastseg.workflows.progress import (
    LOG_NAME,
    TrainingBar,
    WorkBar,
    log_file,
    log_to_terminal,
    silent_listener,
    silent_reading,
)


@pytest.fixture
def terminal(monkeypatch):
    """Return what a wide terminal would show."""
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=True, width=200, color_system=None)
    monkeypatch.setattr(progress, "console", console)
    return screen


@pytest.fixture(autouse=True)
def _handlers_stay_as_they_were():
    logger = logging.getLogger("breastseg")
    handlers, level = list(logger.handlers), logger.level
    yield
    logger.handlers = handlers
    logger.setLevel(level)


def redraw(bar):
    """Draw now: a bar draws itself by the clock only."""
    bar._progress.start()
    bar._progress.refresh()


def record(epoch, dice):
    return EpochRecord(
        epoch=epoch,
        loss=0.5,
        validation_dice=dice,
        validation_specificity=None,
        learning_rate=0.1,
        seconds=1.0,
    )


def test_without_a_terminal_a_line_comes_every_minute(monkeypatch):
    log, clock = io.StringIO(), [0.0]
    monkeypatch.setattr(progress, "console", Console(file=log, width=80, color_system=None))
    monkeypatch.setattr(progress.time, "monotonic", lambda: clock[0])
    with WorkBar() as bar:
        for done in range(1, 11):
            clock[0] += 25
            bar("Scoring", done, 10)
    assert log.getvalue().splitlines() == [
        "Scoring: 3 of 10",
        "Scoring: 6 of 10",
        "Scoring: 9 of 10",
    ]


def test_a_work_bar_counts_and_goes_when_the_work_is_done(terminal):
    with WorkBar() as bar:
        bar("Scoring", 1, 3)
        bar("Scoring", 2, 3)
        redraw(bar)
        assert "Scoring" in terminal.getvalue()
        assert "2/3" in terminal.getvalue()
        bar("Scoring", 3, 3)
        redraw(bar)
        assert not bar._progress.tasks
        bar("Scoring", 1, 2)
        redraw(bar)
        assert "1/2" in terminal.getvalue(), "the same work, begun anew"


def test_a_training_bar_shows_loss_best_dice_and_time_left(terminal):
    with TrainingBar(epochs=2) as bar:
        bar("Reading the training part", 1, 2)
        bar("Reading the training part", 2, 2)
        bar.step_done(epoch=1, step=1, num_steps=2, loss=1.25)
        bar.step_done(epoch=1, step=2, num_steps=2, loss=1.0)
        bar.epoch_done(record(1, 0.4), is_best=True)
        bar.step_done(epoch=2, step=1, num_steps=2, loss=0.75)
        bar.epoch_done(record(2, 0.3), is_best=False)
        bar.step_done(epoch=2, step=2, num_steps=2, loss=0.5)
        redraw(bar)
    shown = terminal.getvalue()
    for text in ("Epoch 2/2", "loss 0.500", "best validation Dice 0.400", "left", "100%"):
        assert text in shown
    assert "Dice 0.300" not in shown


def test_a_resumed_bar_begins_where_the_training_stands(terminal):
    with TrainingBar(epochs=4) as bar:
        bar.step_done(epoch=3, step=2, num_steps=4, loss=1.0)
        redraw(bar)
    assert "62%" in terminal.getvalue()


def test_the_bar_goes_when_the_work_is_interrupted(terminal):
    bar = WorkBar()

    def work():
        with bar:
            bar("Scoring", 1, 3)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        work()
    assert not bar._progress.live.is_started


def test_the_silent_say_nothing(capfd):
    listener = silent_listener()
    listener.step_done(epoch=1, step=1, num_steps=1, loss=0.0)
    listener.epoch_done(record(1, 0.5), is_best=True)
    silent_reading("Scoring", 1, 2)
    assert capfd.readouterr() == ("", "")


def test_a_log_file_takes_messages_while_it_is_open_and_is_added_to(tmp_path):
    logger = logging.getLogger("breastseg.somewhere")
    folder = tmp_path / "new" / "folder"
    with log_file(folder):
        logger.info("first: %d lesions, für alle", 2)
    logger.info("nobody listens")
    with log_file(folder):
        logger.warning("second")
    first, second = (folder / LOG_NAME).read_text(encoding="utf-8").splitlines()
    assert first.endswith("INFO first: 2 lesions, für alle")
    assert second.endswith("WARNING second")


def test_a_log_file_is_closed_even_when_the_work_fails(tmp_path):
    before = list(logging.getLogger("breastseg").handlers)
    with pytest.raises(RuntimeError), log_file(tmp_path):
        raise RuntimeError
    assert logging.getLogger("breastseg").handlers == before


def test_a_log_file_that_cannot_be_written_is_an_output_error(tmp_path):
    (tmp_path / LOG_NAME).mkdir()
    with pytest.raises(OutputError, match=r"breastseg\.log: cannot be written"), log_file(tmp_path):
        pass
    (tmp_path / "file").touch()
    with pytest.raises(OutputError), log_file(tmp_path / "file"):
        pass


@pytest.mark.parametrize(("verbose", "told"), [(True, True), (False, False)])
def test_the_terminal_hears_of_warnings_and_if_wanted_of_more(verbose, told, terminal):
    log_to_terminal(verbose=verbose)
    logging.getLogger("breastseg.somewhere").info("epoch [1] done")
    logging.getLogger("breastseg.somewhere").warning("collapsed")
    assert ("epoch [1] done" in terminal.getvalue()) is told
    assert "collapsed" in terminal.getvalue()
