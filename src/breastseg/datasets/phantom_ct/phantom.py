"""One phantom: anatomy, lesions and scan, each from a random stream of its own."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Int32, UInt8

from breastseg.core.image import Image
from breastseg.datasets.phantom_ct.anatomy import Anatomy, Density, Pose, Tissue, draw_anatomy
from breastseg.datasets.phantom_ct.bones import paint_spine, paint_wall
from breastseg.datasets.phantom_ct.breasts import (
    Gland,
    breast_mask,
    make_gland,
    paint_gland,
    paint_skin_and_fat,
    sampling_grid,
)
from breastseg.datasets.phantom_ct.canvas import Canvas
from breastseg.datasets.phantom_ct.distractors import draw_distractors, paint_lumps
from breastseg.datasets.phantom_ct.grid import BentGrid, Grid, Noise, make_grid
from breastseg.datasets.phantom_ct.lesions import Lesion, paint_lesion
from breastseg.datasets.phantom_ct.lung_vessels import grow_vessels, paint_vessels
from breastseg.datasets.phantom_ct.organs import paint_organs
from breastseg.datasets.phantom_ct.placement import draw_lesions
from breastseg.datasets.phantom_ct.scanner import Scanner, draw_scanner, scan
from breastseg.datasets.phantom_ct.shape import Shape, Surfaces, make_shape

RIGHT, LEFT = 1, 2

DEFAULT_SHAPE = (96, 256, 256)


@dataclass(frozen=True, slots=True, kw_only=True)
class PhantomSettings:
    """What is fixed of a phantom; None is drawn at random.

    shape: (slices, rows, columns). spacing_mm: along the same axes.
    num_lesions: 0 for a phantom without lesion.
    diameters_mm: least and largest diameter of a sphere of the lesions' volume.
    noise_hu: in the middle of the body; 0 for none.
    """

    shape: tuple[int, int, int] = DEFAULT_SHAPE
    spacing_mm: tuple[float, float, float] | None = None
    pose: Pose | None = None
    density: Density | None = None
    num_lesions: int | None = None
    diameters_mm: tuple[float, float] = (5.0, 35.0)
    noise_hu: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PhantomCT:
    """A scan and its truth, all on one grid.

    image: HU.
    tissues: values of Tissue.
    breasts: 1 in the patient's right breast, 2 in the left; skin, nipple and lesions included.
    labels: 0, or the number of the lesion from 1, in the order of `lesions`.
    sides: RIGHT or LEFT of each lesion.
    """

    image: Image
    tissues: UInt8[np.ndarray, "slices rows columns"]
    breasts: UInt8[np.ndarray, "slices rows columns"]
    labels: Int32[np.ndarray, "slices rows columns"]
    lesions: tuple[Lesion, ...]
    sides: tuple[int, ...]
    anatomy: Anatomy
    scanner: Scanner


def make_phantom_ct(seed: int, index: int, settings: PhantomSettings | None = None) -> PhantomCT:
    """Make one phantom.

    Args:
        seed: of the set.
        index: of the phantom in the set; every fourth is prone, every sixth without lesion.
        settings: what is fixed.
    """
    fixed = settings or PhantomSettings()
    chest, lesion_stream, scan_stream = (
        np.random.default_rng([seed, index, stream]) for stream in range(3)
    )
    pose: Pose = fixed.pose or ("prone" if index % 4 == 3 else "supine")
    anatomy = draw_anatomy(chest, pose, fixed.density)
    grid = _grid(chest, anatomy, fixed)
    hu, tissues, breasts = _build(chest, anatomy, grid)
    labels = np.zeros(grid.shape, np.int32)
    count = fixed.num_lesions if fixed.num_lesions is not None else _count(lesion_stream, index)
    lesions, sides = draw_lesions(
        lesion_stream, count, fixed.diameters_mm, anatomy, (tissues, breasts, grid)
    )
    for number, lesion in enumerate(lesions, start=1):
        paint_lesion(lesion_stream, hu, tissues, labels, grid, lesion, number)
    scanner = draw_scanner(scan_stream, fixed.noise_hu)
    return PhantomCT(
        image=Image(pixels=scan(scan_stream, hu, grid, scanner), affine=grid.affine),
        tissues=tissues,
        breasts=breasts,
        labels=labels,
        lesions=lesions,
        sides=sides,
        anatomy=anatomy,
        scanner=scanner,
    )


def _count(random: np.random.Generator, index: int) -> int:
    return 0 if index % 6 == 5 else int(random.choice([1, 2, 3], p=[0.6, 0.3, 0.1]))


def _grid(random: np.random.Generator, anatomy: Anatomy, settings: PhantomSettings) -> Grid:
    """Return a grid that holds the chest, whatever the number of voxels."""
    depth = 30 + anatomy.breast_axes[0] if anatomy.pose == "prone" else 0
    # From a field that just holds the body to one that holds the arms too.
    body_mm = 2 * (anatomy.half_width + anatomy.fat + 38)
    field_mm = max(body_mm * float(random.uniform(1.04, 1.35)), 320.0) + 0.4 * depth
    middle = float(random.uniform(-8, 8))
    slices, rows, columns = settings.shape
    spacing = settings.spacing_mm or (
        round(240 / slices, 3),
        round(field_mm / rows, 4),
        round(field_mm / columns, 4),
    )
    centre = (float(random.uniform(-4, 4)), -8 - 0.45 * depth, 4 + middle)
    return make_grid(settings.shape, spacing, centre, prone=anatomy.pose == "prone")


def _build(
    random: np.random.Generator, anatomy: Anatomy, grid: Grid
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return HU, tissues and breasts of a chest without lesions, blur and noise."""
    shape = make_shape(random, anatomy)
    glands = [make_gland(random, shape, breast, sampling_grid(breast)) for breast in shape.breasts]
    noises = tuple(Noise(random, scale) for scale in (7.0, 14.0, 16.0, 2.6))
    tubes = grow_vessels(random)
    hu = np.empty(grid.shape, np.float32)
    tissues = np.empty(grid.shape, np.uint8)
    breasts = np.zeros(grid.shape, np.uint8)
    for part, slab in grid.slabs():
        bent = shape.bend(slab)
        surfaces = shape.surfaces(bent)
        canvas = _paint(bent, shape, surfaces, glands, noises)
        hu[part], tissues[part] = canvas.hu, canvas.tissues
        for gland, number in zip(glands, (RIGHT, LEFT), strict=True):
            breasts[part][_breast(surfaces, gland, slab)] = number
    vessel_hu = anatomy.hu[Tissue.VESSEL]
    paint_vessels(hu, tissues, grid, tubes, vessel_hu)
    beside = draw_distractors(random, shape)
    paint_lumps(hu, tissues, grid, beside.lumps, anatomy)
    paint_vessels(hu, tissues, grid, beside.vessels, vessel_hu, into=Tissue.FAT)
    return hu, tissues, breasts


