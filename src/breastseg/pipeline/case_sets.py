"""What a training draws from and is validated on: one seam for images and volumes.

The loop, the batches and the workers know no more of the data than this.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from jaxtyping import Bool, Float32

from breastseg.core.recipe import Augmentation

Sampling = Literal["each", "balanced"]
Draw = tuple[int, tuple[int, ...]]
"""What is drawn, as TrainingSet.item takes it, and the key of its random stream."""
Item = tuple[Float32[np.ndarray, " channel *space"], Float32[np.ndarray, " 1 *space"]]
"""A standardised input and its target of 0 and 1."""
Predict = Callable[
    [Float32[np.ndarray, "batch channel *space"]], Float32[np.ndarray, "batch 1 *space"]
]
Plane = Float32[np.ndarray, "rows columns"]
PlaneMask = Bool[np.ndarray, "rows columns"]


class PreparedImage(Protocol):
    """What the health checks ask of an image or volume before the first step."""

    @property
    def lesion_size(self) -> int:
        """Pixels or voxels of lesion in the target."""

    @property
    def is_finite(self) -> bool:
        """Whether it holds no NaN and no infinity."""

    @property
    def is_flat(self) -> bool:
        """Whether it has the same value everywhere."""

    @property
    def image_digest(self) -> bytes:
        """The same for the same image alone."""

    @property
    def target_digest(self) -> bytes:
        """The same for the same target alone."""

    @property
    def label(self) -> int:
        """Number of its class in `network.classes`, or UNLABELLED."""


@dataclass(frozen=True, slots=True)
class Look:
    """What a network makes of some validation cases.

    first: the number of the first of them, from 0. logits: where no answer is asked, the lowest
    finite number. inside: where one is asked; None for everywhere.
    """

    first: int
    logits: Float32[np.ndarray, "batch 1 *space"]
    targets: Bool[np.ndarray, " batch *space"]
    inside: Bool[np.ndarray, " batch *space"] | None = None


class ValidationSet(Protocol):
    """What a network is validated on."""

    @property
    def cases(self) -> Sequence[PreparedImage]:
        """What is known of each."""

    def looks(self, predict: Predict, batch_size: int) -> Iterator[Look]:
        """Yield what a network makes of all cases, in their order."""

    def picture(self, place: int) -> tuple[Plane, PlaneMask]:
        """Return a plane of a case to be shown, and its target there."""

    def plane(self, place: int, values: Float32[np.ndarray, "*space"]) -> Plane:
        """Return the same plane of other values of that case."""


class SharedSet(Protocol):
    """A training set on its way to a worker process."""

    def opened(self) -> "TrainingSet":
        """Return the set; nothing of the images was copied."""


class TrainingSet(Protocol):
    """What the batches of a training are drawn from."""

    @property
    def cases(self) -> Sequence[PreparedImage]:
        """What is known of each case."""

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Channels and size of an input."""

    def __len__(self) -> int:
        """Return how many items are drawn in an epoch."""

    def order(self, sampling: Sampling, *, seed: int, epoch: int) -> list[Draw]:
        """Return the draws of an epoch; they depend on the arguments alone."""

    def item(self, index: int, augmentation: Augmentation, stream: np.random.Generator) -> Item:
        """Make a drawn item; all that is random comes from the stream."""

    def label(self, index: int, target: Float32[np.ndarray, " 1 *space"]) -> int:
        """Return the number of the class of an item in `network.classes`, or UNLABELLED.

        Args:
            index: what was drawn. target: of the item that was made of it.
        """

    def some(self, count: int) -> ValidationSet:
        """Return about that many of the cases, to be looked at as validation cases are."""

    def shared(self) -> SharedSet:
        """Return what worker processes see, at the cost of one copy at most."""
