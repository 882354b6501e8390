"""A run as a model in 8 bits: measured, refused where it finds less, and never half written."""

import json
from collections import Counter

import openvino
import pytest

from breastseg.api import load
from breastseg.core.errors import AccuracyError, InputError, RunFolderError
from breastseg.datasets.cases import CaseFiles
from breastseg.datasets.splits import DataSplit
from breastseg.inference import int8
from breastseg.training.checkpoint import create_run, open_run
from breastseg.workflows import int8_model as workflow
from breastseg.workflows.calibrate import onnx_of
from breastseg.workflows.export import export
from breastseg.workflows.int8_model import drawn_evenly, int8_model
from breastseg.workflows.model_card import card_lines
from breastseg.workflows.predict import predict
from breastseg.workflows.slim_model import card_of, slim_model
from tests.bright_network import bright_recipe, write_bright_run
from tests.bright_pictures import RECIPE, bright_finder, make_run_on, picture, write_busi


@pytest.fixture
def data(tmp_path):
    return write_busi(tmp_path / "BUSI")


@pytest.fixture
def run(data, tmp_path):
    return make_run_on(data, tmp_path / "run")


@pytest.fixture
def rounding(monkeypatch):
    """Stand in for NNCF: returns what was asked of it; answers are networks to give, in turn."""

    class Rounding:
        def __init__(self):
            self.asked, self.answers = [], []

        def __call__(self, network, images, *, asymmetric, float_ends, seen):
            self.asked.append((len(images), asymmetric, float_ends))
            seen(len(images))
            given = self.answers.pop(0) if self.answers else network
            kept = ("stem", "head") if float_ends else ()
            return int8._serialised(openvino.Core().read_model(given)), kept

    stand_in = Rounding()
    monkeypatch.setattr(workflow, "quantise", stand_in)
    monkeypatch.setattr(workflow, "import_nncf", lambda: None)
    return stand_in


@pytest.fixture
def blind(run, tmp_path):
    """A network that finds nothing, as ONNX."""
    made = create_run(
        tmp_path / "blind",
        recipe=RECIPE,
        split=DataSplit(method="none", parts={}, groups={}),
        environment={"framework": "pytorch"},
        content={},
    )
    made.save_best(bright_finder(brightness=100.0))
    return onnx_of(open_run(made.path))


def test_the_model_predicts_in_8_bits_and_says_what_that_costs(run, data, tmp_path):
    pytest.importorskip("nncf", reason="NNCF is not installed: pip install 'breastseg[int8]'")
    made = int8_model(run, tmp_path / "fast", description="A trial", threads=1)
    found = made.figures["validation"]
    assert (found["num_lesion_images"], found["num_lesion_free_images"]) == (3, 1)
    assert found["dice_float32"] > 0.8
    assert found["dice_int8"] == pytest.approx(found["dice_float32"], abs=0.005)
    assert made.figures["num_images"] == 5
    assert not (made.model / "weights.safetensors").exists()
    model = load(made.model, threads=1)
    assert model.threshold == 0.6
    prediction = model.predict(data / "benign" / "benign (0).png")
    assert [lesion.area_px for lesion in prediction.lesions] == [pytest.approx(144, abs=30)]


def test_temperature_threshold_and_card_are_kept_and_the_fingerprint_is_its_own(
    run, rounding, tmp_path
):
    made = int8_model(run, tmp_path / "fast", description="A trial", threads=1)
    before, after = open_run(run), open_run(made.model)
    assert after.calibration == before.calibration
    assert after.fingerprint != before.fingerprint
    card = card_of(made.model)
    assert card["trained_fingerprint"] == before.fingerprint
    assert card["fingerprint"] == after.fingerprint
    assert card["int8"] == made.figures
    assert "validation images with a lesion" in card_lines(card)["int8_dice"]
    assert "int8 one image" in (made.model / "card.md").read_text()
    assert not any("benign" in path.read_text() for path in made.model.glob("*.json"))
    assert rounding.asked == [(5, False, False)]
    assert made.figures["asymmetric"] is False


