"""Whoever has a scan and no training set: one command, and one line of Python."""

import json

import numpy as np
import pytest

import breastseg as package
from breastseg.io.raster import read_luminance
from breastseg.training.shipped import DEFAULT_MODEL, resolve_model
from breastseg.workflows.phantom import make_ultrasound_phantoms
from breastseg.workflows.slim_model import card_of


@pytest.fixture(scope="module")
def scans(tmp_path_factory):
    """Return six phantoms, as a colleague would send them: without masks."""
    made = make_ultrasound_phantoms(tmp_path_factory.mktemp("made") / "a", num_cases=6, seed=3)
    return sorted(path for path in made.rglob("*.png") if "_mask" not in path.name)


def test_predict_needs_no_more_than_a_scan(breastseg, scans, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    answer = breastseg("predict", scans[0])
    assert answer.code == 0
    index = json.loads((tmp_path / "results" / "predictions.json").read_text())
    assert len(index["cases"]) == 1
    assert (tmp_path / "results" / "report.html").is_file()


def test_load_needs_no_name_and_tells_the_classes(scans):
    model = package.load(threads=1)
    assert not model.of_volumes
    assert model.fingerprint == card_of(resolve_model(DEFAULT_MODEL))["fingerprint"]
    for path, prediction in zip(scans, model.predict_many(scans), strict=True):
        assert prediction.probability.shape == read_luminance(path).shape
        assert set(prediction.classes) == {"normal", "benign", "malignant"}
        assert sum(prediction.classes.values()) == pytest.approx(1, abs=1e-5)
        assert np.array_equal(prediction.mask, prediction.labels > 0)


def test_its_card_says_data_licences_scores_failures_and_use():
    folder = resolve_model(DEFAULT_MODEL)
    page = (folder / "card.md").read_text()
    for part in ("not a medical device", "Intended use", "BUSI", "BUS-BRA", "licence", "failures"):
        assert part in page
    scores = card_of(folder)["scores"]
    assert {"busi", "bus-bra"} <= scores[0]["by_source"].keys()
    assert all(each["dice"]["low"] < each["dice"]["value"] for each in scores)
