"""What every network says of images, whatever runs it."""

from typing import NamedTuple, Self

import numpy as np
from jaxtyping import Float32

Images = Float32[np.ndarray, "batch channel *space"]
Logits = Float32[np.ndarray, "batch 1 *space"]
ClassLogits = Float32[np.ndarray, "batch classes"]
Values = Float32[np.ndarray, "..."]
ClassMap = Float32[np.ndarray, "batch classes *places"]


class NetworkOutput(NamedTuple):
    """The logits of the mask; no class logits where the network tells no classes.

    class_map: what each place of the latent level says of each class, without the bias: its mean
        over the places and the bias are the class logits. None where nobody made it; runtimes do.
    """

    logits: Logits
    class_logits: ClassLogits | None
    class_map: ClassMap | None = None

    def mirrored(self) -> Self:
        """Return what the network says, left and right exchanged."""
        turned = None if self.class_map is None else self.class_map[..., ::-1]
        return self._replace(logits=self.logits[..., ::-1], class_map=turned)

    def averaged(self, other: Self) -> Self:
        """Return the mean of two answers to the same images."""
        return self._replace(
            logits=_mean(self.logits, other.logits),
            class_logits=_mean_if_told(self.class_logits, other.class_logits),
            class_map=_mean_if_told(self.class_map, other.class_map),
        )


def _mean(one: Values, two: Values) -> Values:
    return np.asarray((one + two) / 2, np.float32)


def _mean_if_told(one: Values | None, two: Values | None) -> Values | None:
    return None if one is None or two is None else _mean(one, two)
