"""A stand-in for a trained CT network: it marks what is brighter than a number of HU."""

from pathlib import Path

import numpy as np

from breastseg.core.network_recipe import UNetSpec
from breastseg.core.recipe import Recipe
from breastseg.core.volume_recipe import VolumePreprocessing
from breastseg.datasets.splits import DataSplit
from breastseg.networks.spec import weight_table
from breastseg.training.checkpoint import Run, create_run

SMALL = UNetSpec(channels=(2, 2), convolutions=1, dimensions=3)


def bright_recipe(network: UNetSpec = SMALL, **volume: object) -> Recipe:
    """Return a recipe for volumes."""
    settings = {"spacing_mm": (4.0, 4.0, 4.0), "patch": (16, 32, 32), "region": "scan"}
    prepared = VolumePreprocessing.model_validate({**settings, **volume})
    return Recipe(name="bright-ct", network=network, volume=prepared)


def bright_weights(recipe: Recipe, above_hu: float, steepness: float = 10.0):
    """Return weights whose logit is 0 at that brightness, and grows beyond it."""
    assert recipe.volume is not None
    weights = {each.name: np.zeros(each.shape, np.float32) for each in weight_table(recipe.network)}
    middle = recipe.network.input_channels // 2
    offset = 10.0  # keeps the brightness above 0, where a ReLU lets it through
    level = (above_hu - recipe.volume.mean_hu) / recipe.volume.sd_hu
    for name, values in weights.items():
        if not name.endswith("convolution.weight") or not name.startswith(
            ("encoder.0", "decoder.0")
        ):
            continue
        centre = tuple(side // 2 for side in values.shape[2:])
        if name == "encoder.0.block.0.convolution.weight":
            values[(0, middle, *centre)] = 1
            weights[name.replace("weight", "bias")][0] = offset
        else:
            # What comes from below is 0, whichever half of the channels it is.
            values[(0, slice(0, None, recipe.network.channels[0]), *centre)] = 1
    weights["head.weight"][(0, 0, *([0] * recipe.network.dimensions))] = steepness
    weights["head.bias"][0] = -steepness * (offset + level)
    return weights


def write_bright_run(path: Path, recipe: Recipe, above_hu: float) -> Run:
    """Write a run folder that predicts."""
    split = DataSplit(method="none", parts={}, groups={})
    environment = {"framework": "pytorch", "data": "made up"}
    run = create_run(path, recipe=recipe, split=split, environment=environment, content={})
    run.save_best(bright_weights(recipe, above_hu))
    run.seal(["weights.safetensors"])
    return run
