"""The verb that hands a run on: export."""

import json
from pathlib import Path
from typing import Annotated

import typer

from breastseg.cli.options import (
    AsJson,
    ExportFormat,
    Overwrite,
    RunFolder,
    Threads,
    hint,
    show_values,
)
from breastseg.core.errors import InputError


def export(
    run: RunFolder,
    output: Annotated[Path, typer.Option(help="The file, such as model.onnx, or the folder.")],
    kind: Annotated[
        ExportFormat | None,
        typer.Option(
            "--format",
            help="onnx: a file; model: a slim folder that predicts.",
            show_default="onnx; model with --int8",
        ),
    ] = None,
    description: Annotated[
        str, typer.Option(metavar="TEXT", help="For the card of a model: what it is for.")
    ] = "",
    about: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="For the card of a model, in Markdown: data and licences, intended use, failures.",
        ),
    ] = None,
    scorecard: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FOLDER",
            help="For the card of a model: what evaluate wrote of this run; repeatable.",
        ),
    ] = None,
    half: Annotated[
        bool, typer.Option("--half", help="Of a model: weights in float16, half the size.")
    ] = False,
    int8: Annotated[
        bool, typer.Option("--int8", help="A model in 8 bits, unless that costs accuracy.")
    ] = False,
    data: Annotated[
        Path | None,
        typer.Option(
            metavar="DATA",
            help="With --int8: the data set that the run was trained on.",
            show_default="where it was",
        ),
    ] = None,
    threads: Threads = None,
    overwrite: Overwrite = False,
    as_json: AsJson = False,
) -> None:
    """Write a run's network as an ONNX file for other runtimes, or as a model to hand on.

    A model is a folder for `predict --model` with recipe, weights, calibration, notice and a card,
    and nothing of the images that it was trained on.

    With --int8 the network is rounded to 8 bits, on images of the training part, and compared
    with the float network on the validation part. Where the mean Dice falls by more than 0.005,
    nothing is written and the exit code is 3. Such a model runs on CPUs, through OpenVINO.

        breastseg export runs/mine --output model.onnx
        breastseg export runs/mine --format model --scorecard runs/mine/scorecard --output my-model
        breastseg export runs/mine --int8 --output my-fast-model
    """
    if int8:
        if about is not None or scorecard:
            raise InputError(
                "--about and --scorecard are of the float network, which --int8 rounds: leave them "
                "away. The card of a model in 8 bits has figures of its own."
            )
        if kind is ExportFormat.ONNX or half or overwrite:
            raise InputError(
                "--int8 writes a model into a new folder: leave --format onnx, --half and "
                "--overwrite away."
            )
        _export_int8(run, output, data, description, threads, as_json=as_json)
        return
    if data is not None or threads is not None:
        raise InputError("--data and --threads belong to --int8: nothing else needs images.")
    if kind is not ExportFormat.MODEL and (about is not None or scorecard):
        raise InputError("--about and --scorecard are for the card of a model: add --format model.")
    if kind is ExportFormat.MODEL:
        if overwrite:
            raise InputError(
                "--overwrite is for a file in the format onnx; a model is a folder, and needs a "
                "new one. Remove the old one, or give another --output."
            )
        from breastseg.workflows.slim_model import slim_model

        written = slim_model(
            run,
            output,
            description=description,
            about=about,
            scorecards=scorecard or [],
            half=half,
        )
    else:
        from breastseg.workflows.export import export as workflow

        written = workflow(run, output, overwrite=overwrite)
    typer.echo(json.dumps({"output": str(written)}, indent=2) if as_json else written)


def _export_int8(
    run: Path,
    output: Path,
    data: Path | None,
    description: str,
    threads: int | None,
    *,
    as_json: bool,
) -> None:
    from breastseg.training.int8_file import int8_in_words
    from breastseg.workflows.int8_model import int8_model
    from breastseg.workflows.progress import WorkBar, log_to_terminal

    log_to_terminal()
    with WorkBar() as bar:
        made = int8_model(
            run, output, data=data, description=description, threads=threads, reading=bar
        )
    if as_json:
        typer.echo(json.dumps({"output": str(made.model), **made.figures}, indent=2))
        return
    show_values({"output": str(made.model), **int8_in_words(made.figures)}, as_json=False)
    hint("Temperature and thresholds are those of the float weights.")
