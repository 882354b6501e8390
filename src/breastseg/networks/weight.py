"""One named array of a network, without a framework."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

Role = Literal["kernel", "bias", "scale", "mean", "variance"]


@dataclass(frozen=True, slots=True)
class Weight:
    """One named array of a network.

    gain: variance of a kernel's first values times its fan-in: 2 before a ReLU (He et al.
        2015, eq. 10), else 1.
    level: whose resolution it computes at.
    transposed: whether it is the kernel of a transposed convolution, which is as large as its
        stride: each output pixel sees one tap.
    """

    name: str
    shape: tuple[int, ...]
    role: Role
    gain: float = 1.0
    level: int = 0
    transposed: bool = False

    @property
    def depthwise(self) -> bool:
        """Whether it is a kernel with a filter of its own for each channel."""
        return self.role == "kernel" and self.name.endswith(".depthwise.convolution.weight")

    @property
    def trained(self) -> bool:
        """Whether the optimiser changes it; running statistics are updated otherwise."""
        return self.role not in ("mean", "variance")

    @property
    def decayed(self) -> bool:
        """Whether weight decay applies: to kernels only, not to biases and scales."""
        return self.role == "kernel"


def norm_weights(prefix: str, channels: int, norm: str) -> Iterator[Weight]:
    """Yield scale, shift and running statistics of a normalisation, as far as it has them."""
    if norm != "none":
        yield Weight(f"{prefix}.weight", (channels,), "scale")
        yield Weight(f"{prefix}.bias", (channels,), "bias")
    if norm == "batch":
        yield Weight(f"{prefix}.mean", (channels,), "mean")
        yield Weight(f"{prefix}.variance", (channels,), "variance")
