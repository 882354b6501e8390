"""What the tables of BUS-BRA say against its files."""

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from breastseg.core.errors import LayoutError
from breastseg.datasets.busbra import Rows, Tables, read_tables
from breastseg.datasets.inspection.findings import Finding
from breastseg.datasets.inspection.record import Record

_BOX_TOLERANCE_PX = 2
_FOLDS = tuple(f"valid_{number}" for number in range(1, 6))
_SIDES = {"0", "1"}
_NAMED = 3


def inspect_tables(root: Path, records: Sequence[Record]) -> list[Finding]:
    """Compare bus_data.csv and 5-fold-cv.csv with the images, the masks and each other.

    Args:
        root: a folder in the layout of BUS-BRA.
        records: of its images.
    """
    try:
        tables = read_tables(root, on_fault=lambda fault: None)
    except LayoutError:  # removed since the layout was found
        return []
    findings = [each for record in records for each in _of_row(record, tables)]
    findings += _rows_without_image(records, tables)
    if tables.folds is not None:
        findings += _folds(tables.folds, records)
    return findings


def _of_row(record: Record, tables: Tables) -> Iterator[Finding]:
    row = tables.data.get(record.files.own_id, {})
    if row and record.picture is not None:
        told = (row.get("Height"), row.get("Width"))
        size = (record.picture.num_rows, record.picture.num_columns)
        if told != tuple(map(str, size)):
            message = f"{tables.data_path.name} says {told[0]} x {told[1]}, the file {size[0]} x "
            yield _finding("table-size", record, f"{message}{size[1]} (rows x columns).")
    if row and record.mask is not None and record.mask.box is not None:
        box = _box(row)
        if box is not None and not _agree(box, record.mask.box):
            yield _finding(
                "table-box",
                record,
                f"{tables.data_path.name} says {list(box)}, the mask fills "
                f"{list(record.mask.box)} (left, top, width, height).",
            )
    other = (tables.folds or {}).get(record.files.own_id, {}).get("Pathology")
    if row and other is not None and other.lower() != row["Pathology"].lower():
        message = f"{row['Pathology']} in {tables.data_path.name}, {other} in the other table."
        yield _finding("table-classes", record, message)


def _finding(code: str, record: Record, message: str) -> Finding:
    return Finding(code=code, cases=(record.case_id,), message=message)


def _box(row: Mapping[str, str]) -> tuple[int, ...] | None:
    try:
        box = tuple(int(value) for value in json.loads(row.get("BBOX", "")))
    except (ValueError, TypeError):
        return None
    return box if len(box) == len(("left", "top", "width", "height")) else None


def _agree(box: Sequence[int], other: Sequence[int]) -> bool:
    return all(abs(a - b) <= _BOX_TOLERANCE_PX for a, b in zip(box, other, strict=True))


def _rows_without_image(records: Sequence[Record], tables: Tables) -> Iterator[Finding]:
    absent = sorted(set(tables.data) - {record.files.own_id for record in records})
    if absent:
        named = ", ".join(absent[:_NAMED]) + (", ..." if len(absent) > _NAMED else "")
        message = f"{len(absent)} rows of {tables.data_path.name} have no image ({named})."
        yield Finding(code="table-no-image", cases=(), message=message)


def _folds(folds: Rows, records: Sequence[Record]) -> Iterator[Finding]:
    """Yield the columns that put images of one patient on two sides."""
    for column in ("kFold", *_FOLDS):
        sides: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
        for record in records:
            side = folds.get(record.files.own_id, {}).get(column, "")
            if record.files.patient_id and (column == "kFold" or side in _SIDES):
                sides[record.files.patient_id][side].append(record.case_id)
        parted = [each for each in sides.values() if len(each) > 1]
        if parted:
            cases = tuple(
                sorted(case for each in parted for part in each.values() for case in part)
            )
            message = f"Column {column} has {len(parted)} patients on both sides."
            yield Finding(code="table-fold-parts-patient", cases=cases, message=message)
