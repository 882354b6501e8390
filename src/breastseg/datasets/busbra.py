"""BUS-BRA: breast ultrasound with patients, pathology and published folds.

Source: Gómez-Flores et al. 2024, Medical Physics 51(4):3110, doi:10.1002/mp.16812.
"""

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from breastseg.core.errors import ImageFileError, LayoutError
from breastseg.datasets.cases import CaseFiles, DataSet, with_unique_ids
from breastseg.datasets.faults import Fault, OnFault, refuse
from breastseg.datasets.folder import (
    Drawing,
    UnfitError,
    match_masks,
    notes_on_left_out,
    pictures_in,
    subfolder,
)
from breastseg.io.raster import read_size

_TABLE = "bus_data.csv"
_FOLDS = "5-fold-cv.csv"
_NAMED = 3

Rows = Mapping[str, Mapping[str, str]]


@dataclass(frozen=True, slots=True)
class Tables:
    """Rows by image id. The folds are those of `kFold`: `valid_k` parts one patient's views."""

    data_path: Path
    data: Rows
    folds_path: Path
    folds: Rows | None


def find_busbra(root: Path, on_fault: OnFault = refuse) -> DataSet:
    """Read a folder as BUS-BRA: Images/, Masks/, bus_data.csv and perhaps 5-fold-cv.csv.

    A part of the published images is fine, and is noted. An image without a row is refused:
    without its patient, a split could leak.

    Raises:
        UnfitError: bus_data.csv, Images/ or Masks/ is missing.
        LayoutError: a table is broken, an image is in no row of it, or a mask has no image.
        ReferenceMaskError: an image has no mask.
    """
    images_dir, masks_dir = _folders(root)
    tables = read_tables(root, on_fault)
    images = [(path.stem.removeprefix("bus_"), path) for path in pictures_in(images_dir)]
    masks = [(path.stem.removeprefix("mask_"), path) for path in pictures_in(masks_dir)]
    drawings = match_masks(images, masks, on_fault)
    cases = [_case(drawing, tables, on_fault) for drawing in drawings]
    if not cases:
        raise LayoutError(f"{images_dir}: expected the images of BUS-BRA, found none.")
    return DataSet(
        layout="BUS-BRA",
        root=root,
        cases=with_unique_ids(cases, root, on_fault),
        notes=_notes(cases, tables) + notes_on_left_out((images_dir, masks_dir)),
    )


def _folders(root: Path) -> tuple[Path, Path]:
    if not (root / _TABLE).is_file():
        raise UnfitError(f"there is no {_TABLE}")
    images_dir, masks_dir = subfolder(root, "images"), subfolder(root, "masks")
    if images_dir is None or masks_dir is None:
        raise UnfitError(f"there is no {'Masks' if images_dir else 'Images'}/")
    return images_dir, masks_dir


def read_tables(root: Path, on_fault: OnFault = refuse) -> Tables:
    """Read bus_data.csv and, where it is there, 5-fold-cv.csv.

    Raises:
        LayoutError: a table cannot be read, lacks a column or has two rows of one image.
    """
    data_path, folds_path = root / _TABLE, root / _FOLDS
    return Tables(
        data_path=data_path,
        data=_read_table(data_path, ("ID", "Case", "Pathology"), on_fault),
        folds_path=folds_path,
        folds=_read_table(folds_path, ("ID", "kFold"), on_fault) if folds_path.is_file() else None,
    )


def _read_table(path: Path, columns: tuple[str, ...], on_fault: OnFault) -> Rows:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            table = csv.DictReader(file)
            found, rows = table.fieldnames or [], list(table)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise LayoutError(f"{path}: the table cannot be read ({error}). Copy it again.") from None
    missing = [name for name in columns if name not in found]
    if missing:
        raise LayoutError(
            f"{path}: expected the columns {', '.join(columns)}, found {', '.join(found)}. "
            "Copy the published table again."
        )
    by_id: dict[str, Mapping[str, str]] = {}
    for row in rows:
        if by_id.setdefault(row["ID"], row) is not row:
            twice = LayoutError(f"{path}: expected one row per image, found two of {row['ID']}.")
            on_fault(Fault("table-row-twice", path, twice))
    return by_id


def _case(drawing: Drawing, tables: Tables, on_fault: OnFault) -> CaseFiles:
    image = drawing.image
    row = tables.data.get(image.stem, {})
    if not row.get("Case"):
        error = LayoutError(
            f"{image}: expected a row {image.stem} with its patient (Case) in {tables.data_path}, "
            "found none. Add the row or remove the image: without its patient a split could leak."
        )
        on_fault(Fault("table-no-row", image, error))
    return CaseFiles(
        case_id=image.stem,
        image_path=image,
        mask_paths=drawing.one_mask(on_fault),
        patient_id=row.get("Case") or None,
        label=row.get("Pathology", "").lower() or None,
        scanner=row.get("Device") or None,
        fold=_fold(image, tables, on_fault),
    )


def _fold(image: Path, tables: Tables, on_fault: OnFault) -> int | None:
    if tables.folds is None:
        return None
    value = tables.folds.get(image.stem, {}).get("kFold", "")
    if not value.isdecimal():
        error = LayoutError(
            f"{image}: expected a fold in column kFold of {tables.folds_path}, found '{value}'. "
            f"Mend the row, or remove {_FOLDS} to split by patients instead."
        )
        on_fault(Fault("table-no-fold", image, error))
        return None
    return int(value)


def _notes(cases: list[CaseFiles], tables: Tables) -> tuple[str, ...]:
    notes = []
    absent = sorted(set(tables.data) - {case.case_id for case in cases})
    if absent:
        notes.append(f"{len(absent)} rows of {_TABLE} have no image ({_first(absent)}).")
    if tables.folds is None:
        notes.append(f"There is no {_FOLDS}: the published folds are not known.")
    wrong = [case.case_id for case in cases if _size_is_wrong(case, tables)]
    if wrong:
        notes.append(
            f"{len(wrong)} rows of {_TABLE} give another Width and Height than the image has "
            f"({_first(wrong)}); the image's own size is used."
        )
    return tuple(notes)


def _size_is_wrong(case: CaseFiles, tables: Tables) -> bool:
    """Whether the table contradicts the header; a damaged file is told of when it is read."""
    row = tables.data.get(case.case_id)
    if row is None:
        return False
    try:
        rows, columns = read_size(case.image_path)
    except ImageFileError:
        return False
    return (row.get("Height"), row.get("Width")) != (str(rows), str(columns))


def _first(names: list[str]) -> str:
    return ", ".join(names[:_NAMED]) + (", ..." if len(names) > _NAMED else "")
