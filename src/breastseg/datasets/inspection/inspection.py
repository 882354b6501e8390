"""Looking at a whole data set: every image and mask, then how they compare."""

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from breastseg.core.errors import LayoutError
from breastseg.datasets.cases import CaseFiles, DataSet
from breastseg.datasets.faults import Fault
from breastseg.datasets.inspection.duplicates import Group, find_groups
from breastseg.datasets.inspection.findings import Finding, any_spoils, in_order
from breastseg.datasets.inspection.pictures import odd_pictures
from breastseg.datasets.inspection.record import Record, inspect_case
from breastseg.datasets.inspection.summary import few_cases, summarise
from breastseg.datasets.inspection.tables import inspect_tables
from breastseg.datasets.layouts import find_data_set
from breastseg.datasets.near_duplicates import group_numbers, keep_numbers
from breastseg.datasets.scans import find_scans

Progress = Callable[[str, int, int], None]

_BUSBRA = "BUS-BRA"
_MAX_THREADS = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Inspection:
    """What is in a data set and what is wrong with it.

    groups: of sure near duplicates. num_kept_together: images that share a group in a split,
        which is wider: for training, a group too wide costs less than one too narrow.
    findings: the worst first.
    """

    data_set: DataSet
    records: tuple[Record, ...] = field(repr=False)
    groups: tuple[Group, ...] = field(repr=False)
    num_kept_together: int
    findings: tuple[Finding, ...] = field(repr=False)

    @property
    def spoils(self) -> bool:
        """Whether something would spoil a result."""
        return any_spoils(self.findings)

    def to_document(self) -> dict[str, Any]:
        """Return inspection.json."""
        return {
            "schema_version": 1,
            "spoils": self.spoils,
            "summary": self.summary(),
            "findings": [finding.to_document() for finding in self.findings],
            "groups": [group.to_document() for group in self.groups],
            "cases": [record.to_document() for record in self.records],
        }

    def summary(self) -> dict[str, Any]:
        """Return what is in the data set, in plain values."""
        return {
            **summarise(self.data_set, self.records),
            "near_duplicates": {
                "groups": len(self.groups),
                "images": sum(len(group.records) for group in self.groups),
                "kept_together_by_train": self.num_kept_together,
            },
        }


def inspect_data(root: Path, progress: Progress) -> Inspection:
    """Inspect a folder. What is wrong with single files is found, and stops nothing.

    Args:
        root: a data set of a known layout, or any folder of pictures.
        progress: told what is being done, how many are done and how many there are.

    Raises:
        LayoutError: there is no such folder, no picture in it, or its layout is broken as a
            whole.
        InputError: there is no picture.
    """
    faults: list[Fault] = []
    data_set, general = _find(root, faults)
    records = _read(data_set.cases, progress)
    readable = [record for record in records if record.signature is not None]
    contents = [record.sha256 for record in readable if record.sha256 is not None]
    wide, sure = group_numbers([each.signature for each in readable if each.signature is not None])
    keep_numbers(contents, wide)
    groups = find_groups(
        readable, sure, lambda done, total: progress("Comparing near duplicates", done, total)
    )
    findings = [
        *general,
        *_of_faults(faults, data_set),
        *(finding for record in records for finding in record.findings),
        *(finding for group in groups for finding in group.findings),
        *_of_the_rest(data_set, readable),
    ]
    findings += _of_tables(data_set, records)
    sizes = np.bincount(wide)
    return Inspection(
        data_set=data_set,
        records=tuple(records),
        groups=tuple(groups),
        num_kept_together=int(sizes[sizes > 1].sum()),
        findings=tuple(in_order(findings)),
    )


def _find(root: Path, faults: list[Fault]) -> tuple[DataSet, list[Finding]]:
    """Find the data set; where no layout fits, take every picture without its mask."""
    try:
        return find_data_set(root, on_fault=faults.append), []
    except LayoutError as error:
        if "none fits" not in str(error):
            raise
        reason = error
    faults.clear()
    cases = find_scans([root], pictures_only=True).cases
    message = f"No layout with masks fits {root}: the pictures alone are inspected."
    findings = [Finding(code="no-masks", cases=(), message=message)]
    return DataSet(layout="pictures", root=root, cases=cases, notes=(str(reason),)), findings


def _read(cases: Sequence[CaseFiles], progress: Progress) -> list[Record]:
    """Inspect cases side by side: reading and most measuring leave Python's lock."""
    records = []
    executor = ThreadPoolExecutor(max_workers=min(_MAX_THREADS, os.cpu_count() or 1))
    try:
        for record in executor.map(inspect_case, cases):
            records.append(record)
            progress("Inspecting images and masks", len(records), len(cases))
    finally:
        executor.shutdown(wait=True, cancel_futures=True)
    return records


def _of_tables(data_set: DataSet, records: Sequence[Record]) -> Iterator[Finding]:
    """Yield what the tables of BUS-BRA contradict, also where it is one set of several."""
    if data_set.layout == _BUSBRA:
        yield from inspect_tables(data_set.root, records)
    for name, each in data_set.members.items():
        if each.layout == _BUSBRA:
            own = [record for record in records if record.files.source == name]
            yield from inspect_tables(each.root, own)


def _of_faults(faults: Sequence[Fault], data_set: DataSet) -> Iterator[Finding]:
    by_image = {case.image_path: case.case_id for case in data_set.cases}
    for fault in faults:
        case_id = by_image.get(fault.file)
        cases = () if case_id is None else (case_id,)
        yield Finding(code=fault.code, cases=cases, message=str(fault.error))


def _of_the_rest(data_set: DataSet, readable: Sequence[Record]) -> Iterator[Finding]:
    pictures = [record.picture for record in readable if record.picture is not None]
    yield from odd_pictures([record.case_id for record in readable], pictures)
    yield from few_cases(data_set.cases)
    if all(case.patient_id is None for case in data_set.cases):
        message = "The data set names no patients: near duplicates alone are kept together."
        yield Finding(code="no-patients", cases=(), message=message)
