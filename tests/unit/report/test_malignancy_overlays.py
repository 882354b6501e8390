from dataclasses import replace

import numpy as np

from breastseg.inference.class_activation import MalignancyMap
from breastseg.pipeline.preprocess import Letterbox
from breastseg.report.malignancy_overlays import OUTLINE_COLOUR, draw_malignancy

PIXELS = np.random.default_rng(0).uniform(90, 110, (60, 80)).astype(np.float32)
MASK = np.zeros((60, 80), bool)
MASK[20:40, 30:50] = True
PLACES = np.zeros((4, 4), np.float32)
PLACES[2, 0], PLACES[2, 3] = 0.5, -0.5  # the two lower corners of the image
FOUND = MalignancyMap(
    places=PLACES,
    score=0.25,
    bias=0.25,
    against="benign",
    letterbox=Letterbox.fit(PIXELS.shape, 64),
    stride=(16, 16),
)


def drawn(found=FOUND, mask=MASK, longer_side=400):
    return draw_malignancy(PIXELS, mask, found, longer_side=longer_side)


def test_what_speaks_for_malignant_is_red_and_what_speaks_against_it_blue():
    picture = drawn()[:300].astype(int)
    left, middle, right = (
        picture[180:240, columns].mean(axis=(0, 1))
        for columns in (slice(0, 60), slice(195, 205), slice(340, 400))
    )
    assert left[0] > left[2] + 60
    assert right[2] > right[0] + 60
    np.testing.assert_allclose(middle, middle.mean(), atol=1)


def test_the_outline_is_white_and_the_grey_values_show_through():
    plain, outlined = drawn(mask=np.zeros_like(MASK)), drawn()
    white = (outlined[:300] == OUTLINE_COLOUR).all(axis=-1)
    assert white[95:105, 150:250].any()
    assert plain[200:300, :80].std(axis=(0, 1)).min() > 5


def test_weak_maps_look_weak():
    picture = drawn(replace(FOUND, places=PLACES * np.float32(0.01)))[:300].astype(int)
    assert np.abs(picture[..., 0] - picture[..., 2]).max() < 20


def test_a_scale_and_the_sum_stand_below_also_where_the_picture_is_narrow():
    wide = drawn()
    narrow = draw_malignancy(PIXELS[:, :20], MASK[:, :20], FOUND, longer_side=400)
    assert wide.shape[1] == 400
    assert narrow.shape[1] == 133
    for picture, height in ((wide, 300), (narrow, 400)):
        assert (picture[height:] > 200).all(axis=-1).sum() > 100, "letters"
    assert narrow.shape[0] - 400 > wide.shape[0] - 300 > 60


def test_the_scale_has_both_colours():
    bar = drawn()[300:325].astype(int)
    assert (bar[..., 0] - bar[..., 2]).max() > 80
    assert (bar[..., 2] - bar[..., 0]).max() > 80
