"""What predicts: one run, or the folds of a cross-validation used as one.

An ensemble is a folder with ensemble.json and one ordinary run folder for each fold:

    DIR/ensemble.json   DIR/fold-1/   DIR/fold-2/   ...

On images that it was trained on, each is predicted by the fold that held it out; on all others
the calibrated probabilities of the folds are averaged.
"""

import hashlib
import json
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from breastseg.core.calibration import Calibration
from breastseg.core.errors import RecipeError, RunFolderError
from breastseg.core.image import Image, Pixels
from breastseg.core.recipe import Recipe, parse_recipe
from breastseg.core.split_recipe import Folds
from breastseg.inference.class_activation import MalignancyMap
from breastseg.inference.mean_answers import mean_classes, mean_map, mean_probability
from breastseg.inference.runtime import Device, Precision
from breastseg.inference.segment import ImageAnswer, Prediction, Segmenter, find
from breastseg.io.atomic import write_json
from breastseg.networks.classification import MALIGNANT
from breastseg.training.checkpoint import Run, open_run
from breastseg.training.int8_file import chosen_precision, read_int8

if TYPE_CHECKING:  # whoever predicts pictures need not wait for what volumes need
    from breastseg.inference.segment_volume import Done, VolumePrediction, VolumeSegmenter

ENSEMBLE_NAME = "ensemble.json"
ENSEMBLE_FORMAT = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """ensemble.json: what the folds of a cross-validation have in common.

    recipe: without folds. data: the folder of the data set.
    """

    framework: str
    num_folds: int
    recipe: Recipe
    data: Path

    def fold_recipe(self, fold: int) -> Recipe:
        """Return the recipe of a fold, counted from 1."""
        folds = Folds(count=self.num_folds, fold=fold)
        split = self.recipe.split.model_copy(update={"folds": folds})
        return self.recipe.model_copy(update={"split": split})

    def fold_paths(self, path: Path) -> list[Path]:
        """Return the run folders of all folds of the ensemble in that folder."""
        return [path / f"fold-{fold}" for fold in range(1, self.num_folds + 1)]

    def save(self, path: Path) -> None:
        """Write ensemble.json into a folder."""
        document = {
            "ensemble_format": ENSEMBLE_FORMAT,
            "framework": self.framework,
            "num_folds": self.num_folds,
            "members": [member.name for member in self.fold_paths(path)],
            "data": str(self.data),
            "recipe": json.loads(self.recipe.to_json()),
        }
        write_json(path / ENSEMBLE_NAME, document)


def notices(runs: Iterable[Run]) -> str | None:
    """Return what every reader must know of several runs, each sentence once; None if nothing."""
    said = dict.fromkeys(run.notice for run in runs if run.notice)
    return " ".join(said) or None


def is_ensemble(path: Path) -> bool:
    """Whether a folder holds the folds of a cross-validation."""
    return (path / ENSEMBLE_NAME).is_file()


