import numpy as np
import pytest

from breastseg.core.calibration import Bounds, Calibration, ConformalThreshold
from breastseg.core.errors import GeometryError
from breastseg.report.bounds_overlays import (
    INNER_COLOUR,
    OUTER_COLOUR,
    bounds_jpeg,
    draw_bounds,
    draw_prediction,
    guarantees_in_words,
)
from breastseg.report.overlays import MODEL_COLOUR, READER_COLOUR

PIXELS = np.random.default_rng(0).uniform(0, 200, (60, 80)).astype(np.float32)


def square(margin):
    mask = np.zeros((1, 60, 80), bool)
    mask[0, margin : 60 - margin, margin : 80 - margin] = True
    return mask


def bounds(*, outer=None, inner=None, abstains=False):
    return Bounds(outer=outer, inner=inner, outer_share=0.5, abstains=abstains)


def colours_in(picture):
    return {
        name
        for name, colour in (
            *(("model", MODEL_COLOUR), ("reader", READER_COLOUR)),
            *(("outer", OUTER_COLOUR), ("inner", INNER_COLOUR)),
        )
        if (picture == np.array(colour, np.uint8)).all(axis=-1).any()
    }


def drawn(given):
    return draw_bounds(PIXELS, square(16)[0], square(18)[0], given, longer_side=400)


def test_all_four_outlines_are_drawn():
    picture = drawn(bounds(outer=square(8), inner=square(24)))
    assert picture.shape == (300, 400, 3)
    assert colours_in(picture) == {"model", "reader", "outer", "inner"}


def test_an_abstaining_model_says_so_and_draws_no_outer_outline():
    sure, unsure = (
        drawn(bounds(outer=square(1), inner=square(24), abstains=abstains))
        for abstains in (False, True)
    )
    assert colours_in(sure) - colours_in(unsure) == {"outer"}
    badge = (unsure != drawn(bounds(inner=square(24)))).any(axis=-1)
    rows, columns = np.nonzero(badge)
    assert rows.max() < 40
    assert columns.min() > 300
    assert (unsure[badge] == 255).all(axis=-1).sum() > 50  # white letters


def test_what_has_no_guarantee_is_not_drawn():
    assert colours_in(drawn(bounds())) == {"model", "reader"}


def test_a_bound_of_another_shape_is_refused():
    with pytest.raises(GeometryError, match="shape"):
        drawn(bounds(outer=np.zeros((1, 5, 5), bool)))


def test_a_prediction_has_contours_where_something_is_guaranteed():
    plain, both, unsure = (
        draw_prediction(PIXELS, square(16)[0], (), given)
        for given in (
            None,
            bounds(outer=square(8), inner=square(24)),
            bounds(outer=square(1), inner=square(24), abstains=True),
        )
    )
    assert colours_in(plain) == {"model"}
    assert colours_in(both) == {"model", "outer", "inner"}
    assert colours_in(unsure) == {"model", "inner"}
    legend = both[576:]
    assert colours_in(legend) == {"model", "outer", "inner"}


def test_what_is_guaranteed_is_said_in_words():
    outer, inner = (
        ConformalThreshold(threshold=each, alpha=0.05, tolerance=0.2, num_groups=30)
        for each in (0.1, None)
    )
    assert guarantees_in_words(Calibration(outer=outer, inner=inner)) == {
        "outer": "outer, with 95% confidence: at least 80% of the lesion lies within it"
    }
    assert guarantees_in_words(Calibration()) == {}


def test_the_picture_is_a_jpeg():
    picture = bounds_jpeg(PIXELS, square(16)[0], square(18)[0], bounds(outer=square(8)))
    assert picture.startswith(b"\xff\xd8")
