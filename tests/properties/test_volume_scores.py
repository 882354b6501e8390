"""Scores of volumes: the orientation of the array must not matter, nor what is left out."""

from itertools import permutations

import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from breastseg.core.image import Case, Image
from breastseg.core.lesion import find_lesions
from breastseg.evaluation.case_score import score_case
from breastseg.evaluation.matching import find_candidates, score_detection, shown_mask

SHAPE = (4, 5, 3)
maps = hnp.arrays(np.float32, SHAPE, elements=st.sampled_from([0, 0, 0, 0.2, 0.5, 0.6, 0.75, 1]))
references = hnp.arrays(np.int32, SHAPE, elements=st.sampled_from([0, 0, 0, 0, 1, 2]))
turns = st.tuples(
    st.sampled_from(list(permutations(range(3)))), st.tuples(*[st.sampled_from([1, -1])] * 3)
)


def made(reference, affine):
    return Case(
        case_id="made",
        image=Image(pixels=np.zeros(reference.shape, np.float32), affine=affine),
        reference=reference,
    )


@settings(deadline=None)
@given(maps, references, turns)
def test_turning_a_volume_changes_no_score(probability, reference, turn):
    order, signs = turn

    def turned(array):
        view = array.transpose(order)[tuple(slice(None, None, sign) for sign in signs)]
        return np.ascontiguousarray(view)

    affine = np.diag([2.5, 0.7, 1.1, 1.0])
    columns = affine[:, [*order, 3]] * [*signs, 1]
    pair = made(reference, affine), made(turned(reference), columns)
    first, second = (
        score_detection(case, values, threshold=0.6, group="a")
        for case, values in zip(pair, (probability, turned(probability)), strict=True)
    )
    for one, other in zip(first.lesions, second.lesions, strict=True):
        assert (one.label, one.size_px) == (other.label, other.size_px)
        assert one.diameter == pytest.approx(other.diameter)
    assert sorted(each.size_px for each in first.candidates) == sorted(
        each.size_px for each in second.candidates
    )
    assert len(first.shown) == len(second.shown)
    mask = probability > 0.5
    figures = [
        score_case(case, values, group="a")
        for case, values in zip(pair, (mask, turned(mask)), strict=True)
    ]
    for name in ("dice", "hd95", "assd", "nsd", "size_difference", "pixel_accuracy"):
        one, other = (getattr(each, name) for each in figures)
        assert one == (None if other is None else pytest.approx(other)), name


@given(maps, st.integers(1, 6))
def test_small_candidates_are_left_out_and_the_others_stay(probability, smallest):
    labels, scores = find_candidates(probability)
    kept_labels, kept_scores = find_candidates(probability, smallest_px=smallest)
    sizes = np.bincount(labels.ravel(), minlength=len(scores) + 1)[1:]
    assert kept_scores.tolist() == scores[sizes >= smallest].tolist()
    assert np.array_equal(kept_labels > 0, np.isin(labels, 1 + np.flatnonzero(sizes >= smallest)))
    assert np.unique(kept_labels[kept_labels > 0]).tolist() == list(range(1, 1 + len(kept_scores)))


@given(maps, st.sampled_from([0.3, 0.5, 0.6, 1.0]))
def test_what_is_shown_of_an_image_is_what_its_lesions_are(probability, threshold):
    for plane in probability:
        labels, _ = find_lesions(plane[None], threshold=threshold, spacing_mm=None)
        assert np.array_equal(shown_mask(plane[None], threshold), labels > 0)
