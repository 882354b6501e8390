"""Prepared volumes: what a training draws patches from, and what it is validated on."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from jaxtyping import Float32

from breastseg.core.network_recipe import UNLABELLED
from breastseg.core.recipe import Augmentation
from breastseg.core.volume_recipe import VolumePreprocessing
from breastseg.pipeline.augment_volume import change_look, draw_movement
from breastseg.pipeline.case_sets import Draw, Item, Look, Plane, PlaneMask, Predict, Sampling
from breastseg.pipeline.tiles import logits_by_tiles
from breastseg.pipeline.volume_grid import standardise_hu
from breastseg.pipeline.volume_store import PreparedVolume

Shape = tuple[int, int, int]

JITTER = 1 / 3
"""Of a patch's side: how far off its centre the voxel may be that it is drawn around."""
VALIDATION_OVERLAP = 0.25
"""Of neighbouring tiles in validation, which comes after each epoch; prediction takes more."""


@dataclass(frozen=True, slots=True)
class VolumePatches:
    """Patches of prepared volumes: a TrainingSet.

    Workers open the volumes by their paths, so that nothing is copied to them. All movements are
    one interpolation of a slightly larger cut. On one AMD EPYC core an augmented patch took 23 ms
    with `ct-3d` and 3 ms with `ct-25d`: beside 480 and 80 ms of processor time that a step of
    PyTorch in bfloat16 takes of each patch, 5 and 4 %.

    reach: of a network of two dimensions: how many slices before and behind a slice are further
        channels. None for three dimensions.
    """

    cases: Sequence[PreparedVolume]
    preprocessing: VolumePreprocessing
    reach: int | None = None

    @property
    def input_shape(self) -> tuple[int, ...]:
        """See TrainingSet."""
        patch = self.preprocessing.patch
        return (1, *patch) if self.reach is None else (2 * self.reach + 1, *patch[1:])

    def __len__(self) -> int:
        """Return the number of patches in an epoch."""
        return len(self.cases) * self.preprocessing.patches_per_volume

    def order(self, sampling: Sampling, *, seed: int, epoch: int) -> list[Draw]:
        """Return the patches of an epoch in random order.

        A draw is twice the volume's place, and one more for a patch around a lesion: these
        come evenly through the order, so that each batch has its share.
        """
        per_volume, share = self.preprocessing.patches_per_volume, self.preprocessing.lesion_share
        order = np.random.default_rng([seed, epoch]).permutation(len(self)).tolist()
        draws: list[Draw] = []
        for place, number in enumerate(order):
            volume, patch = divmod(number, per_volume)
            at_lesion = int((place + 1) * share) - int(place * share)
            draws.append((2 * volume + at_lesion, (1 + volume, patch)))
        return draws

    def item(self, index: int, augmentation: Augmentation, stream: np.random.Generator) -> Item:
        """See TrainingSet. index: see order; a volume without lesions gives of its region."""
        volume, at_lesion = self.cases[index // 2], bool(index % 2)
        deep = self._shape_seen()
        centre = self._centre(volume, at_lesion, stream)
        movement = draw_movement(
            augmentation,
            self.preprocessing.spacing_mm,
            stream,
            within_slices=self.reach is not None,
        )
        shape = movement.source_shape(deep)
        hu = _cut(volume.array("hu"), centre, shape).astype(np.float32)
        target = _cut(volume.array("target"), centre, shape).astype(np.float32)
        image = standardise_hu(movement.apply(hu, deep, nearest=False), self.preprocessing)
        target = movement.apply(target, deep, nearest=True)
        if augmentation != Augmentation():
            image = change_look(image, augmentation, stream)
        if self.reach is None:
            return image[None], target[None]
        return image, target[self.reach : self.reach + 1]

    def _shape_seen(self) -> Shape:
        """Return the voxels of an input with its neighbouring slices."""
        patch = self.preprocessing.patch
        return (patch[0] + 2 * (self.reach or 0), patch[1], patch[2])

    def _centre(
        self, volume: PreparedVolume, at_lesion: bool, stream: np.random.Generator
    ) -> tuple[float, ...]:
        """Draw where a patch lies, as far inside the volume as it fits.

        Each lesion is as likely as any other, whatever its size; then each of its voxels.
        """
        patch = np.array(self.preprocessing.patch)
        jitter = np.trunc(stream.uniform(-JITTER, JITTER, 3) * patch)
        if at_lesion and volume.num_lesions:
            places = volume.array("lesion_places")
            places = places[places[:, 3] == stream.integers(volume.num_lesions), :3]
        else:
            places, jitter = volume.array("region_places"), np.zeros(3)
        first = places[stream.integers(len(places))] + jitter - patch // 2
        room = np.maximum(np.array(volume.shape) - patch, 0)
        first = np.clip(first, 0, room)
        return tuple((first + (patch - 1) / 2).tolist())

    def label(self, index: int, target: Float32[np.ndarray, " 1 *space"]) -> int:
        """See TrainingSet: a patch has no class."""
        return UNLABELLED

    def some(self, count: int) -> "WholeVolumes":
        """See TrainingSet."""
        cases = self.cases[:: max(1, len(self.cases) // count)]
        return WholeVolumes(cases, self.preprocessing, self.reach)

    def shared(self) -> Self:
        """See TrainingSet."""
        return self

    def opened(self) -> Self:
        """See SharedSet."""
        return self


def _cut(array: np.ndarray, centre: Sequence[float], shape: Shape) -> np.ndarray:
    """Cut a box out of an array; beyond its ends the last voxels go on."""
    first = [round(at - (side - 1) / 2) for at, side in zip(centre, shape, strict=True)]
    inside, missing = [], []
    for start, side, size in zip(first, shape, array.shape, strict=True):
        # At least one voxel of the array, to be repeated.
        low, high = min(max(start, 0), size - 1), max(min(start + side, size), 1)
        inside.append(slice(low, high))
        missing.append((max(low - start, 0), max(start + side - high, 0)))
    cut = np.asarray(array[tuple(inside)])
    return np.pad(cut, missing, mode="edge") if any(map(any, missing)) else cut


@dataclass(frozen=True, slots=True)
class WholeVolumes:
    """Prepared volumes, each looked at tile by tile: a ValidationSet.

    What lies outside the searched region counts as not found, as in prediction.
    """

    cases: Sequence[PreparedVolume]
    preprocessing: VolumePreprocessing
    reach: int | None = None

    def looks(self, predict: Predict, batch_size: int) -> Iterator[Look]:
        """See ValidationSet; one volume at a time."""
        for place, volume in enumerate(self.cases):
            inside = np.asarray(volume.array("inside"))
            logits = logits_by_tiles(
                predict,
                standardise_hu(volume.array("hu").astype(np.float32), self.preprocessing),
                self.preprocessing.patch,
                wanted=inside,
                overlap=VALIDATION_OVERLAP,
                reach=self.reach,
            )
            logits[~inside] = np.finfo(np.float32).min
            target = np.asarray(volume.array("target"))
            yield Look(place, logits[None, None], target[None], inside[None])

    def picture(self, place: int) -> tuple[Plane, PlaneMask]:
        """See ValidationSet: the slice with most lesion, else the middle one, anterior up."""
        volume, index = self.cases[place], self._shown_slice(place)
        hu = volume.array("hu")[index].astype(np.float32)
        return standardise_hu(hu, self.preprocessing), np.asarray(volume.array("target")[index])

    def plane(self, place: int, values: Float32[np.ndarray, "*space"]) -> Plane:
        """See ValidationSet."""
        return np.asarray(values[self._shown_slice(place)])

    def _shown_slice(self, place: int) -> int:
        areas = np.count_nonzero(self.cases[place].array("target"), axis=(1, 2))
        return int(areas.argmax()) if areas.any() else len(areas) // 2

    def dice_of_region(self) -> Iterator[float]:
        """Yield the Dice of marking all that is searched, of each volume with a lesion."""
        for volume in self.cases:
            if volume.lesion_size:
                inside, target = volume.array("inside"), volume.array("target")
                total = np.count_nonzero(inside) + volume.lesion_size
                yield 2 * np.count_nonzero(inside & target) / total
