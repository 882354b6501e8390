"""Everything that decides a training run, as one typed and frozen value.

A default never changes once released: the fingerprint hashes only what differs from the
defaults, so that a new field does not rename old runs.
"""

import hashlib
import json
import math
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, ValidationError, model_validator

from breastseg.core.errors import RecipeError, suggestion
from breastseg.core.loss_terms import LossTerm, loss_from_text
from breastseg.core.network_recipe import (
    NETWORKS,
    AnyNetwork,
    LiteUNetSpec,
    UNetSpec,
    network_by_name,
)
from breastseg.core.recipe_part import Count, Fraction, NonNegative, Positive, RecipePart
from breastseg.core.split_recipe import Split
from breastseg.core.validation import problems
from breastseg.core.volume_recipe import VolumePreprocessing

SCHEMA_VERSION = 1
_OF_IMAGES = (
    *("shift", "elastic", "speckle", "shadow", "cutout", "aspect", "tone", "depth_gain"),
    *("margin", "marks", "doppler", "screen", "lesion_free", "inpaint", "inpaint_beside"),
)
"""Fields of Augmentation that volumes do without."""


class Preprocessing(RecipePart):
    """How a 2D image becomes the network's input; the same in training and prediction.

    size: pixels of the square that the longer side is scaled to; the rest is padding.
    """

    size: Annotated[int, Field(ge=32, le=4096)] = 256


class Augmentation(RecipePart):
    """Random changes of each training image; 0 switches one off.

    flip: probability of a mirror image.
    rotation_degrees, scale, shift: largest turn, zoom (as a ratio) and move (share of the size).
    elastic: largest local displacement, as a share of the size.
    blur: largest standard deviation of a Gaussian, in pixels.
    speckle: largest strength of multiplicative, spatially correlated noise.
    shadow: largest darkening by an acoustic shadow, on half of the images; 1 is black.
    gamma, contrast: largest change, as a ratio. brightness, noise: largest change, in standard
        deviations of the image.
    cutout: largest side of a square that is blanked out, as a share of the size, on half of
        the images; the target stays.
    aspect: largest stretch of one axis against the other, as a ratio.
    tone: how far a random rising tone curve is from a straight line, as another machine's
        post-processing has it. depth_gain: largest change of the brightness from top to bottom.
    margin: probability of a black margin all round, as of a screenshot.
    marks: probability of text, calipers and lines of measurement, at a lesion and anywhere.
    doppler: probability of a box of colour Doppler, as it looks in grey.
    screen: probability that the picture is shrunk onto a dark screen with text.
    lesion_free: probability that a lesion image is replaced by a part of it without any lesion,
        where it has one large enough; pictures only. Its class is that of the lesion-free images
        of the training part, or unknown.
    inpaint: probability that tissue of the same depth is painted over the lesions of a picture,
        where they are small enough; it is then lesion-free, with the class that says so.
    inpaint_beside: probability that a place beside the lesions is painted over the same way, so
        that the paint is no sign of a lesion-free picture.
    """

    flip: Annotated[float, Field(ge=0, le=1)] = 0.0
    rotation_degrees: NonNegative = 0.0
    scale: Fraction = 0.0
    shift: Fraction = 0.0
    elastic: Fraction = 0.0
    blur: NonNegative = 0.0
    speckle: Fraction = 0.0
    shadow: Annotated[float, Field(ge=0, le=1)] = 0.0
    brightness: NonNegative = 0.0
    contrast: Fraction = 0.0
    gamma: Fraction = 0.0
    noise: NonNegative = 0.0
    cutout: Fraction = 0.0
    aspect: Fraction = 0.0
    tone: Fraction = 0.0
    depth_gain: Fraction = 0.0
    margin: Annotated[float, Field(ge=0, le=1)] = 0.0
    marks: Annotated[float, Field(ge=0, le=1)] = 0.0
    doppler: Annotated[float, Field(ge=0, le=1)] = 0.0
    screen: Annotated[float, Field(ge=0, le=1)] = 0.0
    lesion_free: Annotated[float, Field(ge=0, le=1)] = 0.0
    inpaint: Annotated[float, Field(ge=0, le=1)] = 0.0
    inpaint_beside: Annotated[float, Field(ge=0, le=1)] = 0.0


class Schedule(RecipePart):
    """How the learning rate changes from epoch to epoch.

    plateau: multiply by `factor` when the validation Dice has not risen by more than
        `threshold` for `patience` epochs. cosine: warm-up, then half a cosine to `minimum`.
    polynomial: warm-up, then down to `minimum` with the `power` of what is left of the run.
    one-cycle: up from a `divisor`-th of the learning rate during the share `rise` of the run,
        then down to `minimum`; it warms up by itself.
    """

    name: Literal["constant", "plateau", "cosine", "polynomial", "one-cycle"] = "plateau"
    factor: Annotated[float, Field(gt=0, lt=1)] = 0.1
    patience: Count = 5
    threshold: NonNegative = 1e-4
    minimum: NonNegative = 1e-6
    warmup_epochs: Annotated[int, Field(ge=0)] = 0
    power: Positive = 0.9
    rise: Annotated[float, Field(gt=0, lt=1)] = 0.3
    divisor: Annotated[float, Field(ge=1)] = 25.0

    @model_validator(mode="after")
    def _one_cycle_is_whole(self) -> Self:
        if self.name == "one-cycle" and self.warmup_epochs:
            raise ValueError("one-cycle warms up by itself: set warmup_epochs to 0")
        if self.name == "one-cycle" and not self.minimum:
            raise ValueError("one-cycle ends at minimum, where nothing is learnt at 0: raise it")
        return self


