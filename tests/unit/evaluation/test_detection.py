import json
from dataclasses import replace

import numpy as np
import pytest

from breastseg.core.errors import InputError
from breastseg.evaluation.curves import MAX_POINTS, Ranking, froc_curve
from breastseg.evaluation.detection import summarise, to_document
from breastseg.evaluation.matching import CandidateScore, ImageDetection, LesionScore
from breastseg.evaluation.strata import group_by_size, group_lesions


def lesion(score=None, diameter=10.0, unit="px"):
    return LesionScore(
        label=1,
        size_px=80,
        diameter=diameter,
        unit=unit,
        score=score,
        iou=0.0 if score is None else 0.5,
    )


def candidate(score, outcome="false positive"):
    found = outcome == "hit"
    return CandidateScore(
        score=score, size_px=80, iou=0.5 * found, lesion=1 if found else None, outcome=outcome
    )


def image(name, *, lesions=(), false=(), duplicates=(), group=None, label=None, threshold=0.6):
    """An image from its lesions and the scores of what finds none."""
    candidates = [candidate(each.score, "hit") for each in lesions if each.score is not None]
    candidates += [candidate(score) for score in false]
    candidates += [candidate(score, "duplicate") for score in duplicates]
    return ImageDetection(
        case_id=name,
        group=group or name,
        label=label,
        score=max((each.score for each in candidates), default=0.1),
        threshold=threshold,
        outline=0.5,
        min_iou=0.1,
        lesions=tuple(lesions),
        candidates=tuple(candidates),
    )


# Four images, three lesions. By falling score: .9 hit, .8 false (normal), .7 false, .65 hit,
# .55 false; one lesion has no candidate. At 0.6 all but the last are shown.
FOUR = [
    image("a", lesions=[lesion(0.9)], false=[0.7], label="benign"),
    image("b", lesions=[lesion(0.65), lesion(None)], label="malignant"),
    image("c", false=[0.8, 0.55], label="normal"),
    image("d", label="normal"),
]


def test_figures_of_four_images_by_hand():
    summary = summarise(FOUR)
    assert (summary.num_images, summary.num_groups, summary.num_lesion_images) == (4, 4, 2)
    assert (summary.num_lesions, summary.num_candidates, summary.num_duplicates) == (3, 5, 0)
    shown = summary.at_threshold
    assert (shown.thresholds, summary.outlines, summary.min_iou) == ((0.6,), (0.5,), 0.1)
    assert shown.lesion_sensitivity.value == pytest.approx(2 / 3)
    assert shown.false_positives_per_image.value == 2 / 4
    assert shown.false_positives_per_lesion_free_image.value == 1 / 2
    assert shown.precision.value == 2 / 4
    assert (shown.image_sensitivity.value, shown.specificity.value) == (1.0, 0.5)
    # Precision where the sensitivity rises by 1/3: at .9 it is 1, at .65 it is 2 of 4.
    assert summary.average_precision.value == pytest.approx(1 / 3 * 1 + 1 / 3 * 2 / 4)
    # Images by score: a .9 and b .65 hold a lesion, c .8 and d .1 do not. Of the four pairs a
    # wins two, b one.
    assert summary.image_auc.value == 3 / 4


def test_froc_of_four_images_by_hand():
    froc = summarise(FOUR).froc
    # Allowed false positives: 0.5, 1, 2, 4 ... of which 0, 1, 2, 3 occur. With none only .9 is
    # shown; with one .8 comes, with two .7 and then .65 too; with four everything.
    assert [point.sensitivity.value for point in froc.points] == pytest.approx(
        [1 / 3, 1 / 3, 2 / 3, 2 / 3, 2 / 3, 2 / 3, 2 / 3]
    )
    assert froc.mean.value == pytest.approx(4 / 7)
    assert [point.threshold for point in froc.points] == [0.9, 0.8, 0.65, 0.55, 0.55, 0.55, 0.55]
    assert [point.is_reached for point in froc.points] == [True, True, True, False, *[False] * 3]
    corners = [(point.threshold, point.x, point.y) for point in froc.curve]
    assert corners == [
        (None, 0, 0),
        (0.9, 0, pytest.approx(1 / 3)),
        (0.65, 0.5, pytest.approx(2 / 3)),
        (0.55, 0.75, pytest.approx(2 / 3)),
    ]


