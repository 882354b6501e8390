"""Who is scored on given images: the masks in a folder, whoever made them, or a run of ours."""

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from breastseg.core.errors import InputError, LayoutError
from breastseg.core.image import Case, Image, Pixels
from breastseg.core.lesion import DEFAULT_THRESHOLD, Lesion
from breastseg.datasets.cases import CaseFiles
from breastseg.datasets.given_masks import GivenMasks, tell
from breastseg.evaluation.matching import shown_mask
from breastseg.evaluation.overlap import Mask
from breastseg.inference.segment import find
from breastseg.io.mask_files import read_given_mask, read_given_probability
from breastseg.training.model import Model, OpenModel

_TOLERATED = 0.01
"""Share of the marked pixels by which a mask may differ from its probability map cut at 0.5."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a contestant says of one image; arrays have the image's shape.

    probability: None where masks alone are given.
    lesions: for the picture; empty where there is no probability.
    is_cut: whether the mask is the probability map cut at 0.5, but for a few pixels.
    """

    mask: Mask
    probability: Pixels | None = None
    lesions: tuple[Lesion, ...] = ()
    is_cut: bool = True

    def map(self) -> Pixels:
        """Return what findings are taken from: the probability, or the mask as one."""
        if self.probability is None:
            return self.mask.astype(np.float32)
        return self.probability


class Contestant(Protocol):
    """Who is scored."""

    @property
    def name(self) -> str:
        """What the page calls it."""

    def answer(self, case: Case, *, sha256: str) -> Answer:
        """Return what it says of an image.

        Raises:
            InputError: a file of its is damaged or does not fit the image.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class GivenContestant:
    """The masks in a folder. Made by given_contestant.

    threshold: of the mask, where only probabilities are given.
    """

    name: str
    given: GivenMasks
    has_masks: bool
    has_probabilities: bool
    threshold: float
    are_volumes: bool = False

    def answer(self, case: Case, *, sha256: str) -> Answer:
        """See Contestant.answer; an image without a file has an error of its own before."""
        files = self.given.files[case.case_id]
        probability = None
        if self.has_probabilities and files.probability is not None:
            probability = self._probability(files.probability, case.image)
        if self.has_masks and files.mask is not None:
            mask = self._mask(files.mask, case.image)
            is_cut = probability is None or _is_cut(mask, probability)
            return Answer(mask=mask, probability=probability, is_cut=is_cut)
        assert probability is not None
        if self.are_volumes:
            return Answer(mask=shown_mask(probability, self.threshold), probability=probability)
        found = find(case.case_id, case.image, probability, self.threshold)
        return Answer(mask=found.mask, probability=probability, lesions=found.lesions)

    def _mask(self, path: Path, image: Image) -> Mask:
        if self.are_volumes:
            # Whoever scores pictures need not wait for nibabel.
            from breastseg.io.volume_mask_files import read_volume_mask

            return read_volume_mask(path, image)
        _, rows, columns = image.pixels.shape
        return read_given_mask(path, (rows, columns))[None]

    def _probability(self, path: Path, image: Image) -> Pixels:
        if self.are_volumes:
            from breastseg.io.volume_mask_files import read_volume_probability

            return read_volume_probability(path, image)
        _, rows, columns = image.pixels.shape
        return read_given_probability(path, (rows, columns))[None]


@dataclass(frozen=True, slots=True)
class RunContestant:
    """A run of ours, at its own operating threshold."""

    name: str
    model: Model
    opened: OpenModel

    def answer(self, case: Case, *, sha256: str) -> Answer:
        """See Contestant.answer."""
        if self.model.of_volumes:
            volume = self.opened.predict_volume(case.case_id, case.image, sha256=sha256)
            return Answer(mask=volume.mask, probability=volume.probability)
        found = self.opened.predict(case.case_id, case.image, sha256=sha256)
        return Answer(mask=found.mask, probability=found.probability, lesions=found.lesions)


def given_contestant(
    given: GivenMasks, cases: tuple[CaseFiles, ...], *, threshold: float | None = None
) -> GivenContestant:
    """Return the contestant of a folder, if it has what is needed for all of the cases.

    Raises:
        LayoutError: a case has neither mask nor probability, or only some have the one or other.
        InputError: a threshold, where masks are given, which are scored as they are.
    """
    masks, probabilities = (
        [case.case_id for case in cases if getattr(given.files.get(case.case_id), kind, None)]
        for kind in ("mask", "probability")
    )
    has_masks, has_probabilities = bool(masks), bool(probabilities)
    for kind, found in (("mask", masks), ("probability map", probabilities)):
        if (found or (kind == "mask" and not has_probabilities)) and len(found) < len(cases):
            missing = sorted({case.case_id for case in cases} - set(found))
            raise LayoutError(_missing(given.folder, kind, missing, len(cases)))
    if threshold is not None and has_masks:
        raise InputError(
            f"{given.folder}: a threshold cuts probability maps, but masks are given, which are "
            "scored as they are. Leave out --threshold, or the masks."
        )
    return GivenContestant(
        name=given.folder.resolve().name,
        given=given,
        has_masks=has_masks,
        has_probabilities=has_probabilities,
        threshold=threshold or DEFAULT_THRESHOLD,
        are_volumes=any(case.is_volume for case in cases),
    )


def _missing(folder: Path, kind: str, missing: list[str], num_cases: int) -> str:
    return (
        f"{folder}: expected a {kind} for each of {num_cases} images, but {len(missing)} have "
        f"none: {tell(missing)}. A missing mask is no empty one: add it, all zeros where nothing "
        "was found; or score fewer images by --cases FILE, --split-of RUN or --only-predicted."
    )


def _is_cut(mask: Mask, probability: Pixels) -> bool:
    cut = probability >= DEFAULT_THRESHOLD
    marked = np.count_nonzero(mask | cut)
    return bool(np.count_nonzero(mask ^ cut) <= _TOLERATED * marked)
