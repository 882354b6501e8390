import numpy as np
import pytest

from breastseg.core.calibration import Calibration, ConformalThreshold
from breastseg.core.image import Case, Image
from breastseg.evaluation.matching import score_detection
from breastseg.evaluation.trust import Trust

SHAPE = (1, 10, 20)


def guarantee(threshold):
    return ConformalThreshold(threshold=threshold, alpha=0.1, tolerance=0.1, num_groups=20)


CALIBRATION = Calibration(temperature=2.0, outer=guarantee(0.3), inner=guarantee(0.7))


def reference_of(columns):
    reference = np.zeros(SHAPE, np.int32)
    reference[..., :columns] = 1
    return reference


def add(trust, name, columns, *, drawn, sure=0.8):
    """An image that says `sure` in the first columns, and 0.1 elsewhere."""
    calibrated = np.full(SHAPE, 0.1, np.float32)
    calibrated[..., :columns] = sure
    raw = np.where(calibrated > 0.5, 0.99, 0.01).astype(np.float32)
    case = Case(case_id=name, image=Image(pixels=calibrated), reference=reference_of(drawn))
    found = score_detection(case, calibrated, threshold=0.5, group=name)
    trust.add(
        name,
        name,
        calibrated=calibrated,
        raw=raw,
        reference=case.reference,
        candidates=found.candidates,
    )


def test_pixels_are_looked_at_before_and_after_and_findings_after():
    trust = Trust(CALIBRATION)
    add(trust, "a", 10, drawn=8)
    add(trust, "b", 0, drawn=0)
    found = trust.reliability()
    # image a: 2 of 10 sure columns are wrong; 0.8 says just that, 0.99 is too sure
    assert found["after"]["ece"] == pytest.approx(0.1 * 0.75)
    assert found["before"]["ece"] == pytest.approx((0.19 * 0.5 + 0.01 * 0.5 + 0.01) / 2, abs=1e-6)
    assert found["findings"]["num_added"] == 1
    assert found["findings"]["prevalence"] == 1


def test_guarantees_are_checked_by_group():
    trust = Trust(CALIBRATION)
    add(trust, "held", 10, drawn=10)
    add(trust, "missed", 5, drawn=10)
    add(trust, "everywhere", 20, drawn=10)
    found = trust.guarantees()
    assert found["promised"]["outer"]["threshold"] == 0.3
    assert found["promised"]["abstain_above"] == 0.5
    outer, inner = found["found"]["outer"], found["found"]["inner"]
    assert (outer["num_held"], outer["num_groups"]) == (2, 3)
    assert (inner["num_held"], inner["num_groups"]) == (2, 3)
    assert found["found"]["num_abstained"] == 1
    assert found["found"]["num_shown_and_missed"] == 1
    assert found["found"]["median_outer_share"] == 0.5


def test_several_models_in_turn_have_no_guarantee():
    trust = Trust(None)
    add(trust, "a", 10, drawn=8)
    assert trust.guarantees() is None
    assert trust.reliability()["after"]["num_groups"] == 1


def test_without_a_finding_there_is_no_reliability_of_findings():
    trust = Trust(CALIBRATION)
    add(trust, "a", 0, drawn=8)
    assert trust.reliability()["findings"] is None


def test_a_finding_comes_true_on_any_lesion_also_as_the_second_one():
    reference = reference_of(20)
    calibrated = np.full(SHAPE, 0.9, np.float32)
    calibrated[..., 14] = 0.1  # divides the lesion's mark into two, each large enough to be one
    case = Case(case_id="a", image=Image(pixels=calibrated), reference=reference)
    found = score_detection(case, calibrated, threshold=0.5, group="a")
    assert [each.outcome for each in found.candidates] == ["hit", "duplicate"]
    trust = Trust(CALIBRATION)
    trust.add(
        "a",
        "a",
        calibrated=calibrated,
        raw=calibrated,
        reference=reference,
        candidates=found.candidates,
    )
    assert trust.reliability()["findings"]["prevalence"] == 1
