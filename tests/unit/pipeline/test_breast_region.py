"""The breast region on crude phantoms: a trunk, lungs, a rib cage, and breasts of known place."""

from dataclasses import dataclass, replace

import numpy as np
import pytest

from breastseg.core.errors import GeometryError
from breastseg.core.image import Image
from breastseg.pipeline.breast_region import find_breasts
from breastseg.pipeline.chest_tissue import block_mean

AIR, FAT, MUSCLE, BONE, LUNG, GLAND = -1000.0, -100.0, 50.0, 600.0, -800.0, 30.0
MM = 4.0
# Slices to the head, rows to posterior, columns to the patient's left.
STANDARD = np.array([[0, 0, MM, -220.0], [0, MM, 0, -160.0], [MM, 0, 0, -100.0], [0, 0, 0, 1.0]])
RIGHT, LEFT = 1, 2


@dataclass(frozen=True)
class Chest:
    """What is in a phantom; prone breasts hang, supine ones lie flat upon the chest."""

    right: bool = True
    left: bool = True
    lungs: bool = True
    prone: bool = False
    table: bool = True
    gland: bool = True
    fat_mm: float = 8.0

    def made(self):
        """Return the image and its true breasts."""
        z, y, x = np.mgrid[-100:101:MM, -160:121:MM, -220:221:MM].astype(np.float32)
        cage = np.hypot(x / 140, y / 90)
        trunk = np.hypot(x / (148 + self.fat_mm), y / (98 + self.fat_mm))
        hu = np.where(trunk < 1, FAT, AIR)
        truth = np.zeros(hu.shape, np.uint8)
        for present, sign, label in ((self.right, -1, RIGHT), (self.left, 1, LEFT)):
            if present:
                self._add_breast(hu, truth, (z, y, x * sign), label)
        muscle = np.hypot(x / 148, y / 98) < 1
        hu[muscle] = MUSCLE
        truth[muscle] = 0
        # Ribs slope in no phantom of this kind, but they leave gaps.
        ribs = (cage < 1) & (np.hypot(x / 132, y / 82) > 1) & (np.mod(z, 24) < 12)
        hu[ribs] = BONE
        hu[(np.abs(x) < 20) & (y < -78) & (cage < 1)] = BONE
        hu[(np.abs(x) < 16) & (y > 62) & (y < 84)] = BONE
        if self.lungs:
            hu[(np.hypot((np.abs(x) - 70) / 58, y / 74) < 1)] = LUNG
        if self.table:
            hu[np.abs(y - (-152 if self.prone else 112)) < 3] = 100
        return Image(pixels=hu.astype(np.float32), affine=STANDARD), truth

    def _add_breast(self, hu, truth, at, label):
        z, y, x = at
        depth, middle = (55, -95) if self.prone else (45, -80)
        breast = np.sqrt(((x - 75) / 60) ** 2 + ((y - middle) / depth) ** 2 + (z / 65) ** 2) < 1
        hu[breast] = FAT
        truth[breast] = label
        if self.gland:
            front = middle - 0.55 * depth
            inner = np.sqrt(((x - 80) / 28) ** 2 + ((y - front) / 12) ** 2 + (z / 32) ** 2) < 1
            hu[inner] = GLAND


def dice(labels, truth, number):
    first, second = labels == number, truth == number
    return 2 * np.count_nonzero(first & second) / (first.sum() + second.sum())


def recall(labels, truth, number):
    return np.count_nonzero((labels == number) & (truth == number)) / np.count_nonzero(
        truth == number
    )


@pytest.fixture(scope="module")
def supine():
    image, truth = Chest().made()
    return image, truth, find_breasts(image)


@pytest.mark.parametrize("prone", [False, True])
def test_both_breasts_are_found_whole(prone):
    image, truth = Chest(prone=prone).made()
    found = find_breasts(image)
    for number in (RIGHT, LEFT):
        # What is missing is the rim, where the layer is hardly thicker than skin and fat.
        assert recall(found.labels, truth, number) > 0.85
        assert dice(found.labels, truth, number) > 0.9
    assert [side.side for side in found.sides] == ["right", "left"]
    assert all(not side.flat and side.cut_by == () for side in found.sides)


def test_neither_chest_nor_table_nor_air_belongs_to_it(supine):
    image, _, found = supine
    inside = found.labels > 0
    assert image.pixels[inside].min() >= FAT
    assert not (inside & (image.pixels == BONE)).any()
    assert np.mean(image.pixels[inside] == MUSCLE) < 0.05


def test_volumes_are_those_of_the_labels(supine):
    _, _, found = supine
    for side, number in zip(found.sides, (RIGHT, LEFT), strict=True):
        assert side.volume_ml == pytest.approx((found.labels == number).sum() * MM**3 / 1000)


AXES = [(0, 1, 2), (2, 1, 0), (1, 2, 0), (0, 2, 1)]


@pytest.mark.parametrize("order", AXES)
@pytest.mark.parametrize("flips", [(), (0,), (1, 2), (0, 1, 2)])
def test_the_result_follows_the_affine_alone(supine, order, flips):
    image, _, found = supine
    turned, labels, affine = image.pixels, found.labels, image.affine
    for axis in flips:
        step = np.eye(4)
        step[axis, axis], step[axis, 3] = -1, turned.shape[axis] - 1
        turned, labels, affine = np.flip(turned, axis), np.flip(labels, axis), affine @ step
    turned, labels = np.transpose(turned, order), np.transpose(labels, order)
    affine = affine[:, [*order, 3]]
    again = find_breasts(Image(pixels=np.ascontiguousarray(turned), affine=affine))
    assert np.array_equal(again.labels, labels)
    assert again.in_words() == found.in_words()


