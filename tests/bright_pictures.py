"""A stand-in for a trained network of pictures: it marks what is brighter than their mean."""

import numpy as np
from PIL import Image as Pillow

from breastseg.core.calibration import Calibration
from breastseg.core.network_recipe import UNetSpec
from breastseg.core.recipe import Preprocessing, Recipe
from breastseg.datasets.checked import content_of
from breastseg.datasets.layouts import find_data_set
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


def write_busi(root):
    """A data set of eight pictures whose lesion is a bright square, and two without one."""
    for number in range(8):
        row, column, side = square = (5 + number, 20 + number, 12)
        path = picture(root / f"benign/benign ({number}).png", squares=(square,))
        mask = np.zeros((40, 60), np.uint8)
        mask[row : row + side, column : column + side] = 255
        Pillow.fromarray(mask).save(path.with_name(f"benign ({number})_mask.png"))
    for number in range(2):
        picture(root / f"normal/normal ({number}).png", rows=40 + number, squares=())
    return root


def make_run_on(data, path):
    """A run on write_busi: five pictures in train, in validation three with and one without."""
    found = find_data_set(data)
    ids = [case.case_id for case in found.cases]
    parts = {
        "train": tuple(ids[:5]),
        "validation": (*ids[5:8], ids[9]),
        "calibration": (),
        "test": (ids[8],),
    }
    run = create_run(
        path,
        recipe=RECIPE,
        split=DataSplit(method="none", parts=parts, groups={each: each for each in ids}),
        environment={"framework": "pytorch", "data": str(data), "device": "cpu"},
        content=content_of(found.cases),
    )
    run.save_best(bright_finder())
    run.save_calibration(Calibration(temperature=1.5, operating_threshold=0.6))
    return path
