"""Lesions of known volume, diameter, margin and HU.

A lesion is star-shaped: its surface lies at a distance from its centre that depends on the
direction, as a stretched sphere with lobes (cosines of random direction) and spicules (narrow
peaks that taper outwards). Volume and diameter are integrals over the directions, so they are
known without a voxel.

Sources: de Sisternes et al. 2015, Medical Physics 42(2):1098-1118 (masses as Gaussian random
    spheres with spicules; the cosines and peaks in their place are this project's own).
    HU: carcinomas take up 55.9 HU (standard error 4.0, 29 lesions) after contrast in breast CT,
    Prionas et al. 2010, Radiology 256(3):714-723. Without contrast, a carcinoma as dense as
    gland is a rule of thumb, and so are the shares of the margins and the sizes.
"""

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from jaxtyping import Float32, Float64
from scipy.spatial import ConvexHull
from scipy.spatial.distance import pdist

from breastseg.datasets.phantom_ct.anatomy import Phase, Tissue
from breastseg.datasets.phantom_ct.grid import Grid, Noise

Margin = Literal["smooth", "lobulated", "spiculated"]
MARGINS: tuple[Margin, ...] = get_args(Margin)

_MARGIN_ODDS = (0.2, 0.3, 0.5)
_NUM_DIRECTIONS = 6000
_SUBDIVISIONS = 4
_UPTAKE_HU = (56.0, 21.0)
_GRAIN_HU, _GRAIN_MM = 6.0, 3.0

Volume = Float32[np.ndarray, "slices rows columns"]
Directions = Float64[np.ndarray, "directions 3"]


