"""The optimiser's step in PyTorch: torch's own, with its state under canonical names."""

from collections.abc import Callable, Iterator, Mapping

import numpy as np
import torch
from jaxtyping import Float32
from torch import Tensor

from breastseg.core.recipe import Optimisation
from breastseg.networks.weight import Weight

Array = Float32[np.ndarray, "..."]
View = Callable[[str, Tensor], Tensor]

# torch's name of each of Optimisation.moments.
_KEYS = {"first": "exp_avg", "second": "exp_avg_sq", "momentum": "momentum_buffer"}


class Optimiser:
    """Adam, AdamW or SGD over the trained weights of a network.

    Args:
        parameters: by the weight that each is.
        view: of a parameter or a moment, in the canonical order of its axes.
    """

    def __init__(
        self, constants: Optimisation, parameters: Mapping[Weight, Tensor], view: View
    ) -> None:
        self._constants, self._view = constants, view
        self._parameters = {weight: parameters[weight] for weight in parameters if weight.trained}
        self._torch = _make(constants, self._parameters)

    def clear_gradients(self) -> None:
        """Forget the gradients of the step before."""
        self._torch.zero_grad(set_to_none=True)

    def step(self, *, step: int, learning_rate: float) -> None:
        """Change the weights by the gradients that are there.

        Args:
            step: from 1, over the whole run: the loop counts the steps, not torch.
        """
        if self._constants.clip_norm is not None:
            parameters = list(self._parameters.values())
            torch.nn.utils.clip_grad_norm_(parameters, self._constants.clip_norm)
        for group in self._torch.param_groups:
            group["lr"] = learning_rate
        for moments in self._torch.state.values():
            if "step" in moments:
                moments["step"].fill_(float(step - 1))
        self._torch.step()

    def state(self) -> Mapping[str, Array]:
        """Return the moments as `MOMENT.WEIGHT`; none before the first step."""
        return {
            f"{moment}.{name}": self._view(name, moments[_KEYS[moment]])
            .float()
            .cpu()
            .numpy()
            .copy()
            for name, parameter in self._named()
            if (moments := self._torch.state.get(parameter))
            for moment in self._constants.moments
        }

    def load_state(self, state: Mapping[str, Array]) -> None:
        """Replace the moments."""
        for name, parameter in self._named():
            for moment in self._constants.moments:
                if f"{moment}.{name}" not in state:
                    continue
                moments = self._torch.state[parameter]
                if self._constants.optimiser != "sgd":
                    moments["step"] = torch.tensor(0.0)
                moments[_KEYS[moment]] = torch.empty_like(parameter)
                saved = torch.from_numpy(state[f"{moment}.{name}"].copy())
                self._view(name, moments[_KEYS[moment]]).copy_(saved)

    def _named(self) -> Iterator[tuple[str, Tensor]]:
        return ((weight.name, parameter) for weight, parameter in self._parameters.items())


def _make(constants: Optimisation, parameters: Mapping[Weight, Tensor]) -> torch.optim.Optimizer:
    decayed = [parameter for weight, parameter in parameters.items() if weight.decayed]
    other = [parameter for weight, parameter in parameters.items() if not weight.decayed]
    groups = [
        {"params": decayed, "weight_decay": constants.weight_decay},
        {"params": other, "weight_decay": 0.0},
    ]
    if constants.optimiser == "sgd":
        return torch.optim.SGD(
            groups,
            lr=constants.learning_rate,
            momentum=constants.momentum,
            nesterov=constants.nesterov,
        )
    kind = torch.optim.AdamW if constants.optimiser == "adamw" else torch.optim.Adam
    return kind(
        groups,
        lr=constants.learning_rate,
        betas=(constants.beta1, constants.beta2),
        eps=constants.epsilon,
    )
