"""The verb that looks at data before anything is trained on it."""

import json
from pathlib import Path
from typing import Annotated

import typer

from breastseg.cli.options import AsJson, Data, hint


def inspect(
    data: Data,
    report: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Write inspection.html and inspection.json there.",
            show_default="none",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Say what is in a folder of scans and masks, and what is wrong with it.

    Looks for broken files, wrong masks, near duplicates and where they contradict each other,
    calipers, text, colour and Doppler, images unlike the rest, and tables that contradict the
    files. The exit code is 1 when something would spoil a result.

        breastseg inspect Dataset_BUSI_with_GT --report inspection
    """
    from breastseg.report.inspection import print_inspection
    from breastseg.workflows import inspect as workflow
    from breastseg.workflows.progress import WorkBar, log_to_terminal

    log_to_terminal()
    with WorkBar() as bar:
        inspection = workflow.inspect(data, report=report, reading=bar)
    document = inspection.to_document()
    if as_json:
        typer.echo(json.dumps(document, indent=2))
    else:
        print_inspection(document)
    if report is not None:
        hint(f"Look at {report / 'inspection.html'}")
    if inspection.spoils:
        hint("Something here would spoil a result: see the findings marked 'spoils'.")
        raise typer.Exit(1)
