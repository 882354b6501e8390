"""The run folder: what training writes, and what everything later reads."""

import contextlib
import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float32

from breastseg.backends.weights import read_weights, save_weights
from breastseg.core.calibration import Calibration
from breastseg.core.errors import BreastsegError, RunFolderError
from breastseg.core.recipe import Recipe, read_recipe
from breastseg.datasets.splits import DataSplit
from breastseg.evaluation.baselines import ConstantMask
from breastseg.io.atomic import make_folder, write_json, write_text
from breastseg.networks.spec import check_moments, check_weights, without_training_heads
from breastseg.training.calibration_file import read_calibration, save_calibration
from breastseg.training.int8_file import INT8_NETWORK_NAMES, is_int8
from breastseg.training.notice_file import read_notice
from breastseg.training.state import EpochRecord, TrainingState

if TYPE_CHECKING:
    from breastseg.backends.protocol import Backend

RUN_FORMAT = 1
BEGUN_FROM_NAME = "begun-from"
_BEGINNING = ("split.json", "groups.json", "recipe.json", "environment.json")
Array = Float32[np.ndarray, "..."]


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A trained network with all that made it; made by open_run or create_run.

    environment: environment.json: framework, versions, data folder and fingerprint.
    content: SHA-256 of each image file by case id, to know the data again.
    """

    path: Path
    recipe: Recipe
    split: DataSplit
    environment: Mapping[str, Any]
    content: Mapping[str, str] = field(repr=False)

    @property
    def framework(self) -> str:
        """The framework that it was trained in."""
        return str(self.environment["framework"])

    @property
    def notice(self) -> str | None:
        """What every reader of the model's results must know: notice.txt; None where nothing."""
        return read_notice(self.path)

    @property
    def weights_path(self) -> Path:
        """The weights of the best epoch."""
        return self.path / "weights.safetensors"

    @property
    def weights_sha256(self) -> str:
        """The digest of the weights; of an 8-bit network, of its two files together."""
        return hashlib.sha256(self._network()).hexdigest()

    def _network(self) -> bytes:
        names = INT8_NETWORK_NAMES if is_int8(self.path) else (self.weights_path.name,)
        try:
            return b"".join((self.path / name).read_bytes() for name in names)
        except OSError:
            raise self._no_weights() from None

    @property
    def fingerprint(self) -> str:
        """Return 12 hex digits of weights, recipe and calibration: the model's name."""
        digest = hashlib.sha256(self._network())
        digest.update(self.recipe.fingerprint().encode())
        digest.update(self.calibration.signature().encode())
        return digest.hexdigest()[:12]

    def _no_weights(self) -> RunFolderError:
        if is_int8(self.path):
            return RunFolderError(
                f"{self.path}: expected a run with float weights, found a model in 8 bits, which "
                "predicts and no more. Give the run or the model that it was made from."
            )
        return RunFolderError(
            f"{self.path}: the run has no weights.safetensors: its training has not finished an "
            f"epoch. Go on with `breastseg train --resume {self.path}`."
        )

    def weights(self) -> dict[str, Array]:
        """Read the best epoch's weights by canonical name.

        Raises:
            RunFolderError: there are none yet.
            WeightsError: the file is damaged or does not fit recipe.json.
        """
        if not self.weights_path.is_file():
            raise self._no_weights()
        checksums = _read_json(self.path / "checksums.json", optional=True)
        weights = read_weights(self.weights_path, sha256=checksums.get(self.weights_path.name))
        check_weights(self.recipe.network, weights, source=str(self.weights_path))
        return weights

    def save_best(self, weights: Mapping[str, Array], *, half: bool = False) -> None:
        """Replace the best epoch's weights; what deep supervision added stays in last/."""
        save_weights(self.weights_path, without_training_heads(weights), half=half)

    def save_constant_mask(self, mask: ConstantMask) -> None:
        """Note the constant baseline, chosen on the training masks."""
        rows = ["".join("#" if cell else "." for cell in row) for row in mask.cells.tolist()]
        document = {"name": mask.name, "description": mask.description, "cells": rows}
        write_json(self.path / "constant-mask.json", {"schema_version": 1, **document})

    @property
    def has_constant_mask(self) -> bool:
        """Whether the constant baseline was chosen yet."""
        return (self.path / "constant-mask.json").is_file()

    def constant_mask(self) -> ConstantMask:
        """Return the mask that fits the training masks best, whatever the image."""
        path = self.path / "constant-mask.json"
        document = _read_json(path)
        with _expecting_fields(path):
            cells = np.array([[cell == "#" for cell in row] for row in document["cells"]])
            return ConstantMask(
                name=document["name"], description=document["description"], cells=cells
            )

    def save_calibration(self, calibration: Calibration) -> None:
        """Note what was learnt on the calibration part."""
        save_calibration(self.path, calibration)

    @property
    def calibration(self) -> Calibration:
        """What was learnt on the calibration part; the defaults where nothing was.

        Raises:
            RunFolderError: calibration.json is damaged or of another version.
        """
        return read_calibration(self.path)

    @property
    def operating_threshold(self) -> float:
        """How probable a finding must be to be shown; 0.5 where none was chosen."""
        return self.calibration.operating_threshold

    def seal(self, names: Sequence[str]) -> None:
        """Note the checksums of finished files, against later damage."""
        sums = {name: hashlib.sha256((self.path / name).read_bytes()).hexdigest() for name in names}
        write_json(self.path / "checksums.json", sums)

    def unseal(self) -> None:
        """Forget the checksums before training changes the files again.

        Raises:
            WeightsError: the files were damaged since; forgetting would hide it.
        """
        if (self.path / "checksums.json").is_file():
            self.weights()
        (self.path / "checksums.json").unlink(missing_ok=True)

    def save_last(
        self, backend: "Backend", state: TrainingState, average: Mapping[str, Array] | None = None
    ) -> None:
        """Save everything that resuming needs, as one: it is all of this epoch or of the last.

        Args:
            average: the moving average of the weights, where the recipe has one.
        """
        new, last, old = (self.path / name for name in ("last.new", "last", "last.old"))
        shutil.rmtree(new, ignore_errors=True)
        make_folder(new)
        arrays = {"weights": backend.weights(), "optimiser": backend.optimiser_state()}
        if average is not None:
            arrays["average"] = average
        sums = {
            name: save_weights(new / f"{name}.safetensors", each) for name, each in arrays.items()
        }
        history = [asdict(record) for record in state.history]
        document = {"run_format": RUN_FORMAT, "step": state.step, "epoch": state.epoch}
        write_json(new / "state.json", {**document, "history": history, "sha256": sums})
        if last.exists():
            shutil.rmtree(old, ignore_errors=True)
            os.replace(last, old)  # noqa: PTH105 - a folder, renamed as one
        os.replace(new, last)  # noqa: PTH105
        shutil.rmtree(old, ignore_errors=True)
        lines = [json.dumps(record, allow_nan=False) for record in history]
        write_text(self.path / "metrics.jsonl", "\n".join(lines) + "\n")

    def load_last(self, backend: "Backend") -> TrainingState:
        """Bring a backend to where the training stood; a fresh state where it never began.

        Raises:
            WeightsError: the checkpoint is damaged or does not fit recipe.json.
            RunFolderError: state.json is damaged or of another version.
        """
        folder = self._last_folder()
        if folder is None:
            return TrainingState()
        state, sums = _read_state(folder / "state.json")
        paths = [folder / f"{name}.safetensors" for name in ("weights", "optimiser")]
        weights, moments = (read_weights(path, sha256=sums[path.stem]) for path in paths)
        self._check_training_weights(weights, paths[0])
        check_moments(moments, weights, source=str(paths[1]))
        backend.load_weights(weights)
        backend.load_optimiser_state(moments)
        return state

    def load_average(self) -> dict[str, Array] | None:
        """Return the moving average of the weights where the training stood; None if none.

        Raises:
            WeightsError: it is damaged or does not fit recipe.json.
            RunFolderError: state.json is damaged or of another version.
        """
        folder = self._last_folder()
        if folder is None or not self.recipe.optimisation.ema_decay:
            return None
        path = folder / "average.safetensors"
        average = read_weights(path, sha256=_read_state(folder / "state.json")[1].get("average"))
        self._check_training_weights(average, path)
        return average

    def _check_training_weights(self, weights: Mapping[str, Array], path: Path) -> None:
        heads = self.recipe.optimisation.deep_supervision
        check_weights(self.recipe.network, weights, source=str(path), deep_supervision=heads)

    def state(self) -> TrainingState:
        """Return how far the training got.

        Raises:
            RunFolderError: state.json is damaged or of another version.
        """
        folder = self._last_folder()
        return TrainingState() if folder is None else _read_state(folder / "state.json")[0]

    def _last_folder(self) -> Path | None:
        """Find the last whole checkpoint: a kill between two renames leaves it in last.old."""
        for name in ("last", "last.old"):
            if (self.path / name / "state.json").is_file():
                return self.path / name
        return None


