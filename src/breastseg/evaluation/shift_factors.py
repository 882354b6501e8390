"""What may set the images of two data sets apart, and the kinds that each factor sorts them into.

    for each image:  describe(case, label=..., scanner=...) -> ImageFacts
    at the end:      sort_into_kinds(factor, first, second) -> Sorted, for shift.decompose

Only images with a lesion are looked at, since the Dice is defined on them alone.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from breastseg.core.errors import ReferenceMaskError
from breastseg.core.image import Case
from breastseg.datasets.inspection.pictures import grey_range
from breastseg.evaluation.matching import equivalent_diameter
from breastseg.evaluation.shift import MIN_GROUPS, NUM_BINS, name_ranges, shared_bounds

TOGETHER = ("brightness", "relative_size", "class")
_IMAGES_PER_BIN = 2 * MIN_GROUPS
NUM_TOGETHER = 2
"""Ranges of each number where factors are taken together: more would leave cells empty."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageFacts:
    """What an image is like, whatever a model makes of it.

    brightness, contrast: mean and standard deviation of the grey values, as a share of the range
        that the file uses (1, 255 or 65535).
    relative_size: area of all lesions over that of the image.
    diameter_px, diameter_mm: of the disc, or in a volume the ball, of the size of all lesions;
        in mm None where the spacing is not known.
    label, scanner: what the data set says; None where it says nothing.
    """

    case_id: str
    brightness: float
    contrast: float
    relative_size: float
    diameter_px: float
    diameter_mm: float | None
    label: str | None
    scanner: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Factor:
    """One factor: of a number in a unit, which is cut into ranges, or of names."""

    key: str
    name: str
    definition: str
    number_of: Callable[[ImageFacts], float] | None = None
    name_of: Callable[[ImageFacts], str | None] | None = None
    unit: str = ""

    def is_known_of_all(self, images: Sequence[ImageFacts]) -> bool:
        """Whether every image has a number or a name."""
        name_of = self.name_of
        return name_of is None or all(name_of(facts) is not None for facts in images)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sorted:
    """The kind of each image of two sets, in their order, and the names of the kinds."""

    first: tuple[str | None, ...]
    second: tuple[str | None, ...]
    kinds: tuple[str, ...]


BRIGHTNESS = Factor(
    key="brightness",
    name="Brightness",
    definition="mean of all grey values of the image, in per cent of the range",
    number_of=lambda facts: 100 * facts.brightness,
    unit=" %",
)
CONTRAST = Factor(
    key="contrast",
    name="Contrast",
    definition="standard deviation of all grey values of the image, in per cent of the range",
    number_of=lambda facts: 100 * facts.contrast,
    unit=" %",
)
RELATIVE_SIZE = Factor(
    key="relative_size",
    name="Relative lesion size",
    definition="area of the lesions, in per cent of the image",
    number_of=lambda facts: 100 * facts.relative_size,
    unit=" %",
)
CLASS = Factor(
    key="class",
    name="Class",
    definition="as the data set names it",
    name_of=lambda facts: facts.label,
)
SCANNER = Factor(
    key="scanner",
    name="Scanner",
    definition="as the data set names it",
    name_of=lambda facts: facts.scanner,
)


DIAMETER_PX = Factor(
    key="diameter",
    name="Absolute lesion size",
    definition="diameter of the disc of the lesions' area, in pixels of the image, each of which "
    "may be of another length",
    number_of=lambda facts: facts.diameter_px,
    unit=" px",
)
DIAMETER_MM = Factor(
    key="diameter",
    name="Absolute lesion size",
    definition="diameter of the disc of the lesions' area",
    number_of=lambda facts: facts.diameter_mm or 0.0,
    unit=" mm",
)


def factors_for(first: Sequence[ImageFacts], second: Sequence[ImageFacts]) -> tuple[Factor, ...]:
    """Return the factors to look at; sizes in mm where the spacing of every image is known."""
    in_mm = all(facts.diameter_mm is not None for facts in (*first, *second))
    diameter = DIAMETER_MM if in_mm else DIAMETER_PX
    return (BRIGHTNESS, CONTRAST, RELATIVE_SIZE, diameter, CLASS, SCANNER)


def sort_into_kinds(
    factor: Factor,
    first: Sequence[ImageFacts],
    second: Sequence[ImageFacts],
    *,
    num_bins: int = NUM_BINS,
) -> Sorted:
    """Return the kind of each image: its name, or a range that both sets were divided by.

    Small sets get fewer ranges than num_bins, two at least: of ten images each in the smaller.
    """
    name_of, number_of = factor.name_of, factor.number_of
    if name_of is not None:
        names = [tuple(name_of(facts) for facts in side) for side in (first, second)]
        found = sorted({name for side in names for name in side if name is not None})
        return Sorted(first=names[0], second=names[1], kinds=tuple(found))
    assert number_of is not None
    values = [[number_of(facts) for facts in side] for side in (first, second)]
    most = max(2, min(len(first), len(second)) // _IMAGES_PER_BIN)
    bounds = shared_bounds(*values, num_bins=min(num_bins, most))
    kinds = name_ranges(bounds, factor.unit)
    places = [np.searchsorted(bounds, side) for side in values]
    sides = [tuple(kinds[place] for place in side) for side in places]
    return Sorted(first=sides[0], second=sides[1], kinds=kinds)


def sort_together(
    chosen: Sequence[Factor], first: Sequence[ImageFacts], second: Sequence[ImageFacts]
) -> Sorted:
    """Return the kinds of several factors at once: each combination is one."""
    parts = [sort_into_kinds(each, first, second, num_bins=NUM_TOGETHER) for each in chosen]
    sides = [
        [_combined(kinds) for kinds in zip(*columns, strict=True)]
        for columns in ([part.first for part in parts], [part.second for part in parts])
    ]
    found = {kind for side in sides for kind in side if kind is not None}
    return Sorted(first=tuple(sides[0]), second=tuple(sides[1]), kinds=tuple(sorted(found)))


def _combined(kinds: Sequence[str | None]) -> str | None:
    known = [kind for kind in kinds if kind is not None]
    return ", ".join(known) if len(known) == len(kinds) else None


def describe(case: Case, *, label: str | None, scanner: str | None) -> ImageFacts:
    """Measure an image with a lesion.

    Raises:
        ReferenceMaskError: no lesion is drawn.
    """
    num_pixels = 0 if case.reference is None else int(np.count_nonzero(case.reference))
    if not num_pixels:
        raise ReferenceMaskError(
            f"case '{case.case_id}': the size of its lesions was asked for, but none is drawn."
        )
    pixels, spacing = case.image.pixels, case.image.spacing_mm
    is_image, top = pixels.shape[0] == 1, grey_range(float(pixels.max()))
    return ImageFacts(
        case_id=case.case_id,
        brightness=float(pixels.mean()) / top,
        contrast=float(pixels.std()) / top,
        relative_size=num_pixels / pixels.size,
        diameter_px=equivalent_diameter(num_pixels, is_image=is_image),
        diameter_mm=None
        if spacing is None
        else equivalent_diameter(num_pixels, is_image=is_image, spacing_mm=spacing),
        label=label,
        scanner=scanner,
    )
