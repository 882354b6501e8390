import numpy as np
import pytest

from breastseg.core.errors import GeometryError, InputError, ReferenceMaskError
from breastseg.core.image import Case, Image
from breastseg.evaluation.matching import (
    equivalent_diameter,
    find_candidates,
    match_lesions,
    score_detection,
)


def labels_of(*rows):
    """A label map drawn as text: digits are labels, a dot is background."""
    return np.array([[[0 if mark == "." else int(mark) for mark in row] for row in rows]], np.int32)


def case_of(reference, **image):
    pixels = np.zeros(reference.shape, np.float32)
    return Case(case_id="c", image=Image(pixels=pixels, **image), reference=reference)


def test_the_most_probable_candidate_takes_the_lesion_and_the_other_is_a_duplicate():
    reference = labels_of("1111111111")
    candidates = labels_of("11.2222222")
    (lesion,), found = match_lesions(candidates, [0.9, 0.8], reference)
    assert (lesion.score, lesion.iou) == (0.9, 0.2)
    assert [each.outcome for each in found] == ["hit", "duplicate"]
    assert [each.lesion for each in found] == [1, None]


def test_of_equally_probable_candidates_the_better_overlap_takes_it():
    reference = labels_of("1111111111")
    candidates = labels_of("11.2222222")
    (lesion,), found = match_lesions(candidates, [1.0, 1.0], reference)
    assert (lesion.score, lesion.iou) == (1.0, 0.7)
    assert [each.outcome for each in found] == ["duplicate", "hit"]


def test_one_candidate_over_two_lesions_finds_the_one_it_covers_better():
    reference = labels_of("11....2222")
    candidates = labels_of("1111111111")
    lesions, (candidate,) = match_lesions(candidates, [0.9], reference)
    assert [lesion.score for lesion in lesions] == [None, 0.9]
    assert (candidate.lesion, candidate.iou) == (2, 0.4)


def test_a_candidate_whose_first_choice_is_taken_finds_its_second():
    reference = labels_of("11112222")
    candidates = labels_of("122222..")
    lesions, found = match_lesions(candidates, [0.9, 0.8], reference)
    # The second covers 3 pixels of lesion 1, IoU 3 of 6, and 2 of lesion 2, IoU 2 of 7.
    assert [lesion.score for lesion in lesions] == [0.9, 0.8]
    assert [lesion.iou for lesion in lesions] == [1 / 4, 2 / 7]
    assert [each.iou for each in found] == [1 / 4, 3 / 6]


def test_an_iou_of_exactly_a_tenth_is_enough_and_less_is_not():
    reference = labels_of("1111111111")
    (lesion,), _ = match_lesions(labels_of("1........."), [0.9], reference)
    assert (lesion.iou, lesion.score) == (0.1, 0.9)
    reference = labels_of("11111111111")
    (lesion,), (candidate,) = match_lesions(labels_of("1.........."), [0.9], reference)
    assert (lesion.iou, lesion.score) == (0.0, None)
    assert (candidate.iou, candidate.outcome) == (1 / 11, "false positive")


def test_a_lesion_in_two_pieces_is_one_by_its_label():
    (lesion,), (candidate,) = match_lesions(labels_of("11......"), [0.7], labels_of("22....22"))
    assert (lesion.label, lesion.size_px, lesion.score) == (2, 4, 0.7)
    assert (candidate.lesion, candidate.iou) == (2, 0.5)


def test_without_lesions_all_candidates_are_false_and_without_candidates_all_lesions_missed():
    empty = labels_of("....")
    lesions, candidates = match_lesions(labels_of("1.2."), [0.5, 0.6], empty)
    assert lesions == ()
    assert [each.outcome for each in candidates] == ["false positive"] * 2
    lesions, candidates = match_lesions(empty, [], labels_of("5.2."))
    assert [lesion.label for lesion in lesions] == [2, 5]
    assert [lesion.score for lesion in lesions] == [None, None]
    assert candidates == ()
    assert match_lesions(empty, [], empty) == ((), ())


