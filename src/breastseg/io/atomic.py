"""Writing that is whole or not at all: a file has its final name only when it is complete."""

import contextlib
import json
import os
from pathlib import Path
from typing import Any

from breastseg.core.errors import OutputError


def make_folder(path: Path) -> None:
    """Create a folder and its parents.

    Raises:
        OutputError: it cannot be created.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(_cannot_write(path, error)) from None


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file by a temporary file beside it, fsync and rename; several threads may.

    Raises:
        OutputError: disk full, folder missing or not writable; what was there is untouched.
    """
    # Not tempfile: its files are for their owner alone, and the umask, which would say who else
    # may read them, cannot be asked for without being changed for all threads.
    temporary = path.with_name(f".{path.name[:100]}.{os.urandom(8).hex()}")
    try:
        with temporary.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        remove_file(temporary)
        raise OutputError(_cannot_write(path, error)) from None
    except BaseException:
        remove_file(temporary)
        raise


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text; see write_bytes."""
    write_bytes(path, text.encode("utf-8"))


def write_json(path: Path, document: Any) -> None:
    """Write indented JSON without NaN or infinity; see write_bytes."""
    write_text(path, json.dumps(document, indent=2, allow_nan=False, ensure_ascii=False) + "\n")


def remove_file(path: Path) -> None:
    """Remove a file where there is one that may be removed; its folder may be missing."""
    with contextlib.suppress(OSError):
        path.unlink(missing_ok=True)


def _cannot_write(path: Path, error: OSError) -> str:
    return (
        f"{path}: cannot be written ({error.strerror or error}). Free some space or choose "
        "another --output; what was there before is untouched."
    )
