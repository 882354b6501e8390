"""Several data sets as one: a small JSON file that names them, and what is left out of each.

    {"schema_version": 1,
     "data_sets": {
       "busi": {"path": "Dataset_BUSI_with_GT",
                "leave_out": [{"cases": ["normal__*"], "why": "no lesion"}]},
       "bus-bra": {"path": "BUSBRA"}}}

It stands wherever the folder of a data set does. The case ids and the patients of each data set
bear its name, so that those of two never clash.
"""

import difflib
import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from breastseg.core.errors import LayoutError, ReferenceMaskError
from breastseg.core.validation import problems
from breastseg.datasets.cases import CaseFiles, DataSet
from breastseg.datasets.faults import Fault, OnFault

Find = Callable[[Path, OnFault], DataSet]
"""Finds the data set of a folder."""

Name = Annotated[str, Field(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$")]
Text = Annotated[str, Field(min_length=1)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class LeftOut(_Part):
    """Cases that are not taken, and why.

    cases: ids as they are in the data set alone. `*` stands for any text and `?` for any
        character; all else, brackets too, stands for itself.
    why: for those who read the file, and for the log of a training.
    """

    cases: Annotated[tuple[Text, ...], Field(min_length=1)]
    why: Text


class Member(_Part):
    """One data set. path: its folder, absolute or from the folder of the file."""

    path: Text
    leave_out: tuple[LeftOut, ...] = ()


class Collection(_Part):
    """What the file holds."""

    schema_version: Literal[1]
    data_sets: Annotated[dict[Name, Member], Field(min_length=1)]


def is_collection(path: Path) -> bool:
    """Whether a path is a file that may name data sets, by its ending."""
    return path.suffix.lower() == ".json" and path.is_file()


def find_collection(path: Path, on_fault: OnFault, find: Find) -> DataSet:
    """Find the data sets that a file names, as one.

    The published folds are kept where every data set has them.

    Args:
        path: the JSON file.
        on_fault: told of what is wrong with single files of those cases that are not left out.
        find: finds each data set.

    Raises:
        LayoutError: the file is no collection; a folder in it is named twice, is of no known
            layout or broken; or what is to be left out is not there.
        ReferenceMaskError: an image that must have a mask has none, or several.
    """
    collection = read_collection(path)
    folders = {name: path.parent / each.path for name, each in collection.data_sets.items()}
    _require_once(path, folders)
    members = {
        name: _named(
            name,
            _member(f"{path}, data_sets.{name}", folders[name], each.leave_out, on_fault, find),
        )
        for name, each in collection.data_sets.items()
    }
    return _joined(path, members)


def read_collection(path: Path) -> Collection:
    """Read the file alone.

    Raises:
        LayoutError: it is no JSON, has an unknown field or a name twice.
    """
    try:
        document = json.loads(path.read_text(encoding="utf-8"), object_pairs_hook=_once)
    except (OSError, ValueError) as error:
        raise LayoutError(
            f"{path}: expected a JSON file that names data sets, but {error}."
        ) from None
    try:
        return Collection.model_validate(document)
    except ValidationError as error:
        told = problems(error, of=Collection, kind="collection")
        raise LayoutError(
            f"{path}: expected a collection of data sets: {told}"
            f"{'' if told.endswith(('.', '?')) else '.'} Write it like "
            '{"schema_version": 1, "data_sets": {"busi": {"path": "Dataset_BUSI_with_GT"}}}, '
            "or name the folder of a data set."
        ) from None


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Refuse what JSON allows: a name twice, of which the last would win in silence."""
    names = [name for name, _ in pairs]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"'{name}' is named twice in one object; rename one")
    return dict(pairs)


def _require_once(path: Path, folders: Mapping[str, Path]) -> None:
    by_folder: dict[Path, str] = {}
    for name, folder in folders.items():
        twin = by_folder.setdefault(folder.resolve(), name)
        if twin != name:
            raise LayoutError(
                f"{path}, data_sets: '{twin}' and '{name}' are the same folder {folder}. "
                "Remove one: its images would count twice."
            )


def _member(
    where: str, folder: Path, leave_out: Iterable[LeftOut], on_fault: OnFault, find: Find
) -> DataSet:
    """Find one data set without what is left out; a fault of that is no fault."""
    if is_collection(folder):
        raise LayoutError(
            f"{where}: expected a folder with a data set, found the file {folder}. A collection "
            "holds no other: name the data sets of both in one file."
        )
    faults: list[Fault] = []
    try:
        found = find(folder, faults.append)
    except (LayoutError, ReferenceMaskError) as error:
        raise type(error)(f"{where}: {error}") from None
    by_why = {each.why: _matching(where, each.cases, found.cases) for each in leave_out}
    out = {case.case_id: case.image_path for cases in by_why.values() for case in cases}
    for fault in faults:
        if fault.file not in out.values():
            on_fault(fault)
    kept = tuple(case for case in found.cases if case.case_id not in out)
    if not kept:
        raise LayoutError(f"{where}: leave_out leaves no case. Remove the data set instead.")
    notes = [f"{_counted(cases)} left out: {why}" for why, cases in by_why.items()]
    return replace(found, cases=kept, notes=(*found.notes, *notes))


def _matching(where: str, patterns: Iterable[str], cases: Sequence[CaseFiles]) -> list[CaseFiles]:
    """Return the cases that any of the patterns means, each of which must mean one."""
    meant: dict[str, CaseFiles] = {}
    for pattern in patterns:
        fits = re.compile(re.escape(pattern).replace(r"\*", ".*").replace(r"\?", "."), re.DOTALL)
        fitting = {case.case_id: case for case in cases if fits.fullmatch(case.case_id)}
        if not fitting:
            ids = [case.case_id for case in cases]
            near = difflib.get_close_matches(pattern, ids, n=1)
            told = f"Did you mean '{near[0]}'?" if near else f"An id there is '{ids[0]}'."
            raise LayoutError(
                f"{where}: leave_out names '{pattern}', which is none of its {len(ids)} cases. "
                f"{told}"
            )
        meant |= fitting
    return list(meant.values())


def _counted(cases: Sequence[CaseFiles]) -> str:
    return f"{len(cases)} image{'' if len(cases) == 1 else 's'}"


def _named(name: str, data_set: DataSet) -> DataSet:
    """Put the name of a data set before the ids of its cases and patients."""

    def renamed(case: CaseFiles) -> CaseFiles:
        patient = None if case.patient_id is None else f"{name}__{case.patient_id}"
        case_id = f"{name}__{case.case_id}"
        return replace(case, case_id=case_id, patient_id=patient, source=name)

    return replace(data_set, cases=tuple(map(renamed, data_set.cases)))


def _joined(path: Path, members: Mapping[str, DataSet]) -> DataSet:
    if any(case.fold is None for each in members.values() for case in each.cases):
        members = {name: _without_folds(each) for name, each in members.items()}
    cases = [case for member in members.values() for case in member.cases]
    return DataSet(
        layout=f"collection of {_listed([each.layout for each in members.values()])}",
        root=path,
        cases=tuple(sorted(cases, key=lambda case: case.case_id)),
        notes=tuple(f"{name}: {note}" for name, each in members.items() for note in each.notes),
        members=members,
    )


def _without_folds(data_set: DataSet) -> DataSet:
    return replace(data_set, cases=tuple(replace(case, fold=None) for case in data_set.cases))


def _listed(layouts: Iterable[str]) -> str:
    """Join names of layouts.

    >>> _listed(["BUSI", "BUS-BRA", "BUSI"])
    '2 x BUSI and BUS-BRA'
    """
    names = [
        layout if count == 1 else f"{count} x {layout}"
        for layout, count in Counter(layouts).items()
    ]
    return " and ".join([*([", ".join(names[:-1])] if names[1:] else []), names[-1]])
