"""What a run learns on volumes: the same as on images, in one pass, of what was searched."""

from dataclasses import replace

import numpy as np
import pytest

from breastseg.core.calibration import apply_temperature
from breastseg.evaluation.calibrate import CalibrationImage, calibrate
from breastseg.evaluation.calibrate_volumes import (
    CalibrationVolume,
    calibrate_volumes,
    measure_volume,
)
from breastseg.evaluation.calibration import LogitHistogram
from breastseg.evaluation.volume_operating_point import (
    RatedCandidate,
    RatedVolume,
    choose_volume_operating_point,
)

SHAPE = (6, 12, 12)


def volume(seed, *, has_lesion=True, searched=None):
    """Return a ball that the network sees with noise, and is surer of than it may be."""
    rng = np.random.default_rng(seed)
    centre = rng.uniform(2, 4, 3) * (1, 2, 2)
    away = np.linalg.norm(np.indices(SHAPE) - centre[:, None, None, None], axis=0)
    true = np.float32(2.5 - away + rng.normal(0, 1, SHAPE)) if has_lesion else np.float32(-1 - away)
    drawn = rng.random(SHAPE) < apply_temperature(true, 1.0) if has_lesion else np.zeros(SHAPE)
    return CalibrationVolume(
        logits=3 * true,
        searched=np.ones(SHAPE, bool) if searched is None else searched,
        reference=drawn.astype(np.int32),
        missed_voxels=0,
        missed_lesions=0,
        voxel_mm3=1.0,
        group=seed,
    )


def learnt(volumes, **settings):
    histogram = LogitHistogram()
    figures = [measure_volume(each, histogram, smallest_mm3=0) for each in volumes]
    return calibrate_volumes(figures, histogram, **settings)


def test_one_pass_gives_what_two_give_of_images():
    volumes = [volume(seed, has_lesion=seed % 4 > 0) for seed in range(24)]
    images = [
        CalibrationImage(
            logits=each.logits.reshape(1, 6, -1),
            reference=each.reference.reshape(1, 6, -1) > 0,
            group=each.group,
        )
        for each in volumes
    ]
    one, two = learnt(volumes), calibrate(lambda: images)
    assert one.temperature == two.temperature == pytest.approx(3, rel=0.3)
    assert one.outer == two.outer
    assert one.inner == two.inner
    assert (one.outer.num_groups, one.inner.num_groups) == (18, 24)
    assert one.chosen_on["num_lesion_free_images"] == 6


def test_what_is_not_searched_has_no_part_in_the_temperature_but_in_the_bounds():
    half = np.zeros(SHAPE, bool)
    half[:, :6] = True
    part = [volume(seed, searched=half) for seed in range(20)]
    spoilt = [replace(each, logits=np.where(half, each.logits, 1e3)) for each in part]
    spoilt = [replace(each, logits=each.logits.astype(np.float32)) for each in spoilt]
    assert learnt(spoilt) == learnt(part)
    cut = [replace(e, logits=e.logits[:, :6], searched=half[:, :6], reference=e.reference[:, :6])
           for e in part]  # fmt: skip
    assert learnt(cut).temperature == learnt(part).temperature
    # More than a tenth of most lesions lies where nothing is looked for.
    assert learnt(part).outer.threshold == 0
    assert learnt(cut).outer.threshold > 0


def test_lesions_beyond_the_box_are_missed():
    seen = [volume(seed) for seed in range(12)]
    blind = [replace(each, missed_voxels=500, missed_lesions=1) for each in seen]
    assert learnt(blind).outer.threshold == 0
    assert learnt(seen).chosen_on["sensitivity"] > learnt(blind).chosen_on["sensitivity"]
    assert learnt(blind).chosen_on["num_lesions"] == learnt(seen).chosen_on["num_lesions"] + 12


def test_with_few_volumes_nothing_is_guaranteed():
    few = learnt([volume(seed) for seed in range(8)])
    assert few.outer.threshold is None
    assert few.inner.threshold is None
    assert few.temperature != 1


def test_volumes_in_which_nothing_was_searched_are_counted():
    nowhere = replace(volume(0), searched=np.zeros(SHAPE, bool), missed_voxels=30, missed_lesions=1)
    found = learnt([nowhere])
    assert found.temperature == 1
    assert found.operating_threshold == 0.5
    assert found.outer.num_groups == 1


def candidate(score, *, finds, voxels=10, hit=None):
    return RatedCandidate(
        score=score, voxels=voxels, hit=voxels * finds if hit is None else hit, finds=finds
    )


def test_false_positives_go_and_no_lesion_is_given_up_for_them():
    # The small lesion is a hundredth of what is drawn: its loss would hardly show in the Dice.
    rated = RatedVolume(
        candidates=(
            candidate(0.99, finds=True, voxels=990),
            candidate(0.8, finds=True),
            candidate(0.7, finds=False),
            candidate(0.6, finds=False),
        ),
        lesion_voxels=1000,
        num_lesions=2,
    )
    healthy = RatedVolume(
        candidates=(candidate(0.75, finds=False),), lesion_voxels=0, num_lesions=0
    )
    point = choose_volume_operating_point([rated, healthy])
    assert point is not None
    assert 0.75 < point.threshold <= 0.8
    assert point.sensitivity == 1
    assert point.false_positives_per_volume == 0
    assert point.candidates_per_volume == 1
    assert point.specificity == 1
    assert point.mean_dice == 1


def test_without_a_lesion_that_is_marked_there_is_nothing_to_choose_by():
    blind = RatedVolume(candidates=(candidate(0.9, finds=False),), lesion_voxels=5, num_lesions=1)
    assert choose_volume_operating_point([blind]) is None
    assert choose_volume_operating_point([replace(blind, num_lesions=0, lesion_voxels=0)]) is None
