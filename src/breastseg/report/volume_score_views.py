"""Pictures of a scored volume: what the model marked and the reader drew, at one place."""

import numpy as np
from jaxtyping import Bool

from breastseg.core.image import Image
from breastseg.report.overlays import Colour
from breastseg.report.volume_planes import PLANES, PlaneName, Viewer
from breastseg.report.volume_views import (
    DRAWN,
    MARKED,
    PANEL,
    Style,
    crop,
    panel,
    sheet,
    size_mm,
)

_CLOSE_UP_TIMES = 2.5
_SMALLEST_CLOSE_UP_MM = 40.0
_STYLE = Style(by_model=True, both=True)

Mask = Bool[np.ndarray, "slices rows columns"]


def score_picture(
    image: Image, mask: Mask, reference: Mask, focus: Mask, *, three_planes: bool
) -> Colour:
    """Return the plane in which the focus is largest, with a close-up of it.

    Args:
        image: a CT, with an affine.
        mask: what the model marked. reference: what the reader drew.
        focus: where to look: a lesion or a finding; not empty.
        three_planes: axial, coronal and sagittal, close-ups below; else axial, close-up beside.
    """
    viewer = Viewer.of(image, mask * np.uint8(MARKED) + reference * np.uint8(DRAWN))
    at = Viewer.of(image, focus.astype(np.uint8))
    names: tuple[PlaneName, ...] = PLANES if three_planes else ("axial",)
    indices = [at.fullest(name, 1) for name in names]
    planes = [viewer.plane(name, index) for name, index in zip(names, indices, strict=True)]
    inside = [at.plane(name, index).labels > 0 for name, index in zip(names, indices, strict=True)]
    side_mm = max(
        _SMALLEST_CLOSE_UP_MM,
        *(
            _CLOSE_UP_TIMES * _extent_mm(each, plane.spacing_mm)
            for each, plane in zip(inside, planes, strict=True)
        ),
    )
    crops = [crop(plane, each, side_mm) for plane, each in zip(planes, inside, strict=True)]
    px_per_mm = PANEL / max(max(size_mm(plane)) for plane in planes)
    whole = [
        panel(plane, _STYLE, px_per_mm, box=box)
        for plane, (_, box) in zip(planes, crops, strict=True)
    ]
    close = [panel(each, _STYLE, PANEL / max(size_mm(each))) for each, _ in crops]
    return sheet([whole, close] if three_planes else [[*whole, *close]], _STYLE, "")


def _extent_mm(inside: np.ndarray, spacing_mm: tuple[float, float]) -> float:
    return float((np.ptp(np.argwhere(inside), axis=0) + 1) @ np.asarray(spacing_mm)) / 2
