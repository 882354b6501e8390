"""What makes a lesion of a CT hard to see: its size, what it borders on, how dense its breast is.

Measured on the image and on what the reader drew, so that real scans have it as phantoms do:

- diameter: of the ball of the lesion's volume.
- shell: the voxels 2 to 6 mm from the lesion, without other lesions, without air and the 4 mm
  below it (skin), and, where the breast region is known, inside it (no muscle). The first 2 mm
  are left out, since they share voxels with the lesion.
- gland: voxels from -20 to 200 HU. Fat lies at about -100 and gland at 20 to 60 without
  contrast; above 200 HU there are clips and calcifications.
- contrast: mean HU of the lesion minus that of the shell. Fat in the shell lowers its mean: what
  lies in fat stands out, whatever its own HU.
- contrast to gland: mean HU of the lesion minus that of the gland in the shell.
- surroundings: "in fat" where less than half of the shell is gland; else "isodense in gland"
  where the contrast to gland is at most 15 HU either way, and "other than gland" where it is
  more. 15 HU is about the noise of one voxel of a chest CT: what differs less is seen by its
  form alone, and in gland its form has no border of fat to be seen by.
- density of the breast: share of gland in the breast region of the lesion's side, skin and
  lesions left out. It is no clinical density, which is a reader's impression of a mammogram.
"""

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from jaxtyping import Bool, Float32, Float64, UInt8
from scipy import ndimage

from breastseg.core.image import Case, Image, LabelMap
from breastseg.evaluation.matching import equivalent_diameter

GLAND_HU = (-20.0, 200.0)
SHELL_MM = (2.0, 6.0)
SKIN_MM = 4.0
AIR_HU = -400.0
ISODENSE_HU = 15.0
DENSE_SHARE = 0.5
LEAST_VOXELS = 30
"""Of a shell, or of the gland in it, below which a mean would be that of a few noisy voxels."""

DIAMETER_BOUNDS_MM = (10.0, 20.0)
DENSITY_BOUNDS = (0.06, 0.13, 0.27)
"""Of the four classes that the phantoms have too; four in five women lie below 0.27 (Yaffe et
al. 2009, Medical Physics 36(12):5437-5443)."""

_GRID_MM = 2.0
_CONTEXT_MM = SHELL_MM[1] + SKIN_MM

Surroundings = Literal["in fat", "isodense in gland", "other than gland"]
SURROUNDINGS: tuple[Surroundings, ...] = get_args(Surroundings)
Region = UInt8[np.ndarray, "slices rows columns"]
Inside = Bool[np.ndarray, "slices rows columns"]
Lengths = Float64[np.ndarray, "3"]
Box = tuple[slice, slice, slice]


@dataclass(frozen=True, slots=True, kw_only=True)
class LesionTraits:
    """What is measured of one lesion; None where there is too little of it to measure.

    label: in the reference's label map. diameter_mm: of the ball of its volume.
    mean_hu: of its voxels. contrast_hu: that minus the mean of the shell.
    gland_contrast_hu: that minus the mean of the gland in the shell.
    gland_around: share of gland in the shell, in [0, 1].
    surroundings: in fat, isodense in gland, or other than gland.
    breast_density: share of gland in the breast that it lies in, in [0, 1].
    """

    label: int
    diameter_mm: float
    mean_hu: float
    contrast_hu: float | None
    gland_contrast_hu: float | None
    gland_around: float | None
    surroundings: Surroundings | None
    breast_density: float | None

    @property
    def size_name(self) -> str:
        """Which of three sizes it has; 10 and 20 mm belong to the middle one."""
        low, high = DIAMETER_BOUNDS_MM
        if self.diameter_mm < low:
            return f"under {low:g} mm"
        return f"{low:g} to {high:g} mm" if self.diameter_mm <= high else f"above {high:g} mm"

    @property
    def density_name(self) -> str | None:
        """Which of four classes its breast has; a bound belongs to the denser one."""
        if self.breast_density is None:
            return None
        return density_name(self.breast_density)


SIZE_NAMES = ("under 10 mm", "10 to 20 mm", "above 20 mm")


def density_name(share: float) -> str:
    """Return the class of a share of gland.

    >>> density_name(0.02), density_name(0.13), density_name(0.5)
    ('up to 6 %', '13 to 27 %', 'above 27 %')
    """
    return DENSITY_NAMES[int(np.searchsorted(DENSITY_BOUNDS, share, side="right"))]


def _density_names() -> tuple[str, ...]:
    low, *middle, high = (f"{100 * bound:g}" for bound in DENSITY_BOUNDS)
    ends = zip((low, *middle), (*middle, high), strict=True)
    return (f"up to {low} %", *(f"{a} to {b} %" for a, b in ends), f"above {high} %")


