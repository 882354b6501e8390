"""From a folder of scans to a score and a report, in both frameworks."""

import csv
import json
import shutil

import numpy as np
import onnx
import pytest
from PIL import Image as Pillow

from breastseg.backends.weights import read_weights
from breastseg.core.recipes import smoke
from breastseg.datasets.layouts import find_data_set
from breastseg.training.checkpoint import open_run
from tests_end_to_end import ONE_THREAD, SMALL

RUN_FILES = {
    "recipe.json",
    "split.json",
    "groups.json",
    "environment.json",
    "metrics.jsonl",
    "weights.safetensors",
    "model.onnx",
    "checksums.json",
    "last",
}


def evaluate(breastseg, run, data, output, *options):
    answer = breastseg("evaluate", run, data, "--output", output, "--json", *options, *ONE_THREAD)
    assert answer.code == 0, answer.told
    return json.loads(answer.out)
