import dataclasses
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from breastseg.core.calibration import (
    Calibration,
    ConformalThreshold,
    apply_gate,
    apply_temperature,
    check_temperature,
)
from breastseg.core.errors import InputError
from breastseg.core.image import Area

OUTER = ConformalThreshold(threshold=0.25, alpha=0.1, tolerance=0.1, num_groups=60)
INNER = ConformalThreshold(threshold=0.75, alpha=0.1, tolerance=0.1, num_groups=70)
NONE = ConformalThreshold(threshold=None, alpha=0.1, tolerance=0.1, num_groups=8)
ROW = np.array([[[0.1, 0.25, 0.5, 0.75, 0.9]]], np.float32)


def test_a_temperature_divides_the_logit():
    # logit(0.9) = log 9, half of it is log 3, and sigmoid(log 3) = 3/4.
    assert Calibration(temperature=2).apply(np.float32([0.9, 0.1])) == pytest.approx([0.75, 0.25])


def test_without_a_temperature_probabilities_are_not_touched():
    assert Calibration().apply(ROW) is ROW


@pytest.mark.parametrize("temperature", [0.05, 0.5, 3, 20])
def test_certainty_and_a_half_stay_and_nothing_crosses_the_half(temperature):
    half, zero, one = np.float32(0.5), np.float32(0), np.float32(1)
    values = np.array([zero, np.nextafter(half, zero), half, np.nextafter(half, one), one])
    found = Calibration(temperature=temperature).apply(values)
    assert found.dtype == np.float32
    assert found[[0, 2, 4]].tolist() == [0, 0.5, 1]
    assert (found >= 0.5).tolist() == (values >= 0.5).tolist()


def test_logits_that_float32_probabilities_cannot_tell_apart_stay_apart():
    assert np.ptp(apply_temperature(np.float32([30, 60]), 1)) == 0
    assert np.ptp(apply_temperature(np.float32([30, 60]), 5)) > 0.002


def test_a_scan_within_a_screen_has_the_bounds_of_the_scan_alone():
    calibration = Calibration(outer=OUTER, inner=INNER, temperature=20)
    scan = np.random.default_rng(0).uniform(0.2, 1, (1, 6, 8)).astype(np.float32)
    screen = np.full((1, 20, 30), 0.9, np.float32)
    area = Area(top=3, bottom=9, left=5, right=13)
    screen[:, *area.slices] = scan
    alone, within = calibration.bounds(scan), calibration.bounds(screen, area)
    assert alone.abstains
    assert within.outer_share == alone.outer_share
    assert within.abstains
    for ours, theirs in ((within.outer, alone.outer), (within.inner, alone.inner)):
        np.testing.assert_array_equal(ours[:, *area.slices], theirs)
        assert ours.sum() == theirs.sum()


@pytest.mark.parametrize("temperature", [0, -1, float("nan"), float("inf")])
def test_refuses_what_is_no_temperature(temperature):
    with pytest.raises(InputError, match="temperature must be a number above 0"):
        check_temperature(temperature)
    with pytest.raises(InputError, match="temperature"):
        Calibration(temperature=temperature)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"operating_threshold": 0.0}, "threshold must be a probability"),
        ({"abstain_above": 0.0}, "share of the image"),
    ],
)
def test_refuses_values_out_of_range(change, message):
    with pytest.raises(InputError, match=message):
        Calibration(**change)


@pytest.mark.parametrize("change", [{"alpha": 0.0}, {"alpha": 1.0}, {"tolerance": 1.0}])
def test_refuses_a_guarantee_that_cannot_be_meant(change):
    with pytest.raises(InputError, match="alpha must be in"):
        dataclasses.replace(OUTER, **change)


def test_the_outer_mask_takes_the_threshold_in_and_the_inner_one_leaves_it_out():
    bounds = Calibration(outer=OUTER, inner=INNER).bounds(ROW)
    assert bounds.outer.tolist() == [[[False, True, True, True, True]]]
    assert bounds.inner.tolist() == [[[False, False, False, False, True]]]
    assert bounds.outer_share == pytest.approx(0.8)
    assert bounds.abstains


def test_abstains_above_the_stated_share_of_the_image_and_not_at_it():
    assert not Calibration(outer=OUTER, abstain_above=0.8).bounds(ROW).abstains
    assert Calibration(outer=OUTER, abstain_above=0.79).bounds(ROW).abstains


