"""The ONNX graph against the U-Net written down again, in NumPy and float64."""

import json

import numpy as np
import onnx
import pytest

from breastseg import __version__
from breastseg.backends.onnx.network import build_onnx, onnx_file
from breastseg.core.errors import WeightsError
from breastseg.core.network_recipe import UNetSpec
from breastseg.core.recipe import Preprocessing, Recipe
from breastseg.networks.spec import initial_weights, weight_table

SPECS = {
    "plain": UNetSpec(channels=(2, 4, 6), convolutions=1),
    "group": UNetSpec(channels=(4, 8), convolutions=(1, 2), norm="group", channels_per_group=2),
    "batch": UNetSpec(channels=(3, 5), norm="batch"),
    "interpolation": UNetSpec(channels=(2, 4, 6), convolutions=1, upsampling="interpolation"),
    "everything": UNetSpec(
        input_channels=3,
        channels=(2, 4),
        norm="group",
        channels_per_group=1,
        dropout=(0.5,),
        upsampling="interpolation",
    ),
    "volumes": UNetSpec(
        dimensions=3,
        channels=(2, 4, 4),
        convolutions=1,
        norm="group",
        channels_per_group=2,
        kernels=((1, 3, 3), (3, 3, 3), (3, 1, 3)),
        strides=((1, 2, 2), (2, 2, 1)),
    ),
    "interpolated volumes": UNetSpec(
        dimensions=3,
        channels=(2, 3),
        norm="batch",
        upsampling="interpolation",
        strides=((1, 2, 2),),
    ),
}


def noisy_weights(spec, seed=0):
    """First values with noise, so that no bias, scale, mean or variance is 0 or 1."""
    stream = np.random.default_rng(seed)
    first = initial_weights(spec, seed)
    return {
        weight.name: (
            first[weight.name]
            + (
                stream.uniform(0.1, 2, weight.shape)
                if weight.role == "variance"
                else stream.normal(0, 0.2, weight.shape)
            )
        ).astype(np.float32)
        for weight in weight_table(spec)
    }


