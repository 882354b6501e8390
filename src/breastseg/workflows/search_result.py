"""What came of a search: the ranking, the winner on images it never saw, one page."""

import logging
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from breastseg.core.errors import BreastsegError, OutputError, RunFolderError
from breastseg.evaluation.case_score import CaseScore
from breastseg.evaluation.confidence import repeats_interval
from breastseg.evaluation.selection import selection_gap
from breastseg.io.atomic import write_json, write_text
from breastseg.report.pages import search_page
from breastseg.training.search import SearchStudy, State, TrialRecord
from breastseg.workflows.progress import Reading
from breastseg.workflows.scoring import Scored, score_models
from breastseg.workflows.search_plan import SearchPlan
from breastseg.workflows.search_trials import Job, best_of

log = logging.getLogger(__name__)

DEFINITIONS: Mapping[str, str] = {
    "dice": "mean over the repeats of the highest validation Dice of their epochs: what trials "
    "are ranked by. At the network's resolution, probability cut at 0.5, mean over the "
    "validation images with a lesion",
    "interval": "95 %, Student's t over the repeats, cut to [0, 1]; none for a single training. "
    "Over seeds it says how chance in training moves the mean, nothing of other images; over "
    "folds it is too narrow, since their training parts overlap",
    "complete": "trained to the end: these are ranked",
    "pruned": "given up early, because its first repeat was behind the others at that epoch; "
    "its Dice is that of its last epoch",
    "stopped": "ended by a health check; its Dice is the best it had reached, and it cannot win",
    "failed": "could not be trained",
    "running": "in training, or left by a process that ended: the same command goes on with it",
    "selection_gap": "Dice per image at the original resolution at the operating threshold, mean "
    "over images with a lesion; an image that several repeats were scored on counts once, with "
    "its mean. Validation minus test; intervals: 95 %, bootstrap over groups, both sides "
    "independently",
    "importance": "PED-ANOVA: how much a parameter sets the best quarter of the trials apart",
}

MEANING = (
    "The winner was chosen because it did best on the validation images, and so was its epoch: "
    "its score there flatters. The test images were seen by no trial and are scored for the "
    "winner alone: report that figure. Part of the gap is chance, and part may be that the images "
    "differ: the best constant mask, which nobody selected, has a gap that comes from the images "
    "alone."
)


def write_results(
    job: Job, study: SearchStudy, *, is_over: bool, threads: int | None, reading: Reading
) -> dict[str, Any]:
    """Write search.json, search.html and best.recipe.json, and return the first.

    Args:
        is_over: whether the winner may be scored on the test part: once, when it is known.
    """
    records = study.records(job.limit)
    winner = best_of(records)
    document = _document(job, study, records, winner)
    if winner is not None:
        recipe = job.plan.recipe(winner.parameters, name=f"best-of-{job.plan.space.name}")
        # Another seed shall not deal the test images out again.
        recipe = recipe.with_settings([f"split.seed={recipe.split_seed}"])
        write_text(job.output / "best.recipe.json", recipe.to_json())
        document.update(_selection(job, study, winner, is_over, threads, reading))
    write_json(job.output / "search.json", document)
    write_text(job.output / "search.html", search_page(document))
    return document


def _document(
    job: Job, study: SearchStudy, records: Sequence[TrialRecord], winner: TrialRecord | None
) -> dict[str, Any]:
    plan = job.plan
    counts = Counter(record.state for record in records)
    return {
        "schema_version": 1,
        "kind": "breastseg search",
        "name": plan.name,
        "description": plan.space.description,
        "details": _details(plan),
        "definitions": dict(DEFINITIONS),
        "num_trials": {"wanted": job.limit, **{state: counts[state] for state in _ORDER}},
        "parameters": [each.name for each in plan.space.dimensions()],
        "repeats": asdict(plan.repeats),
        "table": [_row(rank, record) for rank, record in _ranked(records)],
        "importance": study.importance(),
        "winner": None if winner is None else winner.number,
        "selection_gap": None,
        "selection_gap_missing": "no trial is complete",
        "scored_on_test": [],
    }


