"""What must hold for every map of probabilities; and the same figures found pixel by pixel."""

import math

import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from sklearn import metrics

from breastseg.core.calibration import Bounds
from breastseg.core.image import Case, Image
from breastseg.evaluation.coverage import score_bounds
from breastseg.evaluation.curves import Ranking, area_under_roc
from breastseg.evaluation.matching import score_detection
from breastseg.evaluation.reliability import Reliability
from breastseg.evaluation.trust import Trust

SHAPES = st.tuples(st.just(1), st.integers(1, 5), st.integers(1, 5))
LEAST = 1e-7
images = st.lists(
    SHAPES.flatmap(
        lambda shape: st.tuples(
            hnp.arrays(np.float32, shape, elements=st.floats(0, 1, width=32)),
            hnp.arrays(np.bool_, shape),
        )
    ),
    min_size=1,
    max_size=4,
)
flips = st.sampled_from([(1,), (2,), (1, 2)])


def summary_of(pairs):
    found = Reliability()
    for number, (probability, outcome) in enumerate(pairs):
        found.add(probability, outcome, number)
    return found.summary(resamples=20)


@given(images)
@settings(max_examples=60, deadline=None)
def test_all_figures_agree_with_a_loop_over_pixels(pairs):
    num_bins, pixels = 15, []
    for probability, outcome in pairs:
        weight = 1 / probability.size / len(pairs)
        rows = zip(probability.ravel().tolist(), outcome.ravel().tolist(), strict=True)
        pixels += [(p, y, weight) for p, y in rows]
    found = summary_of(pairs)
    assert found.brier == pytest.approx(sum(w * (p - y) ** 2 for p, y, w in pixels))
    true = [(p if y else 1 - p, w) for p, y, w in pixels]
    assert found.nll == pytest.approx(sum(-w * math.log(max(p, LEAST)) for p, w in true))
    assert found.prevalence == pytest.approx(sum(w for _, y, w in pixels if y))
    edges = np.linspace(0, 1, num_bins + 1)[1:-1].tolist()
    gaps = []
    for place in range(num_bins):
        inside = [each for each in pixels if sum(each[0] > edge for edge in edges) == place]
        gaps.append(abs(sum(w * (p - y) for p, y, w in inside)))
        assert found.bins[place].share == pytest.approx(sum(w for _, _, w in inside))
        assert (found.bins[place].observed is None) == (not inside)
    assert found.ece == pytest.approx(sum(gaps), abs=1e-12)


@given(images)
@settings(max_examples=40, deadline=None)
def test_figures_stay_in_bounds(pairs):
    found = summary_of(pairs)
    assert 0 <= found.ece <= 1
    assert 0 <= found.brier <= 1
    assert 0 <= found.nll <= -math.log(LEAST)
    assert 0 <= found.brier_of_prevalence <= 0.25
    assert found.ece <= math.sqrt(found.brier) + 1e-12  # a mean gap, and a root mean square of them
    assert sum(each.share for each in found.bins) == pytest.approx(1)
    for each in found.bins:
        if each.mean_probability is not None:
            assert each.low - 1e-12 <= each.mean_probability <= each.high + 1e-12
            assert -1e-12 <= each.observed <= 1 + 1e-12


@given(images, flips)
@settings(max_examples=40, deadline=None)
def test_flipping_maps_and_references_changes_nothing(pairs, axes):
    flipped = summary_of([tuple(np.flip(each, axes) for each in pair) for pair in pairs])
    found = summary_of(pairs)
    for name in ("ece", "brier", "nll", "prevalence"):
        assert getattr(flipped, name) == pytest.approx(getattr(found, name), abs=1e-12)


@given(images)
@settings(max_examples=40, deadline=None)
def test_lesion_and_background_may_change_names(pairs):
    """But for the bins, whose upper edge belongs to them and whose lower one does not."""
    other = summary_of([(np.float32(1) - p, ~y) for p, y in pairs])
    found = summary_of(pairs)
    assert other.brier == pytest.approx(found.brier, abs=1e-6)
    assert other.prevalence == pytest.approx(1 - found.prevalence)


