"""A training on CT volumes from files to a calibrated run, on crude chests."""

import json

from breastseg.core.network_recipe import UNetSpec
from breastseg.core.recipes import ct_3d
from breastseg.workflows.calibrate import calibrate
from breastseg.workflows.train import Hardware, train
from tests.chest_set import write_chest_set


def tiny_recipe():
    """Return ct-3d on a coarse grid, with most volumes set aside for calibration."""
    recipe = ct_3d()
    volume = {"spacing_mm": (6.0, 6.0, 6.0), "patch": (16, 32, 32), "patches_per_volume": 4}
    return recipe.model_copy(
        update={
            "volume": recipe.volume.model_copy(update=volume),
            "network": UNetSpec(dimensions=3, channels=(8, 8), norm="group", convolutions=1),
            "optimisation": recipe.optimisation.model_copy(update={"epochs": 2}),
            "split": recipe.split.model_copy(
                update={"calibration": 0.5, "test": 0.1, "validation": 0.1}
            ),
        }
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
