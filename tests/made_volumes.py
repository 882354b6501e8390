"""Prepared volumes made without a scan, for tests of what is drawn from them."""

from pathlib import Path

import numpy as np
from scipy import ndimage

from breastseg.pipeline.volume_preparation import VolumeArrays
from breastseg.pipeline.volume_store import PreparedVolume, save_volume

Corner = tuple[int, int, int]


def volume_arrays(
    *lesions: tuple[Corner, int], shape: tuple[int, int, int] = (12, 20, 24), seed: int = 0
) -> VolumeArrays:
    """Return noise of -100 to 100 HU with cubes of 200 HU: (first voxel, side).

    All but two voxels at each border is searched.
    """
    hu = np.random.default_rng(seed).integers(-100, 101, shape).astype(np.int16)
    target = np.zeros(shape, bool)
    for corner, side in lesions:
        target[tuple(slice(at, at + side) for at in corner)] = True
    hu[target] = 200
    inside = np.zeros(shape, bool)
    inside[2:-2, 2:-2, 2:-2] = True
    labels = ndimage.label(target, structure=np.ones((3, 3, 3)))[0]
    places = np.argwhere(target)
    numbers = labels[target][:, None] - 1
    return VolumeArrays(
        hu=hu,
        target=target,
        inside=inside,
        region_places=np.argwhere(inside).astype(np.int16),
        lesion_places=np.concatenate([places, numbers], axis=1).astype(np.int16),
    )


def saved_volume(folder: Path, *lesions: tuple[Corner, int], seed: int = 0) -> PreparedVolume:
    """Write such a volume into a folder of its own."""
    return save_volume(volume_arrays(*lesions, seed=seed), folder / f"{seed}")
