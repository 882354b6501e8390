"""From a NetworkSpec to the names, shapes and first values of its weights. No framework.

Canonical names are what the files hold and what every backend maps to its own:

    encoder.{level}.block.{i}.convolution.{weight,bias}
    encoder.{level}.block.{i}.norm.{weight,bias}        with normalisation
    encoder.{level}.block.{i}.norm.{mean,variance}      with batch normalisation; not trained
    decoder.{level}.up.{weight,bias}
    decoder.{level}.block.{i}....                       as in the encoder
    decoder.{level}.head.{weight,bias}                  with deep supervision; in training alone
    head.{weight,bias}
    classes.{weight,bias}                               with classes; (class, latent channel)

The encoder of a LiteUNetSpec has names of its own: networks.efficientnet. All kernels,
transposed ones too, are (out, in, row, column), or (out, in, slice, row, column).
"""

import zlib
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from jaxtyping import Float32

from breastseg.core.errors import WeightsError
from breastseg.core.network_recipe import LiteUNetSpec, NetworkSpec, UNetSpec
from breastseg.networks.efficientnet import encoder_weights
from breastseg.networks.weight import Weight, norm_weights

NORM_EPSILON = 1e-5
BATCH_NORM_MOMENTUM = 0.1
"""Weight of the newest batch in the running statistics (Keras calls 0.9 the same)."""

DROPOUT_STEPS = 2**16
"""A dropout mask compares 16 random bits: four times fewer random numbers than 64, and a rate
that is off by at most 1 in 131072."""

CLASSES = "classes."
"""How the names of the weights begin that tell the class of a whole image."""

Array = Float32[np.ndarray, "..."]


def _block(spec: NetworkSpec, prefix: str, inputs: int, level: int) -> Iterator[Weight]:
    outputs, taps = spec.channels[level], spec.kernel_at(level)
    for i in range(spec.convolutions_at(level)):
        name, shape = f"{prefix}.block.{i}", (outputs, inputs, *taps)
        yield Weight(f"{name}.convolution.weight", shape, "kernel", gain=2.0, level=level)
        yield Weight(f"{name}.convolution.bias", (outputs,), "bias")
        yield from norm_weights(f"{name}.norm", outputs, spec.norm)
        inputs = outputs


def _encoder(spec: UNetSpec) -> Iterator[Weight]:
    inputs = spec.input_channels
    for level, outputs in enumerate(spec.channels):
        yield from _block(spec, f"encoder.{level}", inputs, level)
        inputs = outputs


def _up(spec: NetworkSpec, level: int) -> Iterator[Weight]:
    deeper, outputs = spec.channels[level + 1], spec.channels[level]
    transposed = spec.upsampling == "transposed"
    taps = spec.stride_at(level) if transposed else spec.kernel_at(level)
    name, shape = f"decoder.{level}.up", (outputs, deeper, *taps)
    yield Weight(f"{name}.weight", shape, "kernel", transposed=transposed, level=level)
    yield Weight(f"{name}.bias", (outputs,), "bias")


def _head(spec: NetworkSpec, prefix: str, level: int) -> Iterator[Weight]:
    shape = (1, spec.channels[level], *(1,) * spec.dimensions)
    yield Weight(f"{prefix}.weight", shape, "kernel", level=level)
    yield Weight(f"{prefix}.bias", (1,), "bias")


def weight_table(spec: NetworkSpec, deep_supervision: int = 0) -> tuple[Weight, ...]:
    """Return every weight of the network, in the order of the computation.

    Args:
        spec: the network.
        deep_supervision: how many decoder levels have a head of their own for training; they
            are no part of the network that is kept.

    >>> table = weight_table(UNetSpec(channels=(4, 8), convolutions=1))
    >>> [weight.name for weight in table if weight.role == "kernel"][:2]
    ['encoder.0.block.0.convolution.weight', 'encoder.1.block.0.convolution.weight']
    >>> table[-2].name, table[-2].shape
    ('head.weight', (1, 4, 1, 1))
    """
    table = [*(encoder_weights(spec.encoder) if isinstance(spec, LiteUNetSpec) else _encoder(spec))]
    for level in reversed(range(len(spec.channels) - 1)):
        table += _up(spec, level)
        joined = spec.skip_channels_at(level) + spec.channels[level]
        table += _block(spec, f"decoder.{level}", joined, level)
        if 0 < level <= deep_supervision:
            table += _head(spec, f"decoder.{level}.head", level)
    table += _head(spec, "head", 0)
    if spec.classes:
        shape = (len(spec.classes), spec.channels[-1])
        table.append(Weight(f"{CLASSES}weight", shape, "kernel", level=len(spec.channels) - 1))
        table.append(Weight(f"{CLASSES}bias", shape[:1], "bias"))
    return tuple(table)


