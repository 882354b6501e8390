import numpy as np
import pytest

from breastseg.core.recipe import Augmentation
from breastseg.core.volume_recipe import VolumePreprocessing
from breastseg.pipeline.batches import Batching, epoch_draws
from breastseg.pipeline.volume_grid import standardise_hu
from breastseg.pipeline.volume_sets import VolumePatches, WholeVolumes
from breastseg.pipeline.workers import BatchSource
from tests.made_volumes import saved_volume

DEEP = VolumePreprocessing(patch=(4, 8, 8), patches_per_volume=3, mean_hu=0.0, sd_hu=100.0)
FLAT = DEEP.model_copy(update={"patch": (1, 8, 8)})
EVERYTHING = Augmentation(flip=0.5, rotation_degrees=20, scale=0.2, blur=1.0, noise=0.1, gamma=0.1)
SMALL, LARGE = ((3, 4, 4), 1), ((4, 9, 12), 6)


@pytest.fixture(scope="module")
def volumes(tmp_path_factory):
    """Return a volume with a small and a large lesion, one without, one with a small one."""
    folder = tmp_path_factory.mktemp("volumes")
    return [
        saved_volume(folder, SMALL, LARGE, seed=0),
        saved_volume(folder, seed=1),
        saved_volume(folder, ((6, 10, 10), 2), seed=2),
    ]


def item(patches, index, seed=0, augmentation=Augmentation()):  # noqa: B008
    return patches.item(index, augmentation, np.random.default_rng(seed))


def standardised(volume):
    return standardise_hu(volume.array("hu").astype(np.float32), DEEP)


# --- what is drawn ----------------------------------------------------------------------------


