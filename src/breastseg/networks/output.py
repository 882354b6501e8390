"""What every network says of images, whatever runs it."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float32

Logits = Float32[np.ndarray, "batch 1 *space"]
ClassLogits = Float32[np.ndarray, "batch classes"]


class NetworkOutput(NamedTuple):
    """The logits of the mask; no class logits where the network tells no classes."""

    logits: Logits
    class_logits: ClassLogits | None