def _breast(
    surfaces: Surfaces, gland: Gland, slab: Grid
) -> Bool[np.ndarray, "slices rows columns"]:
    """Return a breast on its own side of the midline."""
    mask: Bool[np.ndarray, "slices rows columns"] = breast_mask(surfaces, gland.breast)
    return mask & (slab.x * gland.breast.side > 0)


def _paint(
    slab: BentGrid, shape: Shape, surfaces: Surfaces, glands: list[Gland], noises: tuple[Noise, ...]
) -> Canvas:
    canvas = Canvas.empty(slab, shape.anatomy.hu)
    _paint_table(canvas, shape.anatomy, slab.straight)
    paint_skin_and_fat(canvas, shape.anatomy, surfaces, (noises[0], noises[1]))
    for gland in glands:
        paint_gland(canvas, surfaces, gland, shape.anatomy)
    paint_wall(canvas, shape, surfaces, noises[1], noises[3])
    paint_organs(canvas, shape, surfaces, noises[2], noises[0])
    paint_spine(canvas, shape, noises[3])
    return canvas


def _paint_table(canvas: Canvas, anatomy: Anatomy, grid: Grid) -> None:
    """Paint a thin curved table under the back, or under hanging breasts."""
    bend = np.square(grid.x) / 1600
    if anatomy.pose == "prone":
        top = -anatomy.half_depth - 45 - anatomy.breast_axes[0]
        depth = top - grid.y + 0.3 * bend
    else:
        depth = grid.y - anatomy.half_depth - anatomy.fat - 29 + bend
    for level in (4.0, 26.0):
        sheet = np.maximum(np.abs(depth - level) - 1.6, np.abs(grid.x) - 200)
        canvas.paint(Tissue.TABLE, sheet + np.zeros_like(grid.z))
