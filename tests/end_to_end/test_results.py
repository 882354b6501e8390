import csv
import gzip
import json

import nibabel as nib
import numpy as np
import pydicom
import pytest
from PIL import Image as Pillow
from typer.testing import CliRunner

from breastseg.cli import app
from breastseg.core.geometry import Grid, resample_labels
from breastseg.io.dicom_series import read_series
from breastseg.io.nifti_mask import read_label_map, write_label_map
from tests.dicom_masks import square, write_rtstruct
from tests.made_series import PATIENT_NAME, affine_of, write_ct, write_ultrasound


@pytest.fixture
def scan(tmp_path):
    """Return a folder with ct/, mask.nii.gz with two lesions, and none.nii.gz."""
    pixels = np.random.default_rng(0).integers(-900, 900, (4, 30, 24))
    write_ct(tmp_path / "ct", pixels, affine_of())
    series = read_series(tmp_path / "ct")
    mask = np.zeros(pixels.shape, np.int32)
    mask[1:3, 5:15, 4:9] = mask[3, 20:25, 18:22] = 1
    write_label_map(tmp_path / "mask.nii.gz", mask, series.image.affine)
    write_label_map(tmp_path / "none.nii.gz", mask * 0, series.image.affine)
    return tmp_path


def run(*arguments):
    return CliRunner().invoke(app, ["results", *(str(each) for each in arguments)])


def test_a_mask_becomes_results_and_nothing_but_dicom_names_the_patient(scan):
    output = scan / "out"
    done = run(scan / "ct", scan / "mask.nii.gz", "--output", output, "--json")
    assert done.exit_code == 0, done.output
    document = json.loads(done.stdout)
    assert document == json.loads((output / "lesions.json").read_text())
    assert [lesion["num_voxels"] for lesion in document["lesions"]] == [100, 20]
    names = {path.name for path in output.iterdir()}
    assert {"seg.dcm", "sr.dcm", "overlay-1.dcm", "overlay-2.png", "report.html"} <= names
    for path in output.iterdir():
        said = path.read_bytes().lower()
        named = any(word.encode() in said for word in PATIENT_NAME.lower().split("^"))
        assert named == (path.suffix == ".dcm"), path.name
    assert "secret" not in done.output.lower()
    series = read_series(scan / "ct")
    labels = read_label_map(
        output / "mask.nii.gz", shape=series.image.pixels.shape, affine=series.image.affine
    )
    assert np.unique(labels).tolist() == [0, 1, 2]
    with (output / "lesions.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["tracking_uid"] for row in rows] == [
        lesion["tracking_uid"] for lesion in document["lesions"]
    ]
    page = (output / "report.html").read_text()
    assert "http" not in page.replace("http-equiv", "")
    assert pydicom.dcmread(output / "seg.dcm").SegmentSequence[0].SegmentAlgorithmType == "MANUAL"


def test_earlier_results_are_kept_unless_overwritten_and_then_none_of_them_stays(scan):
    output = scan / "out"
    assert run(scan / "ct", scan / "mask.nii.gz", "--output", output).exit_code == 0
    again = run(scan / "ct", scan / "none.nii.gz", "--output", output)
    assert again.exit_code == 2
    assert "--overwrite" in again.output
    assert (output / "seg.dcm").exists()
    done = run(scan / "ct", scan / "none.nii.gz", "--output", output, "--overwrite")
    assert done.exit_code == 0
    assert "no proof" in done.output
    assert not (output / "seg.dcm").exists()
    assert not (output / "overlay-2.dcm").exists()
    assert json.loads((output / "lesions.json").read_text())["lesions"] == []


def test_results_among_the_files_of_the_series_are_refused(scan):
    done = run(scan / "ct", scan / "mask.nii.gz", "--output", scan / "ct")
    assert done.exit_code == 2
    assert "among the files of the series" in done.output


