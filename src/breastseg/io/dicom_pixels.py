"""Decoding the stored values of DICOM frames."""

import warnings
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Shaped
from pydicom import Dataset, dcmread
from pydicom.pixels.utils import pixel_array
from pydicom.uid import DeflatedExplicitVRLittleEndian

from breastseg.core.scan_faults import ScanError, ScanFault

Stored = Shaped[np.ndarray, "rows columns *samples"]


def decode_frame(path: Path, index: int, transfer_syntax: str) -> Stored:
    """Return the stored values of one frame, in the type of the file.

    Raises:
        ScanError: no-pixels, truncated-pixels, undecodable-pixels, transfer-syntax.
    """
    source: Any = path
    try:
        with warnings.catch_warnings():
            # Values that break the standard are checked where they are used.
            warnings.simplefilter("ignore")
            if transfer_syntax == DeflatedExplicitVRLittleEndian:
                source = dcmread(path)
            pixels: Stored = pixel_array(source, index=index, raw=True)
    except Exception as error:
        raise _refusal(path, error, transfer_syntax) from None
    return pixels


def transfer_syntax_of(header: Dataset) -> str:
    """Return the UID of how a file is encoded; empty where it does not say."""
    return (
        str(header.file_meta.get("TransferSyntaxUID", "")) if hasattr(header, "file_meta") else ""
    )


def _refusal(path: Path, error: Exception, transfer_syntax: str) -> ScanError:
    if isinstance(error, NotImplementedError):
        found = f"expected a known compression, found transfer syntax {transfer_syntax}"
        return ScanError(ScanFault.TRANSFER_SYNTAX, path, found)
    found = f"the pixel data cannot be decoded ({type(error).__name__})"
    return ScanError(ScanFault.UNDECODABLE_PIXELS, path, found)