def test_it_is_refused_where_it_finds_less_and_nothing_is_written(run, rounding, blind, tmp_path):
    rounding.answers = [blind] * 3
    message = r"of the 3 .* to 0\.0000 and 0\.0000 and 0\.0000"
    with pytest.raises(AccuracyError, match=message) as caught:
        int8_model(run, tmp_path / "fast", threads=1)
    assert caught.value.exit_code == 3
    assert not (tmp_path / "fast").exists()
    assert rounding.asked == [(5, False, False), (5, True, False), (5, True, True)]


def test_ranges_are_asymmetric_where_that_is_enough(run, rounding, blind, tmp_path):
    rounding.answers = [blind]
    made = int8_model(run, tmp_path / "fast", threads=1)
    assert (made.figures["asymmetric"], made.figures["kept_in_float"]) == (True, [])
    assert card_lines(card_of(made.model))["int8_ranges"] == "asymmetric"


def test_the_ends_stay_in_float_where_that_is_enough(run, rounding, blind, tmp_path):
    rounding.answers = [blind, blind]
    made = int8_model(run, tmp_path / "fast", threads=1)
    assert made.figures["kept_in_float"] == ["stem", "head"]
    assert card_lines(card_of(made.model))["int8_kept_in_float"] == "stem, head"


def test_results_in_8_bits_are_not_mixed_with_those_in_float(run, data, rounding, tmp_path):
    made = int8_model(run, tmp_path / "fast", threads=1)
    scan, output = data / "benign" / "benign (0).png", tmp_path / "out"
    assert len(predict([scan], model=made.model, output=output, threads=1).cases) == 1
    with pytest.raises(InputError, match="without weights for precision float32"):
        predict([scan], model=made.model, output=output, precision="float32")
    with pytest.raises(InputError):
        predict([scan], model=run, output=output, threads=1)


@pytest.mark.parametrize("use", [slim_model, export, int8_model])
def test_no_float_weights_are_taken_from_it(use, run, rounding, tmp_path):
    made = int8_model(run, tmp_path / "fast", threads=1)
    with pytest.raises(RunFolderError, match="a model in 8 bits, which predicts and no more"):
        use(made.model, tmp_path / "again.onnx")


def test_other_images_than_those_of_the_run_are_refused(run, data, rounding, tmp_path):
    picture(data / "benign" / "benign (6).png", squares=((1, 1, 9),))
    with pytest.raises(RunFolderError, match="the 4 images of the validation part"):
        int8_model(run, tmp_path / "fast", threads=1)


def test_a_run_without_a_record_of_its_images_is_refused(run, rounding, tmp_path):
    with pytest.raises(RunFolderError, match="knows its training and validation images"):
        int8_model(slim_model(run, tmp_path / "slim"), tmp_path / "fast")


def test_volumes_are_refused(rounding, tmp_path):
    run = write_bright_run(tmp_path / "ct", bright_recipe(), 100.0)
    with pytest.raises(InputError, match="8 bits are for models of pictures"):
        int8_model(run.path, tmp_path / "fast")


def test_a_validation_part_without_a_lesion_is_refused(run, data, rounding, tmp_path):
    split = json.loads((run / "split.json").read_text())
    split["parts"]["validation"] = ["normal__normal (1)"]
    (run / "split.json").write_text(json.dumps(split))
    with pytest.raises(InputError, match="no image with a lesion"):
        int8_model(run, tmp_path / "fast")


def test_a_folder_that_holds_something_is_refused_before_any_work(run, rounding, tmp_path):
    with pytest.raises(RunFolderError, match="new or empty folder"):
        int8_model(run, run)
    assert rounding.asked == []


def test_each_class_is_drawn_alike_as_far_as_there_are_images():
    counts = {"normal": 3, "benign": 40, "malignant": 20}
    cases = [
        CaseFiles(case_id=f"{label}-{n}", image_path=None, label=label)
        for label, count in counts.items()
        for n in range(count)
    ]
    drawn = drawn_evenly(cases, 23, seed=0)
    assert Counter(case.label for case in drawn) == {"normal": 3, "benign": 10, "malignant": 10}
    assert len({case.case_id for case in drawn}) == 23
    assert drawn == drawn_evenly(cases, 23, seed=0) != drawn_evenly(cases, 23, seed=1)
    assert len(drawn_evenly(cases, 300, seed=0)) == 63
