"""All that a run learns on the volumes of its calibration part, in one pass over them.

    for each volume:  figures.append(measure_volume(volume, histogram))
    at the end:       calibrate_volumes(figures, histogram)

A volume is run through the network once, not twice as an image: the temperature changes neither
the order of the voxels nor what is above a half, so that all is measured in logits, of which the
temperature makes probabilities at the end. Of a volume only its figures are kept.

Only voxels count where lesions are looked for, since the network says nothing of others. Lesions
that lie elsewhere are missed, and count so in everything but the temperature.
"""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool
from scipy.special import expit

from breastseg.core.calibration import Calibration, apply_temperature
from breastseg.core.image import LabelMap, Pixels
from breastseg.core.lesion import DEFAULT_THRESHOLD
from breastseg.core.volume_findings import SMALLEST_MM3, label_candidates
from breastseg.evaluation.calibrate import calibration_of
from breastseg.evaluation.calibration import LogitHistogram, fit_temperature
from breastseg.evaluation.conformal import (
    ALPHA,
    TOLERANCE,
    ConformalScore,
    conformal_score,
)
from breastseg.evaluation.matching import match_lesions
from breastseg.evaluation.volume_operating_point import (
    RatedCandidate,
    RatedVolume,
    choose_volume_operating_point,
)

Voxels = Bool[np.ndarray, "slices rows columns"]


@dataclass(frozen=True, slots=True, kw_only=True)
class CalibrationVolume:
    """The searched box of a volume of the calibration part; all arrays are of its shape.

    logits: before any temperature, on the image's grid. searched: where they mean something.
    reference: what the reader drew, 0 for background.
    missed_voxels, missed_lesions: drawn outside the box. group: the patient.
    """

    logits: Pixels
    searched: Voxels
    reference: LabelMap
    missed_voxels: int
    missed_lesions: int
    voxel_mm3: float
    group: Hashable


@dataclass(frozen=True, slots=True, kw_only=True)
class VolumeFigures:
    """What is kept of a volume. bounds: in logits; infinite where any threshold would do."""

    rated: RatedVolume
    bounds: ConformalScore


def measure_volume(
    volume: CalibrationVolume,
    histogram: LogitHistogram,
    *,
    tolerance: float = TOLERANCE,
    smallest_mm3: float = SMALLEST_MM3,
) -> VolumeFigures:
    """Add a volume's searched voxels to the histogram, and measure the rest.

    Args:
        tolerance: as of calibrate_volumes.
        smallest_mm3: candidates that prediction does not show.

    Raises:
        GeometryError, InputError: the arrays do not fit, or a logit is not finite.
    """
    logits = volume.logits[volume.searched]
    drawn = volume.reference > 0
    inside = drawn[volume.searched]
    if logits.size:
        histogram.add(logits, inside)
    missed = volume.missed_voxels + int(np.count_nonzero(drawn)) - int(np.count_nonzero(inside))
    # What is not searched is less probable than all else.
    lowest = np.full(max(missed, 1), np.finfo(np.float32).min)
    bounds = conformal_score(
        np.concatenate([logits, lowest]).astype(np.float32)[None, None],
        np.concatenate([inside, np.full(len(lowest), missed > 0)])[None, None],
        group=volume.group,
        tolerance=tolerance,
        lowest=-np.inf,
    )
    return VolumeFigures(rated=_rated(volume, smallest_mm3), bounds=bounds)


def _rated(volume: CalibrationVolume, smallest_mm3: float) -> RatedVolume:
    """Match what would be shown at the lowest threshold with what was drawn."""
    probability = np.where(volume.searched, apply_temperature(volume.logits, 1.0), np.float32(0))
    labels, found = label_candidates(
        probability,
        threshold=DEFAULT_THRESHOLD,
        voxel_mm3=volume.voxel_mm3,
        smallest_mm3=smallest_mm3,
    )
    peaks = [float(volume.logits.ravel()[each.voxels].max()) for each in found]
    # In double precision, where sure candidates are not all alike.
    lesions, candidates = match_lesions(
        labels, [float(expit(each)) for each in peaks], volume.reference
    )
    drawn = volume.reference > 0
    hits = np.bincount(labels[drawn], minlength=len(found) + 1)[1:]
    return RatedVolume(
        candidates=tuple(
            RatedCandidate(
                score=peak, voxels=each.size_px, hit=int(hit), finds=each.lesion is not None
            )
            for peak, each, hit in zip(peaks, candidates, hits, strict=True)
        ),
        lesion_voxels=int(np.count_nonzero(drawn)) + volume.missed_voxels,
        num_lesions=len(lesions) + volume.missed_lesions,
    )


def calibrate_volumes(
    figures: Sequence[VolumeFigures],
    histogram: LogitHistogram,
    *,
    alpha: float = ALPHA,
    tolerance: float = TOLERANCE,
) -> Calibration:
    """Fit the temperature on the searched voxels, then choose the thresholds of probabilities.

    Args:
        figures: one for each volume, measured with the same tolerance.
        histogram: of the same volumes.
        alpha, tolerance: see calibrate.calibrate.

    Returns:
        As calibrate.calibrate. The inner and the outer mask lie in the searched region.

    Raises:
        InputError: alpha or the tolerance is out of range.
    """
    fit = fit_temperature(histogram)

    def probability(score: float) -> float:
        # In single precision, as prediction has its logits: no voxel is lost by a rounding.
        return float(apply_temperature(np.float32(score), fit.temperature))

    rated = [each.rated.calibrated(probability) for each in figures]
    point = choose_volume_operating_point(rated)
    scores = [
        ConformalScore(
            group=each.bounds.group,
            outer=None if each.bounds.outer is None else probability(each.bounds.outer),
            inner=probability(each.bounds.inner),
        )
        for each in figures
    ]
    return calibration_of(fit, point, scores, alpha=alpha, tolerance=tolerance)