@dataclass(frozen=True, slots=True)
class LesionShape:
    """A surface around the origin.

    stretch: semi-axes of the sphere's stretching, along `frame`'s rows.
    waves: (amplitude, frequency vector, phase) of each lobe, relative to the radius.
    spicules: (height, direction, sharpness) of each, relative to the radius.
    scale_mm: the radius of what the other fields are relative to.
    """

    frame: np.ndarray
    stretch: np.ndarray
    waves: tuple[tuple[float, np.ndarray, float], ...]
    spicules: tuple[tuple[float, np.ndarray, float], ...]
    scale_mm: float = 1.0

    def radius(self, directions: Directions) -> Float64[np.ndarray, " directions"]:
        """Return the distance to the surface in mm in each direction (unit vectors, LPS)."""
        turned = directions @ self.frame.T
        radius = 1 / np.linalg.norm(turned / self.stretch, axis=1)
        relief = np.ones(len(directions))
        for amplitude, frequency, phase in self.waves:
            relief += amplitude * np.cos(turned @ frequency + phase)
        for height, direction, sharpness in self.spicules:
            relief += height * np.exp(sharpness * (turned @ direction - 1))
        surface: Float64[np.ndarray, " directions"] = self.scale_mm * radius * relief
        return surface

    @property
    def volume_mm3(self) -> float:
        """The volume inside the surface."""
        return float(4 * np.pi / 3 * np.mean(self.radius(_DIRECTIONS) ** 3))

    @property
    def diameter_mm(self) -> float:
        """The largest distance between two points of the surface."""
        points = _DIRECTIONS * self.radius(_DIRECTIONS)[:, None]
        return float(pdist(points[ConvexHull(points).vertices]).max())

    @property
    def reach_mm(self) -> float:
        """The largest distance of the surface from the centre."""
        return float(self.radius(_DIRECTIONS).max())

    def scaled_to(self, volume_mm3: float) -> "LesionShape":
        """Return the same form with another volume."""
        factor = (volume_mm3 / self.volume_mm3) ** (1 / 3)
        return LesionShape(
            self.frame, self.stretch, self.waves, self.spicules, self.scale_mm * factor
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Lesion:
    """A lesion with a place.

    centre: LPS mm.
    hu: mean of its inside, before blur and noise.
    contrast_hu: that mean above the gland's.
    """

    centre: np.ndarray
    shape: LesionShape
    margin: Margin
    hu: float
    contrast_hu: float

    def shares(self, grid: Grid) -> tuple[tuple[slice, slice, slice], Volume]:
        """Return a window of the grid around the lesion, and each voxel's share inside it.

        The share is counted over 4 x 4 x 4 points in a voxel. The window may be empty.
        """
        reach = self.shape.reach_mm + np.array(grid.spacing_mm[::-1])
        cut = grid.around(self.centre - reach, self.centre + reach)
        if cut is None:
            empty = slice(0, 0)
            return (empty, empty, empty), np.zeros((0, 0, 0), np.float32)
        part = grid.window(cut)
        steps = (np.arange(_SUBDIVISIONS) + 0.5) / _SUBDIVISIONS - 0.5
        spacing = grid.spacing_mm
        axes = [
            (axis.ravel()[:, None] + steps * length - at).ravel()
            for axis, length, at in zip(
                (part.z, part.y, part.x), spacing, self.centre[::-1], strict=True
            )
        ]
        z, y, x = np.meshgrid(*axes, indexing="ij")
        within = _is_inside(self.shape, np.stack([x, y, z], axis=-1).reshape(-1, 3))
        split = [size for length in part.shape for size in (length, _SUBDIVISIONS)]
        shares = within.reshape(split).mean(axis=(1, 3, 5), dtype=np.float32)
        return cut, shares

    def inside_hu(self, random: np.random.Generator, grid: Grid, shares: Volume) -> Volume:
        """Return the HU of its uneven inside, whose mean over the shares is `hu`."""
        grain = _GRAIN_HU * Noise(random, _GRAIN_MM).on(grid)
        total = max(float(shares.sum()), 1e-6)
        values: Volume = self.hu + grain - np.float32((grain * shares).sum() / total)
        return values


def draw_form(
    random: np.random.Generator, margin: Margin | None = None
) -> tuple[Margin, LesionShape]:
    """Draw a form of volume 1 mm3; the margin by its share where none is given."""
    drawn: Margin = margin or MARGINS[int(random.choice(len(MARGINS), p=_MARGIN_ODDS))]
    frame = np.linalg.qr(random.normal(0, 1, (3, 3)))[0]
    stretch = np.array([1.0, random.uniform(0.75, 1.0), random.uniform(0.65, 0.95)])
    amplitude = {"smooth": 0.025, "lobulated": 0.085, "spiculated": 0.07}[drawn]
    waves = tuple(
        (
            float(amplitude * random.uniform(0.6, 1.2)),
            random.normal(0, 1, 3) * random.uniform(2.0, 3.5),
            float(random.uniform(0, 2 * np.pi)),
        )
        for _ in range(5)
    )
    spicules: tuple[tuple[float, np.ndarray, float], ...] = ()
    if drawn == "spiculated":
        spicules = tuple(_spicule(random) for _ in range(int(random.integers(18, 34))))
    return drawn, LesionShape(frame, stretch, waves, spicules).scaled_to(1.0)


def draw_contrast_hu(random: np.random.Generator, phase: Phase) -> float:
    """Return by how much a lesion is brighter than gland."""
    if phase == "unenhanced":
        return float(random.uniform(-3, 18))
    return float(np.clip(random.normal(*_UPTAKE_HU), 10, 110)) - 12


def equivalent_volume(diameter_mm: float) -> float:
    """Return the volume of a sphere.

    >>> round(equivalent_volume(10))
    524
    """
    return float(np.pi / 6 * diameter_mm**3)


def paint_lesion(
    random: np.random.Generator,
    hu: Float32[np.ndarray, "slices rows columns"],
    tissues: np.ndarray,
    labels: np.ndarray,
    grid: Grid,
    lesion: Lesion,
    number: int,
) -> None:
    """Paint a lesion by partial volume; a voxel is labelled where half of it or more is inside."""
    cut, shares = lesion.shares(grid)
    inside = lesion.inside_hu(random, grid.window(cut), shares)
    hu[cut] += shares * (inside - hu[cut])
    labels[cut][shares >= 0.5] = number
    tissues[cut][shares >= 0.5] = Tissue.LESION


def _spicule(random: np.random.Generator) -> tuple[float, np.ndarray, float]:
    direction = random.normal(0, 1, 3)
    direction /= np.linalg.norm(direction)
    return float(random.uniform(0.2, 0.75)), direction, float(random.uniform(50, 180))


def _is_inside(shape: LesionShape, points: Float64[np.ndarray, "points 3"]) -> np.ndarray:
    distance = np.linalg.norm(points, axis=1)
    within = np.zeros(len(points), np.bool_)
    near = distance < shape.reach_mm
    away = np.maximum(distance[near, None], 1e-9)
    within[near] = distance[near] < shape.radius(points[near] / away)
    return within


def _sphere(count: int) -> Directions:
    """Return directions that share a sphere evenly (a Fibonacci lattice)."""
    steps = np.arange(count) + 0.5
    height = 1 - 2 * steps / count
    turn = steps * np.pi * (3 - np.sqrt(5))
    ring = np.sqrt(1 - height**2)
    return np.stack([ring * np.cos(turn), ring * np.sin(turn), height], axis=1)


_DIRECTIONS = _sphere(_NUM_DIRECTIONS)
