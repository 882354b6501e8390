"""From a folder of scans to a score and a report, in both frameworks."""

import csv
import html
import json
import re
import shutil

import numpy as np
import onnx
import pytest
from PIL import Image as Pillow

from breastseg.backends.protocol import FRAMEWORKS
from breastseg.backends.weights import read_weights
from breastseg.core.recipes import smoke
from breastseg.datasets.layouts import find_data_set
from breastseg.training.checkpoint import open_run
from breastseg.training.model import load_model, open_model

BASELINES = ["all background", "best constant mask"]


def size(path):
    with Pillow.open(path) as picture:
        return picture.size


def read_mask(path):
    with Pillow.open(path) as picture:
        return np.array(picture)


def assert_self_contained(page):
    loaded = re.findall(r"""\b(?:src|srcset|href)\s*=\s*["']?([^"'\s>]*)""", page)
    assert loaded
    assert all(target.startswith(("data:", "#")) for target in loaded)


@pytest.fixture
def evaluate(breastseg, tmp_path):
    """Return a function that scores a run and returns its scorecard."""

    def score(run, data, *options):
        folder = tmp_path / "scorecard"
        answer = breastseg(
            *("evaluate", run, data, "--output", folder, "--json", "--threads", 1, *options)
        )
        assert answer.code == 0, answer.told
        assert json.loads(answer.out) == json.loads((folder / "scorecard.json").read_text())
        return json.loads(answer.out)

    return score


def rows(scorecard):
    return {row["name"]: row for row in scorecard["table"]}


def case_ids(scorecard):
    return {case["case_id"] for case in scorecard["cases"]}


# --- train ------------------------------------------------------------------------------------


def test_a_run_folder_holds_what_the_contract_says(run, framework, phantom_data):
    names = {path.name for path in run.iterdir()}
    assert {
        *("recipe.json", "split.json", "groups.json", "environment.json", "metrics.jsonl"),
        *("weights.safetensors", "model.onnx", "checksums.json", "last", "breastseg.log"),
        "tensorboard",
    } <= names
    assert not {"last.new", "last.old"} & names
    environment = json.loads((run / "environment.json").read_text())
    assert environment["framework"] == framework
    assert environment["data"] == str(phantom_data.resolve())
    assert environment["layout"] == "BUSI"
    assert environment["run_format"] == 1
    assert {"git", "versions", "processor", "threads", "seed"} <= environment.keys()
    assert open_run(run).state().epoch == 2


def test_every_image_is_in_one_part_and_known_by_its_content(run, phantom_data):
    opened = open_run(run)
    dealt = sorted(case_id for ids in opened.split.parts.values() for case_id in ids)
    assert dealt == sorted(case.case_id for case in find_data_set(phantom_data).cases)
    assert opened.content.keys() == set(dealt)


def test_the_log_of_a_run_tells_its_epochs(run):
    log = (run / "breastseg.log").read_text()
    assert "epoch 1" in log
    assert "epoch 2" in log


def test_both_frameworks_start_alike_and_stay_near(runs):
    first, second = (open_run(runs[framework]) for framework in FRAMEWORKS)
    assert first.split == second.split
    assert first.recipe == second.recipe
    losses = [[record.loss for record in run.state().history] for run in (first, second)]
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-3)


def test_the_same_command_gives_the_same_weights_in_the_folder_of_its_name(
    breastseg, small, runs, phantom_data, tmp_path, monkeypatch
):
    """With a worker process, too, which is no part of the recipe."""
    monkeypatch.chdir(tmp_path)
    epochs = ("--set", "optimisation.epochs=2")
    answer = breastseg("train", phantom_data, *small, *epochs, "--workers", 1, "--json")
    assert answer.code == 0, answer.told
    summary = json.loads(answer.out)
    recipe = open_run(runs["pytorch"]).recipe
    assert summary["run"] == f"runs/smoke-pytorch-{recipe.fingerprint()}"
    assert summary["epochs"] == "2 of 2"
    again = tmp_path / summary["run"] / "weights.safetensors"
    first = runs["pytorch"] / "weights.safetensors"
    assert again.read_bytes() == first.read_bytes()


