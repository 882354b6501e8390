"""Prepared volumes on disk, read by memory mapping: training holds none of them in memory.

    FOLDER/KEY/ hu.npy  target.npy  inside.npy  region_places.npy  lesion_places.npy  facts.json

The key is a hash of image, masks and preparation, and no name of a case is written. A folder
appears by rename when it is whole.
"""

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np

from breastseg.core.errors import OutputError
from breastseg.core.network_recipe import UNLABELLED
from breastseg.core.volume_recipe import VolumePreprocessing
from breastseg.io.atomic import make_folder, write_json
from breastseg.pipeline.volume_preparation import NUM_LESION_PLACES, NUM_PLACES, VolumeArrays

FORMAT = 2
"""Raised when the preparation changes: what was prepared before is then not used."""

_ARRAYS = ("hu", "target", "inside", "region_places", "lesion_places")
_PREPARATION = ("spacing_mm", "window_hu", "region", "margin_mm", "patch")


@dataclass(frozen=True, slots=True, kw_only=True)
class PreparedVolume:
    """A prepared volume by its folder; a PreparedImage. Arrays are opened when they are read."""

    folder: Path
    shape: tuple[int, int, int]
    lesion_size: int
    num_lesions: int
    is_flat: bool
    image_digest: bytes
    target_digest: bytes
    notes: tuple[str, ...]
    is_finite: bool = True

    @property
    def label(self) -> int:
        """See PreparedImage: a volume has no class."""
        return UNLABELLED

    @classmethod
    def open(cls, folder: Path) -> Self | None:
        """Open what save_volume wrote; None where there is nothing whole."""
        try:
            facts = json.loads((folder / "facts.json").read_text(encoding="utf-8"))
            volume = cls(
                folder=folder,
                shape=(facts["shape"][0], facts["shape"][1], facts["shape"][2]),
                lesion_size=facts["lesion_size"],
                num_lesions=facts["num_lesions"],
                is_flat=facts["is_flat"],
                image_digest=bytes.fromhex(facts["image_digest"]),
                target_digest=bytes.fromhex(facts["target_digest"]),
                notes=tuple(facts["notes"]),
            )
            whole = all(volume.array(name).shape == volume.shape for name in _ARRAYS[:3])
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return volume if whole else None

    def array(self, name: str) -> np.ndarray:
        """View an array of VolumeArrays on disk."""
        array: np.ndarray = np.load(self.folder / f"{name}.npy", mmap_mode="r")
        return array


def volume_key(digests: Iterable[str], preprocessing: VolumePreprocessing) -> str:
    """Name what a volume becomes: hex digits that differ whenever it would differ.

    Args:
        digests: SHA-256 of the image and of each of its masks.
        preprocessing: all but how values are shifted and scaled.
    """
    told = preprocessing.model_dump(mode="json", include=set(_PREPARATION))
    document = [FORMAT, NUM_PLACES, NUM_LESION_PLACES, told, *digests]
    return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()[:32]


def save_volume(arrays: VolumeArrays, folder: Path) -> PreparedVolume:
    """Write a prepared volume as one.

    Raises:
        OutputError: it cannot be written, or read again.
    """
    make_folder(folder.parent)
    try:
        # Readable by the user alone: these are pictures of patients.
        new = Path(tempfile.mkdtemp(prefix=".new-", dir=folder.parent))
        try:
            for name in _ARRAYS:
                np.save(new / f"{name}.npy", getattr(arrays, name))
            write_json(new / "facts.json", _facts(arrays))
            shutil.rmtree(folder, ignore_errors=True)
            os.replace(new, folder)  # noqa: PTH105 - a folder, renamed as one
        finally:
            shutil.rmtree(new, ignore_errors=True)
    except OSError as error:
        if not (folder / "facts.json").is_file():  # else another training was faster
            raise OutputError(
                f"{folder}: the prepared volume cannot be written ({error.strerror or error}). "
                "Free some space, or set BREASTSEG_CACHE to another folder."
            ) from None
    volume = PreparedVolume.open(folder)
    if volume is None:
        raise OutputError(
            f"{folder}: expected the prepared volume that was just written, but it is damaged. "
            "Check the disk, or set BREASTSEG_CACHE to another folder."
        )
    return volume


def _facts(arrays: VolumeArrays) -> dict[str, Any]:
    return {
        "shape": arrays.hu.shape,
        "lesion_size": int(np.count_nonzero(arrays.target)),
        "num_lesions": len(np.unique(arrays.lesion_places[:, 3])),
        "is_flat": bool(np.ptp(arrays.hu) == 0),
        "image_digest": hashlib.sha256(arrays.hu.tobytes()).hexdigest(),
        "target_digest": hashlib.sha256(arrays.target.tobytes()).hexdigest(),
        "notes": list(arrays.notes),
    }