def _read_state(path: Path) -> tuple[TrainingState, dict[str, str]]:
    """Return the state, and the checksums of the arrays that belong to it."""
    document = _read_json(path)
    _require_format(document, path)
    with _expecting_fields(path):
        history = tuple(EpochRecord(**record) for record in document["history"])
        sums = {"weights": "", "optimiser": "", **document["sha256"]}
        if not all(isinstance(value, str) and value for value in sums.values()):
            raise ValueError(f"sha256 must have weights and optimiser, got {document['sha256']!r}")
        return TrainingState(step=document["step"], history=history), sums


def require_new(path: Path) -> None:
    """Refuse a folder for a new run that holds anything but what a killed beginning leaves.

    Raises:
        RunFolderError: the folder exists and is not empty, or is a file.
    """
    if not path.exists():
        return
    names = {each.name for each in path.iterdir()} if path.is_dir() else {"a file"}
    visible = {name for name in names if not name.startswith(".") and name != BEGUN_FROM_NAME}
    # In the order of create_run: without environment.json no epoch was trained.
    if visible not in [set(_BEGINNING[:count]) for count in range(len(_BEGINNING))]:
        raise RunFolderError(
            f"{path}: expected a new or empty folder for the run, but it holds something. "
            f"Go on with `breastseg train --resume {path}`, or choose another --output."
        )


