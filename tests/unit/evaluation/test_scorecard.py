import json
from dataclasses import replace

import numpy as np
import pytest

from breastseg.core.errors import GeometryError, InputError, ReferenceMaskError
from breastseg.core.image import Case, Image
from breastseg.evaluation.baselines import ALL_BACKGROUND, best_constant_mask
from breastseg.evaluation.case_score import score_case
from breastseg.evaluation.scorecard import (
    SCHEMA_VERSION,
    Contender,
    dice_difference,
    exemplary_cases,
    summarise,
    to_document,
)

SHAPE = (1, 40, 50)


def case_of(case_id, boxes, *, spacing_mm=None):
    reference = np.zeros(SHAPE, np.int32)
    for number, (row, column, height, width) in enumerate(boxes, start=1):
        reference[0, row : row + height, column : column + width] = number
    affine = None if spacing_mm is None else np.diag([*spacing_mm, 1.0])
    return Case(
        case_id=case_id,
        image=Image(pixels=np.zeros(SHAPE, np.float32), affine=affine),
        reference=reference,
    )


LESIONS = [case_of(f"lesion {i}", [(5 + i, 5 + 2 * i, 10, 20)]) for i in range(10)]
NORMALS = [case_of(f"normal {i}", []) for i in range(4)]
CASES = LESIONS + NORMALS


def scores_of(masks, cases=CASES):
    return [
        score_case(case, mask, group=f"g{i // 2}", label=case.case_id.split()[0])
        for i, (case, mask) in enumerate(zip(cases, masks, strict=True))
    ]


def shifted(case, columns):
    return np.roll(case.reference > 0, columns, axis=2)


MODEL = scores_of([shifted(case, i) for i, case in enumerate(CASES)])
SILENT = scores_of([np.zeros(SHAPE, bool)] * len(CASES))


def numbers_in(document):
    if isinstance(document, dict):
        document = list(document.values())
    if isinstance(document, list):
        for part in document:
            yield from numbers_in(part)
    elif isinstance(document, float):
        yield document


def test_a_case_is_scored_with_all_its_lesions_merged():
    case = case_of("two", [(0, 0, 10, 10), (20, 20, 10, 10)], spacing_mm=(1.0, 0.5, 0.5))
    mask = np.zeros(SHAPE, bool)
    mask[0, :10, :10] = True
    score = score_case(case, mask, group="g", label="benign")
    assert (score.num_reference_lesions, score.has_lesion, score.predicted_lesion) == (
        2,
        True,
        True,
    )
    assert score.dice == pytest.approx(2 / 3)
    assert (score.iou, score.precision, score.recall) == (0.5, 1.0, 0.5)
    assert score.pixel_accuracy == pytest.approx(0.95)
    assert score.hd95_unit == "mm"
    assert score.hd95 == pytest.approx(0.5 * 20 * 2**0.5, rel=0.05)
    assert score.hd == pytest.approx(0.5 * 20 * 2**0.5)
    assert 0 < score.assd < score.hd95
    assert (score.nsd_tolerance, score.size_unit) == (1.0, "mm2")
    # the outlines of two squares of 10 by 10, of which one is found: 36 of 36 and 36 of 72 pixels
    assert score.nsd == pytest.approx(72 / 108)
    assert (score.size_difference, score.size_relative) == (-25.0, -0.5)


def test_the_seed_of_this_project_found_nothing_and_was_nine_tenths_accurate():
    """0.9005 accuracy was reported for a network without one pixel above 0.5."""
    row = summarise(Contender(name="seed", scores=SILENT)).table[0].summary
    assert row.pixel_accuracy == pytest.approx(0.9, abs=0.04)
    assert row.dice.value == row.recall.value == row.sensitivity.value == 0.0
    assert (row.precision.value, row.precision.num_left_out) == (None, 10)
    assert (row.hd95[0].value, row.hd95[0].num_left_out, row.hd95[0].unit) == (None, 10, "px")
    assert row.specificity.value == 1.0
    assert (row.nsd["3 px"].value, row.size_error.value) == (0.0, -1.0)
    assert row.absolute_size_error.value == 1.0
    assert [(part.value, part.unit) for part in (*row.hd, *row.assd)] == [(None, "px")] * 2


