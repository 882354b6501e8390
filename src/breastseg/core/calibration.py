"""What a run learnt on its calibration part, and applying it to a probability map.

- The temperature divides every logit, so that a probability of 0.8 comes true in 8 of 10 pixels
  (Guo et al. 2017, section 4.2). It keeps the order of all pixels and leaves a half a half: the
  mask at 0.5 is the same with any temperature.
- The class temperature does the same to the logits of the classes of whole images.
- The gate multiplies the logits above 0 by the probability that the picture has a lesion at all,
  which a network with the class `normal` tells. It moves no outline, but where no lesion is
  expected a finding must be surer to be shown.
- The operating threshold decides which findings are shown (core.lesion.find_lesions).
- Two conformal thresholds bound the lesion from outside and from inside, with a guarantee; how
  they come about is in evaluation.conformal, what they mean in docs/reference/calibration.md.

Thresholds are compared with calibrated probabilities.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Self

import numpy as np
from jaxtyping import Bool, Float32
from scipy.special import expit, logit, softmax

from breastseg.core.errors import InputError
from breastseg.core.image import Area, Pixels
from breastseg.core.lesion import DEFAULT_THRESHOLD, check_threshold

SCHEMA_VERSION = 2
"""1 held the operating threshold alone; it is read as a temperature of 1 without guarantees."""
ABSTAIN_ABOVE = 0.5
"""Share of the image: an outer mask of most of the image helps nobody."""

_BELOW_HALF = np.nextafter(np.float32(0.5), np.float32(0))

NORMAL = "normal"
"""The class of a picture without a lesion, as BUSI and the recipes that ship call it."""

ClassProbability = Mapping[str, float]
"""Of each class of the whole image, in [0, 1], together 1; empty where none is told."""

Values = Float32[np.ndarray, "..."]
Mask = Bool[np.ndarray, "slices rows columns"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ConformalThreshold:
    """A threshold with the guarantee that it was chosen for.

    threshold: of the calibrated probability, in [0, 1]. None where there were too few groups
        for the confidence: then there is no guarantee, and no number is made up for it.
    alpha: how often the guarantee may fail on a new group, in (0, 1); 0.1 is 90 % confidence.
    tolerance: share of the lesion that the outer mask may miss, or share of the inner mask that
        may lie outside the lesion, in [0, 1).
    num_groups: how many groups it was chosen on.
    """

    threshold: float | None
    alpha: float
    tolerance: float
    num_groups: int

    def __post_init__(self) -> None:
        if self.threshold is not None and not 0 <= self.threshold <= 1:
            raise InputError(f"a conformal threshold must be a probability, got {self.threshold}.")
        check_confidence(self.alpha, self.tolerance)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """What is guaranteed of one image.

    outer: {probability >= threshold}; holds all but a tolerated share of the lesion, if there
        is one. None without a guarantee.
    inner: {probability > threshold}; all but a tolerated share of it is lesion. It may be empty,
        which claims nothing. None without a guarantee.
    outer_share: share of the image that the outer mask covers, in [0, 1].
    abstains: the outer mask would cover most of the image: not sure, to a reader.
    """

    outer: Mask | None
    inner: Mask | None
    outer_share: float | None
    abstains: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """calibration.json of a run. The defaults are those of a run without a calibration part.

    temperature: above 1 makes the network less sure, below 1 surer.
    operating_threshold: how probable a finding must be to be shown, in (0, 1].
    outer, inner: conformal thresholds; None where none were sought.
    class_temperature: of the classes of whole images; None where the network tells none, or was
        not calibrated for them.
    abstain_above: share of the image that an outer mask may cover, in (0, 1].
    mirrored: whether all this is of answers averaged with those on the mirrored picture, which
        prediction then does too.
    gated: whether all this is of logits that went through the gate, see apply_gate, as those of
        a prediction then do too.
    chosen_on: figures on the calibration part that all this was chosen by, for people to read.
    """

    temperature: float = 1.0
    operating_threshold: float = DEFAULT_THRESHOLD
    outer: ConformalThreshold | None = None
    inner: ConformalThreshold | None = None
    class_temperature: float | None = None
    abstain_above: float = ABSTAIN_ABOVE
    mirrored: bool = False
    gated: bool = False
    chosen_on: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_temperature(self.temperature)
        check_temperature(self.class_temperature or 1.0)
        check_threshold(self.operating_threshold)
        if not 0 < self.abstain_above <= 1:
            raise InputError(
                f"abstain_above must be a share of the image in (0, 1], got {self.abstain_above}."
            )

    @property
    def is_fitted(self) -> bool:
        """Whether temperature and guarantees were learnt from images; version 1 had neither."""
        return self.outer is not None

    @property
    def guarantees(self) -> bool:
        """Whether there is an outer or an inner mask with a guarantee."""
        return any(each and each.threshold is not None for each in (self.outer, self.inner))

    @property
    def answers(self) -> str | None:
        """How the network is asked, in words; None where once and plainly."""
        told = []
        if self.mirrored:
            told.append("averaged with those on the mirrored picture")
        if self.gated:
            told.append(f"gated by the class {NORMAL}")
        return ", ".join(told) or None

    def signature(self) -> str:
        """Return what makes a run's probabilities and bounds, as text; empty for the defaults.

        It is part of the name of a model. The operating threshold is not: it can be overridden,
        and stands beside the name wherever that does.
        """
        if not self.is_fitted and self.temperature == 1 and not self.mirrored and not self.gated:
            return ""
        parts = asdict(self)
        names = ["temperature", "outer", "inner", "abstain_above"]
        if self.class_temperature is not None:
            names.append("class_temperature")
        names += [name for name in ("mirrored", "gated") if parts[name]]
        return json.dumps({name: parts[name] for name in names}, sort_keys=True)

    def apply(self, probability: Values) -> Values:
        """Calibrate probabilities in [0, 1] that were not calibrated yet; 0 and 1 stay.

        A Segmenter with this temperature does it on its logits, which tells more pixels near 1
        apart than float32 probabilities do.
        """
        if self.temperature == 1:
            return probability
        with np.errstate(divide="ignore"):
            logits = logit(np.asarray(probability, np.float64))
        return apply_temperature(logits, self.temperature)

    def bounds(self, probability: Pixels, area: Area | None = None) -> Bounds:
        """Return the guaranteed masks of an image, or that the model abstains.

        Args:
            probability: calibrated, on any grid, of shape (slices, rows, columns).
            area: where lesions are looked for, see Image.scan_area; what lies around it is in no
                mask and counts for nothing.
        """
        inside = (slice(None), *(area.slices if area else ()))
        outer = inner = share = None
        if self.outer is not None and self.outer.threshold is not None:
            outer = np.zeros(probability.shape, bool)
            outer[inside] = probability[inside] >= np.float32(self.outer.threshold)
            share = float(np.mean(outer[inside]))
        if self.inner is not None and self.inner.threshold is not None:
            inner = np.zeros(probability.shape, bool)
            inner[inside] = probability[inside] > np.float32(self.inner.threshold)
        abstains = share is not None and share > self.abstain_above
        return Bounds(outer=outer, inner=inner, outer_share=share, abstains=abstains)

    def to_document(self) -> dict[str, Any]:
        """Return what calibration.json holds."""
        return {"schema_version": SCHEMA_VERSION, **asdict(self)}

    @classmethod
    def from_document(cls, document: Mapping[str, Any], *, source: str) -> Self:
        """Read what to_document wrote, or the first version of it.

        Args:
            source: the file, for messages.

        Raises:
            InputError: another version, a field that is missing, or a value out of range.
        """
        version = document.get("schema_version")
        if version not in (1, SCHEMA_VERSION):
            raise InputError(
                f"{source}: expected a calibration of version 1 or {SCHEMA_VERSION}, got "
                f"{version!r}. Use the breastseg version that wrote it."
            )
        try:
            bounds = {name: _threshold(document.get(name)) for name in ("outer", "inner")}
            return cls(
                temperature=float(document.get("temperature", 1.0)),
                operating_threshold=float(document["operating_threshold"]),
                class_temperature=_number(document.get("class_temperature")),
                abstain_above=float(document.get("abstain_above", ABSTAIN_ABOVE)),
                mirrored=document.get("mirrored", False) is True,
                gated=document.get("gated", False) is True,
                chosen_on=dict(document.get("chosen_on") or {}),
                **bounds,
            )
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(
                f"{source}: expected the fields of a calibration, but {type(error).__name__}: "
                f"{error}. Take the file from a backup."
            ) from None


def apply_temperature(logits: Any, temperature: float) -> Values:
    """Return sigmoid(logits / temperature) as float32.

    Never falling in the logit; at least 0.5 exactly where the logit is 0 or more, so that no
    rounding moves a pixel into or out of the mask at 0.5.

    Args:
        logits: array of any shape; infinite where a probability is 0 or 1.
        temperature: above 0.

    Source: Guo et al. 2017, On Calibration of Modern Neural Networks, section 4.2.

    >>> [f"{each:.3f}" for each in apply_temperature(np.array([-2.0, 0.0, 2.0]), 2.0)]
    ['0.269', '0.500', '0.731']
    """
    logits = np.asarray(logits)
    with np.errstate(over="ignore", under="ignore"):  # infinite and 0 are right then
        probability = np.asarray(expit(logits / temperature), np.float32)
    return np.where(logits < 0, np.minimum(probability, _BELOW_HALF), probability)


def apply_gate(logits: Values, classes: ClassProbability) -> Values:
    """Multiply the logits above 0 by the probability that the picture has a lesion at all.

    Logits of 0 and less stay, so that the mask at 0.5 is the same. That of a network which does
    not tell the class `normal` is left as it is.

    Args:
        logits: of the pixels of one picture, before any temperature; array of any shape.
        classes: calibrated.

    >>> apply_gate(np.array([-2.0, 1.0, 4.0]), {"normal": 0.75, "benign": 0.25}).tolist()
    [-2.0, 0.25, 1.0]
    """
    if NORMAL not in classes:
        return logits
    sure = np.asarray(1 - classes[NORMAL], logits.dtype)
    return np.where(logits > 0, logits * sure, logits)


def class_probability(logits: Values, temperature: float) -> Values:
    """Return softmax(logits / temperature) over the last axis as float32; temperature above 0.

    >>> class_probability(np.array([0.0, np.log(3)]), 1.0).round(4).tolist()
    [0.25, 0.75]
    """
    return np.asarray(softmax(np.asarray(logits, np.float64) / temperature, axis=-1), np.float32)


def check_temperature(temperature: float) -> None:
    """Refuse what logits cannot be divided by.

    Raises:
        InputError: the temperature is not a finite number above 0.
    """
    if not (math.isfinite(temperature) and temperature > 0):
        raise InputError(f"the temperature must be a number above 0, got {temperature}.")


def check_confidence(alpha: float, tolerance: float) -> None:
    """Refuse a guarantee that cannot be meant.

    Raises:
        InputError: alpha is not in (0, 1), or the tolerance not in [0, 1).
    """
    if not (0 < alpha < 1 and 0 <= tolerance < 1):
        raise InputError(
            f"alpha must be in (0, 1) and the tolerance in [0, 1), got {alpha} and {tolerance}. "
            "Usual is 0.1 for both: 90 % confidence, 10 % of the area."
        )


def _number(value: Any) -> float | None:
    return None if value is None else float(value)


def _threshold(document: Mapping[str, Any] | None) -> ConformalThreshold | None:
    if document is None:
        return None
    found = document["threshold"]
    return ConformalThreshold(
        threshold=_number(found),
        alpha=float(document["alpha"]),
        tolerance=float(document["tolerance"]),
        num_groups=int(document["num_groups"]),
    )
