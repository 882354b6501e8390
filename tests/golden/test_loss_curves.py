"""Golden loss curves: a refactoring must train the very same network.

Twenty steps of a small network on data made by a formula, per framework, in float32 and on
one thread. A change that is meant to change the curve (another initialisation, another order
of operations) writes it anew, which shows in the diff and needs a reason in its commit:

    python tests/golden/test_loss_curves.py
"""

import json
from pathlib import Path

import numpy as np
import pytest

from breastseg.backends.protocol import FRAMEWORKS, BackendConfig, make_backend
from breastseg.core.network_recipe import UNetSpec
from breastseg.core.recipe import LossTerm, Optimisation
from breastseg.pipeline.batches import Batch

GOLDEN = Path(__file__).with_name("loss_curves.json")
NUM_STEPS = 20
RTOL = 1e-5  # threads and frameworks differ by 2e-7, a weight decay of 0.011 by 2e-5
CONFIG = BackendConfig(
    network=UNetSpec(channels=(8, 16, 16), convolutions=(1, 2, 1), norm="group"),
    loss=(LossTerm(name="bce-dice"),),
    optimisation=Optimisation(
        optimiser="adamw", learning_rate=2e-3, weight_decay=0.01, precision="float32"
    ),
    seed=11,
    device="cpu",
    num_threads=1,
)


def batch(step: int) -> Batch:
    """Four discs that wander with the step, brighter than waves that do not."""
    row, column = np.mgrid[:32, :32] / 32
    phase = (np.arange(4) + step / NUM_STEPS)[:, None, None]
    distance = np.hypot(row - 0.5 - 0.2 * np.sin(phase), column - 0.5 - 0.2 * np.cos(2 * phase))
    targets = (distance < 0.22).astype(np.float32)[:, None]
    waves = np.sin(17 * row + 5 * phase) * np.cos(13 * column - 3 * phase)
    return Batch((1.2 * targets + waves[:, None]).astype(np.float32), targets)


def curve(framework: str) -> list[float]:
    backend = make_backend(framework, CONFIG)
    return [
        backend.train_step(batch(step), step=step, learning_rate=2e-3)
        for step in range(1, NUM_STEPS + 1)
    ]


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_twenty_steps_give_the_golden_curve(framework):
    golden = json.loads(GOLDEN.read_text())[framework]
    np.testing.assert_allclose(curve(framework), golden, rtol=RTOL)


def test_the_golden_curves_fall_and_the_frameworks_agree():
    golden = json.loads(GOLDEN.read_text())
    assert golden.keys() == set(FRAMEWORKS)
    for losses in golden.values():
        assert len(losses) == NUM_STEPS
        assert losses[-1] < 0.8 * losses[0]
    np.testing.assert_allclose(*golden.values(), rtol=RTOL)


if __name__ == "__main__":
    curves = {
        framework: [float(f"{loss:.8g}") for loss in curve(framework)] for framework in FRAMEWORKS
    }
    GOLDEN.write_text(json.dumps(curves, indent=1) + "\n")
