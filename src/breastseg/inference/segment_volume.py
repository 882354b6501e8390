"""From a CT volume to its lesions: tiles inside the breasts, on the grid of the network.

Nothing of the size of the scan is made but what is asked for: what a network says is kept on
its own grid, and comes back to the voxels of the scan slab by slab.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import starmap
from typing import Self

import numpy as np
from jaxtyping import Bool
from scipy.special import expit

from breastseg.core.calibration import apply_temperature, check_temperature
from breastseg.core.errors import RecipeError, WeightsError
from breastseg.core.image import Image, LabelMap, Pixels
from breastseg.core.lesion import DEFAULT_THRESHOLD
from breastseg.core.lesion_volume import VolumeLesion, measure_lesions
from breastseg.core.recipe import Recipe
from breastseg.core.volume_findings import (
    SMALLEST_MM3,
    Candidate,
    find_candidates,
    label_candidates,
)
from breastseg.core.volume_recipe import VolumePreprocessing
from breastseg.inference.int8 import Int8Network
from breastseg.inference.runtime import Device, Precision, Runtime, RuntimeName, open_runtime
from breastseg.inference.segment import logit_of
from breastseg.networks.spec import Array
from breastseg.pipeline.breast_region import SIDES, Side
from breastseg.pipeline.search_area import Searched, search_area
from breastseg.pipeline.tiles import Tiles, Volume, logits_by_tiles
from breastseg.pipeline.volume_grid import standardise_hu

OUTSIDE_LOGIT = -1e4
"""Where no lesion is looked for: a probability of 0 at any temperature."""

Places = tuple[np.ndarray, ...]
Done = Callable[[int, int], None]


def silent(_done: int, _all: int) -> None:
    """Tell nobody of the progress."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VolumeAnswer:
    """What a network says of a volume, on its own grid.

    logits: before any temperature; the lowest finite number where no tile was run. None where
        nothing was searched.
    shape: of the image.
    """

    searched: Searched
    logits: Volume | None
    shape: tuple[int, int, int]
    temperature: float = 1.0

    def slabs(self, *, calibrated: bool = True) -> Iterator[Pixels]:
        """Yield the probability in the box of the grid, slab by slab, 0 where none is asked."""
        if not calibrated or self.temperature == 1:
            return self._masked(self._resampled(1), 0.0)
        logits = self._logit_slabs()
        return self._masked((apply_temperature(each, self.temperature) for each in logits), 0.0)

    def logit_slabs(self) -> Iterator[Pixels]:
        """Yield the logits before any temperature in the box; OUTSIDE_LOGIT outside."""
        return self._masked(self._logit_slabs(), OUTSIDE_LOGIT)

    def _logit_slabs(self) -> Iterator[Pixels]:
        return starmap(logit_of, zip(self._resampled(1), self._resampled(-1), strict=True))

    def _resampled(self, sign: int) -> Iterator[Pixels]:
        """Yield the probability of lesion, or of background where the sign is -1."""
        if self.searched.grid is not None and self.logits is not None:
            probability = np.asarray(expit(sign * self.logits), np.float32)
            for slab in self.searched.grid.invert_slabs(probability):
                # Interpolation may round a last bit beyond 1.
                yield np.clip(slab, 0, 1)

    def _masked(self, slabs: Iterator[Pixels], outside: float) -> Iterator[Pixels]:
        grid, parts = self.searched.grid, self.searched.parts
        if grid is not None and parts is not None:
            asked = grid.invert_slabs((parts > 0).astype(np.float32))
            for slab, share in zip(slabs, asked, strict=True):
                yield np.where(share >= 0.5, slab, np.float32(outside))

    def on_image(self, slabs: Iterator[Pixels], *, outside: float = 0.0) -> Pixels:
        """Return slabs of the box as one array on the image's grid."""
        whole = np.full(self.shape, outside, np.float32) if outside else _zeros(self.shape)
        if self.searched.grid is not None:
            box, at = self.searched.grid.box_of(whole), 0
            for slab in slabs:
                box[at : at + len(slab)] = slab
                at += len(slab)
        return whole


def _zeros(shape: tuple[int, int, int]) -> Pixels:
    """Return zeros of which only what is written to takes memory."""
    return np.zeros(shape, np.float32)


