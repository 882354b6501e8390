"""The breast region on real scans, against coarse truths that were judged on pictures of them."""

from dataclasses import dataclass

import numpy as np
import pytest

from breastseg.core.orientation import anatomy_of
from breastseg.io.dicom_series import read_series
from breastseg.pipeline.breast_region import SIDES, find_breasts

pytestmark = pytest.mark.data

SLICES = {
    "without": "ct/covid19-ny-sbu-A056642/19001229-053.dcm",
    "with": "ct/covid19-ny-sbu-A056642/19010107-111.dcm",
}


@pytest.fixture(scope="module")
def scan(shared_data):
    """Return a function that reads a series and finds its breasts, each once."""
    kept = {}

    def find(place):
        if place not in kept:
            image = read_series(shared_data / place).image
            kept[place] = image, find_breasts(image)
        return kept[place]

    return find


def measured(image, found, side):
    """Return the first and last slice, row and column of a side, as a radiologist counts."""
    mask = anatomy_of(image.affine).to_lps(found.labels) == SIDES[side]
    places = np.argwhere(mask)
    return places.min(axis=0), places.max(axis=0)


@dataclass(frozen=True)
class Truth:
    """Bounds in ml, and between which slices, rows and columns a side lies."""

    ml: tuple[float, float]
    slices: tuple[int, int]
    rows: tuple[int, int]
    columns: tuple[int, int]


TRUTHS = {
    ("ct/lidc-idri-0314", "right"): Truth((700, 1100), (14, 85), (120, 400), (0, 250)),
    ("ct/lidc-idri-0314", "left"): Truth((550, 900), (15, 85), (120, 400), (240, 500)),
    ("ct/crlm-CT-1006", "right"): Truth((220, 380), (8, 19), (70, 270), (20, 240)),
    ("ct/crlm-CT-1006", "left"): Truth((170, 360), (8, 19), (70, 270), (250, 490)),
}


@pytest.mark.parametrize(("place", "side"), TRUTHS)
def test_both_breasts_lie_where_they_were_seen(scan, place, side):
    image, found = scan(place)
    truth = TRUTHS[place, side]
    (each,) = (each for each in found.sides if each.side == side)
    assert truth.ml[0] < each.volume_ml < truth.ml[1]
    assert not each.flat
    assert "uppermost slice" in each.cut_by
    assert "lowest slice" not in each.cut_by
    low, high = measured(image, found, side)
    for axis, (first, last) in enumerate((truth.slices, truth.rows, truth.columns)):
        assert first <= low[axis] < high[axis] <= last


# Nipples and gland, as (slice, row, column) with slices from the feet; seen on the pictures.
GLAND = {
    "ct/lidc-idri-0314": {
        "right": [(36, 205, 85), (46, 205, 95)],
        "left": [(54, 215, 430), (42, 167, 419)],
    },
    "ct/crlm-CT-1006": {"right": [(16, 160, 70)], "left": [(19, 130, 420)]},
}


@pytest.mark.parametrize("place", GLAND)
def test_gland_belongs_to_its_side(scan, place):
    image, found = scan(place)
    turned = anatomy_of(image.affine).to_lps(found.labels)
    for side, places in GLAND[place].items():
        assert [turned[at] for at in places] == [SIDES[side]] * len(places)


@pytest.mark.parametrize("place", ["ct/lidc-idri-0314", "ct/crlm-CT-1006"])
def test_neither_lung_nor_rib_nor_air_belongs_to_it(scan, place):
    image, found = scan(place)
    inside = image.pixels[found.labels > 0]
    assert np.mean(inside < -400) < 0.001
    assert np.mean(inside > 250) < 0.003


def test_a_man_is_said_to_have_hardly_any_gland(scan):
    _, found = scan("ct/4d-lung-113_HM10395")
    assert [side.flat for side in found.sides] == [True, True]


def test_a_mans_shoulders_and_neck_are_left_out(scan):
    image, found = scan("ct/4d-lung-113_HM10395")
    assert not anatomy_of(image.affine).to_lps(found.labels)[45:].any()


@pytest.mark.parametrize("kind", SLICES)
def test_a_single_slice_through_both_breasts(scan, kind):
    _, found = scan(SLICES[kind])
    assert [side.side for side in found.sides] == ["right", "left"]
    assert all(not side.flat for side in found.sides)
    # The round field of view cuts the right breast off in both, as the pictures show.
    assert "field of view" in found.sides[0].cut_by


@pytest.mark.parametrize(
    ("place", "reason"),
    [
        ("dicom-interop/rtstruct-2slice", "no lung"),
        ("dicom-interop/breast-rtstruct", "no lung"),
        ("dicom-interop/transfer-syntaxes/CTImage.dcm", "no lung"),
        ("dicom-interop/seg/ct-3slice", "thin skin"),
    ],
)
def test_water_neck_shoulder_and_a_thin_abdomen_have_no_breast(scan, place, reason):
    _, found = scan(place)
    assert reason in found.refusal
    assert found.sides == ()
    assert not found.labels.any()
