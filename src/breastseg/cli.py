"""The command line. Each verb is a function of workflows/; nothing is computed here."""

import json
import logging
import shlex
import signal
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup
from typer.exceptions import TyperException

import breastseg
from breastseg.core.errors import BreastsegError, InputError


class _Commands(TyperGroup):
    """The verbs; whatever ends one of them becomes one message and an exit code."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except BreastsegError as error:
            _hint(f"Error: {error}")
            code = error.exit_code
        except KeyboardInterrupt:
            _hint("Interrupted. What is written is whole; the same command or --resume goes on.")
            code = 130
        except (TyperException, typer.Exit, typer.Abort):
            raise
        except Exception as error:
            logging.getLogger("breastseg").debug("internal error", exc_info=error)
            _hint(f"Internal error: {type(error).__name__}: {error}. Please report it.")
            code = 70
        raise SystemExit(code)


app = typer.Typer(
    cls=_Commands,
    name="breastseg",
    help="Find breast lesions in scans by segmentation. Research use only, not a medical device.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
recipes_app = typer.Typer(no_args_is_help=True, help="List and show the recipes that ship.")
losses_app = typer.Typer(no_args_is_help=True, help="List and show the losses to train with.")
phantom_app = typer.Typer(no_args_is_help=True, help="Make phantom scans with known lesions.")
app.add_typer(recipes_app, name="recipes")
app.add_typer(losses_app, name="losses")
app.add_typer(phantom_app, name="phantom")


class FrameworkName(StrEnum):
    """Where a network is trained."""

    PYTORCH = "pytorch"
    TENSORFLOW = "tensorflow"


class DeviceName(StrEnum):
    """What computes."""

    AUTO = "auto"
    CPU = "cpu"
    CUDA = "cuda"


class SplitName(StrEnum):
    """Which part of a run's own data is scored."""

    TEST = "test"
    CALIBRATION = "calibration"
    VALIDATION = "validation"
    TRAIN = "train"
    ALL = "all"


Threads = Annotated[
    int | None,
    typer.Option(
        min=1,
        help="CPU threads. Weights differ in the last bits between numbers.",
        show_default="all",
    ),
]
Threshold = Annotated[
    float | None,
    typer.Option(
        help="How probable a lesion's most probable pixel must be for it to be shown.",
        show_default="the run's operating threshold",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON on stdout.")]
Overwrite = Annotated[bool, typer.Option(help="Replace what is already there.")]
RunFolder = Annotated[Path, typer.Argument(metavar="RUN", help="A run folder, made by `train`.")]


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(breastseg.__version__)
        raise typer.Exit


@app.callback()
def _common(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_show_version, is_eager=True, help="Print the version and leave."
        ),
    ] = False,
) -> None:
    """Take the options that stand before the verb."""


@app.command()
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
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="KEY=VALUE", help="Change a field of the recipe; repeatable."
        ),
    ] = None,
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
    hardware = workflow.Hardware(device=device.value, threads=threads)
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
    _print(summary, as_json=as_json)
    command = ["breastseg", "evaluate", str(run.path), str(run.environment["data"])]
    _hint(f"Score it with: {shlex.join(command)}")


