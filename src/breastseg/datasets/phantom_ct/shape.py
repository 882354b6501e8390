"""The surfaces that everything else refers to: rib cage, chest wall, breasts, skin.

All distances are in mm, negative inside, and taken along a ray from the middle, which is close
to the true distance where a surface is smooth. z is 0 at the height of the nipples.
"""

from dataclasses import dataclass

import numpy as np

from breastseg.datasets.phantom_ct.anatomy import Anatomy
from breastseg.datasets.phantom_ct.grid import (
    BentGrid,
    Field,
    Grid,
    Noise,
    ellipsoid,
    smooth_union,
)

_SQUARENESS = 2.3
_BLEND_MM = {"supine": 30.0, "prone": 22.0}
# From anterior, of the middle of the breast's base and of the direction in which it points.
_BASE_ANGLE = {"supine": 42.0, "prone": 36.0}
_POINT_ANGLE = {"supine": 38.0, "prone": 8.0}
# A breast reaches further up than down, towards the arm, and falls to a fold below.
_UPWARD, _DOWNWARD = 1.35, 0.8
_BEND_MM, _NEAR_BEND_MM = 5.0, 1.3
SIDES = (-1, 1)


@dataclass(frozen=True, slots=True)
class Breast:
    """A breast's own axes. side: -1 the patient's right, 1 the left."""

    side: int
    base: np.ndarray
    outward: np.ndarray
    across: np.ndarray
    axes: tuple[float, float, float]

    def local(self, grid: Grid) -> tuple[Field, Field, Field]:
        """Return mm outward from the base, across (positive laterally), and to the head."""
        x, y = grid.x - self.base[0], grid.y - self.base[1]
        out: Field = x * self.outward[0] + y * self.outward[1]
        across: Field = x * self.across[0] + y * self.across[1]
        return out, across, np.asarray(grid.z - self.base[2], np.float32)

    def distance(self, grid: Grid) -> Field:
        """Return the distance to the breast's ellipsoid, which reaches into the chest wall."""
        out, across, up = self.local(grid)
        stretched = up / np.where(up > 0, np.float32(_UPWARD), np.float32(_DOWNWARD))
        return ellipsoid((out, across, stretched), self.axes)

    @property
    def nipple(self) -> np.ndarray:
        """Its position in LPS mm."""
        place: np.ndarray = self.base + self.outward * self.axes[0]
        return place


@dataclass(frozen=True, slots=True)
class Surfaces:
    """Distances on one slab.

    cage: to the inside of the ribs. body: to the skin's outside. breasts: right, left.
    """

    cage: Field
    wall: Field
    body: Field
    breasts: tuple[Field, Field]


@dataclass(frozen=True, slots=True)
class Shape:
    """The surfaces of one chest, at any height."""

    anatomy: Anatomy
    breasts: tuple[Breast, Breast]
    unevenness: Noise
    lumps: Noise
    bends: tuple[Noise, ...]

    def bend(self, grid: Grid) -> BentGrid:
        """Return the grid in the body's own axes: rolled, and bent by some millimetres."""
        wide = [_BEND_MM * noise.on(grid) for noise in self.bends[:3]]
        near = [_NEAR_BEND_MM * noise.on(grid) for noise in self.bends[3:]]
        turn, across = np.float32(np.cos(self.anatomy.roll)), np.float32(np.sin(self.anatomy.roll))
        return BentGrid(
            turn * grid.x + across * grid.y + wide[0] + near[0],
            turn * grid.y - across * grid.x + wide[1] + near[1],
            grid.z + wide[2],
            grid.affine,
            grid,
        )

    def surfaces(self, grid: Grid) -> Surfaces:
        """Return all distances on a slab, whose grid is bent."""
        cage = cage_distance(self.anatomy, grid) + 1.6 * self.unevenness.on(grid)
        lumps = self.lumps.on(grid)
        thickness = _wall_thickness(self.anatomy, grid) * (1 + 0.1 * lumps)
        wall = cage - thickness
        # Fat fills the hollow between the muscles: the armpit.
        under_fat = cage - np.maximum(thickness, _envelope(self.anatomy, grid))
        torso = under_fat - self.anatomy.fat * _fat_profile(grid) + 2.0 * lumps
        breasts = tuple(breast.distance(grid) for breast in self.breasts)
        body = torso
        for distance in breasts:
            lumpy = distance + 1.2 * lumps
            body = smooth_union(body, lumpy, _BLEND_MM[self.anatomy.pose])
        return Surfaces(cage, wall, body, (breasts[0], breasts[1]))


def make_shape(random: np.random.Generator, anatomy: Anatomy) -> Shape:
    """Draw the shape of a chest; the two breasts differ a little."""
    breasts = [_breast(random, anatomy, side) for side in SIDES]
    uneven, lumps = Noise(random, 30.0), Noise(random, 45.0)
    bends = tuple(Noise(random, scale) for scale in (60.0, 60.0, 60.0, 22.0, 22.0))
    return Shape(anatomy, (breasts[0], breasts[1]), uneven, lumps, bends)


