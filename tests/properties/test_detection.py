"""What must hold for every set of candidates and lesions; and the same found the slow way."""

import itertools
from dataclasses import replace

import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from sklearn import metrics

from breastseg.core.image import Case, Image
from breastseg.core.lesion import find_lesions
from breastseg.evaluation.curves import (
    Ranking,
    area_under_roc,
    average_precision,
    froc_curve,
    number_per_group,
    roc_curve,
    sensitivities_at,
)
from breastseg.evaluation.detection import FALSE_POSITIVE_RATES, summarise, to_document
from breastseg.evaluation.matching import (
    CandidateScore,
    ImageDetection,
    LesionScore,
    find_candidates,
    match_lesions,
    score_detection,
)

TENTHS = st.integers(1, 10).map(lambda tenths: tenths / 10)
maps = hnp.arrays(np.float32, (1, 6, 7), elements=st.sampled_from([0, 0.2, 0.5, 0.6, 0.75, 1]))
references = hnp.arrays(np.int32, (1, 6, 7), elements=st.sampled_from([0, 0, 0, 2, 3, 7]))
criteria = st.sampled_from([0.1, 0.3, 0.5])


# Candidates, each with a score, whether it finds a lesion, and its group.
@st.composite
def rankings(draw, min_size=0):
    items = draw(
        st.lists(
            st.tuples(TENTHS, st.booleans(), st.integers(0, 3)), min_size=min_size, max_size=25
        )
    )
    return [list(column) for column in zip(*items, strict=True)] if items else [[], [], []]


once = np.ones((1, 4), np.int64)
draws_of_four = st.lists(st.tuples(*[st.integers(0, 3)] * 4), min_size=1, max_size=4).map(
    lambda rows: np.array(rows, np.int64)
)


def repeated(columns, draw):
    """Each item as often as its group was drawn."""
    rows = [row for row in zip(*columns, strict=True) for _ in range(draw[row[2]])]
    return [list(column) for column in zip(*rows, strict=True)] if rows else [[], [], []]


@given(maps)
@settings(deadline=None)
def test_candidates_of_an_image_are_its_lesions_at_the_outline(probability):
    labels, scores = find_candidates(probability)
    _, lesions = find_lesions(probability, threshold=0.5, spacing_mm=None)
    ours = sorted(zip(scores.tolist(), np.bincount(labels.ravel())[1:].tolist(), strict=True))
    assert ours == sorted((lesion.probability, lesion.area_px) for lesion in lesions)


@given(maps, references, st.sampled_from([0.15, 0.5, 0.6, 0.7, 0.75, 1.0]))
@settings(deadline=None)
def test_what_is_shown_is_what_predict_shows(probability, reference, threshold):
    case = Case(case_id="c", image=Image(pixels=probability), reference=reference)
    image = score_detection(case, probability, threshold=threshold, group="g")
    _, lesions = find_lesions(probability, threshold=threshold, spacing_mm=None)
    expected = sorted((lesion.probability, lesion.area_px) for lesion in lesions)
    assert sorted((each.score, each.size_px) for each in image.shown) == expected
    assert sum(image.finds(lesion) for lesion in image.lesions) + image.num_false_positives == len(
        lesions
    )


def slow_match(labels, scores, reference, min_iou):
    """Return {candidate: lesion}, and all IoUs, from sets of pixels."""

    def pixels(array, label):
        return {tuple(index) for index in np.argwhere(array == label).tolist()}

    lesions = sorted(set(reference.ravel().tolist()) - {0})
    ious = {}
    for candidate, lesion in itertools.product(range(1, len(scores) + 1), lesions):
        a, b = pixels(labels, candidate), pixels(reference, lesion)
        ious[candidate, lesion] = len(a & b) / len(a | b)
    taken = {}
    for candidate, lesion in sorted(
        ious, key=lambda pair: (-scores[pair[0] - 1], -ious[pair], pair)
    ):
        free = candidate not in taken and lesion not in taken.values()
        if free and ious[candidate, lesion] >= min_iou:
            taken[candidate] = lesion
    return taken, ious


@given(maps, references, criteria)
@settings(deadline=None)
def test_matching_agrees_with_sets_of_pixels(probability, reference, min_iou):
    labels, scores = find_candidates(probability)
    lesions, candidates = match_lesions(labels, scores, reference, min_iou=min_iou)
    taken, ious = slow_match(labels, scores, reference, min_iou)
    assert {n: c.lesion for n, c in enumerate(candidates, 1) if c.lesion} == taken
    finder = {lesion: candidate for candidate, lesion in taken.items()}
    for lesion in lesions:
        candidate = finder.get(lesion.label)
        assert lesion.score == (None if candidate is None else scores[candidate - 1])
        assert lesion.iou == (0 if candidate is None else ious[candidate, lesion.label])
        assert lesion.size_px == (reference == lesion.label).sum()
    for number, each in enumerate(candidates, 1):
        assert each.iou == max((v for pair, v in ious.items() if pair[0] == number), default=0)
        assert each.size_px == (labels == number).sum()
        is_close = each.iou >= min_iou
        expected = "hit" if number in taken else "duplicate" if is_close else "false positive"
        assert each.outcome == expected


