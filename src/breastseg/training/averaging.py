"""The moving average of a network's weights: in NumPy, so that both frameworks share it."""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float32

Array = Float32[np.ndarray, "..."]


class WeightAverage:
    """An exponential moving average over the steps of a training.

    The first steps count for more, since the first weights are random: at step t the average
    keeps min(decay, (1 + t) / (10 + t)) of itself. Running statistics are averaged too.

    Source: Polyak & Juditsky 1992; the start as in TensorFlow's ExponentialMovingAverage.

    >>> average = WeightAverage(0.9, {"w": np.zeros(1, np.float32)})
    >>> average.update({"w": np.full(1, 11, np.float32)}, step=1)
    >>> average.weights["w"]
    array([9.], dtype=float32)
    """

    def __init__(self, decay: float, weights: Mapping[str, Array]) -> None:
        self._decay = decay
        self.weights = {name: np.array(array) for name, array in weights.items()}

    def update(self, weights: Mapping[str, Array], *, step: int) -> None:
        """Take in the weights behind a step, counted from 1 over the whole run."""
        share = np.float32(1 - min(self._decay, (1 + step) / (10 + step)))
        for name, average in self.weights.items():
            average += share * (weights[name] - average)
