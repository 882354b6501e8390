"""What a user states of a data set, in small JSON files beside it, since no image says it.

groups.json: {case id: group}: which images belong together, such as those of one patient.
lesions.json, for DICOM: {"structures": [patterns], "lesion_free": [folders or case ids]}.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from breastseg.core.errors import LayoutError
from breastseg.datasets.cases import CaseFiles, DataSet
from breastseg.io.atomic import write_json

GROUPS_NAME = "groups.json"
LESIONS_NAME = "lesions.json"
_KEYS = ("structures", "lesion_free")


@dataclass(frozen=True, slots=True)
class StatedLesions:
    """What lesions.json says.

    structures: patterns of the names of the segments and ROIs that are lesions.
    lesion_free: case ids, or folders within the data set: scans in which somebody has looked and
        found no lesion.
    """

    structures: tuple[str, ...] = ()
    lesion_free: tuple[str, ...] = ()

    def has_none(self, case_id: str, path: Path, root: Path) -> bool:
        """Whether a scan without a mask has no lesion, by its id or the folder of its file."""
        folder = Path(root) if root.is_dir() else root.parent
        inside = path.relative_to(folder).parents if path.is_relative_to(folder) else ()
        return case_id in self.lesion_free or any(
            each.as_posix() in self.lesion_free for each in inside
        )


def read_lesions(root: Path) -> StatedLesions:
    """Read lesions.json of a data set; where there is none, it says nothing.

    Raises:
        LayoutError: it is broken, or has other keys.
    """
    path = root / LESIONS_NAME
    if not path.is_file():
        return StatedLesions()
    document = _read(path)
    lists = {key: document.get(key, []) for key in _KEYS}
    is_lists = all(isinstance(each, list) for each in lists.values())
    if set(document) - set(_KEYS) or not is_lists or not all(map(_are_names, lists.values())):
        raise LayoutError(
            f'{path}: expected {{"structures": ["*tumor*"], "lesion_free": ["folder or case id"]}} '
            f"or one of the two, found {_few(document)}."
        )
    return StatedLesions(
        structures=tuple(lists["structures"]),
        lesion_free=tuple(each.rstrip("/") for each in lists["lesion_free"]),
    )


def write_lesion_free(root: Path, folders: Sequence[str]) -> None:
    """Write lesions.json with the folders of the scans that have no lesion.

    Raises:
        OutputError: it cannot be written.
    """
    write_json(root / LESIONS_NAME, {"lesion_free": list(folders)})


def with_stated_groups(data_set: DataSet) -> DataSet:
    """Give each case the group that groups.json names, in the place of its patient.

    Names of cases that are not there are passed over, so that a part of a data set can be taken
    with the file of the whole.

    Raises:
        LayoutError: it is broken, or leaves cases out.
    """
    path = data_set.root / GROUPS_NAME
    if not path.is_file():
        return data_set
    groups = _read(path)
    if not _are_names(groups.values()):
        raise LayoutError(
            f'{path}: expected {{"case id": "group"}} with texts, found {_few(groups)}.'
        )
    without = [case.case_id for case in data_set.cases if case.case_id not in groups]
    if without:
        raise LayoutError(
            f"{path}: expected the group of every case, but {len(without)} have none, such as "
            f"'{without[0]}'. Add them; a case that belongs to no other has a group of its own."
        )
    cases = tuple(_grouped(case, groups) for case in data_set.cases)
    return replace(data_set, cases=cases)


def _grouped(case: CaseFiles, groups: dict[str, str]) -> CaseFiles:
    return replace(case, patient_id=groups[case.case_id])


def write_groups(root: Path, groups: dict[str, str]) -> None:
    """Write groups.json.

    Raises:
        OutputError: it cannot be written.
    """
    write_json(root / GROUPS_NAME, groups)


def _read(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise LayoutError(f"{path}: expected a JSON document, but {error}.") from None
    if not isinstance(document, dict):
        raise LayoutError(f"{path}: expected a JSON object, found {type(document).__name__}.")
    return document


def _are_names(values: Any) -> bool:
    return all(isinstance(each, str) and each for each in values)


def _few(document: dict[str, Any]) -> str:
    text = json.dumps(document)
    return text if len(text) <= 80 else f"{text[:80]}..."
