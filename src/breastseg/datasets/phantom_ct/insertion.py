"""Lesions put into the breasts of a real scan that has none.

What is replaced is the tissue, not the noise: the scan is parted into a smooth signal (by a
bilateral filter, which keeps edges) and the noise on it; the lesion takes the signal's place
by its share of each voxel at the scan's own resolution, and the noise stays.

Source: Tomasi and Manduchi 1998, ICCV, 839-846 (the bilateral filter); Hu et al. 2023, CVPR
    (SynTumor), for training on inserted lesions. That a lesion is about as dense as gland, or
    brighter by what contrast adds, is as in `lesions`.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Float32, Int32
from scipy import ndimage

from breastseg.core.errors import GeometryError
from breastseg.core.image import Image
from breastseg.datasets.phantom_ct.anatomy import Phase
from breastseg.datasets.phantom_ct.grid import Affine, Grid, grid_of
from breastseg.datasets.phantom_ct.lesions import Lesion, draw_contrast_hu, draw_form
from breastseg.datasets.phantom_ct.placement import centre_of, distance_from, place, room_mm
from breastseg.datasets.phantom_ct.scanner import HIGHEST_HU, LOWEST_HU, blur

_BLUR_MM = 0.65
_FEWEST_NOISE_HU = 4.0
_EDGE_NOISES = 3.0
_GLAND_HU = (0.0, 110.0)
_USUAL_GLAND_HU = 35.0
_SMOOTH_MM = 1.0
_APART_MM = 6.0

Volume = Float32[np.ndarray, "slices rows columns"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Inserted:
    """A scan with lesions, and which they are.

    labels: 0, or the number of the lesion from 1. sides: 1 right, 2 left, of each lesion.
    """

    image: Image
    labels: Int32[np.ndarray, "slices rows columns"]
    lesions: tuple[Lesion, ...]
    sides: tuple[int, ...]


def insert_lesions(
    random: np.random.Generator,
    image: Image,
    breasts: np.ndarray,
    *,
    count: int,
    diameters_mm: tuple[float, float],
    phase: Phase = "unenhanced",
) -> Inserted:
    """Put lesions of random form into the breasts of a scan.

    Args:
        random: the stream.
        image: CT in HU with axial slices.
        breasts: 1 in the right breast and 2 in the left, on the grid of the image.
        count: how many lesions; fewer where there is no room.
        diameters_mm: least and largest diameter of a sphere of the same volume.
        phase: of the scan; it decides how bright a lesion is.

    Raises:
        GeometryError: shapes differ, or the slices are not axial.
    """
    grid = _grid(image, breasts)
    pixels = image.pixels.copy()
    labels = np.zeros(pixels.shape, np.int32)
    smooth = ndimage.gaussian_filter(
        pixels, [_SMOOTH_MM / length for length in grid.spacing_mm], truncate=3
    )
    gland = (breasts > 0) & (smooth > _GLAND_HU[0]) & (smooth < _GLAND_HU[1])
    room = room_mm(breasts, grid)
    gland &= room > 5
    gland_hu = float(np.median(smooth[gland])) if gland.any() else _USUAL_GLAND_HU
    lesions: list[Lesion] = []
    sides: list[int] = []
    for _ in range(count):
        wanted = float(np.exp(random.uniform(*np.log(diameters_mm))))
        margin, form = draw_form(random)
        placed = place(random, form, wanted, diameters_mm[0], (room, gland, grid))
        if placed is None:
            continue
        shape, voxel = placed
        contrast = draw_contrast_hu(random, phase)
        lesion = Lesion(
            centre=centre_of(random, grid, voxel),
            shape=shape,
            margin=margin,
            hu=gland_hu + contrast,
            contrast_hu=contrast,
        )
        _blend(random, pixels, labels, grid, lesion, len(lesions) + 1)
        lesions.append(lesion)
        sides.append(int(breasts[voxel]))
        room = np.minimum(room, distance_from(grid, lesion.centre) - shape.reach_mm - _APART_MM)
    return Inserted(
        image=Image(pixels=np.clip(np.rint(pixels), LOWEST_HU, HIGHEST_HU), affine=image.affine),
        labels=labels,
        lesions=tuple(lesions),
        sides=tuple(sides),
    )


def _grid(image: Image, breasts: np.ndarray) -> Grid:
    if breasts.shape != image.pixels.shape:
        raise GeometryError(
            f"the breast mask must have the scan's shape {image.pixels.shape}, got "
            f"{breasts.shape}. Make the mask on the grid of the scan."
        )
    if image.affine is None:
        raise GeometryError("lesions have sizes in mm: the scan needs an affine, and has none.")
    _require_axial(image.affine)
    return grid_of(image.affine, image.pixels.shape)


def _require_axial(affine: Affine) -> None:
    directions = np.abs(affine[:3, :3]) / np.linalg.norm(affine[:3, :3], axis=0)
    if not np.allclose(directions, np.eye(3)[::-1], atol=1e-3):
        raise GeometryError(
            "lesions are put into axial slices whose rows and columns lie along the patient's "
            "axes; this scan is oblique, sagittal or coronal. Resample it to axial slices."
        )


def _blend(
    random: np.random.Generator,
    pixels: Volume,
    labels: np.ndarray,
    grid: Grid,
    lesion: Lesion,
    number: int,
) -> None:
    cut, shares = lesion.shares(grid)
    # A margin, for blur and filter.
    wide = tuple(
        slice(max(part.start - 6, 0), min(part.stop + 6, size))
        for part, size in zip(cut, grid.shape, strict=True)
    )
    around: tuple[slice, slice, slice] = (wide[0], wide[1], wide[2])
    window = grid.window(around)
    share = np.zeros(window.shape, np.float32)
    within = tuple(
        slice(part.start - outer.start, part.stop - outer.start)
        for part, outer in zip(cut, around, strict=True)
    )
    share[within] = shares
    signal = _signal(pixels[around])
    soft = blur(share, window, _BLUR_MM)
    pixels[around] += soft * (lesion.inside_hu(random, window, soft) - signal)
    labels[cut][shares >= 0.5] = number


def _signal(values: Volume) -> Volume:
    """Return the scan without its noise, whose strength is measured in place.

    The strength is the median of what a 3 x 3 mean leaves, by which edges count little.
    """
    rest = values - ndimage.uniform_filter(values, (1, 3, 3))
    noise = max(float(1.4826 * np.median(np.abs(rest)) * 1.1), _FEWEST_NOISE_HU)
    smooth = np.stack(
        [
            cv2.bilateralFilter(np.ascontiguousarray(plane), 7, _EDGE_NOISES * noise, 2.5)
            for plane in values
        ]
    )
    return np.asarray(smooth, np.float32)
