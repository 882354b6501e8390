"""A plan of real files: a recipe that comes back, and what is refused."""

import json
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from breastseg.cli import app
from breastseg.core.errors import InputError, LayoutError
from breastseg.core.recipes import resolve_recipe
from breastseg.datasets.phantom_ct.phantom import PhantomSettings
from breastseg.networks.planning import Budget
from breastseg.workflows.phantom import make_ct_phantoms
from breastseg.workflows.plan import machine_gb, plan

SMALL = PhantomSettings(shape=(12, 64, 64), num_lesions=1, diameters_mm=(24.0, 28.0))


@pytest.fixture(scope="module")
def volumes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two small phantoms in nnU-Net's format."""
    folder = tmp_path_factory.mktemp("plan") / "set"
    return make_ct_phantoms(folder, num_cases=2, seed=2, kind="nifti", settings=SMALL)


@pytest.mark.parametrize("dimensions", ["2", "2.5", "3"])
def test_a_plan_of_volumes_is_a_recipe(volumes: Path, tmp_path: Path, dimensions: str) -> None:
    path = tmp_path / "recipe.json"
    made = plan(volumes, dimensions=dimensions, budget=Budget(memory_gb=4), output=path)
    recipe = resolve_recipe(str(path))
    assert recipe == made.recipe
    assert recipe.fingerprint() == made.recipe.fingerprint()
    assert recipe.volume is not None
    assert recipe.network.dimensions == (3 if dimensions == "3" else 2)
    assert all(choice.reason for choice in made.choices)


def test_a_plan_of_pictures(phantom_data: Path) -> None:
    recipe = plan(phantom_data, budget=Budget(memory_gb=4)).recipe
    assert recipe.volume is None
    assert recipe.network.dimensions == 2
    with pytest.raises(InputError, match="holds pictures, which have two"):
        plan(phantom_data, dimensions="3")


def test_what_cannot_be_trained_on_is_not_planned(volumes: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(volumes, tmp_path / "set"))
    description = json.loads((folder / "dataset.json").read_text())
    (folder / "dataset.json").write_text(json.dumps(description | {"channel_names": {"0": "T1"}}))
    with pytest.raises(LayoutError, match="of T1"):
        plan(folder)


def test_half_of_the_machine_is_something() -> None:
    assert machine_gb() > 0


def test_the_command_says_why_and_prints_json(volumes: Path) -> None:
    answer = CliRunner().invoke(app, ["plan", str(volumes), "--memory", "4000MB", "--json"])
    assert answer.exit_code == 0
    document = json.loads(answer.stdout)
    assert document["budget"] == {"memory_gb": 4.0, "hardware": "cpu"}
    assert {"volume.spacing_mm", "volume.patch", "network"} <= {
        choice["field"] for choice in document["choices"]
    }
    shown = CliRunner().invoke(app, ["plan", str(volumes), "--for", "gpu"])
    assert "volume.window_hu" in shown.stdout
    assert "of 8 GB (gpu)" in " ".join(shown.stdout.split())


def test_a_size_that_is_none_is_refused(volumes: Path) -> None:
    answer = CliRunner().invoke(app, ["plan", str(volumes), "--memory", "much"])
    assert answer.exit_code == 2
    assert "expected a size such as 8GB" in answer.stderr