@given(hnp.arrays(np.bool_, (1, 4, 5)))
def test_what_is_certain_and_right_costs_nothing(outcome):
    found = summary_of([(outcome.astype(np.float32), outcome)])
    assert (found.ece, found.brier, found.nll) == (0, 0, 0)
    wrong = summary_of([((~outcome).astype(np.float32), outcome)])
    assert (wrong.ece, wrong.brier) == (1, 1)


maps = hnp.arrays(np.float32, (1, 6, 7), elements=st.sampled_from([0, 0.2, 0.5, 0.6, 0.75, 1]))
references = hnp.arrays(np.int32, (1, 6, 7), elements=st.sampled_from([0, 0, 0, 2, 3, 7]))


def findings_of(probability, reference):
    case = Case(case_id="c", image=Image(pixels=probability), reference=reference)
    found = score_detection(case, probability, threshold=0.5, group="g")
    trust = Trust(None)
    trust.add(
        *("c", "g"),
        calibrated=probability,
        raw=probability,
        reference=reference,
        candidates=found.candidates,
    )
    return trust.reliability()["findings"]


@given(maps, references)
@settings(max_examples=50, deadline=None)
def test_findings_come_true_as_sets_of_pixels_say(probability, reference):
    labels, count = ndimage.label(probability[0] >= 0.5, np.ones((3, 3)))
    squares, true = [], []
    for number in range(1, count + 1):
        inside = labels == number
        drawn = [reference[0] == label for label in np.unique(reference[reference > 0])]
        ious = [(inside & each).sum() / (inside | each).sum() for each in drawn]
        true.append(max(ious, default=0) >= 0.1)
        squares.append((float(probability[0][inside].max()) - true[-1]) ** 2)
    found = findings_of(probability, reference)
    if not count:
        assert found is None
        return
    assert found["brier"] == pytest.approx(np.mean(squares))
    assert found["prevalence"] == pytest.approx(np.mean(true))


@given(maps, references, flips)
@settings(max_examples=50, deadline=None)
def test_findings_do_not_depend_on_the_side(probability, reference, axes):
    before = findings_of(probability, reference)
    after = findings_of(*(np.flip(each, axes) for each in (probability, reference)))
    assert (before is None) == (after is None)
    if before is not None:
        assert after["ece"] == pytest.approx(before["ece"])
        assert after["prevalence"] == pytest.approx(before["prevalence"])


masks = hnp.arrays(np.bool_, (1, 5, 6))


@given(masks, masks, masks, flips)
@settings(deadline=None)
def test_bounds_hold_as_sets_of_pixels_say(outer, inner, reference, axes):
    def score(*maps):
        bounds = Bounds(outer=maps[0], inner=maps[1], outer_share=0.3, abstains=False)
        return score_bounds(bounds, maps[2], case_id="c", group="g")

    found = score(outer, inner, reference)
    drawn, claimed = int(reference.sum()), int(inner.sum())
    missed = int((reference & ~outer).sum())
    outside = int((inner & ~reference).sum())
    assert found.missed == (pytest.approx(missed / drawn) if drawn else None)
    assert found.outside == (pytest.approx(outside / claimed) if claimed else None)
    assert found.outer_holds == ((10 * missed <= drawn) if drawn else None)
    assert found.inner_holds == (10 * outside <= claimed)
    assert score(*(np.flip(each, axes) for each in (outer, inner, reference))) == found


@given(st.lists(st.tuples(st.integers(0, 6), st.booleans()), min_size=2, max_size=20))
@settings(deadline=None)
def test_the_auc_of_the_other_class_is_what_is_left(items):
    scores, outcomes = (list(column) for column in zip(*items, strict=True))

    def area(values, truth):
        ranking = Ranking.of([v / 10 for v in values], truth, [0] * len(values), 1)
        return area_under_roc(ranking, np.ones((1, 1), np.int64))[0, 0]

    if len(set(outcomes)) < 2:
        assert math.isnan(area(scores, outcomes))
        return
    found = area(scores, outcomes)
    assert 0 <= found <= 1
    assert found == pytest.approx(metrics.roc_auc_score(outcomes, scores))
    assert area(scores, [not each for each in outcomes]) == pytest.approx(1 - found)
    assert area([6 - each for each in scores], outcomes) == pytest.approx(1 - found)
