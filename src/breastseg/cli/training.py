"""The verbs that make runs, and say or show what goes into them."""

import shlex
from pathlib import Path
from typing import Annotated

import typer

from breastseg.cli.options import (
    AsJson,
    Data,
    DeviceName,
    FrameworkName,
    Overwrite,
    RunFolder,
    Settings,
    Threads,
    hint,
    show_values,
)
from breastseg.core.errors import InputError


def train(
    data: Annotated[
        Path | None,
        typer.Argument(metavar="DATA", help="A folder of scans and masks.", show_default=False),
    ] = None,
    framework: Annotated[
        FrameworkName | None, typer.Option(help="Where to train.", show_default="pytorch")
    ] = None,
    recipe: Annotated[
        str | None,
        typer.Option(
            metavar="NAME|FILE",
            help="A shipped recipe (`breastseg recipes list`) or a JSON file.",
            show_default="ultrasound-scratch",
        ),
    ] = None,
    settings: Settings = None,
    output: Annotated[
        Path | None,
        typer.Option(
            help="The run folder.", show_default="runs/<recipe>-<framework>-<fingerprint>"
        ),
    ] = None,
    resume: Annotated[
        Path | None, typer.Option(metavar="RUN", help="Go on with an interrupted run.")
    ] = None,
    device: Annotated[
        DeviceName, typer.Option(help="auto takes CUDA where there is.")
    ] = DeviceName.AUTO,
    threads: Threads = None,
    workers: Annotated[
        int | None,
        typer.Option(
            min=0,
            help="Processes that prepare batches, 0 for a thread. Results don't depend on it.",
            show_default="0 on a CPU, up to 8 with a GPU",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Train a network on a folder of scans and masks.

    Recognised are BUSI, BUS-BRA, nnU-Net raw, `images/` + `masks/`, and `x.png` + `x_mask.png`.
    Images are divided into train, validation, calibration and test so that no patient and no
    near duplicate is on two sides. Ctrl-C leaves a run that predicts and can be resumed.

        breastseg train Dataset_BUSI_with_GT --framework tensorflow
        breastseg train DATA --recipe seed-latent256 --set optimisation.epochs=20
        breastseg train --resume runs/ultrasound-scratch-pytorch-0123456789ab
    """
    from breastseg.core.recipes import resolve_recipe
    from breastseg.workflows import train as workflow
    from breastseg.workflows.progress import TrainingBar, log_to_terminal

    log_to_terminal(verbose=True)
    hardware = workflow.Hardware(device=device.value, threads=threads, workers=workers)
    if resume is not None:
        if settings or output or recipe or framework:
            raise InputError(
                "--resume goes on with the run's own recipe and framework: leave --recipe, --set, "
                "--framework and --output away."
            )
        epochs, best = workflow.progress_of(resume)
        with TrainingBar(epochs, best=best) as bar:
            run = workflow.resume(resume, data=data, hardware=hardware, listener=bar, reading=bar)
    else:
        if data is None:
            raise InputError("train needs DATA, a folder of scans and masks, or --resume RUN.")
        chosen = resolve_recipe(recipe or "ultrasound-scratch").with_settings(settings or [])
        with TrainingBar(chosen.optimisation.epochs) as bar:
            run = workflow.train(
                data,
                chosen,
                framework=framework.value if framework else "pytorch",
                output=output,
                hardware=hardware,
                listener=bar,
                reading=bar,
            )
    summary = {"run": str(run.path), **workflow.summary(run)}
    show_values(summary, as_json=as_json)
    command = ["breastseg", "evaluate", str(run.path), str(run.environment["data"])]
    hint(f"Score it with: {shlex.join(command)}")


def info(run: RunFolder, as_json: AsJson = False) -> None:
    """Say what a run is, how far it got and how it was split."""
    from breastseg.training.checkpoint import open_run
    from breastseg.workflows.train import summary

    opened = open_run(run)
    show_values({"run": str(run), **summary(opened)}, as_json=as_json)


def augment(
    data: Data,
    preview: Annotated[
        bool, typer.Option("--preview", help="Write a contact sheet: all that this verb does.")
    ] = True,
    recipe: Annotated[
        str, typer.Option(metavar="NAME|FILE", help="Whose augmentation to show.")
    ] = "ultrasound-scratch",
    settings: Settings = None,
    output: Annotated[Path, typer.Option(help="The PNG file.")] = Path("augmentation.png"),
    num_cases: Annotated[int, typer.Option(min=1, help="Rows of the sheet.")] = 6,
    num_variants: Annotated[int, typer.Option(min=1, help="Changed pictures in each row.")] = 7,
) -> None:
    """Show what a recipe's augmentation does to the images it trains on.

    breastseg augment DATA --preview --set augmentation.elastic=0.05
    """
    from breastseg.core.recipes import resolve_recipe
    from breastseg.workflows.augment import preview_augmentation

    chosen = resolve_recipe(recipe).with_settings(settings or [])
    typer.echo(
        preview_augmentation(data, chosen, output, num_cases=num_cases, num_variants=num_variants)
    )


def export(
    run: RunFolder,
    output: Annotated[Path, typer.Option(help="The file, such as model.onnx.")],
    overwrite: Overwrite = False,
) -> None:
    """Write a run's network as an ONNX file for other runtimes."""
    from breastseg.workflows.export import export as workflow

    typer.echo(workflow(run, output, overwrite=overwrite))
