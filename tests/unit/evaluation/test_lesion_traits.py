import numpy as np
import pytest

from breastseg.core.image import Case, Image
from breastseg.evaluation.lesion_traits import breast_densities, density_name, measure_traits

FAT, GLAND, AIR, MUSCLE = -100.0, 40.0, -1000.0, 60.0
MM = (2.0, 1.0, 1.5)


def place(shape=(30, 60, 40)):
    """Positions in mm along each axis, the middle at 0."""
    return np.meshgrid(
        *((np.arange(size) - size // 2) * step for size, step in zip(shape, MM, strict=True)),
        indexing="ij",
    )


def scan(pixels, reference):
    affine = np.eye(4)[[2, 1, 0, 3]] @ np.diag([*MM, 1.0])
    image = Image(pixels=pixels.astype(np.float32), affine=affine)
    return Case(case_id="made", image=image, reference=reference.astype(np.int32))


def ball(z, y, x, radius):
    return z**2 + y**2 + x**2 <= radius**2


@pytest.mark.parametrize(
    ("around", "hu", "surroundings"),
    [
        (FAT, GLAND, "in fat"),
        (GLAND, GLAND + 14, "isodense in gland"),
        (GLAND, GLAND - 14, "isodense in gland"),
        (GLAND, GLAND + 16, "other than gland"),
    ],
)
def test_surroundings_are_those_that_make_a_lesion_hard_to_see(around, hu, surroundings):
    lesion = ball(*place(), 8)
    (traits,) = measure_traits(scan(np.where(lesion, hu, around), lesion))
    assert traits.surroundings == surroundings
    assert traits.mean_hu == pytest.approx(hu)
    assert traits.contrast_hu == pytest.approx(hu - around)
    assert traits.diameter_mm == pytest.approx(16, rel=0.03)
    assert traits.size_name == "10 to 20 mm"
    assert traits.breast_density is None


def test_fat_lowers_the_contrast_to_the_surroundings_and_not_that_to_the_gland():
    z, y, x = place()
    lesion = ball(z, y, x, 8)
    pixels = np.where(lesion, GLAND + 10, np.where(y > 0, GLAND, FAT))
    (traits,) = measure_traits(scan(pixels, lesion))
    assert traits.gland_contrast_hu == pytest.approx(10)
    assert traits.contrast_hu > 60
    assert traits.gland_around == pytest.approx(0.5, abs=0.05)


def test_neither_other_lesions_nor_skin_nor_muscle_belong_to_the_surroundings():
    z, y, x = place()
    first, second = ball(z, y, x, 6), ball(z, y - 9, x, 2)
    pixels = np.where(first, GLAND, np.where(second, 150, FAT)).astype(float)
    pixels[(y < -10) & (y >= -13)] = GLAND  # skin, 3 mm before the air
    pixels[y < -13] = AIR
    pixels[x > 8] = MUSCLE
    region = ((x <= 8) & (y >= -13)).astype(np.uint8)
    case = scan(pixels, first + 2 * second)
    traits, _ = measure_traits(case, region)
    assert traits.gland_around == 0
    assert traits.contrast_hu == pytest.approx(GLAND - FAT)
    without_region, _ = measure_traits(case)
    assert without_region.gland_around > 0


def test_too_little_around_a_lesion_is_not_measured():
    lesion = ball(*place(), 8)
    (traits,) = measure_traits(scan(np.where(lesion, GLAND, AIR), lesion))
    assert (traits.contrast_hu, traits.gland_around, traits.surroundings) == (None, None, None)


def test_density_is_that_of_the_lesion_s_own_breast():
    _, y, x = place()
    lesion = ball(*place(), 3) & (x < 0)
    pixels = np.where((y > 0) & (x < 0), GLAND, FAT)
    region = np.where(x < 0, 1, 2).astype(np.uint8)
    case = scan(np.where(lesion, 200, pixels), lesion)
    densities = breast_densities(case.image, region, case.reference)
    assert densities[1] == pytest.approx(0.5, abs=0.05)
    assert densities[2] == 0
    (traits,) = measure_traits(case, region)
    assert traits.breast_density == densities[1]
    assert traits.density_name == "above 27 %"


def test_a_bound_of_density_belongs_to_the_denser_class():
    assert [density_name(share) for share in (0, 0.06, 0.13, 0.27)] == [
        *("up to 6 %", "6 to 13 %", "13 to 27 %", "above 27 %"),
    ]


def test_the_orientation_of_the_array_changes_nothing():
    z, y, x = place()
    lesion = ball(z - 3, y + 2, x, 7)
    rng = np.random.default_rng(0)
    pixels = np.where(lesion, 70, np.where(y > x, GLAND, FAT)) + rng.normal(0, 5, z.shape)
    case = scan(pixels, lesion)
    turned = Case(
        case_id="turned",
        image=Image(
            pixels=case.image.pixels.transpose(1, 2, 0)[::-1],
            affine=case.image.affine[:, [1, 2, 0, 3]] * [-1, 1, 1, 1],
        ),
        reference=case.reference.transpose(1, 2, 0)[::-1],
    )
    (one,), (other,) = measure_traits(case), measure_traits(turned)
    for name in ("diameter_mm", "mean_hu", "contrast_hu", "gland_contrast_hu", "gland_around"):
        assert getattr(one, name) == pytest.approx(getattr(other, name)), name
