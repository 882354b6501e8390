"""The nouns that are listed, shown and made: recipes, losses, phantoms."""

import json
from pathlib import Path
from typing import Annotated

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
