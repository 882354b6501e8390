"""What the layouts share: which pictures lie in a folder, and which mask belongs to which image."""

import os
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from breastseg.core.errors import LayoutError, ReferenceMaskError
from breastseg.datasets.faults import Fault, OnFault, refuse
from breastseg.io.file_kinds import is_nifti
from breastseg.io.raster import is_raster

_MASK_STEM = re.compile(r"(?P<image>.+)_mask(?:_(?P<number>\d+))?", re.IGNORECASE)

# Papers, tables and the droppings of operating systems lie in every data folder.
_EXPECTED = {".csv", ".tsv", ".json", ".txt", ".md", ".pdf", ".xlsx", ".xml", ".html", ".yaml"}
_EXPECTED |= {".yml", ".log", ".ini", ".db"}


class UnfitError(Exception):
    """A folder is not of the layout that was tried; the text says why."""


@dataclass(frozen=True, slots=True)
class Drawing:
    """An image and the files in which its lesions are drawn."""

    image: Path
    masks: tuple[Path, ...]

    def one_mask(self, on_fault: OnFault = refuse) -> tuple[Path, ...] | None:
        """Return the mask files of an image that must have exactly one.

        Past a fault, all that there are; None where there is none.

        Raises:
            ReferenceMaskError: there is none, or there are several.
        """
        if not self.masks:
            error = ReferenceMaskError(
                f"{self.image}: expected a mask for this image, found none. Add it (all zeros "
                "where there is no lesion) or remove the image. A folder that holds several "
                "data sets must be split: name one of them."
            )
            on_fault(Fault("mask-missing", self.image, error))
        if len(self.masks) > 1:
            error = ReferenceMaskError(
                f"{self.image}: expected one mask for this image, found {len(self.masks)}: "
                f"{', '.join(path.name for path in self.masks)}. Merge them into one file, or "
                "lay the folder out like BUSI, where each mask is one lesion."
            )
            on_fault(Fault("mask-ambiguous", self.image, error))
        return self.masks or None


def mask_owner(path: Path) -> str | None:
    """Return the stem of the image that a file called like a mask belongs to, else None.

    >>> mask_owner(Path("benign (4)_mask_1.png"))
    'benign (4)'
    """
    match = _MASK_STEM.fullmatch(path.stem)
    return match["image"] if match else None


def subfolder(parent: Path, *names: str) -> Path | None:
    """Return the subfolder with one of those lower-case names, in whatever case it is written."""
    found = {path.name.lower(): path for path in sorted(parent.iterdir()) if path.is_dir()}
    return next((found[name] for name in names if name in found), None)


def walk(folder: Path) -> Iterator[Path]:
    """Yield all files in a folder and its subfolders, sorted; nothing hidden."""
    for parent, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from (Path(parent, name) for name in sorted(files) if not name.startswith("."))


def pictures_in(folder: Path) -> list[Path]:
    """Return the pictures that lie directly in a folder, sorted by name."""
    return sorted(path for path in folder.iterdir() if is_raster(path) and path.is_file())


def scans_in(folder: Path) -> list[Path]:
    """Return the pictures and NIfTI volumes that lie directly in a folder, sorted by name."""
    return sorted(path for path in folder.iterdir() if _is_scan(path) and path.is_file())


def _is_scan(path: Path) -> bool:
    return is_raster(path) or is_nifti(path)


def notes_on_left_out(folders: Iterable[Path]) -> tuple[str, ...]:
    """Return a note that counts the files which are no pictures and no usual company of them."""
    files = (path for folder in folders for path in walk(folder))
    endings = Counter(path.suffix.lower() or "no ending" for path in files if not _is_scan(path))
    strange = {ending: count for ending, count in endings.items() if ending not in _EXPECTED}
    if not strange:
        return ()
    counts = ", ".join(f"{count} with {ending}" for ending, count in sorted(strange.items()))
    return (f"{sum(strange.values())} files are no pictures and were left out: {counts}.",)


def match_masks(
    images: Iterable[tuple[str, Path]],
    masks: Iterable[tuple[str, Path]],
    on_fault: OnFault = refuse,
) -> list[Drawing]:
    """Give every mask to the image of the same key; masks are ordered by their number.

    Past a fault, a mask without an owner is left out.

    Raises:
        LayoutError: a mask has no image, or two images could be meant.
    """
    images = list(images)
    owners: dict[str, list[Path]] = defaultdict(list)
    for key, path in images:
        owners[key].append(path)
    drawn: dict[str, list[Path]] = defaultdict(list)
    for key, path in masks:
        fault = _owner_fault(path, owners.get(key, []))
        if fault is None:
            drawn[key].append(path)
        else:
            on_fault(fault)
    return [Drawing(path, tuple(sorted(drawn[key], key=_number))) for key, path in images]


def _owner_fault(mask: Path, owners: list[Path]) -> Fault | None:
    if len(owners) == 1:
        return None
    if not owners:
        error = LayoutError(
            f"{mask}: expected an image for this mask, found none of its name. "
            "Add the image or remove the mask."
        )
        return Fault("mask-without-image", mask, error)
    error = LayoutError(
        f"{mask}: expected one image for this mask, found {len(owners)}: "
        f"{', '.join(path.name for path in owners)}. Rename or remove all but one."
    )
    return Fault("mask-ambiguous", mask, error)


def _number(mask: Path) -> tuple[int, str]:
    match = _MASK_STEM.fullmatch(mask.stem)
    return int(match["number"] or 0) if match else 0, mask.name