class Optimisation(RecipePart):
    """The optimiser with all of its constants: the frameworks' defaults differ.

    beta1, beta2, epsilon: of adam and adamw. momentum, nesterov: of sgd.
    weight_decay: of kernels; adamw shrinks them by it, sgd adds it to the gradient.
    clip_norm: largest norm of all gradients together; longer ones are scaled down to it.
    accumulation: each batch is worked through in that many parts, whose gradients are
        averaged: the memory of a part, the step of the whole.
    ema_decay: the moving average of the weights keeps this share at each step; the average is
        validated and becomes the best weights. 0 for none.
    early_stopping: end after that many epochs without a higher validation Dice, counted from
        the first epoch that found anything.
    sampling: each image once per epoch, or as many lesion-free images as ones with a lesion.
    deep_supervision: decoder levels below the image's resolution that have a head and a loss of
        their own in training; each counts half as much as the level above it.
    """

    optimiser: Literal["adam", "adamw", "sgd"] = "adamw"
    learning_rate: Positive = 1e-3
    beta1: Fraction = 0.9
    beta2: Fraction = 0.999
    epsilon: Positive = 1e-8
    weight_decay: NonNegative = 0.01
    momentum: Fraction = 0.9
    nesterov: bool = True
    clip_norm: Positive | None = None
    batch_size: Count = 16
    accumulation: Count = 1
    epochs: Count = 50
    early_stopping: Count | None = None
    ema_decay: Fraction = 0.0
    sampling: Literal["each", "balanced"] = "each"
    schedule: Schedule = Schedule()
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    deep_supervision: Annotated[int, Field(ge=0)] = 0

    @model_validator(mode="after")
    def _constants_agree(self) -> Self:
        if self.optimiser == "adam" and self.weight_decay:
            raise ValueError("adam takes no weight_decay here: set it to 0, or use adamw")
        if self.optimiser == "sgd" and self.nesterov and not self.momentum:
            raise ValueError("nesterov needs a momentum above 0: raise it, or set nesterov=false")
        if self.accumulation > self.batch_size:
            raise ValueError(
                f"accumulation divides the batch: it must be at most batch_size ({self.batch_size})"
            )
        return self

    @property
    def moments(self) -> tuple[str, ...]:
        """What the optimiser remembers of each weight, by name."""
        if self.optimiser == "sgd":
            return ("momentum",) if self.momentum else ()
        return ("first", "second")


_BEGINS = "model:"
InitialWeights = (
    Literal["random", "imagenet"] | Annotated[str, Field(pattern=rf"^{_BEGINS}[0-9a-f]{{12}}$")]
)


def initial_weights_of(fingerprint: str) -> str:
    """Return the `initial_weights` of a training that begins from the model of a fingerprint."""
    return f"{_BEGINS}{fingerprint}"


