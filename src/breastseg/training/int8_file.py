"""An 8-bit network in a model folder: int8.xml, int8.bin, and in int8.json what it costs."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from breastseg.core.errors import InputError, RunFolderError, WeightsError
from breastseg.inference.int8 import Int8Network
from breastseg.inference.runtime import Precision
from breastseg.io.atomic import write_bytes, write_json

INT8_NAME = "int8.json"
INT8_NETWORK_NAMES = ("int8.xml", "int8.bin")
_VERSION = 1


def is_int8(folder: Path) -> bool:
    """Whether a folder holds an 8-bit network in place of float weights."""
    return (folder / INT8_NAME).is_file()


def chosen_precision(folder: Path, asked: Precision | None) -> Precision:
    """Return what a run or a model predicts in; int8 of a model in 8 bits, and of nothing else.

    Args:
        asked: None takes int8 or float32, whichever it has.

    Raises:
        InputError: it has no weights for what is asked.
    """
    if is_int8(folder):
        if asked not in (None, "int8"):
            raise InputError(
                f"{folder}: this is a model in 8 bits, without weights for precision {asked}. "
                "Leave the precision out, or give the run that it was made from."
            )
        return "int8"
    if asked == "int8":
        raise InputError(
            f"{folder}: precision int8 needs a model in 8 bits, and these are float weights. Make "
            "one with `breastseg export RUN --int8 --output MODEL`, which says what it costs."
        )
    return asked or "float32"


def save_int8(folder: Path, network: Int8Network, figures: Mapping[str, Any]) -> None:
    """Write an 8-bit network with its figures and checksums into a model folder.

    Raises:
        OutputError: it cannot be written.
    """
    sums = {}
    for name, data in zip(INT8_NETWORK_NAMES, (network.model, network.weights), strict=True):
        write_bytes(folder / name, data)
        sums[name] = hashlib.sha256(data).hexdigest()
    write_json(folder / INT8_NAME, {"schema_version": _VERSION, **figures, "sha256": sums})


def read_int8(folder: Path) -> Int8Network:
    """Read the 8-bit network of a model folder.

    Raises:
        RunFolderError: int8.json is damaged or of another version.
        WeightsError: the network is missing or damaged.
    """
    sums = _document(folder)["sha256"]
    found = []
    for name in INT8_NETWORK_NAMES:
        path = folder / name
        data = path.read_bytes() if path.is_file() else b""
        if hashlib.sha256(data).hexdigest() != sums.get(name):
            raise WeightsError(
                f"{path}: expected the file that `breastseg export --int8` wrote, but it is "
                f"{'damaged' if data else 'missing'}. Copy the model again."
            )
        found.append(data)
    return Int8Network(*found)


def read_int8_figures(folder: Path) -> dict[str, Any]:
    """Read what the 8-bit network of a model folder was found to cost and to gain.

    Raises:
        RunFolderError: int8.json is damaged or of another version.
    """
    document = _document(folder)
    return {name: value for name, value in document.items() if name not in _OF_THE_FILE}


def int8_in_words(figures: Mapping[str, Any]) -> dict[str, str]:
    """Return the figures of read_int8_figures as lines to show."""
    found, speed = figures["validation"], figures["speed"]
    milliseconds, (rows, columns) = speed["milliseconds"], speed["size"]
    others = ", ".join(
        f"in {name} {each:.1f} ms" for name, each in milliseconds.items() if name != "int8"
    )
    lines = {
        "dice": f"{found['dice_int8']:.4f}, in float32 {found['dice_float32']:.4f}: mean of the "
        f"{found['num_lesion_images']} validation images with a lesion; the largest fall of one "
        f"is {found['largest_fall']:.3f}",
        "lesion_free": f"{found['findings_int8']} findings, in float32 "
        f"{found['findings_float32']}, in {found['num_lesion_free_images']} validation images",
        "size": f"{figures['bytes_int8'] / 1e6:.1f} MB, in float32 "
        f"{figures['bytes_float32'] / 1e6:.1f} MB",
        "one_image": f"{milliseconds['int8']:.1f} ms, {others}: {rows}x{columns}, "
        f"{speed['threads']} threads, median of {speed['repeats']}",
    }
    if found["num_same_class"] is not None:
        total = found["num_lesion_images"] + found["num_lesion_free_images"]
        lines["class"] = f"the same for {found['num_same_class']} of {total} images"
    if figures.get("asymmetric"):
        lines["ranges"] = "asymmetric"
    if figures["kept_in_float"]:
        lines["kept_in_float"] = ", ".join(figures["kept_in_float"])
    return lines


_OF_THE_FILE = ("schema_version", "sha256")


def _document(folder: Path) -> dict[str, Any]:
    path = folder / INT8_NAME
    try:
        document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        if document["schema_version"] != _VERSION:
            raise ValueError(f"its version is {document['schema_version']}, not {_VERSION}")
        if not isinstance(document["sha256"], dict):
            raise TypeError("it has no checksums")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RunFolderError(
            f"{path}: expected what `breastseg export --int8` wrote, but it cannot be used "
            f"({error!r}). Copy the model again."
        ) from None
    return document
