"""The U-Net as an ONNX graph, from its specification and weights alone.

Neither PyTorch nor TensorFlow takes part, so that a run of either predicts without both.
The graph takes any batch and any size that is a multiple of the network's stride, in two
dimensions or three.

Batch normalisation is folded into the convolution before it. Group normalisation is written
as instance normalisation over groups laid side by side, followed by scale and shift: every
runtime knows that operator, and OpenVINO and ONNX Runtime run it as fast as opset 21's own
GroupNormalization (unet-deep at 192x192, one Zen 4 core, OpenVINO: 50 and 48 ms).
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from breastseg import __version__
from breastseg.core.network_recipe import UNetSpec
from breastseg.core.recipe import Recipe
from breastseg.networks.spec import NORM_EPSILON, Array, check_weights

INPUT_NAME = "image"
OUTPUT_NAME = "logits"

# What OpenVINO 2022 and ONNX Runtime 1.12 read already; nothing newer is needed.
_OPSET = 17
_IR_VERSION = 8


def build_onnx(
    spec: UNetSpec, weights: Mapping[str, Array], *, metadata: Mapping[str, str] | None = None
) -> onnx.ModelProto:
    """Build the network for inference; dropout is left out.

    The model maps `image`, float32 (batch, channel, *space) whose sides are multiples of
    `spec.stride`, to `logits`, float32 (batch, 1, *space); space is (row, column), or
    (slice, row, column).

    Args:
        weights: canonical names, see networks.spec.
        metadata: what else the file shall say of itself, beside version and stride.

    Raises:
        WeightsError: a weight is missing, unknown, of another shape or not finite.
    """
    check_weights(spec, weights, source="the weights for ONNX")
    graph = _Graph(spec, weights)
    graph.unet()
    model = helper.make_model(
        helper.make_graph(
            graph.nodes,
            "breastseg-unet",
            [_value(spec, INPUT_NAME, spec.input_channels)],
            [_value(spec, OUTPUT_NAME, 1)],
            graph.constants,
        ),
        opset_imports=[helper.make_opsetid("", _OPSET)],
        ir_version=_IR_VERSION,
        producer_name="breastseg",
        producer_version=__version__,
        doc_string=_description(spec),
    )
    told = {"breastseg_version": __version__, "stride": _stride_text(spec), **(metadata or {})}
    helper.set_model_props(model, told)
    onnx.checker.check_model(model)
    return model


def onnx_file(recipe: Recipe, weights: Mapping[str, Array], *, temperature: float = 1.0) -> bytes:
    """Return the bytes of a `.onnx` file that also says how its input is prepared.

    The same recipe, weights and temperature give the same bytes.

    Args:
        temperature: of the run's calibration; noted for whoever uses the file, since the graph
            itself gives logits before it.

    Raises:
        WeightsError: see build_onnx.
    """
    metadata = {
        "recipe": recipe.name,
        "recipe_fingerprint": recipe.fingerprint(),
        "preprocessing": recipe.preprocessing.model_dump_json(),
        "temperature": f"{temperature:.6g}",
    }
    model = build_onnx(recipe.network, weights, metadata=metadata)
    return bytes(model.SerializeToString(deterministic=True))


def _axes(spec: UNetSpec) -> tuple[str, ...]:
    return ("slices", "rows", "columns")[-spec.dimensions :]


def _stride_text(spec: UNetSpec) -> str:
    """Return one number where all axes have the same, else one for each axis: 2,8,8."""
    stride = spec.stride
    return str(stride[0]) if len(set(stride)) == 1 else ",".join(map(str, stride))


def _value(spec: UNetSpec, name: str, channels: int) -> onnx.ValueInfoProto:
    shape: list[str | int | None] = ["batch", channels, *_axes(spec)]
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)


def _description(spec: UNetSpec) -> str:
    sides = ", ".join(_axes(spec))
    return (
        f"Finds breast lesions. Input: float32 (batch, {spec.input_channels}, {sides}), "
        f"prepared as 'preprocessing' says, {sides} multiples of {_stride_text(spec)}. "
        "Output: logits of the input's size; divided by 'temperature', their sigmoid is the "
        "lesion probability."
    )


class _Graph:
    """Nodes and constants in the order of computation; a value is known by its name."""

    def __init__(self, spec: UNetSpec, weights: Mapping[str, Array]) -> None:
        self.spec = spec
        self.weights = weights
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def unet(self) -> None:
        """Add the whole network, from INPUT_NAME to OUTPUT_NAME."""
        latent = len(self.spec.channels) - 1
        value, skips = INPUT_NAME, []
        for level in range(latent):
            value = self._block(f"encoder.{level}", value, level)
            skips.append(value)
            stride = self.spec.stride_at(level)
            value = self._node(
                "MaxPool", f"encoder.{level}.pool", value, kernel_shape=stride, strides=stride
            )
        value = self._block(f"encoder.{latent}", value, latent)
        for level in reversed(range(latent)):
            value = self._up(f"decoder.{level}.up", value, level)
            value = self._node("Concat", f"decoder.{level}.concat", skips[level], value, axis=1)
            value = self._block(f"decoder.{level}", value, level)
        kernel, bias = self.weights["head.weight"], self.weights["head.bias"]
        self._convolution("head", value, kernel, bias, output=OUTPUT_NAME)

    def _block(self, prefix: str, value: str, level: int) -> str:
        for i in range(self.spec.convolutions_at(level)):
            name = f"{prefix}.block.{i}"
            value = self._normalised_convolution(name, value)
            value = self._node("Relu", f"{name}.relu", value)
        return value

    def _normalised_convolution(self, name: str, value: str) -> str:
        kernel = self.weights[f"{name}.convolution.weight"]
        bias = self.weights[f"{name}.convolution.bias"]
        if self.spec.norm == "batch":
            kernel, bias = _folded(kernel, bias, self.weights, f"{name}.norm")
        value = self._convolution(f"{name}.convolution", value, kernel, bias)
        return self._group_norm(f"{name}.norm", value) if self.spec.norm == "group" else value

    def _convolution(
        self, name: str, value: str, kernel: Array, bias: Array, *, output: str | None = None
    ) -> str:
        taps = kernel.shape[2:]
        inputs = (value, self._constant(f"{name}.weight", kernel))
        return self._node(
            "Conv",
            name,
            *inputs,
            self._constant(f"{name}.bias", bias),
            output=output,
            kernel_shape=taps,
            pads=[size // 2 for size in taps] * 2,
        )

    def _group_norm(self, name: str, value: str) -> str:
        """Group normalisation. Source: Wu & He 2018, eqs. 1 to 3 and 7."""
        weights = self.weights
        groups = weights[f"{name}.weight"].size // self.spec.channels_per_group
        shape = self._node("Shape", f"{name}.shape", value)
        side_by_side = self._constant(f"{name}.groups", np.array([0, groups, -1], np.int64))
        ones = self._constant(f"{name}.ones", np.ones(groups, np.float32))
        zeros = self._constant(f"{name}.zeros", np.zeros(groups, np.float32))
        along_channels = (1, -1, *(1,) * self.spec.dimensions)
        scale, shift = (
            self._constant(f"{name}.{part}", weights[f"{name}.{part}"].reshape(along_channels))
            for part in ("weight", "bias")
        )
        value = self._node("Reshape", f"{name}.split", value, side_by_side)
        value = self._node(
            "InstanceNormalization", f"{name}.whiten", value, ones, zeros, epsilon=NORM_EPSILON
        )
        value = self._node("Reshape", f"{name}.merge", value, shape)
        value = self._node("Mul", f"{name}.scale", value, scale)
        return self._node("Add", f"{name}.shift", value, shift)

    def _up(self, name: str, value: str, level: int) -> str:
        kernel, bias = self.weights[f"{name}.weight"], self.weights[f"{name}.bias"]
        stride = self.spec.stride_at(level)
        if self.spec.upsampling == "transposed":
            # ONNX has transposed kernels as (in, out, *space); ours are (out, in, *space).
            taps = self._constant(f"{name}.weight", np.swapaxes(kernel, 0, 1))
            bias_name = self._constant(f"{name}.bias", bias)
            return self._node(
                "ConvTranspose", name, value, taps, bias_name, kernel_shape=stride, strides=stride
            )
        scales = self._constant(f"{name}.scales", np.array([1, 1, *stride], np.float32))
        value = self._node(
            "Resize",
            f"{name}.resize",
            value,
            "",
            scales,
            mode="linear",
            coordinate_transformation_mode="half_pixel",
        )
        return self._convolution(name, value, kernel, bias)

    def _constant(self, name: str, values: np.ndarray[Any, Any]) -> str:
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(values), name))
        return name

    def _node(
        self, operator: str, name: str, *inputs: str, output: str | None = None, **attributes: Any
    ) -> str:
        output = output or f"{name}.output"
        self.nodes.append(helper.make_node(operator, inputs, [output], name, **attributes))
        return output


def _folded(
    kernel: Array, bias: Array, weights: Mapping[str, Array], norm: str
) -> tuple[Array, Array]:
    """Return the convolution that does its own batch normalisation with stored statistics."""
    wide = {part: weights[f"{norm}.{part}"].astype(np.float64) for part in _BATCH_NORM_PARTS}
    ratio = wide["weight"] / np.sqrt(wide["variance"] + NORM_EPSILON)
    shift = wide["bias"] - wide["mean"] * ratio
    folded_kernel = kernel * ratio.reshape(-1, *(1,) * (kernel.ndim - 1))
    return folded_kernel.astype(np.float32), (bias * ratio + shift).astype(np.float32)


_BATCH_NORM_PARTS = ("weight", "bias", "mean", "variance")
