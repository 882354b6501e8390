"""Where a finding lies: against hand-made slabs, and phantoms whose truth is known."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage

from breastseg.core.errors import GeometryError
from breastseg.core.image import Image
from breastseg.datasets.phantom_ct.anatomy import Tissue
from breastseg.datasets.phantom_ct.phantom import PhantomSettings, make_phantom_ct
from breastseg.pipeline.breast_position import find_nipples, locate, locate_lesions
from breastseg.pipeline.breast_region import SIDES, BreastRegion, find_breasts

AIR, FAT = -1000.0, -100.0
MM = (5.0, 2.0, 2.0)
AFFINE = np.eye(4)[[2, 1, 0, 3]] * [*MM, 1]
SKIN_ROW, WALL_ROW = 10, 40


def slab():
    """Return a body that begins at a row, with both breasts before a flat chest wall."""
    pixels = np.full((12, 60, 60), FAT, np.float32)
    pixels[:, :SKIN_ROW] = AIR
    labels = np.zeros(pixels.shape, np.uint8)
    labels[:, SKIN_ROW:WALL_ROW, :30] = SIDES["right"]
    labels[:, SKIN_ROW:WALL_ROW, 30:] = SIDES["left"]
    levels, columns = np.mgrid[0:12, 0:60]
    rows = np.full(levels.size, WALL_ROW)
    wall = np.stack([columns.ravel() * 2.0, rows * 2.0, levels.ravel() * 5.0], axis=1)
    region = BreastRegion(labels=labels, sides=(), refusal=None, num_slices=12, chest_wall=wall)
    return region, Image(pixels=pixels, affine=AFFINE)


def one_voxel(shape, place):
    mask = np.zeros(shape, bool)
    mask[place] = True
    return mask


@pytest.mark.parametrize(("column", "side"), [(5, "right"), (50, "left")])
def test_depths_are_those_of_a_flat_skin_and_wall(column, side):
    region, image = slab()
    found = locate(region, image, one_voxel(image.pixels.shape, (6, 15, column)))
    assert found.side == side
    assert found.inside_share == 1
    # The skin lies on the face between rows 9 and 10, the wall on the middle of row 40.
    assert found.skin_mm == pytest.approx((15 - 9.5) * 2)
    assert found.chest_wall_mm == pytest.approx((WALL_ROW - 15) * 2)


def test_depths_are_those_of_the_nearest_voxel():
    region, image = slab()
    mask = np.zeros(image.pixels.shape, bool)
    mask[4:7, 20:30, 5:9] = True
    found = locate(region, image, mask)
    assert found.skin_mm == pytest.approx((20 - 9.5) * 2)
    assert found.chest_wall_mm == pytest.approx((WALL_ROW - 29) * 2)


def test_a_finding_in_the_chest_has_no_position():
    region, image = slab()
    found = locate(region, image, one_voxel(image.pixels.shape, (6, 50, 10)))
    assert found.side is None
    assert found.inside_share == 0
    assert (found.skin_mm, found.chest_wall_mm, found.nipple_mm, found.quadrant) == (None,) * 4


def test_a_finding_across_the_border_says_how_much_is_inside():
    region, image = slab()
    mask = np.zeros(image.pixels.shape, bool)
    mask[6, 37:41, 10] = True
    found = locate(region, image, mask)
    assert found.side == "right"
    assert found.inside_share == pytest.approx(0.75)


def test_nothing_drawn_is_nowhere():
    region, image = slab()
    assert locate(region, image, np.zeros(image.pixels.shape, bool)).side is None
    assert locate_lesions(region, image, np.zeros(image.pixels.shape, np.int32)) == {}


def test_without_chest_wall_and_skin_they_are_not_known():
    region, image = slab()
    bare = replace(region, chest_wall=np.empty((0, 3)))
    solid = Image(pixels=np.full(image.pixels.shape, FAT, np.float32), affine=AFFINE)
    found = locate(bare, solid, one_voxel(image.pixels.shape, (6, 15, 5)))
    assert found.side == "right"
    assert (found.skin_mm, found.chest_wall_mm) == (None, None)


def test_the_edge_of_the_picture_is_no_skin():
    region, image = slab()
    pixels = image.pixels.copy()
    pixels[:, :, 0] = AIR
    labels = region.labels.copy()
    labels[:, :, 0] = 0
    cut = replace(region, labels=labels)
    found = locate(cut, Image(pixels=pixels, affine=AFFINE), one_voxel(pixels.shape, (6, 35, 2)))
    assert found.skin_mm < (35 - 9.5) * 2
    round_field = np.hypot(*np.mgrid[-1:1:60j, -1:1:60j]) > 1
    pixels = np.where(round_field, AIR, FAT).astype(np.float32)[None].repeat(12, axis=0)
    labels = np.where(round_field, 0, 1).astype(np.uint8)[None].repeat(12, axis=0)
    whole = replace(region, labels=labels)
    found = locate(whole, Image(pixels=pixels, affine=AFFINE), one_voxel(pixels.shape, (6, 30, 30)))
    assert found.skin_mm is None


def test_shapes_that_differ_are_refused():
    region, image = slab()
    with pytest.raises(GeometryError, match="the image's shape"):
        locate(region, image, np.zeros((1, 2, 3), bool))
    with pytest.raises(GeometryError, match="find_breasts"):
        find_nipples(region, Image(pixels=np.zeros((1, 2, 3), np.float32), affine=AFFINE))
    with pytest.raises(GeometryError, match="affine"):
        find_nipples(region, replace(image, affine=None))


# --- on phantoms --------------------------------------------------------------------------------


@pytest.fixture(scope="module", params=["supine", "prone"])
def scan(request):
    """Return a phantom and its region."""
    settings = PhantomSettings(shape=(60, 128, 128), pose=request.param, num_lesions=3)
    phantom = make_phantom_ct(3, 1, settings)
    return phantom, find_breasts(phantom.image)


def test_the_breasts_of_phantoms_are_found(scan):
    phantom, region = scan
    for number in SIDES.values():
        found, true = region.labels == number, phantom.breasts == number
        assert np.count_nonzero(found & true) > 0.85 * np.count_nonzero(true)
        assert 2 * np.count_nonzero(found & true) > 0.7 * (found.sum() + true.sum())


def test_the_lesions_of_phantoms_lie_in_the_region(scan):
    phantom, region = scan
    found = locate_lesions(region, phantom.image, phantom.labels)
    assert [SIDES[found[number].side] for number in found] == [*phantom.sides]
    assert all(each.inside_share > 0.95 for each in found.values())


def test_depths_of_lesions_are_those_of_the_phantom(scan):
    phantom, region = scan
    spacing = phantom.image.spacing_mm
    air = np.isin(phantom.tissues, (Tissue.AIR, Tissue.TABLE))
    wall = np.isin(phantom.tissues, (Tissue.MUSCLE, Tissue.CARTILAGE, Tissue.CORTICAL_BONE))
    to_air, to_wall = (
        ndimage.distance_transform_edt(~each, sampling=spacing) for each in (air, wall)
    )
    for number, found in locate_lesions(region, phantom.image, phantom.labels).items():
        lesion = phantom.labels == number
        assert found.skin_mm == pytest.approx(to_air[lesion].min(), abs=4)
        assert found.chest_wall_mm == pytest.approx(to_wall[lesion].min(), abs=7)


def nipples_of(phantom):
    affine = phantom.image.affine
    for side, number in SIDES.items():
        places = np.argwhere((phantom.tissues == Tissue.NIPPLE) & (phantom.breasts == number))
        yield side, places @ affine[:3, :3].T + affine[:3, 3]


def test_nipples_are_found(scan):
    phantom, region = scan
    found = find_nipples(region, phantom.image)
    for side, places in nipples_of(phantom):
        assert np.linalg.norm(places - found[side].position, axis=1).min() < 8
        assert found[side].outward[1] < 0


def test_quadrants_are_those_around_the_nipple(scan):
    phantom, region = scan
    image = phantom.image
    for side, sign in (("right", -1), ("left", 1)):
        nipple = find_nipples(region, image)[side]
        lateral = np.array([-nipple.outward[1], nipple.outward[0], 0]) * sign
        assert lateral[0] * sign > 0
        for quadrant, across, up in (
            ("upper outer", 20, 20),
            ("upper inner", -20, 20),
            ("lower outer", 20, -20),
            ("lower inner", -20, -20),
            ("central", 0, 0),
        ):
            point = nipple.position - 25 * nipple.outward + across * lateral + [0, 0, up]
            place = np.linalg.solve(image.affine[:3, :3], point - image.affine[:3, 3])
            mask = one_voxel(image.pixels.shape, tuple(np.rint(place).astype(int)))
            found = locate(region, image, mask)
            assert (found.side, found.quadrant) == (side, quadrant)
            assert found.nipple_mm == pytest.approx(np.linalg.norm([25, across, up]), abs=3)


def test_the_position_does_not_depend_on_the_order_of_the_axes(scan):
    phantom, region = scan
    step = np.eye(4)
    step[1, 1], step[1, 3] = -1, phantom.image.pixels.shape[1] - 1
    pixels = np.transpose(phantom.image.pixels[:, ::-1], (2, 0, 1)).copy()
    turned = Image(pixels=pixels, affine=(phantom.image.affine @ step)[:, [2, 0, 1, 3]])
    labels = np.transpose(phantom.labels[:, ::-1], (2, 0, 1)).copy()
    here = locate_lesions(region, phantom.image, phantom.labels)
    there = locate_lesions(find_breasts(turned), turned, labels)
    for number, found in here.items():
        assert there[number].side == found.side
        assert there[number].quadrant == found.quadrant
        assert there[number].skin_mm == pytest.approx(found.skin_mm)
        assert there[number].chest_wall_mm == pytest.approx(found.chest_wall_mm)


def test_a_cut_through_the_nipples_tells_none(scan):
    phantom, _ = scan
    affine = phantom.image.affine
    height = [places[:, 2].mean() for _, places in nipples_of(phantom)]
    level = int(np.rint((np.mean(height) - affine[2, 3]) / affine[2, 0]))
    half = Image(pixels=phantom.image.pixels[: level + 1].copy(), affine=affine)
    assert find_nipples(find_breasts(half), half) == {}