def test_a_recipe_file_trains_like_the_recipe(breastseg, phantom_data, tmp_path):
    recipe = smoke().with_settings(
        ["preprocessing.size=32", "network.channels=[8,8]", "optimisation.epochs=1"]
    )
    (tmp_path / "mine.json").write_text(recipe.to_json())
    answer = breastseg(
        *("train", phantom_data, "--recipe", tmp_path / "mine.json", "--threads", 1),
        *("--output", tmp_path / "run"),
    )
    assert answer.code == 0, answer.told
    assert open_run(tmp_path / "run").recipe == recipe
    assert f"breastseg evaluate {tmp_path / 'run'}" in answer.err


def test_a_finished_run_is_resumed_without_a_step(breastseg, run_copy):
    before = read_weights(run_copy / "weights.safetensors")
    answer = breastseg("train", "--resume", run_copy, "--threads", 1)
    assert answer.code == 0, answer.told
    after = read_weights(run_copy / "weights.safetensors")
    assert all(np.array_equal(before[name], after[name]) for name in before)


def test_a_run_goes_on_where_its_data_was_moved_but_not_on_other_data(
    breastseg, run_copy, phantom_data, other_data, tmp_path
):
    moved = shutil.copytree(phantom_data, tmp_path / "moved")
    assert breastseg("train", moved, "--resume", run_copy, "--threads", 1).code == 0
    answer = breastseg("train", other_data, "--resume", run_copy, "--threads", 1)
    assert answer.code == 2
    assert "expected the 24 images" in answer.err


# --- evaluate ---------------------------------------------------------------------------------


def test_a_run_is_scored_on_its_test_part_beside_the_baselines(evaluate, run, phantom_data):
    scorecard = evaluate(run, phantom_data)
    test = open_run(run).split.parts["test"]
    assert case_ids(scorecard) == set(test)
    assert scorecard["warnings"] == []
    assert list(rows(scorecard))[1:] == BASELINES
    background = rows(scorecard)["all background"]["summary"]
    assert background["dice"]["value"] == 0
    assert background["specificity"]["value"] in (1, None)


def test_the_scorecard_is_a_page_a_table_and_json(breastseg, run, phantom_data, tmp_path):
    answer = breastseg("evaluate", run, phantom_data, "--output", tmp_path / "card")
    assert answer.code == 0, answer.told
    for name in BASELINES:
        assert name in answer.out
    page = (tmp_path / "card" / "scorecard.html").read_text()
    assert "data:image/jpeg;base64," in page
    assert_self_contained(page)
    with (tmp_path / "card" / "cases.csv").open() as file:
        assert {line["case_id"] for line in csv.DictReader(file)} == set(
            open_run(run).split.parts["test"]
        )


def test_the_two_frameworks_are_compared_on_the_same_images(evaluate, runs, phantom_data):
    scorecard = evaluate(runs["pytorch"], phantom_data, "--against", runs["tensorflow"])
    names = list(rows(scorecard))
    assert names == ["smoke (pytorch)", "smoke (tensorflow)", *BASELINES]
    difference = rows(scorecard)["smoke (tensorflow)"]["model_minus_this"]
    assert difference["mean"] == pytest.approx(0, abs=0.05)
    lesions = [case for case in scorecard["cases"] if case["has_lesion"]]
    assert difference["num_cases"] == len({case["case_id"] for case in lesions})


def test_a_run_beside_itself_differs_by_nothing(evaluate, runs, phantom_data, tmp_path):
    twin = shutil.copytree(runs["pytorch"], tmp_path / "twin")
    first, second, *_ = evaluate(runs["pytorch"], phantom_data, "--against", twin)["table"]
    assert second["model_minus_this"]["mean"] == 0
    assert first["summary"] == second["summary"]


def test_other_data_is_scored_whole_and_into_a_folder_of_its_own(breastseg, run_copy, other_data):
    answer = breastseg("evaluate", run_copy, other_data, "--json")
    assert answer.code == 0, answer.told
    scorecard = json.loads(answer.out)
    assert case_ids(scorecard) == {case.case_id for case in find_data_set(other_data).cases}
    assert "not seen" in scorecard["details"]["Scored on"]
    assert (run_copy / "scorecard-elsewhere" / "scorecard.html").is_file()
    assert not (run_copy / "scorecard").exists()


