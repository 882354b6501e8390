"""What every reader of a model's results must know, as a text file of the run folder."""

from pathlib import Path

from breastseg.core.errors import RunFolderError
from breastseg.io.atomic import write_text

NOTICE_NAME = "notice.txt"

SIMULATED = "Trained on simulated lesions; never validated on patients' cancers."
"""The notice of a model that has seen no real lesion."""


def read_notice(folder: Path) -> str | None:
    """Return the notice of a run folder, in one line; None where there is none.

    Raises:
        RunFolderError: the file cannot be read as text.
    """
    path = folder / NOTICE_NAME
    if not path.is_file():
        return None
    try:
        return " ".join(path.read_text(encoding="utf-8").split()) or None
    except (OSError, UnicodeDecodeError):
        raise RunFolderError(
            f"{path}: expected a text in UTF-8, which cannot be read. Write the notice anew."
        ) from None


def save_notice(folder: Path, notice: str | None) -> None:
    """Note what every reader must know of a run; nothing where there is nothing.

    Raises:
        OutputError: the file cannot be written.
    """
    if notice and notice.strip():
        write_text(folder / NOTICE_NAME, " ".join(notice.split()) + "\n")