def test_each_volume_gives_its_patches_and_each_batch_its_share_of_lesions(volumes):
    patches = VolumePatches(volumes * 2, DEEP)
    assert len(patches) == 18
    batching = Batching(augmentation=Augmentation(), batch_size=2, seed=0)
    batches = epoch_draws(patches, batching, epoch=0)
    drawn = [draw for batch in batches for draw in batch]
    assert np.bincount([index // 2 for index, _ in drawn]).tolist() == [3] * 6
    assert len({key for _, key in drawn}) == 18, "each has a stream of its own"
    assert all(sum(index % 2 for index, _ in batch) == 1 for batch in batches)


@pytest.mark.parametrize(("share", "expected"), [(0.0, 0), (0.3, 5), (1.0, 18)])
def test_the_share_of_patches_around_lesions_is_that_of_the_recipe(volumes, share, expected):
    recipe = DEEP.model_copy(update={"lesion_share": share})
    order = VolumePatches(volumes * 2, recipe).order("each", seed=0, epoch=0)
    assert sum(index % 2 for index, _ in order) == expected


def test_the_order_depends_on_seed_and_epoch_alone(volumes):
    patches = VolumePatches(volumes, DEEP)
    first = patches.order("each", seed=1, epoch=2)
    assert patches.order("each", seed=1, epoch=2) == first
    assert patches.order("each", seed=1, epoch=3) != first
    assert patches.order("each", seed=2, epoch=2) != first


def test_a_patch_around_a_lesion_holds_one_and_each_lesion_is_as_likely(volumes):
    patches = VolumePatches(volumes[:1], DEEP)
    small, images = 0, set()
    for seed in range(60):
        image, target = item(patches, 1, seed)
        assert target.any()
        np.testing.assert_allclose(image[target > 0], 2.0)
        small += target.sum() == 1
        images.add(image.tobytes())
    assert 15 <= small <= 45, "216 voxels are no more likely than one"
    assert len(images) > 25, "the lesion is not always in the same place"


def test_other_patches_lie_anywhere_in_the_region_and_inside_the_volume(volumes):
    patches = VolumePatches(volumes[1:2], DEEP)
    source = standardised(volumes[1])
    windows = np.lib.stride_tricks.sliding_window_view(source, DEEP.patch)
    firsts = set()
    for seed in range(40):
        image, target = item(patches, 2 * 0 + seed % 2, seed)  # lesion-free: both kinds alike
        assert not target.any()
        (first,) = np.argwhere((windows == image[0]).all(axis=(3, 4, 5)))
        firsts.add(tuple(first))
    assert len(firsts) > 30


def test_a_patch_larger_than_the_volume_is_continued_by_its_last_voxels(volumes):
    recipe = DEEP.model_copy(update={"patch": (16, 8, 32)})
    image, target = item(VolumePatches(volumes[:1], recipe), 1)
    assert image.shape == target.shape == (1, 16, 8, 32)
    np.testing.assert_array_equal(image[0, 12:], np.repeat(image[0, 11:12], 4, axis=0))
    np.testing.assert_array_equal(image[0, :, :, 24:], np.repeat(image[0, :, :, 23:24], 8, axis=2))


def test_neighbouring_slices_are_channels_and_the_target_is_of_the_middle_one(volumes):
    patches = VolumePatches(volumes[:1], FLAT, reach=2)
    assert patches.input_shape == (5, 8, 8)
    source = np.pad(standardised(volumes[0]), ((2, 2), (0, 0), (0, 0)), mode="edge")
    windows = np.lib.stride_tricks.sliding_window_view(source, (5, 8, 8))
    drawn = np.asarray(volumes[0].array("target"))
    for seed in range(20):
        image, target = item(patches, seed % 2, seed)
        (at,) = np.argwhere((windows == image).all(axis=(3, 4, 5)))
        expected = drawn[at[0], at[1] : at[1] + 8, at[2] : at[2] + 8]
        np.testing.assert_array_equal(target[0], expected)


def test_changes_come_from_the_stream_alone_and_keep_the_form(volumes):
    for recipe, reach in ((DEEP, None), (FLAT, 1)):
        patches = VolumePatches(volumes, recipe, reach)
        first, again = (item(patches, 1, 3, EVERYTHING) for _ in range(2))
        other = item(patches, 1, 4, EVERYTHING)
        assert first[0].shape == patches.input_shape
        assert first[1].shape == (1, *patches.input_shape[1:])
        assert set(np.unique(first[1])) <= {0, 1}
        assert first[0].dtype == first[1].dtype == np.float32
        np.testing.assert_array_equal(first[0], again[0])
        assert not np.array_equal(first[0], other[0])


def test_a_worker_makes_the_same_bits(volumes):
    batching = Batching(augmentation=EVERYTHING, batch_size=2, seed=5)
    patches = VolumePatches(volumes, DEEP)
    made = []
    for workers in (0, 1):
        with BatchSource(patches, batching, workers=workers) as source:
            made.append([(b.images.tobytes(), b.targets.tobytes()) for b in source.epoch(1)])
    assert made[0] == made[1]
    assert len(made[0]) == 4


# --- what is validated ------------------------------------------------------------------------


def itself(images):
    """Predict the brightness of the slice itself."""
    return images[:, images.shape[1] // 2][:, None]


@pytest.mark.parametrize(("recipe", "reach"), [(DEEP, None), (FLAT, 2)])
def test_whole_volumes_are_looked_at_inside_the_region(volumes, recipe, reach):
    looks = list(WholeVolumes(volumes, recipe, reach).looks(itself, 2))
    assert [look.first for look in looks] == [0, 1, 2]
    for look, volume in zip(looks, volumes, strict=True):
        inside = np.asarray(volume.array("inside"))
        np.testing.assert_array_equal(look.inside[0], inside)
        np.testing.assert_array_equal(look.targets[0], volume.array("target"))
        np.testing.assert_allclose(
            look.logits[0, 0][inside], standardised(volume)[inside], atol=1e-5
        )
        assert (look.logits[0, 0][~inside] < -1e30).all()


def test_the_slice_with_most_lesion_is_shown_and_the_middle_one_without(volumes):
    whole = WholeVolumes(volumes, DEEP)
    image, target = whole.picture(0)
    assert target.sum() == 36
    np.testing.assert_array_equal(image[target], 2.0)
    numbers = np.arange(12.0, dtype=np.float32)[:, None, None] * np.ones((12, 20, 24), np.float32)
    assert whole.plane(0, numbers)[0, 0] in range(4, 10)
    assert whole.plane(1, numbers)[0, 0] == 6
    assert not whole.picture(1)[1].any()


def test_some_of_the_training_volumes_are_looked_at_as_validation_is(volumes):
    some = VolumePatches(volumes, DEEP).some(2)
    assert isinstance(some, WholeVolumes)
    assert [case.folder for case in VolumePatches(volumes, DEEP).some(1).cases] == [
        volumes[0].folder
    ]


def test_marking_all_that_is_searched_has_the_dice_that_is_counted_by_hand(volumes):
    searched = 8 * 16 * 20
    found = list(WholeVolumes(volumes, DEEP).dice_of_region())
    assert found == pytest.approx([2 * 217 / (searched + 217), 2 * 8 / (searched + 8)])
