"""What a training draws from volumes, and how they are validated and stored."""

import json
from pathlib import Path

import numpy as np
import pytest

from breastseg.core.recipe import Augmentation
from breastseg.core.volume_recipe import VolumePreprocessing
from breastseg.pipeline.volume_preparation import VolumeArrays
from breastseg.pipeline.volume_sets import VolumePatches, WholeVolumes
from breastseg.pipeline.volume_store import PreparedVolume, save_volume, volume_key

SHAPE = (12, 40, 40)
STILL = Augmentation()
PREPROCESSING = VolumePreprocessing(
    spacing_mm=(2.0, 2.0, 2.0), patch=(4, 8, 8), patches_per_volume=10, lesion_share=0.3
)


def arrays(*lesions, seed=0):
    """Return a volume with boxes as lesions, (slices, rows, columns); half of it is searched."""
    rng = np.random.default_rng(seed)
    target, places = np.zeros(SHAPE, bool), [np.empty((0, 4), np.int16)]
    for number, lesion in enumerate(lesions):
        one = np.zeros(SHAPE, bool)
        one[lesion] = True
        target |= one
        found = np.argwhere(one)
        places.append(np.c_[found, np.full(len(found), number)].astype(np.int16))
    inside = np.zeros(SHAPE, bool)
    inside[:, :20] = True
    return VolumeArrays(
        hu=np.where(target, 200, rng.integers(-120, -80, SHAPE)).astype(np.int16),
        target=target,
        inside=inside,
        region_places=np.argwhere(inside).astype(np.int16),
        lesion_places=np.concatenate(places),
    )


LARGE, SMALL = np.s_[2:8, 2:14, 2:14], np.s_[9:10, 16:17, 30:31]


@pytest.fixture
def volumes(tmp_path):
    kinds = [arrays(LARGE, SMALL), arrays(seed=1), arrays(SMALL, seed=2)]
    return [save_volume(each, tmp_path / str(place)) for place, each in enumerate(kinds)]


