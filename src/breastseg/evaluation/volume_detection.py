"""Which lesions of CT volumes are found: by size, surroundings and density of the breast.

    for each volume:  lesion_traits.measure_traits(case, region) -> LesionTraits
    at the end:       summarise_volumes(images, traits) -> VolumeDetection

Beside the operating threshold each share is read at 1 false positive per volume: a threshold is
set that the false positives of all volumes, with a lesion or without, just keep to, and lesions
of a kind count as found from it on. A candidate that finds a lesion of another kind is neither
hit nor false positive; a duplicate on it is one. In each resample of the bootstrap the threshold
is set anew.

Source: findings that are out of the question count as neither, as in LUNA16: Setio et al. 2017,
doi:10.1016/j.media.2017.06.015, section 3.3.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from breastseg.evaluation.confidence import (
    Draws,
    Figure,
    ResampledFigures,
    bootstrap_figures,
    bootstrap_ratio,
    number_groups,
)
from breastseg.evaluation.curves import Ranking, number_per_group, sensitivities_at
from breastseg.evaluation.lesion_traits import (
    DENSITY_NAMES,
    DIAMETER_BOUNDS_MM,
    SIZE_NAMES,
    SURROUNDINGS,
    LesionTraits,
    Surroundings,
)
from breastseg.evaluation.matching import ImageDetection
from breastseg.evaluation.strata import FoundLesion, Share, share_of_images, share_of_lesions

RATE = 1.0
GOAL_SENSITIVITY = 0.9
NOT_MEASURED = "not measured"

TraitsOf = Mapping[str, Sequence[LesionTraits]]
Kind = Callable[[LesionTraits], bool]


@dataclass(frozen=True, slots=True, kw_only=True)
class VolumeLesionRow:
    """One lesion of one volume: what it is like, and what became of it.

    traits: what was measured of it.
    score: of the candidate that finds it; null where none does at any threshold, 1 where masks
        alone were given.
    iou: with that candidate; 0 where there is none.
    is_found: at the operating threshold.
    """

    case_id: str
    group: str
    traits: LesionTraits
    score: float | None
    iou: float
    is_found: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class TraitStratum:
    """The lesions of one size, surroundings or density, or of several of these.

    size, surroundings, density: of these lesions; null where any.
    num_volumes: that hold one.
    at_threshold: share of these lesions found at the operating threshold.
    at_rate: share found at 1 false positive per volume; null where masks alone were given.
    """

    size: str | None
    surroundings: str | None
    density: str | None
    num_volumes: int
    num_lesions: int
    at_threshold: Share
    at_rate: Share | None


@dataclass(frozen=True, slots=True, kw_only=True)
class VolumeDetection:
    """Detection in volumes.

    rate: false positives per volume at which sensitivities are read.
    threshold_at_rate: the lowest score shown there; null where nothing is, or where masks alone
        were given.
    large: share of the lesions of at least `large_from_mm` found at the rate; for masks alone, as
        they are.
    large_from_mm: of the diameter.
    goal: of that share; set before anything was measured.
    num_lesion_free: volumes without a lesion.
    false_positives_per_lesion_free: shown candidates in volumes without a lesion, per volume, at
        the operating threshold.
    false_positives_per_lesion_free_at_rate: the same at threshold_at_rate; null without it.
    by_size, by_surroundings, by_density: those that there are, each over all else.
    hard: lesions that are isodense in gland, of any size; those under 10 mm, of any surroundings.
    cells: size by surroundings by density, those that there are.
    lesions: one row each, in the order in which they were scored; lesions.csv holds the same.
    """

    rate: float
    threshold_at_rate: float | None
    large: Share
    large_from_mm: float
    goal: float
    num_lesion_free: int
    false_positives_per_lesion_free: Figure
    false_positives_per_lesion_free_at_rate: Figure | None
    by_size: tuple[TraitStratum, ...]
    by_surroundings: tuple[TraitStratum, ...]
    by_density: tuple[TraitStratum, ...]
    hard: tuple[TraitStratum, ...]
    cells: tuple[TraitStratum, ...]
    lesions: tuple[VolumeLesionRow, ...]


def summarise_volumes(
    images: Sequence[ImageDetection],
    traits: TraitsOf,
    *,
    has_scores: bool = True,
    rate: float = RATE,
    seed: int = 0,
) -> VolumeDetection:
    """Return what is told of volumes alone.

    Args:
        images: one for each volume, with a lesion or without.
        traits: of the lesions of each, by case id.
        has_scores: whether candidates have scores of their own; not so where masks were given.
        rate: false positives per volume.
        seed: of resampling.
    """
    cohort = _Cohort(images, traits, rate, seed, has_scores=has_scores)
    free = [image for image in images if not image.lesions]
    threshold = cohort.threshold_at_rate() if has_scores else None
    large = cohort.stratum(lambda each: each.diameter_mm >= DIAMETER_BOUNDS_MM[0])
    at_rate = None if threshold is None else [replace(each, threshold=threshold) for each in free]
    if has_scores and at_rate is None:
        at_rate = [replace(each, candidates=()) for each in free]
    return VolumeDetection(
        rate=rate,
        threshold_at_rate=threshold,
        large=large.at_rate or large.at_threshold,
        large_from_mm=DIAMETER_BOUNDS_MM[0],
        goal=GOAL_SENSITIVITY,
        num_lesion_free=len(free),
        false_positives_per_lesion_free=_false_positives(free, seed),
        false_positives_per_lesion_free_at_rate=None
        if at_rate is None
        else _false_positives(at_rate, seed),
        by_size=tuple(cohort.by_size()),
        by_surroundings=tuple(cohort.by_surroundings()),
        by_density=tuple(cohort.by_density()),
        hard=tuple(cohort.hard()),
        cells=tuple(cohort.cells()),
        lesions=tuple(_rows(images, traits)),
    )


def _false_positives(images: Sequence[ImageDetection], seed: int) -> Figure:
    counts = [image.num_false_positives for image in images]
    return bootstrap_ratio(counts, [1] * len(images), [image.group for image in images], seed=seed)


def _rows(images: Sequence[ImageDetection], traits: TraitsOf) -> Iterator[VolumeLesionRow]:
    for image in images:
        for lesion, measured in zip(image.lesions, traits[image.case_id], strict=True):
            yield VolumeLesionRow(
                case_id=image.case_id,
                group=image.group,
                traits=measured,
                score=lesion.score,
                iou=lesion.iou,
                is_found=image.finds(lesion),
            )


class _Cohort:
    """All volumes, from which the lesions of a kind are taken."""

    def __init__(
        self,
        images: Sequence[ImageDetection],
        traits: TraitsOf,
        rate: float,
        seed: int,
        *,
        has_scores: bool,
    ) -> None:
        self._images, self._rate, self._seed = images, rate, seed
        self._has_scores = has_scores
        self._traits = {
            (case_id, each.label): each for case_id, found in traits.items() for each in found
        }
        members, self._num_groups = number_groups([image.group for image in images])
        self._members: list[int] = members.tolist()

    def threshold_at_rate(self) -> float | None:
        """Return the lowest score that keeps to the rate; None where no score does."""
        scores = [each.score for image in self._images for each in image.candidates]
        wrong = [
            each.score
            for image in self._images
            for each in image.candidates
            if each.outcome != "hit"
        ]
        thresholds = np.unique(scores)
        above = len(wrong) - np.searchsorted(np.sort(wrong), thresholds, side="left")
        allowed = thresholds[above <= self._rate * len(self._images)]
        return float(allowed[0]) if allowed.size else None

    def by_size(self) -> Iterator[TraitStratum]:
        """Yield the lesions of each size."""
        for name in SIZE_NAMES:
            yield from self._present(size=name)

    def by_surroundings(self) -> Iterator[TraitStratum]:
        """Yield the lesions of each kind of surroundings."""
        for name in (*SURROUNDINGS, NOT_MEASURED):
            yield from self._present(surroundings=name)

    def by_density(self) -> Iterator[TraitStratum]:
        """Yield the lesions of breasts of each density."""
        for name in (*DENSITY_NAMES, NOT_MEASURED):
            yield from self._present(density=name)

    def hard(self) -> Iterator[TraitStratum]:
        """Yield the hard cases, also where there is none, so that nobody can hide them."""
        isodense: Surroundings = "isodense in gland"
        yield self.stratum(lambda each: each.surroundings == isodense, surroundings=isodense)
        yield self.stratum(lambda each: each.size_name == SIZE_NAMES[0], size=SIZE_NAMES[0])

    def cells(self) -> Iterator[TraitStratum]:
        """Yield size by surroundings by density."""
        for size in SIZE_NAMES:
            for surroundings in (*SURROUNDINGS, NOT_MEASURED):
                for density in (*DENSITY_NAMES, NOT_MEASURED):
                    yield from self._present(size, surroundings, density)

    def _present(
        self,
        size: str | None = None,
        surroundings: str | None = None,
        density: str | None = None,
    ) -> Iterator[TraitStratum]:
        def belongs(each: LesionTraits) -> bool:
            return (
                size in (None, each.size_name)
                and surroundings in (None, each.surroundings or NOT_MEASURED)
                and density in (None, each.density_name or NOT_MEASURED)
            )

        if any(map(belongs, self._traits.values())):
            yield self.stratum(belongs, size, surroundings, density)

    def stratum(
        self,
        belongs: Kind,
        size: str | None = None,
        surroundings: str | None = None,
        density: str | None = None,
    ) -> TraitStratum:
        """Return what became of the lesions of a kind."""
        lesions = [
            (image, lesion)
            for image in self._images
            for lesion in image.lesions
            if belongs(self._traits[image.case_id, lesion.label])
        ]
        return TraitStratum(
            size=size,
            surroundings=surroundings,
            density=density,
            num_volumes=len({image.case_id for image, _ in lesions}),
            num_lesions=len(lesions),
            at_threshold=share_of_lesions(
                lesions, lambda image, lesion: image.finds(lesion), self._seed
            ),
            at_rate=self._at_rate(lesions) if self._has_scores else None,
        )

    def _at_rate(self, lesions: Sequence[FoundLesion]) -> Share:
        """Return the share found at the rate, the threshold set anew in each resample."""
        threshold = self.threshold_at_rate()
        outcomes = [
            threshold is not None and lesion.score is not None and lesion.score >= threshold
            for _, lesion in lesions
        ]
        if sum(outcomes) in (0, len(outcomes)):
            return share_of_images(outcomes)
        wanted = {(image.case_id, lesion.label) for image, lesion in lesions}
        candidates = self._ranking(wanted).at_rises()
        counts = [
            sum((image.case_id, each.label) in wanted for each in image.lesions)
            for image in self._images
        ]
        per_group = number_per_group(self._members, counts, self._num_groups)
        volumes = number_per_group(self._members, [1] * len(counts), self._num_groups)

        def figures(draws: Draws) -> ResampledFigures:
            return sensitivities_at([self._rate], candidates, per_group, volumes, draws)

        size = candidates.thresholds.size
        (figure,) = bootstrap_figures(figures, self._num_groups, size=size, seed=self._seed)
        return Share(
            value=figure.value,
            num_found=sum(outcomes),
            num_cases=len(outcomes),
            interval=figure.interval,
            method="bootstrap over groups",
        )

    def _ranking(self, wanted: set[tuple[str, int]]) -> Ranking:
        """Rank hits of the wanted lesions and all false positives, and leave out other hits."""
        marks = [
            (each, member)
            for image, member in zip(self._images, self._members, strict=True)
            for each in image.candidates
            if each.outcome != "hit" or (image.case_id, each.lesion) in wanted
        ]
        return Ranking.of(
            [each.score for each, _ in marks],
            [each.outcome == "hit" for each, _ in marks],
            [member for _, member in marks],
            self._num_groups,
        )
