import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from breastseg.core.image import Case, Image
from breastseg.evaluation.case_score import score_case
from breastseg.evaluation.comparison import compare_pairs, holm
from breastseg.evaluation.scorecard import Contender

probabilities = st.lists(st.floats(1e-4, 1), max_size=8)


def contender(name, shift, *, num_cases=12, lesion=True):
    """Return scores of a square that is found `shift` pixels beside where it is."""
    scores = []
    for number in range(num_cases):
        reference = np.zeros((1, 20, 20), np.int32)
        if lesion:
            reference[0, 4:12, 4:12] = 1
        image = Image(pixels=np.zeros((1, 20, 20), np.float32))
        case = Case(case_id=f"c{number}", image=image, reference=reference)
        moved = np.roll(reference > 0, shift + number % 2, axis=2)
        scores.append(score_case(case, moved, group=f"g{number}"))
    return Contender(name=name, scores=scores)


def test_holm_by_hand():
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.5, 0.6]) == [1.0, 1.0]
    assert holm([0.02]) == [0.02]
    assert holm([]) == []


@given(probabilities)
def test_holm_never_lowers_a_value_and_keeps_their_order(values):
    adjusted = holm(values)
    assert all(p <= q <= 1 for p, q in zip(values, adjusted, strict=True))
    ranked = sorted(zip(values, adjusted, strict=True))
    assert [q for _, q in ranked] == sorted(adjusted)


def test_every_pair_is_compared_once_in_the_order_given():
    models = [contender("a", 0), contender("b", 1), contender("c", 4)]
    pairs = compare_pairs(models)
    assert [(pair.first, pair.second) for pair in pairs] == [("a", "b"), ("a", "c"), ("b", "c")]
    assert all(pair.difference.mean > 0 for pair in pairs)
    assert all(pair.difference.p_value <= pair.p_holm < 0.05 for pair in pairs)


def test_a_model_does_not_differ_from_itself():
    (pair,) = compare_pairs([contender("a", 2), contender("b", 2)])
    assert pair.difference.mean == 0
    assert pair.p_holm == 1.0


def test_without_a_lesion_nothing_is_compared():
    assert compare_pairs([contender("a", 0, lesion=False), contender("b", 1, lesion=False)]) == ()
