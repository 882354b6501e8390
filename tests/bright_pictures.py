"""A stand-in for a trained network of pictures: it marks what is brighter than their mean."""

import numpy as np
from PIL import Image as Pillow

from breastseg.core.network_recipe import UNetSpec
from breastseg.core.recipe import Preprocessing, Recipe
from breastseg.datasets.splits import DataSplit
from breastseg.networks.spec import weight_table
from breastseg.training.checkpoint import create_run

RECIPE = Recipe(
    name="bright",
    network=UNetSpec(channels=(1, 1), convolutions=1),
    preprocessing=Preprocessing(size=64),
)


TELLING_RECIPE = RECIPE.with_settings(['network.classes=["benign","malignant"]'])


def bright_finder(brightness=1.0, recipe=RECIPE):
    """Weights by hand: logit = 10 (pixel - brightness), in standard deviations of the image.

    Where classes are told, bright pixels speak for the last of them.
    """
    weights = {
        weight.name: np.zeros(weight.shape, np.float32) for weight in weight_table(recipe.network)
    }
    if recipe.network.classes:
        weights["encoder.1.block.0.convolution.weight"][0, 0, 1, 1] = 1
        weights["classes.weight"][-1] = 3
        weights["classes.bias"][-1] = -1
    weights["encoder.0.block.0.convolution.weight"][0, 0, 1, 1] = 1
    weights["decoder.0.block.0.convolution.weight"][0, 0, 1, 1] = 1
    weights["head.weight"][...] = 10
    weights["head.bias"][...] = -10 * brightness
    return weights


def make_run(path, *, recipe=RECIPE, **kwargs):
    split = DataSplit(method="none", parts={}, groups={})
    run = create_run(
        path, recipe=recipe, split=split, environment={"framework": "tensorflow"}, content={}
    )
    run.save_best(bright_finder(recipe=recipe, **kwargs))
    return path


def picture(path, *, rows=40, columns=60, squares=((10, 20, 12),)):
    """A dark picture with bright squares (row, column, side)."""
    pixels = np.full((rows, columns), 20, np.uint8)
    for row, column, side in squares:
        pixels[row : row + side, column : column + side] = 220
    path.parent.mkdir(parents=True, exist_ok=True)
    Pillow.fromarray(pixels).save(path)
    return path
