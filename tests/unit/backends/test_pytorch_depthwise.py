"""The gradients of a depthwise convolution in bfloat16."""

import pytest
import torch
from torch.nn import functional

from breastseg.backends.pytorch.depthwise import DepthwiseConvolution, WideGradients

kinds = pytest.mark.parametrize(("taps", "stride", "padding"), [(3, 1, 1), (3, 2, 0), (5, 2, 1)])


@kinds
def test_its_gradients_are_those_of_the_convolution(taps, stride, padding):
    torch.manual_seed(0)
    features = torch.randn(2, 3, 9, 8, dtype=torch.float64, requires_grad=True)
    filters = torch.randn(3, 1, taps, taps, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(
        lambda *arrays: WideGradients.apply(*arrays, stride, padding), (features, filters)
    )


@kinds
def test_under_autocast_they_are_taken_in_float32(taps, stride, padding):
    torch.manual_seed(0)
    layer = DepthwiseConvolution(4, taps, stride=stride, padding=padding)
    features = torch.randn(2, 4, 16, 16, dtype=torch.bfloat16, requires_grad=True)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = layer(features)
    assert found.dtype == torch.bfloat16
    pull = torch.randn_like(found)
    found.backward(pull)
    wide = features.detach().float().requires_grad_()
    filters = layer.weight.detach().clone().requires_grad_()
    options = {"stride": stride, "padding": padding, "groups": 4}
    functional.conv2d(wide, filters, **options).backward(pull.float())
    torch.testing.assert_close(layer.weight.grad, filters.grad)
    torch.testing.assert_close(features.grad, wide.grad.bfloat16())


def test_in_float32_it_is_torchs_own():
    torch.manual_seed(0)
    layer, features = DepthwiseConvolution(4, 5, stride=1, padding=2), torch.randn(1, 4, 8, 8)
    expected = functional.conv2d(features, layer.weight, padding=2, groups=4)
    torch.testing.assert_close(layer(features), expected, rtol=0, atol=0)
    assert "WideGradients" not in type(layer(features).grad_fn).__name__