DENSITY_NAMES = _density_names()


def measure_traits(case: Case, region: Region | None = None) -> tuple[LesionTraits, ...]:
    """Measure every lesion that the reader of a CT drew, in the order of their labels.

    Args:
        case: in HU, with an affine and a reference.
        region: the breasts on the image's grid: 0 elsewhere, 1 right, 2 left; None where they
            were not found.
    """
    assert case.reference is not None
    assert case.image.spacing_mm is not None
    spacing = np.asarray(case.image.spacing_mm)
    density = {} if region is None else breast_densities(case.image, region, case.reference)
    traits = []
    for label, window in enumerate(ndimage.find_objects(case.reference), start=1):
        if window is not None:
            traits.append(_measured(case, label, _widened(window, spacing, case), region, density))
    return tuple(traits)


def _widened(window: tuple[slice, ...], spacing: Lengths, case: Case) -> Box:
    sides = []
    for part, step, size in zip(window, spacing, case.image.pixels.shape, strict=True):
        reach = int(np.ceil(_CONTEXT_MM / step))
        sides.append(slice(max(0, part.start - reach), min(size, part.stop + reach)))
    return sides[0], sides[1], sides[2]


def _measured(
    case: Case, label: int, box: Box, region: Region | None, density: dict[int, float]
) -> LesionTraits:
    assert case.reference is not None
    spacing = case.image.spacing_mm
    assert spacing is not None
    pixels, labels = case.image.pixels[box], case.reference[box]
    inside = labels == label
    breasts = None if region is None else region[box]
    around = pixels[_shell(pixels, labels, label, breasts, np.asarray(spacing))]
    gland = around[_is_gland(around)]
    mean = float(pixels[inside].mean(dtype=np.float64))
    gland_share = gland.size / around.size if around.size >= LEAST_VOXELS else None
    to_gland = mean - float(gland.mean(dtype=np.float64)) if gland.size >= LEAST_VOXELS else None
    side = 0 if breasts is None else int(np.bincount(breasts[inside], minlength=3).argmax())
    return LesionTraits(
        label=label,
        diameter_mm=equivalent_diameter(
            int(np.count_nonzero(inside)), is_image=False, spacing_mm=spacing
        ),
        mean_hu=mean,
        contrast_hu=None if gland_share is None else mean - float(around.mean(dtype=np.float64)),
        gland_contrast_hu=to_gland,
        gland_around=gland_share,
        surroundings=_surroundings(gland_share, to_gland),
        breast_density=density.get(side),
    )


def _shell(
    pixels: Float32[np.ndarray, "slices rows columns"],
    labels: LabelMap,
    label: int,
    breasts: Region | None,
    spacing: Lengths,
) -> Inside:
    """Return the voxels around a lesion that it is compared with."""
    apart = ndimage.distance_transform_edt(labels != label, sampling=spacing)
    shell: Inside = (apart > SHELL_MM[0]) & (apart <= SHELL_MM[1]) & (labels == 0)
    air = pixels < AIR_HU
    if air.any():
        shell &= ndimage.distance_transform_edt(~air, sampling=spacing) > SKIN_MM
    if breasts is not None:
        shell &= breasts > 0
    return shell


def _is_gland(values: np.ndarray) -> np.ndarray:
    return np.asarray((values > GLAND_HU[0]) & (values < GLAND_HU[1]))


def _surroundings(gland_share: float | None, to_gland: float | None) -> Surroundings | None:
    if gland_share is None:
        return None
    if gland_share < DENSE_SHARE or to_gland is None:
        return "in fat"
    return "isodense in gland" if abs(to_gland) <= ISODENSE_HU else "other than gland"


def breast_densities(
    image: Image, region: Region, reference: LabelMap | None = None
) -> dict[int, float]:
    """Return the share of gland in each breast of a region, in [0, 1], without skin and lesions.

    Counted on every so many voxels as make about 2 mm: a share needs no more.

    Args:
        region: 1 in the right breast, 2 in the left.
        reference: lesions, which are no gland.
    """
    assert image.spacing_mm is not None
    steps = [max(1, int(_GRID_MM / length)) for length in image.spacing_mm]
    every = tuple(slice(step // 2, None, step) for step in steps)
    coarse = np.multiply(steps, image.spacing_mm)
    breasts, pixels = region[every], image.pixels[every]
    # Beyond the grid's edge the breast goes on: only air is outside it.
    deep = ndimage.distance_transform_edt(pixels >= AIR_HU, sampling=coarse) > SKIN_MM
    if reference is not None:
        deep &= reference[every] == 0
    shares = {}
    for side in (1, 2):
        values = pixels[(breasts == side) & deep]
        if values.size >= LEAST_VOXELS:
            shares[side] = float(_is_gland(values).mean())
    return shares
