"""A data set as a list of cases on disk, and reading one of them."""

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from jaxtyping import Bool
from scipy import ndimage

from breastseg.core.errors import GeometryError, LayoutError
from breastseg.core.image import Case, Image, LabelMap
from breastseg.core.orientation import farthest_mm
from breastseg.datasets.faults import Fault, OnFault, refuse
from breastseg.io.file_kinds import is_nifti
from breastseg.io.images import read_any_image
from breastseg.io.raster import file_sha256, lesion_mask, read_mask

# Largest difference of two affines that are the same grid: of a step, and of the origin.
_SAME_GRID_MM = 1e-3

Mask = Bool[np.ndarray, "slices rows columns"]


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseFiles:
    """Where one case lies and what its data set says of it.

    mask_paths: the files of its reference; None where nobody has drawn one, empty where the
        data set says that there is no lesion.
    lesion_per_file: whether each mask file is one lesion; else each connected part is one.
    lesion_values: mask values that mean lesion, where the data set says so.
    label: the class of the image, such as benign, malignant or normal.
    scanner: the make and model that took it, where the data set says so.
    fold: the data set's own published fold.
    frame: of a multi-frame DICOM file, from 0.
    series_paths: all files of the DICOM series of a CT volume, the first of which is image_path;
        empty for all else. Its masks are SEG or RTSTRUCT files with one or several structures.
    lesion_structures: patterns of the names of those that are lesions, where the data set says
        so; see io.dicom_masks.choose_structures.
    modality: "CT" where the data set says that the values are HU, or what else it calls them.
    source: in a collection, the name of the data set, which case_id and patient_id begin with.
    """

    case_id: str
    image_path: Path
    mask_paths: tuple[Path, ...] | None = None
    lesion_per_file: bool = False
    lesion_values: tuple[int, ...] | None = None
    patient_id: str | None = None
    label: str | None = None
    scanner: str | None = None
    fold: int | None = None
    frame: int = 0
    series_paths: tuple[Path, ...] = ()
    lesion_structures: tuple[str, ...] = ()
    modality: str | None = None
    source: str | None = None

    @property
    def own_id(self) -> str:
        """Case id in the data set alone, without the name that it has in a collection."""
        return self.case_id.removeprefix(f"{self.source}__") if self.source else self.case_id

    @property
    def is_volume(self) -> bool:
        """Whether the image is a volume, in NIfTI or as a DICOM series."""
        return bool(self.series_paths) or is_nifti(self.image_path)

    def sha256(self) -> str:
        """Return the SHA-256 of the image; of a series, of the sorted digests of its files.

        Neither the names of the files nor their order change it.

        Raises:
            ImageFileError: a file cannot be read.
        """
        if not self.series_paths:
            return file_sha256(self.image_path)
        digests = sorted(file_sha256(path) for path in self.series_paths)
        return hashlib.sha256("".join(digests).encode()).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class DataSet:
    """What was found in a folder; notes are what a user should know of its faults.

    root: the folder; of a collection, its file.
    members: of a collection, its data sets by name, whose cases are also among its own.
    """

    layout: str
    root: Path
    cases: tuple[CaseFiles, ...]
    notes: tuple[str, ...] = ()
    members: Mapping[str, "DataSet"] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """What it is called in results: its folder, or the file of a collection."""
        path = self.root.resolve()
        return path.stem if self.members else path.name

    def only(self, case_ids: Iterable[str]) -> tuple[CaseFiles, ...]:
        """Return the cases of those ids, in the data set's order."""
        wanted = set(case_ids)
        return tuple(case for case in self.cases if case.case_id in wanted)

    @property
    def holds_volumes(self) -> bool:
        """Whether its images are volumes rather than pictures.

        Raises:
            LayoutError: it holds both.
        """
        volumes = [case.case_id for case in self.cases if case.is_volume]
        if volumes and len(volumes) < len(self.cases):
            picture = next(case.case_id for case in self.cases if not case.is_volume)
            raise LayoutError(
                f"{self.root}: expected pictures or volumes, found {len(volumes)} volumes such as "
                f"'{volumes[0]}' beside {len(self.cases) - len(volumes)} pictures such as "
                f"'{picture}'. Divide them into two {'collections' if self.members else 'folders'}."
            )
        return bool(volumes)


