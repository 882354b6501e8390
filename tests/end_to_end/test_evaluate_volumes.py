"""The scorecard of CT volumes: masks and probabilities of any program, and runs."""

import csv

import numpy as np
import pytest

from breastseg.core.image import Image
from breastseg.datasets.cases import read_case
from breastseg.datasets.layouts import find_data_set
from breastseg.datasets.splits import DataSplit
from breastseg.evaluation.baselines import whole_region
from breastseg.io.atomic import write_json
from breastseg.io.nifti import write_nifti
from breastseg.training.checkpoint import create_run
from tests.bright_network import bright_recipe, bright_weights
from tests.crude_chest import IN_LEFT_BREAST, IN_RIGHT_BREAST, LESION, crude_chest, with_lesion

BY_THE_SPINE = (0.0, 85.0, 0.0)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Return four chests in nnU-Net's layout: two lesions, one, one small, none."""
    folder = tmp_path_factory.mktemp("volumes") / "data"
    for name in ("imagesTr", "labelsTr"):
        (folder / name).mkdir(parents=True)
    plain = crude_chest()
    both = with_lesion(with_lesion(plain, IN_RIGHT_BREAST, 12), IN_LEFT_BREAST, 8)
    chests = [both, with_lesion(plain, IN_LEFT_BREAST), with_lesion(plain, IN_RIGHT_BREAST, 5)]
    for number, image in enumerate([*chests, plain]):
        write_nifti(folder / "imagesTr" / f"chest-{number}_0000.nii.gz", image, dtype=np.int16)
        drawn = Image(pixels=(image.pixels == LESION).astype(np.float32), affine=image.affine)
        write_nifti(folder / "labelsTr" / f"chest-{number}.nii.gz", drawn, dtype=np.uint8)
    document = {"channel_names": {"0": "CT"}, "labels": {"background": 0, "lesion": 1}}
    write_json(folder / "dataset.json", {**document, "file_ending": ".nii.gz"})
    return folder


@pytest.fixture(scope="module")
def cases(data):
    return [read_case(files) for files in find_data_set(data, volumes=True).cases]


@pytest.fixture
def score(evaluated, data):
    """Return a function that scores and returns scorecard and page."""

    def scored(*arguments, code=0):
        return evaluated(*arguments, data, code=code)

    return scored


@pytest.fixture
def maps(cases, tmp_path):
    """Return a folder of probabilities: all but the small lesion, and a false positive in each."""
    folder = tmp_path / "a-colleague"
    folder.mkdir()
    for case in cases:
        false = with_lesion(case.image, BY_THE_SPINE, 6).pixels != case.image.pixels
        found = 0.9 * ((case.reference > 0) & (np.count_nonzero(case.reference) > 20))
        values = np.maximum(found, 0.6 * false).astype(np.float32)
        path = folder / f"{case.case_id}_probability.nii.gz"
        write_nifti(path, Image(pixels=values, affine=case.image.affine))
    return folder


def test_probabilities_of_volumes_are_scored_in_three_dimensions(score, maps, tmp_path):
    document, page = score("--predictions", maps)
    assert [row["name"] for row in document["table"]] == [
        *("a-colleague", "all background", "whole breast region"),
    ]
    summary = document["table"][0]["summary"]
    assert (summary["num_lesion_images"], summary["num_lesion_free_images"]) == (3, 1)
    assert summary["hd95"][0]["unit"] == "mm"
    assert document["cases"][0]["size_unit"] == "mm3"
    assert 0 < document["table"][2]["summary"]["dice"]["value"] < 0.1
    volumes = document["volumes"]
    assert [lesion["is_found"] for lesion in volumes["lesions"]] == [True, True, True, False]
    assert (volumes["large"]["num_found"], volumes["large"]["num_cases"]) == (3, 3)
    assert volumes["false_positives_per_lesion_free"]["value"] == 1
    for told in ("The hard cases", "Missed lesions", "false positive, score 0.60", "per volume"):
        assert told in page
    assert "False positives per image" not in page
    rows = list(csv.DictReader((tmp_path / "scorecard" / "lesions.csv").read_text().splitlines()))
    assert [row["surroundings"] for row in rows] == ["in fat"] * 4
    assert float(rows[0]["contrast_hu"]) > 300


def test_masks_alone_of_volumes_are_scored(score, cases, tmp_path):
    folder = tmp_path / "masks"
    folder.mkdir()
    for case in cases:
        drawn = Image(pixels=(case.reference > 0).astype(np.float32), affine=case.image.affine)
        write_nifti(folder / f"{case.case_id}.nii.gz", drawn, dtype=np.uint8)
    document, page = score("--predictions", folder)
    assert document["table"][0]["summary"]["dice"]["value"] == 1
    assert document["detection"]["froc"] is None
    assert document["volumes"]["large"]["value"] == 1
    assert document["volumes"]["false_positives_per_lesion_free"]["value"] == 0
    assert "at 1 false positive per volume</strong>" not in page


@pytest.fixture
def run(data, tmp_path):
    """Return a run that marks what is brighter than 150 HU: lesions, and bones."""
    files = find_data_set(data, volumes=True).cases
    ids = [each.case_id for each in files]
    made = create_run(
        tmp_path / "run",
        recipe=bright_recipe(region="breasts"),
        split=DataSplit(
            method="volume",
            parts={"train": (), "validation": (), "calibration": (), "test": tuple(ids)},
            groups={each: each for each in ids},
        ),
        environment={
            "framework": "pytorch",
            "data": str(data),
            "layout": "nnU-Net raw",
            "data_fingerprint": "made up",
        },
        content={each.case_id: each.sha256() for each in files},
    )
    made.save_best(bright_weights(made.recipe, 150))
    made.save_constant_mask(whole_region())
    made.seal(["weights.safetensors"])
    return made.path


def test_what_the_region_is_worth_is_one_option(score, run):
    breasts, page = score(run)
    scan, _ = score(run, "--region", "scan")
    assert breasts["details"]["Searched"] == "in the breasts"
    assert scan["details"]["Searched"] == "in all of the scan (the recipe says in the breasts)"
    assert "Seconds per volume" in page
    per_volume = [
        each["detection"]["at_threshold"]["false_positives_per_image"]["value"]
        for each in (breasts, scan)
    ]
    assert per_volume[0] < per_volume[1]
    assert breasts["volumes"]["large"]["num_found"] == 3
    assert [row["name"] for row in breasts["table"]][1:] == [
        "all background",
        "whole breast region",
    ]


def test_what_belongs_to_the_other_kind_is_refused(score, run, maps, breastseg, phantom_data):
    assert "--region says where a run looks" in score(
        "--predictions", maps, "--region", "scan", code=2
    )
    assert "--show-leak is for pictures" in score(run, "--show-leak", code=2)
    answer = breastseg("evaluate", run, phantom_data)
    assert answer.code == 2
    assert "expected CT volumes for the run" in answer.told
