"""The study of a search: who trains which combination, and what came of it.

Optuna keeps the trials; this module decides how they are dealt, so that none is lost or
trained twice:

- Trial number n always has the same combination: of a grid the n-th of a shuffled order, at
  random what a stream of its own draws. Processes share numbers, which Optuna gives out once.
- A trial in hand is a lock that the operating system gives back when its process ends in
  whatever way. A trial that runs by the study and is not locked was left: it is taken up again.
- A search of N trials is the numbers 0 to N - 1. A number beyond, drawn when two processes ask
  for the last at once, stays open until N is raised.
"""

import contextlib
import logging
import re
import socket
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Literal

import numpy as np

from breastseg.core.errors import RunFolderError, SearchFolderError
from breastseg.core.search_space import Label
from breastseg.training.lock import only_trainer
from breastseg.training.sampling import ByNumber, StudyPlan, make_pruner, optuna, suggest

log = logging.getLogger(__name__)

State = Literal["complete", "stopped", "pruned", "failed", "running"]

IMPORTANCE_NEEDS = 8
"""Completed trials below which a parameter's importance would be noise."""

LOCK_GRACE_S = 30
"""Seconds after which the journal's lock is taken for one that a killed process left."""

_PASSWORD = re.compile(r"://[^/\s]*@")
_NAMELESS = timedelta(minutes=1)

