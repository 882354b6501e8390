"""The one-cycle schedule beside torch's, which is its published form."""

import numpy as np
import pytest
import torch

from breastseg.core.recipe import Optimisation, Schedule
from breastseg.networks.schedules import learning_rate


@pytest.mark.parametrize(("epochs", "rise"), [(40, 0.3), (11, 0.5), (7, 0.2)])
def test_one_cycle_is_that_of_torch(epochs, rise):
    schedule = Schedule(name="one-cycle", rise=rise, divisor=20, minimum=0.3 / 20 / 100)
    optimisation = Optimisation(learning_rate=0.3, epochs=epochs, schedule=schedule)
    ours = [learning_rate(optimisation, [0.5] * epoch) for epoch in range(epochs)]
    optimiser = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.1)
    theirs, cycle = (
        [],
        torch.optim.lr_scheduler.OneCycleLR(
            optimiser, 0.3, total_steps=epochs, pct_start=rise, div_factor=20, final_div_factor=100
        ),
    )
    for epoch in range(epochs):
        theirs.append(cycle.get_last_lr()[0])
        optimiser.step()
        if epoch < epochs - 1:
            cycle.step()
    np.testing.assert_allclose(ours, theirs, rtol=1e-9)
