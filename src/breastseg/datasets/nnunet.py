"""nnU-Net's raw format, version 2, with pictures or NIfTI: imagesTr/, labelsTr/, dataset.json.

Source: github.com/MIC-DKFZ/nnUNet, documentation/dataset_format.md.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from breastseg.core.errors import LayoutError
from breastseg.datasets.cases import CaseFiles, DataSet, with_unique_ids
from breastseg.datasets.faults import Fault, OnFault, refuse
from breastseg.datasets.folder import UnfitError, match_masks, notes_on_left_out, scans_in
from breastseg.io.file_kinds import NIFTI_SUFFIXES
from breastseg.io.raster import SUFFIXES

_DESCRIPTION = "dataset.json"
_ENDINGS = (*SUFFIXES, *NIFTI_SUFFIXES)
_CHANNEL = re.compile(r"(?P<case>.+)_(?P<channel>\d{4})")
_FIRST_CHANNEL = "_0000"
_COLOURS = 3


def find_nnunet(root: Path, on_fault: OnFault = refuse) -> DataSet:
    """Read a folder as nnU-Net raw; every label but the background is lesion.

    Raises:
        UnfitError: dataset.json, imagesTr/ or labelsTr/ is missing.
        LayoutError: dataset.json is broken, or asks for what is not read: several files
            per case, an ignore label; or image and label files do not match.
        ReferenceMaskError: an image has no label file.
    """
    images_dir, labels_dir = root / "imagesTr", root / "labelsTr"
    description = root / _DESCRIPTION
    if not description.is_file():
        raise UnfitError(f"there is no {_DESCRIPTION}")
    for folder in (images_dir, labels_dir):
        if not folder.is_dir():
            raise UnfitError(f"there is no {folder.name}/")
    document = _read_description(description)
    ending = _ending(description, document)
    lesion_values = _lesion_values(description, document)
    modality = _modality(document)
    images = list(_images(_files(images_dir, ending, on_fault), ending, on_fault))
    labels = _files(labels_dir, ending, on_fault)
    drawings = match_masks(
        images, [(path.name.removesuffix(ending), path) for path in labels], on_fault
    )
    cases = [
        CaseFiles(
            case_id=drawing.image.name.removesuffix(_FIRST_CHANNEL + ending),
            image_path=drawing.image,
            mask_paths=drawing.one_mask(on_fault),
            lesion_values=lesion_values,
            modality=modality,
        )
        for drawing in drawings
    ]
    return DataSet(
        layout="nnU-Net raw",
        root=root,
        cases=with_unique_ids(cases, root, on_fault),
        notes=_notes(root, description, document) + notes_on_left_out((images_dir, labels_dir)),
    )


def _read_description(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise LayoutError(f"{path}: expected a JSON document, but {error}.") from None
    if not isinstance(document, dict):
        raise LayoutError(f"{path}: expected a JSON object, found {type(document).__name__}.")
    return document


def _ending(path: Path, document: dict[str, Any]) -> str:
    ending = document.get("file_ending")
    if not isinstance(ending, str) or ending.lower() not in _ENDINGS:
        raise LayoutError(
            f"{path}: file_ending must be one of {', '.join(_ENDINGS)}, found {ending!r}. "
            "(Version 1 of nnU-Net had no file_ending: convert the data set to version 2.)"
        )
    return ending


def _lesion_values(path: Path, document: dict[str, Any]) -> tuple[int, ...]:
    """Return all label values but the background's; a region lists several."""
    labels = document.get("labels")
    if not isinstance(labels, dict) or labels.get("background") != 0:
        raise LayoutError(
            f"{path}: labels must be names with their values, such as "
            f'{{"background": 0, "lesion": 1}}, found {labels!r}.'
        )
    if "ignore" in labels:
        raise LayoutError(
            f"{path}: the label 'ignore' ({labels['ignore']}) is not supported: every pixel must "
            "be lesion or background. Draw the ignored pixels, or leave those cases out."
        )
    values: set[Any] = set()
    for value in labels.values():
        values.update(value if isinstance(value, list) else [value])
    if not all(type(value) is int and value >= 0 for value in values):
        raise LayoutError(f"{path}: label values must be integers of 0 or more, found {labels!r}.")
    if values == {0}:
        raise LayoutError(f"{path}: labels must name a lesion beside the background, found none.")
    return tuple(sorted(values - {0}))


def _modality(document: dict[str, Any]) -> str | None:
    """Return what the one channel holds; "CT", in any case, means HU, as nnU-Net has it."""
    channels = document.get("channel_names")
    if not isinstance(channels, dict) or len(channels) != 1:
        return None
    name = str(next(iter(channels.values())))
    return "CT" if name.casefold() == "ct" else name


def _files(folder: Path, ending: str, on_fault: OnFault) -> list[Path]:
    pictures = []
    for path in scans_in(folder):
        if path.name.endswith(ending):
            pictures.append(path)
            continue
        error = LayoutError(
            f"{path}: expected a picture with the file_ending {ending} of {_DESCRIPTION}. "
            "Convert it or remove it."
        )
        on_fault(Fault("file-name", path, error))
    if not pictures:
        raise LayoutError(f"{folder}: expected pictures that end in {ending}, found none.")
    return pictures


def _images(paths: list[Path], ending: str, on_fault: OnFault) -> Iterator[tuple[str, Path]]:
    """Yield the images with their case names; past a fault, only those with a right name."""
    for path in paths:
        match = _CHANNEL.fullmatch(path.name.removesuffix(ending))
        if match is not None and f"_{match['channel']}" == _FIRST_CHANNEL:
            yield match["case"], path
        elif match is None:
            name = path.name.removesuffix(ending)
            error = LayoutError(
                f"{path}: expected a name such as {name}{_FIRST_CHANNEL}{ending}. "
                "Rename it: case name, four digits of the channel, ending."
            )
            on_fault(Fault("file-name", path, error))
        else:
            error = LayoutError(
                f"{path}: expected one file per case (channel {_FIRST_CHANNEL}), found channel "
                f"_{match['channel']}. Images of several channels are not read: keep one."
            )
            on_fault(Fault("file-name", path, error))


def _notes(root: Path, path: Path, document: dict[str, Any]) -> tuple[str, ...]:
    notes = []
    channels = document.get("channel_names", {})
    if len(channels) not in (1, _COLOURS):
        raise LayoutError(
            f"{path}: channel_names must name one channel, or red, green and blue of one file, "
            f"found {channels!r}."
        )
    if len(channels) == _COLOURS:
        notes.append("Colour images are read as luminance.")
    if (root / "imagesTs").is_dir():
        notes.append("imagesTs/ is no part of the data set: predict it by its own folder.")
    return tuple(notes)