def test_a_mirrored_patient_has_the_sides_exchanged():
    image, _ = Chest(left=False).made()
    mirrored = Image(pixels=image.pixels[:, :, ::-1].copy(), affine=image.affine)
    once, again = find_breasts(image), find_breasts(mirrored)
    assert [side.side for side in once.sides if not side.flat] == ["right"]
    assert [side.side for side in again.sides if not side.flat] == ["left"]


def test_the_side_of_a_mastectomy_is_empty_or_said_to_be_flat():
    image, truth = Chest(right=False).made()
    found = find_breasts(image)
    assert dice(found.labels, truth, LEFT) > 0.75
    assert all(side.flat for side in found.sides if side.side == "right")
    assert "Right: no breast found." in found.in_words()


def test_fat_without_gland_on_both_sides_is_said_to_be_flat():
    image, _ = Chest(right=False, left=False, fat_mm=26).made()
    found = find_breasts(image)
    assert [side.flat for side in found.sides] == [True, True]
    assert all("hardly any gland" in line for line in found.in_words())


def test_thin_skin_alone_is_no_breast():
    image, _ = Chest(right=False, left=False, fat_mm=4).made()
    found = find_breasts(image)
    assert found.sides == ()
    assert not found.labels.any()
    assert found.refusal is not None
    assert "No breast" in found.refusal


def test_without_lungs_there_is_no_chest():
    image, _ = Chest(lungs=False).made()
    found = find_breasts(image)
    assert found.in_words() == ("No breast: no lung was found, so this is no scan of the chest.",)
    assert not found.labels.any()


@pytest.mark.parametrize("value", [-1024.0, 0.0, 40.0])
def test_a_picture_of_one_value_has_no_breast(value):
    pixels = np.full((4, 32, 32), value, np.float32)
    assert find_breasts(Image(pixels=pixels, affine=STANDARD)).refusal


def cropped(image, truth, place):
    start = np.array([each.start or 0 for each in place])
    affine = image.affine.copy()
    affine[:3, 3] += affine[:3, :3] @ start
    return replace(image, pixels=image.pixels[place].copy(), affine=affine), truth[place]


@pytest.mark.parametrize(
    ("place", "cut"),
    [
        (np.s_[25:, :, :], "lowest slice"),
        (np.s_[:26, :, :], "uppermost slice"),
        (np.s_[:, 12:, :], "field of view"),
    ],
)
def test_what_cuts_a_breast_off_is_said(place, cut):
    image, truth = cropped(*Chest().made(), place)
    found = find_breasts(image)
    for side, number in zip(found.sides, (RIGHT, LEFT), strict=True):
        assert side.cut_by == (cut,)
        assert not side.flat
        assert recall(found.labels, truth, number) > 0.75
    assert all(f"cut off by the {cut}" in line for line in found.in_words())


def test_a_round_field_of_view_cuts_too():
    image, _ = cropped(*Chest(table=False).made(), np.s_[:, 8:-4, :])
    pixels = image.pixels.copy()
    _, rows, columns = pixels.shape
    down, across = np.mgrid[:rows, :columns]
    radius = np.hypot(
        (down - (rows - 1) / 2) / (rows / 2), (across - (columns - 1) / 2) / (columns / 2)
    )
    pixels[:, radius > 1] = -1024
    assert all(side.cut_by == () for side in find_breasts(image).sides)
    found = find_breasts(replace(image, pixels=pixels))
    assert all("field of view" in side.cut_by for side in found.sides)


def test_a_single_slice_shows_breasts_and_says_that_it_is_one():
    image, truth = cropped(*Chest().made(), np.s_[25:26, :, :])
    found = find_breasts(image)
    assert [side.side for side in found.sides] == ["right", "left"]
    assert dice(found.labels, truth, LEFT) > 0.8
    assert "A single slice: the volumes are those of the slice." in found.in_words()


def test_thin_slices_and_small_pixels_give_the_same_breasts(supine):
    image, _, found = supine
    fine = np.repeat(np.repeat(np.repeat(image.pixels, 3, 0), 3, 1), 3, 2)[:-1, :-2]
    affine = image.affine.copy()
    affine[:3, 3] -= affine[:3, :3] @ np.full(3, 1 / 3)
    affine[:3, :3] /= 3
    again = find_breasts(Image(pixels=fine, affine=affine))
    assert again.labels.shape == fine.shape
    for before, after in zip(found.sides, again.sides, strict=True):
        assert after.volume_ml == pytest.approx(before.volume_ml, rel=0.2)


def test_noise_does_not_matter(supine):
    image, _, found = supine
    noise = np.random.default_rng(5).normal(0, 25, image.pixels.shape).astype(np.float32)
    again = find_breasts(replace(image, pixels=image.pixels + noise))
    for number in (RIGHT, LEFT):
        assert dice(again.labels, found.labels, number) > 0.95


def test_an_image_without_affine_is_refused():
    with pytest.raises(GeometryError, match="affine is missing"):
        find_breasts(Image(pixels=np.zeros((1, 8, 8), np.float32)))


def test_block_means_leave_out_what_is_left_over():
    pixels = np.arange(2 * 5 * 7, dtype=np.float32).reshape(2, 5, 7)
    means = block_mean(pixels, (2, 2, 3))
    assert means.shape == (1, 2, 2)
    assert means[0, 0, 0] == pytest.approx(pixels[:, :2, :3].mean())
    assert means[0, 1, 1] == pytest.approx(pixels[:, 2:4, 3:6].mean())
