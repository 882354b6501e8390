"""Training and using a PyTorch network behind the Backend protocol."""

from collections.abc import Iterator, Mapping

import numpy as np
import torch
from jaxtyping import Float32
from torch import Tensor, nn

from breastseg.backends.protocol import (
    BackendConfig,
    Precision,
    distance_for,
    labels_for,
    precision_of,
)
from breastseg.backends.pytorch.losses import class_cross_entropy, deeply_supervised_loss
from breastseg.backends.pytorch.memory import keep_freed_memory
from breastseg.backends.pytorch.network import UNet
from breastseg.backends.pytorch.optimiser import Optimiser
from breastseg.core.errors import InputError
from breastseg.networks.deep_supervision import coarser_targets
from breastseg.networks.output import Logits, NetworkOutput
from breastseg.networks.spec import check_weights, initial_weights, weight_table
from breastseg.pipeline.batches import Batch, Images
from breastseg.pipeline.preprocess import cropped_to, pad_to_stride

Array = Float32[np.ndarray, "..."]


class Engine:
    """A U-Net in PyTorch with its optimiser; see backends.protocol.Backend."""

    name = "pytorch"

    def __init__(self, config: BackendConfig) -> None:
        if config.num_threads is not None:
            torch.set_num_threads(config.num_threads)
        self.device = _device(config.device)
        on_cuda = self.device == "cuda"
        if not on_cuda:
            keep_freed_memory()
        self.precision: Precision = precision_of(config.optimisation.precision, on_cuda=on_cuda)
        self._config, self._num_coarser = config, config.optimisation.deep_supervision
        table = weight_table(config.network, self._num_coarser)
        self._transposed = {weight.name for weight in table if weight.transposed}
        self._strides = [config.network.stride_at(level) for level in range(self._num_coarser)]
        self._network = UNet(config.network, self._num_coarser).to(self.device)
        _lay_channels_last(self._network)
        self.load_weights(initial_weights(config.network, config.seed, self._num_coarser))
        named = dict(_named(self._network))
        parameters = {weight: named[weight.name] for weight in table}
        self._optimiser = Optimiser(config.optimisation, parameters, self._canonical)

    def train_step(self, batch: Batch, *, step: int, learning_rate: float) -> float:
        """See Backend.train_step."""
        torch.manual_seed(_dropout_seed(self._config.seed, step))
        self._network.train()
        self._optimiser.clear_gradients()
        total = 0.0
        for part, share in batch.parts(self._config.optimisation.accumulation):
            loss = self._loss(part)
            torch.autograd.backward(loss if share == 1 else share * loss)
            total += share * float(loss.detach())
        self._optimiser.step(step=step, learning_rate=learning_rate)
        return total

    def _loss(self, batch: Batch) -> Tensor:
        with self._autocast():
            found = self._network.outputs(self._inputs(batch.images), supervised=True)
        loss = deeply_supervised_loss(self._config.loss, found.levels, self._targets(batch))
        labels = labels_for(self._config.network, batch)
        if labels is None or found.classes is None:
            return loss
        of_classes = class_cross_entropy(found.classes, torch.from_numpy(labels).to(self.device))
        return loss + self._config.class_loss_weight * of_classes

    def _targets(self, batch: Batch) -> list[tuple[Tensor, Tensor | None]]:
        """Return target and distance of each supervised level, the image's resolution first."""
        finest = (self._tensor(batch.targets), self._distance(batch))
        coarser = [
            (self._tensor(target), None if distance is None else self._tensor(distance))
            for target, distance in coarser_targets(batch.targets, self._strides, self._config.loss)
        ]
        return [finest, *coarser]

    def _distance(self, batch: Batch) -> Tensor | None:
        distance = distance_for(self._config.loss, batch)
        return None if distance is None else torch.from_numpy(distance).to(self.device)

    def _tensor(self, array: Array) -> Tensor:
        return torch.from_numpy(array).to(self.device)

    def predict_logits(self, images: Images) -> Logits:
        """See Backend.predict_logits."""
        return self.predict(images).logits

    @torch.inference_mode()
    def predict(self, images: Images) -> NetworkOutput:
        """See Backend.predict."""
        self._network.eval()
        inputs = self._inputs(pad_to_stride(images, self._config.network.stride))
        with self._autocast():
            found = self._network.outputs(inputs)
        logits = cropped_to(found.levels[0].float().cpu().numpy(), images.shape)
        classes = found.classes
        return NetworkOutput(logits, None if classes is None else classes.float().cpu().numpy())

    def _inputs(self, images: Images) -> Tensor:
        return (
            torch.from_numpy(images).to(self.device).to(memory_format=_CHANNELS_LAST[images.ndim])
        )

    def _autocast(self) -> torch.autocast:
        narrow = self.precision == "bfloat16"
        return torch.autocast(self.device, dtype=torch.bfloat16, enabled=narrow)

    def weights(self) -> Mapping[str, Array]:
        """See Backend.weights."""
        return {
            name: self._canonical(name, tensor).detach().float().cpu().numpy().copy()
            for name, tensor in _named(self._network)
        }

    def load_weights(self, weights: Mapping[str, Array]) -> None:
        """See Backend.load_weights."""
        check_weights(
            self._config.network,
            weights,
            source="load_weights",
            deep_supervision=self._num_coarser,
        )
        with torch.no_grad():
            for name, tensor in _named(self._network):
                self._canonical(name, tensor).copy_(torch.from_numpy(weights[name].copy()))

    def _canonical(self, name: str, tensor: Tensor) -> Tensor:
        """View a transposed kernel, which PyTorch keeps as (in, out, ...), as (out, in, ...)."""
        return tensor.transpose(0, 1) if name in self._transposed else tensor

    def optimiser_state(self) -> Mapping[str, Array]:
        """See Backend.optimiser_state."""
        return self._optimiser.state()

    def load_optimiser_state(self, state: Mapping[str, Array]) -> None:
        """See Backend.load_optimiser_state."""
        self._optimiser.load_state(state)


_CHANNELS_LAST = {4: torch.channels_last, 5: torch.channels_last_3d}


def _lay_channels_last(network: nn.Module) -> None:
    """Store kernels as oneDNN and cuDNN read them fastest."""
    for parameter in network.parameters():
        if parameter.ndim in _CHANNELS_LAST:
            memory_format = _CHANNELS_LAST[parameter.ndim]
            parameter.data = parameter.data.contiguous(memory_format=memory_format)


def _device(wanted: str) -> str:
    there = torch.cuda.is_available()
    if wanted == "cuda" and not there:
        raise InputError("--device cuda: PyTorch finds no CUDA device here. Use --device cpu.")
    return "cuda" if there and wanted != "cpu" else "cpu"


def _dropout_seed(seed: int, step: int) -> int:
    return int(np.random.SeedSequence([seed, step]).generate_state(1)[0])


def _named(network: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Yield weights and running statistics under canonical names."""
    yield from network.named_parameters()
    for name, buffer in network.named_buffers():
        for theirs, ours in (("running_mean", "mean"), ("running_var", "variance")):
            if name.endswith(theirs):
                yield name.removesuffix(theirs) + ours, buffer
