"""The scorecard of masks that another program made."""

import json
import re
import shutil

import numpy as np
import pytest
from PIL import Image as Pillow

from breastseg.datasets.cases import read_case
from breastseg.datasets.layouts import find_data_set
from breastseg.evaluation.scorecard_schema import check_document
from breastseg.training.checkpoint import open_run


@pytest.fixture(scope="module")
def cases(phantom_data):
    return find_data_set(phantom_data).cases


@pytest.fixture
def masks(cases, tmp_path):
    """Return a folder of masks: the reader's, moved to the right by 3 pixels; 0 and 1."""
    folder = tmp_path / "a-colleague"
    folder.mkdir()
    for files in cases:
        mask = np.roll(read_case(files).reference[0] > 0, 3, axis=1)
        Pillow.fromarray(mask.astype(np.uint8)).save(folder / f"{files.case_id}.png")
    return folder


@pytest.fixture
def score(evaluated, phantom_data):
    """Return a function that scores a folder of masks and returns scorecard and page."""

    def scored(folder, *options, code=0):
        return evaluated("--predictions", folder, phantom_data, *options, code=code)

    return scored


def test_masks_get_the_scorecard_of_a_run_but_for_what_needs_probabilities(score, masks, cases):
    document, page = score(masks)
    assert [row["name"] for row in document["table"]] == [
        *("a-colleague", "all background", "best constant mask"),
    ]
    assert {case["case_id"] for case in document["cases"]} == {case.case_id for case in cases}
    assert 0.8 < document["table"][0]["summary"]["dice"]["value"] < 1
    assert document["table"][0]["summary"]["specificity"]["value"] == 1
    assert "in its own favour" in document["table"][2]["description"]
    detection = document["detection"]
    assert (detection["froc"], detection["average_precision"], detection["image_roc"]) == (
        *(None, None),
        [],
    )
    assert detection["at_threshold"]["lesion_sensitivity"]["value"] == 1
    assert document["leakage"]["runs"] == []
    assert document["leakage"]["num_seen"] is None
    for told in ("Masks alone were given", "It is not known what the model was trained on"):
        assert told in page
    for absent in ("Lesions found, against false positives", "Reliability of the pixels"):
        assert absent not in page
    assert not re.search(r"(?:src|srcset|href)=\"(?!data:|#)", page)


def test_probabilities_of_nnunet_bring_the_curves(score, masks, cases):
    for files in cases:
        with Pillow.open(masks / f"{files.case_id}.png") as picture:
            lesion = 0.05 + 0.9 * np.array(picture, np.float32)
        np.savez(
            masks / f"{files.case_id}.npz", probabilities=np.stack([1 - lesion, lesion])[:, None]
        )
    document, page = score(masks)
    assert document["detection"]["froc"]["mean"]["value"] == 1
    assert document["detection"]["note"] is None
    assert document["calibration"]["before"] is None
    assert 0 < document["calibration"]["after"]["ece"] < 0.2
    assert document["warnings"] == []
    for told in (
        "Lesions found, against false positives",
        "As they were given",
        "Reliability of the pixels",
    ):
        assert told in page


def test_probabilities_alone_are_cut_at_the_threshold(score, masks, cases):
    for files in cases:
        path = masks / f"{files.case_id}.png"
        with Pillow.open(path) as picture:
            seen = np.array(picture, np.float32) * 0.6
        path.unlink()
        Pillow.fromarray(seen).save(masks / f"{files.case_id}_probability.tif")
    document, _ = score(masks)
    assert document["table"][0]["summary"]["dice"]["value"] > 0.8
    document, _ = score(masks, "--threshold", "0.7")
    assert document["table"][0]["summary"]["dice"]["value"] == 0
    assert document["details"]["Operating threshold"] == "0.7"


def test_masks_that_are_not_their_probabilities_are_marked(score, masks, cases):
    for files in cases:
        with Pillow.open(masks / f"{files.case_id}.png") as picture:
            seen = np.roll(np.array(picture, np.float32), 20, axis=0)
        Pillow.fromarray(seen).save(masks / f"{files.case_id}_probability.tif")
    document, page = score(masks)
    (warning,) = document["warnings"]
    assert "the mask is not the probability map cut at 0.5" in warning
    assert "the mask is not the probability map cut at 0.5" in page
    assert "masks are given" in score(masks, "--threshold", "0.7", code=2)


