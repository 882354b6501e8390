"""The EfficientNet-Lite encoder as ONNX nodes; batch normalisation is folded into convolutions."""

import numpy as np

from breastseg.backends.onnx.graph import Graph
from breastseg.core.efficientnet import (
    NORM_EPSILON,
    NUM_LEVELS,
    Block,
    Encoder,
    blocks_of,
    same_padding,
)


def efficientnet_features(graph: Graph, images: str, encoder: Encoder) -> list[str | None]:
    """Add the encoder; return the value that it hands over at each level, None at level 0.

    Args:
        images: name of the value (batch, 1, row, column), sides multiples of 32.
    """
    found: list[str | None] = [None] * NUM_LEVELS
    six = graph.constant("encoder.six", np.array(6, np.float32))
    bounds = (graph.constant("encoder.zero", np.array(0, np.float32)), six)
    value = _unit(graph, "encoder.stem", images, stride=2, bounds=bounds)
    for number, block in enumerate(blocks_of(encoder)):
        value = _block(graph, f"encoder.block.{number}", value, block, bounds)
        found[block.level] = value
    return found


def _block(graph: Graph, name: str, value: str, block: Block, bounds: tuple[str, str]) -> str:
    found = value
    if block.expands:
        found = _unit(graph, f"{name}.expand", found, bounds=bounds)
    depthwise = {"stride": block.stride, "groups": block.expanded}
    found = _unit(graph, f"{name}.depthwise", found, bounds=bounds, **depthwise)
    found = _unit(graph, f"{name}.project", found)
    return graph.node("Add", f"{name}.sum", value, found) if block.is_residual else found


def _unit(
    graph: Graph,
    name: str,
    value: str,
    *,
    stride: int = 1,
    groups: int = 1,
    bounds: tuple[str, str] | None = None,
) -> str:
    """Add convolution, normalisation and, where there are bounds, the cut to them (ReLU6)."""
    kernel = graph.weights[f"{name}.convolution.weight"]
    nothing = np.zeros(len(kernel), np.float32)
    kernel, bias = graph.folded(kernel, nothing, f"{name}.norm", NORM_EPSILON)
    before, behind = same_padding(kernel.shape[-1], stride)
    value = graph.convolution(
        f"{name}.convolution",
        value,
        kernel,
        bias,
        pads=[before, before, behind, behind],
        strides=[stride, stride],
        group=groups,
    )
    return value if bounds is None else graph.node("Clip", f"{name}.relu6", value, *bounds)