@given(maps, references, criteria, st.sampled_from([0.6, 0.75, 1.0]))
@settings(deadline=None)
def test_what_is_found_at_a_threshold_is_what_the_shown_candidates_find_alone(
    probability, reference, min_iou, threshold
):
    labels, scores = find_candidates(probability)
    lesions, _ = match_lesions(labels, scores, reference, min_iou=min_iou)
    shown = np.flatnonzero(scores >= threshold)
    alone = np.zeros_like(labels)
    for number, place in enumerate(shown, start=1):
        alone[labels == place + 1] = number
    few, _ = match_lesions(alone, scores[shown], reference, min_iou=min_iou)
    found = {lesion.label for lesion in lesions if (lesion.score or 0) >= threshold}
    assert found == {lesion.label for lesion in few if lesion.score is not None}


@given(maps, references, criteria, st.sampled_from([(1,), (2,), (1, 2)]), st.booleans())
@settings(deadline=None)
def test_flips_and_a_transposition_change_no_outcome(probability, reference, min_iou, axes, turn):
    labels, scores = find_candidates(probability)
    assume(len(set(scores.tolist())) == len(scores))  # equal ones are told apart by their labels

    def moved(array):
        array = np.flip(array, axes)
        return np.ascontiguousarray(array.transpose(0, 2, 1) if turn else array)

    before = match_lesions(labels, scores, reference, min_iou=min_iou)
    after = match_lesions(*find_candidates(moved(probability)), moved(reference), min_iou=min_iou)
    assert after[0] == before[0]
    key = lambda candidate: candidate.score  # noqa: E731
    assert sorted(after[1], key=key) == sorted(before[1], key=key)


@given(rankings(min_size=1), draws_of_four)
@settings(deadline=None)
def test_auc_agrees_with_scikit_learn_in_every_resample(columns, draws):
    found = area_under_roc(Ranking.of(*columns, 4), draws)[:, 0]
    for draw, value in zip(draws, found, strict=True):
        scores, right, _ = repeated(columns, draw)
        if len(set(right)) < 2:
            assert np.isnan(value)
        else:
            assert value == pytest.approx(metrics.roc_auc_score(right, scores), abs=1e-12)


@given(rankings(min_size=1))
def test_auc_is_the_share_of_pairs_in_the_right_order(columns):
    scores, right, _ = columns
    pairs = [
        (a > b) + 0.5 * (a == b)
        for (a, is_right), (b, other) in itertools.product(
            zip(scores, right, strict=True), repeat=2
        )
        if is_right and not other
    ]
    value = area_under_roc(Ranking.of(*columns, 4), once)[0, 0]
    assert value == pytest.approx(np.mean(pairs)) if pairs else np.isnan(value)


@given(rankings(min_size=1))
def test_the_roc_curve_is_that_of_scikit_learn(columns):
    scores, right, _ = columns
    curve = roc_curve(Ranking.of(*columns, 4))
    if len(set(right)) < 2:
        assert curve == ()
        return
    x, y, thresholds = metrics.roc_curve(right, scores, drop_intermediate=True)
    assert [point.x for point in curve] == pytest.approx(x, abs=1e-12)
    assert [point.y for point in curve] == pytest.approx(y, abs=1e-12)
    assert [point.threshold for point in curve[1:]] == thresholds[1:].tolist()


@given(rankings(min_size=1), draws_of_four, st.integers(0, 3))
@settings(deadline=None)
def test_average_precision_agrees_with_scikit_learn_in_every_resample(columns, draws, missed):
    members = columns[2]
    lesions = number_per_group(members, columns[1], 4) + missed
    ranking = Ranking.of(*columns, 4)
    found = average_precision(ranking, lesions, draws)[:, 0]
    again = average_precision(ranking.at_rises(), lesions, draws)[:, 0]
    assert again == pytest.approx(found, abs=1e-12, nan_ok=True)
    for draw, value in zip(draws, found, strict=True):
        scores, right, _ = repeated(columns, draw)
        total = int(draw @ lesions)
        if not total:
            assert np.isnan(value)
        elif not any(right):
            assert value == 0
        else:  # scikit-learn knows no lesion without a candidate: its recall ends at 1
            expected = metrics.average_precision_score(right, scores) * sum(right) / total
            assert value == pytest.approx(expected, abs=1e-12)


