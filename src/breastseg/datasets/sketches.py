"""Sketches: what a run keeps of its images to know them again when they come back changed.

A sketch is the corner of lowest frequencies of a signature's details, 16 x 16 numbers of one
byte each. Two pictures are compared as they are and mirrored, and after up to a twentieth of
some sides was cut off either. Every pair is compared: what a hash would leave out is found too.

On 120 images of BUSI and BUS-BRA, copies that were saved anew (JPEG of quality 10 or more),
resized, mirrored, brightened, given calipers, or cropped by at most a twentieth of each side had
a likeness of 0.87 or more. Of the 1,163,760 pairs between BUSI and BUS-BRA, and the 1.1 million
between patients of BUS-BRA, none had more than 0.748; those that came near show two different
lesions of like form. So SAME_PICTURE lies between.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Int, Int8

from breastseg.datasets.cases import CaseFiles
from breastseg.datasets.near_duplicates import ALIGNED, CROPPINGS
from breastseg.datasets.signatures import Signature, signature_of
from breastseg.io.raster import read_luminance

SAME_PICTURE = 0.8
"""A likeness from which on two pictures are taken for one."""
ALIKE = 0.7
"""A likeness that should be looked at: neighbouring frames have it, and chance, rarely."""

_LEVELS = 127
_KNOWN, _NEW = 2048, 512
_MIRROR = np.where(np.arange(ALIGNED) % 2, -1, 1).astype(np.float32)

Sketches = Int8[np.ndarray, "images 16 16"]
Pictures = Float32[np.ndarray, "images 16 16"]
Flat = Float32[np.ndarray, "... images 256"]


@dataclass(frozen=True, slots=True)
class Nearest:
    """Of each new picture. likeness: highest, at most 1. place: of the known one that has it."""

    likeness: Float32[np.ndarray, " images"]
    place: Int[np.ndarray, " images"]


def sketches_of(signatures: Sequence[Signature]) -> Sketches:
    """Return the sketches of some pictures, in their order."""
    details = np.zeros((len(signatures), ALIGNED, ALIGNED), np.float32)
    for place, signature in enumerate(signatures):
        details[place] = signature.details[:ALIGNED, :ALIGNED]
    largest = np.abs(details).max(axis=(1, 2), keepdims=True, initial=1e-6)
    return np.asarray(np.round(details * (_LEVELS / largest)), np.int8)


def read_and_sketch(
    cases: Sequence[CaseFiles], progress: Callable[[str, int, int], None]
) -> Sketches:
    """Return the sketches of images that have to be read for it, in the order of the cases.

    Raises:
        ImageFileError: an image cannot be read.
    """
    signatures = []
    for done, case in enumerate(cases, start=1):
        signatures.append(signature_of(read_luminance(case.image_path)))
        progress("Sketching images, to know them again", done, len(cases))
    return sketches_of(signatures)


def nearest(
    new: Sketches, known: Sketches, *, progress: Callable[[int, int], None] = lambda *done: None
) -> Nearest:
    """Find the known picture that each new one is most like.

    1,492 times 780 pictures took 0.7 s on one core; memory does not grow with the number of
    pairs.

    Args:
        new: none of them has to be known.
        known: at least one.
        progress: called with how many blocks of pairs are done, and how many there are.
    """
    best = Nearest(np.full(len(new), -1, np.float32), np.zeros(len(new), np.int64))
    starts = [(k, n) for k in range(0, len(known), _KNOWN) for n in range(0, len(new), _NEW)]
    for done, (first_known, first_new) in enumerate(starts, start=1):
        rows = slice(first_new, first_new + _NEW)
        block = _likeness(
            _pictures(new[rows]), _pictures(known[first_known : first_known + _KNOWN])
        )
        places = block.argmax(axis=1)
        likeness = block[np.arange(len(block)), places]
        is_better = likeness > best.likeness[rows]
        best.likeness[rows][is_better] = likeness[is_better]
        best.place[rows][is_better] = places[is_better] + first_known
        progress(done, len(starts))
    return best


def _pictures(sketches: Sketches) -> Pictures:
    return sketches.astype(np.float32)


def _likeness(new: Pictures, known: Pictures) -> Float32[np.ndarray, "new known"]:
    """Return the highest correlation of each pair, over mirroring and crops of either."""
    best = np.full((len(new), len(known)), -1, np.float32)
    whole, crops = _unit(known), list(_crops(known))
    for side in (new, new * _MIRROR):
        for crop in _crops(side):
            np.maximum(best, crop @ whole.T, out=best)
        one = _unit(side)
        for crop in crops:
            np.maximum(best, one @ crop.T, out=best)
    return best


def _crops(pictures: Pictures) -> Iterator[Flat]:
    """Yield the pictures cropped in every way, the first time not at all."""
    for along_rows in CROPPINGS:
        for along_columns in CROPPINGS:
            yield _unit(along_rows @ pictures @ along_columns.T)


def _unit(pictures: Pictures) -> Flat:
    """Take the mean away and scale to length 1, so that products correlate."""
    flat = pictures.reshape(len(pictures), -1).copy()
    flat[:, 0] = 0
    return np.asarray(flat / np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), 1e-6))
