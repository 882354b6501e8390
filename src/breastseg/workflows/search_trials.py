"""Training the trials of a search: in this process, or in several on this machine."""

import contextlib
import functools
import logging
import multiprocessing
import shutil
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, Literal

from breastseg.core.errors import BreastsegError, HealthError, SearchSpaceError
from breastseg.core.recipe import Recipe
from breastseg.datasets.checked import CheckedData, check_data, find_training_data
from breastseg.networks.schedules import is_over
from breastseg.report.search_figures import plain
from breastseg.training.checkpoint import Run, open_run
from breastseg.training.search import (
    Repeat,
    SearchStudy,
    TrialInHand,
    TrialRecord,
    open_study,
)
from breastseg.training.state import EpochRecord
from breastseg.workflows.progress import log_file, silent_reading
from breastseg.workflows.search_plan import SearchPlan
from breastseg.workflows.train import Hardware, resume, train

log = logging.getLogger(__name__)

LOGGER = "breastseg.workflows.search"
_HEAVY = ("last", "last.old", "last.new", "model.onnx", "weights.safetensors", "checksums.json")
_PATIENCE_S = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """How far a search is. doing: what this process does at the moment."""

    done: int
    total: int | None
    best: float | None
    doing: str = ""


Watch = Callable[[Status], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What a process that trains trials needs to know.

    limit: trials in all; None for no end. deadline: seconds since 1970; None for none.
    """

    plan: SearchPlan
    output: Path
    storage: str | None
    limit: int | None
    deadline: float | None
    hardware: Hardware
    keep: Literal["best", "all"] = "best"
    adopt: bool = False

    def open(self) -> SearchStudy:
        """Open the study."""
        return open_study(self.plan.study(), storage=self.storage, folder=self.output)

    @property
    def is_late(self) -> bool:
        """Whether the budget is used up."""
        return self.deadline is not None and time.time() >= self.deadline


class _PrunedError(Exception):
    """The pruner gave the trial up. run: the folder of the training that it ended."""

    def __init__(self, run: Path, message: str) -> None:
        super().__init__(message)
        self.run = run


class _OutOfTimeError(Exception):
    """The budget is used up; the trial stays where it is."""


def best_of(records: Sequence[TrialRecord]) -> TrialRecord | None:
    """Return the completed trial of the highest value, of equal ones the first."""
    complete = [each for each in records if each.state == "complete"]
    return max(complete, key=lambda each: (each.value or 0.0, -each.number), default=None)


def status_of(job: Job, study: SearchStudy, doing: str = "") -> Status:
    """Return how far the search is."""
    records = study.records(job.limit)
    best = best_of(records)
    return Status(
        done=sum(each.state != "running" for each in records),
        total=job.limit,
        best=None if best is None else best.value,
        doing=doing,
    )


def work(job: Job, watch: Watch) -> None:
    """Train one trial after the other until none is left or the time is up.

    Raises:
        BreastsegError: what would end every trial alike: the data, the folder, a framework that
            is not installed.
    """
    study = job.open()
    while not job.is_late:
        watch(status_of(job, study))
        with study.claim(job.limit, adopt=job.adopt) as trial:
            if trial is None:
                return
            try:
                _train_trial(job, study, trial, watch)
            except _OutOfTimeError:
                log.info("trial %d: the time is up; it can be gone on with", trial.number)
                return
            _tell(study.records()[trial.number])
        if job.keep == "best":
            _lighten(study, job)
    watch(status_of(job, study))


def _train_trial(job: Job, study: SearchStudy, trial: TrialInHand, watch: Watch) -> None:
    """Train the repeats of a trial and tell the study what came of it."""
    told = ", ".join(f"{name} {plain(value)}" for name, value in trial.parameters.items())
    log.info("trial %d%s: %s", trial.number, ", which was left" * trial.was_left, told)
    if (same := _same(study, trial)) is not None:
        log.info("trial %d: as trial %d, not trained again", trial.number, same.number)
        trial.finish(same.repeats)
        return
    try:
        trial.finish(_repeats(job, study, trial, watch))
    except _PrunedError as pruned:
        trial.prune([_result(pruned.run, "")], str(pruned))
    except SearchSpaceError as error:
        trial.fail(str(error))
    except (BreastsegError, _OutOfTimeError):
        raise
    except Exception as error:
        # Such as too little memory for a wide network: other trials may do.
        log.debug("trial %d", trial.number, exc_info=error)
        trial.fail(f"{type(error).__name__}: {error}")


def _same(study: SearchStudy, trial: TrialInHand) -> TrialRecord | None:
    """Find a trial of the same combination; it would come out alike to the last bit."""
    judged = (each for each in study.records() if each.state in ("complete", "stopped"))
    return next((each for each in judged if each.parameters == trial.parameters), None)


def _repeats(job: Job, study: SearchStudy, trial: TrialInHand, watch: Watch) -> list[Repeat]:
    """Train a trial's repeats, the first of them under the eyes of the pruner.

    One that a health check stops is the last: the trial cannot win any more.
    """
    repeats: list[Repeat] = []
    recipe = job.plan.recipe(trial.parameters, name=f"trial-{trial.number:04d}")
    for label, each in job.plan.repeats.of(recipe):
        path = trial.path / label
        listener = _Listener(job, study, trial, path, each, watch, prunes=not repeats)
        repeats.append(_repeat(job, path, each, listener))
        if repeats[-1].cause:
            break
    return repeats


@functools.lru_cache(maxsize=1)
def _checked(data: Path, *, volumes: bool) -> CheckedData:
    """Read the data set once for all trials of this process."""
    return check_data(find_training_data(data, volumes=volumes), silent_reading)


def _repeat(job: Job, path: Path, recipe: Recipe, listener: "_Listener") -> Repeat:
    """Train once, or go on where a process that has ended left it."""
    cause = ""
    try:
        if not (path / "environment.json").is_file():
            # It is written last: without it train begins again in what a kill has left.
            train(
                _checked(job.plan.data, volumes=recipe.volume is not None),
                recipe,
                framework=job.plan.framework,
                output=path,
                hardware=job.hardware,
                listener=listener,
            )
        else:
            run = open_run(path)
            listener.replay(run)
            if not _is_finished(run):
                resume(path, data=job.plan.data, hardware=job.hardware, listener=listener)
    except HealthError as error:
        cause = str(error)
    return _result(path, cause)


def _is_finished(run: Run) -> bool:
    is_sealed = (run.path / "checksums.json").is_file()
    return is_sealed and is_over(run.recipe.optimisation, run.state().dice)


def _result(path: Path, cause: str) -> Repeat:
    state = open_run(path).state()
    best = state.best
    return Repeat(
        label=path.name,
        dice=0.0 if best is None else best.validation_dice,
        best_epoch=0 if best is None else best.epoch,
        epochs=state.epoch,
        seconds=round(sum(record.seconds for record in state.history), 1),
        cause=cause,
    )


class _Listener:
    """Reports each epoch of a trial, and ends the training from within."""

    def __init__(
        self,
        job: Job,
        study: SearchStudy,
        trial: TrialInHand,
        path: Path,
        recipe: Recipe,
        watch: Watch,
        *,
        prunes: bool,
    ) -> None:
        self._job, self._trial, self._path, self._prunes = job, trial, path, prunes
        self._epochs = recipe.optimisation.epochs
        self._watch, self._status = watch, status_of(job, study)

    def replay(self, run: Run) -> None:
        """Report the epochs that were trained before; a kill may have come in between."""
        for record in run.state().history if self._prunes else ():
            self._trial.report(record.epoch, record.validation_dice)

    def step_done(self, *, epoch: int, step: int, num_steps: int, loss: float) -> None:
        """See Listener.step_done."""
        parent = multiprocessing.parent_process()
        if parent is not None and not parent.is_alive():
            raise KeyboardInterrupt
        if step == 1:
            doing = f"trial {self._trial.number}, epoch {epoch}/{self._epochs}"
            self._watch(replace(self._status, doing=doing))

    def epoch_done(self, record: EpochRecord, *, is_best: bool) -> None:
        """See Listener.epoch_done.

        Raises:
            _PrunedError: the trial is not worth going on with.
            _OutOfTimeError: the budget is used up.
        """
        is_hopeless = self._prunes and self._trial.report(record.epoch, record.validation_dice)
        if record.epoch == self._epochs:
            return
        if is_hopeless:
            raise _PrunedError(self._path, f"given up after epoch {record.epoch} of {self._epochs}")
        if self._job.is_late:
            raise _OutOfTimeError


def _tell(record: TrialRecord) -> None:
    """Say in the log what came of a trial."""
    if record.state == "failed":
        log.error("trial %d failed: %s", record.number, record.cause)
        return
    reason = f" ({record.cause})" if record.cause else ""
    log.info(
        "trial %d: %s%s, validation Dice %.4f, %d epochs in %.0f s",
        *(record.number, record.state, reason, record.value or 0.0, record.epochs, record.seconds),
    )


def _lighten(study: SearchStudy, job: Job) -> None:
    """Remove the weights of all trials that ended and are not the best so far.

    What is best among the ended is never worse than what it replaces, so that the winner keeps
    its weights whatever other processes do at the same time.
    """
    records = study.records()
    best = best_of(records)
    for record in records:
        if record.state == "running" or record is best:
            continue
        for run in (job.output / "trials" / f"{record.number:04d}").glob("*-*"):
            for name in _HEAVY:
                with contextlib.suppress(FileNotFoundError, NotADirectoryError):
                    shutil.rmtree(run / name) if (run / name).is_dir() else (run / name).unlink()


def work_in_processes(job: Job, jobs: int, watch: Watch) -> None:
    """Let several processes of this machine train trials, and wait for them.

    A process that dies leaves its trial to the others.

    Raises:
        BreastsegError: as of work, of the first process that met it.
    """
    context = multiprocessing.get_context("spawn")
    errors = context.Queue()
    workers = [context.Process(target=_worker, args=(job, errors)) for _ in range(jobs)]
    study = job.open()
    error: BreastsegError | None = None
    try:
        for worker in workers:
            worker.start()
        while error is None and any(worker.is_alive() for worker in workers):
            watch(status_of(job, study))
            workers[0].join(1.0)
            error = _first_error(workers, errors)
    finally:
        _end(workers)
    error = error or _first_error(workers, errors)
    if error is not None:
        raise error
    for worker in workers:
        if worker.exitcode:
            log.error("a process ended with %s; the others took its trial", worker.exitcode)


def _first_error(workers: Sequence[BaseProcess], errors: Any) -> BreastsegError | None:
    if not any(worker.exitcode == BreastsegError.exit_code for worker in workers):
        return None
    error: BreastsegError = errors.get(timeout=_PATIENCE_S)
    return error


def _end(workers: Sequence[BaseProcess]) -> None:
    """Let running processes save what they have, then end them."""
    started = [worker for worker in workers if worker.pid is not None]
    for worker in started:
        worker.terminate()
    for worker in started:
        worker.join(_PATIENCE_S)
        if worker.is_alive():
            worker.kill()
            worker.join()


def _worker(job: Job, errors: Any) -> None:
    """Be one of the processes of work_in_processes."""
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        with log_file(job.output, of=LOGGER):
            work(job, lambda status: None)
    except BreastsegError as error:
        errors.put(error)
        raise SystemExit(BreastsegError.exit_code) from None
    except KeyboardInterrupt:
        raise SystemExit(130) from None


def _interrupt(number: int, frame: object) -> None:
    raise KeyboardInterrupt
