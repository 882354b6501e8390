"""The loss as a recipe has it: weighted terms, each with a name and typed parameters.

What each loss means is in networks.losses; here are its name, its parameters, their ranges and
their defaults. On the command line: `--set "loss=tversky(alpha=0.3,beta=0.7):1,bce:0.5"`.
"""

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Any

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializeAsAny,
    SerializerFunctionWrapHandler,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_serializer,
)

from breastseg.core.errors import suggestion


class LossParameters(BaseModel):
    """The parameters of one loss; a default never changes once released."""

    # No validator is built of a loss that nobody names: building all is slow to import.
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, defer_build=True)


class NoParameters(LossParameters):
    """Of a loss that has none."""


class WeightedBce(LossParameters):
    """Of weighted-bce."""

    positive_weight: float = Field(
        10.0, gt=0, description="weight of a lesion pixel; one pixel in ten of BUSI is lesion"
    )


class TopKBce(LossParameters):
    """Of top-k-bce."""

    share: float = Field(0.1, gt=0, le=1, description="share of the pixels of an image that count")


class Focal(LossParameters):
    """Of focal."""

    alpha: float = Field(
        0.25, gt=0, lt=1, description="weight of a lesion pixel; 1 - alpha of the background"
    )
    gamma: float = Field(2.0, ge=0, description="how little a pixel counts that is already right")


class Tversky(LossParameters):
    """Of tversky."""

    alpha: float = Field(0.3, gt=0, description="weight of the false positives")
    beta: float = Field(0.7, gt=0, description="weight of the false negatives")


class FocalTversky(Tversky):
    """Of focal-tversky."""

    gamma: float = Field(4 / 3, gt=0, description="the exponent is 1 / gamma")


class UnifiedFocal(LossParameters):
    """Of unified-focal."""

    focal_share: float = Field(
        0.5, ge=0, le=1, description="weight of the focal part; the rest is the Tversky part's"
    )
    delta: float = Field(
        0.6, gt=0, lt=1, description="weight of what is missed of a class; 1 - delta of the rest"
    )
    gamma: float = Field(
        0.5, ge=0, lt=1, description="suppresses easy background, enhances a lesion badly found"
    )


PARAMETERS: Mapping[str, type[LossParameters]] = MappingProxyType(
    {
        "bce": NoParameters,
        "weighted-bce": WeightedBce,
        "balanced-bce": NoParameters,
        "top-k-bce": TopKBce,
        "focal": Focal,
        "dice": NoParameters,
        "batch-dice": NoParameters,
        "lesion-dice": NoParameters,
        "squared-dice": NoParameters,
        "generalised-dice": NoParameters,
        "log-cosh-dice": NoParameters,
        "jaccard": NoParameters,
        "lovasz-hinge": NoParameters,
        "tversky": Tversky,
        "focal-tversky": FocalTversky,
        "bce-dice": NoParameters,
        "unified-focal": UnifiedFocal,
        "boundary": NoParameters,
    }
)
"""Every loss by name, with what can be set."""


class LossTerm(BaseModel):
    """One loss and its weight in the sum that is minimised.

    name: one of PARAMETERS. parameters: of the class that belongs to the name; a mapping is
    read as one. An empty `parameters` is left out of files, so that a loss without any is
    written, and hashed, as it was before losses had parameters.

    >>> LossTerm(name="tversky", parameters={"alpha": 0.5}).parameters
    Tversky(alpha=0.5, beta=0.7)
    """

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    name: str
    weight: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 1.0
    parameters: SerializeAsAny[LossParameters] = Field(
        default_factory=NoParameters, validate_default=True
    )

    @field_validator("name")
    @classmethod
    def _known(cls, name: str) -> str:
        if name not in PARAMETERS:
            raise ValueError(
                f"no loss is called '{name}'.{suggestion(name, PARAMETERS)} "
                "`breastseg losses list` has them all"
            )
        return name

    @field_validator("parameters", mode="before")
    @classmethod
    def _of_this_loss(cls, value: Any, info: ValidationInfo) -> Any:
        name = info.data.get("name")
        if name is None:
            return NoParameters()
        told = value.model_dump() if isinstance(value, LossParameters) else value
        try:
            return PARAMETERS[name].model_validate(told)
        except ValidationError as error:
            raise ValueError("; ".join(_problem(name, each) for each in error.errors())) from None

    @model_serializer(mode="wrap")
    def _without_empty_parameters(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        document: dict[str, Any] = handler(self)
        if not document.get("parameters"):
            document.pop("parameters", None)
        return document


def _problem(name: str, error: Any) -> str:
    parameter = ".".join(map(str, error["loc"]))
    if error["type"] != "extra_forbidden":
        return f"{name}({parameter}): {error['msg']}"
    known = PARAMETERS[name].model_fields
    if not known:
        return f"{name} has no parameters"
    return f"{name} has no parameter '{parameter}'.{suggestion(parameter, known)}"


_TERM = re.compile(r"\s*([^\s(),:]+)\s*(?:\(([^()]*)\))?\s*(?::\s*([^\s(),:]*))?\s*(?:,|$)")


def loss_from_text(value: Any) -> Any:
    """Read `tversky(alpha=0.3,beta=0.7):1,bce:0.5` as a list of terms; leave the rest as it is.

    Raises:
        ValueError: the text is no list of NAME, NAME:WEIGHT or NAME(PARAMETER=VALUE,...):WEIGHT.

    >>> loss_from_text("bce, focal(gamma=1):0.5")[1]
    {'name': 'focal', 'weight': '0.5', 'parameters': {'gamma': '1'}}
    """
    if not isinstance(value, str):
        return value
    terms: list[dict[str, Any]] = []
    position = 0
    while position < len(value) or not terms:
        found = _TERM.match(value, position)
        if found is None:
            raise ValueError(
                "expected terms such as bce:1 or tversky(alpha=0.3,beta=0.7):0.5 with commas "
                f"between them, but cannot read '{value[position:]}'"
            )
        terms.append(_term(*found.groups()))
        position = found.end()
    return terms


def _term(name: str, parameters: str | None, weight: str | None) -> dict[str, Any]:
    term: dict[str, Any] = {"name": name, "weight": weight or 1.0}
    if parameters and parameters.strip():
        term["parameters"] = dict(_assignment(name, part) for part in parameters.split(","))
    return term


def _assignment(name: str, text: str) -> tuple[str, str]:
    parameter, equals, value = text.partition("=")
    if not equals:
        raise ValueError(f"{name}({text.strip()}): expected PARAMETER=VALUE, such as alpha=0.3")
    return parameter.strip(), value.strip()
