"""What decides a search: data, recipe, space, strategy, and how often each trial is repeated."""

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from breastseg.core.errors import InputError, RecipeError, SearchFolderError
from breastseg.core.recipe import Recipe, parse_recipe
from breastseg.core.search_space import Label, SearchSpace, parse_space
from breastseg.datasets.checked import content_fingerprint, content_of
from breastseg.datasets.layouts import find_data_set
from breastseg.io.atomic import make_folder, write_json
from breastseg.training.sampling import PrunerName, Strategy, StudyPlan

PLAN_NAME = "plan.json"
SCHEMA_VERSION = 1
_GRID_UP_TO = 50
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


@dataclass(frozen=True, slots=True, kw_only=True)
class Repeats:
    """How often each trial is trained.

    kind: seeds, on one and the same split; folds, with another part of the development data as
        validation each time. Test and calibration are the same for all.
    """

    kind: Literal["seeds", "folds"] = "seeds"
    count: int = 1

    def __post_init__(self) -> None:
        least = 2 if self.kind == "folds" else 1
        if self.count < least:
            raise InputError(f"--{self.kind} {self.count}: expected {least} or more.")

    def of(self, recipe: Recipe) -> Iterator[tuple[str, Recipe]]:
        """Yield a label and the recipe of each repeat."""
        fixed = f"split.seed={recipe.split_seed}"
        for number in range(self.count):
            if self.kind == "seeds":
                changed = [fixed, f"seed={recipe.seed + number}"]
                yield f"seed-{recipe.seed + number}", recipe.with_settings(changed)
            else:
                folds = {"count": self.count, "fold": number + 1, "part": "validation"}
                changed = [fixed, f"split.folds={json.dumps(folds)}"]
                yield f"fold-{number + 1}", recipe.with_settings(changed)


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchPlan:
    """A search; make it by plan_search.

    data_fingerprint: of the images' content, so that trials of other images are never mixed in.
    seed: of the order of the trials and of what is drawn, not of the trainings.
    """

    data: Path
    data_fingerprint: str
    framework: str
    base: Recipe
    space: SearchSpace
    strategy: Strategy
    pruner: PrunerName
    repeats: Repeats
    seed: int = 0

    @property
    def fingerprint(self) -> str:
        """Return 12 hex digits that differ whenever the search would differ."""
        told = {key: value for key, value in self.to_document().items() if key != "data"}
        return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:12]

    @property
    def name(self) -> str:
        """Return the name of the study and of its folder."""
        return f"{self.space.name}-{self.framework}-{self.fingerprint}"

    def recipe(self, parameters: Mapping[str, Label], *, name: str) -> Recipe:
        """Return the recipe of a combination."""
        return self.space.recipe(self.base, parameters).with_settings([f"name={name}"])

    def study(self) -> StudyPlan:
        """Return what the study needs to know."""
        return StudyPlan(
            name=self.name,
            space=self.space,
            strategy=self.strategy,
            pruner=self.pruner,
            seed=self.seed,
            max_epochs=self._max_epochs(),
        )

    def _max_epochs(self) -> int:
        epochs = [self.base.optimisation.epochs]
        for dimension in self.space.dimensions():
            for end in dimension.ends():
                for setting in dimension.settings(end):
                    key, _, value = setting.partition("=")
                    if key == "optimisation.epochs":
                        epochs.append(int(value))
        return max(epochs)

    def to_document(self) -> dict[str, Any]:
        """Return plan.json."""
        return {
            "schema_version": SCHEMA_VERSION,
            "kind": "breastseg search plan",
            "data": str(self.data.resolve()),
            "data_fingerprint": self.data_fingerprint,
            "framework": self.framework,
            "space": self.space.model_dump(mode="json"),
            "strategy": self.strategy,
            "pruner": self.pruner,
            "repeats": asdict(self.repeats),
            "seed": self.seed,
            "base": self.base.model_dump(mode="json"),
        }


def plan_search(
    data: Path,
    space: SearchSpace,
    base: Recipe,
    *,
    framework: str = "pytorch",
    strategy: Strategy | None = None,
    pruner: PrunerName | None = None,
    repeats: Repeats | None = None,
    seed: int = 0,
) -> SearchPlan:
    """Check a search before anything is trained, and fill in what was not said.

    Args:
        data: a folder of a known layout, with reference masks.
        space: what is varied.
        base: the recipe that all else is taken from.
        framework: pytorch or tensorflow.
        strategy: where None, grid for up to 50 combinations, else tpe.
        pruner: where None, none for a grid, which is there to compare, else median.
        repeats: one training per trial where None.
        seed: of the order of the trials and of what is drawn.

    Raises:
        SearchSpaceError: a combination makes no recipe, or a grid has no end.
        RecipeError: the recipe cannot be divided into folds, or begins from a model.
        LayoutError: the data.
    """
    if base.begins_from is not None:
        raise RecipeError(
            f"the recipe '{base.name}' begins from the model {base.begins_from}, which a search "
            "does not take. Search with --set initial_weights=random, and fine-tune the winner's "
            "settings with `breastseg train --init MODEL --set ...`."
        )
    space.check(base)
    count = space.num_cells()
    if strategy is None:
        strategy = "grid" if count is not None and count <= _GRID_UP_TO else "tpe"
    if strategy == "grid":
        space.check_grid()
    repeats = repeats or Repeats()
    list(repeats.of(base))
    return SearchPlan(
        data=data,
        data_fingerprint=_data_fingerprint(data),
        framework=framework,
        base=base,
        space=space,
        strategy=strategy,
        pruner=pruner or ("none" if strategy == "grid" else "median"),
        repeats=repeats,
        seed=seed,
    )


