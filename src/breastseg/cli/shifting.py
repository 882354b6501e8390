"""The part of `evaluate` that compares data sets: --on A --on B."""

import json
from pathlib import Path
from typing import Annotated

import typer

from breastseg.cli.options import hint
from breastseg.core.errors import InputError

OneDataSet = Annotated[
    Path | None,
    typer.Argument(metavar="DATA", help="A folder of scans and masks.", show_default=False),
]
SeveralDataSets = Annotated[
    list[Path] | None,
    typer.Option(
        "--on", metavar="DATA", help="Instead of DATA: one of several data sets; repeatable."
    ),
]


def require_on_alone(data: Path | None, on: list[Path] | None, against: list[Path] | None) -> None:
    """Refuse what does not go together.

    Raises:
        InputError: neither DATA nor --on, or --on beside DATA or --against.
    """
    if not on:
        raise InputError("evaluate needs DATA, or --on A --on B to compare data sets.")
    if data is not None:
        raise InputError(f"--on takes the place of DATA: write --on {data}, too, or leave it out.")
    if against:
        raise InputError(
            "--on compares data sets for one run, --against runs on one data set: leave one out."
        )


def evaluate_shift(
    run: Path,
    data: list[Path],
    *,
    output: Path | None,
    split: str,
    allow_leakage: bool,
    threshold: float | None,
    threads: int | None,
    as_json: bool,
) -> None:
    """Score a run on several data sets and show what becomes of it."""
    from breastseg.report.shift_terminal import print_shift
    from breastseg.workflows import shift as workflow
    from breastseg.workflows.progress import WorkBar

    with WorkBar() as bar:
        result = workflow.evaluate_shift(
            run,
            data,
            output=output,
            split=split,
            allow_leakage=allow_leakage,
            threshold=threshold,
            threads=threads,
            reading=bar,
        )
    if as_json:
        typer.echo(json.dumps(result.document, indent=2))
    else:
        print_shift(result.document)
    hint(f"Look at {result.output / 'shift.html'}")
