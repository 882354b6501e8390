"""breastseg.load and what it returns: the same findings as the command writes."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from matplotlib import pyplot
from PIL import Image as Pillow

import breastseg
from breastseg.core.calibration import Calibration, ConformalThreshold
from breastseg.core.errors import (
    GeometryError,
    ImageFileError,
    InputError,
    RunFolderError,
)
from breastseg.core.image import Image
from breastseg.io.nifti import read_nifti, write_nifti
from breastseg.training.checkpoint import open_run
from breastseg.workflows.predict import predict
from tests.bright_network import bright_recipe, write_bright_run
from tests.bright_pictures import TELLING_RECIPE, make_run, picture
from tests.crude_chest import IN_RIGHT_BREAST, crude_chest, with_lesion
from tests.made_series import write_ct

PAGE = Path(__file__).parents[3] / "docs" / "how-to" / "use-from-python.md"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return make_run(tmp_path_factory.mktemp("run") / "mine")


@pytest.fixture(scope="module")
def model(run):
    return breastseg.load(str(run), threads=1)


@pytest.fixture(scope="module")
def ct_run(tmp_path_factory):
    path = tmp_path_factory.mktemp("run") / "my-ct-model"
    write_bright_run(path, bright_recipe(region="breasts"), 150.0)
    return path


@pytest.fixture(scope="module")
def ct_model(ct_run):
    return breastseg.load(ct_run, threads=1)


@pytest.fixture(scope="module")
def series(tmp_path_factory):
    chest = with_lesion(crude_chest(), IN_RIGHT_BREAST)
    folder = tmp_path_factory.mktemp("series")
    write_ct(folder, chest.pixels, chest.affine)
    return folder


@pytest.fixture
def scan(tmp_path):
    return picture(tmp_path / "scan.png", squares=((5, 5, 8), (25, 40, 10)))


def written_by_predict(scan, run, output):
    result = predict([scan], model=run, output=output, threads=1)
    (case,) = result.cases
    folder = output / case.case_id
    return folder, json.loads((folder / "lesions.json").read_text())


def test_a_picture_has_what_the_command_writes(scan, run, model, tmp_path):
    folder, document = written_by_predict(scan, run, tmp_path / "out")
    found = model.predict(scan)
    assert (found.case_id, found.threshold) == ("scan", document["threshold"])
    assert [lesion.to_document() for lesion in found.lesions] == document["lesions"]
    np.testing.assert_array_equal(found.mask, np.asarray(Pillow.open(folder / "mask.png")) > 0)
    np.testing.assert_array_equal(found.overlay(), np.asarray(Pillow.open(folder / "overlay.png")))
    assert found._repr_png_() == (folder / "overlay.png").read_bytes()


def test_maps_are_on_the_grid_of_the_picture(scan, model):
    found = model.predict(str(scan))
    assert found.probability.shape == found.mask.shape == found.labels.shape == (40, 60)
    assert (found.probability.dtype, found.mask.dtype) == (np.float32, bool)
    assert 0 <= found.probability.min() < 0.01
    assert 0.99 < found.probability.max() <= 1
    assert set(np.unique(found.labels)) == {0, 1, 2}
    assert "2 lesion(s) in 40 x 60" in repr(found)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float64])
def test_an_array_is_its_picture_whatever_the_unit(scan, model, dtype):
    grey = np.asarray(Pillow.open(scan)).astype(dtype)
    found, of_file = model.predict(grey), model.predict(scan)
    np.testing.assert_array_equal(found.probability, of_file.probability)
    assert found.lesions == of_file.lesions
    assert found.case_id == "image"


def test_grey_stored_as_colours_is_grey(scan, model):
    grey = np.asarray(Pillow.open(scan))
    found, of_file = model.predict(np.stack([grey] * 3, axis=-1)), model.predict(scan)
    np.testing.assert_array_equal(found.probability, of_file.probability)


def test_a_spacing_gives_millimetres(scan, model):
    plain, known = (model.predict(scan, spacing_mm=each) for each in (None, (0.5, 0.2)))
    assert plain.lesions[0].area_mm2 is None
    assert known.lesions[0].area_mm2 == pytest.approx(0.1 * plain.lesions[0].area_px)


def test_a_threshold_takes_the_place_of_the_models_own(scan, model):
    assert model.threshold == 0.5
    highest = max(lesion.probability for lesion in model.predict(scan).lesions)
    assert model.predict(scan, threshold=1.0).threshold == 1.0
    assert all(x.probability >= 1.0 for x in model.predict(scan, threshold=1.0).lesions)
    assert highest > 0.99


def test_many_are_predicted_when_they_are_asked_for(model, tmp_path):
    for name in "ab":
        picture(tmp_path / "scans" / f"{name}.png")
    picture(tmp_path / "scans" / "a_mask.png")
    asked = []

    def scans():
        for each in (tmp_path / "scans", np.eye(9), "missing.png"):
            asked.append(each)
            yield each

    found = model.predict_many(scans())
    assert asked == []
    assert next(found).case_id == "a"
    assert len(asked) == 1
    assert [next(found).case_id for _ in range(2)] == ["b", "image"]
    with pytest.raises(InputError, match=r"missing\.png: expected a scan"):
        next(found)


@pytest.mark.parametrize(
    ("grey", "error", "message"),
    [
        (np.eye(12, dtype=np.uint8).reshape(8, 6, 3), GeometryError, r"Turn colours into grey"),
        (np.zeros((0, 5), np.uint8), GeometryError, r"shape \(0, 5\)"),
        (np.zeros((4, 5), complex), GeometryError, "of complex128"),
        (np.full((4, 5), np.nan), InputError, "finite"),
        (np.full((4, 5), 1e300), InputError, "finite"),
        (Image(pixels=np.zeros((2, 4, 5), np.float32)), GeometryError, "pass one slice"),
    ],
)
def test_arrays_that_are_no_picture_are_refused(model, grey, error, message):
    with pytest.raises(error, match=message):
        model.predict(grey)


@pytest.mark.parametrize("spacing", [(0.1, 0.0), (0.1, float("nan")), (0.1,), (1, float("inf"))])
def test_a_spacing_that_cannot_be_is_refused(model, scan, spacing):
    with pytest.raises(InputError, match="two lengths"):
        model.predict(scan, spacing_mm=spacing)


def test_what_is_not_one_scan_is_refused(model, tmp_path):
    picture(tmp_path / "scans" / "a.png")
    mask = picture(tmp_path / "scans" / "a_mask.png")
    picture(tmp_path / "scans" / "b.png")
    with pytest.raises(InputError, match=r"expected one scan, found 2.*predict_many"):
        model.predict(tmp_path / "scans")
    with pytest.raises(InputError, match="1 recognised as masks"):
        model.predict(mask)
    (tmp_path / "broken.png").write_text("no picture")
    with pytest.raises(ImageFileError, match="holds text"):
        model.predict(tmp_path / "broken.png")
    with pytest.raises(InputError, match="threshold must be"):
        model.predict_many([mask], threshold=0)


def test_a_loaded_model_does_not_change_with_its_folder(scan, tmp_path):
    folder = make_run(tmp_path / "run")
    (folder / "notice.txt").write_text("Of simulated lesions.\n")
    model = breastseg.load(folder, threads=1)
    facts = model.fingerprint, model.threshold, model.notice
    shutil.rmtree(folder)
    found = model.predict(scan)
    assert (model.fingerprint, model.threshold, model.notice) == facts
    assert (len(found.lesions), found.notice) == (2, "Of simulated lesions.")


def test_threads_predict_many_in_their_order(scan, run, model, tmp_path):
    for number in range(9):
        picture(tmp_path / "scans" / f"{number}.png", squares=((number, 20, 5 + number),))
    several = breastseg.load(run, threads=3)
    expected = [each.lesions for each in model.predict_many([tmp_path / "scans"])]
    found = list(several.predict_many([tmp_path / "scans"]))
    assert [each.case_id for each in found] == list("012345678")
    assert [each.lesions for each in found] == expected
    many = several.predict_many([scan, "missing.png", scan])
    assert next(many).case_id == "scan"
    with pytest.raises(InputError, match=r"missing\.png"):
        next(many)


def test_an_unknown_model_is_refused():
    with pytest.raises(RunFolderError, match="nobody/trained-this: expected a run folder"):
        breastseg.load("nobody/trained-this")


def test_plots_into_a_new_figure_or_axes_of_the_callers(model, scan):
    found = model.predict(scan)
    figure = found.plot()
    (shown,) = figure.axes[0].get_images()
    np.testing.assert_array_equal(shown.get_array(), found.overlay())
    ours, (left, right) = pyplot.subplots(1, 2)
    assert found.plot(right) is ours
    assert (len(left.get_images()), len(right.get_images())) == (0, 1)
    pyplot.close("all")


def test_a_ct_has_what_the_command_writes(series, ct_run, ct_model, tmp_path):
    folder, document = written_by_predict(series, ct_run, tmp_path / "out")
    found = ct_model.predict(series)
    written = read_nifti(folder / "mask.nii.gz")
    assert found.mask.sum() == (written.pixels > 0).sum() > 0
    assert found.probability.shape == found.image.pixels.shape
    assert found.probability[found.mask].max() == pytest.approx(found.lesions[0].probability)
    told = [{**x.to_document(), "tracking_uid": ""} for x in found.lesions]
    assert told == [{**lesion, "tracking_uid": ""} for lesion in document["lesions"]]
    assert set(document["searched"]) <= set(found.notes)
    drawn = np.asarray(Pillow.open(folder / "overlay-1.png"))
    np.testing.assert_array_equal(found.overlay(), drawn)
    with pytest.raises(InputError, match="number of a lesion, 1 to 1, got 2"):
        found.overlay(lesion=2)


def test_a_ct_in_memory_is_its_file(ct_model, series, tmp_path):
    chest = with_lesion(crude_chest(), IN_RIGHT_BREAST)
    write_nifti(tmp_path / "chest.nii.gz", chest)
    of_file, of_image = ct_model.predict(tmp_path / "chest.nii.gz"), ct_model.predict(chest)
    assert of_image.mask.sum() == of_file.mask.sum() == ct_model.predict(series).mask.sum()
    nothing = ct_model.predict(crude_chest())
    assert nothing.lesions == ()
    assert nothing.overlay().ndim == 3


def test_what_explains_a_picture_is_on_its_grid(scan, tmp_path):
    run = make_run(tmp_path / "run", recipe=TELLING_RECIPE)
    guarantee = ConformalThreshold(threshold=0.001, alpha=0.1, tolerance=0.1, num_groups=20)
    open_run(run).save_calibration(Calibration(outer=guarantee, operating_threshold=0.5))
    found = breastseg.load(run, threads=1).predict(scan)
    assert found.outer_mask.shape == found.malignancy_map.shape == (40, 60)
    assert found.outer_mask[found.mask].all()
    assert found.inner_mask is None
    assert not found.abstains
    assert found.malignancy_map.dtype == np.float32
    inside, outside = (
        found.malignancy_map[each].mean() for each in (found.mask, ~found.outer_mask)
    )
    assert inside > 10 * outside >= 0
    odds = np.log(found.classes["malignant"] / found.classes["benign"])
    assert found.malignancy.score == pytest.approx(odds, abs=1e-4)
    predict([scan], model=run, output=tmp_path / "out", threads=1, explain=True)
    folder = tmp_path / "out" / "scan"
    np.testing.assert_array_equal(found.overlay(), np.asarray(Pillow.open(folder / "overlay.png")))
    picture = np.asarray(Pillow.open(folder / "malignancy.png"))
    np.testing.assert_array_equal(found.malignancy_overlay(), picture)
    np.testing.assert_array_equal(
        found.plot(malignancy=True).axes[0].images[0].get_array(), picture
    )
    pyplot.close("all")


def test_without_guarantee_and_classes_there_is_nothing_to_explain(scan, model):
    found = model.predict(scan)
    assert found.outer_mask is found.inner_mask is found.malignancy is found.malignancy_map is None
    assert not found.abstains
    with pytest.raises(InputError, match="tells no class malignant"):
        found.plot(malignancy=True)


def test_models_refuse_scans_of_the_other_kind(model, ct_model, scan, series):
    assert (model.of_volumes, ct_model.of_volumes) == (False, True)
    with pytest.raises(InputError, match="one for pictures, and this is a CT"):
        model.predict(series)
    with pytest.raises(InputError, match="one for CT volumes, and this is a picture"):
        ct_model.predict(scan)
    with pytest.raises(InputError, match="an Image in HU with an affine"):
        ct_model.predict(np.eye(9))
    with pytest.raises(InputError, match="Leave it out"):
        ct_model.predict(series, spacing_mm=(1, 1))


def test_importing_is_free_and_predicting_imports_no_framework(scan, run):
    code = (
        "import sys, breastseg; print('numpy' in sys.modules); "
        f"breastseg.load({str(run)!r}, threads=1).predict({str(scan)!r}).overlay(); "
        "print([name for name in ('torch', 'tensorflow', 'keras', 'matplotlib', 'pydicom', "
        "'highdicom', 'nibabel', 'typer', 'jinja2') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[:2] == ["False", "[]"]


def test_the_package_has_no_other_names():
    assert {"Model", "Prediction", "load"} <= set(dir(breastseg))
    with pytest.raises(AttributeError, match="no attribute 'lode'"):
        breastseg.lode  # noqa: B018 - the access is what fails


def test_the_code_of_the_how_to_page_runs(run, ct_run, series, tmp_path, monkeypatch, capsys):
    (tmp_path / "runs").mkdir()
    for name, target in (("runs/mine", run), ("runs/my-ct-model", ct_run), ("series", series)):
        (tmp_path / name).symlink_to(target)
    picture(tmp_path / "scan.png")
    picture(tmp_path / "scans" / "a.png")
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert len(blocks) == 5
    assert 'load("ultrasound")' in blocks[0]
    # On the little network, whose answers are known.
    code = "".join(blocks).replace('load("ultrasound")', 'load("runs/mine")')
    exec(code, {"__name__": "page"})
    pyplot.close("all")
    said = capsys.readouterr().out
    assert "0.5 <breastseg.Prediction scan: 1 lesion(s) in 40 x 60>" in said
    assert "notes.txt: expected a scan or a folder of scans, but it does not exist." in said
    assert (tmp_path / "scan-overlay.png").is_file()
    assert (tmp_path / "lesion-1.png").is_file()
