"""What a training ran in: noted in environment.json, so that its result can be explained later.

The command line is not noted, since it names the folders of a machine or of patients.
"""

import importlib.metadata
import os
import platform
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import breastseg
from breastseg.backends.pretrained import origin_of
from breastseg.backends.protocol import Backend
from breastseg.core.recipe import Recipe
from breastseg.datasets.cases import DataSet
from breastseg.datasets.checked import content_fingerprint

_PACKAGES = {"pytorch": ("torch",), "tensorflow": ("tensorflow", "keras")}
_CPU_INFO = Path("/proc/cpuinfo")
_GIT_SECONDS = 10


def environment_of(
    recipe: Recipe,
    backend: Backend,
    data_set: DataSet,
    content: Mapping[str, str],
    *,
    threads: int | None,
    begun_from: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Return what environment.json says of a new run.

    Args:
        content: SHA-256 of each image file by case id.
        threads: what the user asked for; None leaves the number to the framework.
        begun_from: the model that it begins from, see training.begun_from.
    """
    return {
        "framework": backend.name,
        "device": backend.device,
        "precision": backend.precision,
        "processor": processor(),
        "cpus": os.cpu_count(),
        "threads": threads,
        "platform": platform.platform(),
        "versions": _versions(backend.name),
        "git": checkout(Path(breastseg.__file__).parent),
        "data": str(data_set.root.resolve()),
        "layout": data_set.layout,
        **({"data_sets": _members(data_set, content)} if data_set.members else {}),
        "data_fingerprint": content_fingerprint(content.values()),
        "recipe_fingerprint": recipe.fingerprint(),
        "seed": recipe.seed,
        "pretrained": origin_of(recipe),
        **({"begun_from": begun_from} if begun_from else {}),
    }


def _members(data_set: DataSet, content: Mapping[str, str]) -> dict[str, Any]:
    """Return what each data set of a collection is, since its file may change later."""
    return {
        name: {
            "layout": each.layout,
            "images": len(each.cases),
            "fingerprint": content_fingerprint(content[case.case_id] for case in each.cases),
            "notes": list(each.notes),
        }
        for name, each in data_set.members.items()
    }


def checkout(package: Path) -> dict[str, Any] | None:
    """Return the commit of the clone that a package runs from, and whether files were changed.

    None where it runs from no clone of its own: installed as a wheel it may lie inside another
    project's repository, whose commit says nothing of it. None also where git is missing.
    """
    root = package.resolve().parent.parent
    top = _git(root, "rev-parse", "--show-toplevel")
    if top is None or Path(top) != root:
        return None
    commit = _git(root, "rev-parse", "HEAD")
    changes = _git(root, "status", "--porcelain", "--untracked-files=no")
    if not commit or changes is None:
        return None
    return {"commit": commit, "changed": bool(changes)}


def _git(folder: Path, *arguments: str) -> str | None:
    """Return what git says; None where it fails, hangs or is not installed."""
    # A hook's GIT_DIR would lead elsewhere, and asking must not touch the index of a clone.
    outside = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    try:
        answer = subprocess.run(
            ["git", "-C", str(folder), *arguments],
            capture_output=True,
            text=True,
            check=True,
            timeout=_GIT_SECONDS,
            env={**outside, "GIT_OPTIONAL_LOCKS": "0"},
        )
    except (OSError, ValueError, subprocess.SubprocessError):
        return None
    return answer.stdout.strip()


def processor() -> str | None:
    """Return the model of the CPU, on which the last bits of a result depend."""
    text = _CPU_INFO.read_text(encoding="utf-8", errors="replace") if _CPU_INFO.is_file() else ""
    for line in text.splitlines():
        name, _, value = line.partition(":")
        if name.strip() == "model name":
            return value.strip()
    return platform.processor() or platform.machine() or None


def _versions(framework: str) -> dict[str, str]:
    versions = {"breastseg": breastseg.__version__, "python": platform.python_version()}
    for name in ("numpy", *_PACKAGES[framework]):
        versions[name] = _version(name)
    return versions


def _version(package: str) -> str:
    """Return the version of a package, which for TensorFlow has several names."""
    for name in (package, f"{package}-cpu"):
        try:
            return importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return "unknown"
