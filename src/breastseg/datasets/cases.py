"""A data set as a list of cases on disk, and reading one of them."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Int32
from scipy import ndimage

from breastseg.core.errors import GeometryError, LayoutError
from breastseg.core.image import Case, LabelMap
from breastseg.datasets.faults import Fault, OnFault, refuse
from breastseg.io.dicom_files import SeriesSummary
from breastseg.io.raster import read_image, read_mask


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseFiles:
    """Where one case lies and what its data set says of it.

    mask_paths: the files of its reference; None where nobody has drawn one, empty where the
        data set says that there is no lesion.
    lesion_per_file: whether each mask file is one lesion; else each connected part is one.
    lesion_values: mask values that mean lesion, where the data set says so.
    label: the class of the image, such as benign, malignant or normal.
    fold: the data set's own published fold.
    series: the DICOM series of a volume, whose first file is image_path; else None. The masks of
        a volume are SEG or RTSTRUCT files, each with one or several structures.
    """

    case_id: str
    image_path: Path
    mask_paths: tuple[Path, ...] | None = None
    lesion_per_file: bool = False
    lesion_values: tuple[int, ...] | None = None
    patient_id: str | None = None
    label: str | None = None
    fold: int | None = None
    series: SeriesSummary | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DataSet:
    """What was found in a folder; notes are what a user should know of its faults."""

    layout: str
    root: Path
    cases: tuple[CaseFiles, ...]
    notes: tuple[str, ...] = ()

    @property
    def holds_volumes(self) -> bool:
        """Whether its cases are volumes and not pictures."""
        return any(case.series is not None for case in self.cases)

    def only(self, case_ids: Iterable[str]) -> tuple[CaseFiles, ...]:
        """Return the cases of those ids, in the data set's order."""
        wanted = set(case_ids)
        return tuple(case for case in self.cases if case.case_id in wanted)


def read_case(files: CaseFiles) -> Case:
    """Read the image and, where there is one, the reference of a case.

    Raises:
        ImageFileError: a file cannot be read.
        ReferenceMaskError: a mask is no mask.
        GeometryError: image and mask differ in size; it names both files.
    """
    image = read_image(files.image_path)
    if files.mask_paths is None:
        return Case(case_id=files.case_id, image=image)
    size = image.pixels.shape[1:]
    masks = []
    for path in files.mask_paths:
        mask = read_mask(path, lesion_values=files.lesion_values)
        if mask.shape != size:
            raise GeometryError(
                f"{path}: the mask must have the size of its image {files.image_path.name}, "
                f"{size} (rows, columns), got {mask.shape}. Export it on the grid of the image."
            )
        masks.append(mask)
    reference = _label_map(masks, size, lesion_per_file=files.lesion_per_file)
    return Case(case_id=files.case_id, image=image, reference=reference)


def _label_map(
    masks: list[Bool[np.ndarray, "rows columns"]], size: tuple[int, ...], *, lesion_per_file: bool
) -> LabelMap:
    """Number the lesions; where two overlap, the smaller one is kept whole."""
    labels: Int32[np.ndarray, "1 rows columns"] = np.zeros((1, *size), np.int32)
    if not lesion_per_file and masks:
        labels[0] = ndimage.label(np.any(masks, axis=0), structure=np.ones((3, 3)))[0]
        return labels
    for number, mask in enumerate(sorted(masks, key=np.count_nonzero, reverse=True), start=1):
        labels[0][mask] = number
    return labels


def case_id_of(path: Path, root: Path) -> str:
    """Return a file's path inside its data folder, without its ending, `/` written `__`.

    >>> case_id_of(Path("data/benign/benign (1).png"), Path("data"))
    'benign__benign (1)'
    """
    return "__".join(path.relative_to(root).with_suffix("").parts)


def with_unique_ids(
    cases: Iterable[CaseFiles], root: Path, on_fault: OnFault = refuse
) -> tuple[CaseFiles, ...]:
    """Keep the endings of files whose case ids would be the same, and sort by id.

    Past a fault, the first of several cases of one id is kept.

    Raises:
        LayoutError: two files have the same id all the same.
    """
    cases = list(cases)
    times = Counter(case.case_id for case in cases)
    cases = [
        replace(case, case_id=case.case_id + case.image_path.suffix)
        if times[case.case_id] > 1
        else case
        for case in cases
    ]
    by_id: dict[str, CaseFiles] = {}
    for case in cases:
        twin = by_id.setdefault(case.case_id, case)
        if twin is not case:
            error = LayoutError(
                f"{root}: the case id '{case.case_id}' must belong to one image, but "
                f"{twin.image_path} and {case.image_path} both have it. Rename one."
            )
            on_fault(Fault("case-id-twice", case.image_path, error))
    return tuple(by_id[case_id] for case_id in sorted(by_id))