def num_parameters(spec: NetworkSpec) -> int:
    """Return how many numbers the optimiser trains, without heads for training alone."""
    return sum(int(np.prod(weight.shape)) for weight in weight_table(spec) if weight.trained)


def multiply_adds(spec: NetworkSpec, shape: Sequence[int]) -> int:
    """Return how many multiplications the convolutions of one image take, forward.

    Each comes with an addition: twice as many floating-point operations. A training step takes
    three times as many: the gradients of features and of kernels cost about a pass each.

    Args:
        shape: of the image, (row, column) or (slice, row, column), multiples of the stride.

    >>> multiply_adds(UNetSpec(channels=(16, 32, 64, 128, 256)), (256, 256)) / 1e9
    3.013607424
    """
    sizes = [np.array(shape)]
    for level in range(len(spec.channels) - 1):
        sizes.append(sizes[-1] // spec.stride_at(level))
    total = 0
    for weight in weight_table(spec):
        if weight.role == "kernel":
            seen = weight.shape[:2] if weight.transposed else weight.shape
            of_pixels = len(weight.shape) > 2
            places = int(np.prod(sizes[weight.level])) if of_pixels else 1
            total += int(np.prod(seen)) * places
    return total


def without_training_heads(weights: Mapping[str, Array]) -> dict[str, Array]:
    """Return the weights of the network that is kept: what weight_table(spec) lists."""
    return {name: array for name, array in weights.items() if ".head." not in name}


def initial_weights(spec: NetworkSpec, seed: int, deep_supervision: int = 0) -> dict[str, Array]:
    """Draw the first weights: normal kernels, zero biases, unit scales.

    Each array has a random stream of its own, keyed by seed and name, and all backends
    start from these same values, with deep supervision or without. The fan-in of a
    transposed kernel is its input channels.
    """
    table = weight_table(spec, deep_supervision)
    return {weight.name: _first_values(weight, seed) for weight in table}


def _first_values(weight: Weight, seed: int) -> Array:
    if weight.role in ("scale", "variance"):
        return np.ones(weight.shape, np.float32)
    if weight.role != "kernel":
        return np.zeros(weight.shape, np.float32)
    fan_in = weight.shape[1] if weight.transposed else int(np.prod(weight.shape[1:]))
    stream = np.random.default_rng([seed, zlib.crc32(weight.name.encode())])
    return stream.normal(0.0, np.sqrt(weight.gain / fan_in), weight.shape).astype(np.float32)


def check_weights(
    spec: NetworkSpec, weights: Mapping[str, Array], *, source: str, deep_supervision: int = 0
) -> None:
    """Refuse weights that are not this network's.

    Args:
        source: where the weights came from, for the message.
        deep_supervision: as in weight_table, for weights on their way through a training.

    Raises:
        WeightsError: a name is missing or unknown, a shape or type differs, or a value is not
            finite.
    """
    expected = {weight.name: weight.shape for weight in weight_table(spec, deep_supervision)}
    found = {name: tuple(array.shape) for name, array in weights.items()}
    if expected != found:
        raise WeightsError(
            f"{source}: the weights do not fit the network with channels {spec.channels}: "
            f"{_first_difference(expected, found)}. Use the recipe.json that was saved beside them."
        )
    for name, array in weights.items():
        if array.dtype != np.float32:
            raise WeightsError(
                f"{source}: '{name}' must hold float32, got {array.dtype}. Convert it, or use the "
                "file that breastseg wrote."
            )
        if not np.isfinite(array).all():
            raise WeightsError(
                f"{source}: '{name}' must hold finite numbers, found NaN or infinity. "
                "Train again, or use the last good checkpoint."
            )


def _first_difference(
    expected: Mapping[str, tuple[int, ...]], found: Mapping[str, tuple[int, ...]]
) -> str:
    for name, shape in expected.items():
        if name not in found:
            return f"'{name}' is missing"
        if found[name] != shape:
            return f"'{name}' must have the shape {shape}, got {found[name]}"
    extra = next(name for name in found if name not in expected)
    return f"'{extra}' is not one of its weights"


def check_moments(
    moments: Mapping[str, Array], weights: Mapping[str, Array], *, source: str
) -> None:
    """Refuse an optimiser's moments, named `MOMENT.WEIGHT`, that are not of these weights.

    Raises:
        WeightsError: a moment is of no weight or of another shape.
    """
    shapes = {name: array.shape for name, array in weights.items()}
    for name, array in moments.items():
        if shapes.get(name.partition(".")[2]) != array.shape:
            raise WeightsError(
                f"{source}: '{name}' of shape {array.shape} belongs to no weight of the network. "
                "Use the recipe.json that was saved beside it."
            )
