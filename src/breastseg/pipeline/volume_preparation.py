"""From a CT volume with its reference to what training draws patches from."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Int16, Int32
from scipy import ndimage

from breastseg.core.image import Case, LabelMap
from breastseg.core.volume_recipe import VolumePreprocessing
from breastseg.pipeline.breast_region import BreastRegion
from breastseg.pipeline.search_area import training_area
from breastseg.pipeline.volume_grid import VolumeGrid

Mask = Bool[np.ndarray, "slices rows columns"]
Places = Int16[np.ndarray, "voxels 3"]

NUM_PLACES = 4096
"""Voxels of the searched region that are kept as centres of patches."""
NUM_LESION_PLACES = 512
"""The same of each lesion."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VolumeArrays:
    """A case on the network's grid, and where patches may lie.

    hu: cut to the recipe's window, rounded to whole HU. target: all lesions. inside: where
    lesions are looked for. region_places: voxels of it, drawn at random. lesion_places: voxels of
    each lesion, with the lesion's number from 0 as a fourth column. notes: what was unusual.
    """

    hu: Int16[np.ndarray, "slices rows columns"]
    target: Mask
    inside: Mask
    region_places: Places
    lesion_places: Int16[np.ndarray, "voxels 4"]
    notes: tuple[str, ...] = ()


def prepare_volume(case: Case, preprocessing: VolumePreprocessing) -> VolumeArrays:
    """Bring a case to the network's grid; no lesion is lost on the way.

    The box is widened to hold lesions outside the breasts, and a lesion that is too small for
    the grid keeps the voxel that it fills most.

    Raises:
        GeometryError: the image has no affine.
    """
    assert case.reference is not None
    searched = training_area(case.image, preprocessing, case.reference > 0)
    assert searched.grid is not None
    assert searched.parts is not None
    grid, inside = searched.grid, searched.parts > 0
    low, high = preprocessing.window_hu
    hu = np.rint(np.clip(grid.apply(case.image.pixels), low, high)).astype(np.int16)
    target = _target(grid, case.reference)
    labels, count = ndimage.label(target, structure=np.ones((3, 3, 3)))
    notes = _notes(searched.region, inside, labels, count)
    stream = np.random.default_rng(0)  # the places are part of the preparation, not of a seed
    return VolumeArrays(
        hu=hu,
        target=target,
        inside=inside,
        region_places=_places(inside, NUM_PLACES, stream),
        lesion_places=_lesion_places(labels, count, stream),
        notes=notes,
    )


def _target(grid: VolumeGrid, reference: LabelMap) -> Mask:
    """Bring a reference to the grid: where half a voxel is lesion, and something of each."""
    share = grid.apply(reference > 0)
    target = np.asarray(share >= 0.5)
    inside = grid.box_of(reference)
    for number, bounds in enumerate(ndimage.find_objects(inside), start=1):
        if bounds is None:
            continue
        corner = np.array([side.start for side in bounds])
        voxels = np.argwhere(inside[bounds] == number) + corner
        places = np.floor((voxels + 0.5) / grid.scale).astype(int)
        places = np.minimum(places, np.array(grid.shape) - 1)
        where = tuple(places.T)
        if not target[where].any():
            target[tuple(places[share[where].argmax()])] = True
    return target


def _notes(
    region: BreastRegion | None,
    inside: Mask,
    labels: Int32[np.ndarray, "slices rows columns"],
    count: int,
) -> tuple[str, ...]:
    notes = []
    if region is not None and not region.sides:
        notes.append(" ".join((*region.in_words(), "All of the scan is searched.")))
    within = set(np.unique(labels[inside]).tolist()) - {0}
    if outside := count - len(within):
        notes.append(
            f"{outside} of {count} lesions lie outside the breasts that were found; the box was "
            "widened to hold them. They are trained on, and prediction will not look there."
        )
    return tuple(notes)


def _places(mask: Mask, most: int, stream: np.random.Generator) -> Places:
    flat = np.flatnonzero(mask)
    if len(flat) > most:
        flat = np.sort(stream.choice(flat, most, replace=False))
    return np.stack(np.unravel_index(flat, mask.shape), axis=1).astype(np.int16)


def _lesion_places(
    labels: Int32[np.ndarray, "slices rows columns"], count: int, stream: np.random.Generator
) -> Int16[np.ndarray, "voxels 4"]:
    found = [np.empty((0, 4), np.int16)]
    for number, bounds in enumerate(ndimage.find_objects(labels, count)):
        places = _places(labels[bounds] == number + 1, NUM_LESION_PLACES, stream)
        places = places + np.array([side.start for side in bounds], np.int16)
        numbers = np.full((len(places), 1), number, np.int16)
        found.append(np.concatenate([places, numbers], axis=1))
    return np.concatenate(found)
