"""The noun `data`: public CT that can be fetched."""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from breastseg.cli.options import AsJson, hint

data_app = typer.Typer(
    no_args_is_help=True, help="List and fetch public breast CT with tumour masks."
)


@data_app.command("list")
def data_list(as_json: AsJson = False) -> None:
    """List the public collections that can be fetched, with content and licence."""
    from breastseg.workflows.fetch import list_collections

    collections = list_collections()
    if as_json:
        return typer.echo(json.dumps(collections, indent=2))
    for each in collections:
        typer.echo(f"{each['name']}: {each['title']}\n    {each['content']}\n    {each['licence']}")


@data_app.command("fetch")
def data_fetch(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A collection of `data list`.")],
    output: Annotated[Path, typer.Option(help="The folder that becomes the data set.")],
    limit: Annotated[
        int | None,
        typer.Option(help="The most CT series to fetch.", show_default="all"),
    ] = None,
    yes: Annotated[
        bool, typer.Option("--yes", "-y", help="Do not ask before downloading.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Fetch CT series and the masks that refer to them from the Imaging Data Commons.

    Says how much it is and asks before the download. Licences and citations are written beside
    the files, into SOURCES.md. The same command goes on where a download was interrupted.

        breastseg data fetch eay131-breast --output eay131 --limit 5
    """
    from breastseg.workflows.fetch import SOURCES, prepare_fetch
    from breastseg.workflows.progress import WorkBar, log_to_terminal

    log_to_terminal()
    planned = prepare_fetch(name, output, limit=limit)
    document = planned.to_document()
    hint(
        f"{document['cases']} CT series of {document['patients']} patients with their masks, "
        f"{document['size_mb']:,.0f} MB, of which {document['missing_mb']:,.0f} MB are to be "
        f"downloaded into {output}. Licences: {', '.join(document['licences'])}."
    )
    for note in document["notes"]:
        hint(note)
    if document["missing_mb"] and not yes:
        _ask()
    with WorkBar() as bar:
        document["downloaded_series"] = planned.run(bar)
    if as_json:
        typer.echo(json.dumps(document, indent=2))
    hint(f"Licences and citations: {output / SOURCES}. Look at it: breastseg inspect {output}")


def _ask() -> None:
    if not sys.stdin.isatty():
        hint("Nobody can be asked here: add --yes to download.")
        raise typer.Exit(2)
    if not typer.confirm("Download?", err=True):
        hint("Nothing was downloaded.")
        raise typer.Exit(0)
