import numpy as np
import pytest

from breastseg.core.errors import GeometryError
from breastseg.core.image import Image
from breastseg.datasets.phantom_ct.insertion import insert_lesions

SHAPE, NOISE_HU = (20, 80, 80), 15.0


@pytest.fixture(scope="module")
def scan():
    """Return a block of gland with noise, and one breast in its left half."""
    random = np.random.default_rng(1)
    pixels = (35 + NOISE_HU * random.standard_normal(SHAPE)).astype(np.float32).round()
    affine = np.eye(4)[[2, 1, 0, 3]] * [2.0, 0.8, 0.8, 1.0]
    breasts = np.zeros(SHAPE, np.uint8)
    breasts[:, 10:70, 10:70] = 2
    return Image(pixels=pixels, affine=affine), breasts


def inserted(scan, **changes):
    options = {"count": 1, "diameters_mm": (14.0, 16.0), "phase": "venous"} | changes
    return insert_lesions(np.random.default_rng(4), *scan, **options)


def test_what_is_not_near_a_lesion_stays_as_it_was(scan):
    made = inserted(scan)
    far = np.ones(SHAPE, np.bool_)
    low, high = (np.argwhere(made.labels).min(0) - 6, np.argwhere(made.labels).max(0) + 7)
    far[tuple(slice(max(start, 0), stop) for start, stop in zip(low, high, strict=True))] = False
    np.testing.assert_array_equal(made.image.pixels[far], scan[0].pixels[far])
    assert made.sides == (2,)


def test_the_inside_has_the_hu_of_the_lesion_and_the_noise_of_the_scan(scan):
    made = inserted(scan)
    lesion = made.lesions[0]
    grid = np.argwhere(made.labels)
    inner = np.linalg.norm(grid * [2.0, 0.8, 0.8] - lesion.centre[::-1], axis=1) < 4.5
    values = made.image.pixels[tuple(grid[inner].T)]
    assert lesion.contrast_hu > 5
    assert values.mean() == pytest.approx(lesion.hu, abs=5)
    assert 0.7 * NOISE_HU < values.std() < 1.4 * NOISE_HU


def test_the_same_stream_gives_the_same_scan(scan):
    np.testing.assert_array_equal(inserted(scan).image.pixels, inserted(scan).image.pixels)


def test_where_there_is_no_room_nothing_is_inserted(scan):
    image, breasts = scan
    made = inserted((image, np.zeros_like(breasts)))
    assert made.lesions == ()
    np.testing.assert_array_equal(made.image.pixels, image.pixels)


def test_a_mask_on_another_grid_is_refused(scan):
    image, breasts = scan
    with pytest.raises(GeometryError, match="shape"):
        inserted((image, breasts[1:]))


def test_an_oblique_scan_is_refused(scan):
    image, breasts = scan
    turned = image.affine.copy()
    turned[:3, 1:3] = [[0.5, 0.6], [0.6, -0.5], [0.0, 0.0]]
    with pytest.raises(GeometryError, match="axial"):
        inserted((Image(pixels=image.pixels, affine=turned), breasts))
