"""Which volumes of a scorecard are looked at, and where: by rank alone, nobody picks."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from breastseg.core.image import Case, LabelMap, Pixels
from breastseg.datasets.cases import CaseFiles, read_case
from breastseg.evaluation.case_score import CaseScore
from breastseg.evaluation.matching import ImageDetection, find_candidates
from breastseg.evaluation.overlap import Mask
from breastseg.evaluation.scorecard import exemplary_cases
from breastseg.io.raster import encode_jpeg
from breastseg.report.overlays import JPEG_QUALITY
from breastseg.report.rendering import data_uri
from breastseg.report.scorecard_page import Picture
from breastseg.report.volume_score_views import score_picture

_EACH = 3
_DICE_ROLES = ("best", "median", "worst")

Answers = Callable[[Case], tuple[Mask, Pixels]]


@dataclass(frozen=True, slots=True, kw_only=True)
class _View:
    """A place to look at. number: of a lesion or a candidate; None for the largest lesion."""

    role: str
    score: CaseScore
    number: int | None
    told: str


def volume_pictures(
    cases: Sequence[CaseFiles],
    scores: Sequence[CaseScore],
    images: Sequence[ImageDetection],
    answers: Answers,
) -> list[Picture]:
    """Draw the best, median and worst volumes, the largest misses, the surest false positives.

    Each volume is read and predicted once more, one at a time.

    Args:
        scores, images: of the model, for the same cases.
        answers: returns its mask, and the map whose candidates were matched.
    """
    views = [*_by_dice(scores), *_missed(scores, images), *_false(scores, images)]
    wanted: dict[str, list[_View]] = defaultdict(list)
    for view in views:
        wanted[view.score.case_id].append(view)
    outlines = {image.case_id: image for image in images}
    drawn: dict[int, Picture] = {}
    for files in cases:
        if files.case_id in wanted:
            case = read_case(files)
            mask, seen = answers(case)
            for view in wanted[files.case_id]:
                drawn[id(view)] = _drawn(view, case, mask, seen, outlines[files.case_id])
    return [drawn[id(view)] for view in views]


def _by_dice(scores: Sequence[CaseScore]) -> list[_View]:
    chosen = exemplary_cases(scores, each=1)
    return [
        _View(role=role, score=score, number=None, told="")
        for role in _DICE_ROLES
        for score in chosen[role]
    ]


def _missed(scores: Sequence[CaseScore], images: Sequence[ImageDetection]) -> list[_View]:
    """Return the largest lesions that nothing finds at the operating threshold."""
    by_id = {score.case_id: score for score in scores}
    missed = [
        (-lesion.diameter, image.case_id, lesion.label)
        for image in images
        for lesion in image.lesions
        if not image.finds(lesion)
    ]
    return [
        _View(role="missed", score=by_id[case_id], number=label, told=f"missed, {-size:.0f} mm")
        for size, case_id, label in sorted(missed)[:_EACH]
    ]


def _false(scores: Sequence[CaseScore], images: Sequence[ImageDetection]) -> list[_View]:
    """Return the most probable false positives that are shown, the larger of equals first."""
    by_id = {score.case_id: score for score in scores}
    wrong = [
        (-each.score, -each.size_px, image.case_id, number)
        for image in images
        for number, each in enumerate(image.candidates, start=1)
        if each.outcome == "false positive" and each.score >= image.threshold
    ]
    return [
        _View(
            role="false positive",
            score=by_id[case_id],
            number=number,
            told=f"false positive, score {-score:.2f}",
        )
        for score, _, case_id, number in sorted(wrong)[:_EACH]
    ]


def _drawn(view: _View, case: Case, mask: Mask, seen: Pixels, image: ImageDetection) -> Picture:
    assert case.reference is not None
    if view.role == "false positive":
        labels, _ = find_candidates(seen, outline=image.outline, smallest_px=image.smallest_px)
        focus = labels == view.number
    else:
        focus = case.reference == (view.number or _largest(case.reference))
    picture = score_picture(
        case.image,
        mask,
        case.reference > 0,
        focus,
        three_planes=view.role not in _DICE_ROLES,
    )
    return Picture(
        case_id=case.case_id,
        picture=data_uri(encode_jpeg(picture, quality=JPEG_QUALITY), "jpeg"),
        role=view.role,
        dice=view.score.dice,
        told=view.told,
    )


def _largest(reference: LabelMap) -> int:
    return int(np.bincount(reference[reference > 0]).argmax())