@dataclass(frozen=True, slots=True, kw_only=True)
class VolumePrediction:
    """What a network says of one volume; see segment.Prediction.

    answers: of one network, or of each of an ensemble, whose mean counts.
    labels: 0 is background; the lesions are numbered from 1, the most probable first.
    sides: of each lesion, the breast it lies in; None where the whole scan was searched.
    """

    case_id: str
    image: Image
    answers: tuple[VolumeAnswer, ...]
    threshold: float
    labels: LabelMap
    lesions: tuple[VolumeLesion, ...]
    sides: tuple[Side | None, ...]

    @property
    def mask(self) -> Bool[np.ndarray, "slices rows columns"]:
        """True inside any lesion."""
        return self.labels > 0

    @property
    def probability(self) -> Pixels:
        """Lesion probability of each voxel, calibrated; an array as large as the image."""
        return self.answers[0].on_image(_mean_slabs(self.answers))

    @property
    def searched(self) -> Searched:
        """Where lesions were looked for, and the breasts that were found."""
        return self.answers[0].searched

    def in_words(self) -> tuple[str, ...]:
        """Return what a reader must know of the search, a sentence each."""
        return self.searched.in_words()


@dataclass(frozen=True, slots=True)
class VolumeSegmenter:
    """A network with the preparation of CT volumes that it was trained with.

    recipe: with its part `volume`. temperature: see Segmenter.
    """

    recipe: Recipe
    runtime: Runtime
    temperature: float = 1.0

    def __post_init__(self) -> None:
        check_temperature(self.temperature)
        self._volume()

    @classmethod
    def open(
        cls,
        recipe: Recipe,
        weights: Mapping[str, Array] | Int8Network,
        *,
        runtime: RuntimeName | None = None,
        device: Device = "cpu",
        threads: int | None = None,
        precision: Precision = "float32",
        temperature: float = 1.0,
        cached: bool = False,
    ) -> Self:
        """Load a recipe's network with its weights; arguments and errors of Segmenter.open.

        Raises:
            RecipeError: the recipe is one for pictures.
        """
        network = open_runtime(
            recipe.network,
            weights,
            runtime=runtime,
            device=device,
            threads=threads,
            precision=precision,
            cached=cached,
        )
        return cls(recipe, network, temperature)

    def search_area(self, image: Image) -> Searched:
        """Find out where lesions are looked for; errors of `answer`."""
        return search_area(image, self._volume())

    def answer(
        self, image: Image, searched: Searched | None = None, *, done: Done = silent
    ) -> VolumeAnswer:
        """Run the network where lesions are looked for; not at all where there is no breast.

        Args:
            image: a CT in HU with an affine; axes in any order.
            searched: of search_area, where it is known already.
            done: told how many of the tiles are done.

        Raises:
            GeometryError: the image is empty or has no affine.
            WeightsError: the network's answer is not finite.
        """
        volume = self._volume()
        searched = searched or search_area(image, volume)
        found = None
        if searched.grid is not None and searched.parts is not None:
            prepared = standardise_hu(searched.grid.apply(image.pixels), volume)
            flat = self.recipe.network.dimensions == 2
            found = logits_by_tiles(
                self._run,
                prepared,
                volume.patch,
                wanted=searched.parts,
                reach=self.recipe.network.input_channels // 2 if flat else None,
                done=done,
            )
        slices, rows, columns = image.pixels.shape
        return VolumeAnswer(
            searched=searched,
            logits=found,
            shape=(slices, rows, columns),
            temperature=self.temperature,
        )

    def _run(self, tiles: Tiles) -> Tiles:
        logits = self.runtime.logits(tiles)
        if not np.isfinite(logits).all():
            raise WeightsError(
                "the network's logits must be finite, found NaN or infinity: its weights are too "
                "large for this volume. Predict in float32, or train again."
            )
        return logits

    def _volume(self) -> VolumePreprocessing:
        if self.recipe.volume is None:
            raise RecipeError(
                f"recipe '{self.recipe.name}': a network for CT volumes has a part `volume` that "
                "says how they are prepared, found none: it is one for pictures."
            )
        return self.recipe.volume

    def probability(self, image: Image) -> Pixels:
        """Return the lesion probability in [0, 1] of each voxel, on the image's grid.

        0 where no lesion is looked for. As large as the image in float32; `find` does without.
        Errors of `answer`.
        """
        answer = self.answer(image)
        return answer.on_image(answer.slabs())

    def probabilities(self, image: Image) -> tuple[Pixels, Pixels]:
        """Return `probability`, and what it was before the temperature; errors of `answer`."""
        answer = self.answer(image)
        probability = answer.on_image(answer.slabs())
        if self.temperature == 1:
            return probability, probability
        return probability, answer.on_image(answer.slabs(calibrated=False))

    def logits(self, image: Image) -> Pixels:
        """Return the logit of each voxel before any temperature, on the image's grid.

        OUTSIDE_LOGIT where no lesion is looked for. Errors of `answer`.
        """
        answer = self.answer(image)
        return answer.on_image(answer.logit_slabs(), outside=OUTSIDE_LOGIT)

    def predict(
        self,
        case_id: str,
        image: Image,
        threshold: float = DEFAULT_THRESHOLD,
        *,
        smallest_mm3: float = SMALLEST_MM3,
        done: Done = silent,
    ) -> VolumePrediction:
        """Find the lesions of a volume.

        Args:
            threshold: see core.volume_findings.find_candidates; in (0, 1].
            smallest_mm3: what is smaller is not shown.

        Raises:
            GeometryError, WeightsError: see answer.
            InputError: the threshold is out of range.
        """
        answers = (self.answer(image, done=done),)
        return find_in_volume(case_id, image, answers, threshold, smallest_mm3=smallest_mm3)


