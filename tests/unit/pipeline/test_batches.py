import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from breastseg.core.image import Case, Image
from breastseg.core.network_recipe import UNLABELLED
from breastseg.core.recipe import Augmentation, Preprocessing
from breastseg.pipeline.batches import Batching, epoch_batches
from breastseg.pipeline.image_set import ImageSet, PreparedCase, prepare_case

ALL = Augmentation(flip=0.5, rotation_degrees=10, scale=0.1, shift=0.1, brightness=0.2, noise=0.1)


def numbered(count):
    """Cases whose pixels are their number."""
    return [
        PreparedCase(np.full((8, 8), number, np.float32), np.full((8, 8), number % 2 == 1))
        for number in range(count)
    ]


def noisy(count):
    stream = np.random.default_rng(0)
    return [
        PreparedCase(stream.normal(size=(16, 16)).astype(np.float32), stream.random((16, 16)) > 0.5)
        for _ in range(count)
    ]


def batches(cases, augmentation=Augmentation(), batch_size=4, *, seed=0, epoch=0, **options):  # noqa: B008
    batching = Batching(augmentation=augmentation, batch_size=batch_size, seed=seed, **options)
    return list(epoch_batches(ImageSet(cases), batching, epoch=epoch))


def order(made):
    return [int(image[0, 0, 0]) for batch in made for image in batch.images]


def assert_same(first, second):
    for one, other in zip(first, second, strict=True):
        np.testing.assert_array_equal(one.images, other.images)
        np.testing.assert_array_equal(one.targets, other.targets)


@given(st.integers(1, 40), st.integers(1, 12), st.integers(0, 100))
@settings(deadline=None, max_examples=60)
def test_each_case_comes_once_and_only_an_incomplete_batch_waits(count, batch_size, epoch):
    made = batches(numbered(count), batch_size=batch_size, epoch=epoch)
    seen = order(made)
    assert len(seen) == len(set(seen))
    whole = min(batch_size, count)
    assert len(seen) == count - count % whole
    assert {len(batch.images) for batch in made} == {whole}


def test_over_the_epochs_every_case_is_seen():
    seen = set()
    for epoch in range(12):
        seen |= set(order(batches(numbered(10), epoch=epoch)))
    assert seen == set(range(10))


def mixed(num_lesions, num_normals):
    """Cases whose pixels are their number; the first have a lesion."""
    return [
        PreparedCase(np.full((8, 8), number, np.float32), np.full((8, 8), number < num_lesions))
        for number in range(num_lesions + num_normals)
    ]


@pytest.mark.parametrize(("num_lesions", "num_normals"), [(12, 4), (3, 13), (1, 15), (8, 8)])
def test_balanced_batches_are_half_lesions_half_normals(num_lesions, num_normals):
    made = batches(mixed(num_lesions, num_normals), sampling="balanced")
    assert [len(batch.images) for batch in made] == [4] * 4
    assert all(batch.targets[:, 0, 0, 0].sum() == 2 for batch in made)
    drawn = np.bincount(order(made), minlength=16)
    for kind in (drawn[:num_lesions], drawn[num_lesions:]):
        assert np.ptp(kind) <= 1, "each of a kind comes equally often"


def test_over_the_epochs_balanced_sampling_sees_every_case():
    cases = mixed(12, 2)
    seen = {
        n for epoch in range(12) for n in order(batches(cases, epoch=epoch, sampling="balanced"))
    }
    assert seen == set(range(14))


def test_a_case_that_comes_again_is_changed_in_another_way():
    image = noisy(1)[0].image
    cases = [PreparedCase(image, np.full((16, 16), number > 0)) for number in range(4)]
    (batch,) = batches(cases, ALL, sampling="balanced")
    normals = batch.images[~batch.targets.any(axis=(1, 2, 3))]
    assert len(normals) == 2
    assert not np.array_equal(*normals)


@pytest.mark.parametrize("cases", [mixed(6, 0), mixed(0, 6)], ids=["lesions", "normals"])
def test_with_one_kind_alone_balanced_is_each(cases):
    assert_same(batches(cases), batches(cases, sampling="balanced"))


