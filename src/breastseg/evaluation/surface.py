"""How far two outlines lie apart, and how far a size is off: HD, HD95, ASSD, NSD, size error.

The surface of a mask is the mask without its erosion by the cross (4 neighbours in an image,
6 in a volume). The edge of the image counts as outside: what touches it is surface. One slice
alone is an image, with no surface towards other slices. D is the set of distances from each
surface pixel of the mask to the nearest one of the reference, R the set the other way round,
between pixel centres, in mm where the spacing is known, else in pixels. Of these two sets,
found once, come

    HD      max(max D, max R)
    HD95    max(95th percentile of D, of R), linear between ranks
    ASSD    (sum D + sum R) / (|D| + |R|)
    NSD     (number in D up to t + number in R up to t) / (|D| + |R|), t the tolerance

Where the masks are empty, or not (a distance has no largest value to put in its place; an
image's diagonal would make a mean a matter of the image's size):

    reference   mask        HD, HD95, ASSD   NSD     size difference   relative
    a lesion    something   value            value   value             value
    a lesion    nothing     None             0       minus the lesion  -1
    no lesion   something   None             None    the mask          None
    no lesion   nothing     None             None    0                 None

One pixel is its own surface, so that all of this is defined for it. Who averages must say how
many images were left out.

MONAI 1.6 has the same surface and the same HD, HD95, ASSD (its average surface distance with
symmetric=True) and NSD (use_subvoxels=False), to the float32 that it computes in; golden tests
hold its numbers. It differs where a mask is empty (infinity or NaN for distances; NSD 0 for a
false alarm on an empty reference), and takes a volume of one slice as a volume, in which each
pixel is surface. DeepMind's surface-distance weights the surface elements by their area, for
which NSD here counts pixels: in volumes with thick slices the two differ. medpy pools D and R
before it takes the percentile, which gives smaller values of HD95.

Source: Maier-Hein et al. 2024 (Metrics reloaded), doi:10.1038/s41592-023-02151-z; NSD: Nikolov
et al. 2021, doi:10.2196/26151, with the surface as pixels; pitfalls: Reinke et al. 2024,
doi:10.1038/s41592-023-02150-0.
"""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float64
from scipy import ndimage
from scipy.spatial import KDTree

from breastseg.core.errors import InputError
from breastseg.evaluation.overlap import Mask, require_same_grid

Unit = Literal["px", "mm"]
SizeUnit = Literal["px", "mm2", "mm3"]
Spacing = tuple[float, float, float]
Points = Float64[np.ndarray, "points 3"]
Lengths = Float64[np.ndarray, " points"]
_Box = tuple[slice, slice, slice]

PERCENTILE = 95
_LEAF_SIZE = 32
_DENSE = 5
_ROUNDING = 1e-9


@dataclass(frozen=True, slots=True)
class Distance:
    """A length that says what it is measured in."""

    value: float
    unit: Unit