class Recipe(RecipePart):
    """Saved as recipe.json beside the weights that it made.

    health: whether a training that cannot succeed is stopped, or a warning is all; a loss that
        is not finite stops it always.
    initial_weights: what the training begins with; `imagenet` for an encoder that was trained
        on it, which the extra `pretrained` brings, with a random decoder; or `model:` and the
        fingerprint of a model, which `train --init` writes and needs.
    class_loss_weight: of the cross entropy of `network.classes`, beside the loss of the pixels.
    volume: how CT volumes are prepared; `preprocessing` is not asked then. None for images.
    """

    schema_version: Literal[1] = 1
    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9.-]*$")] = "custom"
    seed: Annotated[int, Field(ge=0)] = 0
    split: Split = Split()
    preprocessing: Preprocessing = Preprocessing()
    volume: VolumePreprocessing | None = None
    augmentation: Augmentation = Augmentation()
    network: Annotated[AnyNetwork, BeforeValidator(network_by_name)] = UNetSpec()
    loss: Annotated[tuple[LossTerm, ...], Field(min_length=1), BeforeValidator(loss_from_text)] = (
        LossTerm(name="bce-dice"),
    )
    optimisation: Optimisation = Optimisation()
    health: Literal["stop", "warn"] = "stop"
    initial_weights: InitialWeights = "random"
    class_loss_weight: Positive = 0.2

    @model_validator(mode="after")
    def _supervised_levels_are_there(self) -> Self:
        wanted, channels = self.optimisation.deep_supervision, self.network.channels
        if wanted > (most := len(channels) - 2):
            raise ValueError(
                f"optimisation.deep_supervision={wanted} must be at most {most}: that many decoder "
                f"levels of the network with channels {channels} lie below the image's resolution"
            )
        return self

    @model_validator(mode="after")
    def _pretrained_encoder_is_there(self) -> Self:
        if self.initial_weights == "imagenet" and not isinstance(self.network, LiteUNetSpec):
            raise ValueError(
                "initial_weights=imagenet needs a network with a pretrained encoder, such as "
                "network=unet-lite0; use it, or initial_weights=random"
            )
        return self

    @model_validator(mode="after")
    def _classes_are_of_whole_images(self) -> Self:
        if self.volume is not None and self.network.classes:
            raise ValueError(
                "network.classes are those of a whole image, and of a volume the network sees "
                "patches; set network.classes=[]"
            )
        return self

    @model_validator(mode="after")
    def _network_takes_the_input(self) -> Self:
        if self.volume is not None:
            if problem := self.volume.problem_with(self.network):
                raise ValueError(problem)
            if self.optimisation.sampling != "each":
                raise ValueError(
                    "optimisation.sampling balances images: leave it at 'each' for volumes, whose "
                    "patches volume.lesion_share balances"
                )
            if unknown := [name for name in _OF_IMAGES if getattr(self.augmentation, name)]:
                raise ValueError(
                    f"volumes are not changed by augmentation.{unknown[0]}: leave it at 0"
                )
        elif self.network.dimensions == 2:  # the size is that of images
            self._require_size()
        return self

    def _require_size(self) -> None:
        size, stride = self.preprocessing.size, math.lcm(*self.network.stride)
        if size % stride:
            raise ValueError(
                f"preprocessing.size={size} must be a multiple of {stride}, which the network with "
                f"channels {self.network.channels} halves it by: take {size + -size % stride}"
            )

    @property
    def begins_from(self) -> str | None:
        """The fingerprint of the model whose weights the training begins with; None for no one."""
        return self.initial_weights.partition(_BEGINS)[2] or None

    @property
    def split_seed(self) -> int:
        """The seed of the split."""
        return self.seed if self.split.seed is None else self.split.seed

    def fingerprint(self) -> str:
        """Return 12 hex digits that differ whenever the training would differ."""
        told = self.model_dump(mode="json", exclude_defaults=True, exclude={"name"})
        return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:12]

    def with_settings(self, settings: Iterable[str]) -> "Recipe":
        """Return a copy changed by settings such as `optimisation.epochs=5`.

        Raises:
            RecipeError: a setting is not KEY=VALUE, its key is unknown or its value is wrong.
        """
        document = self.model_dump(mode="json")
        for setting in settings:
            key, equals, text = setting.partition("=")
            if not equals:
                raise RecipeError(
                    f"--set {setting}: expected KEY=VALUE, such as optimisation.epochs=5."
                )
            _set_field(document, key.strip().split("."), _value(text), setting)
            named = document["network"]
            if isinstance(named, str) and named in NETWORKS:  # later settings may change it
                document["network"] = NETWORKS[named].model_dump(mode="json")
        return parse_recipe(document, source="--set")

    def to_json(self) -> str:
        """Return the recipe as an indented JSON document."""
        return self.model_dump_json(indent=2) + "\n"


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text


def _set_field(document: dict[str, Any], path: list[str], value: Any, setting: str) -> None:
    for name in path[:-1]:
        document = document[name] if isinstance(document.get(name), dict) else {}
    if path[-1] not in document:
        raise RecipeError(
            f"--set {setting}: no recipe field is called '{'.'.join(path)}'."
            f"{suggestion(path[-1], document)}"
        )
    document[path[-1]] = value


def parse_recipe(document: Any, *, source: str) -> Recipe:
    """Check a JSON document as a recipe.

    Args:
        document: what json.loads returned.
        source: where it came from, for messages.

    Raises:
        RecipeError: naming each field that is unknown or wrong, and what was expected.
    """
    version = document.get("schema_version", SCHEMA_VERSION) if isinstance(document, dict) else None
    if version != SCHEMA_VERSION:
        raise RecipeError(
            f"{source}: expected a recipe of schema version {SCHEMA_VERSION}, got {version!r}. "
            "Use the breastseg version that wrote it, or write the recipe anew "
            "(`breastseg recipes show NAME`)."
        )
    try:
        return Recipe.model_validate(document)
    except ValidationError as error:
        told = problems(error, of=Recipe, kind="recipe")
        raise RecipeError(f"{source}: {told}.") from None


def read_recipe(path: Path) -> Recipe:
    """Read a recipe file.

    Raises:
        RecipeError: the file is missing, no JSON, or no recipe.
    """
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise RecipeError(f"{path}: the recipe cannot be read ({error}).") from None
    except json.JSONDecodeError as error:
        raise RecipeError(f"{path}: expected a JSON recipe, but {error}.") from None
    return parse_recipe(document, source=str(path))
