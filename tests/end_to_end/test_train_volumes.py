"""A training on CT volumes from files to a calibrated run, on crude chests."""

import json

import numpy as np

from breastseg.core.network_recipe import UNetSpec
from breastseg.core.recipes import ct_3d, ct_25d
from breastseg.datasets.cases import read_case
from breastseg.datasets.layouts import find_data_set
from breastseg.training.model import load_model
from breastseg.workflows.calibrate import calibrate
from breastseg.workflows.cross_validate import cross_validate
from breastseg.workflows.train import Hardware, train
from tests.chest_set import write_chest_set


def coarse(recipe, *, epochs, volume, network, split):
    """Return a CT recipe on a coarse grid, with a network of two levels."""
    optimisation = {"epochs": epochs, "deep_supervision": 0}
    return recipe.model_copy(
        update={
            "volume": recipe.volume.model_copy(update=volume),
            "network": UNetSpec(**network, channels=(8, 8), norm="group", convolutions=1),
            "optimisation": recipe.optimisation.model_copy(update=optimisation),
            "split": recipe.split.model_copy(update=split),
        }
    )


def tiny_recipe():
    """Return ct-3d on a coarse grid, with most volumes set aside for calibration."""
    return coarse(
        ct_3d(),
        epochs=2,
        volume={"spacing_mm": (6.0, 6.0, 6.0), "patch": (16, 32, 32), "patches_per_volume": 4},
        network={"dimensions": 3},
        split={"calibration": 0.5, "test": 0.1, "validation": 0.1},
    )


def test_a_run_on_volumes_is_calibrated_and_can_be_so_again(tmp_path, monkeypatch):
    monkeypatch.setenv("BREASTSEG_CACHE", str(tmp_path / "cache"))
    data = write_chest_set(tmp_path / "data", 20)
    run = train(
        data, tiny_recipe(), framework="pytorch", output=tmp_path / "run",
        hardware=Hardware(threads=1),
    )  # fmt: skip
    assert run.constant_mask().name == "whole breast region"
    written = (run.path / "calibration.json").read_text()
    document = json.loads(written)
    assert document["inner"]["num_groups"] == 10
    assert document["outer"]["num_groups"] == 7
    assert document["outer"]["threshold"] is None
    assert document["chosen_on"]["temperature"]["num_images"] == 10
    (again,) = calibrate(run.path, data)
    assert again == run.calibration
    assert (run.path / "calibration.json").read_text() == written


def slices_recipe():
    """Return ct-25d on a coarse grid, small enough for two folds."""
    return coarse(
        ct_25d(),
        epochs=1,
        volume={"spacing_mm": (12.0, 12.0, 12.0), "patch": (1, 16, 16), "patches_per_volume": 8},
        network={"input_channels": 3},
        split={"calibration": 0.0, "validation": 0.25},
    )


def test_folds_of_a_network_of_slices_predict_a_volume_as_one(tmp_path, monkeypatch):
    monkeypatch.setenv("BREASTSEG_CACHE", "off")
    data = write_chest_set(tmp_path / "data", 8)
    model = cross_validate(
        data,
        slices_recipe(),
        framework="tensorflow",
        num_folds=2,
        output=tmp_path / "folds",
        hardware=Hardware(threads=1),
    )
    assert model.of_volumes
    held_out = [case_id for run in model.runs for case_id in run.split.parts["test"]]
    cases = find_data_set(data, volumes=True).cases
    assert sorted(held_out) == [case.case_id for case in cases]
    case = read_case(cases[0])
    found = load_model(model, threads=1).predict_volume("new", case.image, sha256="0" * 64)
    assert len(found.answers) == 2
    assert not np.array_equal(found.answers[0].logits, found.answers[1].logits)
