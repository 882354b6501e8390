"""A data set that was read once from end to end, ready to be divided and trained on."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from breastseg.core.errors import LayoutError
from breastseg.datasets.cases import CaseFiles, DataSet, read_case
from breastseg.datasets.layouts import find_data_set
from breastseg.datasets.near_duplicates import case_groups
from breastseg.datasets.signatures import signature_of
from breastseg.datasets.sketches import Sketches, sketches_of
from breastseg.io.raster import file_sha256

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckedData:
    """What several trainings on the same data share, so that it is read only once.

    groups: group by case id, which no split divides. method: what the groups are, in words.
    content: SHA-256 of each image file by case id, to know the data again.
    sketches: of the images in the order of the cases, to know them again where they were changed.
    """

    data_set: DataSet
    groups: dict[str, str] = field(repr=False)
    method: str
    content: dict[str, str] = field(repr=False)
    sketches: Sketches = field(repr=False)


def find_training_data(data: Path) -> DataSet:
    """Find a data set in which every image has a reference mask; no image is read.

    Raises:
        LayoutError: no known layout, or an image without a mask.
    """
    data_set = find_data_set(data)
    without = [case.case_id for case in data_set.cases if case.mask_paths is None]
    if without:
        raise LayoutError(
            f"{data_set.root}: training needs a reference mask for each image, but "
            f"{len(without)} have none, such as '{without[0]}'. Add masks, all black where there "
            "is no lesion."
        )
    return data_set


def check_data(data_set: DataSet, progress: Progress) -> CheckedData:
    """Read every case once, and group them.

    A broken mask of the test part must not show after the training.

    Raises:
        ImageFileError, ReferenceMaskError, GeometryError: a case that cannot be used.
    """
    cases = data_set.cases
    signatures = []
    for done, files in enumerate(cases, start=1):
        signatures.append(signature_of(read_case(files).image.pixels[0]))
        progress("Checking images and masks", done, len(cases))
    groups, method = case_groups(cases, signatures=signatures)
    return CheckedData(
        data_set=data_set,
        groups=groups,
        method=method,
        content=content_of(cases),
        sketches=sketches_of(signatures),
    )


def content_of(cases: Sequence[CaseFiles]) -> dict[str, str]:
    """Return the SHA-256 of each image file by case id."""
    return {case.case_id: file_sha256(case.image_path) for case in cases}
