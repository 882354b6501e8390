"""NIfTI-1 volumes (.nii, .nii.gz); the only place where RAS becomes LPS and back.

Source: the NIfTI-1 standard, nifti.nimh.nih.gov/pub/dist/src/niftilib/nifti1.h.
"""

import gzip
import io
import logging
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
from jaxtyping import Float64, Shaped
from nibabel.filebasedimages import ImageFileError as NibabelFileError
from nibabel.spatialimages import HeaderDataError

from breastseg.core.errors import GeometryError
from breastseg.core.image import Image
from breastseg.core.orientation import SHEAR_TOLERANCE, Affine, farthest_mm
from breastseg.core.scan_faults import ScanError, ScanFault
from breastseg.io.atomic import write_bytes
from breastseg.io.file_kinds import is_nifti

# Index (i, j, k) runs fastest along i: our (slice, row, column) is (k, j, i).
_RAS_TO_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
_HEADER_SIZE, _PIXDIM_OFFSET = 348, 80
# How far apart, in mm, sform and qform may place a corner of the volume: float32 and rounding.
_FORM_TOLERANCE_MM = 0.1
# Of the length of a voxel's side in pixdim and in the affine.
_SPACING_TOLERANCE = 1e-3
# Of zlib: 9 takes several times as long, for a few per cent.
_COMPRESSION = 6
_MILLIMETRES = {"mm": 1.0, "micron": 1e-3, "meter": 1e3, "unknown": 1.0}

Spacing = Float64[np.ndarray, " 3"]

# nibabel has no types.
_NIFTI: Any = nibabel.Nifti1Image

# nibabel reports what it finds odd in a header to its log; it is checked here instead.
logging.getLogger("nibabel.global").addHandler(logging.NullHandler())
logging.getLogger("nibabel.global").propagate = False


def read_nifti(path: Path) -> Image:
    """Read a volume on its own grid.

    Slope and intercept are applied; the affine maps (slice, row, column) to LPS. Volumes
    keep their orientation, oblique ones too: nothing is resampled or flipped.

    Raises:
        ScanError: not-nifti, damaged-file, truncated-pixels, dimensions, no-spacing, no-affine,
            ambiguous-affine, not-finite.
    """
    volume, spacing = _open(path)
    affine = _affine(path, volume, spacing)
    values = _values(path, volume)
    if not np.isfinite(values).all():
        raise ScanError(ScanFault.NOT_FINITE, path, "expected finite voxels, found NaN or infinity")
    # Contiguous along rows, as every other reader returns it.
    return Image(pixels=np.ascontiguousarray(values.T), affine=affine)


def write_nifti(path: Path, image: Image, *, dtype: type[np.generic] = np.float32) -> None:
    """Write a volume whole or not at all, with sform and qform alike, in mm.

    The same values give the same bytes. A grid that is straight to within core.orientation's
    tolerance, but not straight enough for a qform, has an sform alone.

    Args:
        path: ends in .nii or .nii.gz.
        image: with an affine.
        dtype: of the file; the values must fit it without a slope, such as np.int16 for HU.

    Raises:
        GeometryError: the image has no affine, a sheared one (which a qform cannot hold, and
            other programs refuse), or values that the type cannot hold.
        OutputError: the file cannot be written.
    """
    if image.affine is None:
        raise GeometryError(f"{path}: a NIfTI volume needs an affine, and the image has none.")
    stored = image.pixels.astype(dtype, copy=False)
    if not np.array_equal(stored.astype(image.pixels.dtype), image.pixels):
        raise GeometryError(
            f"{path}: the values do not fit {np.dtype(dtype).name} exactly. Write float32."
        )
    write_stored(path, stored, image.affine)


def write_stored(path: Path, stored: np.ndarray, affine: Affine) -> None:
    """Write values in the type that they have; see write_nifti.

    Args:
        stored: axes (slice, row, column).
        affine: of these, to LPS.

    Raises:
        GeometryError: the affine is sheared.
        OutputError: the file cannot be written.
    """
    _check_square(path, affine)
    ras = _to_ras(affine)
    volume = _NIFTI(stored.T, ras)
    volume.header.set_xyzt_units("mm")
    volume.set_sform(ras, code="scanner")
    volume.set_qform(ras, code="scanner")
    if farthest_mm(volume.get_qform(), ras, stored.T.shape) > _FORM_TOLERANCE_MM:
        volume.set_qform(ras, code="unknown")
    data = volume.to_bytes()
    write_bytes(path, gzip.compress(data, _COMPRESSION, mtime=0) if path.suffix == ".gz" else data)


def read_stored(path: Path) -> tuple[np.ndarray, Affine]:
    """Read the values of a file in its own type and order of axes, and its affine to RAS.

    For what is no volume of a patient, such as a mask of a picture: no form is checked.

    Raises:
        ScanError: not-nifti, damaged-file, truncated-pixels.
    """
    volume, _ = _open(path)
    with _reading_voxels(path):
        return np.asanyarray(volume.dataobj), np.asarray(volume.affine, np.float64)