@pytest.mark.parametrize("split", ["train", "validation", "all"])
def test_seen_images_are_refused_unless_told_and_then_marked(
    split, breastseg, evaluate, runs, phantom_data, tmp_path
):
    run = runs["pytorch"]
    answer = breastseg("evaluate", run, phantom_data, "--split", split, "--output", tmp_path / "x")
    assert answer.code == 2
    assert "--allow-leakage" in answer.err
    assert not (tmp_path / "x").exists()
    scorecard = evaluate(run, phantom_data, "--split", split, "--allow-leakage")
    assert "trained on" in scorecard["warnings"][0]
    parts = open_run(run).split.parts
    expected = parts[split] if split in parts else sum(parts.values(), ())
    assert case_ids(scorecard) == set(expected)
    page = (tmp_path / "scorecard" / "scorecard.html").read_text()
    assert scorecard["warnings"][0] in html.unescape(page)


def test_leakage_is_marked_in_the_table_too(breastseg, runs, phantom_data, tmp_path):
    answer = breastseg(
        *("evaluate", runs["pytorch"], phantom_data, "--split", "validation"),
        *("--allow-leakage", "--output", tmp_path),
    )
    assert answer.code == 0
    assert "Warning: " in answer.out


def test_a_renamed_copy_of_a_training_image_is_known_again(
    breastseg, evaluate, runs, phantom_data, other_data, tmp_path
):
    seen = open_run(runs["pytorch"]).split.parts["train"][0]
    files = next(case for case in find_data_set(phantom_data).cases if case.case_id == seen)
    data = shutil.copytree(other_data, tmp_path / "mixed")
    shutil.copy(files.image_path, data / "benign" / "benign (900).png")
    mask = data / "benign" / "benign (900)_mask.png"
    Pillow.new("L", size(files.image_path)).save(mask)
    answer = breastseg("evaluate", runs["pytorch"], data, "--split", "all")
    assert answer.code == 2
    assert "'benign__benign (900)'" in answer.err


def test_a_split_of_the_other_run_is_respected_too(breastseg, runs, small, phantom_data, tmp_path):
    """What one run tests on, the other may have been trained on."""
    answer = breastseg(
        *("train", phantom_data, *small, "--set", "optimisation.epochs=1", "--set", "seed=5"),
        *("--output", tmp_path / "other"),
    )
    assert answer.code == 0, answer.told
    own, other = (open_run(run).split.parts for run in (runs["pytorch"], tmp_path / "other"))
    assert set(own["test"]) & set(other["train"])
    answer = breastseg("evaluate", runs["pytorch"], phantom_data, "--against", tmp_path / "other")
    assert answer.code == 2
    assert "--allow-leakage" in answer.err


def test_the_scorecard_certifies_what_had_been_seen(
    evaluate, runs, phantom_data, other_data, tmp_path
):
    own = evaluate(runs["pytorch"], phantom_data)["leakage"]
    assert (own["num_seen"], own["num_known"]) == (0, own["num_scored"])
    assert [(run["groups_shared"], run["images_shared"]) for run in own["runs"]] == [(0, 0)]
    page = (tmp_path / "scorecard" / "scorecard.html").read_text()
    assert "Had anything been seen before?" in page
    seen = evaluate(runs["pytorch"], phantom_data, "--split", "train", "--allow-leakage")["leakage"]
    assert seen["num_seen"] == seen["num_scored"]
    other = evaluate(runs["pytorch"], other_data)["leakage"]
    assert (other["num_known"], other["is_own_data"]) == (0, False)


# --- calibration ------------------------------------------------------------------------------


def test_training_learns_temperature_threshold_and_guarantees(run):
    calibration = open_run(run).calibration
    assert calibration.is_fitted
    groups = {open_run(run).split.groups[each] for each in open_run(run).split.parts["calibration"]}
    assert calibration.inner.num_groups == len(groups)
    model = onnx.load(run / "model.onnx")
    told = {entry.key: entry.value for entry in model.metadata_props}
    assert float(told["temperature"]) == pytest.approx(calibration.temperature, rel=1e-5)


def test_the_scorecard_says_whether_probabilities_and_guarantees_hold(
    evaluate, run, phantom_data, tmp_path
):
    scorecard = evaluate(run, phantom_data)
    calibration, guarantees = scorecard["calibration"], scorecard["guarantees"]
    assert calibration["temperatures"] == [open_run(run).calibration.temperature]
    assert calibration["after"]["num_added"] == len(scorecard["cases"])
    assert guarantees["note"] is None
    assert guarantees["found"]["num_images"] == len(scorecard["cases"])
    # 24 phantoms leave fewer than 9 calibration groups: no number is made up
    assert guarantees["promised"]["outer"]["threshold"] is None
    page = (tmp_path / "scorecard" / "scorecard.html").read_text()
    assert "Can the probabilities be trusted?" in page
    assert "too few for 90 %" in page


