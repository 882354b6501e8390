"""Depthwise convolution whose gradients are not slower in bfloat16 than in float32."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

Features = Float[Tensor, "batch channel row column"]
Filters = Float[Tensor, "channel 1 tap_row tap_column"]


class DepthwiseConvolution(nn.Conv2d):
    """One filter for each channel.

    oneDNN's gradients of such a convolution take 3 to 30 times as long in bfloat16 as in float32
    where it has 5 x 5 taps or a stride of 2. Under autocast on a CPU they are therefore taken in
    float32: a step of `unet-lite0` on 8 images of 256 x 256 takes 0.92 s of processor time for
    1.29 s (one Zen 4 core, torch 2.13).
    """

    def __init__(self, channels: int, taps: int, *, stride: int, padding: int) -> None:
        super().__init__(
            channels, channels, taps, stride=stride, padding=padding, groups=channels, bias=False
        )

    def forward(self, input: Features) -> Features:
        """Filter each channel by itself."""
        if input.device.type != "cpu" or not torch.is_autocast_enabled("cpu"):
            return super().forward(input)
        stride, padding = int(self.stride[0]), int(self.padding[0])
        found: Features = WideGradients.apply(  # type: ignore[no-untyped-call]
            input, self.weight, stride, padding
        )
        return found


class WideGradients(torch.autograd.Function):
    """A depthwise convolution in any precision, with gradients in float32 or wider."""

    @staticmethod
    def forward(
        ctx: Any, features: Features, filters: Filters, stride: int, padding: int
    ) -> Features:
        """Convolve in the precision of the features, or of autocast."""
        ctx.save_for_backward(features, filters)
        ctx.stride, ctx.padding = stride, padding
        return functional.conv2d(
            features, filters, stride=stride, padding=padding, groups=len(filters)
        )

    @staticmethod
    def backward(ctx: Any, gradient: Features) -> tuple[Tensor | None, Tensor | None, None, None]:
        """Return the gradients of features and filters, each in its own type."""
        features, filters = ctx.saved_tensors
        wide = torch.promote_types(features.dtype, torch.float32)
        of_features, of_filters, _ = torch.ops.aten.convolution_backward(
            gradient.to(wide),
            features.to(wide),
            filters.to(wide),
            None,
            [ctx.stride] * 2,
            [ctx.padding] * 2,
            [1, 1],
            False,
            [0, 0],
            len(filters),
            [*ctx.needs_input_grad[:2], False],
        )
        return (
            None if of_features is None else of_features.to(features.dtype),
            None if of_filters is None else of_filters.to(filters.dtype),
            None,
            None,
        )
