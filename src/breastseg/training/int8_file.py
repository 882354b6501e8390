"""An 8-bit network in a model folder: int8.xml, int8.bin, and in int8.json what it costs."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from breastseg.core.errors import RunFolderError, WeightsError
from breastseg.inference.int8 import Int8Network
from breastseg.io.atomic import write_bytes, write_json

INT8_NAME = "int8.json"
INT8_NETWORK_NAMES = ("int8.xml", "int8.bin")
_VERSION = 1


def is_int8(folder: Path) -> bool:
    """Whether a folder holds an 8-bit network in place of float weights."""
    return (folder / INT8_NAME).is_file()


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
