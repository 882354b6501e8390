"""From an image to its lesions, on the grid of the image."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Self

import numpy as np
from jaxtyping import Bool
from scipy.special import expit

from breastseg.core.calibration import (
    Bounds,
    Calibration,
    ClassProbability,
    Values,
    apply_gate,
    apply_temperature,
    check_temperature,
    class_probability,
)
from breastseg.core.errors import GeometryError, WeightsError
from breastseg.core.image import Image, LabelMap, Pixels
from breastseg.core.lesion import DEFAULT_THRESHOLD, Lesion, find_lesions
from breastseg.core.recipe import Recipe
from breastseg.inference.class_activation import ClassMap, MalignancyMap
from breastseg.inference.int8 import Int8Network
from breastseg.inference.runtime import Device, Precision, Runtime, RuntimeName, open_runtime
from breastseg.networks.output import NetworkOutput
from breastseg.networks.spec import Array
from breastseg.pipeline.batches import Images
from breastseg.pipeline.preprocess import Letterbox, Square, prepare_image


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """What a network says of one image; all arrays have the image's shape.

    probability: of lesion, in [0, 1], calibrated where the segmenter has a temperature.
    labels: 0 is background; the lesions are numbered from 1, the most probable first.
    classes: of the whole image.
    bounds: what the model's calibration guarantees of the image; None where nothing.
    malignancy: where the score for malignant comes from; None where the network tells no such
        class.
    """

    case_id: str
    image: Image
    probability: Pixels
    threshold: float
    labels: LabelMap
    lesions: tuple[Lesion, ...]
    classes: ClassProbability = field(default_factory=dict)
    bounds: Bounds | None = None
    malignancy: MalignancyMap | None = None

    @property
    def mask(self) -> Bool[np.ndarray, "slices rows columns"]:
        """True inside any lesion."""
        return self.labels > 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageAnswer:
    """What a network says of one image, run once; maps are made when they are asked for.

    square: logits on the network's own grid. letterbox: the way back to the image's.
    class_logits: of the classes of the whole image; None where the network tells none.
    class_map: what each place adds to them, see networks.output; None likewise.
    segmenter: that gave them.
    """

    square: Square
    letterbox: Letterbox
    class_logits: Values | None
    segmenter: "Segmenter"
    class_map: ClassMap | None = None

    @property
    def classes(self) -> ClassProbability:
        """The calibrated probability of each class of the whole image."""
        if self.class_logits is None:
            return {}
        shares = class_probability(self.class_logits, self.segmenter.class_temperature)
        names = self.segmenter.recipe.network.classes
        return dict(zip(names, shares.tolist(), strict=True))

    def malignancy(self) -> MalignancyMap | None:
        """Return where the score for malignant comes from; None where none is told."""
        if self.class_logits is None or self.class_map is None:
            return None
        network = self.segmenter.recipe.network
        return MalignancyMap.of(
            self.class_map,
            self.class_logits,
            network.classes,
            temperature=self.segmenter.class_temperature,
            letterbox=self.letterbox,
            stride=network.stride,
        )

    def probability(self) -> Pixels:
        """Return the lesion probability in [0, 1] of each pixel, on the image's grid."""
        if self.segmenter.temperature == 1 and not self.segmenter.gated:
            return self._resampled(self.square, outside=0)
        return apply_temperature(self.logits(), self.segmenter.temperature)

    def maps(self) -> tuple[Pixels, Pixels]:
        """Return `probability`, and what it was before the temperature."""
        if self.segmenter.temperature == 1:
            probability = self.probability()
            return probability, probability
        logits = self.logits()
        return apply_temperature(logits, self.segmenter.temperature), apply_temperature(logits, 1.0)

    def logits(self) -> Pixels:
        """Return the logit of each pixel before any temperature, on the image's grid.

        It is the logit of the resampled probability, not the resampled logit: so the mask at
        0.5 is that of `probability`, whatever the temperature. Nor does the gate change that
        mask, see core.calibration.
        """
        lesion = self._resampled(self.square, outside=0)
        background = self._resampled(-self.square, outside=1)
        logits = logit_of(lesion, background)
        return apply_gate(logits, self.classes) if self.segmenter.gated else logits

    def _resampled(self, logits: Square, *, outside: float) -> Pixels:
        """Return the probabilities on the image's grid; `outside` of the scan."""
        probability = self.letterbox.invert(np.asarray(expit(logits), np.float32), outside)
        # Interpolation may round a last bit beyond 1.
        return np.asarray(np.clip(probability, 0, 1)[None], np.float32)


