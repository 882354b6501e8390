"""A data set that was read once from end to end, ready to be divided and trained on."""

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from breastseg.core.errors import LayoutError
from breastseg.datasets.cases import CaseFiles, DataSet, read_case
from breastseg.datasets.layouts import find_data_set
from breastseg.datasets.near_duplicates import case_groups
from breastseg.datasets.signatures import signature_of
from breastseg.datasets.sketches import Sketches, sketches_of

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckedData:
    """What several trainings on the same data share, so that it is read only once.

    groups: group by case id, which no split divides. method: what the groups are, in words.
    content: SHA-256 of each image by case id, to know the data again; see CaseFiles.sha256.
    sketches: of the images in the order of the cases, to know them again where they were changed;
        None of volumes.
    """

    data_set: DataSet
    groups: dict[str, str] = field(repr=False)
    method: str
    content: dict[str, str] = field(repr=False)
    sketches: Sketches | None = field(repr=False)


def find_training_data(data: Path, *, volumes: bool | None = False) -> DataSet:
    """Find a data set in which every image has a reference mask; no image is read.

    Args:
        data: its folder.
        volumes: whether CT volumes are wanted, or pictures; None for whatever it holds.

    Raises:
        LayoutError: no known layout, an image without a mask, pictures for volumes or the reverse,
            or volumes that are not said to be in HU.
    """
    data_set = find_data_set(data, volumes=volumes is not False)
    if volumes or (volumes is None and data_set.holds_volumes):
        _require_ct(data_set)
    _require_drawn(data_set)
    return data_set


def find_scored_data(data: Path) -> DataSet:
    """Find pictures or CT volumes, all with a reference mask; no image is read.

    Raises:
        LayoutError: no known layout, an image without a mask, or volumes that are not said to be
            in HU.
    """
    data_set = find_data_set(data, volumes=True)
    if data_set.holds_volumes:
        _require_ct(data_set)
    _require_drawn(data_set)
    return data_set


def _require_drawn(data_set: DataSet) -> None:
    without = [case.case_id for case in data_set.cases if case.mask_paths is None]
    if without:
        raise LayoutError(
            f"{data_set.root}: a reference mask is needed for each image, but {len(without)} have "
            f"none, such as '{without[0]}'. {_way_out(data_set)}"
        )


def _way_out(data_set: DataSet) -> str:
    if any(case.series_paths for case in data_set.cases):
        return (
            "Add a SEG or RTSTRUCT; name scans without a lesion in lesions.json; move series that "
            "nobody has read elsewhere."
        )
    return "Add masks, all zero where there is no lesion."


def _require_ct(data_set: DataSet) -> None:
    if not data_set.holds_volumes:
        raise LayoutError(
            f"{data_set.root}: expected CT volumes, found {len(data_set.cases)} pictures "
            f"({data_set.layout}). Take a recipe for pictures."
        )
    others = [case for case in data_set.cases if case.modality != "CT"]
    if others:
        raise LayoutError(
            f"{data_set.root}: expected volumes in HU, found '{others[0].case_id}' of "
            f"{others[0].modality or 'an unknown modality'}. Where they are CT, say so in "
            'dataset.json: "channel_names": {"0": "CT"}.'
        )


def check_data(data_set: DataSet, progress: Progress) -> CheckedData:
    """Read every case once, one at a time, and group them.

    A broken mask of the test part must not show after the training.

    Raises:
        LayoutError: pictures beside volumes.
        ImageFileError, ReferenceMaskError, GeometryError: a case that cannot be used.
    """
    cases = data_set.cases
    are_volumes = data_set.holds_volumes
    signatures = []
    for done, files in enumerate(cases, start=1):
        pixels = read_case(files).image.pixels
        if not are_volumes:
            signatures.append(signature_of(pixels[0]))
        progress("Checking images and masks", done, len(cases))
    content = content_of(cases)
    groups, method = case_groups(cases, signatures=signatures, content=content)
    return CheckedData(
        data_set=data_set,
        groups=groups,
        method=method,
        content=content,
        sketches=None if are_volumes else sketches_of(signatures),
    )


def content_of(cases: Sequence[CaseFiles]) -> dict[str, str]:
    """Return the SHA-256 of each image by case id; see CaseFiles.sha256."""
    return {case.case_id: case.sha256() for case in cases}


def content_fingerprint(digests: Iterable[str]) -> str:
    """Return 12 hex digits that name a set of images by the SHA-256 of each, in any order."""
    return hashlib.sha256("".join(sorted(digests)).encode()).hexdigest()[:12]
