"""What must hold for the distances between any two masks; and the same found the slow way."""

from itertools import permutations

import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from breastseg.evaluation import surface
from breastseg.evaluation.surface import Tolerance, score_surfaces, size_error

SHAPES = st.tuples(st.integers(1, 3), st.integers(1, 7), st.integers(1, 7))
pairs = SHAPES.flatmap(
    lambda shape: st.tuples(hnp.arrays(np.bool_, shape), hnp.arrays(np.bool_, shape))
)
spacings = st.none() | st.tuples(*[st.floats(0.1, 5)] * 3)
tolerances = st.floats(0, 6)
LENGTHS = ("hd", "hd95", "assd")


def scores(mask, reference, spacing=None, tolerance=1.0):
    return score_surfaces(
        mask, reference, tolerance=Tolerance(mm=tolerance, px=tolerance), spacing_mm=spacing
    )


def lengths(found):
    return [getattr(found, name) for name in LENGTHS]


def slow_surface(mask, spacing):
    """Pixels with a neighbour, along an axis, that is outside the mask or the image."""
    inside = {tuple(index) for index in np.argwhere(mask).tolist()}
    axes = range(1 if mask.shape[0] == 1 else 0, 3)
    steps = [
        tuple(sign * (axis == other) for other in range(3)) for axis in axes for sign in (1, -1)
    ]
    surface_pixels = [
        point
        for point in sorted(inside)
        if any(tuple(np.add(point, step).tolist()) not in inside for step in steps)
    ]
    return np.array(surface_pixels) * np.array(spacing or (1, 1, 1))


@given(pairs, spacings, tolerances)
@settings(deadline=None)
def test_all_figures_agree_with_every_distance_between_two_surfaces(pair, spacing, tolerance):
    found = scores(*pair, spacing, tolerance)
    if not all(mask.any() for mask in pair):
        assert lengths(found) == [None] * 3
        assert found.nsd == (0.0 if pair[1].any() else None)
        return
    points = [slow_surface(mask, spacing) for mask in pair]
    apart = np.linalg.norm(points[0][:, None] - points[1][None], axis=-1)
    there, back = apart.min(axis=1), apart.min(axis=0)
    both = np.concatenate([there, back])
    expected = [
        both.max(),
        max(np.percentile(there, 95), np.percentile(back, 95)),
        both.mean(),
    ]
    assert lengths(found) == pytest.approx(expected, abs=1e-9)
    # A distance within rounding of the tolerance may fall on either side.
    if not np.isclose(both, tolerance, rtol=1e-6, atol=1e-9).any():
        assert found.nsd == (both <= tolerance).mean()


@given(pairs, spacings)
@settings(deadline=None)
def test_a_tree_and_a_distance_transform_find_the_same(pair, spacing):
    found = []
    for dense in (1, 10**9):  # surfaces are never more than the box, and always more than none
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(surface, "_DENSE", dense)
            found.append(lengths(scores(*pair, spacing)))
    assert found[0] == pytest.approx(found[1], abs=1e-9)


@given(pairs, spacings, tolerances)
@settings(deadline=None)
def test_mask_and_reference_may_change_sides(pair, spacing, tolerance):
    forth, back = (scores(*each, spacing, tolerance) for each in (pair, pair[::-1]))
    assert lengths(forth) == lengths(back)
    assert forth.size.difference == -back.size.difference
    if all(mask.any() for mask in pair):
        assert forth.nsd == back.nsd


@given(pairs, spacings, tolerances)
@settings(deadline=None)
def test_figures_stay_in_bounds_and_in_order(pair, spacing, tolerance):
    found = scores(*pair, spacing, tolerance)
    assert found.nsd is None or 0 <= found.nsd <= 1
    assert found.size.relative is None or found.size.relative >= -1
    if found.hd is None:
        return
    extent = np.multiply(np.array(pair[0].shape) - 1, spacing or (1, 1, 1))
    assert 0 <= found.hd95 <= found.hd <= np.linalg.norm(extent) + 1e-9
    assert 0 <= found.assd <= found.hd
    assert scores(*pair, spacing, 1000.0).nsd == 1
    assert scores(*pair, spacing, tolerance + 1).nsd >= found.nsd


@given(pairs, spacings, st.sampled_from([(0,), (1,), (2,), (0, 1, 2)]))
@settings(deadline=None)
def test_flipping_both_masks_changes_nothing(pair, spacing, axes):
    found, flipped = (
        scores(*each, spacing) for each in (pair, [np.flip(mask, axes) for mask in pair])
    )
    assert lengths(flipped) == pytest.approx(lengths(found), abs=1e-9)
    assert flipped.size == found.size


@given(pairs, spacings, st.sampled_from(list(permutations(range(3)))))
@settings(deadline=None)
def test_axes_may_change_places_together_with_their_spacings(pair, spacing, order):
    # One slice is an image, so that in a volume the first axis must stay longer than 1.
    if pair[0].shape[0] == 1:
        order = sorted(order, key=bool)
    if pair[0].shape[order[0]] == 1 and pair[0].shape[0] > 1:
        return
    turned = [mask.transpose(order) for mask in pair]
    turned_spacing = spacing and tuple(spacing[axis] for axis in order)
    before, after = scores(*pair, spacing), scores(*turned, turned_spacing)
    assert lengths(after) == pytest.approx(lengths(before), abs=1e-9)
    assert after.size.difference == pytest.approx(before.size.difference)


@given(pairs, st.floats(0.1, 10), tolerances)
@settings(deadline=None)
def test_twice_the_spacing_is_twice_the_distance(pair, factor, tolerance):
    pixels = scores(*pair, None, tolerance)
    scaled = scores(*pair, (factor,) * 3, tolerance * factor)
    if pixels.hd is not None:
        assert lengths(scaled) == pytest.approx([factor * each for each in lengths(pixels)])
        assert scaled.nsd == pixels.nsd
    assert (pixels.unit, scaled.unit) == ("px", "mm")


@given(pairs, spacings)
def test_the_size_error_counts_pixels(pair, spacing):
    mask, reference = (int(each.sum()) for each in pair)
    found = size_error(*pair, spacing_mm=spacing)
    is_image = pair[0].shape[0] == 1
    pixel = 1 if spacing is None else np.prod(spacing[1:] if is_image else spacing)
    assert found.difference == pytest.approx((mask - reference) * pixel)
    assert found.relative == ((mask - reference) / reference if reference else None)
    assert found.unit == ("px" if spacing is None else "mm2" if is_image else "mm3")
