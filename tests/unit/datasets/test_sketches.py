import io

import cv2
import numpy as np
import pytest
from PIL import Image as Pillow

from breastseg.datasets import sketches
from breastseg.datasets.layouts import find_data_set
from breastseg.datasets.near_duplicates import likeness
from breastseg.datasets.signatures import signature_of
from breastseg.datasets.sketches import SAME_PICTURE, nearest, read_and_sketch, sketches_of
from breastseg.io.raster import read_luminance


@pytest.fixture(scope="module")
def pictures(phantom_data):
    """Return the pixels of all phantoms."""
    return [read_luminance(case.image_path) for case in find_data_set(phantom_data).cases]


def sketch(*pictures):
    return sketches_of([signature_of(np.ascontiguousarray(each, np.float32)) for each in pictures])


def saved_as_jpeg(pixels):
    file = io.BytesIO()
    Pillow.fromarray(pixels.astype(np.uint8)).save(file, "JPEG", quality=30)
    with Pillow.open(file) as picture:
        return np.asarray(picture)


def resized(pixels):
    return cv2.resize(pixels, None, fx=0.4, fy=0.4, interpolation=cv2.INTER_AREA)


def cropped(pixels):
    rows, columns = pixels.shape
    return pixels[round(0.05 * rows) : round(0.97 * rows), : round(0.95 * columns)]


CHANGES = {
    "saved as JPEG": saved_as_jpeg,
    "resized": resized,
    "mirrored": np.fliplr,
    "cropped": cropped,
    "brightened": lambda pixels: np.clip(pixels * 1.3 + 10, 0, 255),
    "all of it": lambda pixels: saved_as_jpeg(resized(np.fliplr(cropped(pixels)))),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_changed_copy_is_most_like_its_picture(pictures, change):
    new = sketch(*(change(pixels) for pixels in pictures))
    found = nearest(new, sketch(*pictures))
    assert found.place.tolist() == list(range(len(pictures)))
    assert found.likeness.min() >= SAME_PICTURE


def test_a_picture_of_which_only_the_crop_is_known_is_found_too(pictures):
    known = sketch(*(cropped(pixels) for pixels in pictures))
    assert nearest(sketch(*pictures), known).likeness.min() >= SAME_PICTURE


def test_other_pictures_are_not_taken_for_copies(pictures):
    half = len(pictures) // 2
    found = nearest(sketch(*pictures[:half]), sketch(*pictures[half:]))
    assert found.likeness.max() < SAME_PICTURE


def test_the_likeness_is_that_of_signatures(pictures):
    """But for what lies above the frequencies of a sketch, and the rounding to bytes."""
    signatures = [signature_of(pixels) for pixels in pictures[:6]]
    found = nearest(sketches_of(signatures[:1]), sketches_of(signatures[1:]))
    expected = [likeness(signatures[0], other)[0] for other in signatures[1:]]
    assert found.likeness[0] == pytest.approx(max(expected), abs=0.02)
    assert found.place[0] == np.argmax(expected)


def test_blocks_of_pairs_change_nothing(pictures, monkeypatch):
    new, known = sketch(*pictures[:9]), sketch(*pictures[5:])
    whole = nearest(new, known)
    monkeypatch.setattr(sketches, "_NEW", 4)
    monkeypatch.setattr(sketches, "_KNOWN", 7)
    told = []
    blocks = nearest(new, known, progress=lambda *done: told.append(done))
    assert told == [(done, 9) for done in range(1, 10)]
    np.testing.assert_allclose(blocks.likeness, whole.likeness, rtol=1e-5)
    assert blocks.place.tolist() == whole.place.tolist()


@pytest.mark.parametrize("value", [0.0, 7.0])
def test_a_picture_of_one_grey_value_is_like_no_scan(pictures, value):
    blank = sketch(np.full((40, 50), value))
    assert nearest(blank, sketch(*pictures)).likeness[0] < 0.5


def test_images_are_sketched_in_the_order_of_the_cases(phantom_data, pictures):
    told = []
    cases = find_data_set(phantom_data).cases
    found = read_and_sketch(cases, lambda *done: told.append(done))
    np.testing.assert_array_equal(found, sketch(*pictures))
    assert told[-1][1:] == (24, 24)
    assert read_and_sketch([], lambda *done: None).shape == (0, 16, 16)