@app.command()
def evaluate(
    run: RunFolder,
    data: Annotated[Path, typer.Argument(metavar="DATA", help="A folder of scans and masks.")],
    split: Annotated[
        SplitName, typer.Option(help="Part of the run's own data; other data is scored whole.")
    ] = SplitName.TEST,
    against: Annotated[
        list[Path] | None,
        typer.Option(metavar="RUN", help="Another run, compared image by image; repeatable."),
    ] = None,
    output: Annotated[
        Path | None, typer.Option(help="Where the scorecard goes.", show_default="RUN/scorecard")
    ] = None,
    allow_leakage: Annotated[
        bool, typer.Option(help="Score images that the run has seen; the scorecard says so.")
    ] = False,
    threshold: Threshold = None,
    threads: Threads = None,
    as_json: AsJson = False,
) -> None:
    """Score a run, beside the baselines that never look at the image.

    Per image at its original resolution; the mean with its 95 % interval over groups. Writes
    `scorecard.html`, `scorecard.json` and `cases.csv`.

        breastseg evaluate runs/mine Dataset_BUSI_with_GT
        breastseg evaluate runs/torch BUSI --against runs/tensorflow
    """
    from breastseg.workflows import evaluate as workflow
    from breastseg.workflows.progress import WorkBar, log_to_terminal

    log_to_terminal()
    with WorkBar() as bar:
        result = workflow.evaluate(
            run,
            data,
            split=split.value,
            against=against or (),
            output=output,
            allow_leakage=allow_leakage,
            threshold=threshold,
            threads=threads,
            reading=bar,
        )
    if as_json:
        typer.echo(json.dumps(result.document, indent=2))
    else:
        workflow.print_table(result)
    _hint(f"Look at {result.output / 'scorecard.html'}")


@app.command()
def compare(
    runs: Annotated[
        list[Path], typer.Argument(metavar="RUN RUN... DATA", help="Runs, and last the data.")
    ],
    split: Annotated[
        SplitName, typer.Option(help="Part of the first run's own data; other data is whole.")
    ] = SplitName.TEST,
    output: Annotated[Path, typer.Option(help="Where the comparison goes.")] = Path("comparison"),
    allow_leakage: Annotated[
        bool, typer.Option(help="Compare on images that a run has seen; the page says so.")
    ] = False,
    threads: Threads = None,
    as_json: AsJson = False,
) -> None:
    """Rank runs by their Dice and compare every pair image by image.

    Each pair's difference comes with its interval over groups and a p-value adjusted for the
    number of pairs (Holm). Writes `comparison.html` and `comparison.json`.

        breastseg compare runs/a runs/b runs/c DATA --output abc
    """
    from breastseg.workflows import compare as workflow
    from breastseg.workflows.evaluate import print_table
    from breastseg.workflows.progress import WorkBar, log_to_terminal

    log_to_terminal()
    with WorkBar() as bar:
        result = workflow.compare(
            runs[:-1],
            runs[-1],
            output=output,
            split=split.value,
            allow_leakage=allow_leakage,
            threads=threads,
            reading=bar,
        )
    if as_json:
        typer.echo(json.dumps(result.document, indent=2))
    else:
        print_table(result)
    _hint(f"Look at {result.output / 'comparison.html'}")


@app.command()
def predict(
    scans: Annotated[
        list[Path], typer.Argument(metavar="SCAN...", help="Pictures, or folders of pictures.")
    ],
    model: Annotated[Path, typer.Option(metavar="RUN", help="A run folder.")],
    output: Annotated[Path, typer.Option(help="Where the results go.")],
    threshold: Threshold = None,
    threads: Threads = None,
    device: Annotated[DeviceName, typer.Option(help="cuda needs ONNX Runtime.")] = DeviceName.CPU,
    overwrite: Overwrite = False,
    as_json: AsJson = False,
) -> None:
    """Find lesions in scans: masks, overlays, measures and one page to look at.

    Neither PyTorch nor TensorFlow is needed. A file that cannot be read fails alone, and the
    exit code is then 1. Repeat the command after an interruption: it goes on where it stopped.

        breastseg predict scans/ --model runs/mine --output results
    """
    from breastseg.workflows import predict as workflow
    from breastseg.workflows.progress import WorkBar, log_to_terminal

    log_to_terminal()
    with WorkBar() as bar:
        result = workflow.predict(
            scans,
            model=model,
            output=output,
            threshold=threshold,
            threads=threads,
            overwrite=overwrite,
            device="cuda" if device is DeviceName.CUDA else "cpu",
            reading=bar,
        )
    if as_json:
        typer.echo(result.index_path.read_text(encoding="utf-8"), nl=False)
    else:
        found = sum(len(case.lesions) for case in result.cases)
        typer.echo(f"{len(result.cases)} images, {found} lesions, {result.num_failed} failed")
    _hint(f"Look at {result.report_path}")
    if result.num_failed:
        raise typer.Exit(1)


