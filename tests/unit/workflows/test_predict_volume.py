"""Predicting CT: a stand-in network that marks what is bright, on a crude chest with a lesion."""

import csv
import json

import numpy as np
import pytest
from PIL import Image as Pillow
from pydicom import dcmread

from breastseg.core.errors import InputError
from breastseg.core.image import Image
from breastseg.io.nifti import read_nifti, write_nifti
from breastseg.workflows.predict import predict
from tests.bright_network import bright_recipe, write_bright_run
from tests.crude_chest import IN_RIGHT_BREAST, crude_chest, with_lesion
from tests.made_series import write_ct

NOTICE = "Trained on simulated lesions; never validated on patients' cancers."


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    path = tmp_path_factory.mktemp("run") / "bright"
    write_bright_run(path, bright_recipe(region="breasts"), 150.0)
    (path / "notice.txt").write_text(NOTICE + "\n", encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def chest():
    return with_lesion(crude_chest(), IN_RIGHT_BREAST)


@pytest.fixture(scope="module")
def predicted(run, chest, tmp_path_factory):
    """A folder of results of one DICOM series; its name, and its lesions.json."""
    folder = tmp_path_factory.mktemp("dicom")
    write_ct(folder / "scans" / "one", chest.pixels, chest.affine)
    told = []
    result = predict(
        [folder / "scans"],
        model=run,
        output=folder / "out",
        threads=1,
        with_probability=True,
        reading=lambda what, done, count: told.append((what, done, count)),
    )
    (case,) = result.cases
    document = json.loads((folder / "out" / case.case_id / "lesions.json").read_text())
    return folder, result, document, told


def test_a_series_gets_masks_measures_pictures_and_objects_for_the_pacs(predicted, chest):
    folder, result, document, _ = predicted
    assert result.failures == ()
    case = folder / "out" / result.cases[0].case_id
    names = {path.name for path in case.iterdir()}
    assert names >= {"mask.nii.gz", "probability.nii.gz", "lesions.csv", "report.html"}
    assert names >= {"seg.dcm", "sr.dcm", "overlay-1.dcm", "overlay-1.png"}
    (lesion,) = document["lesions"]
    np.testing.assert_allclose(lesion["centroid"], IN_RIGHT_BREAST, atol=3)
    assert lesion["laterality"] == lesion["position"]["side"] == "right"
    assert lesion["position"]["skin_mm"] > 0
    assert lesion["position"]["chest_wall_mm"] > 0
    mask = read_nifti(case / "mask.nii.gz")
    assert mask.pixels.sum() == lesion["num_voxels"]
    probability = read_nifti(case / "probability.nii.gz").pixels
    assert probability.max() == pytest.approx(lesion["probability"], abs=1e-3)
    assert (mask.pixels > 0).sum() == (probability >= document["threshold"]).sum()
    text = (folder / "out" / "predictions.csv").read_text(encoding="utf-8")
    line = next(csv.DictReader(text.splitlines()))
    assert line["laterality"] == "right"
    assert float(line["volume_mm3"]) == lesion["volume_mm3"]


def test_seg_and_report_name_the_finding_as_the_table_does(predicted):
    folder, result, document, _ = predicted
    case = folder / "out" / result.cases[0].case_id
    (segment,) = dcmread(case / "seg.dcm").SegmentSequence
    (lesion,) = document["lesions"]
    assert segment.TrackingUID == lesion["tracking_uid"]
    assert segment.SegmentAlgorithmType == "AUTOMATIC"
    said = (case / "sr.dcm").read_bytes()
    assert lesion["tracking_uid"].encode() in said
    assert NOTICE.encode() in said
    assert "Secret" not in (folder / "out" / "report.html").read_text()


def test_the_notice_of_a_model_is_wherever_its_findings_are(predicted):
    folder, result, document, _ = predicted
    assert result.notice == document["model"]["notice"] == NOTICE
    index = json.loads((folder / "out" / "predictions.json").read_text())
    assert index["model"]["notice"] == NOTICE
    for page in (folder / "out").rglob("report.html"):
        assert NOTICE.replace("'", "&#39;") in page.read_text()


def test_progress_is_told_by_tiles(predicted):
    told = [(done, count) for what, done, count in predicted[3] if what.endswith("tiles")]
    assert told
    assert told[-1][0] == told[-1][1]


def test_what_is_done_is_not_done_again_until_a_file_is_gone(predicted, run):
    folder, result, _, _ = predicted
    case = folder / "out" / result.cases[0].case_id

    def again():
        return predict([folder / "scans"], model=run, output=folder / "out", threads=1).cases[0]

    assert again().reused
    (case / "sr.dcm").unlink()
    redone = again()
    assert not redone.reused
    assert (case / "sr.dcm").is_file()
    assert redone.lesions[0].lesion == result.cases[0].lesions[0].lesion


def test_a_nifti_volume_goes_the_same_way_without_objects_for_a_pacs(run, chest, tmp_path):
    write_nifti(tmp_path / "scan.nii.gz", chest)
    write_nifti(tmp_path / "scan_mask.nii.gz", chest)
    result = predict([tmp_path], model=run, output=tmp_path / "out", threads=1)
    assert [case.case_id for case in result.cases] == ["scan"]
    assert len(result.cases[0].lesions) == 1
    assert [path.name for path in result.masks] == ["scan_mask.nii.gz"]
    assert not list((tmp_path / "out" / "scan").glob("*.dcm"))
    again = predict([tmp_path], model=run, output=tmp_path / "out", threads=1)
    assert again.cases[0].reused, "results among the scans are not scans"


def test_without_a_breast_no_network_runs_and_the_results_say_so(run, tmp_path, monkeypatch):
    monkeypatch.setattr("breastseg.inference.segment_volume.logits_by_tiles", None)
    plain = crude_chest(lungs=False)
    write_ct(tmp_path / "scan", plain.pixels, plain.affine)
    result = predict([tmp_path / "scan"], model=run, output=tmp_path / "out", threads=1)
    (case,) = result.cases
    assert case.lesions == ()
    (said,) = result.empty_searches()
    assert said.endswith("No lesion was looked for.")
    page = (tmp_path / "out" / case.case_id / "report.html").read_text()
    assert "No lesion was looked for." in page
    assert not (tmp_path / "out" / case.case_id / "seg.dcm").exists()
    assert (tmp_path / "out" / case.case_id / "sr.dcm").is_file()


def test_a_bad_scan_fails_alone(run, chest, tmp_path):
    (tmp_path / "scans").mkdir()
    write_nifti(tmp_path / "scans" / "good.nii.gz", chest)
    (tmp_path / "scans" / "bad.nii.gz").write_bytes(b"no volume")
    Pillow.fromarray(np.zeros((20, 20), np.uint8)).save(tmp_path / "scans" / "photo.png")
    result = predict([tmp_path / "scans"], model=run, output=tmp_path / "out", threads=1)
    assert [case.case_id for case in result.cases] == ["good"]
    reasons = {failure.case_id: failure.reason for failure in result.failures}
    assert reasons.keys() == {"bad", "photo"}
    assert "is one for CT volumes, and this is a picture" in reasons["photo"]


def test_scans_that_are_not_for_the_model_are_refused_at_once(run, tmp_path):
    Pillow.fromarray(np.zeros((20, 20), np.uint8)).save(tmp_path / "photo.png")
    with pytest.raises(InputError, match="one for CT volumes, and this is a picture"):
        predict([tmp_path / "photo.png"], model=run, output=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_an_interrupted_case_is_not_taken_for_a_whole_one(run, chest, tmp_path):
    write_nifti(tmp_path / "scan.nii.gz", chest)

    def stop(what, done, count):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        predict([tmp_path], model=run, output=tmp_path / "out", threads=1, reading=stop)
    result = predict([tmp_path], model=run, output=tmp_path / "out", threads=1)
    assert not result.cases[0].reused
    assert isinstance(read_nifti(tmp_path / "out" / "scan" / "mask.nii.gz"), Image)
