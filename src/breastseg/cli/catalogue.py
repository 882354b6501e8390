"""The nouns that are listed, shown and made: recipes, losses, phantoms."""

import json
from pathlib import Path
from typing import Annotated, Literal

import typer

from breastseg.cli.options import AsJson, Settings, show_values

recipes_app = typer.Typer(no_args_is_help=True, help="List and show the recipes that ship.")
losses_app = typer.Typer(no_args_is_help=True, help="List and show the losses to train with.")
phantom_app = typer.Typer(no_args_is_help=True, help="Make phantom scans with known lesions.")


@recipes_app.command("list")
def recipes_list(as_json: AsJson = False) -> None:
    """List the recipes that ship, with what each is for."""
    from breastseg.core.recipes import RECIPES

    lines = {name: (recipe.__doc__ or "").strip() for name, recipe in RECIPES.items()}
    show_values(lines, as_json=as_json)


@recipes_app.command("show")
def recipes_show(
    recipe: Annotated[str, typer.Argument(metavar="NAME|FILE", help="A recipe.")],
    settings: Settings = None,
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
    show_values(dict((workflow.describe if as_json else workflow.lines)(loss)), as_json=as_json)


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


@phantom_app.command("ct")
def phantom_ct(
    output: Annotated[Path, typer.Option(help="A new folder.")],
    num_cases: Annotated[int, typer.Option(min=1, help="How many scans.")] = 12,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same files.")] = 0,
    kind: Annotated[
        Literal["dicom", "nifti"],
        typer.Option("--format", help="DICOM series with SEG, or NIfTI as nnU-Net raw."),
    ] = "dicom",
    into: Annotated[
        Path | None,
        typer.Option(help="A lesion-free CT (series or NIfTI) to put lesions into instead."),
    ] = None,
    breasts: Annotated[
        Path | None,
        typer.Option(help="With --into: NIfTI mask on its grid, 1 right and 2 left breast."),
    ] = None,
    contrast: Annotated[
        bool, typer.Option("--contrast", help="With --into: the CT was made with contrast.")
    ] = False,
) -> None:
    """Make chest CT phantoms with breasts and lesions, and the whole truth in truth/.

    A scan takes about 8 s of one core. With --into, lesions are put into the breasts of a real
    scan instead. A score on simulated lesions says nothing about patients.
    """
    from breastseg.core.errors import InputError
    from breastseg.workflows import phantom as workflow

    def progress(done: int, total: int) -> None:
        typer.echo(f"{done} of {total} scans", err=True)

    if (into is None) != (breasts is None):
        raise InputError("--into and --breasts go together: a scan, and where its breasts are.")
    if into is None or breasts is None:
        done = workflow.make_ct_phantoms(
            output, num_cases=num_cases, seed=seed, kind=kind, progress=progress
        )
        return typer.echo(done)
    phase: Literal["venous", "unenhanced"] = "venous" if contrast else "unenhanced"
    done = workflow.insert_ct_lesions(
        into,
        breasts,
        output,
        num_cases=num_cases,
        seed=seed,
        kind=kind,
        phase=phase,
        progress=progress,
    )
    typer.echo(done)
