"""Groups of images that show nearly the same picture, so that a split keeps them together.

Public sets without patient ids hold many of them: neighbouring frames of one sweep, the same
picture with and without calipers, mirrored or cropped copies. Two images are near duplicates
when their perceptual hashes are close and the details of their thumbnails correlate, as they
are or after up to a twentieth of some sides was cut off one of them. On BUSI the limits below
were chosen by looking at pairs around them: above, nearly all pairs show the same lesion of the
same breast; below, chance likeness begins. Too wide a group costs a split little, a missed one
spoils its score.
"""

import hashlib
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float32, Int
from scipy import sparse

from breastseg.datasets.cases import CaseFiles
from breastseg.datasets.signatures import (
    Signature,
    Signatures,
    cropping,
    signature_of,
    upright_and_mirrored,
)
from breastseg.datasets.volume_groups import volume_groups
from breastseg.io import cache
from breastseg.io.raster import file_sha256, read_luminance

MAX_HASH_DISTANCE = 24
"""Of the 64 bits of a perceptual hash; unrelated pictures differ in about 32."""
MIN_CORRELATION = 0.6
"""Of thumbnails whose coarse brightness was taken away."""
_CROPPED_MAX_HASH_DISTANCE = 18
_CROPPED_MIN_CORRELATION = 0.4
_MIN_CROPPED = 0.75
_SURE_CORRELATION = 0.7
"""As they are or after a crop: nearly no chance likeness reaches it, on BUSI or BUS-BRA."""
_CROPS = ((0.0, 0.0), (0.05, 0.0), (0.0, 0.05), (0.05, 0.05))

_COARSE = 12
ALIGNED = 16
"""Frequencies per axis that crops are compared by."""
_ROWS, _COLUMNS, _CHUNK = 1024, 4096, 4096
BY_PATIENT_OR_RESEMBLANCE = "patient or near-duplicate group"
"""What groups are that join the patients that are known with near duplicates."""
_METHOD = "near duplicates 1"
"""Goes into the key of the cache: to be changed with anything above, or with signatures."""
_CACHE = "near-duplicate-groups"

CROPPINGS = np.stack([cropping(*crop)[:ALIGNED, :ALIGNED] for crop in _CROPS])
"""What cutting a twentieth off some ends of one axis does to them; the first cuts nothing."""

Pairs = Int[np.ndarray, "pairs 2"]
Links = Int[np.ndarray, "pairs 3"]
Numbers = Int[np.ndarray, " images"]
Details = Float32[np.ndarray, "pairs frequencies frequencies"]

log = logging.getLogger(__name__)


def case_groups(
    cases: Sequence[CaseFiles],
    *,
    signatures: Sequence[Signature] | None = None,
    content: Mapping[str, str] | None = None,
    progress: Callable[[int], None] = lambda done: None,
) -> tuple[dict[str, str], str]:
    """Group cases by patient where every one has one, else by near duplicates; see there.

    Where only some have one, and in a collection, by both: two data sets may hold the same
    picture of a patient that they call differently.

    Volumes are grouped as datasets.volume_groups says: near duplicates are those of pictures.

    Args:
        cases: all pictures, or all volumes.
        signatures: of pictures; where None, they are read.
        content: SHA-256 of each image by case id; where None, volumes are read for it.
        progress: called with the number of images read so far.

    Returns:
        Group by case id, and in words what the groups are.

    Raises:
        ImageFileError: an image cannot be read.
    """
    if any(case.is_volume for case in cases):
        return volume_groups(cases, content)
    patients = {case.case_id: case.patient_id for case in cases if case.patient_id is not None}
    if len(patients) == len(cases) and len({case.source for case in cases}) <= 1:
        return patients, "patient"
    groups = near_duplicate_groups(cases, signatures=signatures, progress=progress)
    if not patients:
        return groups, "near-duplicate group"
    return _with_patients(groups, patients), BY_PATIENT_OR_RESEMBLANCE


def _with_patients(groups: Mapping[str, str], patients: Mapping[str, str]) -> dict[str, str]:
    """Join groups that share a patient; what is joined bears the id of its first case."""
    ids = list(groups)
    first: dict[tuple[str, str], int] = {}
    links = [
        (first.setdefault((kind, keys[case_id]), number), number, 1)
        for kind, keys in (("group", groups), ("patient", patients))
        for number, case_id in enumerate(ids)
        if case_id in keys
    ]
    numbers = _joined(np.array(links, np.int64), len(ids)).tolist()
    named: dict[int, str] = {}
    return {
        case_id: named.setdefault(number, case_id)
        for case_id, number in zip(ids, numbers, strict=True)
    }


