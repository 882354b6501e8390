import sys
from pathlib import Path

import pytest

from breastseg.backends import protocol
from breastseg.backends.protocol import BackendConfig, make_backend, precision_of
from breastseg.core.errors import InputError, MissingExtraError
from breastseg.core.network_recipe import UNetSpec
from breastseg.core.recipe import LossTerm, Optimisation

CONFIG = BackendConfig(
    network=UNetSpec(channels=(1, 1)), loss=(LossTerm(name="bce"),), optimisation=Optimisation()
)


@pytest.mark.parametrize(("framework", "package"), [("pytorch", "torch"), ("tensorflow",) * 2])
def test_a_framework_that_is_not_installed_is_told_with_its_command(
    framework, package, monkeypatch
):
    monkeypatch.delitem(sys.modules, f"breastseg.backends.{framework}.engine", raising=False)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingExtraError, match="not installed") as missing:
        make_backend(framework, CONFIG)
    assert f'pip install "breastseg[{framework}]"' in str(missing.value)
    assert missing.value.exit_code == 2


def test_an_unknown_framework_is_told_with_the_known_ones():
    with pytest.raises(InputError, match="expected pytorch or tensorflow, got 'jax'"):
        make_backend("jax", CONFIG)


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ("flags : fpu avx512_bf16", "bfloat16"),
        ("flags : amx_bf16", "bfloat16"),
        ("flags : fpu avx2", "float32"),
    ],
)
def test_automatic_precision_follows_the_processor(flags, expected, monkeypatch):
    monkeypatch.setattr(Path, "is_file", lambda path: True)
    monkeypatch.setattr(Path, "read_text", lambda path, **kwargs: flags)
    assert precision_of("auto", on_cuda=False) == expected


def test_without_a_list_of_flags_it_is_float32(monkeypatch):
    monkeypatch.setattr(Path, "is_file", lambda path: False)
    assert precision_of("auto", on_cuda=False) == "float32"


@pytest.mark.parametrize("wanted", ["float32", "bfloat16"])
def test_what_is_asked_for_is_what_is_used(wanted, monkeypatch):
    monkeypatch.setattr(protocol, "_cpu_multiplies_bfloat16", lambda: wanted == "float32")
    assert precision_of(wanted, on_cuda=False) == wanted
    assert precision_of(wanted, on_cuda=True) == wanted
