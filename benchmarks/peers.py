"""What breastseg's training is measured against: the same network as a tutorial trains it.

float32, the frameworks' own layers, memory layout, optimiser and loop, and the same
augmentation called where a tutorial calls it: in the data set, one case at a time.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset

from breastseg.backends.pytorch.losses import bce_dice_loss
from breastseg.backends.pytorch.network import UNet
from breastseg.backends.tensorflow.layers import (
    BatchNormalization,
    GroupNormalization,
    SeededDropout,
)
from breastseg.backends.tensorflow.losses import bce_dice_loss as keras_bce_dice_loss
from breastseg.backends.tensorflow.network import build_unet
from breastseg.core.network_recipe import UNetSpec
from breastseg.core.recipe import Augmentation
from breastseg.networks.spec import NORM_EPSILON
from breastseg.pipeline.augment import augment
from breastseg.pipeline.image_set import PreparedCase

Epoch = Callable[[], object]


class AugmentedCases(Dataset[tuple[np.ndarray, np.ndarray]]):
    """Cases as PyTorch's tutorials hold them."""

    def __init__(self, cases: Sequence[PreparedCase], augmentation: Augmentation) -> None:
        self.cases, self.augmentation = cases, augmentation
        self.stream = np.random.default_rng(0)

    def __len__(self) -> int:
        return len(self.cases)

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Return an image and its target, (channel, row, column)."""
        case = self.cases[index]
        target = case.target.astype(np.float32)
        image, target = augment(case.image, target, self.augmentation, self.stream)
        return image[None], target[None]


def plain_pytorch(
    spec: UNetSpec, cases: Sequence[PreparedCase], augmentation: Augmentation, batch: int
) -> Epoch:
    """Return an epoch of an eager float32 training."""
    network = _with_torch_dropout(UNet(spec))
    optimiser = torch.optim.AdamW(network.parameters())
    loader = DataLoader(
        AugmentedCases(cases, augmentation), batch_size=batch, shuffle=True, drop_last=True
    )

    def epoch() -> float:
        network.train()
        total = 0.0
        for images, targets in loader:
            optimiser.zero_grad()
            loss = bce_dice_loss(network(images), targets)
            loss.backward()
            optimiser.step()
            total += loss.item()
        return total

    return epoch


def _with_torch_dropout(network: nn.Module) -> nn.Module:
    """Put torch's own dropout in the place of ours."""
    for module in network.modules():
        for name, child in module.named_children():
            if isinstance(child, nn.Dropout):
                setattr(module, name, nn.Dropout(child.p))
    return network


class AugmentedBatches(keras.utils.PyDataset):  # type: ignore[misc]  # keras has no type hints
    """Cases as Keras's tutorials hold them."""

    def __init__(
        self, cases: Sequence[PreparedCase], augmentation: Augmentation, batch: int
    ) -> None:
        super().__init__()
        self.cases, self.batch = AugmentedCases(cases, augmentation), batch
        self.order = np.arange(len(cases))

    def __len__(self) -> int:
        return math.floor(len(self.order) / self.batch)

    def __getitem__(self, index: int) -> tuple[np.ndarray, ...]:
        """Return images and targets, channels last."""
        chosen = self.order[index * self.batch : (index + 1) * self.batch]
        pairs = [self.cases[number] for number in chosen]
        images, targets = (np.stack(arrays) for arrays in zip(*pairs, strict=True))
        return np.moveaxis(images, 1, -1), np.moveaxis(targets, 1, -1)

    def on_epoch_end(self) -> None:
        """Shuffle."""
        self.cases.stream.shuffle(self.order)


def plain_keras(
    spec: UNetSpec, cases: Sequence[PreparedCase], augmentation: Augmentation, batch: int
) -> Epoch:
    """Return an epoch of `fit` in float32."""
    model = keras.models.clone_model(build_unet(spec).network, clone_function=_keras_layer)
    model.compile(
        optimizer=keras.optimizers.AdamW(),
        loss=lambda target, logits: keras_bce_dice_loss(logits, target),
    )
    batches = AugmentedBatches(cases, augmentation, batch)
    return lambda: model.fit(batches, verbose=0)


def _keras_layer(layer: Any) -> Any:
    """Return Keras's own layer in the place of one of ours."""
    if isinstance(layer, SeededDropout):
        return keras.layers.Dropout(layer.rate)
    if isinstance(layer, GroupNormalization):
        return keras.layers.GroupNormalization(layer.groups, epsilon=NORM_EPSILON)
    if isinstance(layer, BatchNormalization):
        return keras.layers.BatchNormalization(epsilon=NORM_EPSILON)
    return layer.__class__.from_config(layer.get_config())