def test_the_draws_of_an_epoch_depend_on_the_seed_alone(volumes):
    patches = VolumePatches(volumes, PREPROCESSING)
    draws = patches.order("each", seed=1, epoch=4)
    assert draws == patches.order("each", seed=1, epoch=4)
    assert draws != patches.order("each", seed=1, epoch=5)
    assert len(draws) == len({key for _, key in draws}) == 30
    assert [sum(index // 2 == volume for index, _ in draws) for volume in range(3)] == [10] * 3
    for index, key in draws[:5]:
        one = patches.item(index, Augmentation(rotation_degrees=10), np.random.default_rng(key))
        two = patches.item(index, Augmentation(rotation_degrees=10), np.random.default_rng(key))
        assert all(np.array_equal(a, b) for a, b in zip(one, two, strict=True))


def test_the_share_of_patches_at_lesions_comes_evenly(volumes):
    draws = VolumePatches(volumes, PREPROCESSING).order("each", seed=0, epoch=0)
    at_lesions = np.array([index % 2 for index, _ in draws])
    assert at_lesions.sum() == 9
    assert all(at_lesions[start : start + 10].sum() == 3 for start in (0, 10, 20))


def test_a_small_lesion_is_drawn_as_often_as_a_large_one(volumes):
    patches = VolumePatches(volumes, PREPROCESSING)
    sizes = [
        patches.item(1, STILL, np.random.default_rng(number))[1].sum() for number in range(200)
    ]
    assert min(sizes) >= 1
    assert 70 <= sum(size == 1 for size in sizes) <= 130


def test_a_volume_without_lesions_gives_patches_of_its_searched_region(volumes):
    patches = VolumePatches(volumes, PREPROCESSING)
    image, target = patches.item(3, STILL, np.random.default_rng(0))
    assert image.shape == target.shape == (1, 4, 8, 8)
    assert not target.any()


def test_image_and_target_move_alike(volumes):
    patches = VolumePatches(volumes, PREPROCESSING)
    moving = Augmentation(rotation_degrees=20, scale=0.2, flip=0.5)
    threshold = (50 - PREPROCESSING.mean_hu) / PREPROCESSING.sd_hu
    differing = total = 0
    for number in range(30):
        image, target = patches.item(1, moving, np.random.default_rng(number))
        differing += np.count_nonzero((image > threshold) != (target > 0))
        total += target.sum()
    assert total > 500
    assert differing < 0.05 * total


def test_a_flip_swaps_left_and_right(volumes):
    patches = VolumePatches(volumes, PREPROCESSING)
    image, target = patches.item(1, STILL, np.random.default_rng(5))
    seen = [
        patches.item(1, Augmentation(flip=1), np.random.default_rng(5)),
    ]
    assert np.allclose(seen[0][0], image[..., ::-1], atol=1e-4)
    assert np.array_equal(seen[0][1], target[..., ::-1])


def test_neighbouring_slices_are_channels_and_the_middle_one_has_the_target(volumes):
    flat = PREPROCESSING.model_copy(update={"patch": (1, 8, 8)})
    patches = VolumePatches(volumes, flat, reach=1)
    assert patches.input_shape == (3, 8, 8)
    image, target = patches.item(1, STILL, np.random.default_rng(1))
    assert image.shape == (3, 8, 8)
    assert np.array_equal(image[1] > 1, target[0] > 0)


def test_validation_by_tiles_sees_each_searched_voxel(volumes):
    whole = WholeVolumes(volumes, PREPROCESSING)
    looks = list(whole.looks(lambda tiles: tiles, batch_size=3))
    assert [look.first for look in looks] == [0, 1, 2]
    for look, volume in zip(looks, volumes, strict=True):
        hu = np.asarray(volume.array("hu"), np.float32)
        expected = (hu - PREPROCESSING.mean_hu) / PREPROCESSING.sd_hu
        inside = np.asarray(volume.array("inside"))
        assert np.allclose(look.logits[0, 0][inside], expected[inside], atol=1e-4)
        assert (look.logits[0, 0][~inside] == np.finfo(np.float32).min).all()


def test_the_region_itself_has_a_dice(volumes):
    scores = list(WholeVolumes(volumes, PREPROCESSING).dice_of_region())
    half = 12 * 20 * 40
    assert scores == pytest.approx([2 * 865 / (half + 865), 2 / (half + 1)])


@pytest.mark.parametrize("name", ["hu.npy", "target.npy", "facts.json"])
def test_a_damaged_volume_is_not_opened_and_is_made_anew(volumes, name):
    folder: Path = volumes[0].folder
    file = folder / name
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    assert PreparedVolume.open(folder) is None
    again = save_volume(arrays(LARGE, SMALL), folder)
    assert again == volumes[0]
    assert (again.lesion_size, again.num_lesions, again.shape) == (865, 2, SHAPE)


def test_a_volume_that_was_interrupted_is_not_there(tmp_path, monkeypatch):
    def full(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("breastseg.pipeline.volume_store.write_json", full)
    with pytest.raises(KeyboardInterrupt):
        save_volume(arrays(SMALL), tmp_path / "store" / "key")
    assert list((tmp_path / "store").iterdir()) == []


def test_a_key_changes_with_content_and_preparation_and_not_with_patches():
    key = volume_key(["a", "b"], PREPROCESSING)
    other = {"patch": (8, 8, 8), "patches_per_volume": 3, "lesion_share": 0.9}
    assert key == volume_key(["a", "b"], PREPROCESSING.model_copy(update=other))
    assert key != volume_key(["a", "c"], PREPROCESSING)
    for change in ({"spacing_mm": (2.0, 2.0, 1.0)}, {"region": "scan"}, {"margin_mm": 1.0}):
        assert key != volume_key(["a", "b"], PREPROCESSING.model_copy(update=change))
    assert len(json.dumps(key)) == 34
