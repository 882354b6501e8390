from types import SimpleNamespace

import numpy as np
import pytest

from breastseg.core.calibration import Calibration, ConformalThreshold
from breastseg.core.image import Case, Image
from breastseg.workflows.evidence import Evidence

SHAPE = (1, 12, 20)
FITTED = Calibration(
    temperature=2.0,
    outer=ConformalThreshold(threshold=0.3, alpha=0.1, tolerance=0.1, num_groups=20),
    inner=ConformalThreshold(threshold=None, alpha=0.1, tolerance=0.1, num_groups=3),
)


def model(*calibrations, part=("c",)):
    split = SimpleNamespace(parts={"calibration": part})
    runs = [SimpleNamespace(calibration=each, split=split) for each in calibrations]
    return SimpleNamespace(runs=runs, is_ensemble=len(runs) > 1)


def gather(evidence):
    """Two images: in the first one of two lesions is found, in the second a false alarm."""
    for name, drawn, seen in [("a", [2, 12], [2]), ("b", [], [5])]:
        reference = np.zeros(SHAPE, np.int32)
        calibrated = np.full(SHAPE, 0.1, np.float32)
        for number, column in enumerate(drawn, start=1):
            reference[0, 2:8, column : column + 5] = number
        for column in seen:
            calibrated[0, 2:8, column : column + 5] = 0.9
        case = Case(
            case_id=name, image=Image(pixels=np.zeros(SHAPE, np.float32)), reference=reference
        )
        evidence.add(
            case, calibrated=calibrated, raw=calibrated, threshold=0.5, group=name, label=None
        )
    return evidence


def test_lesions_are_counted_one_by_one():
    found = gather(Evidence(model(FITTED))).to_document(is_own_data=True)["detection"]
    assert found["num_lesions"] == 2
    assert found["at_threshold"]["lesion_sensitivity"]["num_found"] == 1
    assert found["at_threshold"]["false_positives_per_image"]["value"] == 0.5


def test_a_calibrated_run_is_looked_at_whole():
    document = gather(Evidence(model(FITTED))).to_document(is_own_data=True)
    assert document["calibration"]["temperatures"] == [2.0]
    assert document["guarantees"]["note"] is None
    assert document["guarantees"]["found"]["outer"]["num_groups"] == 1
    assert document["guarantees"]["found"]["inner"] is None


@pytest.mark.parametrize(
    ("looked_at", "told"),
    [
        (model(Calibration()), "not calibrated"),
        (model(Calibration(), part=()), "no calibration part"),
        (model(FITTED, Calibration()), "not calibrated"),
    ],
)
def test_without_a_calibration_a_sentence_says_so(looked_at, told):
    document = gather(Evidence(looked_at)).to_document(is_own_data=True)
    for key in ("calibration", "guarantees"):
        assert told in document[key]["note"]
        assert list(document[key]) == ["note"]
    assert document["detection"]["num_images"] == 2


def test_folds_together_and_other_data_are_promised_nothing():
    folds = gather(Evidence(model(FITTED, FITTED))).to_document(is_own_data=True)
    assert folds["calibration"]["after"]["num_added"] == 2
    assert "none is claimed" in folds["guarantees"]["note"]
    other = gather(Evidence(model(FITTED))).to_document(is_own_data=False)
    assert "nothing is promised" in other["guarantees"]["note"]
    assert other["guarantees"]["found"]["num_images"] == 2
