"""The measures of lesions as a DICOM Structured Report: TID 1500, with 1411 or 1410."""

from typing import Any

from highdicom.sr import (
    CodeContentItem,
    CodedConcept,
    Comprehensive3DSR,
    ContainerContentItem,
    ContentSequence,
    DeviceObserverIdentifyingAttributes,
    FindingSite,
    LanguageOfContentItemAndDescendants,
    Measurement,
    ObservationContext,
    ObserverContext,
    PlanarROIMeasurementsAndQualitativeEvaluations,
    ReferencedSegment,
    ReferencedSegmentationFrame,
    RelationshipTypeValues,
    SourceImageForSegmentation,
    TextContentItem,
    TrackingIdentifier,
    VolumetricROIMeasurementsAndQualitativeEvaluations,
)
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes as standard

from breastseg import __version__
from breastseg.core.lesion import Lesion
from breastseg.core.lesion_volume import VolumeLesion
from breastseg.io.dicom_results import codes
from breastseg.io.dicom_results.content import (
    DEVICE_UID,
    MANUFACTURER,
    MODEL_NAME,
    RESEARCH_USE,
    Finding,
    Maker,
    new_uid,
    series_attributes,
)
from breastseg.io.dicom_results.sources import Sources

_CONTAINS = RelationshipTypeValues.CONTAINS


def report(
    sources: Sources,
    segmentation: Dataset | None,
    findings: tuple[Finding, ...],
    maker: Maker,
) -> Dataset:
    """Return the report of the measures of all findings, or that there is none.

    Args:
        segmentation: what the findings are segments of; None where there is no finding.
    """
    evidence = [*([] if segmentation is None else [segmentation]), *sources.headers]
    attributes = series_attributes("Lesion measures (research use)", number=9002)
    return Comprehensive3DSR(
        evidence=evidence,
        content=_root(sources, segmentation, findings, maker),
        sop_instance_uid=new_uid(),
        instance_number=1,
        is_complete=False,
        is_final=False,
        is_verified=False,
        **attributes,
    )


def _root(
    sources: Sources, segmentation: Dataset | None, findings: tuple[Finding, ...], maker: Maker
) -> ContainerContentItem:
    root = ContainerContentItem(name=codes.TITLE, template_id="1500")
    content: list[Any] = [
        *LanguageOfContentItemAndDescendants(CodedConcept.from_code(codes.LANGUAGE)),
        *_observer(),
        CodeContentItem(
            name=standard.DCM.ProcedureReported,
            value=codes.PROCEDURES[sources.headers[0].Modality],
            relationship_type=RelationshipTypeValues.HAS_CONCEPT_MOD,
        ),
    ]
    if segmentation is not None:
        measured = ContainerContentItem(
            name=standard.DCM.ImagingMeasurements, relationship_type=_CONTAINS
        )
        measured.ContentSequence = ContentSequence()
        for segment, finding in enumerate(findings, start=1):
            measured.ContentSequence.extend(_group(sources, segmentation, segment, finding))
        content.append(measured)
    content.append(_evaluations(findings, maker))
    root.ContentSequence = ContentSequence(content)
    return root


def _observer() -> ObservationContext:
    return ObservationContext(
        observer_device_context=ObserverContext(
            observer_type=standard.DCM.Device,
            observer_identifying_attributes=DeviceObserverIdentifyingAttributes(
                uid=DEVICE_UID,
                name=MODEL_NAME,
                manufacturer_name=MANUFACTURER,
                model_name=MODEL_NAME,
                serial_number=__version__,
            ),
        )
    )


def _evaluations(findings: tuple[Finding, ...], maker: Maker) -> ContainerContentItem:
    """Say whether anything was marked: the only content of a report without findings."""
    container = ContainerContentItem(name=codes.QUALITATIVE, relationship_type=_CONTAINS)
    container.ContentSequence = ContentSequence()
    if maker.algorithm is not None:
        summary = codes.WITH_FINDINGS if findings else codes.WITHOUT_FINDINGS
        container.ContentSequence.append(
            CodeContentItem(name=codes.SUMMARY, value=summary, relationship_type=_CONTAINS)
        )
    said = f"Lesions marked by {maker}: {len(findings)}."
    if not findings:
        said = f"No lesion was marked by {maker}. That is no proof that there is none."
    container.ContentSequence.append(
        TextContentItem(
            name=codes.COMMENT,
            value=" ".join(filter(None, (said, maker.notice, RESEARCH_USE))),
            relationship_type=_CONTAINS,
        )
    )
    return container


