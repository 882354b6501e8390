"""Choosing a network and its input from a fingerprint: what volumes and pictures share.

Source: Isensee et al. 2021 (nnU-Net), Nature Methods 18:203-211, online methods, "Inferred
parameters". What is done otherwise, and why: docs/decisions/0020.
"""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from breastseg.core.errors import InputError
from breastseg.core.fingerprint import Fingerprint
from breastseg.core.network_recipe import UNetSpec
from breastseg.core.recipe import Recipe
from breastseg.networks.memory import training_bytes

Hardware = Literal["cpu", "gpu"]
Dimensions = Literal["2", "2.5", "3"]

GIGABYTE = 1_000_000_000
PROGRAMS_BYTES = 600_000_000
"""Python, PyTorch and what reads the data: 0.4 to 0.45 GB were measured."""
USED_SHARE = 0.75
"""Of what is left, so much is planned with: measured peaks exceed the estimate by up to 27 %."""
LARGEST_BATCH: dict[Hardware, int] = {"cpu": 16, "gpu": 64}
_WIDTHS: dict[Hardware, tuple[int, ...]] = {
    "cpu": (16, 32, 64, 128, 256, 256),
    "gpu": (32, 64, 128, 256, 320, 320),
}
_WIDTHS_3D: dict[Hardware, tuple[int, ...]] = {
    "cpu": (16, 32, 64, 96, 128, 128),
    "gpu": (32, 64, 128, 256, 320, 320),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """What a training may use. memory_gb: of the machine, or of the GPU."""

    memory_gb: float
    hardware: Hardware = "cpu"

    @property
    def training_bytes(self) -> int:
        """What a step may take by the estimate of networks.memory.

        Raises:
            InputError: nothing is left for a network.
        """
        left = self.memory_gb * GIGABYTE - PROGRAMS_BYTES
        if left <= 0:
            raise InputError(
                f"--memory {self.memory_gb:g}GB: the programs alone take "
                f"{PROGRAMS_BYTES / GIGABYTE:g} GB. Give 1GB or more."
            )
        return int(left * USED_SHARE)


@dataclass(frozen=True, slots=True)
class Choice:
    """One choice. field: of the recipe, such as "volume.spacing_mm". reason: in a sentence."""

    field: str
    value: Any
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A recipe, and why it is as it is.

    memory_bytes: estimate of a training step, programs included.
    """

    recipe: Recipe
    choices: tuple[Choice, ...]
    fingerprint: Fingerprint
    budget: Budget
    memory_bytes: int

    def to_document(self) -> dict[str, Any]:
        """Return it as plain values."""
        return {
            "schema_version": 1,
            "recipe": self.recipe.model_dump(mode="json"),
            "choices": [
                {"field": each.field, "value": _plain(each.value), "reason": each.reason}
                for each in self.choices
            ],
            "memory_gb": round(self.memory_bytes / GIGABYTE, 2),
            "budget": {"memory_gb": self.budget.memory_gb, "hardware": self.budget.hardware},
            "cases": self.fingerprint.num_cases,
        }


def _plain(value: Any) -> Any:
    return [_plain(each) for each in value] if isinstance(value, tuple) else value


def widths(hardware: Hardware, dimensions: int) -> tuple[int, ...]:
    """Return the feature maps of the levels, the most there will be.

    A GPU has those of nnU-Net. On two cores a step takes as long as its products are many, which
    grow with the square of the width: in three dimensions they are half as wide or less.
    """
    return (_WIDTHS_3D if dimensions == 3 else _WIDTHS)[hardware]


def batch_that_fits(spec: UNetSpec, patch: tuple[int, ...], budget: Budget, *, wanted: int) -> int:
    """Return the largest batch up to the wanted one, halved until it fits; at least 1."""
    batch = min(wanted, LARGEST_BATCH[budget.hardware])
    while batch > 1 and training_bytes(spec, patch, batch) > budget.training_bytes:
        batch //= 2
    return batch


def fits(spec: UNetSpec, patch: tuple[int, ...], batch: int, budget: Budget) -> bool:
    """Whether a step is estimated to stay within the budget."""
    return training_bytes(spec, patch, batch) <= budget.training_bytes


def percentile(values: list[float], share: float) -> float | None:
    """Return a percentile, or None of no values."""
    return float(np.percentile(values, share)) if values else None


def middle(values: list[tuple[float, float, float]]) -> tuple[float, float, float]:
    """Return the median along each axis."""
    first, second, third = (float(each) for each in np.median(np.array(values), axis=0))
    return first, second, third


def axes_in_words(values: tuple[float, ...], digits: int = 0) -> str:
    """Return numbers with a cross between them.

    >>> axes_in_words((2.5, 1.0), 1)
    '2.5 x 1.0'
    """
    return " x ".join(f"{each:.{digits}f}" for each in values)


def network_in_words(spec: UNetSpec) -> str:
    """Return levels, widths and how far the sides are halved."""
    halved = axes_in_words(tuple(float(each) for each in spec.stride))
    return f"{len(spec.channels)} levels of {', '.join(map(str, spec.channels))}; halved {halved}"
