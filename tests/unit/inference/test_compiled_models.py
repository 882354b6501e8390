"""Compiled networks in the cache: the same answers, and never in the way."""

import numpy as np
import pytest

from breastseg.backends.onnx import network as onnx_network
from breastseg.core.network_recipe import UNetSpec
from breastseg.inference import compiled_models
from breastseg.inference.runtime import open_runtime
from breastseg.networks.spec import initial_weights

SPEC = UNetSpec(channels=(4, 8), convolutions=1)


@pytest.fixture
def kept(tmp_path, monkeypatch):
    """The cache's folder of compiled networks, empty."""
    monkeypatch.setenv("BREASTSEG_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / compiled_models.KIND


@pytest.fixture
def num_builds(monkeypatch):
    built = []
    original = onnx_network.build_onnx

    def counted(*args, **kwargs):
        built.append(args)
        return original(*args, **kwargs)

    monkeypatch.setattr(onnx_network, "build_onnx", counted)
    return lambda: len(built)


def answer(weights=None, **settings):
    weights = initial_weights(SPEC, 0) if weights is None else weights
    images = np.random.default_rng(0).normal(size=(1, 1, 30, 44)).astype(np.float32)
    chosen = {"threads": 1, "cached": True, **settings}
    return open_runtime(SPEC, weights, **chosen).logits(images)


def files(folder):
    return sorted(folder.glob("*")) if folder.is_dir() else []


def test_a_kept_network_says_the_same_without_being_built(kept, num_builds):
    first, second = answer(), answer()
    np.testing.assert_array_equal(first, second)
    np.testing.assert_array_equal(first, answer(cached=False))
    assert num_builds() == 2  # the first, and the one that was not to come from the cache
    assert len(files(kept)) == 1


def test_another_network_has_another_key(kept, num_builds):
    weights = initial_weights(SPEC, 0)
    changed = {**weights, "head.bias": weights["head.bias"] + 1}
    base = answer(weights)
    np.testing.assert_allclose(answer(changed), base + 1, atol=1e-5)
    answer(weights, threads=2)
    assert num_builds() == len(files(kept)) == 3


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: b"",
        lambda data: data[: len(data) // 2],
        lambda data: data[:-1] + bytes([data[-1] ^ 1]),
    ],
    ids=["empty", "cut", "one bit"],
)
def test_a_damaged_file_is_replaced(kept, num_builds, damage):
    expected = answer()
    (path,) = files(kept)
    whole = path.read_bytes()
    path.write_bytes(damage(whole))
    np.testing.assert_array_equal(answer(), expected)
    assert num_builds() == 2
    assert len(path.read_bytes()) == len(whole)
    answer()
    assert num_builds() == 2


def test_what_openvino_refuses_is_built_anew(kept, num_builds, monkeypatch):
    monkeypatch.setattr(compiled_models.cache, "load_bytes", lambda kind, key: b"no network")
    assert np.isfinite(answer()).all()
    assert num_builds() == 1


def test_a_cache_that_cannot_be_written_is_in_nobodys_way(tmp_path, monkeypatch, num_builds):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("BREASTSEG_CACHE", str(tmp_path / "file"))
    np.testing.assert_array_equal(answer(), answer())
    assert num_builds() == 2


def test_nothing_is_kept_unless_asked_for_or_where_the_cache_is_off(kept, monkeypatch):
    answer(cached=False)
    assert files(kept) == []
    monkeypatch.setenv("BREASTSEG_CACHE", "off")
    answer()
    assert files(kept) == []


def test_what_was_unused_for_longest_goes_first(kept, monkeypatch):
    answer(threads=1)
    (first,) = files(kept)
    size = first.stat().st_size
    monkeypatch.setattr(compiled_models, "MOST_BYTES", 2 * size + size // 2)
    answer(threads=2)
    answer(threads=1)  # used again
    answer(threads=3)
    assert len(files(kept)) == 2
    assert first in files(kept)