@pytest.mark.parametrize("fault", ["missing", "text", "truncated", "grid", "fractions", "label"])
def test_a_mask_that_does_not_fit_is_refused_by_name(scan, fault):
    mask, more = scan / "bad.nii.gz", []
    whole = (scan / "mask.nii.gz").read_bytes()
    if fault == "text":
        mask = scan / "bad.txt"
        mask.write_text("no mask")
    elif fault == "truncated":
        mask.write_bytes(whole[: len(whole) // 2])
    elif fault == "grid":
        write_label_map(mask, np.ones((4, 30, 23), np.int32), affine_of())
    elif fault == "fractions":
        image = nib.nifti1.Nifti1Image.from_bytes(gzip.decompress(whole))
        values = np.asanyarray(image.dataobj).astype(np.float32) * 0.3
        nib.nifti1.Nifti1Image(values, image.affine).to_filename(mask)
    elif fault == "label":
        mask, more = scan / "mask.nii.gz", ["--label", "tumor"]
    done = run(scan / "ct", mask, "--output", scan / "out", *more)
    assert done.exit_code == 2, done.output
    assert mask.name in done.output
    assert not (scan / "out" / "lesions.json").exists()


FLAT = np.zeros((20, 30), np.uint8)
FLAT[4:9, 5:15] = FLAT[12:18, 20:25] = 255


@pytest.fixture
def ultrasound(tmp_path):
    """Return a folder with us/us.dcm, of the left breast, and mask.png with two lesions."""
    write_ultrasound(tmp_path / "us", np.full(FLAT.shape, 90), spacing_mm=0.1)
    Pillow.fromarray(FLAT).save(tmp_path / "mask.png")
    return tmp_path


def test_an_ultrasound_image_and_a_picture_of_its_lesions_become_results(ultrasound):
    output, again = ultrasound / "out", ultrasound / "again"
    done = run(ultrasound / "us", ultrasound / "mask.png", "--output", output, "--json")
    assert done.exit_code == 0, done.output
    document = json.loads(done.stdout)
    assert (document["modality"], document["dimensions"]) == ("US", 2)
    assert document["image"] == {"shape": [20, 30], "spacing_mm": [0.1, 0.1]}
    assert [lesion["area_mm2"] for lesion in document["lesions"]] == [0.5, 0.3]
    np.testing.assert_array_equal(
        pydicom.dcmread(output / "seg.dcm").pixel_array.max(axis=0), FLAT > 0
    )
    with (output / "lesions.csv").open() as file:
        assert [row["row_start"] for row in csv.DictReader(file)] == ["4", "12"]
    for given in ("seg.dcm", "mask.nii.gz"):
        more = ["--label", "*"] if given == "seg.dcm" else []
        arguments = (ultrasound / "us/us.dcm", output / given, "--output", again, *more)
        assert run(*arguments, "--overwrite").exit_code == 0
        lesions = json.loads((again / "lesions.json").read_text())["lesions"]
        assert [each["area_px"] for each in lesions] == [50, 30]


def test_a_loop_and_a_picture_of_another_size_are_refused(ultrasound):
    Pillow.fromarray(FLAT[1:]).save(ultrasound / "small.png")
    done = run(ultrasound / "us", ultrasound / "small.png", "--output", ultrasound / "out")
    assert (done.exit_code, "small.png" in done.output) == (2, True)
    loop = pydicom.dcmread(ultrasound / "us/us.dcm")
    loop.SOPInstanceUID = "1.2.3"
    loop.save_as(ultrasound / "us/second.dcm")
    done = run(ultrasound / "us", ultrasound / "mask.png", "--output", ultrasound / "out")
    assert done.exit_code == 2
    assert "found 2 frames" in done.output


def test_a_picture_is_no_mask_of_a_volume(scan):
    Pillow.fromarray(FLAT).save(scan / "mask.png")
    done = run(scan / "ct", scan / "mask.png", "--output", scan / "out")
    assert done.exit_code == 2
    assert "DICOM SEG" in done.output


def test_captures_name_the_breast_and_another_than_that_of_the_files_is_refused(scan, ultrasound):
    assert run(scan / "ct", scan / "mask.nii.gz", "--output", scan / "out").exit_code == 0
    assert not pydicom.dcmread(scan / "out/overlay-1.dcm").Laterality
    arguments = (scan / "ct", scan / "mask.nii.gz", "--output", scan / "out", "--overwrite")
    assert run(*arguments, "--laterality", "right").exit_code == 0
    assert pydicom.dcmread(scan / "out/overlay-1.dcm").Laterality == "R"
    arguments = (ultrasound / "us", ultrasound / "mask.png", "--output", ultrasound / "us-out")
    assert run(*arguments, "--laterality", "right").exit_code == 2
    assert run(*arguments).exit_code == 0
    assert pydicom.dcmread(ultrasound / "us-out/overlay-1.dcm").Laterality == "L"


def test_a_gap_between_contours_is_filled_when_asked_for(scan):
    contours = {"Tumour": [square(0, 2.5, 7.5), square(2, 2.5, 7.5)]}
    drawn = write_rtstruct(scan / "rt.dcm", read_series(scan / "ct"), contours)
    refused = run(scan / "ct", drawn, "--output", scan / "out")
    assert refused.exit_code == 2
    assert "--fill-gaps" in refused.output
    done = run(scan / "ct", drawn, "--output", scan / "out", "--fill-gaps", "--json")
    assert done.exit_code == 0, done.output
    document = json.loads(done.stdout)
    assert [lesion["num_voxels"] for lesion in document["lesions"]] == [75]
    assert "Interpolated" in document["notes"][0]


def test_a_mask_of_another_grid_is_resampled_where_asked_for(scan):
    series = read_series(scan / "ct")
    grid = Grid(shape=series.image.pixels.shape, affine=series.image.affine)
    finer = grid.with_spacing(tuple(np.array(grid.spacing_mm) / 3))
    labels = read_label_map(scan / "mask.nii.gz", shape=grid.shape, affine=grid.affine)
    write_label_map(scan / "fine.nii.gz", resample_labels(labels, grid.affine, finer), finer.affine)
    refused = run(scan / "ct", scan / "fine.nii.gz", "--output", scan / "out")
    assert refused.exit_code == 2
    assert "--resample-mask" in refused.output
    done = run(
        *(scan / "ct", scan / "fine.nii.gz", "--output", scan / "out", "--json"), "--resample-mask"
    )
    assert done.exit_code == 0, done.output
    document = json.loads(done.stdout)
    assert [lesion["num_voxels"] for lesion in document["lesions"]] == [100, 20]
    assert any("resampled" in note for note in document["notes"])


def test_a_label_that_resampling_would_lose_is_an_error(scan):
    series = read_series(scan / "ct")
    grid = Grid(shape=series.image.pixels.shape, affine=series.image.affine)
    finer = grid.with_spacing(tuple(np.array(grid.spacing_mm) / 4))
    labels = np.zeros(finer.shape, np.int32)
    labels[:8], labels[0, 0, 0] = 1, 2
    write_label_map(scan / "thin.nii.gz", labels, finer.affine)
    refused = run(scan / "ct", scan / "thin.nii.gz", "--output", scan / "out", "--resample-mask")
    assert refused.exit_code == 2
    assert "such as 2" in " ".join(refused.output.split())
    assert not (scan / "out" / "lesions.json").exists()
