"""Tell which losses there are: `breastseg losses list` and `show`."""

from collections.abc import Mapping, Sequence
from typing import Any

from breastseg.core.errors import InputError, suggestion
from breastseg.networks.losses import LOSSES, LossDefinition


def all_losses() -> Sequence[LossDefinition]:
    """Return every loss, pixelwise ones first."""
    return tuple(LOSSES.values())


def find_loss(name: str) -> LossDefinition:
    """Return the loss of that name.

    Raises:
        InputError: there is none; the message names the nearest.
    """
    if name not in LOSSES:
        raise InputError(f"no loss is called '{name}'.{suggestion(name, LOSSES)}")
    return LOSSES[name]


def describe(loss: LossDefinition) -> Mapping[str, Any]:
    """Return what is known of a loss, as JSON has it."""
    return {
        "name": loss.name,
        "summary": loss.summary,
        "details": loss.details,
        "formula": loss.formula,
        "range": loss.range,
        "lesion_free": loss.lesion_free,
        "parameters": {
            each.name: {"default": each.default, "limits": each.limits, "meaning": each.meaning}
            for each in loss.parameters
        },
        "source": loss.source,
        "set": f"loss={loss.call}",
    }


def lines(loss: LossDefinition) -> Mapping[str, str]:
    """Return what is known of a loss, as the terminal shows it."""
    parameters = {
        f"  {each.name}": f"{each.default:.4g} by default, {each.limits}: {each.meaning}"
        for each in loss.parameters
    }
    return {
        "name": f"{loss.name}: {loss.summary}",
        **({"details": loss.details} if loss.details else {}),
        "formula": loss.formula,
        "range": loss.range,
        "lesion-free": loss.lesion_free,
        "parameters": "" if parameters else "none",
        **parameters,
        "source": loss.source,
        "use": f'--set "loss={loss.call}"',
    }
