"""What a search varies: fields of a recipe, and the values that each may take.

A space is a YAML or JSON file:

    name: mine
    base: ultrasound-scratch
    space:
      loss: [bce, dice, "tversky(alpha=0.3,beta=0.7)"]
      optimisation.learning_rate: {low: 1.0e-4, high: 1.0e-2, log: true}
      optimiser:
        adamw: {optimisation.optimiser: adamw, optimisation.weight_decay: 0.01}
        adam: {optimisation.optimiser: adam, optimisation.weight_decay: 0}
"""

import itertools
import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from breastseg.core.errors import MissingExtraError, RecipeError, SearchSpaceError, suggestion
from breastseg.core.recipe import Recipe

Label = str | int | float | bool
"""A value of a dimension as it is noted and shown: itself, or its text where it is a list."""

MOST_CELLS = 10_000
"""More combinations than anyone trains: such a grid is a slip."""

_MOST_CHECKED = 2_000
_FIXED = {
    "schema_version": "it belongs to the file format",
    "name": "a name changes nothing",
    "seed": "repeat seeds by --seeds",
    "split": "all trials must be judged on the same images; repeat folds by --folds",
}
# YAML 1.1 reads 1e-3, which has no point, as text.
_NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+")


class Range(BaseModel):
    """All numbers from low to high, both included.

    Whole numbers are drawn where low, high and step are whole: write 1.0 for others.

    log: draw so that each factor of ten is as likely as any other; without a step.
    step: the distance of the values; whole numbers have 1, others any value between.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    low: int | float
    high: int | float
    log: bool = False
    step: int | float | None = None

    @field_validator("low", "high", "step", mode="before")
    @classmethod
    def _number(cls, value: Any) -> Any:
        return _read_number(value)

    @model_validator(mode="after")
    def _is_range(self) -> Self:
        if not (math.isfinite(self.low) and math.isfinite(self.high) and self.low < self.high):
            raise ValueError(f"low must be below high, got {self.low} and {self.high}")
        if self.log and (self.low <= 0 or self.step is not None):
            raise ValueError("a log range needs low above 0 and no step")
        if self.step is not None and self.step <= 0:
            raise ValueError(f"step must be above 0, got {self.step}")
        return self

    @property
    def is_whole(self) -> bool:
        """Whether whole numbers are drawn."""
        return all(isinstance(each, int) for each in (self.low, self.high, self.step or 1))

    def values(self) -> list[Label] | None:
        """Return every value, or None where there is no end of them."""
        step = self.step or (1 if self.is_whole and not self.log else None)
        if step is None:
            return None
        count = math.floor((self.high - self.low) / step + 1e-9) + 1
        return [self.low + number * step for number in range(min(count, MOST_CELLS + 1))]


@dataclass(frozen=True, slots=True, kw_only=True)
class Dimension:
    """One thing that is varied: a range of a recipe field, or choices of settings.

    choices: by label, the recipe fields that each sets and their values.
    """

    name: str
    range: Range | None = None
    choices: Mapping[Label, Mapping[str, Any]] | None = None

    def labels(self) -> list[Label] | None:
        """Return every value, or None where there is no end of them."""
        if self.choices is not None:
            return list(self.choices)
        assert self.range is not None
        return self.range.values()

    def ends(self) -> list[Label]:
        """Return the values that show whether recipes can be made of this dimension."""
        if self.range is not None:
            return [self.range.low, self.range.high]
        return self.labels() or []

    def settings(self, label: Label) -> list[str]:
        """Return what a value sets, as Recipe.with_settings takes it."""
        fields = {self.name: label} if self.choices is None else self.choices[label]
        return [f"{key}={json.dumps(value)}" for key, value in fields.items()]


class SearchSpace(BaseModel):
    """What is varied, and the recipe that all the rest is taken from.

    base: a shipped recipe or a recipe file.
    space: by recipe field a list of values, or a Range; or, by any name, settings by label.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field("custom", pattern=r"^[a-z0-9][a-z0-9.-]*$")
    description: str = ""
    base: str = "ultrasound-scratch"
    space: dict[str, Any] = Field(min_length=1)

    @model_validator(mode="after")
    def _has_dimensions(self) -> Self:
        dimensions = self.dimensions()
        keys = [key for each in dimensions for key in _keys(each)]
        for place, key in enumerate(keys):
            covered = [earlier for earlier in keys[:place] if earlier.startswith(f"{key}.")]
            if covered:
                raise ValueError(f"'{key}' would undo '{covered[0]}': write '{key}' above it")
        return self

    def dimensions(self) -> tuple[Dimension, ...]:
        """Return what is varied, in the order of the file, in which it is set, too."""
        return tuple(_dimension(name, value) for name, value in self.space.items())

    def num_cells(self) -> int | None:
        """Return the number of combinations; None where a range has no end of values."""
        counts = [
            labels and len(labels) for each in self.dimensions() for labels in [each.labels()]
        ]
        return None if None in counts else math.prod(count or 0 for count in counts)

    def cells(self) -> Iterator[dict[str, Label]]:
        """Yield every combination of a finite space, the last dimension changing fastest."""
        names = [each.name for each in self.dimensions()]
        for values in itertools.product(*(each.labels() or [] for each in self.dimensions())):
            yield dict(zip(names, values, strict=True))

    def recipe(self, base: Recipe, parameters: Mapping[str, Label]) -> Recipe:
        """Return the base recipe with a combination of values.

        Raises:
            SearchSpaceError: there is no such recipe field, or no such recipe.
        """
        settings = [
            setting
            for each in self.dimensions()
            for setting in each.settings(parameters[each.name])
        ]
        try:
            return base.with_settings(settings)
        except RecipeError as error:
            told = ", ".join(f"{name}={value}" for name, value in parameters.items())
            reason = str(error).removeprefix("--set: ").removeprefix("--set ")
            raise SearchSpaceError(f"space {self.name}: {told} makes no recipe: {reason}") from None

    def check(self, base: Recipe) -> None:
        """Make every combination a recipe, or the ends of all ranges where there is no end.

        Of more than 2,000, the values of each dimension are tried with the first of the others.

        Raises:
            SearchSpaceError: one of them is no recipe.
        """
        dimensions = self.dimensions()
        count = self.num_cells()
        tried = [each.ends() if count is None else each.labels() or [] for each in dimensions]
        combinations: Iterator[Sequence[Label]] = itertools.product(*tried)
        if math.prod(map(len, tried)) > _MOST_CHECKED:
            first = [values[0] for values in tried]
            combinations = (
                [*first[:place], value, *first[place + 1 :]]
                for place, values in enumerate(tried)
                for value in values
            )
        for values in combinations:
            names = (each.name for each in dimensions)
            self.recipe(base, dict(zip(names, values, strict=True)))

    def check_grid(self) -> None:
        """Refuse a grid without end.

        Raises:
            SearchSpaceError: naming the ranges to write as lists.
        """
        endless = [each.name for each in self.dimensions() if each.labels() is None]
        if endless:
            raise SearchSpaceError(
                f"space {self.name}: a grid needs values that can be counted, but "
                f"{' and '.join(endless)} has no end of them. List values, such as "
                f"{endless[0]}: [0.0001, 0.001, 0.01], or give a step; or search at random or "
                "by tpe (--strategy)."
            )
        count = self.num_cells() or 0
        if count > MOST_CELLS:
            raise SearchSpaceError(
                f"space {self.name}: a grid of {count:,} combinations is more than the "
                f"{MOST_CELLS:,} that are allowed. List fewer values, or --strategy random."
            )