def test_image_and_target_stay_together_and_have_the_networks_axes():
    for batch in batches(numbered(8)):
        assert batch.images.shape == batch.targets.shape == (4, 1, 8, 8)
        assert batch.images.dtype == batch.targets.dtype == np.float32
        np.testing.assert_array_equal(batch.targets[:, 0, 0, 0], batch.images[:, 0, 0, 0] % 2)


def test_without_augmentation_the_cases_are_as_they_are():
    cases = noisy(4)
    (batch,) = batches(cases)
    given = {case.image.tobytes(): case.target for case in cases}
    for image, target in zip(batch.images, batch.targets, strict=True):
        np.testing.assert_array_equal(given[image.tobytes()], target[0] > 0)


def test_the_same_seed_and_epoch_give_the_same_batches():
    assert_same(batches(noisy(9), ALL, epoch=3), batches(noisy(9), ALL, epoch=3))


@pytest.mark.parametrize("other", [{"seed": 1}, {"epoch": 1}])
def test_another_seed_or_epoch_gives_another_order_and_other_changes(other):
    first, second = batches(numbered(12)), batches(numbered(12), **other)
    assert order(first) != order(second)
    one = noisy(1)
    assert not np.array_equal(batches(one, ALL)[0].images, batches(one, ALL, **other)[0].images)


def test_a_case_is_changed_by_a_stream_of_its_own():
    """Two equal cases of a batch are not changed alike."""
    (batch,) = batches(noisy(1) * 2, ALL, batch_size=2)
    assert not np.array_equal(batch.images[0], batch.images[1])


def test_an_error_while_a_batch_is_made_is_not_swallowed():
    broken = [*noisy(7), PreparedCase(np.zeros((4, 4), np.float32), np.zeros((4, 4), bool))]
    with pytest.raises(ValueError, match="shape"):
        batches(broken, ALL, batch_size=8)


def test_batches_may_be_left_half_way():
    batching = Batching(augmentation=ALL, batch_size=2, seed=0)
    made = epoch_batches(ImageSet(noisy(9)), batching, epoch=0)
    next(made)
    made.close()


def test_all_lesions_of_a_case_make_one_target():
    reference = np.zeros((1, 32, 64), np.int32)
    reference[0, 4:12, 8:24] = 1
    reference[0, 20:28, 40:56] = 2
    pixels = np.random.default_rng(0).normal(size=(1, 32, 64)).astype(np.float32)
    case = Case(case_id="two", image=Image(pixels=pixels), reference=reference)
    prepared = prepare_case(case, Preprocessing(size=64))
    np.testing.assert_array_equal(prepared.target[16:48], reference[0] > 0)
    assert not prepared.target[:16].any()
    assert not prepared.target[48:].any()
    assert prepared.image.shape == (64, 64)


@pytest.mark.parametrize(
    ("lesion_free", "stated", "without"),
    [
        ((0, 0), 1, 0),
        ((0, 1), 1, UNLABELLED),
        ((), UNLABELLED, UNLABELLED),
        ((), 1, 1),
    ],
)
def test_an_image_that_lost_its_lesion_has_the_class_of_lesion_free_images(
    lesion_free, stated, without
):
    """Where those agree on one; the stated one where there are none; else it keeps its own."""
    stream = np.random.default_rng(0)
    image, corner, nothing = stream.normal(size=(32, 32)), np.zeros((32, 32)), np.zeros((32, 32))
    corner[:4, :4] = 1
    lesions = [PreparedCase(image.astype(np.float32), corner > 0, 2) for _ in range(20)]
    normals = [PreparedCase(image.astype(np.float32), nothing > 0, label) for label in lesion_free]
    augmentation = Augmentation(lesion_free=0.5)
    batching = Batching(augmentation=augmentation, batch_size=1, seed=0, labelled=True)
    made = epoch_batches(ImageSet([*lesions, *normals], stated), batching, epoch=0)
    found = {(bool(batch.targets.any()), int(batch.labels[0])) for batch in made}
    assert found == {(True, 2), (False, without), *((False, label) for label in lesion_free)}