def test_a_first_score_with_too_many_false_positives_leaves_nothing_to_show():
    images = [image("a", lesions=[lesion(0.9)], false=[0.9, 0.9])]
    points = summarise(images).froc.points
    assert [point.sensitivity.value for point in points] == [0, 0, 0, 0, 1, 1, 1]
    assert [point.threshold for point in points] == [None] * 4 + [0.9] * 3


def test_a_rate_is_reached_by_exactly_so_many_false_positives():
    points = summarise([image("a", lesions=[lesion(0.7)], false=[0.9])]).froc.points
    reached = [point.false_positives_per_image for point in points if point.is_reached]
    assert reached == [0.125, 0.25, 0.5, 1.0]


def test_duplicates_count_as_false_positives_and_are_said():
    plain = summarise([image("a", lesions=[lesion(0.9)])])
    twice = summarise([image("a", lesions=[lesion(0.9)], duplicates=[0.8])])
    assert (plain.num_duplicates, twice.num_duplicates) == (0, 1)
    assert twice.at_threshold.lesion_sensitivity.value == 1
    assert twice.at_threshold.false_positives_per_image.value == 1


def test_each_image_is_judged_at_the_threshold_of_its_fold():
    images = [
        image("a", lesions=[lesion(0.7)], threshold=0.6),
        image("b", lesions=[lesion(0.7)], threshold=0.8),
    ]
    shown = summarise(images).at_threshold
    assert shown.thresholds == (0.6, 0.8)
    assert shown.lesion_sensitivity.num_found == 1


def test_strata_by_class_show_found_lesions_and_false_alarms():
    benign, malignant, normal = summarise(FOUR).by_label
    assert (benign.name, benign.num_images, benign.num_lesions) == ("benign", 1, 1)
    assert benign.lesion_sensitivity.value == benign.sensitivity_of_all.value == 1
    assert malignant.lesion_sensitivity.value == 1 / 2
    assert (normal.num_images, normal.num_lesions) == (2, 0)
    assert normal.lesion_sensitivity.value is None
    assert normal.false_positives_per_image.value == 1 / 2
    assert normal.images_marked.value == 1 / 2
    assert summarise([replace(each, label=None) for each in FOUR]).by_label == ()


def test_strata_by_data_set_are_those_of_a_collection_alone():
    sources = {each.case_id: "one" if each is FOUR[0] else "two" for each in FOUR}
    one, two = summarise(FOUR, sources=sources).by_source
    assert (one.name, one.num_images, two.name, two.num_images) == ("one", 1, "two", 3)
    assert one.num_lesions + two.num_lesions == sum(len(each.lesions) for each in FOUR)
    assert summarise(FOUR).by_source == ()


def test_sizes_in_mm_have_fixed_bounds_and_pixels_have_terciles():
    images = [
        image(str(size), lesions=[lesion(0.9, diameter=size, unit="mm")])
        for size in (9, 10, 11, 20, 21)
    ] + [image(f"p{size}", lesions=[lesion(None, diameter=size)]) for size in (1, 2, 3, 4, 5, 6)]
    sizes = {
        name: [each.diameter for _, each in found] for name, found in group_by_size(images).items()
    }
    assert sizes == {
        "up to 10 mm": [9, 10],
        "10 to 20 mm": [11, 20],
        "above 20 mm": [21],
        "up to 2.67 px": [1, 2],
        "2.67 to 4.33 px": [3, 4],
        "above 4.33 px": [5, 6],
    }
    strata = summarise(images).by_size
    assert [stratum.lesion_sensitivity.value for stratum in strata] == [1, 1, 1, 0, 0, 0]
    assert {stratum.false_positives_per_image for stratum in strata} == {None}


def test_lesions_of_one_size_are_one_stratum():
    images = [image(name, lesions=[lesion(0.9)]) for name in "abc"]
    assert list(group_by_size(images)) == ["up to 10 px"]
    assert group_by_size([image("a")]) == {}