def _keys(dimension: Dimension) -> list[str]:
    """Return the recipe fields that a dimension sets."""
    if dimension.choices is None:
        return [dimension.name]
    return list(dict.fromkeys(key for fields in dimension.choices.values() for key in fields))


def _dimension(name: str, value: Any) -> Dimension:
    """Read one entry of `space`.

    Raises:
        ValueError: in words that pydantic hands on.
    """
    if isinstance(value, Mapping) and {"low", "high"} & set(value):
        dimension = Dimension(name=name, range=_range(name, value))
    else:
        dimension = Dimension(name=name, choices=_choices(name, value))
    for key in _keys(dimension):
        if reason := _FIXED.get(key.partition(".")[0]):
            raise ValueError(f"'{key}' cannot be searched: {reason}")
    return dimension


def _range(name: str, value: Mapping[str, Any]) -> Range:
    try:
        return Range.model_validate(dict(value))
    except ValidationError as error:
        told = "; ".join(_problem(each, Range) for each in error.errors())
        raise ValueError(f"'{name}': {told}") from None


def _choices(name: str, value: Any) -> dict[Label, Mapping[str, Any]]:
    if isinstance(value, Mapping):
        if not value or not all(
            isinstance(fields, Mapping) and fields for fields in value.values()
        ):
            raise ValueError(
                f"'{name}': expected a list of values, {{low: ..., high: ...}}, or settings by "
                f"label such as {{small: {{network.channels: [8, 16]}}}}, got {dict(value)!r}"
            )
        read = {str(label): dict(fields) for label, fields in value.items()}
        return {
            label: {k: _read_number(v) for k, v in each.items()} for label, each in read.items()
        }
    if not isinstance(value, list) or not value:
        raise ValueError(
            f"'{name}': expected a list of values or {{low: ..., high: ...}}, got {value!r}"
        )
    values = [_read_number(each) for each in value]
    labels = [label_of(each) for each in values]
    twice = {str(label) for label in labels if list(map(str, labels)).count(str(label)) > 1}
    if twice:
        raise ValueError(f"'{name}' lists {', '.join(sorted(twice))} twice")
    return {label: {name: each} for label, each in zip(labels, values, strict=True)}