def cage_size(anatomy: Anatomy, z: Field) -> tuple[Field, Field]:
    """Return half width and half depth of the inside of the rib cage at a height.

    It narrows towards the top; the shape is a rule of thumb.
    """
    above = np.clip(z + 20, 0, None) / 190
    half_width: Field = anatomy.half_width * np.sqrt(np.clip(1 - 0.75 * above**2, 0.1, 1))
    half_depth: Field = anatomy.half_depth * np.sqrt(np.clip(1 - 0.7 * above**2, 0.1, 1))
    return half_width, half_depth


def cage_distance(anatomy: Anatomy, grid: Grid) -> Field:
    """Return the distance to the inside of the rib cage."""
    half_width, half_depth = cage_size(anatomy, grid.z)
    ratio = (np.abs(grid.x / half_width) ** _SQUARENESS) + (
        np.abs(grid.y / half_depth) ** _SQUARENESS
    )
    radius = np.hypot(grid.x, grid.y)
    distance: Field = radius - radius / np.maximum(ratio ** (1 / _SQUARENESS), 1e-3)
    return distance


def directions(grid: Grid) -> tuple[Field, Field]:
    """Return the unit vector from the middle of the chest, as (to the left, to posterior)."""
    radius = np.hypot(grid.x, grid.y) + 1e-3
    return np.asarray(grid.x / radius), np.asarray(grid.y / radius)


def higher_up(grid: Grid) -> Field:
    """Return 0 below the breasts and 1 at the armpits, where the muscles are thick."""
    share: Field = np.clip((grid.z + 40) / 130, 0, 1.3)
    return share


def degrees_from_front(grid: Grid) -> Field:
    """Return the angle around the body, 0 at the breast bone and 180 at the spine."""
    angle: Field = np.degrees(np.arctan2(np.abs(grid.x), -grid.y))
    return angle


def _wall_thickness(anatomy: Anatomy, grid: Grid) -> Field:
    """Return the thickness of ribs and muscle, with a hollow at the armpit."""
    angle, higher = degrees_from_front(grid), higher_up(grid)
    beside = np.clip(np.abs(grid.x) / 30 - 0.4, 0, 1)
    pectoral = (2 + 13 * higher) * beside * _between(angle, -20, 62, 9)
    broad = (7 + 22 * higher) * _between(angle, 92, 145, 10)
    behind = 17 * _between(angle, 138, 200, 14)
    groove = 7 * np.exp(-np.square(grid.x / 14)) * np.clip(angle / 90 - 1, 0, 1)
    thickness: Field = 11 + anatomy.muscle * (pectoral + broad + behind) - groove
    return thickness


def _envelope(anatomy: Anatomy, grid: Grid) -> Field:
    """Return the thickness of muscle and what lies between, without the armpit's hollow."""
    angle, higher = degrees_from_front(grid), higher_up(grid)
    full: Field = 11 + anatomy.muscle * (3 + 24 * higher) * _between(angle, 48, 150, 14)
    return full


def _between(angle: Field, low: float, high: float, width: float) -> Field:
    """Return 1 between two angles and 0 outside, with soft ends."""
    rise = np.clip((angle - low) / (2 * width) + 0.5, 0, 1)
    fall = np.clip((high - angle) / (2 * width) + 0.5, 0, 1)
    share: Field = rise * rise * (3 - 2 * rise) * fall * fall * (3 - 2 * fall)
    return share


def _fat_profile(grid: Grid) -> Field:
    """Return the fat under the skin as a share of its usual thickness."""
    left, back = directions(grid)
    lower = np.clip(-grid.z / 110, 0, 1)
    over_sternum = np.exp(-np.square(grid.x / 30)) * np.clip(-back, 0, 1)
    profile: Field = 0.75 + 0.45 * left**2 + 0.2 * lower - 0.3 * over_sternum
    return profile


def _breast(random: np.random.Generator, anatomy: Anatomy, side: int) -> Breast:
    pose = anatomy.pose
    base_angle = np.radians(_BASE_ANGLE[pose] + random.normal(0, 2))
    point_angle = np.radians(_POINT_ANGLE[pose] + random.normal(0, 4))
    half_width, half_depth = cage_size(anatomy, np.zeros(1, np.float32))
    # On the chest wall in that direction.
    reach = (
        (np.sin(base_angle) / half_width[0]) ** _SQUARENESS
        + (np.cos(base_angle) / half_depth[0]) ** _SQUARENESS
    ) ** (-1 / _SQUARENESS) + 10
    base = np.array([side * np.sin(base_angle) * reach, -np.cos(base_angle) * reach, 0.0])
    base[2] = random.normal(0, 4)
    outward = np.array([side * np.sin(point_angle), -np.cos(point_angle), 0.0])
    across = np.array([side * np.cos(point_angle), np.sin(point_angle), 0.0])
    scale = random.normal(1, 0.06, 3)
    first, second, third = (
        axis * factor for axis, factor in zip(anatomy.breast_axes, scale, strict=True)
    )
    return Breast(side, base, outward, across, (float(first), float(second), float(third)))
