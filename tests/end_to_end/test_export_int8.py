"""`breastseg export --int8` as a user meets it."""

import json
import sys

import pytest

from breastseg.workflows import int8_model
from tests.bright_pictures import make_run_on, write_busi


@pytest.fixture
def nncf():
    pytest.importorskip("nncf", reason="NNCF is not installed: pip install 'breastseg[int8]'")


@pytest.fixture
def data(tmp_path):
    return write_busi(tmp_path / "BUSI")


@pytest.fixture
def run(data, tmp_path):
    return make_run_on(data, tmp_path / "run")


def test_a_model_in_8_bits_is_made_shown_and_predicts(nncf, breastseg, run, data, tmp_path):
    fast = tmp_path / "fast"
    answer = breastseg("export", run, "--int8", "--output", fast, "--threads", 1, "--json")
    assert answer.code == 0
    document = json.loads(answer.out)
    assert document["validation"]["num_lesion_images"] == 3
    assert "float weights" not in answer.out
    shown = breastseg("info", fast)
    assert "mean of the 3 validation images with a lesion" in shown.out
    assert json.loads(breastseg("info", fast, "--json").out)["int8"]["num_images"] == 5
    predicted = breastseg("predict", data, "--model", fast, "--output", tmp_path / "out")
    assert "10 images, 8 lesions, 0 failed" in predicted.out
    refused = breastseg(
        *("predict", data, "--model", fast, "--output", tmp_path / "no"),
        *("--precision", "bfloat16"),
    )
    assert (refused.code, "without weights for precision bfloat16" in refused.err) == (2, True)


def test_one_that_finds_less_ends_with_3_and_both_figures(
    nncf, breastseg, run, tmp_path, monkeypatch
):
    monkeypatch.setattr(int8_model, "MAX_FALL", -1.0)
    answer = breastseg("export", run, "--int8", "--output", tmp_path / "fast", "--threads", 1)
    assert answer.code == 3
    assert "of the 3 validation images with a lesion falls from 0." in answer.err
    assert "--precision bfloat16" in answer.err
    assert not (tmp_path / "fast").exists()


def test_without_nncf_it_says_what_to_install(breastseg, run, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "nncf", None)
    answer = breastseg("export", run, "--int8", "--output", tmp_path / "fast")
    assert (answer.code, "pip install 'breastseg[int8]'" in answer.err) == (2, True)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--int8", "--format", "onnx"], "leave --format onnx"),
        (["--int8", "--half"], "leave --format onnx, --half"),
        (["--int8", "--overwrite"], "--overwrite away"),
        (["--threads", "1"], "--data and --threads belong to --int8"),
        (["--int8", "--about", "about.md"], "--about and --scorecard are of the float network"),
        (["--scorecard", "scorecard"], "add --format model"),
        (["--format", "model", "--overwrite"], "--overwrite is for a file"),
    ],
)
def test_options_that_do_not_fit_are_refused(options, message, breastseg, run, tmp_path):
    answer = breastseg("export", run, "--output", tmp_path / "fast", *options)
    assert (answer.code, message in answer.err) == (2, True)
    assert not (tmp_path / "fast").exists()


def test_json_names_what_was_written(breastseg, run, tmp_path):
    answer = breastseg("export", run, "--output", tmp_path / "model.onnx", "--json")
    assert json.loads(answer.out) == {"output": str(tmp_path / "model.onnx")}


def test_info_of_a_model_that_ships_is_its_card(breastseg):
    answer = breastseg("info", "ct-demo")
    assert answer.code == 0
    assert "CT volumes" in answer.out
    assert json.loads(breastseg("info", "ct-demo", "--json").out)["name"] == "ct-demo"
