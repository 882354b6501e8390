"""How far a run carries: from the command line, and what becomes of a guarantee on the way."""

import json
import shutil

import numpy as np
import pytest
from scipy import ndimage

from breastseg.core.calibration import apply_temperature
from breastseg.datasets import phantom_ultrasound
from breastseg.datasets.phantom_ultrasound import make_phantom
from breastseg.evaluation.calibrate import CalibrationImage, calibrate
from breastseg.evaluation.trust import Trust


@pytest.fixture
def on(breastseg, runs, tmp_path):
    """Return a function that scores a run on several data sets and returns shift.json."""

    def score(*data, code=0):
        options = [option for root in data for option in ("--on", root)]
        answer = breastseg(
            *("evaluate", runs["pytorch"], *options, "--threads", 1),
            *("--output", tmp_path / "shift", "--json"),
        )
        assert answer.code == code, answer.told
        return json.loads(answer.out) if code == 0 else answer.err

    return score


def test_the_own_data_is_the_reference_wherever_it_is_named(on, phantom_data, other_data, tmp_path):
    shift = on(other_data, phantom_data)
    folder = tmp_path / "shift"
    assert shift == json.loads((folder / "shift.json").read_text())
    assert [each["name"] for each in shift["sets"]] == ["data", "elsewhere"]
    assert [each["is_reference"] for each in shift["sets"]] == [True, False]
    assert [each["is_own_data"] for each in shift["sets"]] == [True, False]
    own, other = (
        json.loads((folder / name / "scorecard.json").read_text()) for name in ("data", "elsewhere")
    )
    means = [card["table"][0]["summary"]["dice"]["value"] for card in (own, other)]
    assert shift["sets"][0]["drop"] is None
    assert shift["sets"][1]["drop"]["value"] == pytest.approx(means[0] - means[1])
    (comparison,) = shift["comparisons"]
    assert (comparison["first"], comparison["second"]) == ("data", "elsewhere")
    for result in (*comparison["factors"], comparison["together"]):
        if result["parts"] and result["parts"]["composition"]["value"] is not None:
            parts = [result["parts"][key]["value"] for key in ("composition", "rates", "outside")]
            assert sum(parts) == pytest.approx(means[0] - means[1])
    scanner = comparison["factors"][-1]
    assert (scanner["key"], scanner["parts"]) == ("scanner", None)
    page = (folder / "shift.html").read_text()
    assert 'href="elsewhere/scorecard.html"' in page
    assert (folder / "breastseg.log").read_text().count("mean Dice") == 6


def test_without_the_own_data_the_first_is_the_reference(breastseg, runs, other_data, tmp_path):
    second, folder = tmp_path / "again" / "elsewhere", tmp_path / "shift"
    shutil.copytree(other_data, second)
    answer = breastseg(
        *("evaluate", runs["pytorch"], "--on", other_data, "--on", second),
        *("--threads", 1, "--output", folder),
    )
    assert answer.code == 0, answer.told
    shift = json.loads((folder / "shift.json").read_text())
    assert [each["name"] for each in shift["sets"]] == ["elsewhere", "elsewhere-2"]
    assert "named first" in shift["details"]["Reference"]
    assert shift["sets"][1]["drop"]["value"] == 0
    assert "elsewhere and elsewhere-2 share 8 scored images" in shift["warnings"][0]
    for word in ("elsewhere-2", "Drop in Dice", "Brightness", "Scanner", "together", "share 8"):
        assert word in answer.out
    assert "shift.html" in answer.err


def test_what_does_not_go_together_is_refused(on, breastseg, runs, phantom_data, other_data):
    assert "two different data sets" in on(phantom_data, code=2)
    assert "two different data sets" in on(phantom_data, phantom_data, code=2)
    run = runs["pytorch"]
    for options, message in (
        ((), "evaluate needs DATA, or --on A --on B"),
        ((phantom_data, "--on", other_data), "takes the place of DATA"),
        (("--on", phantom_data, "--on", other_data, "--against", run), "leave one out"),
    ):
        answer = breastseg("evaluate", run, *options)
        assert answer.code == 2
        assert message in answer.err


# --- a guarantee, on the scanner that it was made for and on another ---------------------------

SIZE = (48, 64)


def dark_and_central(pixels):
    """A segmenter that anyone can check: lesions are dark and lie at middle depth."""
    smooth = ndimage.gaussian_filter(pixels.astype(np.float32), 2)
    depth = np.linspace(0, 1, len(pixels))[:, None]
    return ((30 - smooth) / 10 + 1 - 12 * np.abs(depth - 0.45)).astype(np.float32)[None]


def scans(seed):
    for index in range(60):
        phantom = make_phantom(seed, index, size=SIZE)
        drawn = np.zeros((1, *phantom.pixels.shape), np.int32)
        for mask in phantom.lesion_masks:
            drawn[0][mask] = 1
        yield index, dark_and_central(phantom.pixels), drawn


def checked(calibration):
    """Return the coverage of both guarantees on new phantoms."""
    trust = Trust(calibration)
    for index, logits, drawn in scans(seed=2):
        calibrated = apply_temperature(logits, calibration.temperature)
        trust.add(
            f"{index}",
            index,
            calibrated=calibrated,
            raw=apply_temperature(logits, 1.0),
            reference=drawn,
            candidates=(),
        )
    found = trust.guarantees()["found"]
    return found["outer"], found["inner"]


def test_guarantees_hold_on_new_phantoms_and_fail_on_another_gain(monkeypatch):
    calibration = calibrate(
        lambda: (
            CalibrationImage(logits=logits, reference=drawn > 0, group=index)
            for index, logits, drawn in scans(seed=1)
        )
    )
    for found in checked(calibration):
        assert found["expected"]["low"] <= found["share"] <= found["expected"]["high"]
    # 6 dB brighter: lesions are no longer dark, and are missed.
    monkeypatch.setattr(phantom_ultrasound, "_WHITE_DB", 4.0)
    outer, inner = checked(calibration)
    assert outer["share"] < outer["expected"]["low"]
    assert outer["luck"] < 0.001
    assert inner["share"] >= inner["expected"]["low"]
    # 6 dB darker: what is no lesion is dark, too.
    monkeypatch.setattr(phantom_ultrasound, "_WHITE_DB", 16.0)
    outer, inner = checked(calibration)
    assert outer["share"] == 1
    assert inner["share"] < inner["expected"]["low"]
    assert inner["luck"] < 0.001
