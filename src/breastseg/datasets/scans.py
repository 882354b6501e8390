"""The scans that a user wants predicted: files and folders become cases, masks are left out."""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

from breastseg.core.errors import InputError
from breastseg.datasets.cases import CaseFiles, case_id_of, with_unique_ids
from breastseg.datasets.folder import pictures_in, subfolder, walk
from breastseg.io.file_kinds import is_dicom, is_nifti
from breastseg.io.raster import SUFFIXES, is_raster

# A folder of masks, and what the folder of its images beside it is called; in lower case.
_IMAGE_FOLDER_OF = {
    "masks": "images",
    "mask": "images",
    "labels": "images",
    "labelstr": "imagestr",
    "labelsts": "imagests",
}
_RESULT_FILES = (
    "mask.png",
    "mask.nii.gz",
    "probability.nii.gz",
    "overlay*.png",
    "malignancy.png",
    "overlay-*.dcm",
    "seg.dcm",
    "sr.dcm",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scans:
    """Images to predict, sorted by case id; masks among them; notes on what else was left out."""

    cases: tuple[CaseFiles, ...]
    masks: tuple[Path, ...]
    notes: tuple[str, ...] = ()


def find_scans(
    paths: Sequence[Path], *, results_dir: Path | None = None, pictures_only: bool = False
) -> Scans:
    """Collect images from files and, with all their subfolders, from folders.

    DICOM files are known by their content and become cases by series, see datasets.dicom_scans.

    A file that was named is a case even if it will turn out to be no picture; in folders
    other files are passed over, and so are earlier results and the truth of phantoms. A picture
    that is found twice counts once. Masks are never predicted: `x_mask*.png` beside `x.png`,
    `mask_x.png` beside `bus_x.png` or `x.png` (BUS-BRA), and pictures in folders such as Masks/
    or labelsTr/ with the folder of the images beside them.

    Args:
        results_dir: where results will be written; what lies in it is not searched.
        pictures_only: pass DICOM files over.

    Raises:
        InputError: a path does not exist, nothing is left to predict, or the results would
            be written among the scans.
        LayoutError: two images have the same case id.
    """
    found: dict[Path, CaseFiles] = {}
    masks: dict[Path, None] = {}
    dicom: dict[Path, tuple[Path, Path | None]] = {}
    finder = _MaskFinder()
    for path in paths:
        for file, root in _scan_files(path, results_dir, with_dicom=not pictures_only):
            known = is_raster(file) or is_nifti(file)
            if not known and not pictures_only and is_dicom(file):
                dicom.setdefault(file.resolve(), (file, None if file == path else root))
            elif finder.is_mask(file, root):
                masks[file] = None
            else:
                case = CaseFiles(case_id=case_id_of(file, root), image_path=file)
                found.setdefault(file.resolve(), case)
    series, notes = _dicom_cases(dict(dicom.values()))
    if not found and not series:
        raise InputError(_nothing_found(paths, len(masks), notes))
    folder = _common_folder([*found, *dicom])
    cases = with_unique_ids([*found.values(), *series], folder)
    return Scans(cases=cases, masks=tuple(sorted(masks)), notes=notes)


def _dicom_cases(
    files: Mapping[Path, Path | None],
) -> tuple[tuple[CaseFiles, ...], tuple[str, ...]]:
    if not files:
        return (), ()
    # Whoever predicts pictures need not wait for pydicom.
    from breastseg.datasets.dicom_scans import find_dicom_scans

    scans = find_dicom_scans(files)
    return scans.cases, scans.notes


def _scan_files(
    path: Path, results_dir: Path | None, *, with_dicom: bool
) -> Iterator[tuple[Path, Path]]:
    """Yield each file with the folder that its case id is relative to."""
    if path.is_file():
        yield path, path.parent
        return
    if not path.is_dir():
        raise InputError(f"{path}: expected a scan or a folder of scans, but it does not exist.")
    if results_dir is not None and path.resolve() == results_dir.resolve():
        raise InputError(
            f"{path}: results must not be written among the scans. Choose another --output, "
            f"such as {path / 'predictions'}."
        )
    for file in walk(path):
        wanted = is_raster(file) or (with_dicom and (is_nifti(file) or is_dicom(file)))
        if wanted and not _is_result(file, path, results_dir):
            yield file, path


def _is_result(file: Path, root: Path, results_dir: Path | None) -> bool:
    ours = any(fnmatch(file.name, pattern) for pattern in _RESULT_FILES)
    if ours and file.with_name("lesions.json").is_file():
        return True
    if is_nifti(file) and file.with_name("truth.json").is_file():
        return True  # the label maps of a phantom
    if results_dir is None or not results_dir.resolve().is_relative_to(root.resolve()):
        return False
    return file.resolve().is_relative_to(results_dir.resolve())


class _MaskFinder:
    """Recognises the masks of other pictures by name or folder; looks into a folder once."""

    def __init__(self) -> None:
        self._stems: dict[Path, frozenset[str]] = {}
        self._holds_masks: dict[Path, bool] = {}

    def is_mask(self, path: Path, root: Path) -> bool:
        """Whether a picture is a mask; folders above the root that is searched say nothing."""
        owners = _owners(_stem(path))
        if owners and not owners.isdisjoint(self._stems_in(path.parent)):
            return True
        folders = (path.parent, *path.parent.parents)
        depth = len(path.parent.relative_to(root).parts)
        return any(self._is_mask_folder(folder) for folder in folders[: depth + 1])

    def _stems_in(self, folder: Path) -> frozenset[str]:
        if folder not in self._stems:
            volumes = (path for path in folder.iterdir() if is_nifti(path))
            self._stems[folder] = frozenset(map(_stem, (*pictures_in(folder), *volumes)))
        return self._stems[folder]

    def _is_mask_folder(self, folder: Path) -> bool:
        if folder not in self._holds_masks:
            place = folder.absolute()
            images = _IMAGE_FOLDER_OF.get(place.name.lower())
            beside = images is not None and subfolder(place.parent, images) is not None
            self._holds_masks[folder] = beside
        return self._holds_masks[folder]


def _stem(path: Path) -> str:
    name = path.name.lower().removesuffix(".gz") if is_nifti(path) else path.name.lower()
    return Path(name).stem


def _owners(stem: str) -> set[str]:
    """Return what the image of a mask could be called; empty for what is called no mask."""
    words = stem.split("_mask")
    owners = {"_mask".join(words[:count]) for count in range(1, len(words))} - {""}
    if stem.startswith("mask_"):
        rest = stem.removeprefix("mask_")
        owners |= {rest, f"bus_{rest}"}
    return owners


def _common_folder(files: Iterable[Path]) -> Path:
    return Path(os.path.commonpath([file.parent for file in files]))


def _nothing_found(paths: Sequence[Path], num_masks: int, notes: Sequence[str]) -> str:
    where = ", ".join(str(path) for path in paths[:3]) or "no path"
    masks = f" but {num_masks} recognised as masks, which are not predicted" if num_masks else ""
    others = "".join(f" {note}" for note in notes)
    return (
        f"{where}: expected pictures to predict ({', '.join(SUFFIXES)}), NIfTI volumes or DICOM "
        f"files, found none{masks}.{others}"
    )
