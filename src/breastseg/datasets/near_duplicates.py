"""Groups of images that show nearly the same picture, so that a split keeps them together.

Public sets without patient ids hold many of them: neighbouring frames of one sweep, the same
picture with and without calipers, mirrored or cropped copies. Two images are near duplicates
when their perceptual hashes are close and the details of their thumbnails correlate. On BUSI
the limits below were chosen by looking at pairs around them: above, nearly all pairs show the
same lesion of the same breast; below, chance likeness begins. Too wide a group costs a split
little, a missed one spoils its score.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import cv2
import imagehash
import numpy as np
from jaxtyping import Bool, Float32, Int
from PIL import Image as Pillow
from scipy import sparse

from breastseg.datasets.cases import CaseFiles
from breastseg.io.raster import read_luminance

THUMBNAIL = 64
MAX_HASH_DISTANCE = 24
"""Of the 64 bits of a perceptual hash; unrelated pictures differ in about 32."""
MIN_CORRELATION = 0.6
"""Of thumbnails whose coarse brightness was taken away."""
_BLOCK = 1024

Hashes = Bool[np.ndarray, "images 64"]
Details = Float32[np.ndarray, "images pixels"]


@dataclass(frozen=True, slots=True)
class _Views:
    """Hash and detail of every picture, in one orientation."""

    hashes: Hashes
    details: Details


def case_groups(
    cases: Sequence[CaseFiles], *, progress: Callable[[int], None] = lambda done: None
) -> tuple[dict[str, str], str]:
    """Group cases by patient where every one has one, else by near duplicates.

    Returns:
        Group by case id, and in words what the groups are.

    Raises:
        ImageFileError: an image cannot be read.
    """
    patients = {case.case_id: case.patient_id for case in cases if case.patient_id is not None}
    if len(patients) == len(cases):
        return patients, "patient"
    return near_duplicate_groups(cases, progress=progress), "near-duplicate group"


def near_duplicate_groups(
    cases: Sequence[CaseFiles], *, progress: Callable[[int], None] = lambda done: None
) -> dict[str, str]:
    """Assign each case to a group; a group bears the id of its first case.

    Mirrored copies are found too. Memory grows with the number of images, not its square.

    Args:
        cases: the images, all of which are read.
        progress: called with the number of images read so far.

    Returns:
        Group by case id.

    Raises:
        ImageFileError: an image cannot be read.
    """
    thumbnails = []
    for done, case in enumerate(cases, start=1):
        thumbnails.append(_thumbnail(case))
        progress(done)
    upright = _views(thumbnails)
    mirrored = _views([np.fliplr(thumbnail) for thumbnail in thumbnails])
    pairs = np.concatenate([_pairs(upright, upright), _pairs(upright, mirrored)])
    links = sparse.coo_matrix((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), (len(cases),) * 2)
    _, component = sparse.csgraph.connected_components(links, directed=False)
    first: dict[int, str] = {}
    for case, number in zip(cases, component.tolist(), strict=True):
        first.setdefault(number, case.case_id)
    return {c.case_id: first[n] for c, n in zip(cases, component.tolist(), strict=True)}


def _thumbnail(case: CaseFiles) -> Float32[np.ndarray, "64 64"]:
    """Shrink a picture without regard to its aspect and stretch its grey values to 0..255."""
    grey = read_luminance(case.image_path)
    small = cv2.resize(grey, (THUMBNAIL, THUMBNAIL), interpolation=cv2.INTER_AREA)
    low, high = float(small.min()), float(small.max())
    return np.asarray((small - low) * (255 / max(high - low, 1e-6)), np.float32)


def _views(thumbnails: Sequence[Float32[np.ndarray, "64 64"]]) -> _Views:
    hashes = [
        imagehash.phash(Pillow.fromarray(thumbnail.astype(np.uint8))).hash.ravel()
        for thumbnail in thumbnails
    ]
    return _Views(np.array(hashes), np.array([_detail(thumbnail) for thumbnail in thumbnails]))


def _detail(thumbnail: Float32[np.ndarray, "64 64"]) -> Float32[np.ndarray, " pixels"]:
    """Take away coarse brightness and speckle; scale to length 1, so that products correlate."""
    coarse = cv2.GaussianBlur(thumbnail, (0, 0), THUMBNAIL / 8)
    band = cv2.GaussianBlur(thumbnail - coarse, (0, 0), THUMBNAIL / 64).ravel()
    band = band - band.mean()
    return np.asarray(band / max(float(np.linalg.norm(band)), 1e-6), np.float32)


def _pairs(left: _Views, right: _Views) -> Int[np.ndarray, "pairs 2"]:
    """Return the index pairs (smaller, larger) of near duplicates, block by block."""
    found = []
    signed = right.hashes.astype(np.float32) * 2 - 1
    for start in range(0, len(left.hashes), _BLOCK):
        block = slice(start, start + _BLOCK)
        agreement = (left.hashes[block].astype(np.float32) * 2 - 1) @ signed.T
        near = (64 - agreement) / 2 <= MAX_HASH_DISTANCE
        near &= left.details[block] @ right.details.T >= MIN_CORRELATION
        pairs = np.argwhere(near)
        pairs[:, 0] += start
        found.append(pairs[pairs[:, 0] < pairs[:, 1]])
    return np.concatenate(found) if found else np.empty((0, 2), np.int64)


def group_sizes(groups: Mapping[str, str]) -> Mapping[str, int]:
    """Return the number of cases in each group.

    >>> group_sizes({"a": "a", "b": "a", "c": "c"})
    {'a': 2, 'c': 1}
    """
    sizes: dict[str, int] = {}
    for group in groups.values():
        sizes[group] = sizes.get(group, 0) + 1
    return sizes
