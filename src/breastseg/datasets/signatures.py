"""What near duplicates are known by: a perceptual hash and the coarse details of a picture.

A signature takes 2 KB whatever the size of the picture, so that those of 100,000 pictures fit
into memory. The details are the low frequencies of a thumbnail's cosine transform: products of
them are correlations, and mirroring turns the sign of every second one.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import imagehash
import numpy as np
from jaxtyping import Float16, Float32, UInt64
from PIL import Image as Pillow
from scipy.fft import dct

THUMBNAIL = 64
FREQUENCIES = 32
"""Per axis; of the details' energy 0.3 % lies above (BUSI, median)."""

Thumbnail = Float32[np.ndarray, "64 64"]
_COSINES = np.asarray(dct(np.eye(THUMBNAIL), axis=0, norm="ortho")[:FREQUENCIES], np.float32)
_ONES = 1 << np.arange(64, dtype=np.uint64)


@dataclass(frozen=True, slots=True)
class Signature:
    """Of one picture. hashes: 64 bits upright, and mirrored. details: of length 1, or all 0."""

    hashes: tuple[int, int]
    details: Float16[np.ndarray, "32 32"]


@dataclass(frozen=True, slots=True)
class Signatures:
    """Of many pictures, in one orientation."""

    hashes: UInt64[np.ndarray, " images"]
    details: Float16[np.ndarray, "images 32 32"]

    def __len__(self) -> int:
        return len(self.hashes)


def signature_of(grey: Float32[np.ndarray, "rows columns"]) -> Signature:
    """Return the signature of a picture; its size, aspect, brightness and contrast don't matter."""
    small = cv2.resize(grey, (THUMBNAIL, THUMBNAIL), interpolation=cv2.INTER_AREA)
    low, high = float(small.min()), float(small.max())
    thumbnail = np.asarray((small - low) * (255 / max(high - low, 1e-6)), np.float32)
    details = _COSINES @ _details(thumbnail) @ _COSINES.T
    return Signature(
        hashes=(_hash(thumbnail), _hash(np.fliplr(thumbnail))),
        details=details.astype(np.float16),
    )


def _hash(thumbnail: Thumbnail) -> int:
    bits = imagehash.phash(Pillow.fromarray(thumbnail.astype(np.uint8))).hash.ravel()
    return int((bits * _ONES).sum())


def _details(thumbnail: Thumbnail) -> Thumbnail:
    """Take away coarse brightness and speckle; scale to length 1, so that products correlate."""
    coarse = cv2.GaussianBlur(thumbnail, (0, 0), THUMBNAIL / 8)
    band = cv2.GaussianBlur(thumbnail - coarse, (0, 0), THUMBNAIL / 64)
    band = band - band.mean()
    return np.asarray(band / max(float(np.linalg.norm(band)), 1e-6), np.float32)


def upright_and_mirrored(signatures: Sequence[Signature]) -> tuple[Signatures, Signatures]:
    """Gather signatures, as they are and as those of the mirrored pictures."""
    details = np.empty((len(signatures), FREQUENCIES, FREQUENCIES), np.float16)
    hashes = np.empty((2, len(signatures)), np.uint64)
    for index, signature in enumerate(signatures):
        details[index] = signature.details
        hashes[:, index] = signature.hashes
    signs = np.where(np.arange(FREQUENCIES) % 2, -1, 1).astype(np.float16)
    return Signatures(hashes[0], details), Signatures(hashes[1], details * signs)


def cropping(before: float, after: float) -> Float32[np.ndarray, "32 32"]:
    """Return what cropping one axis, and stretching the rest, does to cosine coefficients.

    Args:
        before, after: shares of the length that are cut off at its two ends, in [0, 1).
    """
    places = ((np.arange(THUMBNAIL) + 0.5) / THUMBNAIL * (1 - before - after) + before) * THUMBNAIL
    places = np.clip(places - 0.5, 0, THUMBNAIL - 1)
    first = np.floor(places).astype(int)
    share = places - first
    stretch = np.zeros((THUMBNAIL, THUMBNAIL))
    stretch[np.arange(THUMBNAIL), first] += 1 - share
    stretch[np.arange(THUMBNAIL), np.minimum(first + 1, THUMBNAIL - 1)] += share
    return np.asarray(_COSINES @ stretch @ _COSINES.T, np.float32)
