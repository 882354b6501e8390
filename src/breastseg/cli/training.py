"""The verbs that make runs, and say or show what goes into them."""

import json
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from breastseg.cli.options import (
    AsJson,
    Data,
    DeviceName,
    FrameworkName,
    RunFolder,
    Settings,
    Threads,
    hint,
    show_values,
)
from breastseg.core.errors import InputError

if TYPE_CHECKING:
    from breastseg.core.recipe import Recipe
    from breastseg.training.checkpoint import Run
    from breastseg.workflows.train import Hardware


def train(
    data: Annotated[
        Path | None,
        typer.Argument(
            metavar="DATA",
            help="A folder of scans and masks, or a JSON file that names several.",
            show_default=False,
        ),
    ] = None,
    framework: Annotated[
        FrameworkName | None, typer.Option(help="Where to train.", show_default="pytorch")
    ] = None,
    recipe: Annotated[
        str | None,
        typer.Option(
            metavar="NAME|FILE",
            help="A shipped recipe (`breastseg recipes list`) or a JSON file.",
            show_default="ultrasound-scratch; with --init the model's, slower and shorter",
        ),
    ] = None,
    settings: Settings = None,
    init: Annotated[
        str | None,
        typer.Option(
            metavar="MODEL",
            help="Go on from the weights of a run, or of a model that ships; of either framework.",
        ),
    ] = None,
    folds: Annotated[
        int | None,
        typer.Option(min=2, metavar="K", help="Train K networks, each with one fold held out."),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            help="The run folder.", show_default="runs/<recipe>-<framework>-<fingerprint>"
        ),
    ] = None,
    notice: Annotated[
        str | None,
        typer.Option(
            metavar="TEXT",
            help="What every reader of the model's results must know; predict and evaluate say it.",
            show_default="none; of data that says it is simulated, that",
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
    With --folds every image is scored by the one network that held it out, and the folder is an
    ensemble for `predict` and `evaluate`. With --init a model is fine-tuned to other images, from
    about 20 on; those that it was trained on already stay in the training part.

        breastseg train Dataset_BUSI_with_GT --framework tensorflow
        breastseg train DATA --recipe seed-latent256 --set optimisation.epochs=20
        breastseg train DATA --folds 5 --output runs/five
        breastseg train MY-SCANS --init runs/five/fold-1
        breastseg train --resume runs/ultrasound-scratch-pytorch-0123456789ab
    """
    from breastseg.training.shipped import resolve_model
    from breastseg.workflows.progress import log_to_terminal
    from breastseg.workflows.train import Hardware

    log_to_terminal(verbose=True)
    hardware = Hardware(device=device.value, threads=threads, workers=workers)
    if resume is not None:
        if settings or output or recipe or framework or folds or notice or init:
            raise InputError(
                "--resume goes on with the run's own recipe and framework: leave --recipe, --set, "
                "--init, --framework, --folds, --notice and --output away."
            )
        _resume(resume, data, hardware, as_json=as_json)
        return
    if data is None:
        raise InputError("train needs DATA, a folder of scans and masks, or --resume RUN.")
    model = None if init is None else resolve_model(init)
    chosen = _recipe(data, recipe, settings or [], model)
    name = framework.value if framework else "pytorch"
    _begin(data, chosen, name, folds, output, hardware, notice=notice, init=model, as_json=as_json)


def _recipe(data: Path, name: str | None, settings: list[str], model: Path | None) -> "Recipe":
    """Return the recipe to train by: the model's own where there is one and none is named."""
    from breastseg.core.recipes import resolve_recipe
    from breastseg.workflows.fine_tune import open_beginning, recipe_from

    if model is None:
        return resolve_recipe(name or "ultrasound-scratch").with_settings(settings)
    recipe = None if name is None else resolve_recipe(name)
    return recipe_from(open_beginning(model), data, recipe=recipe, settings=settings)


def _begin(
    data: Path,
    recipe: "Recipe",
    framework: str,
    folds: int | None,
    output: Path | None,
    hardware: "Hardware",
    *,
    notice: str | None,
    init: Path | None,
    as_json: bool,
) -> None:
    """Train one network, or one for each fold."""
    from breastseg.workflows import train as workflow
    from breastseg.workflows.cross_validate import cross_validate
    from breastseg.workflows.progress import TrainingBar

    epochs = recipe.optimisation.epochs
    with TrainingBar(epochs, num_folds=folds or 1) as bar:
        if folds is None:
            run = workflow.train(
                data,
                recipe,
                framework=framework,
                output=output,
                notice=notice,
                init=init,
                hardware=hardware,
                listener=bar,
                reading=bar,
            )
        else:
            model = cross_validate(
                data,
                recipe,
                framework=framework,
                num_folds=folds,
                output=output,
                notice=notice,
                init=init,
                hardware=hardware,
                listeners=bar.begin_fold,
                reading=bar,
            )
    if folds is None:
        _show_run(run, as_json=as_json)
    else:
        _show_folds(model.path, data, hardware.threads, as_json=as_json)


def _resume(path: Path, data: Path | None, hardware: "Hardware", *, as_json: bool) -> None:
    """Go on with a training, or with a cross-validation."""
    from breastseg.training.model import is_ensemble, read_plan
    from breastseg.workflows import train as workflow
    from breastseg.workflows.cross_validate import resume_folds
    from breastseg.workflows.progress import TrainingBar

    if not is_ensemble(path):
        epochs, best = workflow.progress_of(path)
        with TrainingBar(epochs, best=best) as bar:
            run = workflow.resume(path, data=data, hardware=hardware, listener=bar, reading=bar)
        _show_run(run, as_json=as_json)
        return
    plan = read_plan(path)
    with TrainingBar(plan.recipe.optimisation.epochs, num_folds=plan.num_folds) as bar:
        resume_folds(path, data=data, hardware=hardware, listeners=bar.begin_fold, reading=bar)
    _show_folds(path, data or plan.data, hardware.threads, as_json=as_json)


def _show_run(run: "Run", *, as_json: bool) -> None:
    """Say what was trained, and how to score it."""
    from breastseg.workflows.train import summary

    show_values({"run": str(run.path), **summary(run)}, as_json=as_json)
    command = ["breastseg", "evaluate", str(run.path), str(run.environment["data"])]
    command += ["--allow-leakage"] if run.split.divides_groups else []
    hint(f"Score it with: {shlex.join(command)}")


def _show_folds(path: Path, data: Path, threads: int | None, *, as_json: bool) -> None:
    """Score every image by the fold that held it out, and say what was trained."""
    from breastseg.report.terminal import print_scorecard
    from breastseg.training.model import open_model
    from breastseg.workflows.cross_validate import summary
    from breastseg.workflows.evaluate import evaluate
    from breastseg.workflows.progress import WorkBar, log_to_terminal

    log_to_terminal()
    # Who ignores groups in training has asked for a leak, and the scorecard marks it.
    asked = any(run.split.divides_groups for run in open_model(path).runs)
    with WorkBar() as bar:
        scored = evaluate(path, data, allow_leakage=asked, threads=threads, reading=bar)
    dice = scored.document["table"][0]["summary"]["dice"]
    show_values(
        {"run": str(path), **summary(path), "out_of_fold_dice": round(dice["value"], 4)},
        as_json=as_json,
    )
    if not as_json:
        print_scorecard(scored.document)
    hint(f"Look at {scored.output / 'scorecard.html'}")


def calibrate(
    run: RunFolder,
    data: Annotated[
        Path | None,
        typer.Argument(
            metavar="[DATA]",
            help="The data set that it was trained on.",
            show_default="where it was",
        ),
    ] = None,
    mirror: Annotated[
        bool,
        typer.Option(
            "--mirror",
            help="Have each picture seen mirrored too from now on, and the answers averaged: "
            "often a little better, and twice as slow.",
        ),
    ] = False,
    gate: Annotated[
        bool | None,
        typer.Option(
            "--gate/--no-gate",
            help="Whether doubt that a picture has a lesion at all makes its findings less sure.",
            show_default="where the network tells the class normal",
        ),
    ] = None,
    threads: Threads = None,
    as_json: AsJson = False,
) -> None:
    """Calibrate a trained run anew, on the images that were set aside for that.

    `train` does it by itself; this is for runs of older versions, and for --mirror.
    Temperature, operating threshold and guarantees are written to `calibration.json`, and the
    model's fingerprint changes with them. Of a cross-validation every fold is calibrated.

        breastseg calibrate runs/old Dataset_BUSI_with_GT
    """
    from breastseg.workflows import calibrate as workflow
    from breastseg.workflows.progress import WorkBar, log_to_terminal

    log_to_terminal()
    with WorkBar() as bar:
        found = workflow.calibrate(
            run, data, mirrored=mirror, gated=gate, threads=threads, reading=bar
        )
    if as_json:
        typer.echo(json.dumps([each.to_document() for each in found], indent=2))
    hint(f"Score it with: {shlex.join(['breastseg', 'evaluate', str(run), 'DATA'])}")


def info(run: RunFolder, as_json: AsJson = False) -> None:
    """Say what a run or a cross-validation is, how far it got and how it was split.

    Of a model that was exported or ships, which keeps nothing of its training, print its card.
    """
    from breastseg.training.checkpoint import open_run
    from breastseg.training.model import is_ensemble
    from breastseg.training.shipped import resolve_model
    from breastseg.workflows import cross_validate, train
    from breastseg.workflows.model_card import card_lines
    from breastseg.workflows.slim_model import card_of, is_model

    run = resolve_model(run)
    if is_model(run):
        card = card_of(run)
        show_values({"model": str(run), **(card if as_json else card_lines(card))}, as_json=as_json)
        return
    found = cross_validate.summary(run) if is_ensemble(run) else train.summary(open_run(run))
    show_values({"run": str(run), **found}, as_json=as_json)


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
