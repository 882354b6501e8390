"""A picture as a DICOM Secondary Capture: what every viewer shows, and SEG or SR need not be."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from highdicom.sc import SCImage
from jaxtyping import UInt8
from numpy import ndarray
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian

from breastseg.io.dicom_results.content import RESEARCH_USE, new_uid, series_attributes
from breastseg.io.dicom_results.sources import Sources

_NUMBER = 9003


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """One picture of a series.

    slices: those that it shows, to which the capture refers; first and stop.
    """

    pixels: UInt8[ndarray, "rows columns 3"] = field(repr=False)
    caption: str
    slices: tuple[int, int]


def capture(
    sources: Sources, picture: Picture, *, number: int, series_uid: str, side: str
) -> Dataset:
    """Return a picture as an instance of the study that it was made of.

    Args:
        number: of the instance in its series, from 1.
        series_uid: the same for all pictures of one call.
        side: "R", "L", or "" where it is not known, or both.
    """
    attributes = series_attributes("Lesion overlays (research use)", number=_NUMBER)
    attributes["series_instance_uid"] = series_uid
    image = SCImage.from_ref_dataset(
        ref_dataset=sources.headers[0],
        pixel_array=picture.pixels,
        photometric_interpretation="RGB",
        bits_allocated=8,
        coordinate_system="PATIENT",
        patient_orientation=("L", "P"),
        sop_instance_uid=new_uid(),
        instance_number=number,
        transfer_syntax_uid=ExplicitVRLittleEndian,
        **attributes,
    )
    # A sheet of several planes has no single orientation: the letters are in the picture.
    image.PatientOrientation = []
    image.Laterality = side
    image.ImageComments = f"{picture.caption}. {RESEARCH_USE}"
    image.DerivationDescription = "Overlay of lesions on the source images"
    image.BurnedInAnnotation = sources.headers[0].get("BurnedInAnnotation") or "NO"
    image.SourceImageSequence = _references(sources.of_slices(*picture.slices))
    return image


def _references(instances: Sequence[tuple[Dataset, list[int] | None]]) -> list[Dataset]:
    references = []
    for header, frames in instances:
        reference = Dataset()
        reference.ReferencedSOPClassUID = header.SOPClassUID
        reference.ReferencedSOPInstanceUID = header.SOPInstanceUID
        if frames is not None:
            reference.ReferencedFrameNumber = frames
        references.append(reference)
    return references