def _data_fingerprint(data: Path) -> str:
    return content_fingerprint(content_of(find_data_set(data, volumes=True).cases).values())


def join_folder(plan: SearchPlan, folder: Path) -> None:
    """Begin a search folder, or make sure that it holds this search.

    Raises:
        SearchFolderError: it holds another search, or something else.
        OutputError: it cannot be written.
    """
    path = folder / PLAN_NAME
    if not path.is_file():
        if folder.is_dir() and not all(_is_of_a_search(each.name) for each in folder.iterdir()):
            raise SearchFolderError(
                f"{folder}: expected a new or empty folder, or one of a search (with "
                f"{PLAN_NAME}), but it holds something else. Choose another --output."
            )
        make_folder(folder)
        write_json(path, plan.to_document())
    found, expected = _read(path), plan.to_document()
    different = [key for key in expected if key != "data" and found.get(key) != expected[key]]
    if different:
        raise SearchFolderError(
            f"{folder}: expected this search, but it holds one with "
            f"{'; '.join(_told(key, found.get(key), expected[key]) for key in different)}. Give "
            "the same options to go on with it, or another --output."
        )


def _is_of_a_search(name: str) -> bool:
    """Whether another process that begins the same search may have written it by now."""
    names = {PLAN_NAME, "breastseg.log", "journal.log", "journal.log.lock", "trials"}
    return name in names or name.startswith(f".{PLAN_NAME}.")


def _told(key: str, found: Any, expected: Any) -> str:
    """Say in what two plans differ, down to the field that does."""
    if isinstance(found, dict) and isinstance(expected, dict):
        for name in [*expected, *found]:
            if found.get(name) != expected.get(name):
                return _told(f"{key}.{name}", found.get(name), expected.get(name))
    return f"{key} {json.dumps(found)[:80]} instead of {json.dumps(expected)[:80]}"


def read_plan(folder: Path) -> SearchPlan:
    """Read the plan of a search folder.

    Raises:
        SearchFolderError: no search folder, or one of another version.
        RecipeError, SearchSpaceError: its plan was changed.
    """
    path = folder / PLAN_NAME
    if not path.is_file():
        raise SearchFolderError(
            f"{folder}: expected a search folder (with {PLAN_NAME}), found "
            f"{'other files' if folder.is_dir() else 'no such folder'}. Give the --output of "
            "`breastseg search`."
        )
    document = _read(path)
    try:
        return SearchPlan(
            data=Path(document["data"]),
            data_fingerprint=document["data_fingerprint"],
            framework=document["framework"],
            base=parse_recipe(document["base"], source=str(path)),
            space=parse_space(document["space"], source=str(path)),
            strategy=document["strategy"],
            pruner=document["pruner"],
            repeats=Repeats(**document["repeats"]),
            seed=document["seed"],
        )
    except (KeyError, TypeError) as error:
        raise SearchFolderError(
            f"{path}: expected the fields of a search plan, but {type(error).__name__}: {error}. "
            "Take it from a backup."
        ) from None


def _read(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise SearchFolderError(
            f"{path}: expected a search plan, but {error}. Take it from a backup."
        ) from None
    version = document.get("schema_version") if isinstance(document, dict) else None
    if version != SCHEMA_VERSION:
        raise SearchFolderError(
            f"{path}: expected a search plan of schema version {SCHEMA_VERSION}, got {version!r}. "
            "Use the breastseg version that wrote it."
        )
    plan: dict[str, Any] = document
    return plan


def parse_budget(text: str) -> float:
    """Return a duration in seconds.

    Raises:
        InputError: no positive number with a unit.

    >>> parse_budget("90s"), parse_budget("1.5h"), parse_budget("1h30m")
    (90.0, 5400.0, 5400.0)
    """
    parts = re.findall(r"(\d+(?:\.\d+)?)([smhd])", text.strip().lower())
    if not parts or "".join(map("".join, parts)) != text.strip().lower():
        raise InputError(f"--budget {text}: expected a duration such as 90s, 30m, 2h or 1h30m.")
    seconds = sum(float(number) * _UNITS[unit] for number, unit in parts)
    if not seconds:
        raise InputError(f"--budget {text}: expected a duration above 0.")
    return seconds
