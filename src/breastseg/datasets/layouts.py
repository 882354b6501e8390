"""Recognising a data set from its folder alone, or from a file that names several."""

from collections.abc import Callable
from pathlib import Path

from breastseg.core.errors import LayoutError
from breastseg.datasets.busbra import find_busbra
from breastseg.datasets.busi import find_busi
from breastseg.datasets.cases import DataSet
from breastseg.datasets.collection import find_collection, is_collection
from breastseg.datasets.faults import OnFault, refuse
from breastseg.datasets.folder import UnfitError, mask_owner, subfolder
from breastseg.datasets.nnunet import find_nnunet
from breastseg.datasets.pairs import (
    IMAGE_FOLDER,
    MASK_FOLDERS,
    find_folder_pairs,
    find_suffix_pairs,
)
from breastseg.datasets.stated import with_stated_groups
from breastseg.io.raster import SUFFIXES


def _find_dicom_tree(root: Path, on_fault: OnFault) -> DataSet:
    # Whoever reads pictures need not wait for pydicom.
    from breastseg.datasets.dicom_tree import find_dicom_tree

    return find_dicom_tree(root, on_fault)


# Tried from the most to the least particular: the first that fits is taken.
_LAYOUTS: tuple[tuple[str, Callable[[Path, OnFault], DataSet]], ...] = (
    ("nnU-Net raw (dataset.json, imagesTr/, labelsTr/)", find_nnunet),
    ("BUS-BRA (bus_data.csv, Images/, Masks/)", find_busbra),
    ("BUSI (benign/, malignant/, normal/ with x.png, x_mask.png, x_mask_1.png)", find_busi),
    ("two folders (images/x.png, masks/x.png or labels/x.png)", find_folder_pairs),
    ("pairs side by side (x.png, x_mask.png)", find_suffix_pairs),
    ("DICOM CT series with SEG or RTSTRUCT files, in any folders", _find_dicom_tree),
)

_IMAGES_OF = {"labelstr": "imagestr", "labelsts": "imagests"} | dict.fromkeys(
    MASK_FOLDERS, IMAGE_FOLDER
)


def find_data_set(root: Path, *, on_fault: OnFault = refuse, volumes: bool = False) -> DataSet:
    """Find the images and masks of a folder of any known layout, without reading pixels.

    Args:
        root: the folder; or a JSON file that names several, see datasets.collection.
        on_fault: told of what is wrong with single files; the first is refused by default.
        volumes: whether the caller can use volumes; what works on pictures alone cannot.

    Returns:
        The data set, its cases sorted by id.

    Raises:
        LayoutError: there is no such folder, it is empty, of no known layout, or breaks the
            layout that it has: a mask without an image, an image without a patient, ...; or it
            holds volumes; or groups.json is broken.
        ReferenceMaskError: an image that must have a mask has none, or several.
    """
    try:
        if is_collection(root):
            data_set = find_collection(root, on_fault, _find)
        else:
            data_set = _find(root, on_fault)
    except OSError as error:
        raise LayoutError(
            f"{root}: the folder cannot be read ({error}). Mend its rights."
        ) from None
    if data_set.holds_volumes and not volumes:
        raise LayoutError(
            f"{data_set.root}: expected pictures, found {len(data_set.cases)} volumes "
            f"({data_set.layout}). They need a recipe for volumes: `breastseg plan` writes one for "
            "this data set, and `breastseg inspect` looks at it."
        )
    return data_set


def _find(root: Path, on_fault: OnFault) -> DataSet:
    _check_folder(root)
    reasons = []
    for name, find in _LAYOUTS:
        try:
            return with_stated_groups(find(root, on_fault))
        except UnfitError as reason:
            reasons.append(f"  - {name}: {reason}")
    raise LayoutError(
        f"{root}: expected a data set of a known layout, but none fits:\n"
        + "\n".join(reasons)
        + "\nLay the folder out like one of these, or name the folder that is."
    )


def _check_folder(root: Path) -> None:
    if root.is_file():
        raise LayoutError(
            f"{root}: expected a folder with a data set, or a .json file that names several, "
            "found a file. Name its folder."
        )
    if not root.is_dir():
        raise LayoutError(
            f"{root}: expected a folder with a data set, but there is no such folder."
        )
    if not any(root.iterdir()):
        raise LayoutError(f"{root}: expected a folder with a data set, but the folder is empty.")


def is_mask_path(path: Path) -> bool:
    """Whether a picture is a mask, by its name and its neighbours: such are never predicted.

    True for `x_mask.png` and `x_mask_1.png` beside a picture x, and for what lies in masks/,
    labels/ or labelsTr/ where images/ or imagesTr/ is the folder's neighbour.
    """
    path = path.absolute()
    return _lies_beside_its_image(path) or _lies_in_a_mask_folder(path)


def _lies_beside_its_image(path: Path) -> bool:
    owner = mask_owner(path)
    if owner is None:
        return False
    endings = (*SUFFIXES, *(suffix.upper() for suffix in SUFFIXES))
    return any(path.with_name(owner + ending).is_file() for ending in endings)


def _lies_in_a_mask_folder(path: Path) -> bool:
    for folder in path.parents:
        images = _IMAGES_OF.get(folder.name.lower())
        if images and (neighbour := subfolder(folder.parent, images)):
            return (neighbour / path.parent.relative_to(folder)).is_dir()
    return False
