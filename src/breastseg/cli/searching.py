"""The verb that searches recipes, and the spaces that it searches in."""

import json
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from breastseg.cli.options import (
    AsJson,
    DeviceName,
    FrameworkName,
    Settings,
    Threads,
    hint,
    show_values,
)
from breastseg.core.errors import InputError

if TYPE_CHECKING:
    from breastseg.core.recipe import Recipe
    from breastseg.core.search_space import SearchSpace
    from breastseg.workflows.search import SearchResult
    from breastseg.workflows.search_plan import Repeats

spaces_app = typer.Typer(no_args_is_help=True, help="List and show the spaces to search in.")


class StrategyName(StrEnum):
    """How trials are chosen."""

    GRID = "grid"
    RANDOM = "random"
    TPE = "tpe"


class PrunerChoice(StrEnum):
    """How hopeless trials are given up."""

    NONE = "none"
    MEDIAN = "median"
    HYPERBAND = "hyperband"


class Keep(StrEnum):
    """Whose weights are kept."""

    BEST = "best"
    ALL = "all"


def search(
    data: Annotated[
        Path | None,
        typer.Argument(
            metavar="DATA",
            help="A folder of scans and masks, or a JSON file that names several.",
            show_default=False,
        ),
    ] = None,
    space: Annotated[
        str | None,
        typer.Option(
            metavar="NAME|FILE",
            help="What is varied: a shipped space (`breastseg spaces list`), or YAML or JSON.",
            show_default=False,
        ),
    ] = None,
    strategy: Annotated[
        StrategyName | None,
        typer.Option(
            help="Every combination, random ones, or ones chosen by what was found so far.",
            show_default="grid up to 50 combinations, else tpe",
        ),
    ] = None,
    trials: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="In all, earlier calls and other processes included.",
            show_default="the grid; without end with --budget; else 20",
        ),
    ] = None,
    budget: Annotated[
        str | None,
        typer.Option(
            metavar="30m|2h", help="Begin no trial later; one in training waits for the next call."
        ),
    ] = None,
    jobs: Annotated[int, typer.Option(min=1, help="Processes that share --threads.")] = 1,
    seeds: Annotated[
        int | None, typer.Option(min=1, help="Train each trial with so many seeds.")
    ] = None,
    folds: Annotated[
        int | None,
        typer.Option(min=2, help="Train each trial on so many folds that leave test unseen."),
    ] = None,
    pruner: Annotated[
        PrunerChoice | None,
        typer.Option(
            help="Give up trials that are behind the others.",
            show_default="none for a grid, else median",
        ),
    ] = None,
    recipe: Annotated[
        str | None,
        typer.Option(
            metavar="NAME|FILE", help="What is not varied.", show_default="the space's base"
        ),
    ] = None,
    settings: Settings = None,
    framework: Annotated[FrameworkName, typer.Option(help="Where to train.")] = (
        FrameworkName.PYTORCH
    ),
    output: Annotated[
        Path | None,
        typer.Option(
            help="The search folder.", show_default="searches/<space>-<framework>-<fingerprint>"
        ),
    ] = None,
    storage: Annotated[
        str | None,
        typer.Option(
            metavar="URL|FILE",
            help="Share the trials by an Optuna storage URL or a journal file.",
            show_default="journal.log in the search folder",
        ),
    ] = None,
    adopt: Annotated[
        bool, typer.Option("--adopt", help="Go on with trials that other machines left.")
    ] = False,
    keep: Annotated[
        Keep, typer.Option(help="Keep the weights of the best trial alone, or of all.")
    ] = Keep.BEST,
    seed: Annotated[int, typer.Option(min=0, help="Of the order and choice of trials.")] = 0,
    report: Annotated[
        Path | None,
        typer.Option(
            metavar="SEARCH",
            help="Train nothing: write the results of a search folder anew, as if it were over.",
        ),
    ] = None,
    device: Annotated[
        DeviceName, typer.Option(help="auto takes CUDA where there is.")
    ] = DeviceName.AUTO,
    threads: Threads = None,
    as_json: AsJson = False,
) -> None:
    """Train many recipes, rank them, and say what the winner is worth on images it never saw.

    Repeat the command after an interruption: it goes on where it stopped. Give it twice at once,
    also on several machines that share the folder, and both work on one search. The winner's
    recipe is `best.recipe.json`, ready for `train`; it alone is scored on the test part.

        breastseg search DATA --space losses --seeds 3
        breastseg search DATA --space mine.yaml --strategy tpe --budget 2h --jobs 2
        breastseg search --report searches/mine-pytorch-0123456789ab
    """
    from breastseg.workflows import search as workflow
    from breastseg.workflows.progress import WorkBar, log_to_terminal
    from breastseg.workflows.search_bar import SearchBar
    from breastseg.workflows.search_plan import parse_budget, plan_search
    from breastseg.workflows.train import Hardware

    log_to_terminal(verbose=True, of=workflow.LOGGER)
    hardware = Hardware(device=device.value, threads=threads)
    if report is not None:
        with WorkBar() as bar:
            return _show(
                workflow.report(report, storage=storage, hardware=hardware, reading=bar),
                as_json=as_json,
            )
    if data is None or space is None:
        raise InputError(
            "search needs DATA, a folder of scans and masks, and --space, such as losses "
            "(`breastseg spaces list`); or --report SEARCH."
        )
    chosen, base = _space_and_base(space, recipe, settings)
    plan = plan_search(
        data,
        chosen,
        base,
        framework=framework.value,
        strategy=strategy.value if strategy else None,
        pruner=pruner.value if pruner else None,
        repeats=_repeats(seeds, folds),
        seed=seed,
    )
    with SearchBar() as watch, WorkBar() as reading:
        result = workflow.search(
            plan,
            output=output,
            trials=trials,
            budget_seconds=parse_budget(budget) if budget else None,
            jobs=jobs,
            storage=storage,
            keep=keep.value,
            adopt=adopt,
            hardware=hardware,
            watch=watch,
            reading=reading,
        )
    _show(result, as_json=as_json)