def read_plan(path: Path) -> Plan:
    """Read ensemble.json of a folder.

    Raises:
        RunFolderError: it is damaged or of another version.
    """
    file = path / ENSEMBLE_NAME
    try:
        document = json.loads(file.read_text(encoding="utf-8"))
        if document["ensemble_format"] != ENSEMBLE_FORMAT:
            raise ValueError(f"its format is {document['ensemble_format']}, not {ENSEMBLE_FORMAT}")
        return Plan(
            framework=str(document["framework"]),
            num_folds=int(document["num_folds"]),
            recipe=parse_recipe(document["recipe"], source=str(file)),
            data=Path(document["data"]),
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        if isinstance(error, RecipeError):
            raise
        raise RunFolderError(
            f"{file}: expected the ensemble.json that `breastseg train --folds` wrote, but it "
            f"cannot be used ({error!r}). Restore it, or give one of the folds beside it."
        ) from None


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """One run, or the runs of all folds in their order; made by open_model."""

    path: Path
    runs: tuple[Run, ...]

    @property
    def is_ensemble(self) -> bool:
        """Whether it has several folds."""
        return len(self.runs) > 1

    @property
    def of_volumes(self) -> bool:
        """Whether it takes CT volumes; pictures otherwise."""
        return self.runs[0].recipe.volume is not None

    @property
    def tells_malignant(self) -> bool:
        """Whether one of the classes that it tells of a picture is malignant."""
        return MALIGNANT in self.runs[0].recipe.network.classes and not self.of_volumes

    @property
    def recipe_name(self) -> str:
        """The recipe's name, and how many folds there are."""
        name = self.runs[0].recipe.name
        return f"{name}, {len(self.runs)} folds" if self.is_ensemble else name

    @property
    def framework(self) -> str:
        """The framework that it was trained in."""
        return self.runs[0].framework

    @property
    def fingerprint(self) -> str:
        """Return 12 hex digits of weights, recipes and calibrations: the model's name."""
        members = [run.fingerprint for run in self.runs]
        if not self.is_ensemble:
            return members[0]
        return hashlib.sha256("".join(members).encode()).hexdigest()[:12]

    @property
    def notice(self) -> str | None:
        """What every reader of its results must know, of all folds; None where nothing."""
        return notices(self.runs)

    @property
    def operating_threshold(self) -> float:
        """How probable a finding must be to be shown; the median of the folds' thresholds."""
        return statistics.median(run.operating_threshold for run in self.runs)

    def home(self) -> dict[str, str]:
        """Return the part that each image, by the SHA-256 of its file, is in.

        An image that one fold held out as its test part is test: only that fold scores it.
        """
        parts: dict[str, str] = {}
        for run in self.runs:
            for part, case_ids in run.split.parts.items():
                for case_id in case_ids:
                    digest = run.content[case_id]
                    parts[digest] = "test" if part == "test" else parts.get(digest, part)
        return parts

    def testers(self) -> dict[str, int]:
        """Return the place in `runs` of the fold that held an image out, by SHA-256."""
        return {
            run.content[case_id]: place
            for place, run in enumerate(self.runs)
            for case_id in run.split.parts["test"]
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenModel:
    """A model that is ready to predict.

    testers: see Model.testers; empty for one run.
    calibration: with guarantees for what it predicts; None where there is none, as for the mean
        of several folds.
    """

    model: Model
    members: "Sequence[Segmenter | VolumeSegmenter]"
    testers: Mapping[str, int]
    calibration: Calibration | None = None

    def predict(
        self, case_id: str, image: Image, *, sha256: str, threshold: float | None = None
    ) -> Prediction:
        """Find the lesions of a picture, by the fold that held it out or by all together.

        Args:
            sha256: of the image's file, to know it again.
            threshold: in (0, 1]; the model's own where None.

        Raises:
            GeometryError, WeightsError, InputError: as of Segmenter.predict.
        """
        answers = self.answers(image, sha256=sha256)
        return find(
            case_id,
            image,
            mean_probability(answers),
            threshold or self.threshold(sha256),
            classes=mean_classes(answers),
        )

    def find(self, case_id: str, image: Image, threshold: float | None = None) -> Prediction:
        """Find the lesions of a picture by all members together, and what explains them.

        That is, beside what predict returns, the guaranteed bounds and the map of malignancy.

        Args:
            threshold: in (0, 1]; the model's own where None.
        """
        answers = self.answers(image)
        found = find(
            case_id,
            image,
            mean_probability(answers),
            threshold or self.model.operating_threshold,
            classes=mean_classes(answers),
        )
        bounds = None
        if self.calibration is not None:
            bounds = self.calibration.bounds(found.probability, image.scan_area)
        return replace(
            found,
            bounds=bounds,
            malignancy=MalignancyMap.mean([answer.malignancy() for answer in answers]),
        )

    def predict_volume(
        self,
        case_id: str,
        image: Image,
        *,
        sha256: str,
        threshold: float | None = None,
        done: "Done | None" = None,
    ) -> "VolumePrediction":
        """Find the lesions of a CT volume as predict does; the breasts are found once.

        Args:
            done: told how many of the tiles are done, of all members together.

        Raises:
            GeometryError, WeightsError, InputError: as of VolumeSegmenter.predict.
            RecipeError: the model is one for pictures.
        """
        from breastseg.inference.segment_volume import VolumeSegmenter, find_in_volume

        members = [each for each in self._members(sha256) if isinstance(each, VolumeSegmenter)]
        if not members:
            raise RecipeError(
                f"{self.model.path}: expected a model for CT volumes, found one for pictures."
            )
        searched = members[0].search_area(image)
        answers = []
        for before, member in enumerate(members):

            def told(tile: int, tiles: int, *, before: int = before) -> None:
                if done is not None:
                    done(before * tiles + tile, len(members) * tiles)

            answers.append(member.answer(image, searched, done=told))
        return find_in_volume(case_id, image, answers, threshold or self.threshold(sha256))

    def _members(self, sha256: str) -> "Sequence[Segmenter | VolumeSegmenter]":
        place = self.testers.get(sha256)
        return self.members if place is None else [self.members[place]]

    def threshold(self, sha256: str) -> float:
        """Return the operating threshold for an image: of the fold that held it out, or of all."""
        place = self.testers.get(sha256)
        chosen = self.model if place is None else self.model.runs[place]
        return chosen.operating_threshold

    def answers(self, image: Image, *, sha256: str | None = None) -> list[ImageAnswer]:
        """Return what the networks say of a picture.

        Args:
            sha256: of the image's file, so that the fold that held it out answers alone; all
                members do where None.

        Raises:
            GeometryError, WeightsError: as of Segmenter.answer.
            RecipeError: the model is one for CT volumes.
        """
        members = self.members if sha256 is None else self._members(sha256)
        pictures = [each for each in members if isinstance(each, Segmenter)]
        if not pictures:
            raise RecipeError(
                f"{self.model.path}: expected a model for pictures, found one for CT volumes."
            )
        return [each.answer(image) for each in pictures]

    def probability(self, image: Image) -> Pixels:
        """Return the mean of the members' calibrated lesion probabilities, in [0, 1]."""
        return mean_map([member.probability(image) for member in self.members])

    def probabilities(self, image: Image, *, sha256: str) -> tuple[Pixels, Pixels]:
        """Return the lesion probabilities of an image, calibrated and as the networks gave them.

        Of the fold that held the image out, or the mean of all members.

        Args:
            sha256: of the image's file, to know it again.
        """
        maps = [member.probabilities(image) for member in self._members(sha256)]
        calibrated, raw = zip(*maps, strict=True)
        return mean_map(calibrated), mean_map(raw)


def open_model(path: Path) -> Model:
    """Open a run folder, or the folds of a cross-validation.

    Raises:
        RunFolderError: neither of them, a fold that is missing, or one of another version.
        RecipeError, SplitError: files of it were changed.
    """
    if not is_ensemble(path):
        return Model(path=path, runs=(open_run(path),))
    plan = read_plan(path)
    missing = [
        member.name
        for member in plan.fold_paths(path)
        if not (member / "weights.safetensors").is_file()
    ]
    if missing:
        raise RunFolderError(
            f"{path}: expected {plan.num_folds} trained folds, but {', '.join(missing)} has no "
            f"weights yet. Go on with `breastseg train --resume {path}`, or give one of its folds."
        )
    runs = tuple(open_run(member) for member in plan.fold_paths(path))
    return Model(path=path, runs=runs)


def load_model(
    model: Model,
    *,
    device: Device = "cpu",
    threads: int | None = None,
    precision: Precision | None = None,
    cached: bool = False,
) -> OpenModel:
    """Load the weights of a model, ready to predict; arguments of open_runtime.

    Args:
        precision: None takes int8 of a model in 8 bits, and float32 of all others.

    Errors of Run.weights and open_runtime.
    """
    return OpenModel(
        model=model,
        members=[_member(run, device, threads, precision, cached) for run in model.runs],
        testers=model.testers() if model.is_ensemble else {},
        calibration=_guaranteeing(model),
    )


def _guaranteeing(model: Model) -> Calibration | None:
    """Return the calibration of a model of pictures, if it has any guarantee."""
    if model.is_ensemble or model.of_volumes:
        return None
    calibration = model.runs[0].calibration
    return calibration if calibration.guarantees else None


def _member(
    run: Run, device: Device, threads: int | None, precision: Precision | None, cached: bool
) -> "Segmenter | VolumeSegmenter":
    precision = chosen_precision(run.path, precision)
    member = _segmenter_of(run).open(
        run.recipe,
        read_int8(run.path) if precision == "int8" else run.weights(),
        device=device,
        threads=threads,
        precision=precision,
        temperature=run.calibration.temperature,
        cached=cached,
    )
    return member.calibrated(run.calibration) if isinstance(member, Segmenter) else member


def _segmenter_of(run: Run) -> "type[Segmenter] | type[VolumeSegmenter]":
    if run.recipe.volume is None:
        return Segmenter
    from breastseg.inference.segment_volume import VolumeSegmenter

    return VolumeSegmenter
