"""Properties of contours to masks: areas, there and back, any orientation."""

import itertools
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from breastseg.core.image import Image
from breastseg.core.series import Series
from breastseg.io.contours import combine, enclosed
from breastseg.io.dicom_masks import read_masks
from tests.dicom_masks import Drawn, write_ct, write_rtstruct

corner_numbers = st.integers(3, 40)
# A busy machine is slow at drawing numbers, too.
unhurried = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


@unhurried
@given(
    count=corner_numbers,
    radius=st.floats(6, 18),
    turn=st.floats(0, 6.28),
    centre=st.tuples(st.floats(20, 24), st.floats(20, 24)),
)
def test_the_area_of_a_polygon_is_its_number_of_pixels(
    count: int, radius: float, turn: float, centre: tuple[float, float]
) -> None:
    angles = turn + np.arange(count) * 2 * np.pi / count
    corners = np.stack([np.sin(angles), np.cos(angles)], axis=1) * radius + centre
    area = 0.5 * count * radius**2 * np.sin(2 * np.pi / count)
    outline = 2 * count * radius * np.sin(np.pi / count)
    # A pixel on the outline is in or out: the error is a part of the outline's length.
    assert abs(np.count_nonzero(enclosed(corners, (48, 48))) - area) < 0.5 * outline + 1


@unhurried
@given(
    count=corner_numbers,
    turn=st.floats(0, 6.28),
    moved=st.tuples(st.integers(-6, 6), st.integers(-6, 6)),
)
def test_moving_a_contour_by_whole_pixels_moves_its_mask(
    count: int, turn: float, moved: tuple[int, int]
) -> None:
    angles = turn + np.arange(count) * 2 * np.pi / count
    corners = np.stack([np.sin(angles), np.cos(angles)], axis=1) * 7.3 + 20.37
    before, after = enclosed(corners, (42, 42)), enclosed(corners + moved, (42, 42))
    assert np.array_equal(np.roll(before, moved, axis=(0, 1)), after)


@settings(unhurried, max_examples=40)
@given(seed=st.integers(0, 10_000))
def test_a_mask_to_contours_and_back_is_the_mask(seed: int) -> None:
    """Outlines along the edges of pixels, found by OpenCV on a grid of half pixels."""
    mask = blob(seed)
    # Each pixel becomes 2 x 2 and a border; so OpenCV's pixel outlines lie inside the pixels.
    doubled = np.pad(np.kron(mask, np.ones((2, 2), np.uint8)), 1)
    outlines, _ = cv2.findContours(doubled, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    corners = [(outline[:, 0, ::-1].astype(float) - 1.5) / 2 for outline in outlines]
    drawn = [enclosed(each, mask.shape) for each in corners if len(each) > 2]
    assert np.array_equal(combine(drawn, exclusive=False), mask > 0)


def blob(seed: int) -> np.ndarray:
    """Return a smooth mask, often of several parts and with holes."""
    noise = np.random.default_rng(seed).normal(size=(24, 26)).astype(np.float32)
    smooth = cv2.GaussianBlur(noise, (0, 0), 2.0)
    mask = (smooth > np.quantile(smooth, 0.6)).astype(np.uint8)
    mask[[0, -1]] = 0
    mask[:, [0, -1]] = 0
    return mask


@pytest.fixture(scope="module")
def series(tmp_path_factory: pytest.TempPathFactory) -> Series:
    return write_ct(tmp_path_factory.mktemp("oblique") / "ct")


ORIENTATIONS = list(itertools.product(itertools.permutations(range(3)), (1, -1), (1, -1), (1, -1)))


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_every_orientation_of_the_grid_gives_the_same_mask(
    series: Series, orientation: tuple[tuple[int, ...], int, int, int], tmp_path: Path
) -> None:
    """The contours move with the grid into each of the 48 orientations of a patient."""
    axes, *signs = orientation
    turn = np.eye(4)
    turn[:3, :3] = np.eye(3)[list(axes)] * signs
    assert series.image.affine is not None
    turned = Series(
        case_id=series.case_id,
        modality="CT",
        image=Image(pixels=series.image.pixels, affine=turn @ series.image.affine),
        series_instance_uid=series.series_instance_uid,
        study_instance_uid=series.study_instance_uid,
        instance_paths=series.instance_paths,
        frame_of_reference_uid=series.frame_of_reference_uid,
    )
    triangle = [Drawn(place, [(1.2, 1.3), (2.1, 9.7), (11.4, 4.2)]) for place in (1, 2)]
    path = write_rtstruct(tmp_path / "rt.dcm", turned, {"tumour": triangle})
    mask = read_masks(path, turned)[0].mask
    plane = enclosed(np.array(triangle[0].corners), (14, 12))
    assert np.array_equal(mask[1], plane)
    assert np.array_equal(mask[2], plane)
    assert not mask[[0, 3, 4]].any()