def test_an_outer_threshold_of_zero_is_the_whole_image_and_abstains():
    zero = dataclasses.replace(OUTER, threshold=0.0)
    bounds = Calibration(outer=zero).bounds(np.zeros((1, 3, 3), np.float32))
    assert bounds.outer.all()
    assert bounds.abstains


@pytest.mark.parametrize("missing", [None, NONE])
def test_without_a_guarantee_there_is_no_mask(missing):
    bounds = Calibration(outer=missing, inner=missing).bounds(ROW)
    assert bounds.outer is bounds.inner is bounds.outer_share is None
    assert not bounds.abstains


@pytest.mark.parametrize(
    "calibration",
    [
        Calibration(),
        Calibration(
            temperature=1.37,
            operating_threshold=0.9,
            outer=OUTER,
            inner=NONE,
            abstain_above=0.4,
            chosen_on={"part": "calibration", "mean_dice": 0.7},
        ),
    ],
)
def test_json_gives_the_same_calibration_back(calibration):
    text = json.dumps(calibration.to_document(), allow_nan=False)
    assert Calibration.from_document(json.loads(text), source="calibration.json") == calibration


def test_reads_what_the_first_version_wrote():
    document = {
        "schema_version": 1,
        "operating_threshold": 0.97,
        "chosen_on": {"part": "calibration", "threshold": 0.97, "mean_dice": 0.65},
    }
    found = Calibration.from_document(document, source="calibration.json")
    assert (found.temperature, found.operating_threshold) == (1.0, 0.97)
    assert found.outer is found.inner is None
    assert found.chosen_on["mean_dice"] == 0.65


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schema_version": 3}, "version 1 or 2, got 3"),
        ({"operating_threshold": None}, "run/calibration.json: expected the fields"),
        ({"temperature": -1}, "above 0"),
        ({"outer": {"threshold": 0.5}}, "alpha"),
        ({"outer": {**dataclasses.asdict(OUTER), "threshold": 1.5}}, "must be a probability"),
    ],
)
def test_refuses_a_damaged_document(change, message):
    document = Calibration().to_document() | change
    with pytest.raises(InputError, match=message):
        Calibration.from_document(document, source="run/calibration.json")


def test_the_class_temperature_is_kept_and_names_the_model_where_there_is_one():
    plain = Calibration(temperature=2.0)
    of_classes = dataclasses.replace(plain, class_temperature=1.5)
    assert Calibration.from_document(of_classes.to_document(), source="x") == of_classes
    assert "class" not in plain.signature()
    assert (
        of_classes.signature() != dataclasses.replace(of_classes, class_temperature=1.6).signature()
    )
    with pytest.raises(InputError, match="temperature"):
        dataclasses.replace(plain, class_temperature=-1.0)


@pytest.mark.parametrize("name", ["mirrored", "gated"])
def test_a_calibration_on_other_answers_is_another_model_and_is_kept(name):
    plain, other = Calibration(temperature=2.0), Calibration(temperature=2.0, **{name: True})
    assert plain.signature() != other.signature()
    assert Calibration(**{name: True}).signature()
    assert Calibration.from_document(other.to_document(), source="x") == other
    older = {key: value for key, value in plain.to_document().items() if key != name}
    assert Calibration.from_document(older, source="x") == plain


def test_says_how_the_network_is_asked():
    assert Calibration().answers is None
    both = Calibration(mirrored=True, gated=True).answers
    assert both == "averaged with those on the mirrored picture, gated by the class normal"


@given(
    hnp.arrays(np.float32, 20, elements=st.floats(-50, 50, width=32)),
    st.floats(0, 1),
)
def test_the_gate_lowers_findings_and_moves_no_outline(logits, normal):
    gated = apply_gate(logits, {"normal": normal, "benign": 1 - normal})
    assert gated.dtype == np.float32
    np.testing.assert_array_equal(gated[logits <= 0], logits[logits <= 0])
    assert (gated <= logits).all()
    assert (gated[logits > 0] >= 0).all()
    if normal == 0:
        np.testing.assert_array_equal(gated, logits)


def test_without_a_class_for_normal_pictures_there_is_no_gate():
    logits = np.array([-1.0, 2.0], np.float32)
    np.testing.assert_array_equal(apply_gate(logits, {"benign": 0.5, "malignant": 0.5}), logits)
    np.testing.assert_array_equal(apply_gate(logits, {}), logits)
