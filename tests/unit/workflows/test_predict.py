import csv
import errno
import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pytest
from PIL import Image as Pillow
from pydicom import Dataset
from pydicom.sequence import Sequence

from breastseg.core.calibration import Calibration, ConformalThreshold
from breastseg.core.errors import InputError, LayoutError, OutputError, RunFolderError
from breastseg.core.series import series_case_id
from breastseg.inference.runtime import OpenVinoRuntime
from breastseg.training.checkpoint import open_run
from breastseg.workflows.predict import predict
from tests.bright_pictures import TELLING_RECIPE, make_run, picture
from tests.dicom_phantom import base_dataset, put, set_pixels, write_series

ULTRASOUND_IMAGE = "1.2.840.10008.5.1.4.1.1.6.1"
REPORT = "1.2.840.10008.5.1.4.1.1.88.33"


@pytest.fixture
def run(tmp_path):
    return make_run(tmp_path / "run")


@pytest.fixture
def scans(tmp_path):
    picture(tmp_path / "scans" / "a.png")
    picture(tmp_path / "scans" / "sub" / "b.png", squares=((5, 5, 8), (25, 40, 10)))
    picture(tmp_path / "scans" / "sub" / "empty.png", squares=())
    return tmp_path / "scans"


@pytest.fixture
def num_calls(monkeypatch):
    """How many images the network has seen."""
    calls = []
    original = OpenVinoRuntime.predict

    def counted(self, images):
        calls.append(images)
        return original(self, images)

    monkeypatch.setattr(OpenVinoRuntime, "predict", counted)
    return lambda: len(calls)


