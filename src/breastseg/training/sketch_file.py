"""sketches.npz of a run folder: what the images that a run knows are known again by."""

import io
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from breastseg.core.errors import RunFolderError
from breastseg.datasets.sketches import Sketches
from breastseg.io.atomic import write_bytes

SKETCHES_NAME = "sketches.npz"
SKETCH_FORMAT = 1


@dataclass(frozen=True, slots=True)
class KnownPictures:
    """Pictures in one order. case_ids: in the run."""

    case_ids: tuple[str, ...]
    sketches: Sketches

    def __len__(self) -> int:
        return len(self.case_ids)

    def only(self, case_ids: Sequence[str]) -> "KnownPictures":
        """Return those of the given cases, in their order; cases without a sketch are left out."""
        places = {case_id: place for place, case_id in enumerate(self.case_ids)}
        kept = tuple(case_id for case_id in case_ids if case_id in places)
        return KnownPictures(kept, self.sketches[[places[case_id] for case_id in kept]])


def save_sketches(path: Path, content: Mapping[str, str], sketches: Sketches) -> None:
    """Write sketches.npz into a run folder.

    Args:
        content: SHA-256 of each image file by case id, in the order of the sketches.

    Raises:
        OutputError: it cannot be written.
    """
    digests = np.array([list(bytes.fromhex(each)) for each in content.values()], np.uint8)
    file = io.BytesIO()
    np.savez_compressed(file, format=SKETCH_FORMAT, sha256=digests, sketches=sketches)
    write_bytes(path / SKETCHES_NAME, file.getvalue())


def read_sketches(path: Path, content: Mapping[str, str]) -> KnownPictures | None:
    """Read sketches.npz of a run folder; None where there is none.

    Older versions wrote none, and whoever hands a run on may take it out.

    Args:
        content: SHA-256 of each image file by case id.

    Raises:
        RunFolderError: it is damaged, of another version or of another run.
    """
    file = path / SKETCHES_NAME
    if not file.is_file():
        return None
    try:
        with np.load(io.BytesIO(file.read_bytes()), allow_pickle=False) as arrays:
            if int(arrays["format"]) != SKETCH_FORMAT:
                raise ValueError(f"its format is {arrays['format']}, not {SKETCH_FORMAT}")
            digests, sketches = arrays["sha256"], arrays["sketches"]
        if sketches.dtype != np.int8 or sketches.shape != (len(content), 16, 16):
            raise ValueError(f"{len(content)} sketches expected, got {sketches.shape}")
        if [bytes(each).hex() for each in digests] != list(content.values()):
            raise ValueError("they are of other images than groups.json names")
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise RunFolderError(
            f"{file}: expected the sketches that `breastseg train` wrote, but they cannot be used "
            f"({error}). Restore the file, or delete it: near duplicates of training images are "
            "then not looked for, and the scorecard says so."
        ) from None
    return KnownPictures(tuple(content), sketches)