class ReferenceUNet:
    """What core.recipe.UNetSpec says, as plainly as can be."""

    def __init__(self, spec, weights):
        self.spec = spec
        self.weights = {name: array.astype(np.float64) for name, array in weights.items()}

    def __call__(self, x):
        x, skips, latent = x.astype(np.float64), [], len(self.spec.channels) - 1
        for level in range(latent):
            x = self.block(f"encoder.{level}", x, level)
            skips.append(x)
            x = np.max([x[cell] for cell in cells(self.spec.stride_at(level))], axis=0)
        x = self.block(f"encoder.{latent}", x, latent)
        for level in reversed(range(latent)):
            x = self.up(f"decoder.{level}.up", x, self.spec.stride_at(level))
            x = self.block(f"decoder.{level}", np.concatenate([skips[level], x], axis=1), level)
        return self.convolution("head", x)

    def block(self, prefix, x, level):
        for i in range(self.spec.convolutions_at(level)):
            x = self.convolution(f"{prefix}.block.{i}.convolution", x)
            x = np.maximum(self.norm(f"{prefix}.block.{i}.norm", x), 0)
        return x

    def convolution(self, name, x):
        kernel, bias = self.weights[f"{name}.weight"], self.weights[f"{name}.bias"]
        taps, space = kernel.shape[2:], tuple(range(2, x.ndim))
        x = np.pad(x, ((0, 0), (0, 0), *((size // 2, size // 2) for size in taps)))
        windows = np.lib.stride_tricks.sliding_window_view(x, taps, axis=space)
        tapped = tuple(range(x.ndim, x.ndim + len(taps)))
        found = np.tensordot(windows, kernel, axes=((1, *tapped), (1, *space)))
        return np.moveaxis(found, -1, 1) + self.of_channels(bias)

    def norm(self, name, x):
        if self.spec.norm == "none":
            return x
        if self.spec.norm == "batch":
            mean = self.of_channels(self.weights[f"{name}.mean"])
            variance = self.of_channels(self.weights[f"{name}.variance"])
            x = (x - mean) / np.sqrt(variance + 1e-5)
        else:
            groups = x.reshape(x.shape[0], -1, self.spec.channels_per_group, *x.shape[2:])
            within = tuple(range(2, groups.ndim))
            mean = groups.mean(axis=within, keepdims=True)
            variance = groups.var(axis=within, keepdims=True)
            x = ((groups - mean) / np.sqrt(variance + 1e-5)).reshape(x.shape)
        scale, shift = self.weights[f"{name}.weight"], self.weights[f"{name}.bias"]
        return x * self.of_channels(scale) + self.of_channels(shift)

    def up(self, name, x, stride):
        if self.spec.upsampling == "interpolation":
            for axis, step in enumerate(stride, start=2):
                x = doubled(x, axis) if step == 2 else x
            return self.convolution(name, x)
        kernel, bias = self.weights[f"{name}.weight"], self.weights[f"{name}.bias"]
        finer = (n * step for n, step in zip(x.shape[2:], stride, strict=True))
        found = np.empty((len(x), len(bias), *finer))
        for cell, tap in zip(cells(stride), np.ndindex(*stride), strict=True):
            one_tap = kernel[(slice(None), slice(None), *tap)]
            found[cell] = np.moveaxis(np.tensordot(x, one_tap, axes=(1, 1)), -1, 1)
        return found + self.of_channels(bias)

    def of_channels(self, values):
        return values.reshape(-1, *(1,) * self.spec.dimensions)


def cells(stride):
    """Which pixels come first, second, ... in the cells of that size."""
    return [
        (..., *(slice(start, None, step) for start, step in zip(first, stride, strict=True)))
        for first in np.ndindex(*stride)
    ]


def doubled(x, axis):
    """Linear interpolation at half-pixel centres; the edge value goes on outside."""
    x = np.moveaxis(x, axis, 0)
    before = np.concatenate([x[:1], x[:-1]])
    after = np.concatenate([x[1:], x[-1:]])
    fine = np.stack([0.75 * x + 0.25 * before, 0.75 * x + 0.25 * after], axis=1)
    return np.moveaxis(fine.reshape(-1, *x.shape[1:]), 0, axis)


def run(model, images):
    onnxruntime = pytest.importorskip("onnxruntime")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return session.run(["logits"], {"image": images})[0]


@pytest.mark.parametrize("name", SPECS)
def test_logits_are_those_of_the_specification(name):
    spec = SPECS[name]
    weights = noisy_weights(spec)
    model = build_onnx(spec, weights)
    stream = np.random.default_rng(1)
    for count, *space in ((1, 4, 8, 8), (2, 2, 4, 12)):
        shape = (count, spec.input_channels, *space[-spec.dimensions :])
        images = stream.normal(size=shape).astype(np.float32)
        expected = ReferenceUNet(spec, weights)(images)
        assert expected.std() > 0.01
        np.testing.assert_allclose(run(model, images), expected, atol=1e-4)


def test_batch_normalisation_leaves_no_node():
    spec = SPECS["batch"]
    operators = {node.op_type for node in build_onnx(spec, noisy_weights(spec)).graph.node}
    assert operators == {"Conv", "Relu", "MaxPool", "ConvTranspose", "Concat"}


def test_file_says_how_it_is_used():
    recipe = Recipe(network=SPECS["group"], preprocessing=Preprocessing(size=64))
    weights = noisy_weights(recipe.network)
    model = onnx.load_from_string(onnx_file(recipe, weights, temperature=1.25))
    told = {entry.key: entry.value for entry in model.metadata_props}
    assert told["breastseg_version"] == __version__
    assert told["stride"] == "2"
    assert told["temperature"] == "1.25"
    assert told["recipe_fingerprint"] == recipe.fingerprint()
    assert json.loads(told["preprocessing"])["size"] == 64
    (value,) = model.graph.input
    assert value.name == "image"
    assert [dimension.dim_param for dimension in value.type.tensor_type.shape.dim] == [
        "batch",
        "",
        "rows",
        "columns",
    ]


def test_a_file_for_volumes_names_three_axes_and_the_stride_of_each():
    spec = SPECS["volumes"]
    model = build_onnx(spec, noisy_weights(spec))
    told = {entry.key: entry.value for entry in model.metadata_props}
    assert told["stride"] == "2,4,2"
    assert "(batch, 1, slices, rows, columns)" in model.doc_string
    for value in (*model.graph.input, *model.graph.output):
        names = [dimension.dim_param for dimension in value.type.tensor_type.shape.dim]
        assert names == ["batch", "", "slices", "rows", "columns"]


def test_same_recipe_and_weights_give_the_same_file():
    recipe = Recipe(network=SPECS["plain"])
    files = {onnx_file(recipe, noisy_weights(recipe.network)) for _ in range(2)}
    assert len(files) == 1
    assert onnx_file(recipe, noisy_weights(recipe.network, seed=1)) not in files


def without_head(weights):
    del weights["head.bias"]


def with_another_shape(weights):
    weights["head.weight"] = weights["head.weight"][:, :1]


def with_nan(weights):
    weights["head.bias"] = np.full(1, np.nan, np.float32)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (without_head, "'head.bias' is missing"),
        (with_another_shape, r"'head.weight' must have the shape \(1, 2, 1, 1\)"),
        (with_nan, "'head.bias' must hold finite numbers"),
    ],
)
def test_refuses_weights_of_another_network(damage, message):
    weights = noisy_weights(SPECS["plain"])
    damage(weights)
    with pytest.raises(WeightsError, match=message):
        build_onnx(SPECS["plain"], weights)