def _space_and_base(
    space: str, recipe: str | None, settings: list[str] | None
) -> tuple["SearchSpace", "Recipe"]:
    from breastseg.core.recipes import resolve_recipe
    from breastseg.core.search_spaces import resolve_space

    chosen = resolve_space(space)
    return chosen, resolve_recipe(recipe or chosen.base).with_settings(settings or [])


def _repeats(seeds: int | None, folds: int | None) -> "Repeats":
    from breastseg.workflows.search_plan import Repeats

    if seeds and folds:
        raise InputError("--seeds and --folds both repeat each trial: give one of them.")
    return Repeats(kind="folds", count=folds) if folds else Repeats(count=seeds or 1)


def _show(result: "SearchResult", *, as_json: bool) -> None:
    """Print the ranking and the selection gap, and say where to look."""
    from breastseg.report.terminal import print_search

    if as_json:
        typer.echo(json.dumps(result.document, indent=2))
    else:
        print_search(result.document)
    hint(f"Look at {result.output / 'search.html'}")
    if result.best_recipe_path is not None:
        hint(f"Train the winner with: breastseg train DATA --recipe {result.best_recipe_path}")
    if result.num_failed:
        raise typer.Exit(1)


@spaces_app.command("list")
def spaces_list(as_json: AsJson = False) -> None:
    """List the spaces that ship, with what each varies."""
    from breastseg.core.search_spaces import SPACES

    lines = {name: space().description for name, space in SPACES.items()}
    show_values(lines, as_json=as_json)


@spaces_app.command("show")
def spaces_show(
    space: Annotated[str, typer.Argument(metavar="NAME|FILE", help="A space.")],
) -> None:
    """Print a space as JSON, a file to begin your own for --space with."""
    from breastseg.core.search_spaces import resolve_space

    typer.echo(resolve_space(space).model_dump_json(indent=2))
