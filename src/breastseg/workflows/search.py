"""breastseg search: many trainings, one ranking, and what the winner is worth.

    plan = plan_search(data, resolve_space("losses"), resolve_recipe("smoke"))
    result = search(plan, trials=8)
    result.document["selection_gap"]

Killed and started again, it goes on; started twice, in two terminals or on two machines that
share a disk or a database, both work on one search.
"""

import logging
import os
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from breastseg.core.errors import InputError
from breastseg.training.search import SearchStudy
from breastseg.workflows.progress import Reading, log_file, silent_reading
from breastseg.workflows.search_plan import SearchPlan, join_folder, read_plan
from breastseg.workflows.search_result import write_results
from breastseg.workflows.search_trials import (
    Job,
    Status,
    Watch,
    status_of,
    work,
    work_in_processes,
)
from breastseg.workflows.train import ANYWHERE, Hardware

log = logging.getLogger(__name__)
LOGGER = __name__
"""Whose messages tell of the search; those of a training are in the log of its run."""

DEFAULT_TRIALS = 20
"""Of a search that neither a grid nor a budget ends."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchResult:
    """What a search has led to so far; document is search.json."""

    output: Path
    document: dict[str, Any]

    @property
    def num_failed(self) -> int:
        """Trials that could not be trained."""
        return int(self.document["num_trials"]["failed"])

    @property
    def best_recipe_path(self) -> Path | None:
        """The winner's recipe; None while no trial is complete."""
        return None if self.document["winner"] is None else self.output / "best.recipe.json"


def silent_watch(status: Status) -> None:
    """Say nothing of how far a search is."""


def search(
    plan: SearchPlan,
    *,
    output: Path | None = None,
    trials: int | None = None,
    budget_seconds: float | None = None,
    jobs: int = 1,
    storage: str | None = None,
    keep: Literal["best", "all"] = "best",
    adopt: bool = False,
    hardware: Hardware = ANYWHERE,
    watch: Watch = silent_watch,
    reading: Reading = silent_reading,
) -> SearchResult:
    """Search, or go on with a search, until its trials are done or its time is up.

    Args:
        plan: what is searched; see plan_search.
        output: the search folder; searches/<space>-<framework>-<fingerprint> where None.
        trials: in all, those of earlier calls and other processes included. Where None, the
            whole grid; else without end if there is a budget, and 20 if there is none.
        budget_seconds: no trial is begun later, and one in training stays where it is at the
            end of its epoch, to be gone on with by the next call.
        jobs: processes on this machine; they share hardware.threads.
        storage: an Optuna storage URL, or a journal file; OUTPUT/journal.log where None.
        keep: best removes the weights of all trials that ended but the best.
        adopt: go on with trials that other machines left, too; they must not be in training.
        hardware: device and threads.
        watch: told how far the search is.
        reading: told of the progress of scoring the winner.

    Raises:
        SearchFolderError: output holds another search, or the study cannot be opened.
        LayoutError, ImageFileError, SplitError, MissingExtraError, OutputError: as of train;
            what ends every trial alike ends the search.
    """
    if jobs < 1 or (trials is not None and trials < 1):
        raise InputError(f"jobs and trials must be 1 or more, got {jobs} and {trials}.")
    folder = output or Path("searches") / plan.name
    join_folder(plan, folder)
    job = Job(
        plan=plan,
        output=folder,
        storage=storage,
        limit=_limit(plan, trials, budget_seconds),
        deadline=None if budget_seconds is None else time.time() + budget_seconds,
        hardware=hardware,
        keep=keep,
        adopt=adopt,
    )
    study = job.open()
    try:
        _work(job, jobs, watch)
    except KeyboardInterrupt:
        write_results(job, study, is_over=False, threads=hardware.threads, reading=reading)
        raise
    with log_file(folder, of=LOGGER):
        return _result(job, study, is_over=_is_over(job, study), reading=reading)


def report(
    folder: Path,
    *,
    storage: str | None = None,
    hardware: Hardware = ANYWHERE,
    reading: Reading = silent_reading,
) -> SearchResult:
    """Write the results of a search anew, and score its winner, without further training.

    Args:
        folder: of a search; it is taken as over.
        storage: as the search was given.
        hardware: threads, for scoring.
        reading: told of the progress of scoring.

    Raises:
        SearchFolderError: no search folder, or its study cannot be opened.
    """
    plan = read_plan(folder)
    job = Job(
        plan=plan, output=folder, storage=storage, limit=None, deadline=None, hardware=hardware
    )
    with log_file(folder, of=LOGGER):
        return _result(job, job.open(), is_over=True, reading=reading)


def _limit(plan: SearchPlan, trials: int | None, budget_seconds: float | None) -> int | None:
    there_are = plan.study().limit
    if trials is None and there_are is None:
        return DEFAULT_TRIALS if budget_seconds is None else None
    return min(each for each in (trials, there_are) if each is not None)


def _work(job: Job, jobs: int, watch: Watch) -> None:
    if jobs > 1:
        threads = max(1, (job.hardware.threads or os.cpu_count() or 1) // jobs)
        hardware = Hardware(device=job.hardware.device, threads=threads)
        work_in_processes(replace(job, hardware=hardware), jobs, watch)
        return
    with log_file(job.output, of=LOGGER):
        work(job, watch)


def _is_over(job: Job, study: SearchStudy) -> bool:
    """Whether nothing more will come: the trials are done, or the time is, for all processes."""
    records = study.records(job.limit)
    busy = [record for record in records if study.in_hand(record)]
    if busy:
        log.warning(
            "%s still in training on %s: whoever ends last scores the winner. If it will not come "
            "back, repeat the command with --adopt.",
            ", ".join(f"trial {record.number}" for record in busy),
            " and ".join(sorted({record.host or "this machine" for record in busy})),
        )
        return False
    is_complete = all(record.state != "running" for record in records)
    return job.is_late or (is_complete and len(records) == job.limit)


def _result(job: Job, study: SearchStudy, *, is_over: bool, reading: Reading) -> SearchResult:
    threads = job.hardware.threads
    document = write_results(job, study, is_over=is_over, threads=threads, reading=reading)
    status = status_of(job, study)
    best = "none complete" if status.best is None else f"best validation Dice {status.best:.4f}"
    log.info("%d trials done, %s", status.done, best)
    return SearchResult(output=job.output, document=document)
