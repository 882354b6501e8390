import hashlib

import numpy as np
import pytest

from breastseg.core.errors import RunFolderError
from breastseg.training.sketch_file import SKETCHES_NAME, read_sketches, save_sketches

CONTENT = {name: hashlib.sha256(name.encode()).hexdigest() for name in ("a", "b", "c")}
SKETCHES = np.random.default_rng(0).integers(-127, 128, (3, 16, 16)).astype(np.int8)


@pytest.fixture
def folder(tmp_path):
    save_sketches(tmp_path, CONTENT, SKETCHES)
    return tmp_path


def test_sketches_are_read_as_they_were_saved(folder):
    found = read_sketches(folder, CONTENT)
    assert found.case_ids == ("a", "b", "c")
    np.testing.assert_array_equal(found.sketches, SKETCHES)
    assert (folder / SKETCHES_NAME).stat().st_size < 3 * 300 + 1000


def test_some_of_them_are_in_the_order_asked_for(folder):
    found = read_sketches(folder, CONTENT).only(["c", "unknown", "a"])
    assert found.case_ids == ("c", "a")
    np.testing.assert_array_equal(found.sketches, SKETCHES[[2, 0]])
    assert len(found.only([])) == 0


def test_a_folder_without_them_has_none(tmp_path):
    assert read_sketches(tmp_path, CONTENT) is None


def test_no_images_have_no_sketches(tmp_path):
    save_sketches(tmp_path, {}, np.zeros((0, 16, 16), np.int8))
    assert len(read_sketches(tmp_path, {})) == 0


@pytest.mark.parametrize("size", [0, 10, 500])
def test_a_file_cut_short_is_refused_with_a_way_out(folder, size):
    file = folder / SKETCHES_NAME
    file.write_bytes(file.read_bytes()[:size])
    with pytest.raises(RunFolderError, match="or delete it"):
        read_sketches(folder, CONTENT)


def test_sketches_of_other_images_are_refused(folder):
    with pytest.raises(RunFolderError, match="expected, got"):
        read_sketches(folder, {"a": CONTENT["a"]})
    with pytest.raises(RunFolderError, match="other images"):
        read_sketches(folder, {**CONTENT, "c": CONTENT["a"]})


def test_another_format_is_refused(folder):
    with np.load(folder / SKETCHES_NAME) as arrays:
        changed = {**arrays, "format": 2}
    np.savez(folder / SKETCHES_NAME, **changed)
    with pytest.raises(RunFolderError, match="format is 2"):
        read_sketches(folder, CONTENT)
