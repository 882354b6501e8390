"""Time and memory of finding the breasts in a series of 512 x 512.

    python benchmarks/breast_region.py [--slices 300] [--series FOLDER]

Without a series, an ellipse with lungs, ribs and breasts is cut into that many slices of 1 mm;
slices of a real series are repeated in mirrored order until there are as many.
"""

import argparse
import resource
import time
from pathlib import Path

import numpy as np

from breastseg.core.image import Image
from breastseg.io.dicom_series import read_series
from breastseg.pipeline.breast_region import find_breasts

SIDE, PIXEL_MM = 512, 0.8


def made(slices: int) -> Image:
    """Return a chest of so many slices, each as the one before but for the size of the breasts."""
    pixels = np.empty((slices, SIDE, SIDE), np.float32)
    y, x = np.mgrid[:SIDE, :SIDE].astype(np.float32) * PIXEL_MM - SIDE * PIXEL_MM / 2
    noise = np.random.default_rng(1).normal(0, 15, (SIDE, SIDE)).astype(np.float32)
    cage = np.hypot(x / 140, y / 90)
    for index in range(slices):
        height = (index - slices / 2) / (0.3 * slices)
        breast = np.hypot((np.abs(x) - 75) / 60, (y + 90) / 45) < np.sqrt(max(0, 1 - height**2))
        plane = np.where((np.hypot(x / 156, y / 106) < 1) | breast, -100, -1000).astype(np.float32)
        plane[np.hypot(x / 148, y / 98) < 1] = 50
        plane[(cage < 1) & (cage > 0.93) & (index % 24 < 12)] = 600
        plane[np.hypot((np.abs(x) - 70) / 58, y / 74) < 1] = -800
        pixels[index] = plane + noise
    affine = np.eye(4)[[2, 1, 0, 3]] * [1, PIXEL_MM, PIXEL_MM, 1]
    return Image(pixels=pixels, affine=affine)


def repeated(folder: Path, slices: int) -> Image:
    """Return a real series as if it had so many slices."""
    image = read_series(folder).image
    pair = np.concatenate([image.pixels, image.pixels[::-1]])
    times = -(-slices // len(pair))
    return Image(pixels=np.tile(pair, (times, 1, 1))[:slices], affine=image.affine)


def main() -> None:
    """Measure once and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--slices", type=int, default=300)
    parser.add_argument("--series", type=Path)
    given = parser.parse_args()
    image = repeated(given.series, given.slices) if given.series else made(given.slices)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    start, cpu = time.perf_counter(), time.process_time()
    found = find_breasts(image)
    seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{given.slices} slices of {SIDE} x {SIDE}: {seconds:.1f} s, {cpu:.1f} s of processor")
    print(f"volume {image.pixels.nbytes / 2**20:.0f} MiB, peak {peak - before:.0f} MiB beyond it")
    print("\n".join(found.in_words()))


if __name__ == "__main__":
    main()
