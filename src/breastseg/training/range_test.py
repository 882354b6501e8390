"""The learning rate range test: which rate suits this network and these images."""

import math
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from jaxtyping import Float32

from breastseg.backends.protocol import Backend
from breastseg.pipeline.batches import Batch
from breastseg.training.health import BURST, rises

Array = Float32[np.ndarray, "..."]

LOWEST, HIGHEST = 1e-6, 1.0
NUM_STEPS = 37
_SMOOTHING = 0.7
_LEAST_FALL = 0.02


def propose_learning_rate(
    backend: Backend, batches: Iterable[Batch], weights: Mapping[str, Array]
) -> float | None:
    """Train for some steps while the rate rises tenfold every six, and read a rate off the loss.

    Args:
        backend: is left with `weights` and an empty memory of its optimiser.
        batches: at least NUM_STEPS, else the test covers lower rates alone.
        weights: to begin with; fresh ones.

    Returns:
        A tenth of the rate at which the smoothed loss was lowest; None where no rate lowered
        the loss by 2 %.

    Source: Smith 2017 (Cyclical Learning Rates), section 3.3; the tenth as in fastai's lr_find.
    """
    rates = np.geomspace(LOWEST, HIGHEST, NUM_STEPS).tolist()
    losses: list[float] = []
    _begin_anew(backend, weights)
    for step, (rate, batch) in enumerate(zip(rates, batches, strict=False), start=1):
        loss = backend.train_step(batch, step=step, learning_rate=rate)
        if not math.isfinite(loss) or (losses and rises(losses[0], loss, BURST)):
            break
        losses.append(loss)
    _begin_anew(backend, weights)
    return _read_off(rates, losses)


def _begin_anew(backend: Backend, weights: Mapping[str, Array]) -> None:
    backend.load_weights(weights)
    state = {name: np.zeros_like(array) for name, array in backend.optimiser_state().items()}
    backend.load_optimiser_state(state)


def _read_off(rates: Sequence[float], losses: Sequence[float]) -> float | None:
    """Return a tenth of the rate of the lowest smoothed loss, with one digit.

    >>> _read_off([1e-4, 1e-3, 1e-2, 1e-1], [1.0, 0.9, 0.2, 3.0])
    0.001
    >>> _read_off([1e-4, 1e-3, 1e-2], [1.0, 1.0, 1.0]) is None
    True
    """
    if not losses:
        return None
    smooth = [losses[0]]
    for loss in losses[1:]:
        smooth.append(_SMOOTHING * smooth[-1] + (1 - _SMOOTHING) * loss)
    lowest = int(np.argmin(smooth))
    if smooth[0] - smooth[lowest] < _LEAST_FALL * abs(smooth[0]):
        return None
    return float(f"{rates[lowest] / 10:.0e}")
