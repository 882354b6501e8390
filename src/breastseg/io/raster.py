"""Reading and writing 2D pictures: PNG, JPEG, TIFF, BMP; grey, colour, palette; 8 and 16 bit."""

import hashlib
import io
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import cv2
import numpy as np
from jaxtyping import Bool, Float32, Float64, UInt8
from PIL import Image as Pillow
from PIL import ImageOps, UnidentifiedImageError

from breastseg.core.errors import ImageFileError, ReferenceMaskError
from breastseg.core.image import Image

SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp")

Luminance = Float32[np.ndarray, "rows columns"]
Grey = Float32[np.ndarray, "..."]
Mask = Bool[np.ndarray, "rows columns"]
Bytes = UInt8[np.ndarray, "rows columns"]
Colours = UInt8[np.ndarray, "rows columns 3"]
Read = TypeVar("Read")

# What Pillow raises for damaged files; TypeError for TIFF tags of a wrong type.
_PILLOW_ERRORS = (OSError, SyntaxError, ValueError, TypeError, Pillow.DecompressionBombError)

# The chroma from which a pixel is coloured for certain, and that of the fringe around it.
_COLOUR_CHROMA, _FRINGE_CHROMA = 48, 24
# What JPEG leaves of grey: this chroma, and this share of the brightest of red, green and blue. A
# tint whose brightest pixels count as coloured has more. Darker pixels do not tell it from grey.
_GREY_CHROMA, _GREY_SHARE, _LIT = 6, 0.06, 64

# Rec. ITU-R BT.601-7, section 2.5.1, as in Pillow's own conversion to grey.
_RED_GREEN_BLUE = np.array([0.299, 0.587, 0.114], np.float32)


def is_raster(path: Path) -> bool:
    """Whether the name is that of a picture that can be read here; hidden files are not."""
    return path.suffix.lower() in SUFFIXES and not path.name.startswith(".")


def read_luminance(path: Path) -> Luminance:
    """Read a picture as grey values in the unit of the file (8 bit: 0 to 255).

    Colour becomes luminance; transparency is laid over black; the orientation tag of a
    photograph is obeyed. 16-bit and float values are kept as they are.

    Raises:
        ImageFileError: missing, truncated, no picture, several pages, or not finite.
    """
    return _finite(path, _read(path, _to_grey))


def _finite(path: Path, grey: Luminance) -> Luminance:
    if not np.isfinite(grey).all():
        raise ImageFileError(f"{path}: grey values must be finite, found NaN or infinity.")
    return grey


def _read(path: Path, how: Callable[[Pillow.Image], Read]) -> Read:
    """Return what `how` makes of the picture in a file, its turn obeyed; errors of the readers."""
    try:
        with Pillow.open(path) as file:
            if getattr(file, "n_frames", 1) > 1:
                raise ImageFileError(
                    f"{path}: expected one picture, found {getattr(file, 'n_frames', 0)} pages. "
                    "Save each page as a file of its own."
                )
            return how(ImageOps.exif_transpose(file))
    except ImageFileError:
        raise
    except _PILLOW_ERRORS as error:
        raise ImageFileError(_unreadable(path, error)) from None


def read_grey_and_colours(path: Path) -> tuple[Luminance, Colours | None]:
    """Read a picture as read_luminance does, and its red, green and blue, 0 to 255, over black.

    Returns:
        Its grey values; its colours, or None where it is stored grey.

    Raises:
        ImageFileError: see read_luminance.
    """
    grey, colours = _read(path, lambda picture: (_to_grey(picture), _colours(picture)))
    return _finite(path, grey), colours


def _colours(picture: Pillow.Image) -> Colours | None:
    if picture.mode in ("1", "L", "LA", "La", "I", "F") or picture.mode.startswith("I;16"):
        return None
    if picture.mode == "RGB" and "transparency" not in picture.info:
        return np.asarray(picture)
    over = picture.convert("RGBA")
    black = Pillow.new("RGBA", over.size, (0, 0, 0, 255))
    return np.asarray(Pillow.alpha_composite(black, over).convert("RGB"))


def read_size(path: Path) -> tuple[int, int]:
    """Return (rows, columns) from a picture's header, as stored; the pixels are not read.

    Raises:
        ImageFileError: missing, or no picture.
    """
    try:
        with Pillow.open(path) as file:
            return file.height, file.width
    except _PILLOW_ERRORS as error:
        raise ImageFileError(_unreadable(path, error)) from None


def _to_grey(picture: Pillow.Image) -> Luminance:
    if picture.mode in ("1", "L", "I", "F") or picture.mode.startswith("I;16"):
        return np.asarray(picture.convert("L") if picture.mode == "1" else picture, np.float32)
    if picture.mode in ("LA", "PA", "RGBA", "La", "RGBa") or "transparency" in picture.info:
        coloured = np.asarray(picture.convert("RGBA"), np.float32)
        over_black = coloured[..., :3] * (coloured[..., 3:] / 255)
        return luminance(over_black)
    return luminance(np.asarray(picture.convert("RGB"), np.float32))


def luminance(colours: Float32[np.ndarray, "rows columns 3"]) -> Luminance:
    """Return the whole grey values of red, green and blue, in their unit."""
    return np.rint(colours @ _RED_GREEN_BLUE).astype(np.float32)


