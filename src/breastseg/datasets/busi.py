"""BUSI: breast ultrasound in one folder per class, one mask file per lesion.

Source: Al-Dhabyani et al. 2020, Data in Brief 28:104863, doi:10.1016/j.dib.2019.104863.
"""

from collections.abc import Iterator
from pathlib import Path

from breastseg.core.errors import ReferenceMaskError
from breastseg.datasets.cases import CaseFiles, DataSet, case_id_of, with_unique_ids
from breastseg.datasets.faults import Fault, OnFault, refuse
from breastseg.datasets.folder import (
    Drawing,
    UnfitError,
    mask_owner,
    match_masks,
    notes_on_left_out,
    pictures_in,
    subfolder,
)

_NORMAL = "normal"
_CLASSES = ("benign", "malignant", _NORMAL)
_PUBLISHED = "dataset_busi_with_gt"


def find_busi(root: Path, on_fault: OnFault = refuse) -> DataSet:
    """Read a folder as BUSI: the published folder, its parent, or one of its class folders.

    Raises:
        UnfitError: it is none of these.
        LayoutError: a mask has no image.
        ReferenceMaskError: an image with a lesion has no mask.
    """
    folders = _class_folders(root)
    pictures = {folder: pictures_in(folder) for folder in folders}
    if not any(mask_owner(path) for paths in pictures.values() for path in paths):
        names = ", ".join(f"{folder.name}/" for folder in folders)
        raise UnfitError(f"no picture in {names} is called like a mask (x_mask.png)")
    cases = [case for folder in folders for case in _cases(folder, pictures[folder], on_fault)]
    return DataSet(
        layout="BUSI",
        root=root,
        cases=with_unique_ids(cases, root, on_fault),
        notes=notes_on_left_out(folders),
    )


def _class_folders(root: Path) -> list[Path]:
    base = subfolder(root, _PUBLISHED) or root
    folders = [folder for name in _CLASSES if (folder := subfolder(base, name))]
    if folders:
        return folders
    if root.resolve().name.lower() in _CLASSES:
        return [root.resolve()]
    raise UnfitError(f"no folder is called {', '.join(_CLASSES[:-1])} or {_CLASSES[-1]}")


def _cases(folder: Path, pictures: list[Path], on_fault: OnFault) -> Iterator[CaseFiles]:
    images = [(path.stem, path) for path in pictures if mask_owner(path) is None]
    masks = [(owner, path) for path in pictures if (owner := mask_owner(path)) is not None]
    label = folder.name.lower()
    for drawing in match_masks(images, masks, on_fault):
        yield CaseFiles(
            case_id=case_id_of(drawing.image, folder.parent),
            image_path=drawing.image,
            mask_paths=_masks(drawing, label, on_fault),
            lesion_per_file=True,
            label=label,
        )


def _masks(drawing: Drawing, label: str, on_fault: OnFault) -> tuple[Path, ...] | None:
    if not drawing.masks and label != _NORMAL:
        error = ReferenceMaskError(
            f"{drawing.image}: expected a mask called {drawing.image.stem}_mask.png for this "
            f"{label} image, found none. Add it or remove the image."
        )
        on_fault(Fault("mask-missing", drawing.image, error))
        return None
    return drawing.masks
