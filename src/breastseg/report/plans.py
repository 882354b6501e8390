"""A plan in the terminal: each choice with its reason."""

from typing import Any

import rich.box
from rich.console import Console
from rich.table import Table

from breastseg.networks.planning import GIGABYTE, Plan


def print_plan(plan: Plan) -> None:
    """Print a plan on stdout."""
    console = Console(highlight=False)
    table = Table(box=rich.box.SIMPLE_HEAD)
    table.add_column("choice", no_wrap=True)
    for heading in ("value", "why"):
        table.add_column(heading, overflow="fold")
    for each in plan.choices:
        table.add_row(each.field, _shown(each.value), each.reason)
    console.print(table)
    told = (
        f"A training step is estimated to take {plan.memory_bytes / GIGABYTE:.1f} of "
        f"{plan.budget.memory_gb:g} GB ({plan.budget.hardware}); recipe {plan.recipe.name}, "
        f"fingerprint {plan.recipe.fingerprint()}."
    )
    console.print(told, markup=False)


def _shown(value: Any) -> str:
    if isinstance(value, tuple):
        between = " to " if len(value) == 2 else " x "  # a window, or the axes of a volume
        return between.join(f"{each:g}" for each in value)
    return str(value)
