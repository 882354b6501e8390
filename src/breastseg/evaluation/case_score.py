"""How one mask came out on one image: every figure of it, as numbers."""

from dataclasses import dataclass

import numpy as np

from breastseg.core.errors import ReferenceMaskError
from breastseg.core.image import Case
from breastseg.evaluation import overlap
from breastseg.evaluation.overlap import Mask
from breastseg.evaluation.surface import SizeUnit, Unit, score_surfaces, size_error


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseScore:
    """How one mask came out on one image; None where a figure is not defined (see overlap.py).

    group: the patient or near-duplicate group, the unit that intervals resample.
    label: the class that the data set gives the image.
    predicted_lesion: whether anything was marked.
    hd95_unit: what hd, hd95 and assd are in, also where they are None.
    nsd: at nsd_tolerance, in the same unit.
    reference_size: what the reader drew, in size_unit; 0 without a lesion.
    size_difference: mask minus reference, in size_unit; size_relative: over the reference.
    """

    case_id: str
    group: str
    label: str | None
    has_lesion: bool
    num_reference_lesions: int
    predicted_lesion: bool
    dice: float | None
    iou: float | None
    precision: float | None
    recall: float | None
    hd95: float | None
    hd95_unit: Unit
    hd: float | None
    assd: float | None
    nsd: float | None
    nsd_tolerance: float
    reference_size: float
    size_difference: float
    size_unit: SizeUnit
    size_relative: float | None
    pixel_accuracy: float


def score_case(case: Case, mask: Mask, *, group: str, label: str | None = None) -> CaseScore:
    """Score a mask against what the reader of a case has drawn.

    Args:
        mask: True inside a lesion, of the shape of the case's image.

    Raises:
        ReferenceMaskError: nobody has drawn a reference for this case.
        GeometryError, InputError: the mask does not fit; see overlap.require_same_grid.
    """
    if case.reference is None:
        raise ReferenceMaskError(
            f"case '{case.case_id}': scoring needs a reference mask, found none. Leave the case "
            "out, or add an empty mask if a reader found no lesion."
        )
    reference = case.reference > 0
    spacing = case.image.spacing_mm
    surfaces = score_surfaces(mask, reference, spacing_mm=spacing)
    nothing = np.zeros_like(reference)
    return CaseScore(
        case_id=case.case_id,
        group=group,
        label=label,
        has_lesion=bool(reference.any()),
        num_reference_lesions=len(np.unique(case.reference[reference])),
        predicted_lesion=bool(mask.any()),
        dice=overlap.dice(mask, reference),
        iou=overlap.iou(mask, reference),
        precision=overlap.precision(mask, reference),
        recall=overlap.recall(mask, reference),
        hd95=surfaces.hd95,
        hd95_unit=surfaces.unit,
        hd=surfaces.hd,
        assd=surfaces.assd,
        nsd=surfaces.nsd,
        nsd_tolerance=surfaces.tolerance,
        reference_size=size_error(reference, nothing, spacing_mm=spacing).difference,
        size_difference=surfaces.size.difference,
        size_unit=surfaces.size.unit,
        size_relative=surfaces.size.relative,
        pixel_accuracy=overlap.pixel_accuracy(mask, reference),
    )