@app.command()
def export(
    run: RunFolder,
    output: Annotated[Path, typer.Option(help="The file, such as model.onnx.")],
    overwrite: Overwrite = False,
) -> None:
    """Write a run's network as an ONNX file for other runtimes."""
    from breastseg.workflows.export import export as workflow

    typer.echo(workflow(run, output, overwrite=overwrite))


@app.command()
def info(run: RunFolder, as_json: AsJson = False) -> None:
    """Say what a run is, how far it got and how it was split."""
    from breastseg.training.checkpoint import open_run
    from breastseg.workflows.train import summary

    opened = open_run(run)
    _print({"run": str(run), **summary(opened)}, as_json=as_json)


@app.command()
def augment(
    data: Annotated[Path, typer.Argument(metavar="DATA", help="A folder of scans and masks.")],
    preview: Annotated[
        bool, typer.Option("--preview", help="Write a contact sheet: all that this verb does.")
    ] = True,
    recipe: Annotated[
        str, typer.Option(metavar="NAME|FILE", help="Whose augmentation to show.")
    ] = "ultrasound-scratch",
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Change a field; repeatable."),
    ] = None,
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


@recipes_app.command("list")
def recipes_list(as_json: AsJson = False) -> None:
    """List the recipes that ship, with what each is for."""
    from breastseg.core.recipes import RECIPES

    lines = {name: (recipe.__doc__ or "").strip() for name, recipe in RECIPES.items()}
    _print(lines, as_json=as_json)


@recipes_app.command("show")
def recipes_show(
    recipe: Annotated[str, typer.Argument(metavar="NAME|FILE", help="A recipe.")],
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Change a field; repeatable."),
    ] = None,
) -> None:
    """Print a recipe as JSON: every field that --set can change, and a file for --recipe."""
    from breastseg.core.recipes import resolve_recipe

    typer.echo(resolve_recipe(recipe).with_settings(settings or []).to_json(), nl=False)


@losses_app.command("list")
def losses_list(as_json: AsJson = False) -> None:
    """List the losses with their parameters, formulas, ranges and sources."""
    from breastseg.workflows import losses as workflow

    if as_json:
        return typer.echo(json.dumps([*map(workflow.describe, workflow.all_losses())], indent=2))
    for loss in workflow.all_losses():
        typer.echo(f"{loss.call}\n    {loss.formula}\n    {loss.range}; {loss.source}")


@losses_app.command("show")
def losses_show(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A loss.")], as_json: AsJson = False
) -> None:
    """Say what a loss is, what it costs on an image without a lesion, and where it is from."""
    from breastseg.workflows import losses as workflow

    loss = workflow.find_loss(name)
    _print(dict((workflow.describe if as_json else workflow.lines)(loss)), as_json=as_json)


@phantom_app.command("ultrasound")
def phantom_ultrasound(
    output: Annotated[Path, typer.Option(help="A new folder.")],
    num_cases: Annotated[int, typer.Option(min=1, help="How many images.")] = 120,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same images.")] = 0,
) -> None:
    """Make breast ultrasound phantoms in the layout of BUSI, with their masks.

    They are for trying and testing: a score on phantoms says nothing about patients.
    """
    from breastseg.workflows.phantom import make_ultrasound_phantoms

    typer.echo(make_ultrasound_phantoms(output, num_cases=num_cases, seed=seed))


def _print(values: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(values, indent=2))
        return
    width = max(len(key) for key in values)
    for key, value in values.items():
        typer.echo(f"{key.replace('_', ' '):{width}}  {value}")


def _hint(text: str) -> None:
    typer.echo(text, err=True)


def _interrupt(number: int, frame: object) -> None:
    raise KeyboardInterrupt


def main() -> None:
    """Run the command line; docs/reference/cli.md has the exit codes."""
    signal.signal(signal.SIGTERM, _interrupt)
    app()