def sources_of(cases: Iterable[CaseFiles]) -> dict[str, str]:
    """Return the name of the data set by case id; of cases of one data set alone, nothing."""
    return {case.case_id: case.source for case in cases if case.source is not None}


def read_case(files: CaseFiles) -> Case:
    """Read the image and, where there is one, the reference of a case: a picture or a volume.

    Of a DICOM series every connected part of every lesion segment or ROI is a lesion. In NIfTI
    and in pictures every connected part of the mask is one.

    Raises:
        ImageFileError: a file cannot be read; a ScanError with its code for NIfTI and DICOM.
        ReferenceMaskError: a mask is no mask; a MaskError with its code for SEG and RTSTRUCT.
        GeometryError: image and mask differ in size; it names both files.
    """
    if files.series_paths:
        # Whoever reads pictures need not wait for pydicom.
        from breastseg.io.dicom_cases import read_series_case

        image, reference = read_series_case(
            files.series_paths, files.mask_paths, files.lesion_structures
        )
        return Case(case_id=files.case_id, image=image, reference=reference)
    image, _ = read_any_image(files.image_path, files.frame)
    if files.mask_paths is None:
        return Case(case_id=files.case_id, image=image)
    masks = [_read_mask(path, image, files) for path in files.mask_paths]
    reference = _label_map(masks, image.pixels.shape, lesion_per_file=files.lesion_per_file)
    return Case(case_id=files.case_id, image=image, reference=reference)


def _read_mask(path: Path, image: Image, files: CaseFiles) -> Mask:
    """Read a mask on the grid of its image; that of a picture has one slice."""
    if is_nifti(path):
        drawn = _read_nifti(path)
        mask = lesion_mask(path, drawn.pixels, files.lesion_values)
    else:
        drawn = None
        mask = read_mask(path, lesion_values=files.lesion_values)[None]
    if mask.shape != image.pixels.shape:
        first = 0 if drawn else 1
        axes = "(slices, rows, columns)" if drawn else "(rows, columns)"
        raise GeometryError(
            f"{path}: the mask must have the size of its image {files.image_path.name}, "
            f"{image.pixels.shape[first:]} {axes}, got {mask.shape[first:]}. Export it on the "
            "grid of the image."
        )
    if drawn is not None:
        _check_affine(path, drawn, files.image_path, image)
    return mask


def _read_nifti(path: Path) -> Image:
    # Whoever reads pictures need not wait for nibabel.
    from breastseg.io.nifti import read_nifti

    return read_nifti(path)


def _check_affine(path: Path, drawn: Image, image_path: Path, image: Image) -> None:
    if drawn.affine is None or image.affine is None:
        return
    apart = farthest_mm(drawn.affine, image.affine, image.pixels.shape)
    if apart > _SAME_GRID_MM:
        raise GeometryError(
            f"{path}: the mask must have the affine of its image {image_path.name}, but their "
            f"voxels lie up to {apart:.3g} mm apart. Export it on the grid of the image."
        )


def _label_map(masks: list[Mask], size: tuple[int, ...], *, lesion_per_file: bool) -> LabelMap:
    """Number the lesions; where two overlap, the smaller one is kept whole."""
    labels: LabelMap = np.zeros(size, np.int32)
    if not lesion_per_file and masks:
        # Corners touch; in a picture, nothing lies before or behind its one slice.
        labels[...] = ndimage.label(np.any(masks, axis=0), structure=np.ones((3, 3, 3)))[0]
        return labels
    for number, mask in enumerate(sorted(masks, key=np.count_nonzero, reverse=True), start=1):
        labels[mask] = number
    return labels


def case_id_of(path: Path, root: Path) -> str:
    """Return a file's path inside its data folder, without its ending, `/` written `__`.

    >>> case_id_of(Path("data/benign/benign (1).png"), Path("data"))
    'benign__benign (1)'
    >>> case_id_of(Path("data/scan.nii.gz"), Path("data"))
    'scan'
    """
    inside = path.relative_to(root)
    if is_nifti(path) and path.suffix.lower() == ".gz":
        inside = inside.with_suffix("")
    return "__".join(inside.with_suffix("").parts)


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
