"""calibration.json of a run folder: what was learnt on the calibration part."""

import json
from pathlib import Path

from breastseg.core.calibration import Calibration
from breastseg.core.errors import InputError, RunFolderError
from breastseg.io.atomic import write_json

CALIBRATION_NAME = "calibration.json"


def save_calibration(folder: Path, calibration: Calibration) -> None:
    """Write calibration.json into a run folder.

    Raises:
        OutputError: it cannot be written.
    """
    write_json(folder / CALIBRATION_NAME, calibration.to_document())


def read_calibration(folder: Path) -> Calibration:
    """Read calibration.json of a run folder; the defaults where there is none.

    Raises:
        RunFolderError: it is damaged or of another version.
    """
    path = folder / CALIBRATION_NAME
    if not path.is_file():
        return Calibration()
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(document, dict):
            raise TypeError(f"it holds a {type(document).__name__}")
        return Calibration.from_document(document, source=str(path))
    except InputError as error:
        raise RunFolderError(str(error)) from None
    except (OSError, ValueError, TypeError) as error:
        raise RunFolderError(
            f"{path}: expected what `breastseg train` learnt on the calibration part, but {error}. "
            "Take the file from a backup."
        ) from None
