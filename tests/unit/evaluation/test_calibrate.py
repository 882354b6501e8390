import json

import numpy as np
import pytest
from scipy.special import expit, logit

from breastseg.core.calibration import Calibration, apply_temperature
from breastseg.evaluation.calibrate import CalibrationImage, calibrate
from breastseg.evaluation.coverage import check_bounds, score_bounds

TEMPERATURE = 2.5


def image(rng, group, *, has_lesion=True):
    """Return a disc that the network sees with noise, and is surer of than it may be."""
    distance = np.hypot(*(np.indices((32, 32)) - rng.uniform(10, 22, (2, 1, 1))))
    true = rng.uniform(4, 8) - distance if has_lesion else -1 - distance
    true = true + rng.normal(0, 1, true.shape) + rng.normal(0, 0.7)
    reference = rng.random(true.shape) < expit(true) if has_lesion else np.zeros((32, 32), bool)
    return CalibrationImage(
        logits=np.float32(true * TEMPERATURE)[None], reference=reference[None], group=group
    )


def images(seed, count):
    rng = np.random.default_rng(seed)
    return [image(rng, number, has_lesion=number % 6 > 0) for number in range(count)]


@pytest.fixture(scope="module")
def calibration():
    part = images(0, 60)
    return calibrate(lambda: part)


def test_everything_is_learnt_on_one_part(calibration):
    assert calibration.temperature == pytest.approx(TEMPERATURE, rel=0.15)
    assert 0.5 <= calibration.operating_threshold < 1
    assert (calibration.outer.num_groups, calibration.inner.num_groups) == (50, 60)
    assert 0 < calibration.outer.threshold < 0.5 < calibration.inner.threshold < 1
    assert calibration.chosen_on["part"] == "calibration"
    assert calibration.chosen_on["threshold"] == calibration.operating_threshold
    assert calibration.chosen_on["temperature"]["reason"] is None


def test_it_can_be_written_and_read(calibration):
    document = json.loads(json.dumps(calibration.to_document(), allow_nan=False))
    assert Calibration.from_document(document, source="") == calibration


def test_what_it_promises_holds_on_new_images(calibration):
    scores = [
        score_bounds(
            calibration.bounds(apply_temperature(each.logits, calibration.temperature)),
            each.reference,
            case_id=str(each.group),
            group=each.group,
        )
        for each in images(1, 300)
    ]
    found = check_bounds(scores, calibration)
    assert found.outer.share >= found.outer.expected.low
    assert found.inner.share >= found.inner.expected.low
    assert found.num_inner_empty < 150


def test_the_bounds_do_not_depend_on_the_temperature_that_was_fitted():
    part = images(2, 40)
    with_fit = calibrate(lambda: part)
    probabilities = [
        CalibrationImage(logits=each.logits / 3, reference=each.reference, group=each.group)
        for each in part
    ]
    other = calibrate(lambda: probabilities)
    assert with_fit.temperature == pytest.approx(3 * other.temperature, rel=1e-3)
    assert logit(with_fit.outer.threshold) == pytest.approx(logit(other.outer.threshold), abs=1e-2)


def test_without_images_all_is_as_without_a_calibration_part():
    found = calibrate(list)
    assert (found.temperature, found.operating_threshold) == (1.0, 0.5)
    assert found.outer.threshold is found.inner.threshold is None
    json.dumps(found.to_document(), allow_nan=False)


def test_a_network_that_says_nothing_gets_no_temperature_and_an_outer_mask_of_everything():
    part = [
        CalibrationImage(logits=np.full_like(each.logits, -2), reference=each.reference, group=i)
        for i, each in enumerate(images(3, 30))
    ]
    found = calibrate(lambda: part)
    assert found.chosen_on["temperature"]["reason"] == "one logit"
    bounds = found.bounds(apply_temperature(part[1].logits, found.temperature))
    assert bounds.outer.all()
    assert bounds.abstains
    assert not bounds.inner.any()
