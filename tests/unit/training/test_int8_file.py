"""An 8-bit network in a folder: whole or refused."""

import json

import pytest

from breastseg.core.errors import InputError, RunFolderError, WeightsError
from breastseg.inference.int8 import Int8Network
from breastseg.training.int8_file import (
    INT8_NETWORK_NAMES,
    chosen_precision,
    is_int8,
    read_int8,
    read_int8_figures,
    save_int8,
)

NETWORK = Int8Network(b"<net/>", b"\x01\x02\x03")


@pytest.fixture
def folder(tmp_path):
    save_int8(tmp_path, NETWORK, {"num_images": 300})
    return tmp_path


def test_what_was_written_is_read(folder):
    assert is_int8(folder)
    assert read_int8(folder) == NETWORK
    assert read_int8_figures(folder) == {"num_images": 300}


@pytest.mark.parametrize("name", INT8_NETWORK_NAMES)
def test_a_damaged_or_missing_network_is_refused(folder, name):
    (folder / name).write_bytes(b"other")
    with pytest.raises(WeightsError, match=f"{name}: .* damaged"):
        read_int8(folder)
    (folder / name).unlink()
    with pytest.raises(WeightsError, match=f"{name}: .* missing"):
        read_int8(folder)


@pytest.mark.parametrize("change", [{"schema_version": 9}, {"sha256": None}, None])
def test_a_damaged_document_is_refused(folder, change):
    path = folder / "int8.json"
    document = json.loads(path.read_text())
    path.write_text("{" if change is None else json.dumps({**document, **change}))
    with pytest.raises(RunFolderError, match=r"int8\.json: .*Copy the model again"):
        read_int8(folder)


def test_int8_is_chosen_for_such_a_model_and_for_nothing_else(folder, tmp_path_factory):
    run = tmp_path_factory.mktemp("run")
    assert chosen_precision(folder, None) == chosen_precision(folder, "int8") == "int8"
    assert chosen_precision(run, None) == "float32"
    assert chosen_precision(run, "bfloat16") == "bfloat16"
    with pytest.raises(InputError, match="without weights for precision float32"):
        chosen_precision(folder, "float32")
    with pytest.raises(InputError, match=r"breastseg export RUN --int8"):
        chosen_precision(run, "int8")