def test_the_scorecard_counts_lesion_by_lesion(evaluate, run, phantom_data, tmp_path):
    scorecard = evaluate(run, phantom_data)
    detection = scorecard["detection"]
    assert detection["num_images"] == len(scorecard["cases"])
    assert detection["num_lesions"] == sum(
        case["num_reference_lesions"] for case in scorecard["cases"]
    )
    assert [point["false_positives_per_image"] for point in detection["froc"]["points"]] == [
        *(0.125, 0.25, 0.5, 1, 2, 4, 8)
    ]
    (threshold,) = detection["at_threshold"]["thresholds"]
    assert threshold == open_run(run).operating_threshold
    page = (tmp_path / "scorecard" / "scorecard.html").read_text()
    assert "Lesion by lesion" in page
    assert "NSD at 3 px" in page


def test_other_data_is_promised_nothing(evaluate, runs, other_data):
    assert "nothing is promised" in evaluate(runs["pytorch"], other_data)["guarantees"]["note"]


@pytest.mark.parametrize("text", [None, '{"schema_version": 1, "operating_threshold": 0.5}'])
def test_an_older_run_is_scored_with_a_sentence_instead(
    text, evaluate, run_copy, phantom_data, tmp_path
):
    path = run_copy / "calibration.json"
    path.unlink() if text is None else path.write_text(text)
    scorecard = evaluate(run_copy, phantom_data)
    assert "not calibrated" in scorecard["calibration"]["note"]
    page = (tmp_path / "scorecard" / "scorecard.html").read_text()
    assert scorecard["calibration"]["note"].split(":")[0] in page


def test_calibrating_anew_gives_what_training_gave(breastseg, run_copy, phantom_data):
    path, network = run_copy / "calibration.json", run_copy / "model.onnx"
    learnt, exported = path.read_bytes(), network.read_bytes()
    path.write_text('{"schema_version": 1, "operating_threshold": 0.5}')
    network.unlink()
    answer = breastseg("calibrate", run_copy, phantom_data, "--threads", "1", "--json")
    assert answer.code == 0
    assert path.read_bytes() == learnt
    assert network.read_bytes() == exported
    assert json.loads(answer.out) == [json.loads(learnt)]


def test_a_run_that_sees_pictures_mirrored_is_another_model(breastseg, run_copy, phantom_data):
    before = open_model(run_copy).fingerprint
    answer = breastseg("calibrate", run_copy, phantom_data, "--mirror", "--threads", "1", "--json")
    assert answer.code == 0
    assert json.loads(answer.out)[0]["mirrored"] is True
    assert open_model(run_copy).fingerprint != before
    (member,) = load_model(open_model(run_copy), threads=1).members
    assert member.mirrored


def test_only_the_images_that_were_set_aside_calibrate(breastseg, run_copy, other_data):
    learnt = (run_copy / "calibration.json").read_bytes()
    answer = breastseg("calibrate", run_copy, other_data)
    assert answer.code == 2
    assert "calibration part" in answer.told
    assert (run_copy / "calibration.json").read_bytes() == learnt


def test_results_of_different_calibrations_are_not_mixed(breastseg, run_copy, other_data, tmp_path):
    predict = ("predict", other_data, "--model", run_copy, "--output", tmp_path / "out")
    assert breastseg(*predict).code == 0
    path = run_copy / "calibration.json"
    document = json.loads(path.read_text())
    path.write_text(json.dumps({**document, "temperature": document["temperature"] + 1}))
    answer = breastseg(*predict)
    assert answer.code == 2
    assert "expected results of the model" in answer.err


# --- predict, export, info --------------------------------------------------------------------


def test_a_run_of_either_framework_predicts_masks_of_the_pictures_size(
    breastseg, run, other_data, tmp_path
):
    answer = breastseg(
        "predict", other_data, "--model", run, "--output", tmp_path / "out", "--json"
    )
    assert answer.code == 0, answer.told
    index = json.loads(answer.out)
    cases = {case.case_id: case for case in find_data_set(other_data).cases}
    assert {case["case_id"] for case in index["cases"]} == set(cases)
    for case_id, case in cases.items():
        mask = tmp_path / "out" / case_id / "mask.png"
        assert size(mask) == size(case.image_path)
        assert set(np.unique(read_mask(mask))) <= {0, 255}
        assert (tmp_path / "out" / case_id / "overlay.png").is_file()
    assert (tmp_path / "out" / "report.html").is_file()
    assert (tmp_path / "out" / "breastseg.log").is_file()


