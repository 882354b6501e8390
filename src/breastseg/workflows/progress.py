"""Showing how far long work is, on stderr, and noting it in a log file."""

import contextlib
import logging
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from rich.console import Console
from rich.logging import RichHandler
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from breastseg.core.errors import OutputError
from breastseg.io.atomic import make_folder

if TYPE_CHECKING:  # whoever predicts need not wait for what trains
    from breastseg.training.fit import Listener
    from breastseg.training.state import EpochRecord

Reading = Callable[[str, int, int], None]
"""Called with what is being done, how many are done and how many there are."""

console = Console(stderr=True)
_SECONDS_BETWEEN_LINES = 60
LOG_NAME = "breastseg.log"


def log_to_terminal(*, verbose: bool = False, of: str = "breastseg") -> None:
    """Send the package's messages to stderr; warnings only, unless verbose and of that logger."""
    logger = logging.getLogger("breastseg")
    for earlier in [each for each in logger.handlers if isinstance(each, RichHandler)]:
        logger.removeHandler(earlier)
    handler = RichHandler(console=console, show_path=False, show_time=False, markup=False)
    handler.setLevel(logging.INFO if verbose else logging.WARNING)
    handler.addFilter(_only(of))
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)


def _only(of: str) -> Callable[[logging.LogRecord], bool]:
    """Let through the messages of a logger, and the warnings of all."""
    return lambda record: record.levelno >= logging.WARNING or record.name.startswith(of)


@contextlib.contextmanager
def log_file(folder: Path, *, of: str = "breastseg") -> Iterator[None]:
    """Note the package's messages in breastseg.log of a folder, too.

    Args:
        of: the logger whose messages are noted; warnings are noted of all.

    Raises:
        OutputError: the folder cannot be written.
    """
    make_folder(folder)
    try:
        handler = logging.FileHandler(folder / LOG_NAME, encoding="utf-8")
    except OSError as error:
        raise OutputError(f"{folder / LOG_NAME}: cannot be written ({error.strerror}).") from None
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    handler.addFilter(_only(of))
    logger = logging.getLogger("breastseg")
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        handler.close()


class _Silent:
    def step_done(self, *, epoch: int, step: int, num_steps: int, loss: float) -> None:
        """Say nothing."""

    def epoch_done(self, record: "EpochRecord", *, is_best: bool) -> None:
        """Say nothing."""


def silent_listener() -> "Listener":
    """Return a listener that says nothing."""
    return _Silent()


def silent_reading(what: str, done: int, total: int) -> None:
    """Say nothing of the reading of files."""


class WorkBar:
    """A progress bar for files that are worked through; call it as a Reading.

    Where stderr is no terminal, as in the log of a cluster's job, a line comes every minute.
    """

    def __init__(self) -> None:
        self._told = time.monotonic()
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._tasks: dict[str, TaskID] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self._progress.stop()

    def __call__(self, what: str, done: int, total: int) -> None:
        """Show that `done` of `total` are done."""
        if not console.is_terminal:
            self._tell(what, done, total)
            return
        self._progress.start()
        if what not in self._tasks:
            self._tasks[what] = self._progress.add_task(what, total=total, figures="")
        self._progress.update(self._tasks[what], completed=done)
        if done == total:
            self._progress.remove_task(self._tasks.pop(what))

    def _tell(self, what: str, done: int, total: int) -> None:
        now = time.monotonic()
        if now - self._told >= _SECONDS_BETWEEN_LINES and done < total:
            self._told = now
            console.print(f"{what}: {done} of {total}", highlight=False)


class TrainingBar(WorkBar):
    """A progress bar for a training: loss, best validation Dice, time left of the whole run.

    Args:
        epochs: of each training.
        best: validation Dice so far.
        num_folds: trainings that follow each other; begin_fold tells of each.
    """

    def __init__(self, epochs: int, *, best: float = 0.0, num_folds: int = 1) -> None:
        super().__init__()
        self._epochs = epochs
        self._best = best
        self._num_folds, self._fold = num_folds, 1
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.percentage:3.0f}%"),
            TextColumn("{task.fields[figures]}"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._task: TaskID | None = None

    def begin_fold(self, fold: int) -> Self:
        """Go on to the training of a fold, counted from 1."""
        self._fold, self._best = fold, 0.0
        return self

    def step_done(self, *, epoch: int, step: int, num_steps: int, loss: float) -> None:
        """See Listener.step_done."""
        epochs_before = (self._fold - 1) * self._epochs + epoch - 1
        total = self._num_folds * self._epochs * num_steps
        if self._task is None:
            self._task = self._progress.add_task(
                "Training", total=total, completed=epochs_before * num_steps, figures=""
            )
        fold = f"Fold {self._fold}/{self._num_folds}, epoch" if self._num_folds > 1 else "Epoch"
        self._progress.update(
            self._task,
            completed=epochs_before * num_steps + step,
            total=total,
            description=f"{fold} {epoch}/{self._epochs}",
            figures=f"loss {loss:.3f}  best validation Dice {self._best:.3f}",
        )

    def epoch_done(self, record: "EpochRecord", *, is_best: bool) -> None:
        """See Listener.epoch_done."""
        if is_best:
            self._best = record.validation_dice
