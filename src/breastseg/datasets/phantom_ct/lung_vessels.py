"""Branching vessels in the lungs, painted as tubes.

Each branch divides into two that are thinner by Murray's law: the cube of the parent's radius
is the sum of the cubes of its children's. Angles and lengths are rules of thumb.

Source: Murray 1926, Proceedings of the National Academy of Sciences 12(3):207-214.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, UInt8

from breastseg.datasets.phantom_ct.anatomy import Tissue
from breastseg.datasets.phantom_ct.grid import Grid, inside

_SMALLEST_MM = 0.7
_LEVELS = 9
_HILUM_MM = (40.0, 2.0, 38.0)


@dataclass(frozen=True, slots=True)
class Tube:
    """A straight piece of a vessel between two points in LPS mm."""

    start: np.ndarray
    end: np.ndarray
    radius: float


def grow_vessels(random: np.random.Generator) -> tuple[Tube, ...]:
    """Return the vessels of both lungs, thick ones first."""
    tubes: list[Tube] = []
    for side in (-1, 1):
        for _ in range(13):
            root = np.array([side * _HILUM_MM[0], *_HILUM_MM[1:]]) + random.normal(0, 5, 3)
            away = np.array([side * random.uniform(0.3, 1), *random.normal(0, 0.8, 2)])
            tubes.extend(
                _grow(random, root, away / np.linalg.norm(away), random.uniform(2.4, 4.6), 0)
            )
    return tuple(sorted(tubes, key=lambda tube: -tube.radius))


def _grow(
    random: np.random.Generator, start: np.ndarray, away: np.ndarray, radius: float, level: int
) -> Iterator[Tube]:
    if radius < _SMALLEST_MM or level == _LEVELS:
        return
    end = start + away * random.uniform(9, 19) * (0.7 + 0.1 * radius)
    yield Tube(start, end, radius)
    share = random.uniform(0.3, 0.7)
    bend = _cross(away, random.normal(0, 1, 3))
    bend *= random.uniform(0.35, 0.7) / np.linalg.norm(bend)
    for part, turn in ((share, bend), (1 - share, -bend)):
        onward = away + turn * (1.4 - part)
        onward /= np.linalg.norm(onward)
        yield from _grow(random, end, onward, radius * part ** (1 / 3), level + 1)


def _cross(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return the cross product of two vectors; np.cross takes ten times as long for so few."""
    (a, b, c), (d, e, f) = first.tolist(), second.tolist()
    return np.array([b * f - c * e, c * d - a * f, a * e - b * d])


def paint_vessels(
    hu: Float32[np.ndarray, "slices rows columns"],
    tissues: UInt8[np.ndarray, "slices rows columns"],
    grid: Grid,
    tubes: tuple[Tube, ...],
    vessel_hu: float,
    into: Tissue = Tissue.LUNG,
) -> None:
    """Paint tubes into one tissue; the arrays are changed."""
    for tube in tubes:
        reach = tube.radius + 2
        low = np.minimum(tube.start, tube.end) - reach
        cut = grid.around(low, np.maximum(tube.start, tube.end) + reach)
        if cut is None:
            continue
        share = _share(grid.window(cut), tube)
        allowed = tissues[cut] == into
        hu[cut] += np.where(allowed, share, 0) * (vessel_hu - hu[cut])
        tissues[cut][allowed & (share >= 0.5)] = Tissue.VESSEL


def _share(grid: Grid, tube: Tube) -> Float32[np.ndarray, "slices rows columns"]:
    along = tube.end - tube.start
    offsets = [
        axis - np.float32(at) for axis, at in zip((grid.x, grid.y, grid.z), tube.start, strict=True)
    ]
    place = sum(
        offset * np.float32(step / (along @ along))
        for offset, step in zip(offsets, along, strict=True)
    )
    nearest = np.clip(place, 0, 1)
    squares = (
        np.square(offset - nearest * np.float32(step))
        for offset, step in zip(offsets, along, strict=True)
    )
    return inside(np.sqrt(sum(squares)) - np.float32(tube.radius), grid.spacing_mm[2])
