"""The nouns that are listed, shown and made: recipes, losses, phantoms."""

import json
from pathlib import Path
from typing import Annotated, Literal

import typer

from breastseg.cli.options import AsJson, Settings, show_values

recipes_app = typer.Typer(no_args_is_help=True, help="List and show the recipes that ship.")
models_app = typer.Typer(no_args_is_help=True, help="List and show the models that ship.")
losses_app = typer.Typer(no_args_is_help=True, help="List and show the losses to train with.")
phantom_app = typer.Typer(no_args_is_help=True, help="Make phantom scans with known lesions.")


@recipes_app.command("list")
def recipes_list(as_json: AsJson = False) -> None:
    """List the recipes that ship, with what each is for."""
    from breastseg.core.recipes import RECIPES

    lines = {name: (recipe.__doc__ or "").partition("\n")[0] for name, recipe in RECIPES.items()}
    show_values(lines, as_json=as_json)


@recipes_app.command("show")
def recipes_show(
    recipe: Annotated[str, typer.Argument(metavar="NAME|FILE", help="A recipe.")],
    settings: Settings = None,
) -> None:
    """Print a recipe as JSON: every field that --set can change, and a file for --recipe."""
    from breastseg.core.recipes import resolve_recipe

    typer.echo(resolve_recipe(recipe).with_settings(settings or []).to_json(), nl=False)


@models_app.command("list")
def models_list(as_json: AsJson = False) -> None:
    """List the models that ship, with what each takes and what must be known of it."""
    from breastseg.training.shipped import resolve_model, shipped_models
    from breastseg.workflows.slim_model import card_of

    cards = {name: card_of(resolve_model(name)) for name in shipped_models()}
    if as_json:
        return typer.echo(json.dumps(cards, indent=2))
    for name, card in cards.items():
        said = (card[field] for field in ("takes", "description", "notice"))
        typer.echo(f"{name}: {'. '.join(each.rstrip('.') for each in said if each)}.")
    if not cards:
        typer.echo("No model ships with this installation: train one, or give a run folder.")


@models_app.command("show")
def models_show(
    name: Annotated[str, typer.Argument(metavar="NAME|RUN", help="A model, or a run folder.")],
    as_json: AsJson = False,
) -> None:
    """Print the card of a model: what made it, how good it was, what must be known of it."""
    from breastseg.training.shipped import resolve_model
    from breastseg.workflows.model_card import card_lines
    from breastseg.workflows.slim_model import card_of

    card = card_of(resolve_model(name))
    show_values(card if as_json else card_lines(card), as_json=as_json)


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
    output: Annotated[Path, typer.Option(help="A new folder, or one to go on with.")],
    num_cases: Annotated[int, typer.Option(min=1, help="How many scans.")] = 12,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same files.")] = 0,
    kind: Annotated[
        Literal["dicom", "nifti"],
        typer.Option("--format", help="DICOM series with SEG, or NIfTI as nnU-Net raw."),
    ] = "dicom",
    shape: Annotated[
        tuple[int, int, int] | None,
        typer.Option(min=4, help="Slices, rows and columns.", show_default="96 256 256"),
    ] = None,
    pose: Annotated[
        Literal["supine", "prone"] | None,
        typer.Option(help="How she lies.", show_default="every fourth prone"),
    ] = None,
    density: Annotated[
        Literal["a", "b", "c", "d"] | None,
        typer.Option(help="Density class.", show_default="by its share among women"),
    ] = None,
    num_lesions: Annotated[
        int | None,
        typer.Option(min=0, max=9, help="Lesions of each.", show_default="0 to 3"),
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Processes.", show_default="all cores")
    ] = None,
    into: Annotated[
        Path | None,
        typer.Option(help="A lesion-free CT (series or NIfTI) to put lesions into instead."),
    ] = None,
    breasts: Annotated[
        Path | None,
        typer.Option(
            help="With --into: NIfTI mask on its grid, 1 right and 2 left breast.",
            show_default="found in the scan",
        ),
    ] = None,
    contrast: Annotated[
        bool, typer.Option("--contrast", help="With --into: the CT was made with contrast.")
    ] = False,
) -> None:
    """Make chest CT phantoms with breasts and lesions, and the whole truth in truth/.

    A scan takes about 8 s of one core. The same command goes on where it was stopped. With
    --into, lesions are put into the breasts of a real scan instead. A score on simulated
    lesions says nothing about patients.
    """
    from breastseg.core.errors import InputError
    from breastseg.datasets.phantom_ct.phantom import DEFAULT_SHAPE, PhantomSettings
    from breastseg.io.worker_processes import num_cpus
    from breastseg.workflows import phantom, phantom_insertion
    from breastseg.workflows.progress import WorkBar

    if into is None and (breasts is not None or contrast):
        raise InputError("--breasts and --contrast say something of a scan: give it with --into.")
    if into is not None and any(each is not None for each in (shape, pose, density, num_lesions)):
        raise InputError(
            "--shape, --pose, --density and --num-lesions are of phantoms: leave them out with "
            "--into."
        )
    with WorkBar() as bar:
        if into is None:
            settings = PhantomSettings(
                shape=shape or DEFAULT_SHAPE, pose=pose, density=density, num_lesions=num_lesions
            )
            done = phantom.make_ct_phantoms(
                output,
                num_cases=num_cases,
                seed=seed,
                kind=kind,
                settings=settings,
                workers=workers or num_cpus(),
                progress=bar,
            )
        else:
            done = phantom_insertion.insert_ct_lesions(
                into,
                output,
                breasts=breasts,
                num_cases=num_cases,
                seed=seed,
                kind=kind,
                phase="venous" if contrast else "unenhanced",
                progress=bar,
            )
    typer.echo(done)