def _open(path: Path) -> tuple[Any, Spacing]:
    """Return the volume, and pixdim as stored: nibabel makes the best of a wrong one."""
    if not path.is_file() or not is_nifti(path):
        found = "expected a .nii or .nii.gz file, but there is no such file"
        raise ScanError(ScanFault.NOT_NIFTI, path, found)
    try:
        data = path.read_bytes()
        if data[:2] == b"\x1f\x8b":
            data = gzip.decompress(data)
        return _NIFTI.from_stream(io.BytesIO(data)), _pixdim(data)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        found = f"the compressed file ends early or is damaged ({type(error).__name__})"
        raise ScanError(ScanFault.DAMAGED_FILE, path, found) from None
    except (NibabelFileError, HeaderDataError) as error:
        found = f"the header is not that of a NIfTI-1 file ({type(error).__name__})"
        raise ScanError(ScanFault.NOT_NIFTI, path, found) from None
    # A malformed header can make the parser raise nearly anything.
    except Exception as error:
        found = f"the file cannot be parsed ({type(error).__name__})"
        raise ScanError(ScanFault.DAMAGED_FILE, path, found) from None


def _pixdim(data: bytes) -> Spacing:
    order = "<" if data[:4] == _HEADER_SIZE.to_bytes(4, "little") else ">"
    return np.frombuffer(data, f"{order}f4", count=3, offset=_PIXDIM_OFFSET).astype(np.float64)


def _values(path: Path, volume: Any) -> Shaped[np.ndarray, "columns rows slices"]:
    with _reading_voxels(path):
        values = volume.get_fdata(dtype=np.float32, caching="unchanged")
    return np.asarray(values).reshape(_shape(path, volume))


@contextmanager
def _reading_voxels(path: Path) -> Iterator[None]:
    try:
        yield
    # What a short or malformed file makes NumPy raise depends on where it ends.
    except Exception as error:
        found = f"the voxels cannot be read to their end ({type(error).__name__})"
        raise ScanError(ScanFault.TRUNCATED_PIXELS, path, found) from None


def _shape(path: Path, volume: Any) -> tuple[int, int, int]:
    """Return (columns, rows, slices); further dimensions of length 1 are dropped."""
    shape = (*volume.shape, 1, 1)[: max(3, len(volume.shape))]
    if len(volume.shape) < 2 or min(shape, default=0) < 1 or any(n > 1 for n in shape[3:]):
        found = f"expected one volume of (columns, rows, slices), found {volume.shape}"
        raise ScanError(ScanFault.DIMENSIONS, path, found)
    if volume.get_data_dtype().fields is not None or volume.get_data_dtype().kind not in "iuf":
        found = f"expected one real number at each voxel, found {volume.get_data_dtype()}"
        raise ScanError(ScanFault.DIMENSIONS, path, found)
    return int(shape[0]), int(shape[1]), int(shape[2])


def _affine(path: Path, volume: Any, spacing: Spacing) -> Affine:
    """Return the affine that the file states, in LPS and our order of the indices."""
    shape = _shape(path, volume)
    if len(volume.shape) == 2:
        spacing = np.array([*spacing[:2], spacing[2] or 1.0])
    if not np.isfinite(spacing).all() or (spacing <= 0).any():
        found = f"expected three pixdim above 0, found {spacing.tolist()}"
        raise ScanError(ScanFault.NO_SPACING, path, found)
    forms = [_form(path, volume, name) for name in ("sform", "qform")]
    stated = [form for form in forms if form is not None]
    if not stated:
        raise ScanError(ScanFault.NO_AFFINE, path, "expected an sform or a qform, found none")
    _check_forms(path, stated, spacing, shape)
    scale = _MILLIMETRES.get(volume.header.get_xyzt_units()[0], 1.0)
    return _to_lps(np.diag([scale, scale, scale, 1.0]) @ stated[0])


def _form(path: Path, volume: Any, name: str) -> Affine | None:
    """Return sform or qform, or None where its code is 0."""
    try:
        form, code = getattr(volume, f"get_{name}")(coded=True)
    except (HeaderDataError, ValueError) as error:
        found = f"the {name} is no rotation ({type(error).__name__})"
        raise ScanError(ScanFault.NO_AFFINE, path, found) from None
    if not code or form is None:
        return None
    if not np.isfinite(form).all() or abs(np.linalg.det(form[:3, :3])) < 1e-9:
        raise ScanError(ScanFault.NO_AFFINE, path, f"the {name} is not invertible")
    return np.asarray(form, np.float64)


def _check_forms(
    path: Path,
    forms: list[Affine],
    spacing: Spacing,
    shape: tuple[int, int, int],
) -> None:
    lengths = np.linalg.norm(forms[0][:3, :3], axis=0)
    if not np.allclose(lengths, spacing, rtol=_SPACING_TOLERANCE, atol=0):
        found = f"expected pixdim {spacing.tolist()} as in the affine, found {lengths.tolist()}"
        raise ScanError(ScanFault.AMBIGUOUS_AFFINE, path, found)
    if len(forms) < 2:
        return
    apart = farthest_mm(forms[0], forms[1], shape)
    if apart > _FORM_TOLERANCE_MM:
        found = f"expected sform and qform to agree, found corners {apart:.3g} mm apart"
        raise ScanError(ScanFault.AMBIGUOUS_AFFINE, path, found)


def _check_square(path: Path, affine: Affine) -> None:
    directions = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    if not np.allclose(directions.T @ directions, np.eye(3), atol=SHEAR_TOLERANCE):
        raise GeometryError(
            f"{path}: the grid is sheared, as by a tilted gantry, which a qform cannot hold. "
            "Resample the tilt first."
        )


def _to_lps(ras: Affine) -> Affine:
    """Return the affine of (slice, row, column) to LPS from that of (i, j, k) to RAS."""
    return np.asarray((_RAS_TO_LPS @ ras)[:, [2, 1, 0, 3]])


def _to_ras(lps: Affine) -> Affine:
    return np.asarray(_RAS_TO_LPS @ lps[:, [2, 1, 0, 3]])
