"""What kind of scan a file is, by its name or first bytes; nothing is imported for it."""

from pathlib import Path

NIFTI_SUFFIXES = (".nii", ".nii.gz")

_DICOM_SUFFIXES = (".dcm", ".dicom", ".ima")
_PREAMBLE = 128


def is_nifti(path: Path) -> bool:
    """Whether the name is that of a NIfTI volume; hidden files are not."""
    return path.name.lower().endswith(NIFTI_SUFFIXES) and not path.name.startswith(".")


def is_dicom(path: Path) -> bool:
    """Whether a file is meant as DICOM, by its first bytes, or by its ending where it is damaged.

    A file of zeros alone, or without any byte, may have been one if its name has no ending, or one
    of digits as in a UID: it counts, and is refused when it is read, so that a slice is not lost
    in silence.

    Source: DICOM PS3.10, section 7.1; files without a preamble begin with group 0008.
    """
    try:
        with path.open("rb") as file:
            start = file.read(_PREAMBLE + 6)
    except OSError:
        return False
    magic, group = start[_PREAMBLE : _PREAMBLE + 4], start[_PREAMBLE + 4 :]
    if magic == b"DICM" or group == b"\x02\0":
        return True
    if start.startswith(b"\x08\0") and start[3:4] == b"\0":
        return True
    nameless = not path.suffix or path.suffix[1:].isdigit()
    return path.suffix.lower() in _DICOM_SUFFIXES or (nameless and not start.strip(b"\0"))
