"""The command line. Each verb is a function of workflows/; nothing is computed here."""

import logging
import signal
from typing import Annotated, Any

import typer
from typer.core import TyperGroup
from typer.exceptions import TyperException

import breastseg
from breastseg.cli import (
    catalogue,
    exporting,
    inspecting,
    planning,
    public_data,
    reporting,
    scoring,
    searching,
    training,
)
from breastseg.cli.options import hint
from breastseg.core.errors import BreastsegError


class _Commands(TyperGroup):
    """The verbs; whatever ends one of them becomes one message and an exit code."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except BreastsegError as error:
            hint(f"Error: {error}")
            code = error.exit_code
        except KeyboardInterrupt:
            hint("Interrupted. What is written is whole; the same command or --resume goes on.")
            code = 130
        except (TyperException, typer.Exit, typer.Abort, BrokenPipeError):
            raise  # A closed pipe, as of `| head`, ends without a word.
        except Exception as error:
            logging.getLogger("breastseg").debug("internal error", exc_info=error)
            hint(f"Internal error: {type(error).__name__}: {error}. Please report it.")
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
for verb in (
    inspecting.inspect,
    planning.plan,
    training.train,
    scoring.evaluate,
    scoring.compare,
    searching.search,
    scoring.predict,
    training.calibrate,
    reporting.results,
    exporting.export,
    training.info,
    training.augment,
):
    app.command()(verb)
app.add_typer(catalogue.recipes_app, name="recipes")
app.add_typer(catalogue.models_app, name="models")
app.add_typer(catalogue.losses_app, name="losses")
app.add_typer(searching.spaces_app, name="spaces")
app.add_typer(catalogue.phantom_app, name="phantom")
app.add_typer(public_data.data_app, name="data")


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


def _interrupt(number: int, frame: object) -> None:
    raise KeyboardInterrupt


def main() -> None:
    """Run the command line; docs/reference/cli.md has the exit codes."""
    signal.signal(signal.SIGTERM, _interrupt)
    app()