def near_duplicate_groups(
    cases: Sequence[CaseFiles],
    *,
    signatures: Sequence[Signature] | None = None,
    progress: Callable[[int], None] = lambda done: None,
) -> dict[str, str]:
    """Assign each case to a group; a group bears the id of its first case.

    Mirrored and slightly cropped copies are found too. Memory grows with the number of images,
    not its square. Groups of the same contents are taken from the cache, whatever the files
    are called.

    Args:
        cases: the images.
        signatures: of the images; where None, they are read unless the cache has their groups.
        progress: called with the number of images read so far.

    Returns:
        Group by case id.

    Raises:
        ImageFileError: an image cannot be read.
    """
    contents = [file_sha256(case.image_path) for case in cases]
    numbers = cached_numbers(contents)
    if numbers is None:
        numbers, _ = group_numbers(
            _signatures(cases, progress) if signatures is None else signatures
        )
        keep_numbers(contents, numbers)
    else:
        log.info("near-duplicate groups of %d images are known from earlier", len(cases))
        progress(len(cases))
    first: dict[int, str] = {}
    for case, number in zip(cases, numbers.tolist(), strict=True):
        first.setdefault(number, case.case_id)
    return {c.case_id: first[n] for c, n in zip(cases, numbers.tolist(), strict=True)}


def _signatures(cases: Sequence[CaseFiles], progress: Callable[[int], None]) -> list[Signature]:
    signatures = []
    for done, case in enumerate(cases, start=1):
        signatures.append(signature_of(read_luminance(case.image_path)))
        progress(done)
    return signatures


def cached_numbers(contents: Sequence[str]) -> Numbers | None:
    """Return the group number of each content as it was found earlier; None where it was not.

    Args:
        contents: SHA-256 of the files; their order does not matter.
    """
    known: Any = cache.load(_CACHE, _key(contents))
    if not isinstance(known, list) or len(known) != len(contents):
        return None
    numbers = np.empty(len(contents), np.int64)
    numbers[_order(contents)] = known
    return numbers


def keep_numbers(contents: Sequence[str], numbers: Numbers) -> None:
    """Keep group numbers under a digest of the contents: nothing else of the images is kept."""
    cache.keep(_CACHE, _key(contents), numbers[_order(contents)].tolist())


def _key(contents: Sequence[str]) -> str:
    return hashlib.sha256("\n".join([_METHOD, *sorted(contents)]).encode()).hexdigest()


def _order(contents: Sequence[str]) -> Numbers:
    return np.array(sorted(range(len(contents)), key=contents.__getitem__), np.int64)


def group_numbers(signatures: Sequence[Signature]) -> tuple[Numbers, Numbers]:
    """Return two numbers for each picture, equal for near duplicates and what they join.

    First the wide groups that no split divides, then those of sure near duplicates alone.
    """
    upright, mirrored = upright_and_mirrored(signatures)
    links = np.concatenate([_links(upright, upright), _links(upright, mirrored)])
    return _joined(links, len(signatures)), _joined(links[links[:, 2] == 1], len(signatures))


def _joined(links: Links, num_images: int) -> Numbers:
    entries = (np.ones(len(links), bool), (links[:, 0], links[:, 1]))
    graph = sparse.coo_matrix(entries, (num_images, num_images))
    return np.asarray(sparse.csgraph.connected_components(graph, directed=False)[1], np.int64)


def _links(left: Signatures, right: Signatures) -> Links:
    """Return smaller index, larger index and whether it is sure, of near duplicates."""
    coarse_left, coarse_right = _Coarse(left), _Coarse(right)
    found = [np.empty((0, 3), np.int64)]
    for row in range(0, len(left), _ROWS):
        for column in range(row - row % _COLUMNS, len(right), _COLUMNS):
            rows, columns = slice(row, row + _ROWS), slice(column, column + _COLUMNS)
            distance = np.bitwise_count(left.hashes[rows, None] ^ right.hashes[None, columns])
            bound = coarse_left.bound(rows, coarse_right, columns)
            likely = (distance <= MAX_HASH_DISTANCE) & (bound >= MIN_CORRELATION)
            likely |= (distance <= _CROPPED_MAX_HASH_DISTANCE) & (bound >= _CROPPED_MIN_CORRELATION)
            pairs = np.argwhere(likely)
            distances = distance[likely]
            pairs += (row, column)
            ordered = pairs[:, 0] < pairs[:, 1]
            found.append(_confirmed(pairs[ordered], distances[ordered], left, right))
    return np.concatenate(found)


