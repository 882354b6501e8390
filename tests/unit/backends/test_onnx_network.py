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
            x = np.max([x[..., i::2, j::2] for i in (0, 1) for j in (0, 1)], axis=0)
        x = self.block(f"encoder.{latent}", x, latent)
        for level in reversed(range(latent)):
            x = self.up(f"decoder.{level}.up", x)
            x = self.block(f"decoder.{level}", np.concatenate([skips[level], x], axis=1), level)
        return self.convolution("head", x)

    def block(self, prefix, x, level):
        for i in range(self.spec.convolutions_at(level)):
            x = self.convolution(f"{prefix}.block.{i}.convolution", x)
            x = np.maximum(self.norm(f"{prefix}.block.{i}.norm", x), 0)
        return x

    def convolution(self, name, x):
        kernel, bias = self.weights[f"{name}.weight"], self.weights[f"{name}.bias"]
        reach = kernel.shape[2] // 2
        x = np.pad(x, ((0, 0), (0, 0), (reach, reach), (reach, reach)))
        windows = np.lib.stride_tricks.sliding_window_view(x, kernel.shape[2:], axis=(2, 3))
        return np.einsum("bihwkl,oikl->bohw", windows, kernel) + bias[:, None, None]

    def norm(self, name, x):
        if self.spec.norm == "none":
            return x
        if self.spec.norm == "batch":
            mean = self.weights[f"{name}.mean"][:, None, None]
            variance = self.weights[f"{name}.variance"][:, None, None]
            x = (x - mean) / np.sqrt(variance + 1e-5)
        else:
            groups = x.reshape(x.shape[0], -1, self.spec.channels_per_group, *x.shape[2:])
            mean = groups.mean(axis=(2, 3, 4), keepdims=True)
            variance = groups.var(axis=(2, 3, 4), keepdims=True)
            x = ((groups - mean) / np.sqrt(variance + 1e-5)).reshape(x.shape)
        scale, shift = self.weights[f"{name}.weight"], self.weights[f"{name}.bias"]
        return x * scale[:, None, None] + shift[:, None, None]

    def up(self, name, x):
        if self.spec.upsampling == "interpolation":
            return self.convolution(name, doubled(doubled(x, axis=2), axis=3))
        kernel, bias = self.weights[f"{name}.weight"], self.weights[f"{name}.bias"]
        batch, _, rows, columns = x.shape
        taps = np.einsum("bihw,oikl->bohkwl", x, kernel)
        return taps.reshape(batch, -1, 2 * rows, 2 * columns) + bias[:, None, None]


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
    for shape in ((1, 8, 8), (2, 4, 12)):
        images = stream.normal(size=(shape[0], spec.input_channels, *shape[1:])).astype(np.float32)
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
