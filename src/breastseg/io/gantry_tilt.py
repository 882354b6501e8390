"""Resampling slices that a tilted gantry has shifted against each other."""

import numpy as np
from jaxtyping import Float64
from scipy import ndimage

from breastseg.core.image import Image


def straighten(image: Image, *, outside: float) -> Image:
    """Interpolate a sheared stack onto a grid whose slices lie straight above each other.

    Every slice stays in its plane and is moved within it, by linear interpolation; the grid
    grows so that no voxel is lost.

    Args:
        image: with an affine that is sheared along the slices alone.
        outside: the value of voxels that no slice has covered.

    Returns:
        The image on the straight grid, with the same number of slices, distance and pixel size.
    """
    assert image.affine is not None
    shifts = _shifts(image)
    origin = shifts.min(axis=0)
    # A rounding error is no reason for another row.
    grown = np.ceil(shifts.max(axis=0) - origin - 1e-6).astype(int)
    num_slices, rows, columns = image.pixels.shape
    size = (rows + grown[0], columns + grown[1])
    pixels = np.empty((num_slices, *size), np.float32)
    padding = ((0, grown[0]), (0, grown[1]))
    for at, shift in enumerate(shifts - origin):
        wide = np.pad(image.pixels[at], padding, constant_values=outside)
        ndimage.shift(wide, shift, output=pixels[at], order=1, cval=outside)
    affine = image.affine.copy()
    affine[:3, 3] += affine[:3, 1:3] @ origin
    affine[:3, 0] -= affine[:3, 1:3] @ _step(image)
    return Image(pixels=pixels, affine=affine)


def _step(image: Image) -> Float64[np.ndarray, " 2"]:
    """Return by how many (rows, columns) each slice lies aside of the one before."""
    assert image.affine is not None
    in_plane = image.affine[:3, 1:3]
    return np.asarray(np.linalg.lstsq(in_plane, image.affine[:3, 0])[0])


def _shifts(image: Image) -> Float64[np.ndarray, "slices 2"]:
    return np.asarray(np.arange(image.pixels.shape[0])[:, None] * _step(image))
