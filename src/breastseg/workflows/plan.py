"""breastseg plan: a recipe from what is measured of a data set."""

import json
import os
from pathlib import Path

from breastseg.core.errors import InputError
from breastseg.datasets.checked import find_training_data
from breastseg.io.atomic import write_text
from breastseg.networks.planning import GIGABYTE, Budget, Dimensions, Plan
from breastseg.networks.planning_pictures import plan_pictures
from breastseg.networks.planning_volumes import plan_volumes
from breastseg.pipeline.fingerprint import measure
from breastseg.workflows.progress import Reading, silent_reading

_SHARE_OF_MACHINE = 0.5
_UNKNOWN_GB = 4.0


def plan(
    data: Path,
    *,
    dimensions: Dimensions | None = None,
    budget: Budget | None = None,
    output: Path | None = None,
    reading: Reading | None = None,
) -> Plan:
    """Measure a data set, and choose spacing, patch, network and batch for it.

    Args:
        data: a folder of a known layout; of pictures or CT volumes.
        dimensions: of the network; 3 for volumes and 2 for pictures where None.
        budget: what a training may use; half the memory of this machine, without a GPU, where
            None.
        output: where recipe.json goes; None writes nothing.
        reading: told of the progress.

    Raises:
        InputError: the data cannot be trained on, or not so, or there is too little memory.
        OutputError: the recipe cannot be written.
    """
    data_set = find_training_data(data, volumes=None)
    if not data_set.holds_volumes and dimensions not in (None, "2"):
        raise InputError(f"--dimensions {dimensions}: {data} holds pictures, which have two.")
    budget = budget or Budget(memory_gb=machine_gb())
    fingerprint = measure(data_set, reading or silent_reading)
    if data_set.holds_volumes:
        made = plan_volumes(fingerprint, dimensions or "3", budget)
    else:
        made = plan_pictures(fingerprint, budget)
    if output is not None:
        document = made.recipe.model_dump(mode="json")
        write_text(output, json.dumps(document, indent=2) + "\n")
    return made


def machine_gb() -> float:
    """Return half of the memory of this machine, in GB; 4 where it does not tell."""
    try:
        total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return _UNKNOWN_GB
    return round(total * _SHARE_OF_MACHINE / GIGABYTE, 1)
