import hashlib
import json

import numpy as np
import pytest

from breastseg.backends.weights import read_weights, save_weights
from breastseg.core.errors import OutputError, WeightsError

ARRAYS = {
    "b.weight": np.arange(6, dtype=np.float32).reshape(2, 3),
    "a.bias": np.array([0.5, -1.5], np.float32),
}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "weights.safetensors"


@pytest.fixture
def checksum(path):
    return save_weights(path, ARRAYS)


def assert_as_saved(found):
    assert found.keys() == ARRAYS.keys()
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(found[name], array)
        assert found[name].dtype == np.float32


def test_arrays_come_back_bit_for_bit(path, checksum):
    assert_as_saved(read_weights(path))
    assert_as_saved(read_weights(path, sha256=checksum))


def test_half_floats_take_half_the_room_and_come_back_as_float32(tmp_path):
    arrays = {"a.weight": np.linspace(-3, 3, 4096, dtype=np.float32)}
    save_weights(tmp_path / "whole", arrays)
    save_weights(tmp_path / "half", arrays, half=True)
    whole, half = ((tmp_path / name).stat().st_size for name in ("whole", "half"))
    assert half < 0.51 * whole
    found = read_weights(tmp_path / "half")["a.weight"]
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, arrays["a.weight"], rtol=2**-11, atol=2**-24)


def test_a_number_too_large_for_half_floats_is_refused(path):
    with pytest.raises(WeightsError, match=r"'b\.weight' has one of 70000"):
        save_weights(path, {"b.weight": np.array([1, -7e4], np.float32)}, half=True)
    assert not path.exists()


def test_the_checksum_is_that_of_the_file_and_depends_on_content_alone(path, checksum, tmp_path):
    assert checksum == hashlib.sha256(path.read_bytes()).hexdigest()
    assert save_weights(tmp_path / "other", dict(reversed(ARRAYS.items()))) == checksum


def test_views_that_are_not_contiguous_are_saved_as_they_look(path):
    transposed = np.arange(6, dtype=np.float32).reshape(2, 3).T
    save_weights(path, {"x": transposed})
    np.testing.assert_array_equal(read_weights(path)["x"], transposed)


def test_no_arrays_are_a_file_too(path):
    save_weights(path, {})
    assert read_weights(path) == {}


def test_every_flipped_byte_is_found_by_the_checksum(path, checksum):
    whole = path.read_bytes()
    for at in range(len(whole)):
        damaged = bytearray(whole)
        damaged[at] ^= 0x40
        path.write_bytes(damaged)
        with pytest.raises(WeightsError, match=f"checksum must be {checksum[:12]}"):
            read_weights(path, sha256=checksum)


def test_a_file_cut_off_anywhere_is_refused_even_without_a_checksum(path, checksum):
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(WeightsError, match="expected a safetensors file"):
            read_weights(path)


def test_damage_to_the_header_is_an_error_of_the_file_or_another_name(path, checksum):
    """Nothing but WeightsError may come out, whatever the bytes."""
    whole = path.read_bytes()
    header = 8 + int.from_bytes(whole[:8], "little")
    refused = 0
    for at in range(header):
        for bit in (0x01, 0x10, 0x80):
            damaged = bytearray(whole)
            damaged[at] ^= bit
            path.write_bytes(damaged)
            try:
                found = read_weights(path)
            except WeightsError:
                refused += 1
            else:
                assert len(found) == len(ARRAYS)
    assert refused > header


@pytest.mark.parametrize("dtype", ["BF16", "F8_E4M3"])
def test_numbers_that_numpy_does_not_know_are_told(dtype, path):
    size = 2 if dtype == "BF16" else 1
    header = {"a": {"dtype": dtype, "shape": [2], "data_offsets": [0, 2 * size]}}
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + bytes(2 * size))
    with pytest.raises(WeightsError, match=dtype):
        read_weights(path)


def test_another_file_is_no_weights(path):
    path.write_text("a text file called weights.safetensors")
    with pytest.raises(WeightsError, match=r"weights\.safetensors: expected a safetensors file"):
        read_weights(path)


def test_a_missing_file_and_a_folder_are_told(path):
    with pytest.raises(WeightsError, match="cannot be read"):
        read_weights(path)
    path.mkdir()
    with pytest.raises(WeightsError, match="cannot be read"):
        read_weights(path)


def test_a_folder_that_is_not_there_is_an_output_error(tmp_path):
    with pytest.raises(OutputError, match="cannot be written"):
        save_weights(tmp_path / "missing" / "weights.safetensors", ARRAYS)
