"""The U-Net as an ONNX graph, from its specification and weights alone.

Neither PyTorch nor TensorFlow takes part, so that a run of either predicts without both.
The graph takes any batch and any size that is a multiple of the network's stride, in two
dimensions or three.

Batch normalisation is folded into the convolution before it. Group normalisation is written
as instance normalisation over groups laid side by side, followed by scale and shift: every
runtime knows that operator, and OpenVINO and ONNX Runtime run it as fast as opset 21's own
GroupNormalization (unet-deep at 192x192, one Zen 4 core, OpenVINO: 50 and 48 ms).
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper

from breastseg import __version__
from breastseg.backends.onnx.efficientnet import efficientnet_features
from breastseg.backends.onnx.graph import Graph
from breastseg.core.calibration import NORMAL
from breastseg.core.network_recipe import LiteUNetSpec, NetworkSpec, UNetSpec
from breastseg.core.recipe import Recipe
from breastseg.networks.spec import NORM_EPSILON, Array, check_weights

INPUT_NAME = "image"
OUTPUT_NAME = "logits"
CLASS_OUTPUT_NAME = "class_logits"
CLASS_MAP_NAME = "class_map"

_CLASS_WEIGHTS = ("classes.weight", "classes.bias")
_CLASS_DESCRIPTION = (
    " Second output: logits of 'classes' for the whole image. Third: what each place adds to "
    "them, whose mean over the places plus a bias they are."
)

# What OpenVINO 2022 and ONNX Runtime 1.12 read already; nothing newer is needed.
_OPSET = 17
_IR_VERSION = 8


def build_onnx(
    spec: NetworkSpec, weights: Mapping[str, Array], *, metadata: Mapping[str, str] | None = None
) -> onnx.ModelProto:
    """Build the network for inference; dropout is left out.

    The model maps `image`, float32 (batch, channel, *space) whose sides are multiples of
    `spec.stride`, to `logits`, float32 (batch, 1, *space); space is (row, column), or
    (slice, row, column). Where the network tells classes, a second output is `class_logits`,
    float32 (batch, class), and a third `class_map`, float32 (batch, class, *places): the latent
    features of each place, weighted as for the class. The mean of the map over the places plus
    the bias is the class logit. Source: Zhou et al. 2016, section 2, eq. 2.

    Args:
        weights: canonical names, see networks.spec.
        metadata: what else the file shall say of itself, beside version and stride.

    Raises:
        WeightsError: a weight is missing, unknown, of another shape or not finite.
    """
    check_weights(spec, weights, source="the weights for ONNX")
    graph = _UNet(spec, weights)
    graph.build()
    model = helper.make_model(
        helper.make_graph(
            graph.nodes,
            "breastseg-unet",
            [_value(spec, INPUT_NAME, spec.input_channels)],
            _outputs(spec),
            graph.constants,
        ),
        opset_imports=[helper.make_opsetid("", _OPSET)],
        ir_version=_IR_VERSION,
        producer_name="breastseg",
        producer_version=__version__,
        doc_string=_description(spec),
    )
    told = {"breastseg_version": __version__, "stride": _stride_text(spec), **(metadata or {})}
    if spec.classes:
        told["classes"] = ",".join(spec.classes)
    helper.set_model_props(model, told)
    onnx.checker.check_model(model)
    return model


def onnx_file(
    recipe: Recipe,
    weights: Mapping[str, Array],
    *,
    temperature: float = 1.0,
    class_temperature: float | None = None,
    gated: bool = False,
) -> bytes:
    """Return the bytes of a `.onnx` file that also says how its input is prepared.

    The same recipe, weights and temperatures give the same bytes.

    Args:
        temperature: of the run's calibration; noted for whoever uses the file, since the graph
            itself gives logits before it. class_temperature: the same of the classes, before a
            softmax. gated: whether the logits above 0 are to be multiplied by the probability
            that the class is not `normal`, before the temperature.

    Raises:
        WeightsError: see build_onnx.
    """
    metadata = {
        "recipe": recipe.name,
        "recipe_fingerprint": recipe.fingerprint(),
        "preprocessing": recipe.preprocessing.model_dump_json(),
        "temperature": f"{temperature:.6g}",
    }
    if class_temperature is not None:
        metadata["class_temperature"] = f"{class_temperature:.6g}"
    if gated:
        metadata["gate"] = NORMAL
    model = build_onnx(recipe.network, weights, metadata=metadata)
    return bytes(model.SerializeToString(deterministic=True))


def _axes(spec: NetworkSpec) -> tuple[str, ...]:
    return ("slices", "rows", "columns")[-spec.dimensions :]


def _stride_text(spec: NetworkSpec) -> str:
    """Return one number where all axes have the same, else one for each axis: 2,8,8."""
    stride = spec.stride
    return str(stride[0]) if len(set(stride)) == 1 else ",".join(map(str, stride))


def _value(spec: NetworkSpec, name: str, channels: int) -> onnx.ValueInfoProto:
    shape: list[str | int | None] = ["batch", channels, *_axes(spec)]
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)


def _outputs(spec: NetworkSpec) -> list[onnx.ValueInfoProto]:
    outputs = [_value(spec, OUTPUT_NAME, 1)]
    if spec.classes:
        shape: list[str | int | None] = ["batch", len(spec.classes)]
        places = [f"latent_{axis}" for axis in _axes(spec)]
        outputs += [
            helper.make_tensor_value_info(CLASS_OUTPUT_NAME, TensorProto.FLOAT, shape),
            helper.make_tensor_value_info(CLASS_MAP_NAME, TensorProto.FLOAT, [*shape, *places]),
        ]
    return outputs


def _description(spec: NetworkSpec) -> str:
    sides = ", ".join(_axes(spec))
    return (
        f"Finds breast lesions. Input: float32 (batch, {spec.input_channels}, {sides}), "
        f"prepared as 'preprocessing' says, {sides} multiples of {_stride_text(spec)}. "
        "Output: logits of the input's size; divided by 'temperature', their sigmoid is the "
        "lesion probability." + (_CLASS_DESCRIPTION if spec.classes else "")
    )


class _UNet(Graph):
    """A whole network."""

    def __init__(self, spec: NetworkSpec, weights: Mapping[str, Array]) -> None:
        super().__init__(weights)
        self.spec = spec

    def build(self) -> None:
        """Add the whole network, from INPUT_NAME to OUTPUT_NAME."""
        *skips, value = self._features()
        if self.spec.classes:
            self._classes(value)
        for level in reversed(range(len(skips))):
            value = self._up(f"decoder.{level}.up", value, level)
            if (skip := skips[level]) is not None:
                value = self.node("Concat", f"decoder.{level}.concat", skip, value, axis=1)
            value = self._block(f"decoder.{level}", value, level)
        kernel, bias = self.weights["head.weight"], self.weights["head.bias"]
        self.convolution("head", value, kernel, bias, output=OUTPUT_NAME)

    def _classes(self, latent: str) -> None:
        axes = list(range(2, 2 + self.spec.dimensions))
        pooled = self.node("ReduceMean", "classes.pool", latent, axes=axes, keepdims=0)
        inputs = [self.constant(name, self.weights[name]) for name in _CLASS_WEIGHTS]
        self.node("Gemm", "classes", pooled, *inputs, output=CLASS_OUTPUT_NAME, transB=1)
        # Apart from the logits, so that these are the same bits as without the map.
        weight = self.weights["classes.weight"]
        kernel = self.constant(
            "classes.map.weight", weight.reshape(*weight.shape, *(1 for _ in axes))
        )
        self.node("Conv", "classes.map", latent, kernel, output=CLASS_MAP_NAME)

    def _features(self) -> Sequence[Any]:
        """Return the value that the encoder hands over at each level; None where it has none."""
        if isinstance(self.spec, LiteUNetSpec):
            return efficientnet_features(self, INPUT_NAME, self.spec.encoder)
        return self._encoder(self.spec)

    def _encoder(self, spec: UNetSpec) -> list[str]:
        """Add the encoder; what each level makes is both skip and way down."""
        found = [self._block("encoder.0", INPUT_NAME, 0)]
        for level in range(1, len(spec.channels)):
            stride, name = spec.stride_at(level - 1), f"encoder.{level - 1}.pool"
            value = self.node("MaxPool", name, found[-1], kernel_shape=stride, strides=stride)
            found.append(self._block(f"encoder.{level}", value, level))
        return found

    def _block(self, prefix: str, value: str, level: int) -> str:
        for i in range(self.spec.convolutions_at(level)):
            name = f"{prefix}.block.{i}"
            value = self._normalised_convolution(name, value)
            value = self.node("Relu", f"{name}.relu", value)
        return value

    def _normalised_convolution(self, name: str, value: str) -> str:
        kernel = self.weights[f"{name}.convolution.weight"]
        bias = self.weights[f"{name}.convolution.bias"]
        if self.spec.norm == "batch":
            kernel, bias = self.folded(kernel, bias, f"{name}.norm", NORM_EPSILON)
        value = self.convolution(f"{name}.convolution", value, kernel, bias)
        return self._group_norm(f"{name}.norm", value) if self.spec.norm == "group" else value

    def _group_norm(self, name: str, value: str) -> str:
        """Group normalisation. Source: Wu & He 2018, eqs. 1 to 3 and 7."""
        weights = self.weights
        groups = weights[f"{name}.weight"].size // self.spec.channels_per_group
        shape = self.node("Shape", f"{name}.shape", value)
        side_by_side = self.constant(f"{name}.groups", np.array([0, groups, -1], np.int64))
        ones = self.constant(f"{name}.ones", np.ones(groups, np.float32))
        zeros = self.constant(f"{name}.zeros", np.zeros(groups, np.float32))
        along_channels = (1, -1, *(1,) * self.spec.dimensions)
        scale, shift = (
            self.constant(f"{name}.{part}", weights[f"{name}.{part}"].reshape(along_channels))
            for part in ("weight", "bias")
        )
        value = self.node("Reshape", f"{name}.split", value, side_by_side)
        value = self.node(
            "InstanceNormalization", f"{name}.whiten", value, ones, zeros, epsilon=NORM_EPSILON
        )
        value = self.node("Reshape", f"{name}.merge", value, shape)
        value = self.node("Mul", f"{name}.scale", value, scale)
        return self.node("Add", f"{name}.shift", value, shift)

    def _up(self, name: str, value: str, level: int) -> str:
        kernel, bias = self.weights[f"{name}.weight"], self.weights[f"{name}.bias"]
        stride = self.spec.stride_at(level)
        if self.spec.upsampling == "transposed":
            # ONNX has transposed kernels as (in, out, *space); ours are (out, in, *space).
            taps = self.constant(f"{name}.weight", np.swapaxes(kernel, 0, 1))
            bias_name = self.constant(f"{name}.bias", bias)
            return self.node(
                "ConvTranspose", name, value, taps, bias_name, kernel_shape=stride, strides=stride
            )
        scales = self.constant(f"{name}.scales", np.array([1, 1, *stride], np.float32))
        value = self.node(
            "Resize",
            f"{name}.resize",
            value,
            "",
            scales,
            mode="linear",
            coordinate_transformation_mode="half_pixel",
        )
        return self.convolution(name, value, kernel, bias)