def label_of(value: Any) -> Label:
    """Return a value as it is noted and shown.

    >>> label_of([8, 16, 32]), label_of(0.001), label_of({"name": "cosine"})
    ('8-16-32', 0.001, 'name=cosine')
    """
    if isinstance(value, str | int | float | bool):
        return value
    if isinstance(value, list) and all(isinstance(each, int) for each in value):
        return "-".join(map(str, value))
    if isinstance(value, Mapping):
        return ", ".join(f"{key}={label_of(each)}" for key, each in value.items())
    return json.dumps(value)


def _read_number(value: Any) -> Any:
    if isinstance(value, str) and _NUMBER.fullmatch(value):
        return float(value)
    return value


def parse_space(document: Any, *, source: str) -> SearchSpace:
    """Check what was read of a file as a space.

    Args:
        source: where it came from, for messages.

    Raises:
        SearchSpaceError: naming what is unknown or wrong, and what was expected.
    """
    if not isinstance(document, dict):
        raise SearchSpaceError(
            f"{source}: expected a mapping with `space:`, got {type(document).__name__}. "
            "`breastseg spaces show losses` prints one to begin with."
        )
    try:
        return SearchSpace.model_validate(document)
    except ValidationError as error:
        problems = "; ".join(_problem(each, SearchSpace) for each in error.errors())
        end = "" if problems.endswith("?") else "."
        raise SearchSpaceError(f"{source}: {problems}{end}") from None


def _problem(error: Any, model: type[BaseModel]) -> str:
    field = str(error["loc"][0]) if error["loc"] else ""
    if error["type"] == "extra_forbidden":
        return f"'{field}' is no field of it.{suggestion(field, model.model_fields)}".rstrip(".")
    message = str(error["msg"]).removeprefix("Value error, ")
    return f"{field}: {message}" if field else message


def read_space(path: Path) -> SearchSpace:
    """Read a space from a YAML or JSON file; its name is the file's where it has none.

    Raises:
        SearchSpaceError: the file cannot be read or is no space.
        MissingExtraError: PyYAML is not installed.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SearchSpaceError(f"{path}: the space cannot be read ({error}).") from None
    document = _from_json(text, path) if path.suffix == ".json" else _from_yaml(text, path)
    if isinstance(document, dict):
        name = re.sub(r"[^a-z0-9.-]+", "-", path.stem.lower()).strip("-.") or "custom"
        document = {"name": name, **document}
    return parse_space(document, source=str(path))


def _from_json(text: str, path: Path) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise SearchSpaceError(f"{path}: expected JSON, but {error}.") from None


def _from_yaml(text: str, path: Path) -> Any:
    try:
        import yaml
    except ImportError as error:
        raise MissingExtraError(
            f"{path}: PyYAML is not installed ({error}). Install it with: "
            'pip install "breastseg[search]", or write the space as JSON.'
        ) from None
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        told = " ".join(str(error).split())
        raise SearchSpaceError(f"{path}: expected YAML, but {told}.") from None
