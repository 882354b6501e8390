"""Prepared 2D images: what a training draws from and is validated on."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Self

import numpy as np
from jaxtyping import Bool, Float32

from breastseg.core.image import Case
from breastseg.core.network_recipe import UNLABELLED
from breastseg.core.recipe import Augmentation, Preprocessing
from breastseg.pipeline.augment import augment
from breastseg.pipeline.case_sets import Draw, Item, Look, Plane, PlaneMask, Predict, Sampling
from breastseg.pipeline.preprocess import prepare_image
from breastseg.pipeline.shared_array import SharedArray


@dataclass(frozen=True, slots=True)
class PreparedCase:
    """A case as the network sees it, small enough to keep all of them in memory.

    label: number of its class in `network.classes`, or UNLABELLED.
    """

    image: Float32[np.ndarray, "size size"]
    target: Bool[np.ndarray, "size size"]
    label: int = UNLABELLED

    @property
    def lesion_size(self) -> int:
        """See PreparedImage."""
        return int(np.count_nonzero(self.target))

    @property
    def is_finite(self) -> bool:
        """See PreparedImage."""
        return bool(np.isfinite(self.image).all())

    @property
    def is_flat(self) -> bool:
        """See PreparedImage."""
        return bool(np.ptp(self.image) == 0)

    @property
    def image_digest(self) -> bytes:
        """See PreparedImage."""
        return hashlib.sha256(self.image.tobytes()).digest()

    @property
    def target_digest(self) -> bytes:
        """See PreparedImage."""
        return hashlib.sha256(self.target.tobytes()).digest()


def prepare_case(case: Case, preprocessing: Preprocessing, label: int = UNLABELLED) -> PreparedCase:
    """Preprocess a case that has a reference; all of its lesions make one target."""
    image, letterbox = prepare_image(case.image, preprocessing)
    assert case.reference is not None
    target = letterbox.apply_mask(case.reference[0] > 0)
    return PreparedCase(image[0], target.astype(bool), label)


@dataclass(frozen=True)
class ImageSet:
    """Prepared images of one size: a TrainingSet and a ValidationSet.

    lesion_free_class: of an image that lost its lesions, where the set has no lesion-free image
        whose class it could take; or UNLABELLED.
    """

    cases: Sequence[PreparedCase]
    lesion_free_class: int = UNLABELLED

    @property
    def input_shape(self) -> tuple[int, ...]:
        """See TrainingSet."""
        return (1, *self.cases[0].image.shape)

    def __len__(self) -> int:
        """Return the number of images, each of which is drawn once in an epoch."""
        return len(self.cases)

    def order(self, sampling: Sampling, *, seed: int, epoch: int) -> list[Draw]:
        """Return as many draws as there are images: their places, and the keys of their streams.

        each: every image once. balanced: lesion and lesion-free images in turn; those of the
        rarer kind come again, with another key, and of the other kind some wait for another
        epoch. Where one kind is missing, balanced is the same as each.
        """
        cases = self.cases
        order = np.random.default_rng([seed, epoch]).permutation(len(cases)).tolist()
        kinds = [[index for index in order if cases[index].target.any() == kind] for kind in (1, 0)]
        if sampling == "each" or not all(kinds):
            return [(index, (1 + index,)) for index in order]
        draws: list[Draw] = []
        for place in range(len(cases)):
            kind = kinds[place % 2]
            again, number = divmod(place // 2, len(kind))
            draws.append(
                (kind[number], (1 + kind[number], again) if again else (1 + kind[number],))
            )
        return draws

    def item(self, index: int, augmentation: Augmentation, stream: np.random.Generator) -> Item:
        """See TrainingSet. index: of the image."""
        case = self.cases[index]
        target = case.target.astype(np.float32)
        if augmentation == Augmentation():
            return case.image[None], target[None]
        image, target = augment(case.image, target, augmentation, stream)
        return image[None], target[None]

    def label(self, index: int, target: Float32[np.ndarray, " 1 *space"]) -> int:
        """See TrainingSet. Without its lesions an image has the class of lesion-free images."""
        case = self.cases[index]
        lost = bool(case.target.any()) and not target.any()
        return self._lesion_free_label if lost else case.label

    @cached_property
    def _lesion_free_label(self) -> int:
        """The class that all lesion-free images have, if they agree."""
        labels = {case.label for case in self.cases if not case.target.any()}
        if not labels:
            return self.lesion_free_class
        return labels.pop() if len(labels) == 1 else UNLABELLED

    def some(self, count: int) -> "ImageSet":
        """See TrainingSet."""
        return replace(self, cases=self.cases[:: max(1, len(self.cases) // count)])

    def shared(self) -> "SharedImages":
        """See TrainingSet."""
        return SharedImages.create(self.cases)

    def looks(self, predict: Predict, batch_size: int) -> Iterator[Look]:
        """See ValidationSet."""
        for start in range(0, len(self.cases), batch_size):
            chunk = self.cases[start : start + batch_size]
            logits = predict(np.stack([case.image for case in chunk])[:, None])
            yield Look(start, logits, np.stack([case.target for case in chunk]))

    def picture(self, place: int) -> tuple[Plane, PlaneMask]:
        """See ValidationSet."""
        return self.cases[place].image, self.cases[place].target

    def plane(self, place: int, values: Float32[np.ndarray, "*space"]) -> Plane:
        """See ValidationSet."""
        return values


@dataclass(frozen=True, slots=True)
class SharedImages:
    """Prepared images in memory that worker processes see too, without their labels."""

    images: SharedArray
    targets: SharedArray

    @classmethod
    def create(cls, cases: Sequence[PreparedCase]) -> Self:
        """Copy all images."""
        shape = (len(cases), *cases[0].image.shape)
        shared = cls(SharedArray.create(shape, np.float32), SharedArray.create(shape, np.bool_))
        np.stack([case.image for case in cases], out=shared.images.array())
        np.stack([case.target for case in cases], out=shared.targets.array())
        return shared

    def opened(self) -> ImageSet:
        """View the images."""
        pairs = zip(self.images.array(), self.targets.array(), strict=True)
        return ImageSet([PreparedCase(image, target) for image, target in pairs])
