"""Weights as files: safetensors under canonical names, the same for every backend."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import safetensors
import safetensors.numpy
from jaxtyping import Float32

from breastseg.core.errors import WeightsError
from breastseg.io.atomic import write_bytes

Array = Float32[np.ndarray, "..."]


def save_weights(path: Path, weights: Mapping[str, Array], *, half: bool = False) -> str:
    """Write named arrays atomically.

    Args:
        half: in float16, a file of half the size: each number keeps 11 bits, a relative error
            of at most 0.0005.

    Returns:
        The SHA-256 of the file, in hex.

    Raises:
        WeightsError: a number is too large for float16.
        OutputError: the file cannot be written; the one before stays.
    """
    if half:
        _check_range(path, weights)
    arrays = {
        name: np.ascontiguousarray(array, dtype=np.float16 if half else None)
        for name, array in sorted(weights.items())
    }
    data = safetensors.numpy.save(arrays)
    write_bytes(path, data)
    return hashlib.sha256(data).hexdigest()


def _check_range(path: Path, weights: Mapping[str, Array]) -> None:
    most = np.finfo(np.float16).max
    for name, array in weights.items():
        if (largest := np.abs(array).max(initial=0)) > most:
            raise WeightsError(
                f"{path}: half floats hold numbers up to {most:.0f}, but '{name}' has one of "
                f"{largest:.0f}. Write the weights in float32."
            )


def read_weights(path: Path, *, sha256: str | None = None) -> dict[str, Array]:
    """Read named arrays; nothing in such a file can run as code. Half floats become float32.

    Args:
        path: a safetensors file.
        sha256: what the file must hash to, where that was noted.

    Raises:
        WeightsError: missing, damaged or not the file that was saved.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise WeightsError(f"{path}: the weights cannot be read ({error.strerror}).") from None
    if sha256 is not None and hashlib.sha256(data).hexdigest() != sha256:
        raise WeightsError(
            f"{path}: the checksum must be {sha256[:12]}..., but the file was changed or damaged "
            "after it was saved. Take it from a backup, or train again."
        )
    try:
        found = safetensors.numpy.load(data)
    except (safetensors.SafetensorError, ValueError, KeyError, json.JSONDecodeError) as error:
        raise WeightsError(f"{path}: expected a safetensors file, but {error}.") from None
    return {
        name: array.astype(np.float32) if array.dtype == np.float16 else array
        for name, array in found.items()
    }
