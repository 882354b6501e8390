import numpy as np
import pytest

from breastseg.core.recipe import Augmentation
from breastseg.pipeline.augment import augment
from breastseg.pipeline.inpainting import inpaint_beside, inpaint_lesion

SIZE = 96
SEEDS = range(60)
# Beside the picture nothing: it is narrower than the square.
LEFT, RIGHT = 10, 86


@pytest.fixture
def image():
    """Return tissue in layers: each row has a brightness of its own."""
    stream = np.random.default_rng(0)
    rows = np.repeat(np.linspace(-1.5, 1.5, SIZE)[:, None], SIZE, axis=1)
    image = np.zeros((SIZE, SIZE), np.float32)
    image[:, LEFT:RIGHT] = (rows + stream.normal(0, 0.05, (SIZE, SIZE)))[:, LEFT:RIGHT]
    return image


@pytest.fixture
def mask():
    mask = np.zeros((SIZE, SIZE), np.float32)
    mask[30:50, 35:55] = 1
    return mask


def stream(seed=0):
    return np.random.default_rng(seed)


def test_the_lesion_is_gone_and_the_tissue_of_its_depth_in_its_place(image, mask):
    """Twice as bright as any tissue, the lesion leaves nothing; brightness goes with the row."""
    shining = image + 4 * mask
    for seed in SEEDS:
        changed, target = inpaint_lesion(shining, mask, stream(seed))
        assert not target.any()
        inside = changed[:, LEFT:RIGHT]
        assert not changed[:, :LEFT].any()
        assert not changed[:, RIGHT:].any()
        assert inside.mean() == pytest.approx(0, abs=1e-3)
        assert inside.std() == pytest.approx(1, abs=1e-3)
        gap, beside = changed[34:46, 39:51].mean(axis=1), changed[34:46, 12:22].mean(axis=1)
        assert np.abs(gap - beside).max() < 0.35


def test_what_is_far_from_the_lesion_stays_but_for_brightness(image, mask):
    changed, _ = inpaint_lesion(image, mask, stream())
    far = np.s_[70:, LEFT:RIGHT]
    assert np.corrcoef(changed[far].ravel(), image[far].ravel())[0, 1] > 0.9999


def test_a_lesion_with_too_little_beside_it_stays(image):
    wide, large = np.zeros((2, SIZE, SIZE), np.float32)
    wide[40:44, LEFT + 8 : RIGHT - 8] = 1
    large[20:70, 30:66] = 1
    for mask in (wide, large):
        changed, target = inpaint_lesion(image, mask, stream())
        np.testing.assert_array_equal(changed, image)
        np.testing.assert_array_equal(target, mask)


@pytest.mark.parametrize("left", [LEFT, RIGHT - 12])
def test_a_lesion_at_the_edge_is_filled_from_the_other_side(image, left):
    mask = np.zeros((SIZE, SIZE), np.float32)
    mask[30:45, left : left + 12] = 1
    shining = image + 4 * mask
    for seed in SEEDS:
        changed, target = inpaint_lesion(shining, mask, stream(seed))
        assert not target.any()
        assert changed.max() < 3


def test_paint_beside_a_lesion_leaves_the_lesion(image, mask):
    """A lesion of a brightness of its own neither changes nor comes a second time."""
    shining = image + 4 * mask
    painted = 0
    for seed in SEEDS:
        changed = inpaint_beside(shining, mask, stream(seed))
        if changed is shining:
            continue
        painted += 1
        lesion = mask > 0
        assert np.corrcoef(changed[lesion], shining[lesion])[0, 1] > 0.9999
        np.testing.assert_array_equal(changed > 1.5 * changed[30:50, 35:55].mean() / 2, lesion)
    assert painted > len(SEEDS) / 2


def test_an_empty_picture_stays(mask):
    nothing = np.zeros((SIZE, SIZE), np.float32)
    assert not inpaint_lesion(nothing, mask, stream())[0].any()
    assert not inpaint_beside(nothing, mask, stream()).any()


def test_lesions_are_painted_over_as_often_as_is_asked_for(image, mask):
    empty = [
        not augment(image, mask, Augmentation(inpaint=0.3), stream(seed))[1].any()
        for seed in range(400)
    ]
    assert np.mean(empty) == pytest.approx(0.3, abs=0.07)
    changed, target = augment(image, mask, Augmentation(inpaint_beside=1), stream(1))
    np.testing.assert_array_equal(target, mask)
    assert not np.array_equal(changed, image)
