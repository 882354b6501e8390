"""The verb that chooses a recipe for a data set."""

import json
import re
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from breastseg.cli.options import AsJson, Data, hint
from breastseg.core.errors import InputError

if TYPE_CHECKING:
    from breastseg.networks.planning import Plan


class DimensionsName(StrEnum):
    """What a network for volumes sees at a time."""

    TWO = "2"
    TWO_AND_A_HALF = "2.5"
    THREE = "3"


class HardwareName(StrEnum):
    """What a training shall run on."""

    CPU = "cpu"
    GPU = "gpu"


def plan(
    data: Data,
    dimensions: Annotated[
        DimensionsName | None,
        typer.Option(
            help="Of volumes: 3 for patches, 2.5 for a slice with its neighbours, 2 for a slice.",
            show_default="3; of pictures 2",
        ),
    ] = None,
    memory: Annotated[
        str | None,
        typer.Option(
            metavar="SIZE",
            help="What a training may use, such as 8GB; with --for gpu, of the GPU.",
            show_default="half of this machine's, or 8GB of a GPU",
        ),
    ] = None,
    hardware: Annotated[
        HardwareName, typer.Option("--for", help="cpu plans for two cores: a narrow network.")
    ] = HardwareName.CPU,
    output: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write the recipe there.", show_default="none"),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Choose spacing, window, patch, network and batch for a data set, and say why.

    Every image is read once: spacings, sizes, values, lesions, and in CT the breasts. The rules
    follow nnU-Net; what was measured is kept in the cache, so that another plan of the same data
    takes a moment. Change what you know better with `--set` when you train.

        breastseg plan DATA
        breastseg plan studies --dimensions 2.5 --memory 4GB
        breastseg plan DATA --for gpu --memory 24GB --output recipe.json
        breastseg train DATA --recipe recipe.json
    """
    from breastseg.networks.planning import Budget
    from breastseg.report.plans import print_plan
    from breastseg.workflows import plan as workflow
    from breastseg.workflows.progress import WorkBar, log_to_terminal

    log_to_terminal()
    on_gpu = hardware is HardwareName.GPU
    usual = 8.0 if on_gpu else workflow.machine_gb()
    budget = Budget(
        memory_gb=usual if memory is None else _gigabytes(memory),
        hardware="gpu" if on_gpu else "cpu",
    )
    with WorkBar() as bar:
        made = workflow.plan(
            data,
            dimensions=None if dimensions is None else dimensions.value,
            budget=budget,
            output=output,
            reading=bar,
        )
    if as_json:
        typer.echo(json.dumps(made.to_document(), indent=2))
    else:
        print_plan(made)
    _tell_next(made, data, output)


def _tell_next(made: "Plan", data: Path, output: Path | None) -> None:
    if output is None:
        hint("Add --output recipe.json to train with it.")
    else:
        hint(f"Train with it: breastseg train {data} --recipe {output}")


def _gigabytes(text: str) -> float:
    """Read a size such as 8GB, 8 or 512MB.

    Raises:
        InputError: it is none.
    """
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(gb|gib|g|mb|mib|m)?\s*", text.lower())
    if match is None:
        raise InputError(f"--memory {text}: expected a size such as 8GB or 512MB.")
    return float(match[1]) / (1000 if (match[2] or "g").startswith("m") else 1)
