"""What a scanner does to the body: blur, slice profile, correlated noise, whole HU.

The noise has the spectrum of filtered back-projection: it rises with the spatial frequency and
falls again where the kernel rolls off, so that it is negatively correlated at some distance. It
is stronger in the middle of the body and, where shoulders and arms weaken the beam, streaked
from side to side.

Source: Riederer et al. 1978, Physics in Medicine and Biology 23(3):446-454 (the noise power
    spectrum); Boedeker et al. 2007, Physics in Medicine and Biology 52(14):4027-4046 (of
    clinical kernels). Widths and strengths are rules of thumb, set beside real series, whose
    noise in the heart was about 9 to 25 HU.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32
from scipy import fft, ndimage

from breastseg.datasets.phantom_ct.grid import Grid

LOWEST_HU, HIGHEST_HU = -1024, 3071
_SLICE_BLUR = 0.4
_OVERSHOOT_MM = 1.3
_BODY_MM = 150.0

Volume = Float32[np.ndarray, "slices rows columns"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scanner:
    """How a scan is made.

    blur_mm: standard deviation of the point spread in the plane.
    roll_off_mm: the larger, the coarser the grain of the noise.
    noise_hu: standard deviation of the noise in the middle of the body.
    edge: how much the kernel overshoots at edges, as a share of their height; 0 for none.
    streaks: 0 for noise alike in all directions, above for streaks from side to side.
    """

    blur_mm: float
    roll_off_mm: float
    noise_hu: float
    streaks: float
    edge: float = 0.0


def draw_scanner(random: np.random.Generator, noise_hu: float | None = None) -> Scanner:
    """Draw a scanner; sharp kernels are noisier: a rule of thumb."""
    sharpness = float(random.uniform(0, 1))
    drawn = 8 + 13 * sharpness + float(random.uniform(-1, 4))
    return Scanner(
        blur_mm=0.8 - 0.35 * sharpness,
        roll_off_mm=1.9 - 0.9 * sharpness,
        noise_hu=drawn if noise_hu is None else noise_hu,
        streaks=float(random.choice([0.0, 0.5, 1.5])),
        edge=0.7 * max(sharpness - 0.3, 0.0),
    )


def scan(random: np.random.Generator, body: Volume, grid: Grid, scanner: Scanner) -> Volume:
    """Return a scan of a body in whole HU, from -1024 to 3071."""
    blurred = blur(body, grid, scanner.blur_mm)
    if scanner.edge > 0:
        widths = (0, *(_OVERSHOOT_MM / length for length in grid.spacing_mm[1:]))
        blurred += scanner.edge * (blurred - ndimage.gaussian_filter(blurred, widths, truncate=3))
    if scanner.noise_hu > 0:
        blurred += scanner.noise_hu * _noise(random, grid, scanner)
    stored: Volume = np.clip(np.rint(blurred), LOWEST_HU, HIGHEST_HU)
    return stored


def blur(values: Volume, grid: Grid, blur_mm: float) -> Volume:
    """Return values at a scanner's resolution."""
    widths = (_SLICE_BLUR, *(blur_mm / length for length in grid.spacing_mm[1:]))
    blurred: Volume = ndimage.gaussian_filter(values, widths, mode="nearest", truncate=3)
    return blurred


def _noise(random: np.random.Generator, grid: Grid, scanner: Scanner) -> Volume:
    """Return noise of standard deviation 1 in the middle of the body."""
    _, rows, columns = grid.shape
    noise: Volume = np.empty(grid.shape, np.float32)
    for index, z in enumerate(grid.z.ravel()):
        # The shoulders begin above the breasts.
        streaks = scanner.streaks * float(np.clip((z + 10) / 90, 0.1, 1.5))
        spectrum = _amplitude(grid, scanner, streaks)
        white = random.standard_normal((rows, columns), np.float32)
        noise[index] = fft.irfft2(fft.rfft2(white) * spectrum, (rows, columns))
    # Neighbouring slices share some of their data.
    noise = ndimage.convolve1d(noise, np.array([0.15, 1, 0.15], np.float32), axis=0)
    noise /= noise.std()
    radius = np.square(grid.x / _BODY_MM) + np.square(grid.y / _BODY_MM)
    noise *= 0.65 + 0.35 * np.exp(-radius)
    return noise


def _amplitude(
    grid: Grid, scanner: Scanner, streaks: float
) -> Float32[np.ndarray, "rows half_columns"]:
    down = np.fft.fftfreq(grid.shape[1], grid.spacing_mm[1])[:, None]
    right = np.fft.rfftfreq(grid.shape[2], grid.spacing_mm[2])[None]
    frequency = np.hypot(down, right) + 1e-4
    power = (frequency + 0.02) * np.exp(-2 * np.square(np.pi * scanner.roll_off_mm * frequency / 2))
    power *= 1 + streaks * 6 * np.square(np.square(down / frequency))
    amplitude: Float32[np.ndarray, "rows half_columns"] = np.sqrt(power).astype(np.float32)
    return amplitude
