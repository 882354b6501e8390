"""A run as a model to hand on: it predicts the same, and says nothing of its data."""

import json
import shutil

import numpy as np
import pytest

from breastseg.core.calibration import Calibration
from breastseg.core.errors import RunFolderError, WeightsError
from breastseg.datasets.splits import DataSplit
from breastseg.training import shipped
from breastseg.training.checkpoint import create_run, open_run
from breastseg.training.model import open_model
from breastseg.training.notice_file import save_notice
from breastseg.training.shipped import resolve_model, shipped_models
from breastseg.workflows.slim_model import card_of, slim_model
from tests.bright_network import bright_recipe, bright_weights

DIGEST = "d1" * 32


@pytest.fixture
def run(tmp_path):
    recipe = bright_recipe()
    split = DataSplit(
        method="patients", parts={"train": ("secret-1",), "test": ()}, groups={"secret-1": "p"}
    )
    made = create_run(
        tmp_path / "run",
        recipe=recipe,
        split=split,
        environment={"framework": "pytorch", "data": "/home/someone/secret", "device": "cpu"},
        content={"secret-1": DIGEST},
    )
    made.save_best(bright_weights(recipe, 150.0))
    made.save_calibration(Calibration(temperature=1.3, operating_threshold=0.4))
    save_notice(made.path, "Trained on simulated lesions.")
    (made.path / "last").mkdir()
    return made.path


def test_a_slim_model_is_the_run_without_its_data(run, tmp_path):
    model = slim_model(run, tmp_path / "ct-demo", description="A demonstration")
    before, after = open_run(run), open_run(model)
    assert after.fingerprint == before.fingerprint
    assert after.calibration == before.calibration
    assert after.notice == "Trained on simulated lesions."
    for name, values in before.weights().items():
        np.testing.assert_array_equal(after.weights()[name], values)
    held = "".join(path.read_text() for path in model.glob("*.json"))
    assert "secret" not in held
    assert DIGEST not in held
    assert not (model / "last").exists()


def test_the_card_says_what_must_be_known(run, tmp_path):
    model = slim_model(run, tmp_path / "ct-demo", description="A demonstration")
    card = card_of(model)
    assert card["name"] == "ct-demo"
    assert card["takes"] == "CT volumes"
    assert card["cases"]["train"] == 1
    assert card["operating_threshold"] == 0.4
    page = (model / "card.md").read_text()
    assert "**Trained on simulated lesions.**" in page
    assert json.loads((model / "card.json").read_text()) == card


def test_half_the_size_has_a_fingerprint_of_its_own_and_names_both(run, tmp_path):
    model = slim_model(run, tmp_path / "ct-demo", half=True)
    size = (model / "weights.safetensors").stat().st_size
    assert size < 0.8 * (run / "weights.safetensors").stat().st_size
    card, trained = card_of(model), open_run(run).fingerprint
    assert card["trained_fingerprint"] == trained
    assert card["fingerprint"] == open_run(model).fingerprint != trained
    for name, values in open_run(run).weights().items():
        np.testing.assert_allclose(open_run(model).weights()[name], values, rtol=2**-11)


def test_damage_to_a_shipped_weight_is_noticed(run, tmp_path):
    model = slim_model(run, tmp_path / "ct-demo")
    data = bytearray((model / "weights.safetensors").read_bytes())
    data[-1] ^= 1
    (model / "weights.safetensors").write_bytes(data)
    with pytest.raises(WeightsError):
        open_run(model).weights()


def test_a_path_beats_a_name_and_unknown_names_list_what_there_is(run, tmp_path, monkeypatch):
    ships = tmp_path / "ships"
    slim_model(run, ships / "ct-demo")
    monkeypatch.setattr(shipped, "shipped_folder", lambda: ships)
    assert shipped_models() == ("ct-demo",)
    assert open_model(resolve_model("ct-demo")).of_volumes
    assert resolve_model("ct-demo") == ships / "ct-demo"
    shutil.copytree(ships / "ct-demo", tmp_path / "here" / "ct-demo")
    monkeypatch.chdir(tmp_path / "here")
    assert resolve_model("ct-demo").resolve() == tmp_path / "here" / "ct-demo"
    with pytest.raises(RunFolderError, match="one of: ct-demo"):
        resolve_model("ct-dmeo")
