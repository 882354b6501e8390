"""A network small enough to reason about, behind the same seam as the real ones."""

from collections.abc import Callable, Mapping

import numpy as np
import pytest
from scipy.special import expit

from breastseg.core.network_recipe import UNetSpec
from breastseg.core.recipe import Augmentation, Optimisation, Recipe
from breastseg.datasets.splits import DataSplit
from breastseg.networks.losses import binary_cross_entropy
from breastseg.networks.spec import check_weights, initial_weights
from breastseg.pipeline.batches import Batch
from breastseg.pipeline.image_set import ImageSet, PreparedCase
from breastseg.training.checkpoint import Run, create_run

RECIPE = Recipe(
    seed=7,
    network=UNetSpec(channels=(1, 1), convolutions=1),
    augmentation=Augmentation(flip=0.5, noise=0.1),
    optimisation=Optimisation(batch_size=4, epochs=3, learning_rate=0.3, precision="float32"),
)

OnStep = Callable[["FakeBackend", int], float | None]


class FakeBackend:
    """Logistic regression of a pixel on its own brightness: logit = weight * pixel + bias.

    The rest of the network's weights are carried along. Its gradient has noise that depends
    on seed and step alone, as dropout does, and its update on both of Adam's moments, so that
    a resumed run betrays whatever it forgot.

    on_step: called before each step; it may raise, or return a loss to report instead.
    """

    name = "fake"
    device = "cpu"
    precision = "float32"

    def __init__(self, recipe: Recipe = RECIPE, on_step: OnStep | None = None) -> None:
        self.recipe = recipe
        self.on_step = on_step or (lambda backend, step: None)
        self.steps: list[int] = []
        self.batches: list[Batch] = []
        self._heads = recipe.optimisation.deep_supervision
        self._arrays = initial_weights(recipe.network, recipe.seed, self._heads)
        self._moments = {
            f"{moment}.{name}": np.zeros_like(array)
            for moment in ("first", "second")
            for name, array in self._arrays.items()
        }

    def train_step(self, batch: Batch, *, step: int, learning_rate: float) -> float:
        self.steps.append(step)
        self.batches.append(batch)
        told = self.on_step(self, step)
        logits = self.predict_logits(batch.images)
        noise = np.random.default_rng([self.recipe.seed, step]).normal(0, 0.01)
        slope = (expit(logits) - batch.targets) / logits.size
        self._adam("head.weight", float((slope * batch.images).sum()) + noise, step, learning_rate)
        self._adam("head.bias", float(slope.sum()), step, learning_rate)
        return binary_cross_entropy(logits, batch.targets) if told is None else told

    def _adam(self, name: str, gradient: float, step: int, rate: float) -> None:
        first, second = self._moments[f"first.{name}"], self._moments[f"second.{name}"]
        first[...] = 0.9 * first + 0.1 * gradient
        second[...] = 0.999 * second + 0.001 * gradient**2
        change = first / (1 - 0.9**step) / (np.sqrt(second / (1 - 0.999**step)) + 1e-8)
        self._arrays[name] -= np.float32(rate) * change

    def predict_logits(self, images: np.ndarray) -> np.ndarray:
        weight, bias = self._arrays["head.weight"], self._arrays["head.bias"]
        return weight.reshape(1, 1, 1, 1) * images + bias.reshape(1, 1, 1, 1)

    def weights(self) -> Mapping[str, np.ndarray]:
        return {name: array.copy() for name, array in self._arrays.items()}

    def load_weights(self, weights: Mapping[str, np.ndarray]) -> None:
        check_weights(
            self.recipe.network, weights, source="load_weights", deep_supervision=self._heads
        )
        self._arrays = {name: array.copy() for name, array in weights.items()}

    def optimiser_state(self) -> Mapping[str, np.ndarray]:
        return {name: array.copy() for name, array in self._moments.items()}

    def load_optimiser_state(self, state: Mapping[str, np.ndarray]) -> None:
        self._moments = {name: array.copy() for name, array in state.items()}

    def set_bias(self, value: float) -> None:
        """Set how bright everything looks: far below 0 nothing is found any more."""
        self._arrays["head.bias"][...] = value


def bright_lesions(count: int, seed: int) -> list[PreparedCase]:
    """Return noise in which a rectangle is brighter; the last case has none."""
    stream = np.random.default_rng(seed)
    cases = []
    for number in range(count):
        target = np.zeros((16, 16), bool)
        if number < count - 1:
            row, column = stream.integers(2, 8, 2)
            target[row : row + 6, column : column + 5] = True
        image = stream.normal(0, 0.5, (16, 16)) + 2 * target
        cases.append(PreparedCase(image.astype(np.float32), target))
    return cases


@pytest.fixture
def fake_backend() -> type[FakeBackend]:
    """Return the class of the backend, to be built as a test needs it."""
    return FakeBackend


@pytest.fixture
def recipe() -> Recipe:
    """Return a recipe of three epochs with two steps each."""
    return RECIPE


@pytest.fixture(scope="session")
def training() -> ImageSet:
    """Return ten cases: two batches of four, and two that wait."""
    return ImageSet(bright_lesions(10, seed=0))


@pytest.fixture(scope="session")
def validation() -> ImageSet:
    """Return five other cases, one of them without a lesion."""
    return ImageSet(bright_lesions(5, seed=1))


@pytest.fixture
def new_run(tmp_path, recipe) -> Callable[..., Run]:
    """Return a function that begins a run folder of that name."""

    def create(name: str = "run", recipe: Recipe = recipe) -> Run:
        split = DataSplit(
            method="by hand", parts={"train": ("a",), "test": ("b",)}, groups={"a": "a", "b": "b"}
        )
        environment = {"framework": "fake", "versions": {"breastseg": "0.1.0"}}
        content = {"a": "0" * 64, "b": "1" * 64}
        return create_run(
            tmp_path / name, recipe=recipe, split=split, environment=environment, content=content
        )

    return create
