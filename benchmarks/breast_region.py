"""What finding the breasts costs in a series of 512 x 512, and how good it is on phantoms.

    python benchmarks/breast_region.py [--slices 300] [--series FOLDER]
    python benchmarks/breast_region.py --phantoms 30

Without a series, an ellipse with lungs, ribs and breasts is cut into that many slices of 1 mm;
slices of a real series are repeated in mirrored order until there are as many.

On phantoms, supine but for every third: overlap with the true breasts, how much of the lesions
is inside, and how far off the nipple and the distances of lesions are. None of them was used
to set a limit of the method (those were of another seed).
"""

import argparse
import resource
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy import ndimage

from breastseg.core.image import Image
from breastseg.datasets.phantom_ct.anatomy import Tissue
from breastseg.datasets.phantom_ct.phantom import PhantomCT, PhantomSettings, make_phantom_ct
from breastseg.io.dicom_series import read_series
from breastseg.pipeline.breast_position import find_nipples, locate_lesions
from breastseg.pipeline.breast_region import SIDES, BreastRegion, find_breasts

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


@dataclass
class Measured:
    """Of all phantoms together; distances in mm."""

    dice: list[float]
    recall: list[float]
    inside: list[tuple[float, ...]]
    centres: list[bool]
    skin: list[float]
    chest_wall: list[float]
    nipple: list[float]
    nipples_missed: int = 0


GROWN_MM = (0.0, 5.0, 10.0)
WALL = (Tissue.MUSCLE, Tissue.CARTILAGE, Tissue.CORTICAL_BONE, Tissue.MARROW)


def measure_phantoms(count: int, seed: int) -> dict[str, Measured]:
    """Return what was measured of supine and of prone phantoms."""
    measured = {pose: Measured([], [], [], [], [], [], []) for pose in ("supine", "prone")}
    for index in range(count):
        pose = "prone" if index % 3 == 2 else "supine"
        phantom = make_phantom_ct(seed, index, PhantomSettings(pose=pose, num_lesions=3))
        region = find_breasts(phantom.image)
        for number in SIDES.values():
            both = np.count_nonzero((region.labels == number) & (phantom.breasts == number))
            true = np.count_nonzero(phantom.breasts == number)
            measured[pose].dice.append(
                2 * both / (true + np.count_nonzero(region.labels == number))
            )
            measured[pose].recall.append(both / true)
        measure_lesions(phantom, region, measured[pose])
        measure_nipples(phantom, region, measured[pose])
        dice = ", ".join(f"{each:.3f}" for each in measured[pose].dice[-2:])
        print(f"{index}: {pose}, fat {phantom.anatomy.fat:.0f} mm, Dice {dice}", flush=True)
    return measured


def measure_lesions(phantom: PhantomCT, region: BreastRegion, into: Measured) -> None:
    """Add how much of each lesion is inside the region, and how far off its distances are."""
    spacing = phantom.image.spacing_mm
    beyond = ndimage.distance_transform_edt(region.labels == 0, sampling=spacing)
    to_wall = ndimage.distance_transform_edt(~np.isin(phantom.tissues, WALL), sampling=spacing)
    in_air = np.isin(phantom.tissues, (Tissue.AIR, Tissue.TABLE))
    to_air = ndimage.distance_transform_edt(~in_air, sampling=spacing)
    found = locate_lesions(region, phantom.image, phantom.labels)
    for number, position in found.items():
        lesion = phantom.labels == number
        into.inside.append(tuple(float((beyond[lesion] <= mm).mean()) for mm in GROWN_MM))
        middle = tuple(np.rint(np.argwhere(lesion).mean(axis=0)).astype(int))
        into.centres.append(bool(region.labels[middle]))
        if position.skin_mm is not None and position.chest_wall_mm is not None:
            into.skin.append(position.skin_mm - to_air[lesion].min())
            into.chest_wall.append(position.chest_wall_mm - to_wall[lesion].min())


def measure_nipples(phantom: PhantomCT, region: BreastRegion, into: Measured) -> None:
    """Add how far each estimated nipple is from the nearest voxel of the true one."""
    affine = phantom.image.affine
    nipples = find_nipples(region, phantom.image)
    for side, number in SIDES.items():
        true = (phantom.tissues == Tissue.NIPPLE) & (phantom.breasts == number)
        places = np.argwhere(true) @ affine[:3, :3].T + affine[:3, 3]
        if side not in nipples or not len(places):
            into.nipples_missed += 1
            continue
        away = np.linalg.norm(places - nipples[side].position, axis=1)
        into.nipple.append(float(away.min()))


def in_words(measured: Measured) -> Iterator[str]:
    """Say what was measured."""
    yield f"  Dice {np.median(measured.dice):.3f}, worst {min(measured.dice):.3f}"
    yield f"  share of the breast inside {np.median(measured.recall):.3f}, worst " + (
        f"{min(measured.recall):.3f}"
    )
    inside = np.array(measured.inside)
    yield f"  lesions {len(inside)}, with their centre inside {sum(measured.centres)}"
    for grown, shares in zip(GROWN_MM, inside.T, strict=True):
        yield f"  share of a lesion within {grown:.0f} mm of the region: mean " + (
            f"{shares.mean():.4f}, worst {shares.min():.3f}"
        )
    for name, errors in (("skin", measured.skin), ("chest wall", measured.chest_wall)):
        off = np.abs(errors)
        yield f"  distance to the {name} off by {np.median(off):.1f} mm, 95 % within " + (
            f"{np.percentile(off, 95):.1f}, worst {off.max():.1f}"
        )
    yield f"  nipple off by {np.median(measured.nipple):.1f} mm, worst " + (
        f"{max(measured.nipple):.1f}; not told {measured.nipples_missed}"
    )


def main() -> None:
    """Measure once and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--slices", type=int, default=300)
    parser.add_argument("--series", type=Path)
    parser.add_argument("--phantoms", type=int, help="measure quality on so many phantoms instead")
    parser.add_argument("--seed", type=int, default=2)
    given = parser.parse_args()
    if given.phantoms:
        for pose, measured in measure_phantoms(given.phantoms, given.seed).items():
            print(f"{pose}:", *in_words(measured), sep="\n")
        return
    image = repeated(given.series, given.slices) if given.series else made(given.slices)
    measure_time(image)


def measure_time(image: Image) -> None:
    """Print the time and memory of one image."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    start, cpu = time.perf_counter(), time.process_time()
    found = find_breasts(image)
    seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"{len(image.pixels)} slices of {SIDE} x {SIDE}: {seconds:.1f} s, {cpu:.1f} s of processor"
    )
    print(f"volume {image.pixels.nbytes / 2**20:.0f} MiB, peak {peak - before:.0f} MiB beyond it")
    print("\n".join(found.in_words()))


if __name__ == "__main__":
    main()
