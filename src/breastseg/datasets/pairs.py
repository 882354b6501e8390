"""Plain pairs of an image and its mask: in two folders, or side by side."""

from pathlib import Path

from breastseg.core.errors import LayoutError
from breastseg.datasets.cases import CaseFiles, DataSet, case_id_of, with_unique_ids
from breastseg.datasets.faults import OnFault, refuse
from breastseg.datasets.folder import (
    Drawing,
    UnfitError,
    mask_owner,
    match_masks,
    notes_on_left_out,
    subfolder,
    walk,
)
from breastseg.io.raster import is_raster

IMAGE_FOLDER = "images"
MASK_FOLDERS = ("masks", "labels")


def find_folder_pairs(root: Path, on_fault: OnFault = refuse) -> DataSet:
    """Read `images/x.png` with `masks/x.png`, `masks/x_mask.png` or `labels/...` of any format.

    Raises:
        UnfitError: one of the folders is missing or holds no picture.
        LayoutError: both masks/ and labels/ are there, or a mask has no image.
        ReferenceMaskError: an image has no mask, or several.
    """
    images_dir, masks_dir = _two_folders(root)
    images = {path: _key(path, images_dir) for path in walk(images_dir) if is_raster(path)}
    if not images:
        raise UnfitError(f"{images_dir.name}/ holds no picture")
    keys = set(images.values())
    masks = [(_owner(path, masks_dir, keys), path) for path in walk(masks_dir) if is_raster(path)]
    drawings = match_masks([(key, path) for path, key in images.items()], masks, on_fault)
    cases = _cases(root, drawings, on_fault)
    return DataSet(
        layout="images and masks folders",
        root=root,
        cases=with_unique_ids(cases, root, on_fault),
        notes=notes_on_left_out((images_dir, masks_dir)),
    )


def _two_folders(root: Path) -> tuple[Path, Path]:
    images_dir = subfolder(root, IMAGE_FOLDER)
    if images_dir is None:
        raise UnfitError(f"no folder is called {IMAGE_FOLDER}")
    found = [folder for name in MASK_FOLDERS if (folder := subfolder(root, name))]
    if not found:
        raise UnfitError(f"no folder is called {' or '.join(MASK_FOLDERS)}")
    if len(found) > 1:
        raise LayoutError(
            f"{root}: expected one folder of masks, found {found[0].name}/ and {found[1].name}/. "
            "Move the one away that does not hold the reference."
        )
    return images_dir, found[0]


def _key(path: Path, folder: Path) -> str:
    return path.relative_to(folder).with_suffix("").as_posix()


def _owner(mask: Path, folder: Path, image_keys: set[str]) -> str:
    key = _key(mask, folder)
    owner = mask_owner(mask)
    if key in image_keys or owner is None:
        return key
    return _key(mask.with_name(owner + mask.suffix), folder)


def find_suffix_pairs(root: Path, on_fault: OnFault = refuse) -> DataSet:
    """Read `x.png` with `x_mask.png` beside it, in the folder and all its subfolders.

    Raises:
        UnfitError: no picture is called like a mask.
        LayoutError: a mask has no image.
        ReferenceMaskError: an image has no mask, or several.
    """
    pictures = [path for path in walk(root) if is_raster(path)]
    if not pictures:
        raise UnfitError("there is no picture in it or its subfolders")
    owners = {path: mask_owner(path) for path in pictures}
    masks = [
        (_key(path.with_name(owner + path.suffix), root), path)
        for path, owner in owners.items()
        if owner
    ]
    if not masks:
        raise UnfitError(f"no picture such as {pictures[0].stem}_mask.png lies in it")
    images = [(_key(path, root), path) for path, owner in owners.items() if not owner]
    cases = _cases(root, match_masks(images, masks, on_fault), on_fault)
    return DataSet(
        layout="x.png with x_mask.png",
        root=root,
        cases=with_unique_ids(cases, root, on_fault),
        notes=notes_on_left_out((root,)),
    )


def _cases(root: Path, drawings: list[Drawing], on_fault: OnFault) -> list[CaseFiles]:
    return [
        CaseFiles(
            case_id=case_id_of(drawing.image, root),
            image_path=drawing.image,
            mask_paths=drawing.one_mask(on_fault),
        )
        for drawing in drawings
    ]
