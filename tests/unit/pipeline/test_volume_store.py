import os
import pickle
import stat

import numpy as np
import pytest

from breastseg.core.errors import OutputError
from breastseg.core.volume_recipe import VolumePreprocessing
from breastseg.pipeline import volume_store
from breastseg.pipeline.volume_store import PreparedVolume, save_volume, volume_key
from tests.made_volumes import volume_arrays

ARRAYS = volume_arrays(((4, 5, 6), 3), ((8, 12, 15), 1))
NAMES = ("hu", "target", "inside", "region_places", "lesion_places")


def test_what_is_written_is_read_again(tmp_path):
    written = save_volume(ARRAYS, tmp_path / "cache" / "key")
    volume = PreparedVolume.open(written.folder)
    assert volume == written
    assert (volume.shape, volume.lesion_size, volume.num_lesions) == ((12, 20, 24), 28, 2)
    assert not volume.is_flat
    for name in NAMES:
        np.testing.assert_array_equal(volume.array(name), getattr(ARRAYS, name))
    assert isinstance(volume.array("hu"), np.memmap)


def test_a_worker_is_sent_a_path_and_no_voxels(tmp_path):
    volume = save_volume(ARRAYS, tmp_path / "key")
    volume.array("hu")
    assert len(pickle.dumps(volume)) < 2000


def test_only_the_user_may_read_it_and_nothing_else_is_left(tmp_path):
    volume = save_volume(ARRAYS, tmp_path / "key")
    assert stat.S_IMODE(volume.folder.stat().st_mode) == 0o700
    assert [path.name for path in tmp_path.iterdir()] == ["key"]


def test_an_interrupted_writing_leaves_nothing(tmp_path, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(volume_store, "write_json", interrupted)
    with pytest.raises(KeyboardInterrupt):
        save_volume(ARRAYS, tmp_path / "key")
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_told_with_what_helps(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "save", full)
    with pytest.raises(OutputError, match=r"No space left on device.*BREASTSEG_CACHE"):
        save_volume(ARRAYS, tmp_path / "key")


@pytest.mark.parametrize("name", ["facts.json", "hu.npy", "target.npy", "inside.npy"])
def test_what_is_not_whole_is_not_used_and_written_anew(name, tmp_path):
    volume = save_volume(ARRAYS, tmp_path / "key")
    os.truncate(volume.folder / name, 100)
    assert PreparedVolume.open(volume.folder) is None
    assert save_volume(ARRAYS, volume.folder) == volume


def test_nothing_is_opened_where_nothing_is(tmp_path):
    assert PreparedVolume.open(tmp_path / "missing") is None


def test_the_key_tells_content_and_preparation_and_not_how_patches_are_drawn():
    recipe = VolumePreprocessing()
    key = volume_key(["a", "b"], recipe)
    same = recipe.model_copy(update={"lesion_share": 0.1, "patches_per_volume": 9, "mean_hu": 0.0})
    assert volume_key(["a", "b"], same) == key
    changed = [{"spacing_mm": (2.0, 2.0, 2.0)}, {"window_hu": (-100.0, 200.0)}, {"margin_mm": 1.0}]
    changed += [{"region": "scan"}]
    keys = {volume_key(["a", "b"], recipe.model_copy(update=each)) for each in changed}
    keys |= {volume_key(["a", "c"], recipe), volume_key(["a"], recipe), key}
    assert len(keys) == 7
