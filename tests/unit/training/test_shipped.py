"""The models that ship are whole, small, and say what they are."""

from pathlib import Path

import pytest

from breastseg.training.checkpoint import open_run
from breastseg.training.shipped import folder_beside, resolve_model, shipped_models
from breastseg.workflows.slim_model import card_of


def test_ct_demo_ships():
    assert "ct-demo" in shipped_models()


@pytest.mark.parametrize("name", shipped_models())
def test_a_model_that_ships_is_whole_and_small(name):
    folder = resolve_model(name)
    run, card = open_run(folder), card_of(folder)
    run.weights()  # checks checksums, names, shapes
    assert card["name"] == name
    assert card["fingerprint"] == run.fingerprint
    assert card["description"]
    assert run.calibration.is_fitted
    assert run.operating_threshold == card["operating_threshold"]
    assert sum(path.stat().st_size for path in folder.iterdir()) <= 12_000_000
    assert not (folder / "last").exists()


def test_ct_demo_says_that_it_knows_no_patients_cancer():
    folder = resolve_model("ct-demo")
    assert "never validated on patients" in open_run(folder).notice
    assert "never validated on patients" in (folder / "card.md").read_text()
    assert (folder / "weights.safetensors").stat().st_size <= 6_000_000


def test_results_of_a_model_that_ships_are_not_written_into_the_package(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert folder_beside(Path("ct-demo"), "shift") == Path("ct-demo-shift")
    assert folder_beside(tmp_path, "shift") == tmp_path / "shift"