def test_an_all_background_model_equals_the_baseline():
    baseline = scores_of([ALL_BACKGROUND.on(SHAPE)] * len(CASES))
    card = summarise(
        Contender(name="model", scores=SILENT),
        Contender(name="all background", scores=baseline, role="baseline"),
    )
    assert card.table[0].summary == card.table[1].summary
    assert card.table[1].model_minus_this.p_value == 1.0


def test_a_constant_model_does_not_beat_the_best_constant_mask():
    best = best_constant_mask(case.reference > 0 for case in CASES)
    baseline = scores_of([best.on(SHAPE)] * len(CASES))
    ellipse = np.zeros(SHAPE, bool)
    ellipse[0, 10:30, 10:40] = True
    model = scores_of([ellipse] * len(CASES))
    card = summarise(
        Contender(name="model", scores=model),
        Contender(name=best.name, scores=baseline, role="baseline"),
    )
    assert card.table[1].model_minus_this.mean <= 0
    assert card.table[1].summary.specificity.value == 0.0


def test_the_headline_is_over_lesion_images_and_the_specificity_over_the_others():
    card = summarise(Contender(name="model", scores=MODEL))
    row = card.table[0].summary
    dice = [score.dice for score in MODEL[:10]]
    assert row.dice.value == pytest.approx(np.mean(dice))
    assert row.dice_median.value == pytest.approx(np.median(dice))
    assert row.dice.interval.low < row.dice.value < row.dice.interval.high
    assert (row.dice.num_images, row.specificity.num_images, row.num_groups) == (10, 4, 7)
    assert row.specificity.interval.low < 0.6
    assert list(card.by_label) == ["lesion", "normal"]
    assert card.by_label["normal"].dice.value is None
    assert card.by_label["normal"].hd95 == ()


def test_each_data_set_of_a_collection_stands_by_itself():
    """A data set on which nothing is found shows, whatever the mean over both is."""
    halves = [*MODEL[:5], *SILENT[5:]]
    sources = {score.case_id: "bad" if score in SILENT else "good" for score in halves}
    card = summarise(Contender(name="model", scores=halves), sources=sources)
    assert list(card.by_source) == ["bad", "good"]
    assert card.by_source["bad"].dice.value == 0.0 < card.by_source["good"].dice.value
    assert sum(part.num_images for part in card.by_source.values()) == len(halves)
    assert summarise(Contender(name="model", scores=halves)).by_source == {}


def test_a_false_alarm_lowers_the_specificity_and_leaves_the_dice_alone():
    masks = [shifted(case, i) for i, case in enumerate(CASES)]
    masks[-1] = shifted(LESIONS[0], 0)
    row = summarise(Contender(name="model", scores=scores_of(masks))).table[0].summary
    assert row.specificity.value == 0.75
    assert row.dice == summarise(Contender(name="model", scores=MODEL)).table[0].summary.dice


def test_without_normals_there_is_no_specificity():
    row = summarise(Contender(name="model", scores=MODEL[:10])).table[0].summary
    assert (row.specificity.value, row.specificity.interval, row.specificity.num_images) == (
        None,
        None,
        0,
    )


def test_a_detected_lesion_needs_overlap_and_not_just_a_mark():
    masks = [shifted(LESIONS[0], 0), np.roll(LESIONS[1].reference > 0, (20, 25), axis=(1, 2))]
    row = summarise(Contender(name="model", scores=scores_of(masks, LESIONS[:2]))).table[0].summary
    assert row.sensitivity.value == 0.5


def test_millimetres_and_pixels_are_not_averaged():
    cases = [case_of("a", [(5, 5, 9, 9)]), case_of("b", [(5, 5, 9, 9)], spacing_mm=(1, 0.1, 0.1))]
    scores = scores_of([shifted(case, 3) for case in cases], cases)
    row = summarise(Contender(name="model", scores=scores)).table[0].summary
    assert [(part.unit, part.num_images) for part in row.hd95] == [("mm", 1), ("px", 1)]
    assert row.hd95[0].value == pytest.approx(row.hd95[1].value / 10)


