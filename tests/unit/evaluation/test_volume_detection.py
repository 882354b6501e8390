from dataclasses import replace

import pytest

from breastseg.evaluation.lesion_traits import LesionTraits
from breastseg.evaluation.matching import CandidateScore, ImageDetection, LesionScore
from breastseg.evaluation.volume_detection import summarise_volumes

TRAITS = LesionTraits(
    label=1,
    diameter_mm=12.0,
    mean_hu=50.0,
    contrast_hu=90.0,
    gland_contrast_hu=20.0,
    gland_around=0.2,
    surroundings="in fat",
    breast_density=0.1,
)


def volume(name, found=(), false=(), duplicates=(), threshold=0.6):
    """A volume with a lesion for each score (None: never found), and what else was marked."""
    lesions = tuple(
        LesionScore(label=n, size_px=9, diameter=12.0, unit="mm", score=score, iou=0.5)
        for n, score in enumerate(found, start=1)
    )
    marks = [
        CandidateScore(score=lesion.score, size_px=9, iou=0.5, lesion=lesion.label, outcome="hit")
        for lesion in lesions
        if lesion.score is not None
    ]
    for scores, outcome in ((false, "false positive"), (duplicates, "duplicate")):
        marks += [
            CandidateScore(score=each, size_px=9, iou=0.0, lesion=None, outcome=outcome)
            for each in scores
        ]
    return ImageDetection(
        case_id=name,
        group=name,
        label=None,
        score=max((each.score for each in marks), default=0.0),
        threshold=threshold,
        outline=0.5,
        min_iou=0.1,
        lesions=lesions,
        candidates=tuple(marks),
    )


def traits_of(*sizes, **changes):
    return tuple(
        replace(TRAITS, label=label, diameter_mm=size, **changes)
        for label, size in enumerate(sizes, start=1)
    )


@pytest.fixture
def images():
    # Falling: .9 hit of 25 mm, .8 false, .75 hit of 12 mm, .7 false, .65 false, .6 false,
    # .55 hit of 8 mm. Four volumes: one false positive each is kept to from .6 on.
    return [
        volume("a", found=(0.9, 0.55), false=(0.8,)),
        volume("b", found=(0.75, None), false=(0.7,)),
        volume("c", false=(0.65,)),
        volume("d", false=(0.6, 0.52)),
    ]


@pytest.fixture
def traits():
    return {"a": traits_of(25.0, 8.0), "b": traits_of(12.0, 10.0), "c": (), "d": ()}


def test_the_threshold_is_the_lowest_that_keeps_to_the_rate(images, traits):
    found = summarise_volumes(images, traits)
    assert found.threshold_at_rate == 0.55
    assert (found.large.num_found, found.large.num_cases) == (2, 3)
    assert found.num_lesion_free == 2
    assert found.false_positives_per_lesion_free.value == 1
    assert found.false_positives_per_lesion_free_at_rate.value == 1


def test_strata_are_read_at_the_threshold_and_at_the_rate(images, traits):
    found = summarise_volumes(images, traits)
    sizes = {
        part.size: (part.num_lesions, part.at_threshold.num_found, part.at_rate.num_found)
        for part in found.by_size
    }
    assert sizes == {
        "under 10 mm": (1, 0, 1),
        "10 to 20 mm": (2, 1, 1),
        "above 20 mm": (1, 1, 1),
    }
    assert [part.surroundings for part in found.by_surroundings] == ["in fat"]
    assert sum(part.num_lesions for part in found.cells) == 4


def test_hard_cases_are_told_even_where_there_are_none(images, traits):
    isodense, small = summarise_volumes(images, traits).hard
    assert (isodense.surroundings, isodense.num_lesions) == ("isodense in gland", 0)
    assert isodense.at_rate.value is None
    assert (small.size, small.num_lesions) == ("under 10 mm", 1)


def test_a_hit_of_another_kind_is_no_false_positive_and_a_duplicate_is_one():
    images = [volume("a", found=(0.9, 0.5)), volume("b", found=(0.8,), duplicates=(0.7, 0.6))]
    traits = {"a": traits_of(8.0, 12.0), "b": traits_of(8.0)}
    found = summarise_volumes(images, traits, rate=0.5)
    assert found.threshold_at_rate == 0.7
    assert found.large.num_found == 0
    assert summarise_volumes(images, traits, rate=1.0).large.num_found == 1


def test_where_the_first_score_is_false_nothing_keeps_to_a_low_rate():
    images = [volume("a", found=(0.7,), false=(0.9,)), volume("b", false=(0.8,))]
    found = summarise_volumes(images, {"a": traits_of(12.0), "b": ()}, rate=0.25)
    assert found.threshold_at_rate is None
    assert found.large.num_found == 0
    assert found.false_positives_per_lesion_free_at_rate.value == 0


def test_masks_alone_are_read_as_they_are(images, traits):
    found = summarise_volumes(images, traits, has_scores=False)
    assert found.threshold_at_rate is None
    assert found.false_positives_per_lesion_free_at_rate is None
    assert all(part.at_rate is None for part in (*found.by_size, *found.cells, *found.hard))
    assert (found.large.num_found, found.large.num_cases) == (2, 3)


def test_what_is_not_measured_is_a_kind_of_its_own(images):
    traits = {
        "a": traits_of(25.0, 8.0, surroundings=None, breast_density=None),
        "b": traits_of(12.0, 10.0),
        "c": (),
        "d": (),
    }
    found = summarise_volumes(images, traits)
    assert [part.surroundings for part in found.by_surroundings] == ["in fat", "not measured"]
    assert [part.density for part in found.by_density] == ["6 to 13 %", "not measured"]


def test_the_interval_of_a_share_at_the_rate_holds_it(images, traits):
    large = summarise_volumes(images, traits).large
    assert large.method == "bootstrap over groups"
    assert large.interval.low <= large.value <= large.interval.high
    assert large.value == pytest.approx(2 / 3)