def test_both_runs_find_nearly_the_same(breastseg, runs, other_data, tmp_path):
    """Two steps of float32 apart, the masks may differ in a few pixels."""
    masks = {}
    for framework, run in runs.items():
        folder = tmp_path / framework
        assert breastseg("predict", other_data, "--model", run, "--output", folder).code == 0
        masks[framework] = [read_mask(path) > 0 for path in sorted(folder.glob("*/mask.png"))]
    for first, second in zip(*masks.values(), strict=True):
        assert np.mean(first != second) < 0.02


def test_one_broken_picture_fails_alone(breastseg, runs, other_data, tmp_path):
    scans = tmp_path / "scans"
    scans.mkdir()
    shutil.copy(find_data_set(other_data).cases[0].image_path, scans / "good.png")
    (scans / "broken.png").write_text("a text file called .png")
    answer = breastseg("predict", scans, "--model", runs["pytorch"], "--output", tmp_path / "out")
    assert answer.code == 1
    assert "1 image, " in answer.out
    assert "1 failed" in answer.out
    assert "broken" in answer.err
    index = json.loads((tmp_path / "out" / "predictions.json").read_text())
    assert [failure["case_id"] for failure in index["failures"]] == ["broken"]
    assert (tmp_path / "out" / "good" / "mask.png").is_file()


def test_the_exported_network_is_the_one_in_the_run_folder(breastseg, run, tmp_path):
    answer = breastseg("export", run, "--output", tmp_path / "model.onnx")
    assert answer.code == 0, answer.told
    assert answer.out.strip() == str(tmp_path / "model.onnx")
    assert (tmp_path / "model.onnx").read_bytes() == (run / "model.onnx").read_bytes()
    onnx.checker.check_model(str(tmp_path / "model.onnx"), full_check=True)


def test_info_says_what_a_run_is(breastseg, run, framework):
    answer = breastseg("info", run, "--json")
    assert answer.code == 0, answer.told
    told = json.loads(answer.out)
    assert told["recipe"] == "smoke"
    assert told["framework"] == f"{framework} on cpu, float32"
    assert told["epochs"] == "2 of 2"
    assert told["best_epoch"] in (1, 2)
    plain = breastseg("info", run).out
    assert "best epoch" in plain
    assert str(run) in plain


def test_compare_ranks_the_runs_and_tests_every_pair(runs, phantom_data, breastseg, tmp_path):
    twin = tmp_path / "twin"
    shutil.copytree(runs["pytorch"], twin)
    folders = (runs["pytorch"], runs["tensorflow"], twin)
    answer = breastseg(
        "compare", *folders, phantom_data, "--output", tmp_path / "out", "--json", "--threads", 1
    )
    assert answer.code == 0
    document = json.loads(answer.out)
    assert document == json.loads((tmp_path / "out" / "comparison.json").read_text())
    models = [row for row in document["table"] if row["role"] == "model"]
    scores = [row["summary"]["dice"]["value"] for row in models]
    assert scores == sorted(scores, reverse=True)
    assert {row["name"] for row in models} == {folder.name for folder in folders}
    assert len(document["pairs"]) == 3
    twins = {runs["pytorch"].name, "twin"}
    (same,) = (p for p in document["pairs"] if {p["first"], p["second"]} == twins)
    assert same["difference"]["mean"] == 0
    assert same["p_holm"] == 1
    page = (tmp_path / "out" / "comparison.html").read_text()
    assert "Pair by pair" in page
    assert_self_contained(page)


def test_compare_wants_two_runs_and_each_once(runs, phantom_data, breastseg, tmp_path):
    for folders in ([runs["pytorch"]], [runs["pytorch"], runs["pytorch"]]):
        answer = breastseg("compare", *folders, phantom_data, "--output", tmp_path / "out")
        assert answer.code == 2
        assert "two different runs or more" in answer.err
    assert not (tmp_path / "out").exists()


def test_a_network_below_the_constant_mask_is_called_useless(run):
    """Two epochs are not enough for anything: the log must say so, whatever the score."""
    told = (run / "breastseg.log").read_text()
    assert "The network has learnt nothing that is of use" in told
    assert "that of the same mask on every image (best constant mask)" in told