@pytest.mark.parametrize("scores", [MODEL, SILENT, MODEL[:1], MODEL[10:], SILENT[10:11]])
def test_the_document_is_json_without_nan(scores):
    card = summarise(
        Contender(name="model", scores=scores),
        Contender(name="twin", scores=[replace(score) for score in scores], role="baseline"),
    )
    document = to_document(card, details={"Model": "m"}, warnings=["w"], not_tested=["CT"])
    assert document["schema_version"] == SCHEMA_VERSION
    assert json.loads(json.dumps(document, allow_nan=False)) == document
    assert all(np.isfinite(number) for number in numbers_in(document))
    assert len(document["cases"]) == len(scores)
    assert (document["details"], document["not_tested"]) == ({"Model": "m"}, ["CT"])


def test_a_number_that_is_not_finite_never_reaches_the_file():
    card = summarise(Contender(name="model", scores=MODEL))
    broken = replace(card, cases=(replace(MODEL[0], hd95=float("nan")),))
    with pytest.raises(ValueError, match="not JSON compliant"):
        to_document(broken)


def test_two_models_are_compared_case_by_case_whatever_their_order():
    worse = scores_of([shifted(case, i + 4) for i, case in enumerate(CASES)])
    difference = dice_difference(MODEL, worse[::-1])
    expected = np.mean([a.dice - b.dice for a, b in zip(MODEL[:10], worse[:10], strict=True)])
    assert difference.mean == pytest.approx(expected)
    assert difference.mean > 0
    assert (difference.num_cases, difference.num_groups) == (10, 5)
    assert dice_difference(MODEL[10:], worse[10:]) is None


def test_contenders_must_be_scored_on_the_same_cases():
    with pytest.raises(InputError, match=r"'model' and 'other'.*14 and 3 scores, 3 in common"):
        summarise(Contender(name="model", scores=MODEL), Contender(name="other", scores=MODEL[:3]))
    with pytest.raises(InputError, match="once on each"):
        summarise(Contender(name="model", scores=MODEL + MODEL[:1]))
    with pytest.raises(InputError, match="got 0"):
        summarise(Contender(name="model", scores=[]))


def test_a_case_that_nobody_has_read_cannot_be_scored():
    unread = replace(LESIONS[0], reference=None)
    with pytest.raises(ReferenceMaskError, match="case 'lesion 0': scoring needs a reference"):
        score_case(unread, np.zeros(SHAPE, bool), group="g")
    with pytest.raises(GeometryError, match=r"\(1, 40, 50\)"):
        score_case(LESIONS[0], np.zeros((1, 40, 40), bool), group="g")


def test_the_shown_cases_are_chosen_by_rank_and_never_twice():
    chosen = exemplary_cases(MODEL)
    shown = [score.case_id for scores in chosen.values() for score in scores]
    assert len(shown) == len(set(shown)) == 9
    assert [score.case_id for score in chosen["best"]] == ["lesion 0", "lesion 1", "lesion 2"]
    assert [score.case_id for score in chosen["worst"]] == ["lesion 9", "lesion 8", "lesion 7"]
    assert chosen["false alarm"] == ()


@pytest.mark.parametrize("count", [0, 1, 2, 3, 5])
def test_few_cases_are_each_shown_at_most_once(count):
    chosen = exemplary_cases(MODEL[:count])
    shown = [score.case_id for scores in chosen.values() for score in scores]
    assert len(shown) == len(set(shown)) == min(count, 3)


def test_the_largest_false_alarms_are_shown():
    masks = [np.zeros(SHAPE, bool) for _ in NORMALS]
    masks[1][0, :2, :2] = masks[3][0, :20, :20] = True
    alarms = exemplary_cases(scores_of(masks, NORMALS))["false alarm"]
    assert [score.case_id for score in alarms] == ["normal 3", "normal 1"]
