"""Networks in 8 bits: close to the float ones, quiet, and never taken for another."""

import subprocess
import sys

import numpy as np
import pytest

from breastseg.backends.onnx.network import build_onnx
from breastseg.core.errors import InputError, MissingExtraError
from breastseg.core.network_recipe import LiteUNetSpec, UNetSpec
from breastseg.inference import compiled_models, int8
from breastseg.inference.int8 import Int8Network, quantise
from breastseg.inference.runtime import open_runtime
from breastseg.networks.spec import initial_weights

CLASSES = ("benign", "malignant")
SPECS = {
    "group": UNetSpec(channels=(8, 16), convolutions=1, norm="group"),
    "batch": UNetSpec(channels=(8, 16), convolutions=1, norm="batch"),
    "none": UNetSpec(channels=(8, 16), convolutions=1, upsampling="interpolation"),
    "lite": LiteUNetSpec(encoder="efficientnet-lite0", decoder=(8,) * 5, classes=CLASSES),
}


def images(count, side=64):
    stream = np.random.default_rng(1)
    return [stream.normal(size=(1, 1, side, side)).astype(np.float32) for _ in range(count)]


def network_of(spec):
    weights = initial_weights(spec, 0)
    return weights, bytes(build_onnx(spec, weights).SerializeToString())


def unrounded(spec):
    """The float network in the files of an 8-bit one: what needs no NNCF to be tried."""
    import openvino

    return int8._serialised(openvino.Core().read_model(network_of(spec)[1]))


@pytest.fixture
def nncf():
    pytest.importorskip("nncf", reason="NNCF is not installed: pip install 'breastseg[int8]'")


@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS.keys())
def test_8_bits_are_a_quarter_of_the_size_and_near_the_float_network(spec, nncf):
    weights, network = network_of(spec)
    told = []
    rounded, kept = quantise(network, images(4), seen=told.append)
    assert kept == ()
    assert told == [1, 2, 3, 4]
    assert len(rounded.weights) < 0.5 * sum(each.nbytes for each in weights.values())
    # Another image than those that set the ranges, and of a size that must be padded.
    image = np.random.default_rng(2).normal(size=(1, 1, 50, 60)).astype(np.float32)
    exact = open_runtime(spec, weights, threads=1).predict(image)
    rough = open_runtime(spec, rounded, threads=1, precision="int8").predict(image)
    assert rough.logits.shape == exact.logits.shape == (1, 1, 50, 60)
    for one, other in zip(exact, rough, strict=True):
        if one is None:
            assert other is None
            continue
        assert 0 < np.abs(one - other).max() < 0.25 * np.ptp(exact.logits)


def test_the_same_images_give_the_same_network(nncf):
    _, network = network_of(SPECS["group"])
    first, second = (quantise(network, images(4))[0] for _ in range(2))
    assert first == second
    assert quantise(network, images(6)[2:])[0] != first


@pytest.mark.parametrize("name", ["group", "lite"])
def test_the_ends_can_stay_in_float(name, nncf):
    _, network = network_of(SPECS[name])
    whole, _ = quantise(network, images(2))
    ends, kept = quantise(network, images(2), float_ends=True)
    assert len(kept) == 2
    assert kept[0] in ends.model.decode()
    assert kept[1].startswith("head")
    assert len(ends.weights) > len(whole.weights)  # their kernels take 32 bits again


def test_ranges_can_be_asymmetric(nncf):
    _, network = network_of(SPECS["lite"])
    even, uneven = (quantise(network, images(2), asymmetric=each)[0] for each in (False, True))
    assert even.model != uneven.model


def test_nothing_is_told_on_stdout_and_nothing_is_sent_home(nncf):
    code = (
        "import sys; from breastseg.inference.int8 import import_nncf; import_nncf(); "
        "from nncf.telemetry.wrapper import telemetry; "
        "print(type(telemetry).__name__, 'openvino_telemetry' in sys.modules)"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    # NNCF's own stand-in for where the package that sends is missing.
    assert found.stdout.split() == ["MagicMock", "False"]


def test_progress_stays_away_from_stdout(nncf, capsys):
    quantise(network_of(SPECS["none"])[1], images(2))
    assert capsys.readouterr().out == ""


def test_without_nncf_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "nncf", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'breastseg\[int8\]'"):
        quantise(network_of(SPECS["none"])[1], images(1))


@pytest.mark.parametrize(
    ("rounded", "settings", "message"),
    [
        (True, {}, "8-bit weights and precision float32"),
        (True, {"precision": "bfloat16"}, "8-bit weights and precision bfloat16"),
        (False, {"precision": "int8"}, "float weights and precision int8"),
        (True, {"precision": "int8", "runtime": "onnxruntime"}, "through OpenVINO on the CPU"),
        (True, {"precision": "int8", "device": "cuda"}, "through OpenVINO on the CPU"),
    ],
)
def test_a_network_runs_in_its_own_precision_alone(rounded, settings, message):
    spec = SPECS["none"]
    weights = unrounded(spec) if rounded else initial_weights(spec, 0)
    with pytest.raises(InputError, match=message):
        open_runtime(spec, weights, **settings)


def test_the_cache_keeps_networks_in_8_bits_apart(tmp_path, monkeypatch):
    monkeypatch.setenv("BREASTSEG_CACHE", str(tmp_path))
    spec = SPECS["none"]
    one = unrounded(spec)
    changed = Int8Network(one.model, one.weights[:-4] + np.float32(3).tobytes())
    (image,) = images(1)
    settings = {"precision": "int8", "threads": 1, "cached": True}
    found = [open_runtime(spec, each, **settings).logits(image) for each in (one, changed, one)]
    assert not np.array_equal(found[0], found[1])
    np.testing.assert_array_equal(found[0], found[2])
    assert len(list((tmp_path / compiled_models.KIND).iterdir())) == 2