@given(rankings(), draws_of_four, st.integers(0, 3), st.integers(1, 3))
@settings(deadline=None)
def test_sensitivity_at_a_rate_is_the_best_of_all_thresholds_within_it(
    columns, draws, missed, images_each
):
    lesions = number_per_group(columns[2], columns[1], 4) + missed
    images = np.full(4, images_each, np.int64)
    ranking = Ranking.of(*columns, 4)
    found, again = (
        sensitivities_at(FALSE_POSITIVE_RATES, each, lesions, images, draws)
        for each in (ranking, ranking.at_rises())
    )
    assert np.array_equal(found, again, equal_nan=True)
    for draw, row in zip(draws, found, strict=True):
        scores, right, _ = repeated(columns, draw)
        total, num_images = int(draw @ lesions), int(draw @ images)
        for rate, value in zip(FALSE_POSITIVE_RATES, row, strict=True):
            reached = [0]
            for threshold in set(scores):
                shown = [r for s, r in zip(scores, right, strict=True) if s >= threshold]
                if shown.count(False) <= rate * num_images:
                    reached.append(sum(shown))
            assert np.isnan(value) if not total else value == max(reached) / total


@given(rankings(), st.integers(0, 3))
def test_the_froc_curve_rises_and_never_exceeds_1(columns, missed):
    num_lesions = sum(columns[1]) + missed
    curve = froc_curve(Ranking.of(*columns, 4), num_lesions, 4)
    if not num_lesions:
        assert curve == ()
        return
    for before, after in itertools.pairwise(curve):
        assert after.x >= before.x
        assert after.y >= before.y
    last = curve[-1]
    assert (last.x, last.y) == (columns[1].count(False) / 4, sum(columns[1]) / num_lesions)
    assert 0 <= last.y <= 1


@st.composite
def cohorts(draw):
    images = []
    for number in range(draw(st.integers(1, 8))):
        scores = draw(st.lists(TENTHS, max_size=4))
        hits = draw(st.integers(0, len(scores)))
        missed = draw(st.integers(0, 2))
        images.append(_image(number, scores, hits, missed, draw))
    return images


def _image(number, scores, hits, missed, draw):
    unit = draw(st.sampled_from(["px", "mm"]))
    lesion = LesionScore(
        label=1, size_px=9, diameter=draw(st.floats(1, 30)), unit=unit, score=None, iou=0.0
    )
    return ImageDetection(
        case_id=str(number),
        group=draw(st.sampled_from("abc")),
        label=draw(st.sampled_from([None, "benign", "normal"])),
        score=max(scores, default=0.3),
        threshold=draw(st.sampled_from([0.5, 0.8])),
        outline=0.5,
        min_iou=0.1,
        lesions=(
            *(replace(lesion, score=each, iou=0.5) for each in scores[:hits]),
            *[lesion] * missed,
        ),
        candidates=tuple(
            CandidateScore(
                score=each,
                size_px=9,
                iou=0.5 if place < hits else 0.0,
                lesion=1 if place < hits else None,
                outcome="hit" if place < hits else "false positive",
            )
            for place, each in enumerate(scores)
        ),
    )


@given(cohorts())
@settings(deadline=None, max_examples=40)
def test_a_summary_is_json_and_its_counts_add_up(images):
    summary = summarise(images)
    assert to_document(summary)["num_images"] == len(images)
    lesions = [(image, lesion) for image in images for lesion in image.lesions]
    shown = summary.at_threshold.lesion_sensitivity
    assert shown.num_found == sum(image.finds(lesion) for image, lesion in lesions)
    assert sum(stratum.num_lesions for stratum in summary.by_size) == len(lesions)
    assert (
        sum(stratum.lesion_sensitivity.num_found for stratum in summary.by_size) == shown.num_found
    )
    labelled = sum(image.label is not None for image in images)
    assert sum(stratum.num_images for stratum in summary.by_label) == labelled
    values = [point.sensitivity.value for point in summary.froc.points]
    if lesions:
        assert values == sorted(values)
        assert summary.froc.mean.value == pytest.approx(np.mean(values))
        assert all(0 <= value <= 1 for value in values)
    else:
        assert values == [None] * 7


@given(cohorts())
@settings(deadline=None, max_examples=25)
def test_the_order_of_images_changes_no_figure(images):
    there, back = (to_document(summarise(each)) for each in (images, images[::-1]))
    for document in (there, back):
        # Groups are numbered as they come, so that other resamples are drawn.
        _drop_intervals(document)
    assert _close(there, back)


def _drop_intervals(node):
    if isinstance(node, dict):
        node.pop("interval", None)
    for child in (
        node.values() if isinstance(node, dict) else node if isinstance(node, list) else []
    ):
        _drop_intervals(child)


def _close(one, other):
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(_close(one[key], other[key]) for key in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(_close, one, other))
    return one == pytest.approx(other) if isinstance(one, float) else one == other
