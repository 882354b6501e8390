"""How far a mask covers a reference: one number per image, at the image's own resolution.

What is not defined is None, never NaN and never a flattering 1:

    reference   mask        dice   iou    precision   recall
    a lesion    something   value  value  value       value
    a lesion    nothing     0      0      None        0
    no lesion   something   None   None   None        None
    no lesion   nothing     None   None   None        None

Images without a lesion count in the specificity instead (see scorecard.py): a Dice of 0 or 1
for them would measure how many there are in the data set, not how well a lesion is outlined.
Source of the formulas: Taha and Hanbury 2015, doi:10.1186/s12880-015-0068-x, section 3.
"""

import numpy as np
from jaxtyping import Bool

from breastseg.core.errors import GeometryError, InputError

Mask = Bool[np.ndarray, "slices rows columns"]


def require_same_grid(mask: Mask, reference: Mask) -> None:
    """Refuse a pair of masks that cannot be compared pixel by pixel.

    Raises:
        GeometryError: the shapes differ, or there is no pixel.
        InputError: one of them is not boolean; 255 or a lesion's number would be miscounted.
    """
    if mask.shape != reference.shape or mask.size == 0:
        raise GeometryError(
            f"the mask must have the shape of the reference {reference.shape} and at least one "
            f"pixel, got {mask.shape}. Map it back to the grid of the image first."
        )
    for name, array in (("mask", mask), ("reference", reference)):
        if array.dtype != np.bool_:
            raise InputError(f"the {name} must be boolean, got {array.dtype}. Use {name} > 0.")


def dice(mask: Mask, reference: Mask) -> float | None:
    """Return 2 |A and B| / (|A| + |B|) in [0, 1]; None where the reference has no lesion.

    Raises:
        GeometryError, InputError: see require_same_grid.

    >>> reference = np.array([[[True, True, False, False]]])
    >>> dice(np.array([[[True, False, False, False]]]), reference)
    0.6666666666666666
    """
    return _ratio(2 * _shared(mask, reference), _pixels(mask) + _pixels(reference), reference)


def iou(mask: Mask, reference: Mask) -> float | None:
    """Return |A and B| / |A or B| in [0, 1]; None where the reference has no lesion."""
    shared = _shared(mask, reference)
    return _ratio(shared, _pixels(mask) + _pixels(reference) - shared, reference)


def precision(mask: Mask, reference: Mask) -> float | None:
    """Return the share of the mask that is lesion, in [0, 1].

    None where the mask is empty, and where the reference has no lesion.
    """
    return _ratio(_shared(mask, reference), _pixels(mask), reference)


def recall(mask: Mask, reference: Mask) -> float | None:
    """Return the share of the lesion that is covered, in [0, 1]; None where there is none."""
    return _ratio(_shared(mask, reference), _pixels(reference), reference)


def pixel_accuracy(mask: Mask, reference: Mask) -> float:
    """Return the share of pixels on which both agree, in [0, 1]; always defined.

    Never a headline: an empty mask scores about 0.9 on breast ultrasound.
    """
    require_same_grid(mask, reference)
    return _pixels(mask == reference) / mask.size


def _shared(mask: Mask, reference: Mask) -> int:
    require_same_grid(mask, reference)
    return _pixels(mask & reference)


def _pixels(mask: Mask) -> int:
    return int(np.count_nonzero(mask))


def _ratio(part: int, whole: int, reference: Mask) -> float | None:
    return part / whole if whole and reference.any() else None
