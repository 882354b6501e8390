import base64
import subprocess
import sys
from xml.etree import ElementTree

import numpy as np
import pytest

from breastseg.evaluation.reliability import Reliability
from breastseg.report.figures import (
    dice_histogram,
    fold_curves,
    reliability_diagram,
    training_curves,
)


def reliability(power=1.0):
    rng = np.random.default_rng(0)
    sums, probability = Reliability(10), rng.random((1, 20, 20)) ** 3 * 0.9
    sums.add(probability, rng.random(probability.shape) < probability**power, "a")
    return sums.summary()


def svg_of(uri):
    return base64.b64decode(uri.removeprefix("data:image/svg+xml;base64,"))


@pytest.mark.parametrize(
    "figure",
    [
        dice_histogram({"benign": [0.0, 0.8, 0.9], "malignant": [0.7]}, {"model": 0.6}),
        dice_histogram({"lesion": [0.5]}, {}),
        training_curves([1.0, 0.5, 0.4], [None, 0.6, 0.5]),
        training_curves([1.0], [None]),
        training_curves([], []),
        fold_curves([[0.1, 0.2], [0.3]]),
        reliability_diagram({"before": reliability(2), "after": reliability()}),
        reliability_diagram({"one": reliability()}, what="candidates"),
        reliability_diagram({}),
    ],
)
def test_each_figure_is_svg_for_light_and_for_dark_pages(figure):
    light, dark = svg_of(figure.light), svg_of(figure.dark)
    assert ElementTree.fromstring(light).tag.endswith("svg")
    assert ElementTree.fromstring(dark).tag.endswith("svg")
    assert light != dark
    assert figure.title


def test_the_histogram_says_in_words_what_it_shows():
    figure = dice_histogram(
        {"benign": [0.0, 0.8, 0.9], "malignant": [0.7]}, {"model": 0.6, "constant": 0.25}
    )
    assert "4 images with a lesion: 1 at 0, 3 at 0.7 or more" in figure.alt
    assert "model 0.600; constant 0.250" in figure.alt


def test_the_curve_names_the_best_epoch():
    alt = training_curves([1.0, 0.5, 0.4], [None, 0.6, 0.5]).alt
    assert alt == (
        "Training over 3 epochs: loss from 1.000 to 0.400; best validation Dice 0.600 in epoch 2."
    )


def test_the_reliability_diagram_says_in_words_what_it_shows():
    before, after = reliability(2), reliability()
    alt = reliability_diagram({"before": before, "after": after}).alt
    assert alt == (
        f"Reliability of the pixels: before ECE {before.ece:.3f}, Brier score {before.brier:.3f}; "
        f"after ECE {after.ece:.3f}, Brier score {after.brier:.3f}"
    )


def test_the_same_numbers_give_the_same_bytes():
    first, second = (training_curves([1.0, 0.5], [0.1, 0.2]) for _ in range(2))
    assert first == second


def test_pages_do_not_wait_for_matplotlib_and_pyplot_is_never_imported():
    program = (
        "import sys; from breastseg.report import pages, figures; "
        "print('matplotlib' in sys.modules); figures.training_curves([1.0], [0.5]); "
        "print('matplotlib.pyplot' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["False", "False"]
