"""The sections of the scorecard on lesions, probabilities, guarantees and leakage."""

from types import SimpleNamespace

import numpy as np
import pytest

from breastseg.core.calibration import Calibration, ConformalThreshold
from breastseg.core.image import Case, Image
from breastseg.evaluation.case_score import score_case
from breastseg.evaluation.scorecard import Contender, summarise, to_document
from breastseg.report.detection_figures import froc_figure, roc_figure
from breastseg.report.scorecard_page import scorecard_page
from breastseg.workflows.evidence import Evidence

SHAPE = (1, 24, 32)
GUARANTEE = ConformalThreshold(threshold=0.3, alpha=0.1, tolerance=0.1, num_groups=20)
TOO_FEW = ConformalThreshold(threshold=None, alpha=0.1, tolerance=0.1, num_groups=5)
CLEAN = {"images_shared": 0, "groups_shared": 0, "near_duplicates_shared": 0}


def document_of(
    calibration, *, num_normal=3, num_lesion=6, shared=CLEAN, seen=0, own=True, leaking=None
):
    split = SimpleNamespace(parts={"calibration": ("c",)})
    runs = [SimpleNamespace(calibration=calibration, split=split)]
    evidence = Evidence(SimpleNamespace(runs=runs, is_ensemble=False))
    scores = []
    for number in range(num_lesion + num_normal):
        reference = np.zeros(SHAPE, np.int32)
        if number < num_lesion:
            reference[0, 4:12, 4:16] = 1
        calibrated = np.full(SHAPE, 0.05, np.float32)
        calibrated[0, 4:12, 5 : 17 + number % 3] = 0.6 + 0.04 * number
        case = Case(
            case_id=f"case {number}",
            image=Image(pixels=np.zeros(SHAPE, np.float32)),
            reference=reference,
        )
        scores.append(score_case(case, calibrated >= 0.5, group=case.case_id))
        evidence.add(
            case,
            calibrated=calibrated,
            raw=calibrated,
            threshold=0.5,
            group=case.case_id,
            label="benign" if number < num_lesion else "normal",
        )
    run = {"parts": {"test": {"images": 9, "groups": 9}}, "method": "near-duplicate group"}
    leakage = {
        "runs": [{**run, **shared}],
        "is_own_data": own,
        "num_scored": len(scores),
        "num_known": len(scores) if own else 0,
        "num_seen": seen,
        **{"num_near_duplicates": 0, "num_group_seen": 0, "num_alike": 0},
        **{"num_compared": 0 if own else len(scores), "num_not_compared": 0},
        **{"near_duplicate_from": 0.8, "alike_from": 0.7, "pairs": []},
        "not_checked": ["Nobody looked for patients."],
        **(leaking or {}),
    }
    return to_document(
        summarise(Contender(name="the model", scores=scores)),
        evidence={**evidence.to_document(is_own_data=own), "leakage": leakage},
    )


FITTED = Calibration(temperature=1.5, outer=GUARANTEE, inner=TOO_FEW)


def test_the_whole_page():
    page = scorecard_page(document_of(FITTED), [])
    for told in (
        "6 lesions in 6 images",
        "temperature of 1.50: on the calibration part the network was too sure",
        "from 0.3",
        "5 groups in the calibration part are too few for 90 %",
        "No: of 9 scored images none was trained on",
        "Nobody looked for patients.",
        "NSD at 3 px",
    ):
        assert told in page


@pytest.mark.parametrize(
    ("temperature", "told"), [(0.5, "was not sure enough"), (1.0, "which leaves it as it is")]
)
def test_what_the_temperature_means_is_told(temperature, told):
    calibration = Calibration(temperature=temperature, outer=GUARANTEE, inner=GUARANTEE)
    assert told in scorecard_page(document_of(calibration), [])


def test_without_a_calibration_there_is_a_sentence_and_no_figure():
    page = scorecard_page(document_of(Calibration()), [])
    assert "The run was not calibrated" in page
    assert "Reliability of the pixels" not in page
    assert "Guarantees" not in page


@pytest.mark.parametrize("counts", [{"num_lesion": 0}, {"num_normal": 0}])
def test_figures_that_are_not_defined_are_left_out(counts):
    page = scorecard_page(document_of(FITTED, **counts), [])
    assert "Images with a lesion, told from those without" not in page
    assert ("Lesions found, against false positives" in page) == ("num_normal" in counts)


def test_leakage_is_an_alarm():
    seen = scorecard_page(document_of(FITTED, seen=2), [])
    assert "2 of 9 images had been seen: these figures flatter" in seen
    shared = scorecard_page(document_of(FITTED, shared={**CLEAN, "images_shared": 1}), [])
    assert "The test part shares images or groups" in shared
    other = scorecard_page(document_of(FITTED, own=False), [])
    assert "none of 9 images is a file that the run knows" in other
    assert "nothing is promised for them" in other


TWIN = {"case_id": "new 1", "how": "near duplicate", "twin": "old 7", "part": "train"}


def test_near_duplicates_are_an_alarm_with_their_names():
    leaking = {"num_near_duplicates": 1, "pairs": [{**TWIN, "likeness": 0.934}]}
    page = scorecard_page(document_of(FITTED, own=False, leaking=leaking), [])
    assert "1 of 9 images had been seen: these figures flatter" in page
    assert "1 near duplicate of images that had been" in page
    for told in ("new 1", "old 7", "0.93"):
        assert told in page


def test_what_is_alike_is_told_and_is_no_alarm():
    leaking = {"num_alike": 1, "pairs": [{**TWIN, "likeness": 0.75}]}
    page = scorecard_page(document_of(FITTED, own=False, leaking=leaking), [])
    assert "1 image of 9 that were compared resemble" in page
    assert "these figures flatter" not in page


def test_a_run_without_sketches_says_what_was_not_looked_for():
    leaking = {"num_compared": 0, "num_not_compared": 9}
    shared = {**CLEAN, "near_duplicates_shared": None}
    page = scorecard_page(document_of(FITTED, own=False, leaking=leaking, shared=shared), [])
    assert "Changed copies were not looked for" in page
    assert "not checked" in page


def test_the_figures_say_in_words_what_they_show():
    detection = document_of(FITTED)["detection"]
    froc, roc = froc_figure(detection), roc_figure(detection)
    assert "at 0.125" in froc.alt
    assert "at 8 per image" in froc.alt
    assert f"AUC {detection['image_auc']['value']:.3f}" in roc.alt
    assert froc.light.startswith("data:image/svg+xml")
    assert froc.light != froc.dark