def create_run(
    path: Path,
    *,
    recipe: Recipe,
    split: DataSplit,
    environment: Mapping[str, Any],
    content: Mapping[str, str],
) -> Run:
    """Begin a run folder.

    Raises:
        RunFolderError: the folder exists and is not empty.
        OutputError: it cannot be written.
    """
    require_new(path)
    make_folder(path)
    environment = {"run_format": RUN_FORMAT, **environment}
    write_json(path / "split.json", split.to_document())
    groups = {"schema_version": 1, "groups": dict(split.groups), "sha256": dict(content)}
    write_json(path / "groups.json", groups)
    write_text(path / "recipe.json", recipe.to_json())
    write_json(path / "environment.json", environment)
    return Run(path=path, recipe=recipe, split=split, environment=environment, content=content)


def open_run(path: Path) -> Run:
    """Open a run folder, whole or still in training.

    Raises:
        RunFolderError: no run folder, or one of another version.
        RecipeError, SplitError: its files were changed.
    """
    if not (path / "recipe.json").is_file() or not (path / "environment.json").is_file():
        raise RunFolderError(
            f"{path}: expected a run folder (with recipe.json and environment.json), found "
            f"{'other files' if path.is_dir() else 'no such folder'}. Give the --output of "
            "`breastseg train`."
        )
    environment = _read_json(path / "environment.json")
    _require_format(environment, path / "environment.json")
    with _expecting_fields(path / "environment.json"):
        str(environment["framework"])
    groups, split = (_read_json(path / name) for name in ("groups.json", "split.json"))
    with _expecting_fields(path / "split.json", path / "groups.json"):
        return Run(
            path=path,
            recipe=read_recipe(path / "recipe.json"),
            split=DataSplit.from_document(split, groups["groups"]),
            environment=environment,
            content=groups["sha256"],
        )


def _require_format(document: Mapping[str, Any], path: Path) -> None:
    found = document.get("run_format")
    if found != RUN_FORMAT:
        versions = document.get("versions")
        writer = versions.get("breastseg") if isinstance(versions, dict) else None
        raise RunFolderError(
            f"{path}: expected a run folder of format {RUN_FORMAT}, got {found!r}. Use the "
            f"breastseg version that wrote it ({writer or 'unknown'})."
        )


@contextlib.contextmanager
def _expecting_fields(*paths: Path) -> Iterator[None]:
    """Tell a field that is missing or of another kind as a fault of these files."""
    try:
        yield
    except BreastsegError:
        raise
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise RunFolderError(
            f"{' and '.join(map(str, paths))}: expected the fields of a run folder, but "
            f"{type(error).__name__}: {error}. Take the run from a backup."
        ) from None


def _read_json(path: Path, *, optional: bool = False) -> dict[str, Any]:
    if optional and not path.is_file():
        return {}
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise RunFolderError(
            f"{path}: expected a JSON file of a run folder, but {error}. Take it from a backup."
        ) from None
    if not isinstance(document, dict):
        raise RunFolderError(f"{path}: expected a JSON object, got {type(document).__name__}.")
    return document
