from functools import cache

import numpy as np
import pytest
from scipy import ndimage

from breastseg.core.orientation import anatomy_of
from breastseg.datasets.phantom_ct.anatomy import DENSITIES, GLAND_SHARES, Tissue
from breastseg.datasets.phantom_ct.grid import Grid, make_grid
from breastseg.datasets.phantom_ct.phantom import (
    LEFT,
    RIGHT,
    PhantomSettings,
    make_phantom_ct,
)
from breastseg.datasets.phantom_ct.scanner import Scanner, scan

SHAPE = (24, 112, 112)


@cache
def phantom(pose="supine", **changes):
    settings = {"shape": SHAPE, "density": "c", "num_lesions": 2, "diameters_mm": (16.0, 20.0)}
    return make_phantom_ct(3, 0, PhantomSettings(pose=pose, **settings | changes))


def positions(made, mask):
    """Return LPS mm of the voxels of a mask."""
    return np.argwhere(mask) @ made.image.affine[:3, :3].T + made.image.affine[:3, 3]


def test_the_same_seed_gives_the_same_voxels_and_another_index_others():
    small = PhantomSettings(shape=(12, 48, 48))
    first, again = (make_phantom_ct(5, 1, small) for _ in range(2))
    np.testing.assert_array_equal(first.image.pixels, again.image.pixels)
    np.testing.assert_array_equal(first.labels, again.labels)
    assert (first.image.pixels != make_phantom_ct(5, 2, small).image.pixels).any()


def test_the_anatomy_does_not_depend_on_the_grid():
    coarse, fine = (phantom(shape=shape) for shape in (SHAPE, (24, 160, 160)))
    for side in (RIGHT, LEFT):
        volumes = [
            (made.breasts == side).sum() * abs(np.linalg.det(made.image.affine))
            for made in (coarse, fine)
        ]
        assert volumes[0] == pytest.approx(volumes[1], rel=0.02)


@pytest.mark.parametrize(("pose", "letters"), [("supine", (1, 1, 1)), ("prone", (-1, -1, 1))])
def test_pose_is_in_the_affine_and_the_breasts_lie_where_they_belong(pose, letters):
    made = phantom(pose)
    assert anatomy_of(made.image.affine).signs == letters
    right, left = (positions(made, made.breasts == side) for side in (RIGHT, LEFT))
    assert right[:, 0].max() < 0 < left[:, 0].min()
    heart = positions(made, made.tissues == Tissue.HEART)
    assert max(right[:, 1].mean(), left[:, 1].mean()) < heart[:, 1].mean()
    liver = positions(made, made.tissues == Tissue.LIVER)
    assert liver[:, 0].mean() < 0
    assert liver[:, 2].mean() < heart[:, 2].mean()


def test_hanging_breasts_reach_further_from_the_chest_wall():
    def depth(pose):
        made = phantom(pose)
        bone = positions(made, made.tissues == Tissue.CORTICAL_BONE)
        return bone[:, 1].min() - positions(made, made.breasts > 0)[:, 1].min()

    assert depth("prone") > depth("supine") + 20


@pytest.mark.parametrize(
    "tissue",
    [Tissue.FAT, Tissue.MUSCLE, Tissue.HEART, Tissue.LIVER, Tissue.LESION, Tissue.AIR],
)
def test_tissues_have_their_hu(tissue):
    made = phantom(noise_hu=0.0, shape=(24, 160, 160), diameters_mm=(30.0, 34.0))
    within = ndimage.binary_erosion(made.tissues == tissue, np.ones((1, 3, 3)), iterations=2)
    if tissue == Tissue.LESION:
        within &= made.labels == 1
    assert within.sum() > 20
    expected = made.anatomy.hu.get(tissue, made.lesions[0].hu)
    spread = 12 if tissue in (Tissue.FAT, Tissue.LESION) else 4
    assert np.median(made.image.pixels[within]) == pytest.approx(expected, abs=spread)


@pytest.mark.parametrize("density", DENSITIES)
def test_the_gland_has_the_share_of_its_class(density):
    made = phantom(density=density, num_lesions=0, shape=(24, 96, 96))
    low, high = GLAND_SHARES[density]
    share = (made.tissues[made.breasts > 0] == Tissue.GLAND).mean()
    assert 0.75 * low <= share <= 1.2 * high
    assert share == pytest.approx(made.anatomy.gland_share, rel=0.25)


def test_lesions_lie_in_the_breast_of_their_side_and_are_labelled():
    made = phantom(shape=(48, 128, 128))
    assert len(made.lesions) == 2
    for number, (lesion, side) in enumerate(zip(made.lesions, made.sides, strict=True), start=1):
        mask = made.labels == number
        assert (made.breasts[mask] == side).mean() > 0.9
        assert (lesion.centre[0] < 0) == (side == RIGHT)
        volume = mask.sum() * abs(np.linalg.det(made.image.affine))
        # Spicules thinner than a voxel are not labelled.
        assert 0.6 < volume / lesion.shape.volume_mm3 < 1.15
        centre = positions(made, mask).mean(axis=0)
        assert np.linalg.norm(centre - lesion.centre) < 4


def test_a_phantom_without_lesion_has_an_empty_label_map():
    made = phantom(num_lesions=0)
    assert made.lesions == ()
    assert not made.labels.any()


def test_noise_is_as_strong_as_stated_and_correlated_with_its_neighbours():
    grid: Grid = make_grid((8, 96, 96), (2.5, 1.0, 1.0), (0.0, 0.0, 0.0), prone=False)
    scanner = Scanner(blur_mm=0.5, roll_off_mm=1.5, noise_hu=20.0, streaks=0.0)
    water = np.zeros(grid.shape, np.float32)
    noise = scan(np.random.default_rng(0), water, grid, scanner)
    middle = noise[:, 30:66, 30:66]
    assert middle.std() == pytest.approx(20.0, rel=0.1)
    beside = np.corrcoef(middle[:, :, :-1].ravel(), middle[:, :, 1:].ravel())[0, 1]
    above = np.corrcoef(middle[:-1].ravel(), middle[1:].ravel())[0, 1]
    assert 0.2 < beside < 0.95
    assert 0.1 < above < 0.5
