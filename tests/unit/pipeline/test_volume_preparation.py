import dataclasses

import numpy as np
import pytest
from scipy import ndimage

from breastseg.core.image import Case
from breastseg.core.volume_recipe import VolumePreprocessing
from breastseg.pipeline.volume_preparation import NUM_PLACES, prepare_volume
from tests.crude_chest import IN_LEFT_BREAST, IN_RIGHT_BREAST, LESION, crude_chest, with_lesion

AT_THE_SPINE = (0.0, 90.0, 0.0)
VOLUME = VolumePreprocessing(spacing_mm=(12.0, 8.0, 8.0), patch=(8, 16, 16))
CHEST = crude_chest(mm=6.0)
WITHOUT_LUNGS = crude_chest(mm=6.0, lungs=False)


def case_with(*centres, radius_mm=12.0, chest=CHEST):
    image = chest
    for centre in centres:
        image = with_lesion(image, centre, radius_mm)
    drawn = image.pixels == LESION
    reference = ndimage.label(drawn, structure=np.ones((3, 3, 3)))[0].astype(np.int32)
    return Case(case_id="chest", image=image, reference=reference)


@pytest.fixture(scope="module")
def both():
    """Return a chest with a lesion on either side, prepared."""
    return prepare_volume(case_with(IN_RIGHT_BREAST, IN_LEFT_BREAST), VOLUME)


def test_lesions_lie_where_the_volume_is_bright_and_searched(both):
    assert both.hu.dtype == np.int16
    assert both.hu.shape == both.target.shape == both.inside.shape
    assert both.hu.min() >= -200
    assert both.hu.max() <= 300
    assert both.hu[both.target].mean() > 100
    assert both.inside[both.target].all()
    assert 0.02 < both.inside.mean() < 0.9
    assert both.notes == ()


def test_places_are_those_of_the_region_and_of_each_lesion(both):
    assert both.inside[tuple(both.region_places.T)].all()
    assert len(both.region_places) == min(NUM_PLACES, both.inside.sum())
    labels, count = ndimage.label(both.target, structure=np.ones((3, 3, 3)))
    assert count == 2
    for number in range(count):
        places = both.lesion_places[both.lesion_places[:, 3] == number, :3]
        np.testing.assert_array_equal(places, np.argwhere(labels == number + 1))


def test_a_lesion_too_small_for_the_grid_keeps_a_voxel():
    case = case_with(IN_RIGHT_BREAST, radius_mm=12)
    single = np.zeros_like(case.reference)
    single[tuple(np.argwhere(case.reference)[0])] = 1
    coarse = VOLUME.model_copy(update={"spacing_mm": (24.0, 24.0, 24.0)})
    prepared = prepare_volume(dataclasses.replace(case, reference=single), coarse)
    assert prepared.target.sum() == 1
    assert len(prepared.lesion_places) == 1


def test_a_lesion_outside_the_breasts_is_kept_but_not_searched_and_that_is_told():
    prepared = prepare_volume(case_with(IN_RIGHT_BREAST, AT_THE_SPINE), VOLUME)
    labels, count = ndimage.label(prepared.target, structure=np.ones((3, 3, 3)))
    assert count == 2
    searched = [bool(prepared.inside[labels == number].any()) for number in (1, 2)]
    assert sorted(searched) == [False, True]
    (note,) = prepared.notes
    assert "1 of 2 lesions lie outside the breasts" in note


def test_without_a_breast_all_of_the_scan_is_searched_and_that_is_told():
    prepared = prepare_volume(case_with(AT_THE_SPINE, chest=WITHOUT_LUNGS), VOLUME)
    assert prepared.inside.all()
    assert prepared.target.any()
    assert "All of the scan is searched" in prepared.notes[0]


def test_a_volume_without_lesions_has_no_places_of_any():
    prepared = prepare_volume(case_with(), VOLUME)
    assert prepared.lesion_places.shape == (0, 4)
    assert not prepared.target.any()


def test_the_same_volume_is_prepared_alike(both):
    again = prepare_volume(case_with(IN_RIGHT_BREAST, IN_LEFT_BREAST), VOLUME)
    for field in dataclasses.fields(both):
        np.testing.assert_array_equal(getattr(again, field.name), getattr(both, field.name))
