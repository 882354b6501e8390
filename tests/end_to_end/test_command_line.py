"""Help, exit codes and messages: what the command line promises whatever is typed."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow
from typer.core import TyperGroup
from typer.main import get_command

import breastseg as package
from breastseg.cli import app
from breastseg.core.recipes import RECIPES
from breastseg.datasets.layouts import find_data_set
from breastseg.networks.losses import LOSSES


def walk(command, path=()):
    """Yield every command with the words that call it."""
    yield path, command
    if isinstance(command, TyperGroup):
        for name, child in command.commands.items():
            yield from walk(child, (*path, name))


COMMANDS = list(walk(get_command(app)))


# --- help -------------------------------------------------------------------------------------


def test_the_verbs_are_those_of_the_contract():
    verbs = {path[0] for path, _ in COMMANDS if path}
    assert {
        "inspect",
        "train",
        "evaluate",
        "predict",
        "export",
        "info",
        "recipes",
        "losses",
        "phantom",
    } <= verbs


@pytest.mark.parametrize(
    ("path", "command"), COMMANDS, ids=[" ".join(path) or "breastseg" for path, _ in COMMANDS]
)
def test_every_command_and_option_has_help(path, command, breastseg):
    answer = breastseg(*path, "--help")
    assert answer.code == 0
    assert command.help
    assert command.help.split("\n")[0][:40] in answer.out
    for parameter in command.params:
        assert getattr(parameter, "help", None), parameter.name


def test_the_version_is_told(breastseg):
    answer = breastseg("--version")
    assert (answer.code, answer.out.strip()) == (0, package.__version__)


# --- what is loaded ---------------------------------------------------------------------------

REPORT_MODULES = """
import sys
from breastseg.cli import main
sys.argv = ["breastseg", *sys.argv[1:]]
try:
    main()
except SystemExit as end:
    assert not end.code, end.code
