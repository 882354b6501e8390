"""A label map as a DICOM Segmentation: one binary segment per lesion."""

import numpy as np
from highdicom import AlgorithmIdentificationSequence
from highdicom.seg import (
    SegmentAlgorithmTypeValues,
    Segmentation,
    SegmentationTypeValues,
    SegmentDescription,
)
from pydicom.dataset import Dataset

from breastseg.core.image import LabelMap
from breastseg.io.dicom_results import codes
from breastseg.io.dicom_results.content import Finding, Maker, new_uid, series_attributes
from breastseg.io.dicom_results.sources import Sources

_GREATEST_DTYPE = np.uint16


def segmentation(
    sources: Sources, labels: LabelMap, findings: tuple[Finding, ...], maker: Maker
) -> Dataset:
    """Return the Segmentation of the lesions, on the grid of their source.

    Args:
        labels: each finding's voxels have its number.
        findings: at least one; segment 1 is the first of them, and so on.
    """
    numbers = np.zeros(int(labels.max()) + 1, _GREATEST_DTYPE)
    for segment, finding in enumerate(findings, start=1):
        numbers[finding.lesion.number] = segment
    made = Segmentation(
        source_images=sources.headers,
        pixel_array=numbers[sources.in_file_order(labels)],
        segmentation_type=SegmentationTypeValues.BINARY,
        segment_descriptions=[
            _description(segment, finding, maker)
            for segment, finding in enumerate(findings, start=1)
        ],
        sop_instance_uid=new_uid(),
        instance_number=1,
        content_label="LESIONS",
        content_description="Lesions, research use only",
        **series_attributes("Lesions (research use)", number=9001),
    )
    if "FrameOfReferenceUID" not in made:
        # Without a place in the patient, the orientation must be said, or said to be unknown.
        made.PatientOrientation = sources.headers[0].get("PatientOrientation") or []
    return made


def _description(segment: int, finding: Finding, maker: Maker) -> SegmentDescription:
    identification = None
    if maker.algorithm is not None:
        identification = AlgorithmIdentificationSequence(
            name=maker.algorithm, family=codes.FAMILY, version=maker.version
        )
    kind = SegmentAlgorithmTypeValues.MANUAL
    if maker.algorithm is not None:
        kind = SegmentAlgorithmTypeValues.AUTOMATIC
    description = SegmentDescription(
        segment_number=segment,
        segment_label=finding.tracking_id,
        segmented_property_category=codes.CATEGORY,
        segmented_property_type=codes.TYPE,
        algorithm_type=kind,
        algorithm_identification=identification,
        tracking_uid=finding.tracking_uid,
        tracking_id=finding.tracking_id,
        anatomic_regions=[codes.ANATOMY],
    )
    return description
