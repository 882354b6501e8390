"""Lesions in the probabilities of a volume: which voxels belong together, and which are shown.

The volume may come in slabs, so that only the voxels of candidates are held.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Int32, Int64
from scipy import ndimage
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from breastseg.core.image import LabelMap, Pixels
from breastseg.core.lesion import DEFAULT_THRESHOLD, check_threshold

SMALLEST_MM3 = 30.0
"""Volume of a ball of 3.9 mm: less is not shown. Readers leave nodules below 4 mm alone too."""
_ALL_NEIGHBOURS = np.ones((3, 3, 3), np.int32)
_SLAB = 16

Pairs = Int64[np.ndarray, "pairs 2"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """One component that reached the threshold.

    voxels: their places in the flat array of the volume.
    probability: the largest among them.
    """

    voxels: Int64[np.ndarray, " voxels"]
    probability: float


def find_candidates(
    slabs: Iterable[Pixels], *, threshold: float, smallest_voxels: float = 0.0
) -> tuple[Candidate, ...]:
    """Find the lesions in a volume that comes in slabs of slices.

    As core.lesion.find_lesions in a picture: components, with all 26 neighbours, of the voxels
    with a probability of at least 0.5, or of the threshold where that is lower; shown are those
    whose most probable voxel reaches the threshold.

    Args:
        slabs: lesion probability in [0, 1], one after the other along the first axis.
        threshold: the operating threshold, in (0, 1].
        smallest_voxels: smaller components are dropped.

    Returns:
        By probability, then size, both falling, then position in the volume.

    Raises:
        InputError: the threshold is out of range.

    >>> volume = np.zeros((4, 5, 5), np.float32)
    >>> volume[1:3, 2, 2] = 0.6, 0.9
    >>> (candidate,) = find_candidates([volume[:2], volume[2:]], threshold=0.7)
    >>> candidate.voxels.tolist(), round(candidate.probability, 3)
    ([37, 62], 0.9)
    """
    check_threshold(threshold)
    voxels, labels, probability = _components(slabs, min(threshold, DEFAULT_THRESHOLD))
    order = np.argsort(labels, kind="stable")
    edges = np.flatnonzero(np.diff(labels[order])) + 1
    found = []
    for part in np.split(order, edges) if len(order) else []:
        peak = float(probability[part].max())
        if peak >= threshold and len(part) >= smallest_voxels:
            found.append(Candidate(voxels=voxels[part], probability=peak))
    return tuple(sorted(found, key=lambda one: (-one.probability, -len(one.voxels), one.voxels[0])))


def label_candidates(
    probability: Pixels, *, threshold: float, voxel_mm3: float, smallest_mm3: float = SMALLEST_MM3
) -> tuple[LabelMap, tuple[Candidate, ...]]:
    """Find the lesions in a whole volume; arguments, order and errors of find_candidates.

    Returns:
        The label map, 0 for background, numbers from 1 in the order of the candidates.
    """
    slabs = (probability[at : at + _SLAB] for at in range(0, len(probability), _SLAB))
    found = find_candidates(slabs, threshold=threshold, smallest_voxels=smallest_mm3 / voxel_mm3)
    labels = np.zeros(probability.shape, np.int32)
    for number, candidate in enumerate(found, start=1):
        labels.ravel()[candidate.voxels] = number
    return labels, found


def _components(
    slabs: Iterable[Pixels], outline: float
) -> tuple[Int64[np.ndarray, " n"], Int64[np.ndarray, " n"], Float32[np.ndarray, " n"]]:
    """Return place, component and probability of each voxel from the outline up."""
    places, names, values, touching = [], [], [], []
    first, count, before = 0, 0, None
    for slab in slabs:
        labels, more = ndimage.label(slab >= outline, structure=_ALL_NEIGHBOURS)
        named = np.where(labels > 0, labels.astype(np.int64) + count, 0) if more else labels
        if before is not None:
            touching += list(_touching(before, named[0]))
        inside = np.flatnonzero(labels)
        places.append(inside + first)
        names.append(named.ravel()[inside])
        values.append(slab.ravel()[inside])
        first, count, before = first + slab.size, count + more, named[-1]
    if not places:
        nothing = np.zeros(0, np.int64)
        return nothing, nothing, nothing.astype(np.float32)
    whole = _joined(touching, count)
    return np.concatenate(places), whole[np.concatenate(names)], np.concatenate(values)


def _touching(
    before: Int64[np.ndarray, "rows columns"], after: Int64[np.ndarray, "rows columns"]
) -> Iterator[Pairs]:
    """Yield the labels of two neighbouring planes that touch, corners included."""
    rows, columns = before.shape
    padded = np.pad(before, 1)
    for down in range(3):
        for right in range(3):
            beside = padded[down : down + rows, right : right + columns]
            both = (beside > 0) & (after > 0)
            if both.any():
                yield np.unique(np.stack([beside[both], after[both]], axis=1), axis=0)


def _joined(touching: list[Pairs], count: int) -> Int32[np.ndarray, " labels"]:
    """Return which component each label belongs to."""
    if not touching:
        return np.arange(count + 1, dtype=np.int32)
    pairs = np.concatenate(touching)
    graph = coo_array((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), (count + 1, count + 1))
    return np.asarray(connected_components(graph, directed=False)[1], np.int32)
