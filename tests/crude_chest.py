"""A crude chest CT: trunk, lungs, ribs and two breasts, for tests that need a scan in no time."""

import numpy as np

from breastseg.core.image import Image

AIR, FAT, MUSCLE, BONE, LUNG, LESION = -1000.0, -100.0, 50.0, 600.0, -800.0, 300.0
IN_RIGHT_BREAST, IN_LEFT_BREAST = (-75.0, -103.0, 20.0), (80.0, -105.0, -12.0)


def crude_chest(*, mm: float = 4.0, lungs: bool = True) -> Image:
    """Return a supine chest; slices to the head, rows to posterior, columns to the left."""
    axes = np.meshgrid(
        np.arange(-100, 101, mm), np.arange(-160, 121, mm), np.arange(-220, 221, mm), indexing="ij"
    )
    z, y, x = (axis.astype(np.float32) for axis in axes)
    hu = np.where(np.hypot(x / 156, y / 106) < 1, FAT, AIR)
    for side in (-1, 1):
        breast = ((side * x - 75) / 60) ** 2 + ((y + 80) / 45) ** 2 + (z / 65) ** 2 < 1
        hu[breast] = FAT
    hu[np.hypot(x / 148, y / 98) < 1] = MUSCLE
    ribs = (np.hypot(x / 140, y / 90) < 1) & (np.hypot(x / 132, y / 82) > 1)
    hu[ribs & (np.mod(z, 24) < 12)] = BONE
    if lungs:
        hu[np.hypot((np.abs(x) - 70) / 58, y / 74) < 1] = LUNG
    affine = np.array([[0, 0, mm, -220], [0, mm, 0, -160], [mm, 0, 0, -100], [0, 0, 0, 1]], float)
    return Image(pixels=hu.astype(np.float32), affine=affine)


def with_lesion(image: Image, centre: tuple[float, float, float], radius_mm: float = 9) -> Image:
    """Return the scan with a bright ball at a position in LPS mm."""
    assert image.affine is not None
    places = np.indices(image.pixels.shape).reshape(3, -1)
    at = image.affine[:3, :3] @ places + image.affine[:3, 3:]
    ball = np.linalg.norm(at - np.reshape(centre, (3, 1)), axis=0) <= radius_mm
    pixels = np.where(ball.reshape(image.pixels.shape), np.float32(LESION), image.pixels)
    return Image(pixels=pixels, affine=image.affine)