class _Coarse:
    """The lowest frequencies of the details, and how long the rest of them is."""

    def __init__(self, signatures: Signatures) -> None:
        coarse = signatures.details[:, :_COARSE, :_COARSE].astype(np.float32)
        self._coarse = coarse.reshape(len(signatures), _COARSE**2)
        details = signatures.details
        whole = np.einsum("nij,nij->n", details, details, dtype=np.float32, casting="safe")
        rest = whole - np.einsum("ij,ij->i", self._coarse, self._coarse)
        self._rest = np.sqrt(np.maximum(rest, 0)).astype(np.float32)

    def bound(self, rows: slice, right: "_Coarse", columns: slice) -> Float32[np.ndarray, "r c"]:
        """Return what correlations cannot exceed, by the inequality of Cauchy and Schwarz."""
        bound = self._coarse[rows] @ right._coarse[columns].T
        bound += self._rest[rows, None] * right._rest[columns]
        return bound + np.float32(1e-3)  # rounding


def _confirmed(
    pairs: Pairs, distances: Int[np.ndarray, " pairs"], left: Signatures, right: Signatures
) -> Links:
    """Keep the pairs that correlate, as they are or after a crop, and say which are sure."""
    kept = []
    for start in range(0, len(pairs), _CHUNK):
        some = pairs[start : start + _CHUNK]
        first = left.details[some[:, 0]].astype(np.float32)
        second = right.details[some[:, 1]].astype(np.float32)
        correlation = np.einsum("nij,nij->n", first, second)
        close = distances[start : start + _CHUNK] <= _CROPPED_MAX_HASH_DISTANCE
        possible = (correlation >= MIN_CORRELATION) | close
        possible &= correlation >= _CROPPED_MIN_CORRELATION
        doubtful = possible & (correlation < _SURE_CORRELATION)
        cropped = np.zeros_like(correlation)
        cropped[doubtful] = _best_of_crops(first[doubtful], second[doubtful])
        near = (correlation >= MIN_CORRELATION) | (cropped >= _MIN_CROPPED)
        is_sure = np.maximum(correlation, cropped) >= _SURE_CORRELATION
        kept.append(np.column_stack([some, is_sure])[near])
    return np.concatenate(kept) if kept else np.empty((0, 3), np.int64)


def likeness(first: Signature, second: Signature) -> tuple[float, bool]:
    """Return how much two pictures correlate, at most 1, and whether when one is mirrored.

    As they are, or after the crop that suits them best.
    """
    upright, mirrored = upright_and_mirrored([second])
    best = []
    for other in (upright, mirrored):
        one, two = (each.astype(np.float32) for each in (first.details[None], other.details))
        best.append(max(float(np.vdot(one, two)), float(_best_of_crops(one, two)[0])))
    return max(best), best[1] > best[0]


def _best_of_crops(first: Details, second: Details) -> Float32[np.ndarray, " pairs"]:
    first, second = first[:, :ALIGNED, :ALIGNED], second[:, :ALIGNED, :ALIGNED]
    best = np.maximum(_best_crop(first, second), _best_crop(second, first))
    return np.asarray(best, np.float32)


def _best_crop(cut: Details, whole: Details) -> Float32[np.ndarray, " pairs"]:
    """Return the highest correlation over the crops of the first pictures."""
    best = np.zeros(len(cut), np.float32)
    length = np.maximum(np.linalg.norm(whole, axis=(1, 2)), 1e-6)
    for along_rows in CROPPINGS:
        stretched = along_rows @ cut
        for along_columns in CROPPINGS:
            window = stretched @ along_columns.T
            window[:, 0, 0] = 0  # the mean
            products = np.einsum("nij,nij->n", window, whole)
            lengths = np.maximum(np.linalg.norm(window, axis=(1, 2)), 1e-6)
            np.maximum(best, products / (length * lengths), out=best)
    return best


def group_sizes(groups: Mapping[str, str]) -> Mapping[str, int]:
    """Return the number of cases in each group.

    >>> group_sizes({"a": "a", "b": "a", "c": "c"})
    {'a': 2, 'c': 1}
    """
    sizes: dict[str, int] = {}
    for group in groups.values():
        sizes[group] = sizes.get(group, 0) + 1
    return sizes
