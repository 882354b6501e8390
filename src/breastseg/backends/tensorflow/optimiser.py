"""The optimiser's step in TensorFlow, written out with PyTorch's arithmetic.

Keras's Adam adds epsilon before the bias correction, PyTorch's behind it; Keras's SGD keeps the
learning rate inside the velocity, so that a schedule makes its Nesterov momentum differ.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from jaxtyping import Float32

from breastseg.core.recipe import Optimisation
from breastseg.networks.weight import Weight

Array = Float32[np.ndarray, "..."]

# What torch.nn.utils.clip_grad_norm_ adds to the norm before it divides.
_CLIP_EPSILON = 1e-6


class Optimiser:
    """Adam, AdamW or SGD over the trained weights of a network.

    Args:
        variables: by the weight that each is; gradients come in the same order.
    """

    def __init__(self, constants: Optimisation, variables: Mapping[Weight, tf.Variable]) -> None:
        self._constants = constants
        self._variables = {weight: variables[weight] for weight in variables if weight.trained}
        self._slots = {
            moment: {
                weight: tf.Variable(tf.zeros(variable.shape), trainable=False)
                for weight, variable in self._variables.items()
            }
            for moment in constants.moments
        }

    @property
    def variables(self) -> list[tf.Variable]:
        """What the gradients are taken of."""
        return list(self._variables.values())

    def coefficients(self, *, step: int, learning_rate: float) -> tuple[tf.Tensor, ...]:
        """Return what changes from step to step: the rate and Adam's bias corrections.

        Args:
            step: from 1, over the whole run.
        """
        first = 1 - self._constants.beta1**step
        second = np.sqrt(1 - self._constants.beta2**step)
        return tuple(tf.constant(value, tf.float32) for value in (learning_rate, first, second))

    def apply(self, gradients: Sequence[tf.Tensor], coefficients: tuple[tf.Tensor, ...]) -> None:
        """Change the weights by their gradients; to be called while a graph is traced."""
        if self._constants.clip_norm is not None:
            gradients = _clipped(gradients, self._constants.clip_norm)
        change = self._sgd if self._constants.optimiser == "sgd" else self._adam
        for weight, gradient in zip(self._variables, gradients, strict=True):
            change(weight, gradient, *coefficients)

    def _adam(
        self,
        weight: Weight,
        gradient: tf.Tensor,
        rate: tf.Tensor,
        first_correction: tf.Tensor,
        second_correction: tf.Tensor,
    ) -> None:
        """Source: Loshchilov & Hutter 2019 (AdamW), algorithm 2, without its schedule."""
        constants, variable = self._constants, self._variables[weight]
        first, second = self._slots["first"][weight], self._slots["second"][weight]
        first.assign(constants.beta1 * first + (1 - constants.beta1) * gradient)
        squared = (1 - constants.beta2) * tf.square(gradient)
        second.assign(constants.beta2 * second + squared)
        decay = constants.weight_decay if weight.decayed else 0.0
        denominator = tf.sqrt(second) / second_correction + constants.epsilon
        change = first / first_correction / denominator
        variable.assign(variable * (1 - rate * decay) - rate * change)

    def _sgd(self, weight: Weight, gradient: tf.Tensor, rate: tf.Tensor, *_: tf.Tensor) -> None:
        """Source: torch.optim.SGD's documented algorithm; Sutskever et al. 2013, section 2."""
        constants, variable = self._constants, self._variables[weight]
        decay = constants.weight_decay if weight.decayed else 0.0
        change = gradient + decay * variable if decay else gradient
        if constants.momentum:
            velocity = self._slots["momentum"][weight]
            velocity.assign(constants.momentum * velocity + change)
            change = change + constants.momentum * velocity if constants.nesterov else velocity
        variable.assign(variable - rate * change)

    def slots(self) -> Mapping[str, tuple[Weight, Any]]:
        """Return the variable of each moment by `MOMENT.WEIGHT`."""
        return {
            f"{moment}.{weight.name}": (weight, slot)
            for moment, slots in self._slots.items()
            for weight, slot in slots.items()
        }


def _clipped(gradients: Sequence[tf.Tensor], largest: float) -> list[tf.Tensor]:
    """Scale all gradients alike. Source: Pascanu et al. 2013, algorithm 1; epsilon as in torch."""
    factor = tf.minimum(1.0, largest / (tf.linalg.global_norm(gradients) + _CLIP_EPSILON))
    return [gradient * factor for gradient in gradients]
