"""All that a run learns on its calibration part, in one go."""

from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace

from breastseg.core.calibration import Calibration, apply_temperature
from breastseg.core.image import Pixels
from breastseg.core.lesion import DEFAULT_THRESHOLD
from breastseg.evaluation.calibration import LogitHistogram, TemperatureFit, fit_temperature
from breastseg.evaluation.conformal import (
    ALPHA,
    TOLERANCE,
    ConformalScore,
    conformal_score,
    inner_threshold,
    outer_threshold,
)
from breastseg.evaluation.operating_point import OperatingPoint, choose_operating_point
from breastseg.evaluation.overlap import Mask
from breastseg.evaluation.volume_operating_point import VolumeOperatingPoint


@dataclass(frozen=True, slots=True, kw_only=True)
class CalibrationImage:
    """An image of the calibration part.

    logits: before any temperature, on the image's grid: Segmenter.logits.
    reference: True inside a lesion. group: patient or near-duplicate group.
    """

    logits: Pixels
    reference: Mask
    group: Hashable


def calibrate(
    images: Callable[[], Iterable[CalibrationImage]],
    *,
    alpha: float = ALPHA,
    tolerance: float = TOLERANCE,
) -> Calibration:
    """Fit the temperature, then choose the thresholds on the calibrated probabilities.

    Args:
        images: called twice, and must give the same images both times: no map is kept.
        alpha: how often a guarantee may fail on a new group.
        tolerance: share of the lesion, or of the inner mask, that may be wrong.

    Returns:
        What calibration.json holds. Without images, or with a network that finds nothing, the
        parts that cannot be chosen are the defaults, without guarantees.

    Raises:
        GeometryError, InputError: logits and reference do not fit; alpha is out of range.
    """
    histogram = LogitHistogram()
    for image in images():
        histogram.add(image.logits, image.reference)
    fit = fit_temperature(histogram)
    scores: list[ConformalScore] = []

    def calibrated() -> Iterator[tuple[Pixels, Mask]]:
        for image in images():
            probability = apply_temperature(image.logits, fit.temperature)
            scores.append(
                conformal_score(
                    probability, image.reference, group=image.group, tolerance=tolerance
                )
            )
            yield probability, image.reference

    point = choose_operating_point(calibrated())
    return calibration_of(fit, point, scores, alpha=alpha, tolerance=tolerance)


def calibration_of(
    fit: TemperatureFit,
    point: OperatingPoint | VolumeOperatingPoint | None,
    scores: Sequence[ConformalScore],
    *,
    alpha: float,
    tolerance: float,
) -> Calibration:
    """Put together what was learnt, of images or of volumes, and what it was chosen on.

    Args:
        point: None where no operating point could be chosen: the threshold is then the default.
        scores: of the calibrated probabilities.
        alpha, tolerance: see calibrate.

    Raises:
        InputError: alpha or the tolerance is out of range.
    """
    return Calibration(
        temperature=fit.temperature,
        operating_threshold=DEFAULT_THRESHOLD if point is None else point.threshold,
        outer=outer_threshold(scores, alpha=alpha, tolerance=tolerance),
        inner=inner_threshold(scores, alpha=alpha, tolerance=tolerance),
        chosen_on={
            "part": "calibration",
            **({} if point is None else asdict(point)),
            "temperature": asdict(fit),
        },
    )


def with_classes(calibration: Calibration, fit: TemperatureFit) -> Calibration:
    """Add the temperature of the classes of whole images."""
    return replace(
        calibration,
        class_temperature=fit.temperature,
        chosen_on={**calibration.chosen_on, "class_temperature": asdict(fit)},
    )