def _group(sources: Sources, segmentation: Dataset, segment: int, finding: Finding) -> Any:
    template, reference, quantities = _kind(sources, segmentation, segment, finding.lesion)
    laterality = None if finding.laterality is None else codes.LATERALITY[finding.laterality]
    return template(
        tracking_identifier=TrackingIdentifier(
            uid=finding.tracking_uid, identifier=finding.tracking_id
        ),
        referenced_segment=reference,
        finding_category=codes.CATEGORY,
        finding_type=codes.TYPE,
        finding_sites=[FindingSite(anatomic_location=codes.ANATOMY, laterality=laterality)],
        measurements=_measurements(finding.lesion, quantities),
    )


def _kind(
    sources: Sources, segmentation: Dataset, segment: int, lesion: Lesion | VolumeLesion
) -> tuple[Any, Any, tuple[codes.Quantity, ...]]:
    """Return template, reference to the segment, and what is measured of it."""
    uids = {
        "sop_class_uid": segmentation.SOPClassUID,
        "sop_instance_uid": segmentation.SOPInstanceUID,
        "segment_number": segment,
    }
    if isinstance(lesion, VolumeLesion):
        images = [_source(header, frames) for header, frames in sources.of_slices(*_slices(lesion))]
        reference: Any = ReferencedSegment(**uids, source_images=images)
        return (
            VolumetricROIMeasurementsAndQualitativeEvaluations,
            reference,
            codes.VOLUME_QUANTITIES,
        )
    frame = _frames_of_segment(segmentation, segment)[0]
    ((header, frames),) = sources.of_slices(0, 1)
    reference = ReferencedSegmentationFrame(
        **uids, frame_number=frame, source_image=_source(header, frames)
    )
    # Frame and segment number exclude each other: PS3.3, table C.18.4-1.
    del reference[0].ReferencedSOPSequence[0].ReferencedSegmentNumber
    known = lesion.area_mm2 is not None
    quantities = codes.PLANAR_QUANTITIES if known else codes.PIXEL_QUANTITIES
    return PlanarROIMeasurementsAndQualitativeEvaluations, reference, quantities


def _slices(lesion: VolumeLesion) -> tuple[int, int]:
    return lesion.bounding_box[0], lesion.bounding_box[3]


def _source(header: Dataset, frames: list[int] | None) -> SourceImageForSegmentation:
    return SourceImageForSegmentation(
        referenced_sop_class_uid=header.SOPClassUID,
        referenced_sop_instance_uid=header.SOPInstanceUID,
        referenced_frame_numbers=frames,
    )


def _frames_of_segment(segmentation: Dataset, segment: int) -> list[int]:
    """Return the frame numbers (from 1) of a segment of a Segmentation."""
    shared = segmentation.SharedFunctionalGroupsSequence[0]
    if "SegmentIdentificationSequence" in shared:
        return list(range(1, int(segmentation.NumberOfFrames) + 1))
    return [
        number
        for number, group in enumerate(segmentation.PerFrameFunctionalGroupsSequence, start=1)
        if group.SegmentIdentificationSequence[0].ReferencedSegmentNumber == segment
    ]


def _measurements(
    lesion: Lesion | VolumeLesion, quantities: tuple[codes.Quantity, ...]
) -> list[Measurement]:
    measured = []
    for quantity in quantities:
        value = getattr(lesion, quantity.field)
        if value is None:
            continue
        measured.append(
            Measurement(
                name=quantity.name,
                value=round(float(value) * quantity.factor, 4),
                unit=quantity.unit,
                derivation=quantity.derivation,
            )
        )
    return measured
