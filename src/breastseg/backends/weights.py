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


def save_weights(path: Path, weights: Mapping[str, Array]) -> str:
    """Write named arrays atomically.

    Returns:
        The SHA-256 of the file, in hex.

    Raises:
        OutputError: the file cannot be written; the one before stays.
    """
    arrays = {name: np.ascontiguousarray(array) for name, array in sorted(weights.items())}
    data = safetensors.numpy.save(arrays)
    write_bytes(path, data)
    return hashlib.sha256(data).hexdigest()


def read_weights(path: Path, *, sha256: str | None = None) -> dict[str, Array]:
    """Read named arrays; nothing in such a file can run as code.

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
        return safetensors.numpy.load(data)
    except (safetensors.SafetensorError, ValueError, KeyError, json.JSONDecodeError) as error:
        raise WeightsError(f"{path}: expected a safetensors file, but {error}.") from None