def test_lesions_can_be_grouped_by_anything():
    found = group_lesions(FOUR, lambda image, lesion: image.label if lesion.score else None)
    assert {name: len(members) for name, members in found.items()} == {"benign": 1, "malignant": 1}


def test_lesions_of_a_patient_are_resampled_together():
    rng = np.random.default_rng(0)
    found = rng.random(40) < 0.6
    pairs = [lesion(0.9 if each else None) for each in found for _ in range(3)]
    grouped = [image(str(n), lesions=[each], group=str(n // 3)) for n, each in enumerate(pairs)]
    apart = [replace(each, group=each.case_id) for each in grouped]
    wide, narrow = (summarise(each).at_threshold.lesion_sensitivity for each in (grouped, apart))
    assert wide.method == narrow.method == "bootstrap over groups"
    assert wide.value == narrow.value
    width = wide.interval.high - wide.interval.low
    assert width == pytest.approx(3**0.5 * (narrow.interval.high - narrow.interval.low), rel=0.15)


def test_where_all_lesions_are_found_wilson_stands_in_for_an_interval_without_width():
    share = summarise([image(str(n), lesions=[lesion(0.9)]) for n in range(29)]).at_threshold
    # Newcombe 1998, as in test_confidence: 29 of 29.
    assert share.lesion_sensitivity.method == "Wilson"
    assert share.lesion_sensitivity.interval.low == pytest.approx(0.8830, abs=5e-5)


def test_images_of_one_kind_have_no_roc_and_no_lesion_no_sensitivity():
    normal = summarise([image("a", false=[0.9]), image("b")])
    assert (normal.image_auc.value, normal.image_roc) == (None, ())
    assert (normal.average_precision.value, normal.froc.mean.value) == (None, None)
    assert normal.froc.curve == ()
    assert normal.at_threshold.lesion_sensitivity.value is None
    assert normal.at_threshold.specificity.value == 0.5
    lesions = summarise([image("a", lesions=[lesion(0.9)])])
    assert lesions.image_auc.value is None
    assert lesions.at_threshold.specificity.value is None
    assert lesions.froc.mean.value == 1
    assert lesions.froc.mean.interval is None  # one group


def test_nothing_found_anywhere_is_a_summary_too():
    summary = summarise([image("a", lesions=[lesion()]), image("b")])
    assert summary.average_precision.value == 0
    assert summary.froc.mean.value == 0
    assert summary.at_threshold.precision.value is None
    assert [point.threshold for point in summary.froc.points] == [None] * 7
    json.dumps(to_document(summary), allow_nan=False)


def test_intervals_hold_the_value_and_repeat_with_the_seed():
    rng = np.random.default_rng(3)
    images = [
        image(
            str(n),
            lesions=[lesion(rng.uniform(0.5, 1) if rng.random() < 0.8 else None)] if n % 3 else [],
            false=rng.uniform(0.5, 0.9, rng.integers(0, 3)).tolist(),
        )
        for n in range(90)
    ]
    summary = summarise(images, seed=5)
    assert summary == summarise(images, seed=5)
    figures = [summary.average_precision, summary.image_auc, summary.froc.mean]
    figures += [point.sensitivity for point in summary.froc.points]
    for figure in figures:
        assert figure.interval.low <= figure.value <= figure.interval.high
        assert figure.interval.low < figure.interval.high


def test_a_long_curve_is_thinned_and_keeps_its_ends():
    count = 3 * MAX_POINTS
    scores = (np.arange(count, 0, -1) / count).tolist()
    curve = froc_curve(Ranking.of(scores, [True] * count, [0] * count, 1), count, 10)
    assert len(curve) == MAX_POINTS
    assert (curve[1].threshold, curve[-1].threshold) == (scores[0], scores[-1])
    assert curve[-1].y == 1


def test_refuses_images_that_do_not_go_together():
    with pytest.raises(InputError, match="got 0 scores"):
        summarise([])
    with pytest.raises(InputError, match="2 scores of 1 images"):
        summarise([FOUR[0], FOUR[0]])
    with pytest.raises(InputError, match=r"got \[0.1, 0.5\]"):
        summarise([FOUR[0], replace(FOUR[1], min_iou=0.5)])
    with pytest.raises(InputError, match="above 0"):
        summarise(FOUR, rates=[0.0])