def _details(plan: SearchPlan) -> dict[str, str]:
    count = plan.space.num_cells()
    repeats = f"{plan.repeats.count} {plan.repeats.kind}" if plan.repeats.count > 1 else "none"
    return {
        "Space": f"{plan.space.name}, "
        + ("continuous" if count is None else f"{count:,} combinations"),
        "Strategy": f"{plan.strategy}, seed {plan.seed}; pruner: {plan.pruner}",
        "Repeats of each trial": repeats,
        "Recipe that all else is taken from": f"{plan.base.name} ({plan.base.fingerprint()})",
        "Trained in": plan.framework,
        "Data": f"{plan.data.resolve().name} ({plan.data_fingerprint})",
        "Search": plan.fingerprint,
    }


_ORDER: tuple[State, ...] = ("complete", "pruned", "stopped", "failed", "running")


def _ranked(records: Iterable[TrialRecord]) -> list[tuple[int | None, TrialRecord]]:
    """Rank the completed trials by their value; then the others, without a rank."""
    order = sorted(
        records,
        key=lambda each: (_ORDER.index(each.state), -(each.value or 0.0), each.number),
    )
    ranks = (rank if each.state == "complete" else None for rank, each in enumerate(order, 1))
    return list(zip(ranks, order, strict=True))


def _row(rank: int | None, record: TrialRecord) -> dict[str, Any]:
    interval = repeats_interval([each.dice for each in record.repeats])
    return {
        "rank": rank,
        "number": record.number,
        "state": record.state,
        "parameters": dict(record.parameters),
        "dice": record.value,
        "interval": asdict(interval) if interval and record.state == "complete" else None,
        "repeats": [asdict(each) for each in record.repeats],
        "epochs": record.epochs,
        "seconds": round(record.seconds, 1),
        "cause": record.cause,
        "host": record.host,
        "folder": record.folder,
    }


def _selection(
    job: Job,
    study: SearchStudy,
    winner: TrialRecord,
    is_over: bool,
    threads: int | None,
    reading: Reading,
) -> dict[str, Any]:
    """Score the winner on test, if it is known; else say why not."""
    if not is_over:
        return {
            "selection_gap_missing": "the search is not over: the winner is scored on the test "
            "part once it is known"
        }
    try:
        gap = _gap(job, winner, threads, reading)
    except (RunFolderError, OutputError) as error:
        return {"selection_gap_missing": f"the winner's runs are in {winner.folder} ({error})"}
    except BreastsegError as error:
        return {"selection_gap_missing": str(error)}
    if gap is None:
        return {"selection_gap_missing": "the validation or the test part has no lesion"}
    return {
        "selection_gap": gap,
        "selection_gap_missing": "",
        "scored_on_test": study.note_scored(winner.number),
    }


def _gap(
    job: Job, winner: TrialRecord, threads: int | None, reading: Reading
) -> dict[str, Any] | None:
    folder = job.output / "trials" / f"{winner.number:04d}"
    runs = [folder / each.label for each in winner.repeats]
    # Seeds share their validation images; each fold has its own.
    parts = [runs] if job.plan.repeats.kind == "seeds" else [[run] for run in runs]

    def score(paths: Sequence[Path], split: str) -> Scored:
        return score_models(
            paths,
            job.plan.data,
            split=split,
            allow_leakage=split != "test",
            threshold=None,
            threads=threads,
            reading=reading,
        )

    validation = [score(paths, "validation") for paths in parts]
    test = score(runs, "test")
    gap, constant = (
        selection_gap([scores for each in validation for scores in of(each)], of(test))
        for of in (_models, _constant_mask)
    )
    if gap is None:
        return None
    return {
        "won_with": winner.value,
        **asdict(gap),
        "constant_mask": None if constant is None else asdict(constant),
        "meaning": MEANING,
    }


def _models(scored: Scored) -> list[Sequence[CaseScore]]:
    return [model.scores for model in scored.model_contenders]


def _constant_mask(scored: Scored) -> list[Sequence[CaseScore]]:
    """Return the scores of the best constant mask, the last of the contenders."""
    return [scored.contenders[-1].scores]
