"""Which lesions were found: candidates of a probability map against a reader's lesions.

A candidate finds a lesion when their IoU is at least 0.1. The matching is one to one: of all
pairs that overlap so far, the one with the most probable candidate is taken first, then that
with the larger IoU (then the lower labels); both are then taken, and so on. Hence

- whatever threshold is set later, the lesions found are those that the shown candidates find
  when they are matched alone: candidates below it cannot take a lesion from one above it;
- a second candidate on a lesion already found finds nothing. It is called a duplicate and
  counts as a false positive: a lesion marked in two pieces is two marks to look at;
- one candidate over two lesions finds one of them.

Only these few numbers are kept of each image, so that any number of images fits.

Source: the order by score, and duplicates as false positives: Everingham et al. 2015 (the
PASCAL VOC challenge), doi:10.1007/s11263-014-0733-5, section 2.4.3, there with boxes and an IoU
of 0.5; an IoU of 0.1, since lesions are small and their outlines uncertain: Jaeger et al. 2018
(Retina U-Net), arXiv:1811.08661.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float64, Int64
from scipy import ndimage

from breastseg.core.errors import GeometryError, InputError, ReferenceMaskError
from breastseg.core.image import Case, LabelMap, Pixels
from breastseg.core.lesion import DEFAULT_THRESHOLD, check_threshold
from breastseg.evaluation.overlap import Mask
from breastseg.evaluation.surface import Spacing, Unit, unit_of

MIN_IOU = 0.1

Outcome = Literal["hit", "duplicate", "false positive"]


@dataclass(frozen=True, slots=True, kw_only=True)
class LesionScore:
    """What became of one lesion that a reader drew.

    label: in the reference's label map.
    diameter: of the disc, or in a volume the ball, of the lesion's size, in unit.
    score: of the candidate that finds it, in (0, 1]; None where none does at any threshold.
    iou: with that candidate; 0 where there is none.
    """

    label: int
    size_px: int
    diameter: float
    unit: Unit
    score: float | None
    iou: float


@dataclass(frozen=True, slots=True, kw_only=True)
class CandidateScore:
    """What one candidate was.

    score: its highest probability, in (0, 1].
    iou: the largest with any lesion, found by it or not; 0 where it overlaps none.
    lesion: the label of the lesion that it finds; None for duplicates and false positives.
    """

    score: float
    size_px: int
    iou: float
    lesion: int | None
    outcome: Outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageDetection:
    """All that the detection figures need of one image.

    group: the patient or near-duplicate group, the unit that intervals resample.
    label: the class that the data set gives the image, such as benign.
    score: of the image, in [0, 1]: the highest of any candidate; where there is none, the
        highest probability of the map, which would be the first candidate's.
    threshold: candidates are shown from this score on; the operating threshold.
    outline: the lowest probability of a candidate's pixels; a lower one gives larger candidates,
        more of them, and other figures.
    min_iou: from which on a candidate finds a lesion.
    smallest_px: smaller components are no candidates.
    """

    case_id: str
    group: str
    label: str | None
    score: float
    threshold: float
    outline: float
    min_iou: float
    lesions: tuple[LesionScore, ...]
    candidates: tuple[CandidateScore, ...]
    smallest_px: float = 0.0

    @property
    def shown(self) -> tuple[CandidateScore, ...]:
        """The candidates that reach the operating threshold."""
        return tuple(each for each in self.candidates if each.score >= self.threshold)

    @property
    def num_false_positives(self) -> int:
        """How many shown candidates find no lesion, duplicates among them."""
        return sum(each.outcome != "hit" for each in self.shown)

    def finds(self, lesion: LesionScore) -> bool:
        """Return whether a candidate that is shown finds that lesion of this image."""
        return lesion.score is not None and lesion.score >= self.threshold


def score_detection(
    case: Case,
    probability: Pixels,
    *,
    threshold: float,
    group: str,
    label: str | None = None,
    outline: float = DEFAULT_THRESHOLD,
    min_iou: float = MIN_IOU,
    smallest_px: float = 0.0,
) -> ImageDetection:
    """Match the candidates of a probability map with what the reader of a case has drawn.

    Args:
        probability: of lesion, in [0, 1], of the shape of the case's image.
        threshold: the operating threshold, in (0, 1].
        outline: candidates are components at this probability, or at the threshold where that
            is lower, as core.lesion.find_lesions has them.
        min_iou: from which on a candidate finds a lesion, in (0, 1].
        smallest_px: smaller components are no candidates, as a model of volumes shows none.

    Raises:
        ReferenceMaskError: nobody has drawn a reference for this case.
        GeometryError: the map has not the image's shape.
        InputError: a threshold or min_iou is out of range, or a probability is.
    """
    if case.reference is None:
        raise ReferenceMaskError(
            f"case '{case.case_id}': detection needs a reference, found none. Leave the case "
            "out, or add an empty mask if a reader found no lesion."
        )
    check_threshold(threshold)
    outline = min(outline, threshold)
    labels, scores = find_candidates(probability, outline=outline, smallest_px=smallest_px)
    lesions, candidates = match_lesions(
        labels, scores, case.reference, spacing_mm=case.image.spacing_mm, min_iou=min_iou
    )
    return ImageDetection(
        case_id=case.case_id,
        group=group,
        label=label,
        score=float(probability.max()),
        threshold=threshold,
        outline=outline,
        min_iou=min_iou,
        lesions=lesions,
        candidates=candidates,
        smallest_px=smallest_px,
    )


def find_candidates(
    probability: Pixels, *, outline: float = DEFAULT_THRESHOLD, smallest_px: float = 0.0
) -> tuple[LabelMap, Float64[np.ndarray, " candidates"]]:
    """Return the label map of the candidates, from 1, and the score of each.

    Neighbours are all 8 around a pixel, 26 around a voxel. In an image these are the lesions
    of core.lesion.find_lesions with the outline as threshold, in another order and without
    their axes, whose convex hulls would take most of the time on noise.

    Args:
        probability: in [0, 1], axes (slice, row, column).
        outline: the lowest probability of a candidate's pixels, in (0, 1].
        smallest_px: smaller components are left out.

    Raises:
        GeometryError: the map has not three axes, or no pixel.
        InputError: the outline or a probability is out of range.

    >>> labels, scores = find_candidates(np.array([[[0.6, 0.8, 0.1, 0.5]]], np.float32))
    >>> labels.tolist(), scores.round(3).tolist()
    ([[[1, 1, 0, 2]]], [0.8, 0.5])
    """
    check_threshold(outline)
    if probability.ndim != 3 or probability.size == 0:
        raise GeometryError(
            "the probability map must have the axes (slice, row, column) and at least one "
            f"pixel, got the shape {probability.shape}."
        )
    if not (probability.min() >= 0 and probability.max() <= 1):
        raise InputError(
            "probabilities must lie in [0, 1], found "
            f"{probability.min():.3g} to {probability.max():.3g}. Pass the sigmoid of the logits."
        )
    labels, count = ndimage.label(probability >= outline, np.ones((3, 3, 3)), np.int32)
    inside = labels > 0
    if smallest_px > 1:
        labels, count = _without_specks(labels, inside, count, smallest_px)
        inside = labels > 0
    scores = np.zeros(count + 1, np.float64)
    np.maximum.at(scores, labels[inside], probability[inside])
    return labels, scores[1:]


def _without_specks(
    labels: LabelMap, inside: Mask, count: int, smallest_px: float
) -> tuple[LabelMap, int]:
    """Leave out components of fewer pixels, and number the others without a gap."""
    kept = np.bincount(labels[inside], minlength=count + 1) >= smallest_px
    kept[0] = False
    numbers = np.where(kept, np.cumsum(kept), 0).astype(np.int32)
    return numbers[labels], int(kept.sum())


def shown_mask(probability: Pixels, threshold: float) -> Mask:
    """Return what is shown at an operating threshold: the candidates whose score reaches it.

    The same as core.lesion.find_lesions marks in an image; here of volumes, too. Arguments and
    errors of find_candidates, with the outline at 0.5, or at the threshold where that is lower.

    >>> shown_mask(np.array([[[0.6, 0.8, 0.1, 0.5]]], np.float32), 0.7).tolist()
    [[[True, True, False, False]]]
    """
    labels, scores = find_candidates(probability, outline=min(threshold, DEFAULT_THRESHOLD))
    shown: Mask = np.concatenate([[False], scores >= threshold])[labels]
    return shown


def match_lesions(
    candidates: LabelMap,
    scores: Sequence[float] | Float64[np.ndarray, " candidates"],
    reference: LabelMap,
    *,
    spacing_mm: Spacing | None = None,
    min_iou: float = MIN_IOU,
) -> tuple[tuple[LesionScore, ...], tuple[CandidateScore, ...]]:
    """Match candidates and lesions one to one, by the rule of this module.

    Args:
        candidates: label map, 0 for background, numbered from 1 without a gap.
        scores: of each candidate, in (0, 1].
        reference: label map, 0 for background; any labels above 0, which need not be connected.
        spacing_mm: distance of pixel centres along (slice, row, column); None if not known.

    Returns:
        The lesions by their label, and the candidates in their order.

    Raises:
        GeometryError: the maps differ in shape.
        InputError: scores do not fit the candidates, or min_iou is out of range.
    """
    _check(candidates, scores, reference, min_iou)
    drawn = reference > 0
    labels, numbers = np.unique(reference[drawn], return_inverse=True)
    shared, sizes = _overlaps(candidates, drawn, numbers, len(labels), len(scores))
    lesion_sizes = np.bincount(numbers, minlength=len(labels))
    ious = {
        (one, other): count / (int(sizes[one] + lesion_sizes[other]) - count)
        for (one, other), count in shared.items()
    }
    taken = _one_to_one(ious, scores, min_iou)
    finder = {lesion: candidate for candidate, lesion in taken.items()}
    best = [0.0] * len(scores)
    for (candidate, _), value in ious.items():
        best[candidate] = max(best[candidate], value)
    is_image = reference.shape[0] == 1
    return tuple(
        LesionScore(
            label=int(label),
            size_px=int(size),
            diameter=equivalent_diameter(int(size), is_image=is_image, spacing_mm=spacing_mm),
            unit=unit_of(spacing_mm),
            score=float(scores[finder[number]]) if number in finder else None,
            iou=ious[finder[number], number] if number in finder else 0.0,
        )
        for number, (label, size) in enumerate(zip(labels, lesion_sizes, strict=True))
    ), tuple(
        CandidateScore(
            score=float(score),
            size_px=int(sizes[number]),
            iou=best[number],
            lesion=int(labels[taken[number]]) if number in taken else None,
            outcome=_outcome(number in taken, best[number] >= min_iou),
        )
        for number, score in enumerate(scores)
    )


def equivalent_diameter(
    size_px: int, *, is_image: bool, spacing_mm: Spacing | None = None
) -> float:
    """Return the diameter of the disc (image) or ball (volume) of so many pixels.

    Args:
        spacing_mm: the answer is in mm with it, else in pixels (voxels taken as cubes).

    >>> round(equivalent_diameter(100, is_image=True, spacing_mm=(1.0, 0.5, 0.5)), 3)
    5.642
    """
    scale = (1.0, 1.0, 1.0) if spacing_mm is None else spacing_mm
    if is_image:
        return 2 * math.sqrt(size_px * math.prod(scale[1:]) / math.pi)
    return math.cbrt(6 * size_px * math.prod(scale) / math.pi)


def _check(
    candidates: LabelMap,
    scores: Sequence[float] | Float64[np.ndarray, " candidates"],
    reference: LabelMap,
    min_iou: float,
) -> None:
    if candidates.shape != reference.shape or reference.ndim != 3:
        raise GeometryError(
            f"the candidates must have the reference's shape {reference.shape}, (slices, rows, "
            f"columns), got {candidates.shape}. Map them back to the grid of the image first."
        )
    highest = int(candidates.max(initial=0))
    if highest > len(scores) or not all(0 < score <= 1 for score in scores):
        raise InputError(
            f"expected a score in (0, 1] for each of {highest} candidates, got {len(scores)}: "
            f"{list(scores)[:5]}."
        )
    if not 0 < min_iou <= 1:
        raise InputError(f"the least IoU must be above 0 and at most 1, got {min_iou}.")


def _overlaps(
    candidates: LabelMap,
    drawn: np.ndarray,
    numbers: Int64[np.ndarray, " pixels"],
    num_lesions: int,
    num_candidates: int,
) -> tuple[dict[tuple[int, int], int], Int64[np.ndarray, " candidates"]]:
    """Return the shared pixels of each pair that shares any, and the candidates' sizes."""
    over = candidates[drawn]
    pairs = (over.astype(np.int64) - 1) * num_lesions + numbers
    keys, counts = np.unique(pairs[over > 0], return_counts=True)
    shared = {
        divmod(key, num_lesions): count
        for key, count in zip(keys.tolist(), counts.tolist(), strict=True)
    }
    sizes = np.bincount(candidates[candidates > 0], minlength=num_candidates + 1)[1:]
    return shared, sizes


def _one_to_one(
    ious: dict[tuple[int, int], float],
    scores: Sequence[float] | Float64[np.ndarray, " candidates"],
    min_iou: float,
) -> dict[int, int]:
    """Return the lesion of each candidate that finds one; most probable first, then IoU."""
    close = [(-scores[pair[0]], -value, pair) for pair, value in ious.items() if value >= min_iou]
    taken: dict[int, int] = {}
    found: set[int] = set()
    for _, _, (candidate, lesion) in sorted(close):
        if candidate not in taken and lesion not in found:
            taken[candidate] = lesion
            found.add(lesion)
    return taken


def _outcome(is_hit: bool, is_close: bool) -> Outcome:
    if is_hit:
        return "hit"
    return "duplicate" if is_close else "false positive"