def _require_tolerance(value: float) -> None:
    if not 0 <= value < math.inf:
        raise InputError(f"a tolerance must be a length of at least 0, got {value}.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Tolerance:
    """How far a surface may be off and still count as right, for each unit of lengths.

    There is no agreed tolerance for breast lesions: an NSD is only said together with its own.

    mm: in images whose spacing is known, >= 0.
    px: in all others, >= 0.
    """

    mm: float
    px: float

    def __post_init__(self) -> None:
        for value in (self.mm, self.px):
            _require_tolerance(value)

    def in_unit(self, unit: Unit) -> float:
        """Return the tolerance in that unit."""
        return self.mm if unit == "mm" else self.px


DEFAULT_TOLERANCE = Tolerance(mm=1.0, px=3.0)
"""In pixels, the median ASSD of two drawings of one BUSI image at most 400 pixels wide (see
docs/reference/metrics.md); it would be too strict for larger images. In mm, a convention."""


@dataclass(frozen=True, slots=True)
class SurfaceDistances:
    """All distances between two surfaces, each of at least one pixel.

    from_mask: D of the module, from each surface pixel of the mask to the reference's surface.
    from_reference: R of the module, the other way round.
    """

    from_mask: Lengths
    from_reference: Lengths

    def hausdorff(self, percentile: float = 100) -> float:
        """Return the larger of the two directed percentiles; 100 is the Hausdorff distance."""
        ours = np.percentile(self.from_mask, percentile)
        return float(max(ours, np.percentile(self.from_reference, percentile)))

    def average(self) -> float:
        """Return the mean over the distances of both directions together (ASSD)."""
        total = self.from_mask.sum() + self.from_reference.sum()
        return float(total / (self.from_mask.size + self.from_reference.size))

    def share_within(self, tolerance: float) -> float:
        """Return the share of all surface pixels at most so far from the other surface (NSD).

        A distance that equals the tolerance counts, also where rounding puts it a billionth
        above, as 3 x 0.1 mm lies above 0.3 mm.
        """
        limit = tolerance * (1 + _ROUNDING)
        within = sum(int((part <= limit).sum()) for part in (self.from_mask, self.from_reference))
        return within / (self.from_mask.size + self.from_reference.size)


@dataclass(frozen=True, slots=True, kw_only=True)
class SizeError:
    """Mask minus reference: above 0 where too much is marked.

    difference: of the areas or volumes, in unit.
    relative: the difference over the size of the reference, >= -1; None where that is empty.
    unit: mm2 in an image, mm3 in a volume; px (pixels or voxels) where no spacing is known.
    """

    difference: float
    relative: float | None
    unit: SizeUnit


@dataclass(frozen=True, slots=True, kw_only=True)
class SurfaceScores:
    """All of the module's figures for one image; see there where they are None.

    unit: of hd, hd95, assd and the tolerance, also where they are None.
    """

    hd: float | None
    hd95: float | None
    assd: float | None
    nsd: float | None
    tolerance: float
    unit: Unit
    size: SizeError


def score_surfaces(
    mask: Mask,
    reference: Mask,
    *,
    tolerance: Tolerance = DEFAULT_TOLERANCE,
    spacing_mm: Spacing | None = None,
) -> SurfaceScores:
    """Return every figure of this module for one image; the distances are found once.

    Args:
        mask: True where a lesion was marked, axes (slice, row, column).
        reference: True where a reader drew one.
        tolerance: of the NSD.
        spacing_mm: distance of pixel centres along (slice, row, column); None if not known.

    Raises:
        GeometryError, InputError: see surface_distances.

    >>> first, second = np.zeros((2, 1, 1, 9), bool)
    >>> first[..., 1:3], second[..., 1:6] = True, True
    >>> scores = score_surfaces(first, second, tolerance=Tolerance(mm=1, px=1))
    >>> scores.hd, scores.assd, scores.nsd, scores.size.difference
    (3.0, 0.8571428571428571, 0.7142857142857143, -3.0)
    """
    found = surface_distances(mask, reference, spacing_mm=spacing_mm)
    unit = unit_of(spacing_mm)
    limit = tolerance.in_unit(unit)
    return SurfaceScores(
        hd=None if found is None else found.hausdorff(),
        hd95=None if found is None else found.hausdorff(PERCENTILE),
        assd=None if found is None else found.average(),
        nsd=_nsd(found, reference, limit),
        tolerance=limit,
        unit=unit,
        size=size_error(mask, reference, spacing_mm=spacing_mm),
    )


def hausdorff(mask: Mask, reference: Mask, *, spacing_mm: Spacing | None = None) -> Distance | None:
    """Return the Hausdorff distance; None where a mask is empty. One stray pixel decides it.

    Raises:
        GeometryError, InputError: see surface_distances.
    """
    found = surface_distances(mask, reference, spacing_mm=spacing_mm)
    return None if found is None else Distance(found.hausdorff(), unit_of(spacing_mm))


def hausdorff_95(
    mask: Mask, reference: Mask, *, spacing_mm: Spacing | None = None
) -> Distance | None:
    """Return the HD95 of two masks; None where one of them is empty.

    Args:
        spacing_mm: distance between pixel centres along (slice, row, column). None where it
            is not known: the distance is then in pixels and says so.

    Raises:
        GeometryError, InputError: see surface_distances.

    >>> here, there = np.zeros((2, 1, 1, 9), bool)
    >>> here[..., 1], there[..., 5] = True, True
    >>> hausdorff_95(here, there)
    Distance(value=4.0, unit='px')
    """
    found = surface_distances(mask, reference, spacing_mm=spacing_mm)
    return None if found is None else Distance(found.hausdorff(PERCENTILE), unit_of(spacing_mm))


def average_surface_distance(
    mask: Mask, reference: Mask, *, spacing_mm: Spacing | None = None
) -> Distance | None:
    """Return the average symmetric surface distance (ASSD); None where a mask is empty.

    Raises:
        GeometryError, InputError: see surface_distances.
    """
    found = surface_distances(mask, reference, spacing_mm=spacing_mm)
    return None if found is None else Distance(found.average(), unit_of(spacing_mm))


def normalised_surface_dice(
    mask: Mask, reference: Mask, *, tolerance: float, spacing_mm: Spacing | None = None
) -> float | None:
    """Return the share of both surfaces that lies within the tolerance of the other (NSD).

    Args:
        tolerance: in mm where spacing_mm is given, else in pixels; >= 0.

    Returns:
        In [0, 1]; 0 where a lesion was left unmarked; None where the reference is empty.

    Raises:
        GeometryError, InputError: see surface_distances; the tolerance is out of range.

    >>> mask, reference = np.zeros((2, 1, 1, 9), bool)
    >>> mask[..., 1], reference[..., 3] = True, True
    >>> [normalised_surface_dice(mask, reference, tolerance=pixels) for pixels in (1, 2)]
    [0.0, 1.0]
    """
    _require_tolerance(tolerance)
    found = surface_distances(mask, reference, spacing_mm=spacing_mm)
    return _nsd(found, reference, tolerance)


def size_error(mask: Mask, reference: Mask, *, spacing_mm: Spacing | None = None) -> SizeError:
    """Return by how much the area (one slice) or volume of a mask is off, with its sign.

    Raises:
        GeometryError, InputError: see surface_distances.

    >>> mask, reference = np.zeros((2, 1, 4, 4), bool)
    >>> mask[:, :3], reference[:, :2] = True, True
    >>> size_error(mask, reference, spacing_mm=(1.0, 0.5, 0.5))
    SizeError(difference=1.0, relative=0.5, unit='mm2')
    """
    require_same_grid(mask, reference)
    drawn = int(np.count_nonzero(reference))
    pixels = int(np.count_nonzero(mask)) - drawn
    pixel_size, unit = _pixel_size(mask.shape[0] == 1, spacing_mm)
    return SizeError(
        difference=pixels * pixel_size, relative=pixels / drawn if drawn else None, unit=unit
    )


def unit_of(spacing_mm: Spacing | None) -> Unit:
    """Return the unit of lengths in an image of that spacing."""
    return "px" if spacing_mm is None else "mm"


def surface_distances(
    mask: Mask, reference: Mask, *, spacing_mm: Spacing | None = None
) -> SurfaceDistances | None:
    """Return all distances between the surfaces of two masks; None where one is empty.

    Only the box around both masks is looked at.

    Args:
        mask, reference: axes (slice, row, column); the figures change sides with them.
        spacing_mm: distance of pixel centres along (slice, row, column); None if not known:
            all lengths are then in pixels.

    Raises:
        GeometryError, InputError: see overlap.require_same_grid; a spacing is not above 0.
    """
    require_same_grid(mask, reference)
    scale = _scale(spacing_mm)
    if not (mask.any() and reference.any()):
        return None
    box = _joint_box(mask, reference)
    # One slice alone is an image: it has no surface towards other slices.
    axes = range(1 if mask.shape[0] == 1 else 0, 3)
    ours, theirs = _surface(mask[box], axes), _surface(reference[box], axes)
    # A k-d tree of the surfaces is exact and 50 to 80 times as fast as a distance transform of
    # the box for a lesion's outline; for noise, where all is surface, it is 4 times as slow.
    if np.count_nonzero(ours) + np.count_nonzero(theirs) > ours.size // _DENSE:
        return SurfaceDistances(
            ndimage.distance_transform_edt(~theirs, sampling=scale)[ours],
            ndimage.distance_transform_edt(~ours, sampling=scale)[theirs],
        )
    first, second = np.argwhere(ours) * scale, np.argwhere(theirs) * scale
    return SurfaceDistances(_to_nearest(first, second), _to_nearest(second, first))


def _scale(spacing_mm: Spacing | None) -> Float64[np.ndarray, "3"]:
    scale = np.array(spacing_mm or (1.0, 1.0, 1.0), np.float64)
    if scale.shape != (3,) or not (np.isfinite(scale) & (scale > 0)).all():
        raise InputError(
            "the spacing must be three lengths in mm above 0, along (slice, row, column), got "
            f"{spacing_mm}. Pass None where it is not known."
        )
    return scale


def _joint_box(mask: Mask, reference: Mask) -> _Box:
    """Return the smallest box that holds both masks, one of which must not be empty."""
    either = mask | reference
    planes = either.any(axis=0)
    inside = (either.any(axis=(1, 2)), planes.any(axis=1), planes.any(axis=0))
    ends = [np.flatnonzero(axis)[[0, -1]].tolist() for axis in inside]
    first, second, third = (slice(start, last + 1) for start, last in ends)
    return first, second, third


def _surface(mask: Mask, axes: range) -> Mask:
    """Return the pixels with a neighbour along one of the axes that is outside the mask.

    The box's edge counts as outside: it is either the edge of the image, or beyond it there
    is none of the mask. As slices of an array this is ten times as fast as scipy's erosion.
    """
    padded = np.pad(mask, 1)
    inner = mask.copy()
    whole = slice(1, -1)
    for axis in axes:
        for side in (slice(None, -2), slice(2, None)):
            window = [whole, whole, whole]
            window[axis] = side
            inner &= padded[tuple(window)]
    surface: Mask = mask & ~inner
    return surface


def _to_nearest(start: Points, goal: Points) -> Lengths:
    tree = KDTree(goal, leafsize=_LEAF_SIZE, compact_nodes=False, balanced_tree=False)
    distances: Lengths = tree.query(start)[0]
    return distances


def _nsd(found: SurfaceDistances | None, reference: Mask, tolerance: float) -> float | None:
    if found is not None:
        return found.share_within(tolerance)
    return 0.0 if reference.any() else None


def _pixel_size(is_image: bool, spacing_mm: Spacing | None) -> tuple[float, SizeUnit]:
    if spacing_mm is None:
        return 1.0, "px"
    scale = _scale(spacing_mm)
    if is_image:
        return float(scale[1:].prod()), "mm2"
    return float(scale.prod()), "mm3"
