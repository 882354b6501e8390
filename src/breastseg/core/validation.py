"""What pydantic found wrong with a document, in one sentence for its author."""

from collections.abc import Iterable
from typing import Any, get_args

from pydantic import BaseModel, Tag, ValidationError

from breastseg.core.errors import suggestion

KIND_PREFIX = "kind-"
"""How the tags begin that tell the models of a union apart; no author of a document knows them."""


def problems(error: ValidationError, *, of: type[BaseModel], kind: str) -> str:
    """Name each field that is unknown or wrong, what was expected and what was found.

    Args:
        error: what validating a document raised.
        of: the model that it was to be.
        kind: what the document is called, such as recipe.
    """
    return "; ".join(_problem(each, of, kind) for each in error.errors())


def _problem(error: Any, model: type[BaseModel], kind: str) -> str:
    steps = [str(part) for part in error["loc"] if not str(part).startswith("function-")]
    path = [step for step in steps if not step.startswith(KIND_PREFIX)]
    field = ".".join(path) or f"the {kind}"
    if error["type"] == "extra_forbidden":
        return f"'{field}' is no {kind} field.{suggestion(steps[-1], _fields(model, steps[:-1]))}"
    message = str(error["msg"]).removeprefix("Value error, ")
    if isinstance(error["input"], dict):  # a rule over several fields tells their values itself
        return f"{field}: {message}"
    return f"{field}: {message}, got {_short(error['input'])}"


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."


def _fields(model: Any, steps: list[str]) -> Iterable[str]:
    for step in steps:
        if step.startswith(KIND_PREFIX):
            model = _of_kind(model, step)
            continue
        if not hasattr(model, "model_fields"):  # a list or a mapping of models
            model = next((each for each in get_args(model) if hasattr(each, "model_fields")), None)
            continue
        field = model.model_fields.get(step)
        model = field.annotation if field else None
    return model.model_fields if hasattr(model, "model_fields") else ()


def _of_kind(union: Any, kind: str) -> Any:
    """Return the model of a union of tagged ones."""
    tagged = [get_args(member) for member in get_args(union)]
    return next((model for model, *notes in tagged if Tag(kind) in notes), None)
