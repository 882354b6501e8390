import dataclasses

import numpy as np
import pytest

from breastseg.core.errors import GeometryError
from breastseg.core.image import Case, Image

PIXELS = np.zeros((1, 4, 5), np.float32)


def test_spacing_is_the_length_of_the_affine_columns():
    affine = np.diag([2.0, 0.5, 0.25, 1.0])
    turned = affine[:, [0, 2, 1, 3]]
    assert Image(pixels=PIXELS, affine=affine).spacing_mm == (2.0, 0.5, 0.25)
    assert Image(pixels=PIXELS, affine=turned).spacing_mm == (2.0, 0.25, 0.5)


def test_spacing_is_never_guessed():
    assert Image(pixels=PIXELS).spacing_mm is None


def test_a_case_refuses_a_mask_of_another_shape():
    message = r"case 'c1': .* shape \(4, 5\) \(rows, columns\), got \(4, 6\)\. Export the mask"
    with pytest.raises(GeometryError, match=message):
        Case(
            case_id="c1",
            image=Image(pixels=PIXELS),
            reference=np.zeros((1, 4, 6), np.int32),
        )


def test_a_case_may_have_no_reference():
    assert Case(case_id="c1", image=Image(pixels=PIXELS)).reference is None


def test_nouns_are_immutable():
    image = Image(pixels=PIXELS)
    with pytest.raises(dataclasses.FrozenInstanceError):
        image.affine = np.eye(4)
