"""What a detector should not mark: lymph nodes, vessels of the breast, cysts, fibroadenomas.

None of them is labelled as a lesion; the map of tissues names them. Their numbers and sizes are
rules of thumb. Nodes are beans of soft tissue around a fatty hilum. Vessels run some
millimetres under the skin, from the armpit towards the nipple.
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from jaxtyping import Float32
from scipy.spatial import cKDTree

from breastseg.datasets.phantom_ct.anatomy import Anatomy, Tissue
from breastseg.datasets.phantom_ct.breasts import breast_mask, sampling_grid
from breastseg.datasets.phantom_ct.grid import Field, Grid, Points, inside
from breastseg.datasets.phantom_ct.lung_vessels import Tube
from breastseg.datasets.phantom_ct.shape import Breast, Shape, Surfaces

_STEP_MM = 9.0
_NUM_STEPS = 18


@dataclass(frozen=True, slots=True)
class Lump:
    """An ellipsoid of one tissue. frame: its axes as rows; hilum: 0, or how far fat fills it."""

    tissue: Tissue
    centre: np.ndarray
    frame: np.ndarray
    semi_axes: np.ndarray
    hilum: float

    def shares(self, grid: Grid) -> tuple[np.ndarray, np.ndarray]:
        """Return the share of each voxel inside it, and the share that is its fatty hilum."""
        axes = (grid.x, grid.y, grid.z)
        offsets = [axis - np.float32(at) for axis, at in zip(axes, self.centre, strict=True)]
        x, y, z = offsets
        along = [
            np.asarray(row[0] * x + row[1] * y + row[2] * z, np.float32)
            for row in self.frame.astype(np.float32)
        ]
        width = grid.spacing_mm[2]
        whole = inside(_distance(along, self.semi_axes), width)
        # The hilum lies to one side and opens there.
        along[1] = along[1] - np.float32(0.6 * self.semi_axes[1])
        return whole, inside(_distance(along, self.hilum * self.semi_axes + 1e-3), width)


def _distance(along: list[Field], semi_axes: np.ndarray) -> Field:
    scaled = np.sqrt(
        sum(
            np.square(offset / np.float32(axis))
            for offset, axis in zip(along, semi_axes, strict=True)
        )
    )
    distance: Field = np.asarray((scaled - 1) * np.float32(semi_axes.min()), np.float32)
    return distance


@dataclass(frozen=True, slots=True)
class Distractors:
    """Those of one chest."""

    lumps: tuple[Lump, ...]
    vessels: tuple[Tube, ...]


def draw_distractors(random: np.random.Generator, shape: Shape) -> Distractors:
    """Draw what lies in both breasts and armpits."""
    lumps: list[Lump] = []
    vessels: list[Tube] = []
    for breast in shape.breasts:
        armpit = _armpit_grid(shape.anatomy, breast.side)
        lumps.extend(_nodes(random, _fat_points(shape, armpit, 6.0), int(random.integers(2, 9))))
        around = sampling_grid(breast)
        surfaces = shape.surfaces(shape.bend(around))
        within = breast_mask(surfaces, breast)
        lumps.extend(_breast_lumps(random, _deep(around, surfaces, within)))
        vessels.extend(_breast_vessels(random, breast, _shallow(around, surfaces, within)))
        vessels.extend(_armpit_vessels(random, _fat_points(shape, armpit, 4.0)))
    return Distractors(tuple(lumps), tuple(vessels))


def paint_lumps(
    hu: Float32[np.ndarray, "slices rows columns"],
    tissues: np.ndarray,
    grid: Grid,
    lumps: tuple[Lump, ...],
    anatomy: Anatomy,
) -> None:
    """Paint lumps into fat and gland; the arrays are changed."""
    for lump in lumps:
        reach = lump.semi_axes.max() + 2
        cut = grid.around(lump.centre - reach, lump.centre + reach)
        if cut is None:
            continue
        whole, hilum = lump.shares(grid.window(cut))
        whole = np.where(np.isin(tissues[cut], (Tissue.FAT, Tissue.GLAND)), whole, 0)
        fat = hilum if lump.hilum else np.zeros_like(hilum)
        own = anatomy.hu[lump.tissue] * (1 - fat) + anatomy.hu[Tissue.FAT] * fat
        hu[cut] += whole * (own - hu[cut])
        tissues[cut][whole * (1 - fat) >= 0.5] = lump.tissue


def _lump(random: np.random.Generator, tissue: Tissue, centre: np.ndarray, radius: float) -> Lump:
    frame = np.linalg.qr(random.normal(0, 1, (3, 3)))[0]
    node = tissue == Tissue.LYMPH_NODE
    narrow = random.uniform(0.45, 0.75, 2) if node else random.uniform(0.75, 1.0, 2)
    hilum = float(random.uniform(0.3, 0.75)) if node and radius > 2.5 else 0.0
    return Lump(tissue, centre, frame, radius * np.array([1.0, *narrow]), hilum)


def _nodes(random: np.random.Generator, places: Points, count: int) -> list[Lump]:
    return [
        _lump(random, Tissue.LYMPH_NODE, place, float(random.uniform(2, 7)))
        for place in _choose(random, places, count)
    ]


def _breast_lumps(random: np.random.Generator, places: Points) -> list[Lump]:
    """Return a node inside the breast in every fourth, and cysts or fibroadenomas in some."""
    nodes = _nodes(random, places, int(random.random() < 0.25))
    benign = []
    for place in _choose(random, places, int(random.choice([0, 1, 2], p=[0.7, 0.2, 0.1]))):
        tissue = Tissue.CYST if random.random() < 0.6 else Tissue.FIBROADENOMA
        benign.append(_lump(random, tissue, place, float(random.uniform(2.5, 8))))
    return nodes + benign


def _choose(random: np.random.Generator, places: Points, count: int) -> Points:
    if not len(places):
        return places
    chosen = places[random.integers(len(places), size=count)]
    return np.asarray(chosen + random.uniform(-1.5, 1.5, chosen.shape), np.float32)


def _breast_vessels(random: np.random.Generator, breast: Breast, places: Points) -> list[Tube]:
    if len(places) < _NUM_STEPS:
        return []
    return [
        tube
        for _ in range(int(random.integers(3, 8)))
        for tube in _run(random, places, breast.nipple, float(random.uniform(0.6, 1.5)))
    ]


def _armpit_vessels(random: np.random.Generator, places: Points) -> list[Tube]:
    if len(places) < _NUM_STEPS:
        return []
    return [
        tube
        for _ in range(int(random.integers(3, 7)))
        for tube in _run(random, places, places.mean(axis=0), float(random.uniform(0.9, 2.4)))
    ]


def _run(
    random: np.random.Generator, places: Points, goal: np.ndarray, radius: float
) -> list[Tube]:
    """Return a vessel that wanders over places that are allowed, towards a goal at first."""
    tree = cKDTree(places)
    path = [places[int(random.integers(len(places)))]]
    away = goal - path[0]
    for _ in range(int(random.integers(5, _NUM_STEPS))):
        away = away / (np.linalg.norm(away) + 1e-6) + random.normal(0, 0.35, 3)
        onward = path[-1] + _STEP_MM * away / np.linalg.norm(away)
        path.append(places[tree.query(onward)[1]])
    line = np.array(path)
    line[1:-1] = (line[:-2] + 2 * line[1:-1] + line[2:]) / 4
    return [Tube(start, end, radius) for start, end in pairwise(line) if (start != end).any()]


def _armpit_grid(anatomy: Anatomy, side: int) -> Grid:
    """Return a coarse grid over the fat between pectoral and back muscle."""
    x = side * np.arange(0.7, 1.35, 0.03, dtype=np.float32) * anatomy.half_width
    y = np.arange(-65, 25, 4, dtype=np.float32)
    z = np.arange(0, 105, 4, dtype=np.float32)
    return Grid(x[None, None, :], y[None, :, None], z[:, None, None], np.eye(4))


def _fat_points(shape: Shape, grid: Grid, room_mm: float) -> Points:
    surfaces = shape.surfaces(shape.bend(grid))
    return _points(grid, (surfaces.wall > room_mm) & (surfaces.body < -room_mm - 4))


def _deep(grid: Grid, surfaces: Surfaces, within: np.ndarray) -> Points:
    return _points(grid, within & (surfaces.body < -12) & (surfaces.wall > 8))


def _shallow(grid: Grid, surfaces: Surfaces, within: np.ndarray) -> Points:
    return _points(grid, within & (np.abs(surfaces.body + 9) < 4) & (surfaces.wall > 3))


def _points(grid: Grid, mask: np.ndarray) -> Points:
    axes = np.broadcast_arrays(grid.x, grid.y, grid.z)
    return np.stack([axis[mask] for axis in axes], axis=1).astype(np.float32)
