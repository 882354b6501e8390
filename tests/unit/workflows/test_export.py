import json
import subprocess
import sys

import numpy as np
import onnx
import pytest

from breastseg.core.errors import InputError, OutputError, RunFolderError, WeightsError
from breastseg.core.network_recipe import UNetSpec
from breastseg.core.recipe import Recipe
from breastseg.datasets.splits import DataSplit
from breastseg.networks.spec import initial_weights
from breastseg.training.checkpoint import create_run
from breastseg.workflows.export import export

RECIPE = Recipe(network=UNetSpec(channels=(2, 4), convolutions=1))


def make_run(path, seed=0):
    split = DataSplit(method="none", parts={}, groups={})
    run = create_run(
        path, recipe=RECIPE, split=split, environment={"framework": "pytorch"}, content={}
    )
    run.save_best(initial_weights(RECIPE.network, seed))
    return path


@pytest.fixture
def run(tmp_path):
    return make_run(tmp_path / "run")


def test_writes_a_whole_file_that_names_its_recipe(run, tmp_path):
    path = export(run, tmp_path / "new" / "model.onnx")
    model = onnx.load(path)
    onnx.checker.check_model(model, full_check=True)
    told = {entry.key: entry.value for entry in model.metadata_props}
    assert told["recipe_fingerprint"] == RECIPE.fingerprint()
    assert [file.name for file in path.parent.iterdir()] == ["model.onnx"]


def test_the_same_file_stays_and_another_is_refused_unless_told(run, tmp_path):
    path = export(run, tmp_path / "model.onnx")
    first, made = path.read_bytes(), path.stat().st_mtime_ns
    assert export(run, path) == path
    assert path.stat().st_mtime_ns == made
    other = make_run(tmp_path / "other", seed=1)
    with pytest.raises(InputError, match=r"model\.onnx: another file.*--overwrite"):
        export(other, path)
    assert path.read_bytes() == first
    export(other, path, overwrite=True)
    assert path.read_bytes() != first


def test_refuses_a_folder(run, tmp_path):
    with pytest.raises(InputError, match="expected a file name"):
        export(run, tmp_path)


def test_a_folder_that_cannot_be_made_is_an_output_error(run, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot be written"):
        export(run, tmp_path / "file" / "model.onnx")


def test_damaged_weights_leave_no_file(run, tmp_path):
    weights = run / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:-7])
    with pytest.raises(WeightsError, match=r"weights\.safetensors"):
        export(run, tmp_path / "model.onnx")
    assert not (tmp_path / "model.onnx").exists()


def test_weights_of_another_recipe_are_refused(run, tmp_path):
    recipe = json.loads((run / "recipe.json").read_text())
    recipe["network"]["channels"] = [4, 4]
    (run / "recipe.json").write_text(json.dumps(recipe))
    with pytest.raises(WeightsError, match="do not fit the network"):
        export(run, tmp_path / "model.onnx")


def test_a_folder_that_is_no_run_is_refused(tmp_path):
    with pytest.raises(RunFolderError, match="expected a run folder"):
        export(tmp_path, tmp_path / "model.onnx")


def test_no_framework_is_imported(run, tmp_path):
    code = (
        "import sys; from pathlib import Path; from breastseg.workflows.export import export; "
        f"export(Path({str(run)!r}), Path({str(tmp_path / 'model.onnx')!r})); "
        "print([name for name in ('torch', 'tensorflow', 'keras') if name in sys.modules])"
    )
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout
    assert found.strip() == "[]"


def test_the_graph_is_the_runs_network(run, tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime")
    from breastseg.inference.runtime import open_runtime

    session = onnxruntime.InferenceSession(
        export(run, tmp_path / "model.onnx"), providers=["CPUExecutionProvider"]
    )
    image = np.random.default_rng(0).normal(size=(1, 1, 8, 6)).astype(np.float32)
    (found,) = session.run(["logits"], {"image": image})
    expected = open_runtime(RECIPE.network, initial_weights(RECIPE.network, 0)).logits(image)
    np.testing.assert_allclose(found, expected, atol=1e-4)