_STATES: Mapping[optuna.trial.TrialState, State] = {
    optuna.trial.TrialState.COMPLETE: "complete",
    optuna.trial.TrialState.PRUNED: "pruned",
    optuna.trial.TrialState.FAIL: "failed",
    optuna.trial.TrialState.RUNNING: "running",
    optuna.trial.TrialState.WAITING: "running",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Repeat:
    """One training of a trial. label: seed-0, fold-1. dice: highest validation Dice.

    cause: why a health check stopped it; empty where it was finished.
    """

    label: str
    dice: float
    best_epoch: int
    epochs: int
    seconds: float
    cause: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialRecord:
    """What the study knows of a trial.

    state: stopped is a trial that a health check ended: it was judged, but cannot win.
    value: mean over the repeats of the highest validation Dice; of a pruned trial the last one.
    host, folder: where it is trained. cause: why it was pruned, stopped or failed.
    dice: validation Dice of the first repeat by epoch from 1.
    """

    number: int
    state: State
    parameters: Mapping[str, Label]
    value: float | None
    repeats: tuple[Repeat, ...]
    host: str
    folder: str
    cause: str
    dice: Mapping[int, float]

    @property
    def seconds(self) -> float:
        """Seconds of training and validating."""
        return sum(each.seconds for each in self.repeats)

    @property
    def epochs(self) -> int:
        """Epochs of all repeats."""
        return sum(each.epochs for each in self.repeats) or len(self.dice)


class TrialInHand:
    """A trial that this process has locked; made by SearchStudy.claim.

    was_left: whether a process that has ended began it.
    """

    def __init__(
        self, trial: optuna.Trial, parameters: Mapping[str, Label], path: Path, *, was_left: bool
    ) -> None:
        self._trial, self.parameters, self.path = trial, parameters, path
        self.was_left = was_left
        self.number = trial.number
        self._told = set(trial.study.get_trials(deepcopy=False)[trial.number].intermediate_values)

    def report(self, epoch: int, dice: float) -> bool:
        """Note the validation Dice of an epoch; true where the pruner gives the trial up."""
        if epoch not in self._told:
            self._trial.report(dice, epoch)
            self._told.add(epoch)
        return self._trial.should_prune()

    def finish(self, repeats: Sequence[Repeat]) -> None:
        """Note that the trial was trained; one that a health check stopped is no candidate."""
        cause = next((each.cause for each in repeats if each.cause), "")
        mean = float(np.mean([each.dice for each in repeats]))
        self._tell(optuna.trial.TrialState.COMPLETE, repeats, cause, value=mean)

    def prune(self, repeats: Sequence[Repeat], cause: str) -> None:
        """Note that the pruner gave the trial up."""
        self._tell(optuna.trial.TrialState.PRUNED, repeats, cause)

    def fail(self, cause: str) -> None:
        """Note that the trial could not be trained."""
        self._tell(optuna.trial.TrialState.FAIL, (), cause)

    def _tell(
        self,
        state: optuna.trial.TrialState,
        repeats: Sequence[Repeat],
        cause: str,
        *,
        value: float | None = None,
    ) -> None:
        self._trial.set_user_attr("repeats", [asdict(each) for each in repeats])
        self._trial.set_user_attr("cause", cause)
        # By its number: the study would not take a Trial that another process had begun.
        self._trial.study.tell(self.number, value, state)


class SearchStudy:
    """The trials of a search, shared by all processes that search in it."""

    def __init__(self, study: optuna.Study, plan: StudyPlan, folder: Path, *, is_own: bool) -> None:
        self._study, self._plan, self._folder, self._is_own = study, plan, folder, is_own

    @contextlib.contextmanager
    def claim(self, limit: int | None, *, adopt: bool = False) -> Iterator[TrialInHand | None]:
        """Lock the next trial to train: one that was left, else a new one.

        Args:
            limit: trials in all; None for no end.
            adopt: take up trials that were begun on other machines or in other folders, too.

        Returns:
            None where no trial is left to begin.
        """
        with contextlib.ExitStack() as held:
            yield self._left_trial(limit, adopt, held) or self._new_trial(limit, held)

    def records(self, limit: int | None = None) -> list[TrialRecord]:
        """Return the trials up to a limit, in the order of their numbers."""
        trials = self._study.get_trials(deepcopy=False)
        return [_record(each) for each in trials if limit is None or each.number < limit]

    def in_hand(self, record: TrialRecord) -> bool:
        """Whether a process works on a running trial, or may: on another machine."""
        if record.state != "running":
            return False
        if record.host and _place(self._path(record.number)) != (record.host, record.folder):
            return True
        try:
            with only_trainer(self._path(record.number)):
                return False
        except RunFolderError:
            return True

    def importance(self) -> dict[str, float]:
        """Return the share of each parameter in reaching the best quarter of the trials.

        Empty with fewer than IMPORTANCE_NEEDS completed trials, or if all came out alike.

        Source: Watanabe et al. 2023, PED-ANOVA, arXiv:2304.10255.
        """
        complete = self._study.get_trials(
            deepcopy=False, states=(optuna.trial.TrialState.COMPLETE,)
        )
        if len(complete) < IMPORTANCE_NEEDS or len({each.value for each in complete}) < 2:
            return {}
        evaluator = optuna.importance.PedAnovaImportanceEvaluator(target_quantile=0.25)
        shares = optuna.importance.get_param_importances(self._study, evaluator=evaluator)
        return {name: round(share, 4) for name, share in shares.items()}

    def note_scored(self, number: int) -> list[int]:
        """Note that a trial was scored on the test part; return all that ever were."""
        scored = [int(each) for each in self._study.user_attrs.get("scored_on_test", [])]
        if number not in scored:
            scored.append(number)
            self._study.set_user_attr("scored_on_test", scored)
        return scored

    def _was_begun_here(self, trial: optuna.trial.FrozenTrial) -> bool:
        """Whether a lock in this folder tells if the trial is being trained."""
        place = trial.user_attrs.get("place")
        if place is None:
            # Drawn a moment ago, perhaps by another machine that has yet to write its name.
            begun = trial.datetime_start or datetime.now()
            return self._is_own or datetime.now() - begun > _NAMELESS
        return tuple(place) == _place(self._path(trial.number))

    def _path(self, number: int) -> Path:
        return self._folder / "trials" / f"{number:04d}"

    def _left_trial(
        self, limit: int | None, adopt: bool, held: contextlib.ExitStack
    ) -> TrialInHand | None:
        for trial in self._study.get_trials(
            deepcopy=False, states=(optuna.trial.TrialState.RUNNING,)
        ):
            is_ours = adopt or self._was_begun_here(trial)
            if not is_ours or (limit is not None and trial.number >= limit):
                continue
            with contextlib.suppress(RunFolderError), contextlib.ExitStack() as lock:
                lock.enter_context(only_trainer(self._path(trial.number)))
                # Its process may have finished it between the look and the lock.
                if self._study.get_trials(deepcopy=False)[trial.number].state.is_finished():
                    continue
                held.enter_context(lock.pop_all())
                again = optuna.Trial(self._study, trial._trial_id)
                return self._in_hand(again, was_left=True)
        return None

    def _new_trial(self, limit: int | None, held: contextlib.ExitStack) -> TrialInHand | None:
        while limit is None or len(self._study.get_trials(deepcopy=False)) < limit:
            trial = self._study.ask()
            if limit is not None and trial.number >= limit:
                return None
            with contextlib.suppress(RunFolderError):
                held.enter_context(only_trainer(self._path(trial.number)))
                return self._in_hand(trial)
            # Another process took it for one that was left, in the moment before the lock.
        return None

    def _in_hand(self, trial: optuna.Trial, *, was_left: bool = False) -> TrialInHand:
        path = self._path(trial.number)
        trial.set_user_attr("place", _place(path))
        dimensions = self._plan.space.dimensions()
        parameters = {each.name: suggest(trial, each) for each in dimensions}
        return TrialInHand(trial, parameters, path, was_left=was_left)


def _place(path: Path) -> tuple[str, str]:
    """Return the machine and the folder that a trial is trained in."""
    return socket.gethostname(), str(path.resolve())


def open_study(plan: StudyPlan, *, storage: str | None, folder: Path) -> SearchStudy:
    """Begin a study, or join the one of that name.

    Args:
        storage: an Optuna storage URL, or the path of a journal; FOLDER/journal.log where None.
        folder: of the search.

    Raises:
        SearchFolderError: the storage cannot be opened or is damaged.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        study = optuna.create_study(
            storage=_storage(storage, folder),
            sampler=ByNumber(plan),
            pruner=make_pruner(plan),
            study_name=plan.name,
            direction="maximize",
            load_if_exists=True,
        )
    except Exception as error:
        # Whatever Optuna, SQLAlchemy or a database driver raises; each has errors of its own.
        told = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
        text = (
            f"{storage or folder / 'journal.log'}: the study cannot be opened ({told}). Give "
            "another --storage or --output, or take the file from a backup."
        )
        raise SearchFolderError(_PASSWORD.sub("://***@", text)) from None
    return SearchStudy(study, plan, folder, is_own=storage is None)


def _storage(storage: str | None, folder: Path) -> Any:
    if storage is not None and "://" in storage:
        return storage
    path = str((Path(storage) if storage else folder / "journal.log").resolve())
    # The other lock of Optuna hangs where a killed process left it and the path is relative.
    lock = optuna.storages.journal.JournalFileOpenLock(path, grace_period=LOCK_GRACE_S)
    _mend_journal(Path(path), lock)
    return optuna.storages.JournalStorage(
        optuna.storages.journal.JournalFileBackend(path, lock_obj=lock)
    )


def _mend_journal(path: Path, lock: optuna.storages.journal.JournalFileOpenLock) -> None:
    """Cut off the half line of a process that was killed while it wrote.

    Optuna would append to it, and could not read the journal from then on.
    """
    if not path.is_file() or path.read_bytes()[-1:] in (b"", b"\n"):
        return
    lock.acquire()
    try:
        text = path.read_bytes()
        if not text.endswith(b"\n"):
            log.warning("%s: its last line was cut off in writing; it is removed", path)
            with path.open("r+b") as file:
                file.truncate(text.rfind(b"\n") + 1)
    finally:
        lock.release()


def _record(trial: optuna.trial.FrozenTrial) -> TrialRecord:
    attributes, state = trial.user_attrs, _STATES[trial.state]
    cause = str(attributes.get("cause", ""))
    host, folder = attributes.get("place", ("", ""))
    return TrialRecord(
        number=trial.number,
        state="stopped" if state == "complete" and cause else state,
        parameters=dict(trial.params),
        value=trial.value if trial.state.is_finished() else None,
        repeats=tuple(Repeat(**each) for each in attributes.get("repeats", ())),
        host=host,
        folder=folder,
        cause=cause,
        dice={int(step): value for step, value in trial.intermediate_values.items()},
    )
