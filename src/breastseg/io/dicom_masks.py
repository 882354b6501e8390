"""Reference masks from DICOM SEG and RTSTRUCT files: what is in them, and onto a series' grid."""

import contextlib
import warnings
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from pathlib import Path

from pydicom import Dataset

from breastseg.core.errors import BreastsegError
from breastseg.core.mask_faults import MaskError, MaskFault
from breastseg.core.series import Series
from breastseg.core.structure import MaskFile, Structure, StructureMask
from breastseg.io.dicom_files import is_dicom, read_header
from breastseg.io.dicom_rtstruct import describe_structure_set, read_roi
from breastseg.io.dicom_seg import describe_segmentation, read_segment, refuse_tiles
from breastseg.io.mask_reference import (
    RTSTRUCT_CLASS,
    Target,
    check_reference,
    is_mask_object,
    refuse_other_kind,
    target_of,
)

DEFAULT_THRESHOLD = 0.5


def is_mask_file(path: Path) -> bool:
    """Whether a file is a DICOM SEG or RTSTRUCT that can be read.

    Raises:
        ScanError: damaged-file.
    """
    if not path.is_file() or not is_dicom(path):
        return False
    return is_mask_object(read_header(path, ["SOPClassUID", "SeriesInstanceUID"]))


def describe_mask_file(path: Path) -> MaskFile:
    """List the segments or ROIs of a file, and the series that they were drawn on.

    Raises:
        ScanError: not-dicom, damaged-file.
        MaskError: not-a-mask, damaged-mask.
    """
    return _open(path)[1]


def _open(path: Path) -> tuple[Dataset, MaskFile]:
    header = read_header(path)
    with _malformed(path):
        refuse_other_kind(path, header)
    is_contours = str(header.SOPClassUID) == RTSTRUCT_CLASS
    describe = describe_structure_set if is_contours else describe_segmentation
    with _malformed(path):
        return header, describe(path, header)


@contextlib.contextmanager
def _malformed(path: Path) -> Iterator[None]:
    """Refuse what breaks the standard in ways that nobody has thought of.

    Raises:
        MaskError: damaged-mask.
    """
    try:
        with warnings.catch_warnings():
            # pydicom warns of values that break the standard; they are checked here.
            warnings.simplefilter("ignore")
            yield
    except BreastsegError:
        raise
    except (AttributeError, TypeError, ValueError, LookupError, OverflowError) as error:
        found = f"expected attributes as the standard has them, found others ({error})"
        raise MaskError(MaskFault.DAMAGED_MASK, path, found) from None


class MaskReader:
    """A SEG or RTSTRUCT that is read onto the grid of a series, structure by structure.

    Args:
        path: the file.
        series: the series that it was drawn on.
        threshold: of fractional segments, the share of the largest value that a pixel must
            reach to be inside; in (0, 1].
        fill_gaps: interpolate slices without a contour; see docs/reference/masks.md.

    Raises:
        ScanError: not-dicom, damaged-file.
        MaskError: not-a-mask, damaged-mask, whole-slide, other-series, broken-reference.
    """

    def __init__(
        self,
        path: Path,
        series: Series,
        *,
        threshold: float = DEFAULT_THRESHOLD,
        fill_gaps: bool = False,
    ) -> None:
        self._header, self.file = _open(path)
        refuse_tiles(path, self._header)
        self._target: Target = target_of(series)
        self._threshold = threshold
        self._fill_gaps = fill_gaps
        self.notes = check_reference(self.file, self._target)

    def read(self, structure: Structure) -> StructureMask:
        """Read one of its structures.

        Raises:
            MaskError: see core.mask_faults for all the reasons.
        """
        with _malformed(self.file.path):
            return self._read(structure)

    def _read(self, structure: Structure) -> StructureMask:
        if self.file.modality == "SEG":
            return read_segment(
                self.file, self._header, structure, self._target, threshold=self._threshold
            )
        return read_roi(self.file, self._header, structure, self._target, fill_gaps=self._fill_gaps)


def choose_structures(file: MaskFile, labels: Sequence[str] = ()) -> tuple[Structure, ...]:
    """Return the structures whose names fit one of some patterns.

    Args:
        labels: patterns such as "Tumor*" or "*breast - 1"; upper and lower case are alike.
            Without any, a file must have one structure alone, or code all as abnormal.

    Raises:
        MaskError: no-such-label, several-labels, empty-structure.
    """
    names = ", ".join(f"'{each.name}'" for each in file.structures[:12]) or "none"
    if not labels:
        if len(file.structures) > 1 and not all(each.is_abnormal for each in file.structures):
            found = f"expected one structure, found {len(file.structures)}: {names}"
            raise MaskError(MaskFault.SEVERAL_LABELS, file.path, found)
        if not file.structures:
            raise MaskError(MaskFault.EMPTY_STRUCTURE, file.path, "it has no structure at all")
        return file.structures
    chosen = tuple(each for each in file.structures if fits(each.name, labels))
    if not chosen:
        found = f"expected a name like {' or '.join(labels)}, found {names}"
        raise MaskError(MaskFault.NO_SUCH_LABEL, file.path, found)
    return chosen


def fits(name: str, labels: Sequence[str]) -> bool:
    """Whether a name fits one of some patterns, whatever its case.

    >>> fits("Tumor Bed", ["tumor*"]), fits("Tumor Bed", ["tumor"])
    (True, False)
    """
    return any(fnmatchcase(name.casefold(), label.casefold()) for label in labels)


def read_masks(
    path: Path,
    series: Series,
    *,
    labels: Sequence[str] = (),
    threshold: float = DEFAULT_THRESHOLD,
    fill_gaps: bool = False,
) -> tuple[StructureMask, ...]:
    """Read the chosen segments or ROIs of a file onto the grid of a series.

    Args: see MaskReader and choose_structures.

    Returns:
        One mask per structure, in the order of the file. They may overlap.

    Raises:
        ScanError: not-dicom, damaged-file.
        MaskError: see core.mask_faults for all the reasons.
    """
    reader = MaskReader(path, series, threshold=threshold, fill_gaps=fill_gaps)
    chosen = choose_structures(reader.file, labels)
    return tuple(reader.read(structure) for structure in chosen)
