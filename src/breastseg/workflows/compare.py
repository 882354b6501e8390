"""breastseg compare: several runs on the same images, every pair with its uncertainty."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from breastseg.core.errors import InputError
from breastseg.datasets.cases import sources_of
from breastseg.evaluation.comparison import compare_pairs
from breastseg.evaluation.scorecard import Contender, summarise, to_document
from breastseg.io.atomic import make_folder, write_json, write_text
from breastseg.report.pages import comparison_page
from breastseg.workflows.evaluate import Evaluation
from breastseg.workflows.progress import Reading, silent_reading
from breastseg.workflows.scoring import score_models


def compare(
    runs: Sequence[Path],
    data: Path,
    *,
    output: Path,
    split: str = "test",
    allow_leakage: bool = False,
    threads: int | None = None,
    reading: Reading = silent_reading,
) -> Evaluation:
    """Rank runs by their Dice and compare every pair image by image.

    Writes comparison.html and comparison.json: the table of the scorecard, ranked, and for each
    pair the difference with its interval and a p-value adjusted for the number of pairs.

    Args:
        runs: two run folders or more, of any framework.
        data: a folder of a known layout, with reference masks.
        output: where the comparison goes.
        split: part of the first run's own data; other data is compared on whole.
        allow_leakage: compare on images that a run has seen, with a warning.
        threads: of the CPU; None takes all.
        reading: told of the progress.

    Raises:
        InputError: fewer than two runs, or one twice.
        SplitError, LayoutError, RunFolderError, WeightsError, OutputError: as of evaluate.
    """
    if len({path.resolve() for path in runs}) != len(runs) or len(runs) < 2:
        raise InputError(
            f"compare needs two different runs or more, got {', '.join(map(str, runs)) or 'none'}."
        )
    scored = score_models(
        runs,
        data,
        split=split,
        allow_leakage=allow_leakage,
        threshold=None,
        threads=threads,
        reading=reading,
    )
    models = sorted(scored.model_contenders, key=_mean_dice, reverse=True)
    floor = [contender for contender in scored.contenders if contender.role == "baseline"]
    details = {
        name: text
        for name, text in scored.details.items()
        if name in ("Scored on", "Split", "Intervals over")
    }
    card = to_document(
        summarise(*models, *floor, sources=sources_of(scored.cases)),
        details=details,
        warnings=scored.warnings,
    )
    document: dict[str, Any] = {
        "schema_version": 1,
        "kind": "breastseg comparison",
        "num_runs": len(runs),
        **{key: card[key] for key in ("details", "warnings", "definitions", "table")},
        "pairs": [asdict(pair) for pair in compare_pairs(models)],
    }
    make_folder(output)
    write_json(output / "comparison.json", document)
    write_text(output / "comparison.html", comparison_page(document))
    return Evaluation(output=output, document=document)


def _mean_dice(contender: Contender) -> float:
    dice = [score.dice for score in contender.scores if score.dice is not None]
    return sum(dice) / len(dice) if dice else 0.0