def test_a_missing_mask_is_no_empty_one(score, masks, cases):
    gone = [case.case_id for case in cases[:7]]
    for case_id in gone:
        (masks / f"{case_id}.png").unlink()
    told = score(masks, code=2)
    assert "7 have none" in told
    assert gone[0] in told
    assert "and 2 more" in told
    document, page = score(masks, "--only-predicted")
    assert len(document["cases"]) == len(cases) - 7
    assert "7 of 24 images were left out" in document["warnings"][0]
    assert "7 of 24 images were left out" in page


def test_broken_masks_are_told_together_and_nothing_is_written(score, masks, cases, tmp_path):
    broken, small = (masks / f"{case.case_id}.png" for case in cases[:2])
    broken.write_bytes(broken.read_bytes()[:60])
    Pillow.fromarray(np.zeros((4, 4), np.uint8)).save(small)
    told = score(masks, code=2)
    assert "2 of 24 images have a mask that cannot be used" in told
    assert broken.name in told
    assert small.name in told
    assert not (tmp_path / "scorecard").exists()


def test_only_the_images_that_are_listed(score, masks, cases, tmp_path):
    listed = tmp_path / "test-part.txt"
    listed.write_text("\n".join(case.case_id for case in cases[::3]))
    (masks / f"{cases[1].case_id}.png").unlink()
    document, _ = score(masks, "--cases", listed)
    assert [case["case_id"] for case in document["cases"]] == [case.case_id for case in cases[::3]]
    assert "listed in test-part.txt" in document["details"]["Scored on"]


def test_beside_a_run_on_what_it_held_out(score, masks, runs):
    run = runs["pytorch"]
    told = score(masks, "--against", run, code=2)
    assert "were trained on" in told
    assert "--split-of" in told
    document, _ = score(masks, "--against", run, "--split-of", run)
    test = open_run(run).split.parts["test"]
    assert {case["case_id"] for case in document["cases"]} == set(test)
    theirs = document["table"][1]
    assert theirs["role"] == "model"
    assert theirs["model_minus_this"]["mean"] > 0
    flattering, _ = score(masks, "--against", run, "--allow-leakage")
    assert "figures flatter" in flattering["warnings"][0]


def test_beside_a_model_that_ships_whose_images_nobody_knows(score, masks):
    document, _ = score(masks, "--against", "ultrasound")
    assert document["table"][1]["role"] == "model"
    assert "ultrasound keeps no record of the images" in " ".join(document["warnings"])


def test_beside_other_masks(score, masks, tmp_path):
    other = shutil.copytree(masks, tmp_path / "other" / "a-colleague")
    document, _ = score(masks, "--against", other)
    assert [row["name"] for row in document["table"][:2]] == ["a-colleague (1)", "a-colleague (2)"]
    assert document["table"][1]["model_minus_this"]["mean"] == 0


def test_the_masks_of_a_run_score_as_the_run_does(breastseg, score, runs, phantom_data, tmp_path):
    run = runs["pytorch"]
    options = ("--threads", 1)
    predicted = tmp_path / "predicted"
    answer = breastseg("predict", phantom_data, "--model", run, "--output", predicted, *options)
    assert answer.code == 0, answer.told
    document, _ = score(predicted, "--split-of", run)
    answer = breastseg(
        "evaluate", run, phantom_data, "--json", "--output", tmp_path / "own", *options
    )
    own = json.loads(answer.out)
    check_document(own)
    key = "case_id"
    assert sorted(document["cases"], key=lambda case: case[key]) == sorted(
        own["cases"], key=lambda case: case[key]
    )
    assert (
        document["detection"]["at_threshold"]["lesion_sensitivity"]
        == (own["detection"]["at_threshold"]["lesion_sensitivity"])
    )


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["run", "data", "--predictions", "masks"], "takes the data alone"),
        (["data"], "needs DATA"),
        (["a", "b", "c"], "takes a run and the data"),
        (["data", "--predictions", "masks", "--on", "other"], "takes no --predictions"),
        (["run", "data", "--only-predicted"], "belong to --predictions"),
        (["data", "--predictions", "masks", "--split", "train"], "--split-of RUN"),
        (["data", "--predictions", "masks", "--show-leak"], "what was trained on"),
        (["run", "--on", "a", "--on", "b", "--show-leak"], "of one data set"),
    ],
)
def test_wrong_calls_are_explained(breastseg, arguments, told):
    answer = breastseg("evaluate", *arguments)
    assert answer.code == 2
    assert told in answer.told