def drawn_over(colours: Colours) -> Mask | None:
    """Return where a grey picture is coloured: text, calipers, Doppler.

    None where nowhere, and where half of what is bright has a colour: that is a tint.

    >>> picture = np.full((4, 4, 3), 90, np.uint8)
    >>> picture[1, 2] = (255, 255, 0)
    >>> np.argwhere(drawn_over(picture)).tolist(), drawn_over(picture[2:])
    ([[1, 2]], None)
    """
    highest, chroma = highest_and_chroma(colours)
    if not (chroma >= _COLOUR_CHROMA).any():
        return None
    grey = (chroma <= _GREY_CHROMA + _GREY_SHARE * highest)[highest >= _LIT]
    if np.count_nonzero(grey) < max(1, grey.size / 2):
        return None
    return np.asarray(chroma >= _FRINGE_CHROMA)


def highest_and_chroma(colours: Colours) -> tuple[Bytes, Bytes]:
    """Return the largest of red, green and blue, and by how much it exceeds the smallest."""
    red, green, blue = np.moveaxis(colours, 2, 0)
    highest = np.maximum(np.maximum(red, green), blue)
    return highest, highest - np.minimum(np.minimum(red, green), blue)


def _unreadable(path: Path, error: Exception) -> str:
    if not path.is_file():
        return f"{path}: expected a picture, but there is no such file."
    with path.open("rb") as file:
        start = file.read(64)
    if not start:
        return f"{path}: expected a picture, but the file is empty. Copy it again."
    if isinstance(error, UnidentifiedImageError):
        kind = "text" if start.isascii() and b"\0" not in start else "something else"
        return (
            f"{path}: expected a picture ({', '.join(SUFFIXES)}), but the file holds {kind}. "
            "Replace or remove it."
        )
    if isinstance(error, Pillow.DecompressionBombError):
        return f"{path}: the picture is too large to be read safely ({error}) Scale it down."
    return f"{path}: the picture is truncated or damaged ({error}). Copy it again."


def read_image(path: Path) -> Image:
    """Read a picture as an image of one slice, without a spacing: such files have none.

    Where a grey picture is coloured, the image says so.

    Raises:
        ImageFileError: see read_luminance.
    """
    grey, colours = read_grey_and_colours(path)
    drawn = None if colours is None else drawn_over(colours)
    return Image(pixels=grey[None], drawn=None if drawn is None else drawn[None])


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a picture's file, in hex: what it is known again by.

    Raises:
        ImageFileError: the file cannot be read.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ImageFileError(f"{path}: the picture cannot be read ({error.strerror}).") from None


def read_mask(path: Path, *, lesion_values: tuple[int, ...] | None = None) -> Mask:
    """Read a reference mask; True inside a lesion.

    Args:
        lesion_values: the values that mean lesion, where the data set says so; every other
            value but 0 is then refused. None: 0 is background and one other value lesion.

    Raises:
        ImageFileError: see read_luminance.
        ReferenceMaskError: the values are not those of a mask.
    """
    return lesion_mask(path, read_luminance(path), lesion_values)


def lesion_mask(
    path: Path, grey: Grey, lesion_values: tuple[int, ...] | None
) -> Bool[np.ndarray, "..."]:
    """Return where the values of a mask mean lesion; arguments and errors of read_mask."""
    values = _values(grey)
    found = ", ".join(f"{value:g}" for value in values[:5]) + (", ..." if values.size > 5 else "")
    if lesion_values is not None:
        if not set(values.tolist()) <= {0, *lesion_values}:
            raise ReferenceMaskError(
                f"{path}: the mask may hold 0 and {lesion_values} (dataset.json), found {found}."
            )
        return grey > 0
    if values.size > 2:
        raise ReferenceMaskError(
            f"{path}: a mask has two values (0 and, say, 255), found {values.size}: {found}. "
            "Cut it at a threshold and save it as PNG; JPEG makes such grey edges."
        )
    if values[0] != 0:
        raise ReferenceMaskError(
            f"{path}: a mask has background of value 0, found only {found}. "
            "Save it with 0 outside the lesions."
        )
    return grey > 0


def _values(grey: Grey) -> Float64[np.ndarray, " values"]:
    """Return the different values, in order; whole numbers are counted, which is faster."""
    if grey.min() >= 0 and grey.max() < 2**16:
        whole = grey.astype(np.int64)
        if (whole == grey).all():
            return np.flatnonzero(np.bincount(whole.ravel())).astype(np.float64)
    return np.unique(grey).astype(np.float64)


def encode_jpeg(pixels: UInt8[np.ndarray, "rows columns 3"], *, quality: int = 75) -> bytes:
    """Return a JPEG file of colour pixels: small, for pictures to look at."""
    buffer = io.BytesIO()
    Pillow.fromarray(pixels).save(buffer, format="JPEG", quality=quality)
    return buffer.getvalue()


def encode_png(pixels: UInt8[np.ndarray, "rows columns *channels"]) -> bytes:
    """Return a PNG file of grey (rows, columns) or colour (rows, columns, 3) pixels."""
    if pixels.ndim == 3:
        # One filter for all rows: half the time of Pillow, which tries five; a tenth more bytes.
        how = [cv2.IMWRITE_PNG_FILTER, cv2.IMWRITE_PNG_FILTER_AVG, cv2.IMWRITE_PNG_COMPRESSION, 2]
        return cv2.imencode(".png", cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR), how)[1].tobytes()
    buffer = io.BytesIO()
    Pillow.fromarray(pixels).save(buffer, format="PNG", compress_level=3)
    return buffer.getvalue()