def find_in_volume(
    case_id: str,
    image: Image,
    answers: Sequence[VolumeAnswer],
    threshold: float,
    *,
    smallest_mm3: float = SMALLEST_MM3,
) -> VolumePrediction:
    """Find the lesions in what networks say of a volume; arguments and errors of predict.

    Args:
        answers: of the same searched area; their mean probability counts.
    """
    searched = answers[0].searched
    found = find_candidates(
        _mean_slabs(answers),
        threshold=threshold,
        smallest_voxels=smallest_mm3 / _voxel_mm3(image),
    )
    labels = np.zeros(image.pixels.shape, np.int32)
    sides = []
    for number, candidate in enumerate(found, start=1):
        assert searched.grid is not None
        places = np.unravel_index(candidate.voxels, searched.grid.sides)
        searched.grid.box_of(labels)[places] = number
        sides.append(_side(searched, places))
    return VolumePrediction(
        case_id=case_id,
        image=image,
        answers=tuple(answers),
        threshold=threshold,
        labels=labels,
        lesions=_measured(image, labels, found),
        sides=tuple(sides),
    )


def find_labels(
    image: Image, probability: Pixels, threshold: float, *, smallest_mm3: float = SMALLEST_MM3
) -> tuple[LabelMap, tuple[VolumeLesion, ...]]:
    """Find the lesions in a whole probability map of a volume, as predict does; its errors."""
    labels, found = label_candidates(
        probability,
        threshold=threshold,
        voxel_mm3=_voxel_mm3(image),
        smallest_mm3=smallest_mm3,
    )
    return labels, _measured(image, labels, found)


def _measured(
    image: Image, labels: LabelMap, found: Sequence[Candidate]
) -> tuple[VolumeLesion, ...]:
    measured = measure_lesions(image, labels, in_hu=True)
    return tuple(
        replace(lesion, probability=candidate.probability)
        for lesion, candidate in zip(measured, found, strict=True)
    )


def _voxel_mm3(image: Image) -> float:
    assert image.affine is not None
    return float(abs(np.linalg.det(image.affine[:3, :3])))


def _mean_slabs(answers: Sequence[VolumeAnswer]) -> Iterator[Pixels]:
    if len(answers) == 1:
        return answers[0].slabs()
    together = zip(*(answer.slabs() for answer in answers), strict=True)
    return (np.asarray(np.mean(slabs, axis=0), np.float32) for slabs in together)


def _side(searched: Searched, places: Places) -> Side | None:
    """Return the breast that most voxels of a lesion belong to; places are in the box."""
    if searched.region is None or searched.grid is None or searched.parts is None:
        return None
    inside = tuple(
        np.minimum(((place + 0.5) / step).astype(int), size - 1)
        for place, step, size in zip(places, searched.grid.scale, searched.grid.shape, strict=True)
    )
    counts = np.bincount(searched.parts[inside], minlength=max(SIDES.values()) + 1)
    return max(SIDES, key=lambda side: int(counts[SIDES[side]]))
