"""Which values a trial of a search has: strategies and pruners, by Optuna."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal, cast

import numpy as np

from breastseg.core.errors import MissingExtraError
from breastseg.core.search_space import Dimension, Label, SearchSpace

try:
    # Other modules take it from here, with this message.
    import optuna as optuna
    import optuna.storages.journal
except ImportError as error:
    raise MissingExtraError(
        f'Optuna is not installed ({error}). Install it with: pip install "breastseg[search]"'
    ) from None
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler
from optuna.study import Study
from optuna.trial import FrozenTrial, Trial

Strategy = Literal["grid", "random", "tpe"]
PrunerName = Literal["none", "median", "hyperband"]


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyPlan:
    """What decides the parameters of each trial number.

    max_epochs: of any trial, for hyperband.
    """

    name: str
    space: SearchSpace
    strategy: Strategy
    pruner: PrunerName
    seed: int
    max_epochs: int

    @property
    def limit(self) -> int | None:
        """Return how many different trials there are; None where there is no end of them."""
        return None if self.strategy == "tpe" else self.space.num_cells()


def make_pruner(plan: StudyPlan) -> optuna.pruners.BasePruner:
    """Return what gives trials up early, by the validation Dice of their first repeat.

    median: below the median of the others at the same epoch, once five trials are complete and
    a third of the epochs is done; a healthy network may find nothing for its first epochs.
    hyperband: Li et al. 2018, JMLR 18:185; it may give up after the first epoch.
    """
    if plan.pruner == "median":
        # Epochs are counted from 1, and the step of that number would be judged already.
        first_judged = plan.max_epochs // 3 + 1
        return optuna.pruners.MedianPruner(n_startup_trials=5, n_warmup_steps=first_judged)
    if plan.pruner == "hyperband":
        return optuna.pruners.HyperbandPruner(min_resource=1, max_resource=plan.max_epochs)
    return optuna.pruners.NopPruner()


def suggest(trial: Trial, dimension: Dimension) -> Label:
    """Return the value of a trial: what was noted before, else what the sampler says."""
    span = dimension.range
    if span is None:
        labels = dimension.labels() or []
        return cast(Label, trial.suggest_categorical(dimension.name, labels))
    if span.is_whole:
        step = int(span.step or 1)
        return trial.suggest_int(
            dimension.name, int(span.low), int(span.high), step=step, log=span.log
        )
    return trial.suggest_float(dimension.name, span.low, span.high, step=span.step, log=span.log)


def shuffled_cells(space: SearchSpace, seed: int) -> list[dict[str, Label]]:
    """Return every combination in random order: a search that is stopped has seen of all."""
    cells = list(space.cells())
    order = np.random.default_rng(seed).permutation(len(cells)).tolist()
    return [cells[place] for place in order]


class ByNumber(BaseSampler):
    """Draws each trial from a stream that depends on the seed and its number alone.

    A sampler with one stream would repeat itself in every process that begins with the seed.
    """

    def __init__(self, plan: StudyPlan) -> None:
        cells = shuffled_cells(plan.space, plan.seed) if plan.limit is not None else []

        @cache
        def of(number: int) -> BaseSampler:
            if number < len(cells):
                return _OneCell(cells[number])
            seed = int(np.random.SeedSequence([plan.seed, number]).generate_state(1)[0])
            if plan.strategy == "tpe":
                return optuna.samplers.TPESampler(seed=seed)
            return optuna.samplers.RandomSampler(seed=seed)

        self._of = of

    def infer_relative_search_space(
        self, study: Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """See BaseSampler."""
        return self._of(trial.number).infer_relative_search_space(study, trial)

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """See BaseSampler."""
        return self._of(trial.number).sample_relative(study, trial, search_space)

    def sample_independent(
        self,
        study: Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        """See BaseSampler."""
        sampler = self._of(trial.number)
        return sampler.sample_independent(study, trial, param_name, param_distribution)


class _OneCell(BaseSampler):
    """Gives the values of one combination."""

    def __init__(self, cell: Mapping[str, Label]) -> None:
        self._cell = cell

    def infer_relative_search_space(
        self, study: Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """See BaseSampler."""
        return {}

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """See BaseSampler."""
        return {}

    def sample_independent(
        self,
        study: Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        """See BaseSampler."""
        return self._cell[param_name]
