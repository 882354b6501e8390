"""What the layouts share: which pictures lie in a folder, and which mask belongs to which image."""

import os
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from breastseg.core.errors import LayoutError, ReferenceMaskError
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

    @property
    def mask(self) -> Path:
        """The one mask file of an image that must have exactly one.

        Raises:
            ReferenceMaskError: there is none, or there are several.
        """
        if not self.masks:
            raise ReferenceMaskError(
                f"{self.image}: expected a mask for this image, found none. Add it (all zeros "
                "where there is no lesion) or remove the image. A folder that holds several "
                "data sets must be split: name one of them."
            )
        if len(self.masks) > 1:
            raise ReferenceMaskError(
                f"{self.image}: expected one mask for this image, found {len(self.masks)}: "
                f"{', '.join(path.name for path in self.masks)}. Merge them into one file, or "
                "lay the folder out like BUSI, where each mask is one lesion."
            )
        return self.masks[0]


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


def notes_on_left_out(folders: Iterable[Path]) -> tuple[str, ...]:
    """Return a note that counts the files which are no pictures and no usual company of them."""
    files = (path for folder in folders for path in walk(folder))
    endings = Counter(path.suffix.lower() or "no ending" for path in files if not is_raster(path))
    strange = {ending: count for ending, count in endings.items() if ending not in _EXPECTED}
    if not strange:
        return ()
    counts = ", ".join(f"{count} with {ending}" for ending, count in sorted(strange.items()))
    return (f"{sum(strange.values())} files are no pictures and were left out: {counts}.",)


def match_masks(
    images: Iterable[tuple[str, Path]], masks: Iterable[tuple[str, Path]]
) -> list[Drawing]:
    """Give every mask to the image of the same key; masks are ordered by their number.

    Raises:
        LayoutError: a mask has no image, or two images could be meant.
    """
    images = list(images)
    owners: dict[str, list[Path]] = defaultdict(list)
    for key, path in images:
        owners[key].append(path)
    drawn: dict[str, list[Path]] = defaultdict(list)
    for key, path in masks:
        _check_owner(path, owners.get(key, []))
        drawn[key].append(path)
    return [Drawing(path, tuple(sorted(drawn[key], key=_number))) for key, path in images]


def _check_owner(mask: Path, owners: list[Path]) -> None:
    if not owners:
        raise LayoutError(
            f"{mask}: expected an image for this mask, found none of its name. "
            "Add the image or remove the mask."
        )
    if len(owners) > 1:
        raise LayoutError(
            f"{mask}: expected one image for this mask, found {len(owners)}: "
            f"{', '.join(path.name for path in owners)}. Rename or remove all but one."
        )


def _number(mask: Path) -> tuple[int, str]:
    match = _MASK_STEM.fullmatch(mask.stem)
    return int(match["number"] or 0) if match else 0, mask.name
