"""What ties a mask to the images that it was drawn on."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pydicom import Dataset
from pydicom.uid import UID

from breastseg.core.mask_faults import MaskError, MaskFault
from breastseg.core.series import Series
from breastseg.core.structure import MaskFile
from breastseg.io.dicom_files import read_header

SEG_CLASSES = ("1.2.840.10008.5.1.4.1.1.66.4", "1.2.840.10008.5.1.4.1.1.66.7")
RTSTRUCT_CLASS = "1.2.840.10008.5.1.4.1.1.481.3"


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A series with the places of its images: what masks are brought onto.

    slices: the slice of each SOPInstanceUID; a multi-frame object, alone in its series, is its
        first slice.
    """

    series: Series
    slices: Mapping[str, int] = field(repr=False)

    @property
    def is_multi_frame(self) -> bool:
        """Whether one object holds all the slices."""
        return len(self.slices) == 1


def target_of(series: Series) -> Target:
    """Read which image is which slice from the headers of a series.

    Raises:
        ScanError: a file has gone or is damaged.
    """
    slices: dict[str, int] = {}
    read: dict[Path, str] = {}
    for index, path in enumerate(series.instance_paths):
        if path not in read:
            header = read_header(path, ["SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID"])
            read[path] = str(header.get("SOPInstanceUID", ""))
        slices.setdefault(read[path], index)
    return Target(series=series, slices=slices)


def is_mask_object(header: Dataset) -> bool:
    """Whether an object is a SEG or an RTSTRUCT, by its SOP class."""
    return str(header.get("SOPClassUID", "")) in (*SEG_CLASSES, RTSTRUCT_CLASS)


def refuse_other_kind(path: Path, header: Dataset) -> None:
    """Refuse what is no mask.

    Raises:
        MaskError: not-a-mask.
    """
    if not is_mask_object(header):
        found = f"expected a SEG or RTSTRUCT, found {UID(header.SOPClassUID).name}"
        raise MaskError(MaskFault.NOT_A_MASK, path, found)


def check_reference(mask: MaskFile, target: Target) -> tuple[str, ...]:
    """Check that a mask was drawn on this series; never that it is of the same study alone.

    A mask that names series must name this one. One that names none must name images of this
    series, in its frame of reference.

    Returns:
        Notes for the reader of a result.

    Raises:
        MaskError: other-series, broken-reference.
    """
    series = target.series
    known = mask.instance_uids & target.slices.keys()
    if mask.series_uids and series.series_instance_uid not in mask.series_uids:
        found = (
            f"expected a mask of the series {series.case_id}, found one that names "
            f"{len(mask.series_uids)} other series"
        )
        raise MaskError(MaskFault.OTHER_SERIES, mask.path, found)
    same_frame = series.frame_of_reference_uid in mask.frame_of_reference_uids
    if not mask.series_uids and not (known and (same_frame or not mask.frame_of_reference_uids)):
        found = (
            f"expected a mask of the series {series.case_id}, found one that names no series and "
            + ("another frame of reference" if known else "none of its images")
        )
        raise MaskError(MaskFault.BROKEN_REFERENCE, mask.path, found)
    return _notes(mask, known, same_frame=same_frame)


def _notes(mask: MaskFile, known: frozenset[str], *, same_frame: bool) -> tuple[str, ...]:
    notes = []
    if not mask.series_uids:
        notes.append("It names no series; it was tied to this one by the images that it names.")
    if missing := len(mask.instance_uids - known):
        notes.append(
            f"It names {missing} image{'' if missing == 1 else 's'} that this series does not have."
        )
    if mask.frame_of_reference_uids and not same_frame:
        if not known:
            found = (
                "expected the frame of reference of the series or images of it, found neither: "
                "positions in millimetres cannot be compared"
            )
            raise MaskError(MaskFault.BROKEN_REFERENCE, mask.path, found)
        notes.append(
            "It names another frame of reference than its images have; the images were believed."
        )
    return tuple(notes)