def files_in(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def go(scans, run, output, **settings):
    paths = [scans] if isinstance(scans, Path) else scans
    return predict(paths, model=run, output=output, threads=1, **settings)


def test_writes_masks_measures_pictures_and_one_page(scans, run, tmp_path):
    output = tmp_path / "out"
    result = go(scans, run, output)
    assert [case.case_id for case in result.cases] == ["a", "sub__b", "sub__empty"]
    assert result.num_failed == 0
    assert set(files_in(output)) == {
        f"{case_id}/{name}"
        for case_id in ("a", "sub__b", "sub__empty")
        for name in ("mask.png", "overlay.png", "lesions.json")
    } | {"predictions.json", "predictions.csv", "report.html", "breastseg.log"}
    mask = np.asarray(Pillow.open(output / "a" / "mask.png"))
    assert mask.shape == (40, 60)
    assert set(np.unique(mask)) == {0, 255}
    expected = np.zeros((40, 60), bool)
    expected[10:22, 20:32] = True
    assert ((mask > 0) != expected).sum() <= 48
    document = json.loads((output / "a" / "lesions.json").read_text())
    assert document["case_id"] == "a"
    assert document["threshold"] == 0.5
    assert document["model"]["framework"] == "tensorflow"
    assert document["image"] | {"sha256": ""} == {
        "sha256": "",
        "rows": 40,
        "columns": 60,
        "spacing_mm": None,
        "scan_area": None,
        "drawn_px": 0,
    }
    (lesion,) = document["lesions"]
    assert lesion["area_px"] == (mask > 0).sum()
    assert lesion["area_mm2"] is None
    assert lesion["probability"] > 0.99


def test_index_and_table_hold_all_cases(scans, run, tmp_path):
    (scans / "broken.png").write_text("no picture")
    result = go(scans, run, tmp_path / "out")
    index = json.loads(result.index_path.read_text())
    assert [(case["case_id"], len(case["lesions"])) for case in index["cases"]] == [
        ("a", 1),
        ("sub__b", 2),
        ("sub__empty", 0),
    ]
    assert [failure["case_id"] for failure in index["failures"]] == ["broken"]
    with (tmp_path / "out" / "predictions.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["case_id"], row["status"], row["lesion"]) for row in rows] == [
        ("a", "lesion", "1"),
        ("sub__b", "lesion", "1"),
        ("sub__b", "lesion", "2"),
        ("sub__empty", "no lesion", ""),
        ("broken", "failed", ""),
    ]
    assert rows[0]["area_px"] == str(index["cases"][0]["lesions"][0]["area_px"])
    assert rows[0]["area_mm2"] == ""
    assert "the file holds text" in rows[-1]["reason"]


def test_the_page_finds_its_pictures_whatever_the_names_are(run, tmp_path):
    names = ["benign (1)", "50% #2?", "ü&<b>", "a'\"b"]
    for name in names:
        picture(tmp_path / "scans" / f"{name}.png")
    result = go(tmp_path / "scans", run, tmp_path / "out")
    page = result.report_path.read_text(encoding="utf-8")
    assert "<b>" not in page
    linked = {unquote(url) for url in re.findall(r'src="([^"]+overlay\.png)"', page)}
    assert linked == {f"{name}/overlay.png" for name in names}
    assert all((result.output / url).is_file() for url in linked)


def test_a_bad_file_fails_alone(scans, run, tmp_path):
    (scans / "text.png").write_text("no picture")
    (scans / "nothing.png").write_bytes(b"")
    whole = (scans / "a.png").read_bytes()
    (scans / "truncated.png").write_bytes(whole[: len(whole) // 2])
    result = go(scans, run, tmp_path / "out")
    assert result.num_failed == 3
    assert {failure.case_id for failure in result.failures} == {"text", "nothing", "truncated"}
    assert all(f"{failure.case_id}.png" in failure.reason for failure in result.failures)
    assert [case.case_id for case in result.cases] == ["a", "sub__b", "sub__empty"]
    page = result.report_path.read_text()
    assert "truncated or damaged" in page
    assert "truncated.png" in (tmp_path / "out" / "breastseg.log").read_text()


def test_pictures_of_every_kind_and_size_have_a_mask_of_their_size(run, tmp_path):
    folder = tmp_path / "scans"
    stream = np.random.default_rng(0)
    kinds = {
        "tiny.png": stream.integers(0, 255, (5, 5), np.uint8),
        "wide.png": stream.integers(0, 255, (3, 900), np.uint8),
        "colour.jpg": stream.integers(0, 255, (30, 20, 3), np.uint8),
        "deep.tif": stream.integers(0, 65535, (30, 20), np.uint16),
        "constant.bmp": np.full((30, 20), 255, np.uint8),
    }
    folder.mkdir()
    for name, pixels in kinds.items():
        Pillow.fromarray(pixels).save(folder / name)
    result = go(folder, run, tmp_path / "out")
    assert result.num_failed == 0
    for name, pixels in kinds.items():
        with Pillow.open(tmp_path / "out" / Path(name).stem / "mask.png") as mask:
            assert (mask.height, mask.width) == pixels.shape[:2]


def test_masks_are_not_predicted(run, tmp_path):
    picture(tmp_path / "scans" / "a.png")
    picture(tmp_path / "scans" / "a_mask.png")
    result = go(tmp_path / "scans", run, tmp_path / "out")
    assert [case.case_id for case in result.cases] == ["a"]
    assert [path.name for path in result.masks] == ["a_mask.png"]
    assert not (tmp_path / "out" / "a_mask").exists()


def test_goes_on_where_it_stopped(scans, run, tmp_path, num_calls):
    output = tmp_path / "out"
    go(scans, run, output)
    first = files_in(output)
    (output / "a" / "lesions.json").unlink()
    (output / "sub__b" / "overlay.png").unlink()
    result = go(scans, run, output)
    assert num_calls() == 3 + 2
    assert [case.reused for case in result.cases] == [False, False, True]
    second = files_in(output)
    assert first.pop("breastseg.log") != second.pop("breastseg.log")
    assert first == second


def test_an_interruption_leaves_whole_files_and_the_rest_is_done_later(
    scans, run, tmp_path, monkeypatch
):
    output = tmp_path / "out"
    original, calls = OpenVinoRuntime.predict, []

    def interrupted(self, images):
        calls.append(images)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return original(self, images)

    monkeypatch.setattr(OpenVinoRuntime, "predict", interrupted)
    with pytest.raises(KeyboardInterrupt):
        go(scans, run, output)
    assert set(files_in(output)) == {
        "a/mask.png",
        "a/overlay.png",
        "a/lesions.json",
        "breastseg.log",
    }
    result = go(scans, run, output)
    assert [case.reused for case in result.cases] == [True, False, False]


def test_overwrite_predicts_all_anew(scans, run, tmp_path, num_calls):
    go(scans, run, tmp_path / "out")
    result = go(scans, run, tmp_path / "out", overwrite=True)
    assert num_calls() == 6
    assert not any(case.reused for case in result.cases)


def test_results_of_another_model_are_replaced_only_when_told(scans, run, tmp_path):
    output = tmp_path / "out"
    go(scans, run, output)
    before = files_in(output)
    other = make_run(tmp_path / "other", brightness=1.5)
    with pytest.raises(InputError, match=r"predictions\.json: expected results of.*--overwrite"):
        go(scans, other, output)
    (output / "predictions.json").unlink()
    with pytest.raises(InputError, match=r"lesions\.json: expected results of.*--overwrite"):
        go(scans, other, output)
    assert files_in(output) == {
        name: data for name, data in before.items() if name != "predictions.json"
    }
    go(scans, other, output, overwrite=True)
    made_by = [
        json.loads(path.read_text())["model"]["fingerprint"]
        for path in (*output.glob("*/lesions.json"), output / "predictions.json")
    ]
    assert len(made_by) == 4
    assert len(set(made_by)) == 1


def test_results_at_another_threshold_are_not_mixed(scans, run, tmp_path):
    go(scans, run, tmp_path / "out")
    with pytest.raises(InputError, match=r"threshold 0\.3, found .* at 0\.5"):
        go(scans, run, tmp_path / "out", threshold=0.3)


def test_another_image_of_the_same_name_fails_alone(scans, run, tmp_path):
    go(scans, run, tmp_path / "out")
    before = (tmp_path / "out" / "a" / "lesions.json").read_bytes()
    picture(scans / "a.png", squares=())
    result = go(scans, run, tmp_path / "out")
    (failure,) = result.failures
    assert "made from another image" in failure.reason
    assert (tmp_path / "out" / "a" / "lesions.json").read_bytes() == before


def test_a_result_that_was_edited_is_made_again(scans, run, tmp_path):
    output = tmp_path / "out"
    go(scans, run, output)
    path = output / "a" / "lesions.json"
    whole = path.read_bytes()
    for damage in ({"lesions": [{"number": 1}]}, {"image": {}}):
        path.write_text(json.dumps(json.loads(whole) | damage))
        result = go(scans, run, output)
        assert [case.reused for case in result.cases] == [False, True, True]
        assert path.read_bytes() == whole


def test_results_inside_the_folder_of_scans_are_not_scans(scans, run):
    first = go(scans, run, scans / "out")
    second = go(scans, run, scans / "out")
    assert len(first.cases) == len(second.cases) == 3
    assert all(case.reused for case in second.cases)
    assert len(go(scans, run, scans.parent / "elsewhere").cases) == 3


def test_a_full_disk_stops_and_leaves_what_is_there(scans, run, tmp_path, monkeypatch):
    output = tmp_path / "out"
    go(scans, run, output)
    before = {name: data for name, data in files_in(output).items() if name != "breastseg.log"}

    def full(_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OutputError, match="No space left on device"):
        go(scans, run, output, overwrite=True)
    assert {
        name: data for name, data in files_in(output).items() if name != "breastseg.log"
    } == before


def test_a_name_that_cannot_be_a_folder_fails_alone(run, tmp_path):
    deep = Path(*["d" * 100] * 3)
    picture(tmp_path / "scans" / deep / "a.png")
    picture(tmp_path / "scans" / "report.html.png")
    picture(tmp_path / "scans" / "b.png")
    result = go(tmp_path / "scans", run, tmp_path / "out")
    assert [case.case_id for case in result.cases] == ["b"]
    assert all("Rename" in failure.reason for failure in result.failures)
    assert result.num_failed == 2


@pytest.mark.parametrize("threshold", [0, 1.5])
def test_a_wrong_threshold_leaves_no_folder(scans, run, tmp_path, threshold):
    with pytest.raises(InputError, match="threshold"):
        go(scans, run, tmp_path / "out", threshold=threshold)
    assert not (tmp_path / "out").exists()


def test_wrong_input_is_told_before_anything_is_written(scans, run, tmp_path):
    with pytest.raises(InputError, match=r"missing\.png.*does not exist"):
        go([scans, tmp_path / "missing.png"], run, tmp_path / "out")
    with pytest.raises(RunFolderError, match="expected a run folder"):
        go(scans, tmp_path, tmp_path / "out")
    picture(tmp_path / "twin" / "a.png")
    with pytest.raises(LayoutError, match="case id"):
        go([scans, tmp_path / "twin"], run, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_log_ends_with_the_call(scans, run, tmp_path):
    go(scans, run, tmp_path / "one")
    go(scans, run, tmp_path / "two")
    log = (tmp_path / "one" / "breastseg.log").read_text()
    assert log.count("sub__b: done, lesions: 2") == 1


def test_progress_is_told(scans, run, tmp_path, capsys):
    told = []
    go(scans, run, tmp_path / "out", reading=lambda *progress: told.append(progress))
    assert told == [("Predicting", done, 3) for done in (1, 2, 3)]
    assert capsys.readouterr() == ("", "")


def write_ultrasound(path, frames=1, **attributes):
    """The same picture as DICOM, 0.1 mm per pixel; frames after the first are dark."""
    pixels = np.full((frames, 40, 60), 20, np.uint8)
    pixels[0, 10:22, 20:32] = 220
    dataset = base_dataset(
        ULTRASOUND_IMAGE, "US", {"study": "1.2", "series": "1.3", "frame": "1.4"}
    )
    set_pixels(dataset, pixels)
    dataset.NumberOfFrames = frames
    region = Dataset()
    region.RegionSpatialFormat = region.RegionDataType = 1
    region.PhysicalUnitsXDirection = region.PhysicalUnitsYDirection = 3
    region.PhysicalDeltaX = region.PhysicalDeltaY = 0.01
    dataset.SequenceOfUltrasoundRegions = Sequence([region])
    for keyword, value in attributes.items():
        setattr(dataset, keyword, value)
    path.parent.mkdir(parents=True, exist_ok=True)
    dataset.save_as(path, enforce_file_format=True)
    return path


def test_dicom_ultrasound_is_predicted_like_a_picture(run, tmp_path):
    write_ultrasound(tmp_path / "exam" / "IM0001", BurnedInAnnotation="YES")
    picture(tmp_path / "picture" / "a.png")
    output = tmp_path / "out"
    dicom, png = go([tmp_path / "exam", tmp_path / "picture"], run, output).cases[::-1]
    assert dicom.case_id == series_case_id("1.3", "US")
    assert png.case_id == "a"
    masks = [(output / case.case_id / "mask.png").read_bytes() for case in (dicom, png)]
    assert masks[0] == masks[1]
    document = json.loads((output / dicom.case_id / "lesions.json").read_text())
    assert document["image"]["spacing_mm"] == pytest.approx([0.1, 0.1])
    (lesion,) = document["lesions"]
    assert lesion["area_mm2"] == pytest.approx(lesion["area_px"] * 0.01, rel=1e-3)
    assert "burnt into the picture" in document["notes"][0]
    assert "burnt into the picture" in (output / "report.html").read_text()
    everything = b"".join(files_in(output).values())
    assert b"Doe" not in everything
    assert b"SECRET" not in everything
    again = go([tmp_path / "exam"], run, output).cases[0]
    assert (again.reused, again.notes) == (True, dicom.notes)


def test_on_a_screen_only_the_scan_is_searched(run, tmp_path):
    """A bright place is found in the whole picture, and no more once the file names the scan."""
    pixels = np.full((60, 90), 20, np.uint8)
    pixels[5:25, 65:85] = 220
    region = Dataset()
    region.RegionSpatialFormat = region.RegionDataType = 1
    attributes = {"Rows": 60, "Columns": 90, "PixelData": pixels.tobytes()}
    attributes["SequenceOfUltrasoundRegions"] = Sequence([region])
    path = write_ultrasound(tmp_path / "unsaid.dcm", **attributes)
    assert go([path], run, tmp_path / "whole").cases[0].lesions
    region.RegionLocationMinX0, region.RegionLocationMinY0 = 0, 0
    region.RegionLocationMaxX1, region.RegionLocationMaxY1 = 59, 39
    path = write_ultrasound(tmp_path / "said.dcm", **attributes)
    (found,) = go([path], run, tmp_path / "part").cases
    assert not found.lesions
    path = tmp_path / "part" / found.case_id / "lesions.json"
    document = json.loads(path.read_text())
    assert "Rows 0 to 39 and columns 0 to 59" in document["notes"][-1]
    assert document["image"].pop("scan_area") == {"top": 0, "bottom": 40, "left": 0, "right": 60}
    path.write_text(json.dumps(document))
    (again,) = go([tmp_path / "said.dcm"], run, tmp_path / "part").cases
    assert not again.reused  # A result that does not say what was searched is made anew.


def test_a_bright_mark_in_colour_is_no_lesion(run, tmp_path):
    """The model finds what is bright; what is drawn in yellow it is not shown, and that is told."""
    grey = np.full((60, 90, 3), 70, np.uint8)
    grey[10:16, 30:60] = grey[35:50, 10:25] = 235
    colour = grey.copy()
    colour[10:16, 30:60] = (255, 255, 0)
    for name, pixels in (("grey", grey), ("colour", colour)):
        Pillow.fromarray(pixels).save(tmp_path / f"{name}.png")
    coloured, plain = go(
        [tmp_path / "colour.png", tmp_path / "grey.png"], run, tmp_path / "o"
    ).cases
    assert len(plain.lesions) == 2
    assert not plain.notes
    assert len(coloured.lesions) == 1
    assert "3.3% of the picture is drawn over in colour" in coloured.notes[0]
    document = json.loads((tmp_path / "o" / "colour" / "lesions.json").read_text())
    assert document["image"]["drawn_px"] == 6 * 30


def test_each_frame_and_each_picture_of_a_series_is_a_case(run, tmp_path):
    write_ultrasound(tmp_path / "exam" / "loop", frames=2)
    stem = series_case_id("1.3", "US")
    loop = go(tmp_path / "exam", run, tmp_path / "one")
    assert [case.case_id for case in loop.cases] == [f"{stem}-f001", f"{stem}-f002"]
    assert [len(case.lesions) for case in loop.cases] == [1, 0]
    write_ultrasound(tmp_path / "exam" / "still")
    both = go(tmp_path / "exam", run, tmp_path / "two")
    names = [case.case_id.removeprefix(stem) for case in both.cases]
    assert len(names) == 3
    assert sum(bool(re.fullmatch("-[0-9a-f]{8}", name)) for name in names) == 1
    assert sum(bool(re.fullmatch("-[0-9a-f]{8}-f00[12]", name)) for name in names) == 2


def test_ct_fails_alone_and_other_objects_are_left(run, tmp_path):
    write_ultrasound(tmp_path / "exam" / "us.dcm")
    ct = write_series(tmp_path / "exam" / "ct")
    report = write_ultrasound(tmp_path / "exam" / "report.dcm", SOPClassUID=REPORT)
    put("SeriesInstanceUID", "1.9")(ct, 0)
    put("SeriesInstanceUID", "1.8")(replace(ct, paths=(report,)), 0)
    (tmp_path / "exam" / "cut.dcm").write_bytes(b"DICM")
    result = go(tmp_path / "exam", run, tmp_path / "out")
    assert [case.case_id[:3] for case in result.cases] == ["us-"]
    reasons = {failure.case_id[:3]: failure.reason for failure in result.failures}
    assert reasons.keys() == {"ct-", "cut"}
    assert "is one for pictures, and this is a CT volume" in reasons["ct-"]
    assert reasons["cut"].endswith("[damaged-file]")
    assert "Left out: " in (tmp_path / "out" / "breastseg.log").read_text()
    named = go([report, tmp_path / "exam" / "us.dcm"], run, tmp_path / "named")
    assert [failure.case_id for failure in named.failures] == ["report"]


def test_neither_framework_nor_what_only_volumes_need_is_imported(scans, run, tmp_path):
    code = (
        "import sys; from pathlib import Path; from breastseg.workflows.predict import predict; "
        f"predict([Path({str(scans)!r})], model=Path({str(run)!r}), "
        f"output=Path({str(tmp_path / 'out')!r}), threads=1); "
        "print([name for name in ('torch', 'tensorflow', 'keras', 'pydicom', 'highdicom', "
        "'nibabel', 'matplotlib', 'scipy.stats', 'breastseg.training.fit', "
        "'breastseg.inference.segment_volume', 'breastseg.report.malignancy_overlays') "
        "if name in sys.modules])"
    )
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout
    assert found.strip() == "[]"


# --- explanations -----------------------------------------------------------------------------

OUTER_GREEN, INNER_PINK = (64, 214, 160), (240, 150, 205)


def calibrate(run, outer, inner):
    guarantees = {
        name: ConformalThreshold(threshold=each, alpha=0.1, tolerance=0.1, num_groups=20)
        for name, each in (("outer", outer), ("inner", inner))
    }
    open_run(run).save_calibration(Calibration(operating_threshold=0.5, **guarantees))


def colours_of(path):
    return {tuple(each) for each in np.asarray(Pillow.open(path)).reshape(-1, 3)}


def test_a_model_with_guarantees_draws_its_contours_and_says_what_they_mean(scans, run, tmp_path):
    plain = go(scans, run, tmp_path / "plain")
    calibrate(run, outer=0.001, inner=0.9)
    result = go(scans, run, tmp_path / "out")
    before, after = (
        colours_of(each.output / "a" / "overlay.png") & {OUTER_GREEN, INNER_PINK}
        for each in (plain, result)
    )
    assert (before, after) == (set(), {OUTER_GREEN, INNER_PINK})
    (case, *_) = json.loads(result.index_path.read_text())["cases"]
    assert case["bounds"]["outer_px"] > case["lesions"][0]["area_px"] > case["bounds"]["inner_px"]
    assert case["bounds"]["abstains"] is False
    sentence = "outer, with 90% confidence: at least 90% of the lesion lies within it"
    assert sentence in result.report_path.read_text()
    assert sentence not in plain.report_path.read_text()
    assert "bounds" not in json.loads(plain.index_path.read_text())["cases"][0]


def test_a_model_that_abstains_says_not_sure(scans, run, tmp_path):
    calibrate(run, outer=0.0, inner=None)
    result = go(scans, run, tmp_path / "out")
    (case, *_) = json.loads(result.index_path.read_text())["cases"]
    assert case["bounds"] == {"outer_px": 40 * 60, "inner_px": None, "abstains": True}
    assert "Not sure: the outer contour" in result.report_path.read_text()


def test_the_picture_of_malignancy_is_drawn_on_request_also_of_what_was_done(scans, tmp_path):
    run, output = make_run(tmp_path / "telling", recipe=TELLING_RECIPE), tmp_path / "out"
    plain = go(scans, run, output)
    assert not (output / "a" / "malignancy.png").exists()
    assert "malignancy" not in json.loads(plain.index_path.read_text())["cases"][0]
    go(scans, run, output, explain=True)
    (case, *_) = json.loads(plain.index_path.read_text())["cases"]
    told = case["malignancy"]
    shares = case["classes"]
    assert told["against"] == "benign"
    assert told["score"] == pytest.approx(np.log(shares["malignant"] / shares["benign"]), abs=1e-3)
    assert told["bias"] == -1
    made = (output / "a" / "malignancy.png").read_bytes()
    again = go(scans, run, output)
    assert all(case.reused for case in again.cases)
    page = again.report_path.read_text()
    assert page.count('malignancy.png"><img') == 3
    assert "no proof of cancer" in page
    assert (output / "a" / "malignancy.png").read_bytes() == made
    go(scans, run, output, overwrite=True)
    assert not (output / "a" / "malignancy.png").exists()
    assert "malignancy.png" not in plain.report_path.read_text()


def test_a_model_without_the_class_malignant_refuses_to_explain(scans, run, tmp_path):
    with pytest.raises(InputError, match="tells no class of that name"):
        go(scans, run, tmp_path / "out", explain=True)
    assert not (tmp_path / "out").exists()


def test_several_threads_write_the_same_files(run, tmp_path):
    for number in range(8):
        picture(tmp_path / "scans" / f"{number}.png", squares=((number, 20, 5 + number),))
    (tmp_path / "scans" / "3.png").write_text("no picture")
    folders = []
    for threads in (1, 3):
        told = []
        output = tmp_path / f"out{threads}"
        result = predict(
            [tmp_path / "scans"],
            model=run,
            output=output,
            threads=threads,
            reading=lambda what, done, total, told=told: told.append((done, total)),
        )
        assert [case.case_id for case in result.cases] == list("0124567")
        assert [failure.case_id for failure in result.failures] == ["3"]
        assert told == [(done, 8) for done in range(1, 9)]
        files = files_in(output)
        del files["breastseg.log"]
        folders.append(files)
    assert folders[0] == folders[1]


def test_threads_stop_at_what_cannot_be_written_and_leave_whole_cases(run, tmp_path):
    for number in range(20):
        picture(tmp_path / "scans" / f"{number:02}.png")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "04").write_text("in the way of a folder")
    with pytest.raises(OutputError, match="04: cannot be written"):
        predict([tmp_path / "scans"], model=run, output=tmp_path / "out", threads=3)
    cases = [path for path in (tmp_path / "out").iterdir() if path.is_dir()]
    assert 4 <= len(cases) < 20
    names = {"mask.png", "overlay.png", "lesions.json"}
    assert all({file.name for file in case.iterdir()} == names for case in cases)