def test_diameters_are_those_of_a_disc_or_a_ball_of_the_same_size():
    spacing = (2.0, 0.5, 0.5)
    assert equivalent_diameter(314, is_image=True) == pytest.approx(20, abs=0.01)
    assert equivalent_diameter(314, is_image=True, spacing_mm=spacing) == pytest.approx(
        10, abs=0.01
    )
    # A ball of diameter 6 has 36 pi of volume, about 113; a voxel here has half a mm3.
    assert equivalent_diameter(113, is_image=False) == pytest.approx(6, abs=0.01)
    assert equivalent_diameter(226, is_image=False, spacing_mm=spacing) == pytest.approx(
        6, abs=0.01
    )


def test_candidates_of_a_volume_touch_across_slices():
    probability = np.zeros((3, 4, 4), np.float32)
    probability[0, 0, 0], probability[1, 1, 1], probability[2, 3, 3] = 0.6, 0.9, 0.7
    labels, scores = find_candidates(probability)
    assert scores.round(6).tolist() == [0.9, 0.7]
    assert labels[0, 0, 0] == labels[1, 1, 1] == 1


def test_the_score_of_an_image_is_its_highest_probability_with_a_candidate_or_without():
    reference = labels_of("11..", "....")
    probability = np.full((1, 2, 4), 0.2, np.float32)
    silent = score_detection(case_of(reference), probability, threshold=0.6, group="g")
    assert (silent.candidates, silent.shown) == ((), ())
    assert silent.score == pytest.approx(0.2)
    probability[0, 0, :2] = 0.55
    found = score_detection(
        case_of(reference), probability, threshold=0.6, group="g", label="benign"
    )
    assert found.score == found.candidates[0].score == pytest.approx(0.55)
    assert (found.lesions[0].score, found.lesions[0].unit) == (found.score, "px")
    assert not found.shown
    assert not found.finds(found.lesions[0])
    assert (found.case_id, found.group, found.label, found.min_iou) == ("c", "g", "benign", 0.1)


def test_a_threshold_below_the_outline_moves_the_outline():
    probability = np.array([[[0.3, 0.9, 0.3, 0.0]]], np.float32)
    case = case_of(labels_of("111."))
    assert score_detection(case, probability, threshold=0.5, group="g").candidates[0].size_px == 1
    found = score_detection(case, probability, threshold=0.25, group="g")
    assert found.candidates[0].size_px == 3
    assert found.finds(found.lesions[0])
    assert found.outline == 0.25
    low = score_detection(case, probability, threshold=0.5, outline=0.1, group="g")
    assert low.candidates[0].size_px == 3


def test_lesions_of_an_image_with_a_spacing_are_measured_in_mm():
    affine = np.diag([1.0, 0.1, 0.1, 1.0])
    reference = np.ones((1, 10, 10), np.int32)
    case = case_of(reference, affine=affine)
    probability = np.zeros(reference.shape, np.float32)
    (lesion,) = score_detection(case, probability, threshold=0.5, group="g").lesions
    assert (lesion.size_px, lesion.unit) == (100, "mm")
    assert lesion.diameter == pytest.approx(2 / np.pi**0.5)


def test_refuses_what_does_not_fit():
    reference, candidates = labels_of("11.."), labels_of("1...")
    with pytest.raises(GeometryError, match=r"\(1, 1, 4\).*got \(1, 1, 5\)"):
        match_lesions(labels_of("1...."), [0.9], reference)
    for scores in ([], [0.0], [1.5], [float("nan")]):
        with pytest.raises(InputError, match="a score in"):
            match_lesions(candidates, scores, reference)
    for min_iou in (0, -1, 1.1):
        with pytest.raises(InputError, match="least IoU"):
            match_lesions(candidates, [0.9], reference, min_iou=min_iou)
    unread = Case(case_id="u", image=Image(pixels=np.zeros((1, 1, 4), np.float32)))
    with pytest.raises(ReferenceMaskError, match="case 'u'"):
        score_detection(unread, np.zeros((1, 1, 4), np.float32), threshold=0.5, group="g")


@pytest.mark.parametrize("value", [-0.1, 1.5, float("nan")])
def test_refuses_what_is_no_probability(value):
    probability = np.full((1, 2, 2), value, np.float32)
    with pytest.raises(InputError, match="sigmoid"):
        find_candidates(probability)


@pytest.mark.parametrize("shape", [(2, 2), (1, 0, 4)])
def test_refuses_what_is_no_image(shape):
    with pytest.raises(GeometryError, match="at least one"):
        find_candidates(np.zeros(shape, np.float32))
