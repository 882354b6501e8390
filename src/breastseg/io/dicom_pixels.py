"""Decoding the stored values of DICOM frames."""

from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Shaped
from pydicom import Dataset, dcmread
from pydicom.pixels.utils import get_expected_length, pixel_array
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    JPEGExtended12Bit,
)

from breastseg.core.scan_faults import ScanError, ScanFault
from breastseg.io.pydicom_silence import pydicom_silenced

Stored = Shaped[np.ndarray, "rows columns *samples"]


def decode_frame(path: Path, index: int, transfer_syntax: str, *, raw: bool = True) -> Stored:
    """Return the stored values of one frame, in the type of the file.

    Args:
        raw: leave YBR as it is stored; else it becomes RGB.

    Raises:
        ScanError: no-pixels, truncated-pixels, undecodable-pixels, transfer-syntax.
    """
    try:
        with pydicom_silenced():
            return _decode(path, index, transfer_syntax, raw)
    # A malformed file can make a decoder raise nearly anything.
    except Exception as error:
        raise _refusal(path, error, transfer_syntax) from None


def _decode(path: Path, index: int, transfer_syntax: str, raw: bool) -> Stored:
    source: Any = path
    if transfer_syntax == DeflatedExplicitVRLittleEndian:
        # pydicom seeks the pixels in the file, which here begin to exist once it is inflated.
        source = dcmread(path)
    try:
        pixels: Stored = pixel_array(source, index=index, raw=raw)
    except RuntimeError:
        if transfer_syntax != JPEGExtended12Bit:
            raise
        pixels = _decode_extended_jpeg(path, index)
    return pixels


def _decode_extended_jpeg(path: Path, index: int) -> Stored:
    """Decode 12-bit lossy JPEG, which GDCM can do from the file and pydicom does not ask it to."""
    import gdcm

    reader = gdcm.ImageReader()
    reader.SetFileName(str(path))
    if not reader.Read():
        raise RuntimeError("GDCM cannot read the file")
    image = reader.GetImage()
    columns, rows = image.GetDimension(0), image.GetDimension(1)
    # GDCM hands its bytes over as text.
    data = image.GetBuffer().encode("utf-8", "surrogateescape")
    frames: Stored = np.frombuffer(data, np.uint16).reshape(-1, rows, columns)
    return np.asarray(frames[index])


def transfer_syntax_of(header: Dataset) -> str:
    """Return the UID of how a file is encoded; empty where it does not say."""
    return str(header.file_meta.get("TransferSyntaxUID", "")) if header.file_meta else ""


def _refusal(path: Path, error: Exception, transfer_syntax: str) -> ScanError:
    if isinstance(error, NotImplementedError):
        found = f"expected a compression that is read, found transfer syntax {transfer_syntax}"
        return ScanError(ScanFault.TRANSFER_SYNTAX, path, found)
    fault = _why(path)
    found = f"{fault.meaning} ({type(error).__name__})"
    return ScanError(fault, path, found)


@pydicom_silenced()
def _why(path: Path) -> ScanFault:
    """Look again at a file whose pixels could not be decoded."""
    try:
        return _fault_of(dcmread(path, force=True))
    # A malformed file can make the parser raise nearly anything.
    except Exception:
        return ScanFault.DAMAGED_FILE


def _fault_of(dataset: Dataset) -> ScanFault:
    if "PixelData" not in dataset:
        # pydicom gives up all of a file whose compressed data ends before its delimiter.
        return ScanFault.NO_PIXELS if "Rows" in dataset else ScanFault.TRUNCATED_PIXELS
    uid = UID(transfer_syntax_of(dataset))
    if not uid.is_transfer_syntax:
        return ScanFault.TRANSFER_SYNTAX
    if not uid.is_compressed and len(dataset.PixelData) < get_expected_length(dataset):
        return ScanFault.TRUNCATED_PIXELS
    return ScanFault.UNDECODABLE_PIXELS
