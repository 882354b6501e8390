import json
import shutil
import subprocess
from pathlib import Path

import pytest

from breastseg.core.recipe import Recipe
from breastseg.datasets.layouts import find_data_set
from breastseg.training import environment
from breastseg.training.environment import checkout, environment_of, processor

AUTHOR = ("-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false")


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """Return a repository with one commit and a package in src/."""
    if shutil.which("git") is None:
        pytest.skip("git is not installed")
    root = tmp_path / "clone"
    (root / "src" / "package").mkdir(parents=True)
    (root / "src" / "package" / "code.py").write_text("x = 1\n")
    git(root, "init", "--quiet")
    git(root, "add", ".")
    git(root, *AUTHOR, "commit", "--quiet", "-m", "first")
    return root


def git(root: Path, *arguments: str) -> str:
    command = ["git", "-C", str(root), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


# --- git --------------------------------------------------------------------------------------


def test_a_package_in_a_clone_names_its_commit(clone):
    found = checkout(clone / "src" / "package")
    assert found == {"commit": git(clone, "rev-parse", "HEAD"), "changed": False}


def test_a_changed_file_is_told_and_a_new_one_is_none_of_ours(clone):
    (clone / "notes.txt").write_text("mine\n")
    assert not checkout(clone / "src" / "package")["changed"]
    (clone / "src" / "package" / "code.py").write_text("x = 2\n")
    assert checkout(clone / "src" / "package")["changed"]


def test_the_repository_around_an_installed_package_is_not_its_own(clone):
    installed = clone / ".venv" / "lib" / "site-packages" / "package"
    installed.mkdir(parents=True)
    assert checkout(installed) is None


def test_no_repository_no_commit_and_no_git_are_no_error(clone, tmp_path, monkeypatch):
    assert checkout(tmp_path / "elsewhere" / "src" / "package") is None
    (tmp_path / "empty" / "src" / "package").mkdir(parents=True)
    git(tmp_path / "empty", "init", "--quiet")
    assert checkout(tmp_path / "empty" / "src" / "package") is None
    monkeypatch.setenv("PATH", str(tmp_path))
    assert checkout(clone / "src" / "package") is None


def test_a_hook_of_another_repository_does_not_lead_astray(clone, tmp_path, monkeypatch):
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "other.git"))
    assert checkout(clone / "src" / "package") is not None


# --- the rest ---------------------------------------------------------------------------------


def test_the_processor_is_named(tmp_path, monkeypatch):
    info = tmp_path / "cpuinfo"
    info.write_text("processor\t: 0\nmodel name\t: A 9 CPU: fast\nmodel name\t: other\n")
    monkeypatch.setattr(environment, "_CPU_INFO", info)
    assert processor() == "A 9 CPU: fast"
    monkeypatch.setattr(environment, "_CPU_INFO", tmp_path / "missing")
    monkeypatch.setattr(environment.platform, "processor", lambda: "")
    assert processor() == environment.platform.machine()


class Backend:
    name, device, precision = "tensorflow", "cpu", "float32"


def test_the_environment_says_what_a_result_depends_on(busi_dir):
    data, recipe = find_data_set(busi_dir), Recipe(seed=3)
    content = {"a": "0" * 64, "b": "1" * 64}
    told = environment_of(recipe, Backend(), data, content, threads=2)
    assert json.loads(json.dumps(told)) == told
    assert (told["seed"], told["threads"], told["layout"]) == (3, 2, "BUSI")
    assert told["recipe_fingerprint"] == recipe.fingerprint()
    assert {"breastseg", "python", "numpy", "tensorflow", "keras"} == told["versions"].keys()
    assert "unknown" not in told["versions"].values()
    assert {"git", "processor"} <= told.keys()
    moved = environment_of(recipe, Backend(), data, dict(reversed(content.items())), threads=2)
    assert moved["data_fingerprint"] == told["data_fingerprint"]
    changed = environment_of(recipe, Backend(), data, {**content, "b": "2" * 64}, threads=2)
    assert changed["data_fingerprint"] != told["data_fingerprint"]
