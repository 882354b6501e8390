"""Every loss by its name, with what its docstring says of it: told once, shown everywhere."""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from breastseg.core.loss_terms import PARAMETERS, LossParameters
from breastseg.networks.losses import boundary, compound, overlap, pixelwise
from breastseg.networks.losses.pixelwise import Logits, Target

_FIELDS = ("Formula", "Range", "Lesion-free", "Source")


@dataclass(frozen=True, slots=True, kw_only=True)
class ParameterDefinition:
    """One parameter of a loss. limits: such as '> 0, < 1'."""

    name: str
    default: float
    limits: str
    meaning: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LossDefinition:
    """A loss as NumPy computes it, and as the reference tells it.

    details: what the formula's further symbols are, and where it differs from its source.
    lesion_free: what an image without a lesion costs.
    """

    name: str
    summary: str
    details: str
    formula: str
    range: str
    lesion_free: str
    source: str
    parameters: tuple[ParameterDefinition, ...]
    compute: Callable[..., float]

    def __call__(self, logits: Logits, target: Target, **parameters: float) -> float:
        """Return the loss; parameters that are not given have their defaults."""
        checked = PARAMETERS[self.name].model_validate(parameters)
        return self.compute(logits, target, **checked.model_dump())

    @property
    def call(self) -> str:
        """Return how a recipe spells it with all of its parameters."""
        given = ",".join(
            f"{each.name}={repr(each.default).removesuffix('.0')}" for each in self.parameters
        )
        return f"{self.name}({given})" if given else self.name


def _definition(name: str, compute: Callable[..., float]) -> LossDefinition:
    told = _told(inspect.getdoc(compute) or "")
    return LossDefinition(
        name=name,
        summary=told["summary"],
        details=told["details"],
        formula=told["Formula"],
        range=told["Range"],
        lesion_free=told["Lesion-free"],
        source=told["Source"],
        parameters=_parameters(PARAMETERS[name]),
        compute=compute,
    )


def _told(docstring: str) -> dict[str, str]:
    """Return first line, details and fields; a field goes on in lines that are indented."""
    summary, *lines = docstring.splitlines()
    told, field = {"summary": summary.rstrip("."), "details": ""}, "details"
    for line in lines:
        name, colon, text = line.partition(": ")
        if colon and name in _FIELDS:
            field, told[name] = name, text
        elif field == "details" or line.startswith("    "):
            told[field] += f" {line.strip()}"
        elif not line:
            break
    return {field: text.strip() for field, text in told.items()}


def _parameters(model: type[LossParameters]) -> tuple[ParameterDefinition, ...]:
    return tuple(
        ParameterDefinition(
            name=name,
            default=field.default,
            limits=", ".join(_limits(field.metadata)),
            meaning=field.description or "",
        )
        for name, field in model.model_fields.items()
    )


def _limits(constraints: list[Any]) -> list[str]:
    signs = {"gt": ">", "ge": ">=", "lt": "<", "le": "<="}
    return [
        f"{sign} {getattr(constraint, kind):g}"
        for constraint in constraints
        for kind, sign in signs.items()
        if hasattr(constraint, kind)
    ]


_COMPUTE: Mapping[str, Callable[..., float]] = {
    "bce": pixelwise.binary_cross_entropy,
    "weighted-bce": pixelwise.weighted_cross_entropy,
    "balanced-bce": pixelwise.balanced_cross_entropy,
    "top-k-bce": pixelwise.top_k_cross_entropy,
    "focal": pixelwise.focal_loss,
    "dice": overlap.soft_dice_loss,
    "batch-dice": overlap.batch_dice_loss,
    "lesion-dice": overlap.lesion_dice_loss,
    "squared-dice": overlap.squared_dice_loss,
    "generalised-dice": overlap.generalised_dice_loss,
    "log-cosh-dice": overlap.log_cosh_dice_loss,
    "jaccard": overlap.jaccard_loss,
    "lovasz-hinge": overlap.lovasz_hinge_loss,
    "tversky": overlap.tversky_loss,
    "focal-tversky": overlap.focal_tversky_loss,
    "bce-dice": compound.bce_dice_loss,
    "unified-focal": compound.unified_focal_loss,
    "boundary": boundary.boundary_loss,
}

LOSSES: Mapping[str, LossDefinition] = MappingProxyType(
    {name: _definition(name, compute) for name, compute in _COMPUTE.items()}
)
