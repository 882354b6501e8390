"""The pieces that all networks share as nodes of an ONNX graph."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from breastseg.networks.spec import Array


class Graph:
    """Nodes and constants in the order of computation; a value is known by its name."""

    def __init__(self, weights: Mapping[str, Array]) -> None:
        self.weights = weights
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def constant(self, name: str, values: np.ndarray[Any, Any]) -> str:
        """Add an array; return its name."""
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(values), name))
        return name

    def node(
        self, operator: str, name: str, *inputs: str, output: str | None = None, **attributes: Any
    ) -> str:
        """Add an operator; return the name of its output."""
        output = output or f"{name}.output"
        self.nodes.append(helper.make_node(operator, inputs, [output], name, **attributes))
        return output

    def convolution(self, name: str, value: str, kernel: Array, bias: Array, **options: Any) -> str:
        """Add a convolution that keeps the resolution, where `options` do not say otherwise."""
        taps = kernel.shape[2:]
        kept = {"kernel_shape": taps, "pads": [size // 2 for size in taps] * 2}
        inputs = (self.constant(f"{name}.weight", kernel), self.constant(f"{name}.bias", bias))
        return self.node("Conv", name, value, *inputs, **kept | options)

    def folded(self, kernel: Array, bias: Array, norm: str, epsilon: float) -> tuple[Array, Array]:
        """Return a convolution that does its own batch normalisation with stored statistics.

        Args:
            norm: name of the normalisation behind the convolution.
        """
        scale, shift, mean, variance = (
            self.weights[f"{norm}.{part}"].astype(np.float64)
            for part in ("weight", "bias", "mean", "variance")
        )
        ratio = scale / np.sqrt(variance + epsilon)
        folded_kernel = kernel * ratio.reshape(-1, *(1,) * (kernel.ndim - 1))
        folded_bias = bias * ratio + shift - mean * ratio
        return folded_kernel.astype(np.float32), folded_bias.astype(np.float32)
