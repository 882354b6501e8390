import numpy as np
import pytest
from scipy import ndimage

from breastseg.core.image import Image
from breastseg.core.structure import Structure
from breastseg.datasets.inspection.volume_marks import Marks

SHAPE = (4, 10, 10)
IMAGE = Image(pixels=np.zeros(SHAPE, np.float32))


def structure(name, kind=None):
    return Structure(number=1, name=name, kind=kind, num_parts=None)


def box(*edges):
    mask = np.zeros(SHAPE, bool)
    mask[tuple(slice(low, high) for low, high in edges)] = True
    return mask


def marked(*drawn):
    marks = Marks(SHAPE)
    for each, mask in drawn:
        marks.add(each, ndimage.label(mask)[0])
    return marks


BODY = box((0, 4), (0, 10), (0, 9))
SPOT = box((1, 3), (4, 6), (4, 6))


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_the_smaller_of_two_structures_shows(order):
    drawn = [(structure("body"), BODY), (structure("spot"), SPOT)]
    labels = marked(*(drawn[at] for at in order)).labels
    spot = labels[1, 4, 4]
    assert ((labels == spot) == SPOT).all()
    assert ((labels > 0) == BODY).all()


@pytest.mark.parametrize(
    ("name", "kind"), [("Tumor_c40", "ORGAN"), ("x", "GTV"), ("s1", "Mass"), ("LESION 2", None)]
)
def test_a_lesion_is_looked_at_rather_than_an_organ(name, kind):
    sight = marked((structure("body", "EXTERNAL"), BODY), (structure(name, kind), SPOT)).sight(
        "ct", IMAGE
    )
    assert sight.through == name
    assert ((sight.labels == sight.number) == SPOT).all()


def test_the_largest_part_of_the_largest_lesion_is_looked_at():
    small = box((0, 1), (0, 2), (0, 2))
    two_parts = box((1, 2), (0, 2), (0, 2)) | box((3, 4), (4, 8), (4, 8))
    sight = marked((structure("gtv 1"), small), (structure("gtv 2"), two_parts)).sight("ct", IMAGE)
    assert sight.through == "gtv 2"
    assert np.argwhere(sight.labels == sight.number)[:, 0].tolist() == [3] * 16
    assert np.count_nonzero(sight.labels) == 4 + 4 + 16


def test_a_structure_that_is_covered_is_passed_over():
    ring = box((0, 1), (0, 3), (0, 3))
    sight = marked(
        (structure("tumour"), ring),
        (structure("left"), box((0, 1), (0, 3), (0, 2))),
        (structure("right"), box((0, 1), (0, 3), (2, 3))),
    ).sight("ct", IMAGE)
    assert sight.through == "left"


@pytest.mark.parametrize("drawn", [(), ((structure("empty"), np.zeros(SHAPE, bool)),)])
def test_where_nothing_is_drawn_there_is_nothing_to_look_at(drawn):
    sight = marked(*drawn).sight("ct", IMAGE)
    assert (sight.number, sight.through) == (None, None)
    assert sight.labels.shape == SHAPE
    assert not sight.labels.any()
