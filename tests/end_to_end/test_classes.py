"""The class of the whole image, from the folders of a data set to prediction and scorecard."""

import csv
import json
import shutil

import onnx
import pytest

from breastseg.training.model import load_model, open_model

CLASSES = ("normal", "benign", "malignant")


@pytest.fixture(scope="module")
def telling_run(breastseg, phantom_data, tmp_path_factory):
    """Return a run of two epochs that tells classes."""
    path = tmp_path_factory.mktemp("classes") / "run"
    answer = breastseg(
        *("train", phantom_data, "--framework", "pytorch", "--recipe", "smoke", "--threads", 1),
        *("--set", "preprocessing.size=32", "--set", "network.channels=[8,8]"),
        *("--set", f"network.classes={json.dumps(CLASSES)}", "--set", "optimisation.epochs=2"),
        *("--set", "optimisation.precision=float32", "--output", path),
    )
    assert answer.code == 0, answer.told
    return path


def test_validation_and_calibration_know_the_classes(telling_run):
    lines = (telling_run / "metrics.jsonl").read_text().splitlines()
    for line in map(json.loads, lines):
        assert line["validation_class_loss"] > 0
        assert 0 <= line["validation_malignant_auc"] <= 1
    assert "AUC malignant against benign" in (telling_run / "breastseg.log").read_text()
    calibration = json.loads((telling_run / "calibration.json").read_text())
    fit = calibration["chosen_on"]["class_temperature"]
    assert fit["temperature"] == calibration["class_temperature"] > 0
    assert fit["nll_after"] <= fit["nll_before"]


def test_doubt_that_there_is_a_lesion_weakens_findings_unless_one_says_no(
    breastseg, telling_run, phantom_data, tmp_path
):
    """Training gates where the class normal is told; the ONNX file says so, too."""
    assert json.loads((telling_run / "calibration.json").read_text())["gated"] is True
    run = shutil.copytree(telling_run, tmp_path / "run")
    found = {}
    for option in ("--no-gate", "--gate"):
        answer = breastseg("calibrate", run, phantom_data, option, "--threads", 1, "--json")
        assert answer.code == 0, answer.told
        (found[option],) = json.loads(answer.out)
        (member,) = load_model(open_model(run), threads=1).members
        assert member.gated is found[option]["gated"] is (option == "--gate")
        told = {each.key: each.value for each in onnx.load(run / "model.onnx").metadata_props}
        assert told.get("gate") == ("normal" if member.gated else None)
    assert found["--gate"] == json.loads((telling_run / "calibration.json").read_text())
    assert found["--gate"]["temperature"] != found["--no-gate"]["temperature"]
    assert "gated by the class normal" in breastseg("info", run).out


def test_a_run_that_does_not_tell_normal_pictures_cannot_be_gated(breastseg, runs, phantom_data):
    answer = breastseg("calibrate", runs["pytorch"], phantom_data, "--gate")
    assert answer.code == 2
    assert "--gate is for models that tell the class 'normal'" in answer.err


def test_prediction_tells_the_probability_of_each_class(
    breastseg, telling_run, other_data, tmp_path
):
    output = tmp_path / "out"
    options = ("--model", telling_run, "--output", output, "--threads", 1)
    assert breastseg("predict", other_data, *options).code == 0
    cases = json.loads((output / "predictions.json").read_text())["cases"]
    assert len(cases) == 8
    for case in cases:
        assert tuple(case["classes"]) == CLASSES
        assert sum(case["classes"].values()) == pytest.approx(1, abs=2e-4)
        document = json.loads((output / case["case_id"] / "lesions.json").read_text())
        assert document["classes"] == case["classes"]
    told = {case["case_id"]: case["classes"] for case in cases}
    with (output / "predictions.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            assert float(row["class_malignant"]) == told[row["case_id"]]["malignant"]
    assert (output / "report.html").read_text().count("Whole image: ") == 9  # and the footnote
    again = breastseg("predict", other_data, *options)
    assert again.code == 0
    assert json.loads((output / "predictions.json").read_text())["cases"] == cases


def test_the_scorecard_has_malignant_against_benign(breastseg, telling_run, other_data, tmp_path):
    options = ("--output", tmp_path / "card", "--threads", 1)
    answer = breastseg("evaluate", telling_run, other_data, *options)
    assert answer.code == 0, answer.told
    assert "against benign" in answer.out
    found = json.loads((tmp_path / "card" / "scorecard.json").read_text())["classes"]
    assert tuple(found["names"]) == CLASSES
    assert found["num_images"] == 8
    assert (
        found["num_malignant"] + found["num_benign"] + sum(found["confusion"]["normal"].values())
        == 8
    )
    assert 0 <= found["malignant_auc"]["value"] <= 1
    assert 'id="classes"' in (tmp_path / "card" / "scorecard.html").read_text()


def test_a_run_without_classes_says_nothing_of_them(breastseg, runs, other_data, tmp_path):
    run = runs["pytorch"]
    options = ("--output", tmp_path / "card", "--threads", 1)
    assert breastseg("evaluate", run, other_data, *options).code == 0
    assert json.loads((tmp_path / "card" / "scorecard.json").read_text())["classes"] is None
    assert json.loads((run / "calibration.json").read_text())["class_temperature"] is None


def test_data_without_these_classes_is_refused(breastseg, phantom_data, small, tmp_path):
    answer = breastseg(
        *("train", phantom_data, "--framework", "pytorch", *small, "--output", tmp_path / "run"),
        *("--set", 'network.classes=["cyst","carcinoma"]'),
    )
    assert answer.code == 2
    assert "no image of" in answer.err
    assert "it has benign, malignant, normal" in answer.err