loaded = {name.partition(".")[0] for name in sys.modules} | {*sys.modules} & {"scipy.stats"}
slow = {"torch", "tensorflow", "keras", "jax", "optuna", "scipy.stats"}
print("loaded:", *sorted(loaded & slow), file=sys.stderr)
"""


def frameworks_loaded_by(*arguments):
    done = subprocess.run(
        [sys.executable, "-c", REPORT_MODULES, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stderr.splitlines()[-1]


def test_help_and_predict_need_no_framework(runs, other_data, tmp_path):
    assert frameworks_loaded_by("--help") == "loaded:"
    picture = find_data_set(other_data).cases[0].image_path
    predict = ("predict", picture, "--model", runs["tensorflow"], "--output", tmp_path / "out")
    assert frameworks_loaded_by(*predict) == "loaded:"
    assert (tmp_path / "out" / "predictions.json").is_file()


def test_help_loads_nothing_that_computes():
    code = (
        "import sys; from breastseg.cli import app; app(['--help'], standalone_mode=False); "
        "print(*({'numpy', 'pydantic', 'scipy', 'cv2'} & {*sys.modules}), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == ""


def test_evaluate_needs_no_framework(runs, phantom_data, tmp_path):
    evaluate = ("evaluate", runs["pytorch"], phantom_data, "--output", tmp_path / "out")
    # the law of the coverage is in scipy.stats, which predict need not wait for
    assert frameworks_loaded_by(*evaluate) == "loaded: scipy.stats"


# --- recipes and phantoms ---------------------------------------------------------------------


def test_recipes_are_listed_with_what_they_are_for(breastseg):
    answer = breastseg("recipes", "list", "--json")
    assert answer.code == 0
    assert json.loads(answer.out).keys() == RECIPES.keys()
    plain = breastseg("recipes", "list").out
    assert all(name in plain for name in RECIPES)


@pytest.mark.parametrize("name", sorted(RECIPES))
def test_a_recipe_is_shown_as_a_file_that_reads_back(name, breastseg, tmp_path):
    shown = breastseg("recipes", "show", name)
    assert shown.code == 0
    assert json.loads(shown.out)["name"] == name
    (tmp_path / "recipe.json").write_text(shown.out)
    assert breastseg("recipes", "show", tmp_path / "recipe.json").out == shown.out


@pytest.mark.parametrize("name", LOSSES)
def test_a_loss_is_shown_with_how_to_set_it(name, breastseg):
    shown = breastseg("losses", "show", name)
    for text in (LOSSES[name].formula, LOSSES[name].range, LOSSES[name].source):
        assert text in shown.out
    document = json.loads(breastseg("losses", "show", name, "--json").out)
    assert document["lesion_free"] == LOSSES[name].lesion_free
    recipe = json.loads(breastseg("recipes", "show", "smoke", "--set", document["set"]).out)
    parameters = {key: each["default"] for key, each in document["parameters"].items()}
    assert recipe["loss"][0]["name"] == name
    assert recipe["loss"][0].get("parameters", {}) == parameters


def test_losses_are_listed_with_formula_range_and_source(breastseg):
    plain = breastseg("losses", "list").out
    listed = json.loads(breastseg("losses", "list", "--json").out)
    assert [loss["name"] for loss in listed] == list(LOSSES)
    for loss in listed:
        assert f"    {loss['formula']}\n    {loss['range']}; {loss['source']}" in plain


def test_a_shown_recipe_can_be_changed(breastseg):
    shown = breastseg("recipes", "show", "smoke", "--set", "optimisation.epochs=3")
    assert json.loads(shown.out)["optimisation"]["epochs"] == 3


def test_phantoms_are_a_data_set(breastseg, tmp_path):
    answer = breastseg("phantom", "ultrasound", "--output", tmp_path / "data", "--num-cases", 6)
    assert answer.code == 0
    assert answer.out.strip() == str(tmp_path / "data")
    assert len(find_data_set(tmp_path / "data").cases) == 6


# --- exit codes -------------------------------------------------------------------------------


def test_a_training_that_bursts_ends_with_3_and_a_way_out(
    breastseg, small, framework, phantom_data, tmp_path
):
    answer = breastseg(
        *("train", phantom_data, "--framework", framework, *small, "--output", tmp_path / "run"),
        *("--set", "optimisation.learning_rate=1e30"),
    )
    assert answer.code == 3
    assert "must be finite" in answer.err
    assert "--set optimisation.learning_rate=" in answer.err


def test_an_error_of_ours_ends_with_70_and_one_line(breastseg, runs, tmp_path, monkeypatch):
    def fail(*args, **kwargs):
        raise RuntimeError("a bug")

    monkeypatch.setattr("breastseg.workflows.export.export", fail)
    answer = breastseg("export", runs["pytorch"], "--output", tmp_path / "model.onnx")
    assert answer.code == 70
    assert "Internal error: RuntimeError: a bug" in answer.err
    assert len(answer.err.splitlines()) == 1


def test_python_dash_m_is_the_same_command(process):
    done = process("evaluate", "nowhere", "nowhere")
    out, err = done.communicate(timeout=60)
    assert done.returncode == 2
    assert out == ""
    assert err.startswith("Error: nowhere: expected a run folder")
    assert "Traceback" not in err


# --- bad input: exit code 2 and one message, each ---------------------------------------------


class Bench:
    """Where bad input is made: a data set and a run that may be damaged, and a free path."""

    def __init__(self, data: Path, run: Path, free: Path):
        self.data, self.run, self.free = data, run, free

    def picture(self) -> Path:
        return sorted((self.data / "benign").glob("*).png"))[0]

    def mask(self) -> Path:
        return self.picture().with_name(self.picture().stem + "_mask.png")

    def size(self):
        with Pillow.open(self.picture()) as picture:
            return picture.height, picture.width


@pytest.fixture
def bench(phantom_data, run_copy, tmp_path):
    data = Path(shutil.copytree(phantom_data, tmp_path / "data"))
    return Bench(data, run_copy, tmp_path / "free")


def no_folder(bench):
    return ["train", bench.free], "no such folder"


def empty_folder(bench):
    bench.free.mkdir()
    return ["train", bench.free], "empty"


def unknown_layout(bench):
    bench.free.mkdir()
    (bench.free / "notes.txt").write_text("no scans")
    return ["train", bench.free], "none fits"


def missing_mask(bench):
    bench.mask().unlink()
    return ["train", bench.data], "expected a mask"


def mask_of_another_size(bench):
    rows, columns = bench.size()
    Pillow.fromarray(np.zeros((rows - 1, columns), np.uint8)).save(bench.mask())
    return ["train", bench.data], "must have the size of its image"


def grey_mask(bench):
    rows, columns = bench.size()
    Pillow.fromarray(
        (np.arange(rows * columns) % 250).astype(np.uint8).reshape(rows, columns)
    ).save(bench.mask())
    return ["train", bench.data], "mask"


def truncated_picture(bench):
    data = bench.picture().read_bytes()
    bench.picture().write_bytes(data[: len(data) // 2])
    return ["train", bench.data], bench.picture().name


def text_called_png(bench):
    bench.picture().write_text("not a picture")
    return ["train", bench.data], bench.picture().name


def too_few_groups(bench):
    for path in bench.data.glob("*/*"):
        if "(1)" not in path.name and "(2)" not in path.name:
            path.unlink()
    return ["train", bench.data, "--recipe", "smoke"], "part would be empty"


def unknown_loss(bench):
    return ["losses", "show", "dise"], "Did you mean 'dice'?"


def unknown_parameter_of_a_loss(bench):
    options = ["--recipe", "smoke", "--set", "loss=tversky(alfa=1)"]
    return ["train", bench.data, *options], "tversky has no parameter 'alfa'"


def unknown_recipe(bench):
    return ["train", bench.data, "--recipe", "smokey"], "neither a recipe file nor"


def recipe_with_an_unknown_key(bench):
    bench.free.write_text(json.dumps({"optimisation": {"epoch": 3}}))
    return ["train", bench.data, "--recipe", bench.free], "Did you mean 'epochs'?"


def recipe_with_a_wrong_value(bench):
    bench.free.write_text(json.dumps({"optimisation": {"epochs": 0}}))
    return ["train", bench.data, "--recipe", bench.free], "optimisation.epochs"


def recipe_that_is_no_json(bench):
    bench.free.write_text("epochs: 3")
    return ["train", bench.data, "--recipe", bench.free], "expected a JSON recipe"


def setting_without_value(bench):
    return ["train", bench.data, "--set", "epochs"], "expected KEY=VALUE"


def unknown_framework(bench):
    return ["train", bench.data, "--framework", "jax"], "jax"


def no_data(bench):
    return ["train"], "train needs DATA"


def output_that_exists(bench):
    return ["train", bench.data, "--recipe", "smoke", "--output", bench.run], "--resume"


def resume_with_settings(bench):
    return [
        "train",
        "--resume",
        bench.run,
        "--set",
        "seed=1",
    ], "leave --recipe, --set, --init, --framework, --folds, --notice and --output away"


def resume_of_no_run(bench):
    return ["train", "--resume", bench.data], "expected a run folder"


def resume_on_changed_data(bench):
    bench.mask().unlink()
    bench.picture().unlink()
    return ["train", bench.data, "--resume", bench.run], "added, removed or changed"


def resume_of_damaged_weights(bench):
    damage(bench.run / "weights.safetensors")
    return ["train", "--resume", bench.run], "changed or damaged"


def resume_of_a_damaged_checkpoint(bench):
    damage(bench.run / "last" / "optimiser.safetensors")
    return ["train", "--resume", bench.run], "changed or damaged"


def damage(path):
    data = bytearray(path.read_bytes())
    data[-2] ^= 0xFF
    path.write_bytes(data)


def evaluate_no_run(bench):
    return ["evaluate", bench.data, bench.data], "expected a run folder"


def evaluate_a_run_of_another_version(bench):
    path = bench.run / "environment.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "run_format": 99}))
    return ["evaluate", bench.run, bench.data], "format 1, got 99"


def evaluate_without_the_constant_mask(bench):
    (bench.run / "constant-mask.json").unlink()
    return ["evaluate", bench.run, bench.data], "constant-mask.json"


def evaluate_damaged_weights(bench):
    damage(bench.run / "weights.safetensors")
    return ["evaluate", bench.run, bench.data], "changed or damaged"


def evaluate_against_no_run(bench):
    return ["evaluate", bench.run, bench.data, "--against", bench.free], "expected a run folder"


def weights_that_do_not_fit(bench):
    path = bench.run / "recipe.json"
    recipe = json.loads(path.read_text())
    recipe["network"]["channels"] = [8, 16]
    path.write_text(json.dumps(recipe))
    return ["predict", bench.data, "--model", bench.run, "--output", bench.free], "do not fit"


def predict_without_scans(bench):
    bench.free.mkdir()
    return ["predict", bench.free, "--model", bench.run, "--output", bench.free / "out"], "picture"


def predict_at_an_impossible_threshold(bench):
    command = ["predict", bench.data, "--model", bench.run, "--output", bench.free]
    return [*command, "--threshold", "1.5"], "threshold"


def predict_with_no_thread(bench):
    command = ["predict", bench.data, "--model", bench.run, "--output", bench.free]
    return [*command, "--threads", "0"], "threads"


def export_to_a_folder(bench):
    return ["export", bench.run, "--output", bench.data], "expected a file name"


def info_of_no_run(bench):
    return ["info", bench.free], "expected a run folder or the name of a model"


def phantoms_over_other_files(bench):
    return ["phantom", "ultrasound", "--output", bench.data], "new or empty folder"


def unknown_verb(bench):
    return ["tarin", bench.data], "tarin"


BAD_INPUTS = (
    *(no_folder, empty_folder, unknown_layout, missing_mask, mask_of_another_size, grey_mask),
    *(truncated_picture, text_called_png, too_few_groups, unknown_recipe, no_data, unknown_verb),
    *(recipe_with_an_unknown_key, recipe_with_a_wrong_value, recipe_that_is_no_json),
    *(unknown_loss, unknown_parameter_of_a_loss),
    *(setting_without_value, unknown_framework, output_that_exists, resume_with_settings),
    *(resume_of_no_run, resume_on_changed_data, resume_of_damaged_weights),
    *(resume_of_a_damaged_checkpoint, evaluate_no_run, evaluate_a_run_of_another_version),
    *(evaluate_without_the_constant_mask, evaluate_damaged_weights, evaluate_against_no_run),
    *(weights_that_do_not_fit, predict_without_scans, predict_at_an_impossible_threshold),
    *(predict_with_no_thread, export_to_a_folder, info_of_no_run, phantoms_over_other_files),
)


@pytest.mark.parametrize("bad", BAD_INPUTS, ids=[bad.__name__ for bad in BAD_INPUTS])
def test_bad_input_ends_with_2_and_a_message(bad, bench, breastseg, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    arguments, message = bad(bench)
    answer = breastseg(*arguments)
    assert answer.code == 2, answer.told
    assert message in answer.err
    assert answer.out == ""
    assert not (tmp_path / "runs").exists(), "a refused training must leave nothing behind"
