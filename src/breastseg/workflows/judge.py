"""Everything that has an opinion on an image: models, and the baselines of the first of them."""

import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np

from breastseg.core.errors import InputError
from breastseg.core.image import Case, Pixels
from breastseg.core.volume_findings import SMALLEST_MM3
from breastseg.datasets.cases import CaseFiles, read_case
from breastseg.evaluation.baselines import ALL_BACKGROUND, ConstantMask
from breastseg.evaluation.case_score import CaseScore, score_case
from breastseg.evaluation.overlap import Mask
from breastseg.inference.mean_answers import mean_classes, mean_maps
from breastseg.inference.segment import Prediction, find
from breastseg.inference.segment_volume import VolumePrediction, VolumeSegmenter
from breastseg.training.model import Model, OpenModel
from breastseg.workflows.evidence import Evidence
from breastseg.workflows.volume_evidence import VolumeEvidence

SearchedRegion = Literal["scan", "breasts"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Judge:
    """The models of pictures, and the first one's baselines.

    constants: the constant mask of each of the first model's runs.
    evidence: takes what the first model says of each image; None where nobody asks.
    """

    models: Sequence[OpenModel]
    constants: Sequence[ConstantMask]
    groups: dict[str, str]
    sha256: dict[str, str]
    threshold: float | None
    evidence: Evidence | None = None

    def score(self, files: CaseFiles) -> tuple[CaseScore, ...]:
        """Score the models, then the baselines, on one case."""
        case = read_case(files)
        masks = [self._first(case, files.label)]
        masks += [self._mask(number, case) for number in range(1, len(self.models))]
        masks += [ALL_BACKGROUND.on(case.image.pixels.shape), self._constant_mask(case)]
        group = self.groups[files.case_id]
        return tuple(score_case(case, mask, group=group, label=files.label) for mask in masks)

    def _first(self, case: Case, label: str | None) -> Mask:
        """Return the mask of the first model, and gather what else it says."""
        if self.evidence is None:
            return self._mask(0, case)
        model, sha256 = self.models[0], self.sha256[case.case_id]
        answers = model.answers(case.image, sha256=sha256)
        calibrated, raw = mean_maps(answers)
        threshold = self.threshold or model.threshold(sha256)
        self.evidence.add(
            case,
            calibrated=calibrated,
            raw=raw,
            threshold=threshold,
            group=self.groups[case.case_id],
            label=label,
            classes=mean_classes(answers),
        )
        return find(case.case_id, case.image, calibrated, threshold).mask

    def _mask(self, number: int, case: Case) -> Mask:
        return self.predict(number, case).mask

    def predict(self, number: int, case: Case) -> Prediction:
        """Return what one of the models finds."""
        return self.models[number].predict(
            case.case_id, case.image, sha256=self.sha256[case.case_id], threshold=self.threshold
        )

    def _constant_mask(self, case: Case) -> Mask:
        """Return the mask chosen on the same images as the prediction's model was trained on."""
        place = self.models[0].testers.get(self.sha256[case.case_id])
        chosen = self.constants if place is None else [self.constants[place]]
        votes = [constant.on(case.image.pixels.shape) for constant in chosen]
        return np.asarray(np.mean(votes, axis=0) > 0.5)

    def details(self, model: Model, region: SearchedRegion | None) -> dict[str, str]:
        """Return what is to be told of how it was scored; of pictures nothing more."""
        return {}

    def warnings(self) -> tuple[str, ...]:
        """Return what was not found; of pictures nothing."""
        return ()


@dataclass(frozen=True, slots=True, kw_only=True)
class VolumeJudge(Judge):
    """The same for CT volumes. The constant masks are cut to the breasts.

    volumes: what the lesions are like.
    seconds: that the first model took for each volume.
    """

    volumes: VolumeEvidence = field(default_factory=VolumeEvidence)
    seconds: list[float] = field(default_factory=list)

    def _mask(self, number: int, case: Case) -> Mask:
        return self.predict_volume(number, case).mask

    def _first(self, case: Case, label: str | None) -> Mask:
        start = time.perf_counter()
        found = self.predict_volume(0, case)
        self.seconds.append(time.perf_counter() - start)
        if self.evidence is not None:
            calibrated, raw = maps_of(found)
            self.evidence.add(
                case,
                calibrated=calibrated,
                raw=raw,
                threshold=found.threshold,
                group=self.groups[case.case_id],
                label=label,
                smallest_px=_smallest_px(case),
            )
        return found.mask

    def predict_volume(self, number: int, case: Case) -> VolumePrediction:
        """Return what one of the models finds in a volume."""
        return self.models[number].predict_volume(
            case.case_id, case.image, sha256=self.sha256[case.case_id], threshold=self.threshold
        )

    def _constant_mask(self, case: Case) -> Mask:
        place = self.models[0].testers.get(self.sha256[case.case_id])
        constant = self.constants[place or 0]
        return np.asarray(constant.on(case.image.pixels.shape) & self.volumes.look(case))

    def details(self, model: Model, region: SearchedRegion | None) -> dict[str, str]:
        """Return where was searched, and how long the first model took."""
        return {
            "Searched": _region_told(model, region),
            "Seconds per volume": _times_told(self.seconds),
        }

    def warnings(self) -> tuple[str, ...]:
        """Return what was not found."""
        return self.volumes.warnings()


def maps_of(found: VolumePrediction) -> tuple[Pixels, Pixels]:
    """Return the probability after and before the temperature, the mean over the members."""
    calibrated = found.probability
    if all(answer.temperature == 1 for answer in found.answers):
        return calibrated, calibrated
    raw = [answer.on_image(answer.slabs(calibrated=False)) for answer in found.answers]
    return calibrated, raw[0] if len(raw) == 1 else np.asarray(np.mean(raw, axis=0), np.float32)


def _smallest_px(case: Case) -> float:
    """Return how many voxels a candidate must have to be shown in this volume."""
    assert case.image.affine is not None
    return SMALLEST_MM3 / float(abs(np.linalg.det(case.image.affine[:3, :3])))


def with_region(opened: OpenModel, region: SearchedRegion | None) -> OpenModel:
    """Return a model that looks for lesions elsewhere than its recipe says; None: as it says.

    Raises:
        InputError: it is a model for pictures.
    """
    if region is None:
        return opened
    members = [each for each in opened.members if isinstance(each, VolumeSegmenter)]
    if not members:
        raise InputError(
            f"{opened.model.path}: a region belongs to CT volumes, and this is a model for "
            "pictures. Leave out --region."
        )
    setting = [f"volume.region={region}"]
    return replace(
        opened,
        members=[replace(each, recipe=each.recipe.with_settings(setting)) for each in members],
    )


def _region_told(model: Model, region: SearchedRegion | None) -> str:
    volume = model.runs[0].recipe.volume
    assert volume is not None
    names = {"scan": "in all of the scan", "breasts": "in the breasts"}
    if region is None or region == volume.region:
        return names[volume.region]
    return f"{names[region]} (the recipe says {names[volume.region]})"


def _times_told(seconds: Sequence[float]) -> str:
    low, high = min(seconds), max(seconds)
    return (
        f"{statistics.median(seconds):.1f} (median; {low:.1f} to {high:.1f}), to find breasts and "
        "lesions, without reading the files"
    )
