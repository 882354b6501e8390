import numpy as np
import pytest

from breastseg.core.errors import GeometryError, InputError
from breastseg.evaluation import overlap

FIGURES = [
    overlap.dice,
    overlap.iou,
    overlap.precision,
    overlap.recall,
    overlap.pixel_accuracy,
]


@pytest.mark.parametrize("figure", FIGURES)
def test_masks_of_another_shape_are_refused_with_both_shapes(figure):
    with pytest.raises(GeometryError, match=r"\(1, 4, 5\).*got \(1, 4, 1\)"):
        figure(np.ones((1, 4, 1), bool), np.ones((1, 4, 5), bool))


@pytest.mark.parametrize("figure", FIGURES)
def test_a_mask_of_255_or_of_lesion_numbers_is_refused(figure):
    mask = np.ones((1, 4, 5), bool)
    with pytest.raises(InputError, match="mask must be boolean, got uint8"):
        figure(mask.astype(np.uint8) * 255, mask)
    with pytest.raises(InputError, match="reference must be boolean, got int32"):
        figure(mask, mask.astype(np.int32))


def test_an_image_without_pixels_is_refused():
    nothing = np.zeros((1, 0, 5), bool)
    with pytest.raises(GeometryError, match="at least one pixel"):
        overlap.pixel_accuracy(nothing, nothing)