@dataclass(frozen=True, slots=True)
class Segmenter:
    """A network with the preparation of images that it was trained with.

    temperature: divides the logits, see core.calibration; 1 leaves the probabilities as they are.
    class_temperature: divides those of the classes.
    mirrored: whether each answer is the mean of that on the picture and that on its mirror image.
    gated: whether doubt that the picture has a lesion at all makes its pixels less sure.
    """

    recipe: Recipe
    runtime: Runtime
    temperature: float = 1.0
    class_temperature: float = 1.0
    mirrored: bool = False
    gated: bool = False

    def __post_init__(self) -> None:
        check_temperature(self.temperature)
        check_temperature(self.class_temperature)

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
        """Load a recipe's network with its weights; arguments and errors of open_runtime.

        Args:
            temperature: of the run's calibration, above 0.

        Raises:
            InputError: the temperature is not above 0.
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

    def calibrated(self, calibration: Calibration) -> Self:
        """Return the segmenter that answers as a calibration says."""
        return replace(
            self,
            temperature=calibration.temperature,
            class_temperature=calibration.class_temperature or 1.0,
            mirrored=calibration.mirrored,
            gated=calibration.gated,
        )

    def probability(self, image: Image) -> Pixels:
        """Return the lesion probability in [0, 1] of each pixel; errors of `answer`."""
        return self.answer(image).probability()

    def probabilities(self, image: Image) -> tuple[Pixels, Pixels]:
        """Return `probability`, and what it was before the temperature; errors of `answer`."""
        return self.answer(image).maps()

    def logits(self, image: Image) -> Pixels:
        """See ImageAnswer.logits; errors of `answer`."""
        return self.answer(image).logits()

    def answer(self, image: Image) -> ImageAnswer:
        """Run the network on an image.

        Raises:
            GeometryError: the image is empty or has several slices.
            WeightsError: the network's answer is not finite.
        """
        pixels = image.pixels
        if pixels.ndim != 3 or pixels.shape[0] != 1 or pixels.size == 0:
            raise GeometryError(
                "a 2D image has the shape (1, rows, columns) and at least one pixel, got "
                f"{pixels.shape}. Volumes are not predicted yet: pass one slice."
            )
        prepared, letterbox = prepare_image(image, self.recipe.preprocessing)
        found = self._run(prepared[None])
        if not all(np.isfinite(each).all() for each in found if each is not None):
            raise WeightsError(
                "the network's logits must be finite, found NaN or infinity: its weights are too "
                "large for this image. Predict in float32, or train again."
            )
        return ImageAnswer(
            square=found.logits[0, 0],
            letterbox=letterbox,
            class_logits=_first(found.class_logits),
            class_map=_first(found.class_map),
            segmenter=self,
        )

    def _run(self, prepared: Images) -> NetworkOutput:
        """Return what the network says, of the mirror image too where that is asked for.

        One after the other: a network that was compiled for one image stays as it is.
        """
        found = self.runtime.predict(prepared)
        if not self.mirrored:
            return found
        return found.averaged(self.runtime.predict(prepared[..., ::-1].copy()).mirrored())

    def predict(
        self, case_id: str, image: Image, threshold: float = DEFAULT_THRESHOLD
    ) -> Prediction:
        """Find the lesions of an image.

        Args:
            threshold: see core.lesion.find_lesions; in (0, 1].

        Raises:
            GeometryError, WeightsError: see answer.
            InputError: the threshold is out of range.
        """
        answer = self.answer(image)
        found = find(case_id, image, answer.probability(), threshold, classes=answer.classes)
        return replace(found, malignancy=answer.malignancy())


def _first(batch: Array | None) -> Array | None:
    return None if batch is None else batch[0]


def logit_of(lesion: Pixels, background: Pixels) -> Pixels:
    """Return the logit of a probability, from it and from what is left to 1.

    Near 1 float32 probabilities are all alike; near 0 they are not. A pixel beyond what float32
    can hold would have an infinite logit.
    """
    tiny = np.finfo(np.float32).tiny
    low, high = (np.clip(part, tiny, 0.5) for part in (lesion, background))
    return np.asarray(
        np.where(lesion < 0.5, np.log(low) - np.log1p(-low), np.log1p(-high) - np.log(high)),
        np.float32,
    )


def find(
    case_id: str,
    image: Image,
    probability: Pixels,
    threshold: float,
    *,
    classes: ClassProbability | None = None,
) -> Prediction:
    """Find the lesions in a probability map of an image; arguments and errors of predict."""
    labels, lesions = find_lesions(probability, threshold=threshold, spacing_mm=image.spacing_mm)
    return Prediction(
        case_id=case_id,
        image=image,
        probability=probability,
        threshold=threshold,
        labels=labels,
        lesions=lesions,
        classes=classes or {},
    )
