import subprocess
import sys
from itertools import product

import numpy as np
import pytest

from breastseg.core.errors import GeometryError, InputError, MissingExtraError, WeightsError
from breastseg.core.network_recipe import UNetSpec
from breastseg.inference.runtime import open_runtime
from breastseg.networks.spec import initial_weights, weight_table

SPECS = [
    UNetSpec(
        channels=(4, 8, 8), convolutions=1, norm=norm, channels_per_group=4, upsampling=upsampling
    )
    for norm, upsampling in product(("none", "group", "batch"), ("transposed", "interpolation"))
]
SPEC = SPECS[2]


def noisy_weights(spec):
    stream = np.random.default_rng(0)
    first = initial_weights(spec, 0)
    return {
        weight.name: first[weight.name] + noise_for(weight, stream).astype(np.float32)
        for weight in weight_table(spec)
    }


def noise_for(weight, stream):
    return (
        stream.uniform(0, 0.5, weight.shape)
        if weight.role == "variance"
        else stream.normal(0, 0.1, weight.shape)
    )


def images(*shape):
    return np.random.default_rng(1).normal(size=shape).astype(np.float32)


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: f"{spec.norm}-{spec.upsampling}")
def test_both_runtimes_agree_at_any_size(spec):
    pytest.importorskip("onnxruntime")
    weights = noisy_weights(spec)
    openvino, onnx = (
        open_runtime(spec, weights, runtime=name, threads=1) for name in ("openvino", "onnxruntime")
    )
    for rows, columns in ((1, 1), (5, 14), (16, 12)):
        batch = images(2, 1, rows, columns)
        found = openvino.logits(batch)
        assert found.shape == (2, 1, rows, columns)
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, onnx.logits(batch), atol=1e-4)


def test_padding_is_zero_at_the_bottom_and_right():
    runtime = open_runtime(SPEC, noisy_weights(SPEC), threads=1)
    batch = images(1, 1, 6, 7)
    whole = np.zeros((1, 1, 8, 8), np.float32)
    whole[..., :6, :7] = batch
    np.testing.assert_array_equal(runtime.logits(batch), runtime.logits(whole)[..., :6, :7])


def test_logits_are_not_overwritten_by_the_next_call():
    runtime = open_runtime(SPEC, noisy_weights(SPEC), threads=1)
    first = runtime.logits(images(1, 1, 8, 8))
    kept = first.copy()
    runtime.logits(np.zeros((1, 1, 8, 8), np.float32))
    np.testing.assert_array_equal(first, kept)


def test_takes_arrays_that_do_not_lie_in_one_piece():
    runtime = open_runtime(SPEC, noisy_weights(SPEC), threads=1)
    batch = images(1, 1, 8, 16)[..., ::2]
    np.testing.assert_array_equal(runtime.logits(batch), runtime.logits(batch.copy()))


def test_refuses_another_number_of_channels():
    runtime = open_runtime(SPEC, noisy_weights(SPEC), threads=1)
    with pytest.raises(GeometryError, match=r"\(batch, 1, rows, columns\).*\(1, 3, 8, 8\)"):
        runtime.logits(images(1, 3, 8, 8))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"threads": 0}, "threads must be 1 or more, got 0"),
        ({"device": "tpu"}, "device must be 'cpu' or 'cuda', got 'tpu'"),
        ({"runtime": "openvino", "device": "cuda"}, "OpenVINO runs here on the CPU only"),
        ({"runtime": "tflite"}, "runtime must be 'openvino' or 'onnxruntime', got 'tflite'"),
    ],
)
def test_refuses_settings_that_cannot_be(settings, message):
    with pytest.raises(InputError, match=message):
        open_runtime(SPEC, noisy_weights(SPEC), **settings)


def test_cuda_without_a_runtime_that_has_it_says_what_to_install():
    onnxruntime = pytest.importorskip("onnxruntime")
    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("this ONNX Runtime has CUDA")
    with pytest.raises(InputError, match="pip install onnxruntime-gpu"):
        open_runtime(SPEC, noisy_weights(SPEC), device="cuda")


def test_missing_onnxruntime_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'breastseg\[onnxruntime\]'"):
        open_runtime(SPEC, noisy_weights(SPEC), runtime="onnxruntime")


def test_bfloat16_is_refused_or_near(monkeypatch):
    weights = noisy_weights(SPEC)
    batch = images(1, 1, 16, 16)
    exact = open_runtime(SPEC, weights, threads=1).logits(batch)
    try:
        rough = open_runtime(SPEC, weights, threads=1, precision="bfloat16").logits(batch)
    except InputError as error:
        assert "Use float32" in str(error)  # noqa: PT017 - most CPUs have no bfloat16
    else:
        assert np.abs(rough - exact).max() < 0.1 * np.ptp(exact)


def test_refuses_weights_of_another_network():
    with pytest.raises(WeightsError, match="do not fit the network"):
        open_runtime(SPECS[0], noisy_weights(SPEC))


def test_no_runtime_is_imported_before_it_is_needed():
    code = (
        "import sys, breastseg.inference.segment; "
        "print([name for name in ('onnx', 'openvino', 'onnxruntime') if name in sys.modules])"
    )
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout
    assert found.strip() == "[]"
