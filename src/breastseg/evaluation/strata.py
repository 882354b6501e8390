"""Which lesions are found: of each class, of each size, or of any other kind.

Proportions of images have Wilson intervals, as in scorecard.py, which takes images as
independent. Proportions of lesions: bootstrap over groups, since lesions of a patient resemble
each other; where all or none are found that has no width, and Wilson over the lesions stands
in. Each says which.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from breastseg.evaluation.confidence import Figure, Interval, bootstrap_ratio, wilson_interval
from breastseg.evaluation.matching import ImageDetection, LesionScore

SIZE_BOUNDS_MM = (10.0, 20.0)
"""Of the diameter: where T1b ends and T2 begins, in the TNM classification of breast cancer."""

FoundLesion = tuple[ImageDetection, LesionScore]


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """A proportion of cases that can be counted, with its 95 % interval.

    value: num_found / num_cases; None where there is no case.
    """

    value: float | None
    num_found: int
    num_cases: int
    interval: Interval | None
    method: Literal["Wilson", "bootstrap over groups"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Stratum:
    """The lesions of one class or size.

    num_images: of that class; or those that hold a lesion of that size.
    lesion_sensitivity: at the operating threshold.
    sensitivity_of_all: were all candidates shown.
    false_positives_per_image, images_marked: of the class, the latter the share of its images
        in which anything is shown; None for sizes, which false positives have not.
    """

    name: str
    num_images: int
    num_lesions: int
    lesion_sensitivity: Share
    sensitivity_of_all: Share
    false_positives_per_image: Figure | None
    images_marked: Share | None


def group_lesions(
    images: Sequence[ImageDetection],
    stratum_of: Callable[[ImageDetection, LesionScore], str | None],
) -> dict[str, list[FoundLesion]]:
    """Return the lesions of each stratum, with their images; None leaves a lesion out."""
    strata: dict[str, list[FoundLesion]] = {}
    for image in images:
        for lesion in image.lesions:
            name = stratum_of(image, lesion)
            if name is not None:
                strata.setdefault(name, []).append((image, lesion))
    return strata


def group_by_size(images: Sequence[ImageDetection]) -> dict[str, list[FoundLesion]]:
    """Return the lesions by diameter, small ones first; each bound belongs to the smaller size.

    In mm the bounds are 10 and 20 mm, so that data sets can be compared. A pixel is another
    length in every image: without spacing, the bounds are the terciles of these lesions, which
    say nothing about other data. Where some images have a spacing, both are returned.
    """
    diameters: dict[str, list[float]] = {"mm": [], "px": []}
    for image in images:
        for lesion in image.lesions:
            diameters[lesion.unit].append(lesion.diameter)
    bounds = {"mm": SIZE_BOUNDS_MM}
    if diameters["px"]:
        low, high = np.quantile(diameters["px"], [1 / 3, 2 / 3])
        bounds["px"] = (float(low), float(high))

    def place(lesion: LesionScore) -> int:
        return int(np.searchsorted(bounds[lesion.unit], lesion.diameter))

    order = [_size_name(unit, bounds[unit], place) for unit in bounds for place in range(3)]
    found = group_lesions(
        images, lambda _, lesion: _size_name(lesion.unit, bounds[lesion.unit], place(lesion))
    )
    return {name: found[name] for name in dict.fromkeys(order) if name in found}


def _size_name(unit: str, bounds: tuple[float, float], place: int) -> str:
    low, high = (f"{bound:.3g}" for bound in bounds)
    return (f"up to {low} {unit}", f"{low} to {high} {unit}", f"above {high} {unit}")[place]


def by_label(images: Sequence[ImageDetection], *, seed: int = 0) -> tuple[Stratum, ...]:
    """Return the lesions and the false positives of each class that the data set names."""
    return _by_kind(images, lambda image: image.label, seed)


def by_source(
    images: Sequence[ImageDetection], sources: Mapping[str, str], *, seed: int = 0
) -> tuple[Stratum, ...]:
    """Return the lesions and the false positives of each data set, by that of each case id."""
    return _by_kind(images, lambda image: sources.get(image.case_id), seed)


def _by_kind(
    images: Sequence[ImageDetection], kind: Callable[[ImageDetection], str | None], seed: int
) -> tuple[Stratum, ...]:
    lesions = group_lesions(images, lambda image, _: kind(image))
    members: dict[str, list[ImageDetection]] = {}
    for image in images:
        if (name := kind(image)) is not None:
            members.setdefault(name, []).append(image)
    return tuple(
        _stratum(name, lesions.get(name, []), seed, members[name]) for name in sorted(members)
    )


def _stratum(
    name: str,
    lesions: Sequence[FoundLesion],
    seed: int,
    images: Sequence[ImageDetection] | None = None,
) -> Stratum:
    holders = {image.case_id for image, _ in lesions}
    return Stratum(
        name=name,
        num_images=len(holders if images is None else images),
        num_lesions=len(lesions),
        lesion_sensitivity=share_of_lesions(
            lesions, lambda image, lesion: image.finds(lesion), seed
        ),
        sensitivity_of_all=share_of_lesions(
            lesions, lambda _, lesion: lesion.score is not None, seed
        ),
        false_positives_per_image=None if images is None else false_positives(images, seed),
        images_marked=None
        if images is None
        else share_of_images([bool(image.shown) for image in images]),
    )


def by_size(images: Sequence[ImageDetection], *, seed: int = 0) -> tuple[Stratum, ...]:
    """Return the lesions of each size that there is; see group_by_size."""
    return tuple(_stratum(name, found, seed) for name, found in group_by_size(images).items())


def false_positives(images: Sequence[ImageDetection], seed: int) -> Figure:
    """Return the false positives shown per image."""
    counts = [image.num_false_positives for image in images]
    return bootstrap_ratio(counts, [1] * len(images), [image.group for image in images], seed=seed)


def share_of_lesions(
    lesions: Sequence[FoundLesion],
    is_found: Callable[[ImageDetection, LesionScore], bool],
    seed: int,
) -> Share:
    """Return the share of lesions that are found, in whatever sense."""
    outcomes = [is_found(image, lesion) for image, lesion in lesions]
    found, total = sum(outcomes), len(outcomes)
    if found in (0, total):
        return share_of_images(outcomes)
    groups = [image.group for image, _ in lesions]
    figure = bootstrap_ratio(outcomes, [1] * total, groups, seed=seed)
    return Share(
        value=figure.value,
        num_found=found,
        num_cases=total,
        interval=figure.interval,
        method="bootstrap over groups",
    )


def share_of_images(outcomes: Sequence[bool]) -> Share:
    """Return the share of images of which something is true."""
    found, total = sum(outcomes), len(outcomes)
    return Share(
        value=found / total if total else None,
        num_found=found,
        num_cases=total,
        interval=wilson_interval(found, total),
        method="Wilson",
    )
