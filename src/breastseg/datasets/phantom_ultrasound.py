"""Breast ultrasound phantoms: B-mode images with speckle and lesions of known shape.

A phantom is a map of echogenicity in dB (skin, fat, gland, muscle; lesions; what lies in their
shadow) that modulates random scatterers; these are blurred by the scanner's point spread, and
the log-compressed envelope is the picture. Lengths are fractions of the image's width.

Source: Bamber and Dickinson 1980, Physics in Medicine and Biology 25(3):463-479 (scatterers
    convolved with the point spread); Wagner et al. 1983, IEEE Transactions on Sonics and
    Ultrasonics 30(3):156-163 (fully developed speckle, its size and Rayleigh statistics);
    Stavros et al. 1995, Radiology 196(1):123-134 (what benign and malignant lesions look like).
"""

import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Bool, Complex64, Float32, UInt8
from scipy import ndimage, special

from breastseg.io.atomic import make_folder, write_bytes
from breastseg.io.raster import encode_png

Label = Literal["benign", "malignant", "normal"]
Pixels = UInt8[np.ndarray, "rows columns"]
Mask = Bool[np.ndarray, "rows columns"]
_Map = Float32[np.ndarray, "rows columns"]
_Column = Float32[np.ndarray, "rows 1"]
_Row = Float32[np.ndarray, "1 columns"]
_Field = Complex64[np.ndarray, "looks rows columns"]

# By index, so that any number of phantoms holds all three in the same shares.
_LABELS: tuple[Label, ...] = ("benign", "malignant", "benign", "normal", "malignant", "benign")

_SKIN_DB, _FAT_DB, _GLAND_DB, _MUSCLE_DB, _DEEP_DB = -3.0, -18.0, -9.0, -17.0, -27.0
_DYNAMIC_RANGE_DB = 50.0
_WHITE_DB = 10.0
_NUM_LOOKS = 3

# Standard deviation of the point spread: axial, lateral in focus, lateral out of focus.
_RESOLUTION = (0.003, 0.007, 0.014)


@dataclass(frozen=True, slots=True, kw_only=True)
class Phantom:
    """A picture and its truth.

    pixels: log-compressed grey values, 0 to 255.
    lesion_masks: one for each lesion, True inside its boundary; none for a normal breast.
    """

    pixels: Pixels
    lesion_masks: tuple[Mask, ...]
    label: Label


@dataclass(frozen=True, slots=True)
class _Grid:
    """Positions of the pixels; depth runs from 0 to `height`, lateral from 0 to 1."""

    depth: _Column
    lateral: _Row

    @property
    def shape(self) -> tuple[int, int]:
        return self.depth.size, self.lateral.size

    @property
    def height(self) -> float:
        return self.depth.size / self.lateral.size


@dataclass(frozen=True, slots=True, kw_only=True)
class _Body:
    """A closed shape in the tissue: a lesion, or what could be taken for one.

    semi_axes: along depth and lateral.
    waves: amplitude, number around the outline, phase; smooth lobes.
    spikes: amplitude, number, phase of narrow spicules.
    margin: width of the edge as a share of the radius.
    contrast_db, grain_db: echo against the mean of the tissue that it replaces; its unevenness.
    through_db: change of the echo behind the body, for a path of its full depth.
    rim_db, back_db: a bright rim all around, and at the wall that lies deeper.
    """

    centre: tuple[float, float]
    semi_axes: tuple[float, float]
    angle: float = 0.0
    waves: tuple[tuple[float, int, float], ...] = ()
    spikes: tuple[float, int, float] = (0.0, 1, 0.0)
    margin: float = 0.05
    contrast_db: float = -10.0
    grain_db: float = 1.5
    through_db: float = 0.0
    rim_db: float = 0.0
    rim_width: float = 0.06
    back_db: float = 0.0


def make_phantom(seed: int, index: int, *, size: tuple[int, int] = (192, 256)) -> Phantom:
    """Make one phantom from a random stream of its own.

    Args:
        seed: of the set.
        index: of the phantom in the set; it decides the class.
        size: largest rows and columns; each phantom is up to a fifth smaller.

    >>> phantom = make_phantom(0, 1)
    >>> phantom.label, len(phantom.lesion_masks)
    ('malignant', 1)
    """
    random = np.random.default_rng([seed, index])
    label = _LABELS[index % len(_LABELS)]
    grid = _make_grid(random, size)
    lesions = _lesions(random, grid, label)
    echo_db = _tissue(random, grid)
    grain = _noise(random, grid, 0.012, 0.02)
    for body in (*_distractors(random, grid, label), *lesions):
        echo_db = _with_body(grid, echo_db, body, grain)
    return Phantom(
        pixels=_scan(random, grid, echo_db),
        lesion_masks=tuple(_excess(grid, lesion) > 0 for lesion in lesions),
        label=label,
    )


def write_phantoms(
    output: Path, *, num_cases: int, seed: int, size: tuple[int, int] = (192, 256)
) -> None:
    """Write phantoms in the layout of BUSI: one folder per class, one mask file per lesion.

    Raises:
        OutputError: a file cannot be written.
    """
    for label in sorted(set(_LABELS)):
        make_folder(output / label)
    for index in range(num_cases):
        phantom = make_phantom(seed, index, size=size)
        stem = f"{phantom.label} ({index + 1})"
        folder = output / phantom.label
        masks = phantom.lesion_masks or (np.zeros(phantom.pixels.shape, np.bool_),)
        for number, mask in enumerate(masks):
            name = f"{stem}_mask_{number}.png" if number else f"{stem}_mask.png"
            write_bytes(folder / name, encode_png(mask.astype(np.uint8) * 255))
        write_bytes(folder / f"{stem}.png", encode_png(phantom.pixels))


def _make_grid(random: np.random.Generator, size: tuple[int, int]) -> _Grid:
    rows, columns = (round(extent * random.uniform(0.8, 1.0)) for extent in size)
    depth = (np.arange(rows, dtype=np.float32)[:, None] + 0.5) / columns
    return _Grid(depth, (np.arange(columns, dtype=np.float32)[None] + 0.5) / columns)


def _tissue(random: np.random.Generator, grid: _Grid) -> _Map:
    """Return the echogenicity of a breast without lesions, in dB."""
    tops = np.cumsum(
        [random.uniform(*span) for span in ((0.015, 0.035), (0.06, 0.22), (0.15, 0.35))]
    )
    waves = [_wave(random, grid, height) for height in (0.002, 0.03, 0.04)]
    bed = _wave(random, grid, 0.03) + float(tops[-1]) + random.uniform(0.15, 0.25)
    echo_db: _Map = np.full(grid.shape, _SKIN_DB, np.float32)
    for top, level in zip(
        (*(float(top) + wave for top, wave in zip(tops, waves, strict=True)), bed),
        (_FAT_DB, _GLAND_DB, _MUSCLE_DB, _DEEP_DB),
        strict=True,
    ):
        echo_db += (level - echo_db) * _step((grid.depth - top) / 0.008)
    below_skin = _step((grid.depth - tops[0]) / 0.003)
    echo_db += below_skin * _fibres(random, grid, waves[1])
    echo_db -= _attenuation(random, grid)
    return echo_db


def _step(value: _Map) -> _Map:
    """Return a smooth step from 0 (value far below 0) to 1 (far above)."""
    step: _Map = special.expit(value)
    return step


def _wave(random: np.random.Generator, grid: _Grid, height: float) -> _Row:
    """Return a smooth line across the image that stays within about +- 2 heights."""
    frequencies = np.array([[0.5], [1.1], [2.3]])
    phases = random.uniform(0, 2 * np.pi, (3, 1))
    heights = height * random.normal(0, [[1.0], [0.6], [0.3]])
    waves = heights * np.sin(2 * np.pi * frequencies * grid.lateral + phases)
    line: _Row = waves.sum(axis=0, keepdims=True).astype(np.float32)
    return line


def _fibres(random: np.random.Generator, grid: _Grid, course: _Row) -> _Map:
    """Return the gain in dB of fascia, ligaments and strands, which follow the layers."""
    clouds = _noise(random, grid, 0.03, 0.08)
    strands = _noise(random, grid, 0.007, random.uniform(0.06, 0.14))
    lines = np.exp(-np.square(strands / 0.18)) * np.clip(0.7 + 0.5 * clouds, 0, 1.5)
    texture = 11 * lines + 2 * strands + 2.5 * clouds - 3
    shift = np.rint(course * grid.shape[1]).astype(int)
    rows = np.arange(grid.shape[0])[:, None] - shift
    return np.take_along_axis(texture, rows % grid.shape[0], axis=0)


def _noise(random: np.random.Generator, grid: _Grid, axial: float, lateral: float) -> _Map:
    """Return smooth noise of variance 1 with those correlation lengths.

    Three box filters are a Gaussian to the eye, and as quick for long strands as for short.
    """
    noise: _Map = random.standard_normal(grid.shape, np.float32)
    widths = [round(math.hypot(1, 2 * length * grid.shape[1])) for length in (axial, lateral)]
    for _ in range(3):
        noise = ndimage.uniform_filter(noise, widths, mode="wrap")
    noise /= noise.std()
    return noise


def _attenuation(random: np.random.Generator, grid: _Grid) -> _Map:
    """Return the loss in dB with depth, and below places where the probe has poor contact."""
    loss: _Map = random.uniform(4, 16) * (grid.depth / grid.height) ** 1.5
    contact: _Row = np.zeros_like(grid.lateral)
    if random.random() < 0.35:
        place, width = random.uniform(0, 1), random.uniform(0.03, 0.1)
        contact = random.uniform(6, 16) * np.exp(-np.square((grid.lateral - place) / width))
    loss = loss + contact * _step((grid.depth - random.uniform(0.05, 0.25)) / 0.04)
    return loss


def _lesions(random: np.random.Generator, grid: _Grid, label: Label) -> tuple[_Body, ...]:
    if label == "normal":
        return ()
    make = _malignant if label == "malignant" else _benign
    lesion = make(random, _place(random, grid), random.uniform(0.07, 0.18))
    if random.random() > 0.12:
        return (lesion,)
    depth, lateral = lesion.centre
    beside = lateral + (0.42 if lateral < 0.5 else -0.42)
    second = make(random, (depth, beside), random.uniform(0.05, 0.09))
    return (lesion, second)


def _place(random: np.random.Generator, grid: _Grid) -> tuple[float, float]:
    return grid.height * random.uniform(0.32, 0.62), random.uniform(0.22, 0.78)


def _benign(random: np.random.Generator, centre: tuple[float, float], radius: float) -> _Body:
    """Return a fibroadenoma, smooth or with a few lobes, or a cyst."""
    solid = _Body(
        centre=centre,
        semi_axes=(radius * random.uniform(0.5, 0.8), radius),
        angle=random.normal(0, 0.25),
        margin=0.04,
        contrast_db=random.uniform(-13, -9),
        through_db=random.uniform(-2, 5),
        rim_db=random.uniform(2, 6),
    )
    if random.random() < 0.3:
        return replace(solid, contrast_db=-35.0, through_db=random.uniform(5, 10), back_db=10.0)
    if random.random() < 0.5:
        lobes = (random.uniform(0.06, 0.13), int(random.integers(2, 5)), random.uniform(0, 6.28))
        return replace(solid, waves=(lobes,))
    return solid


def _malignant(random: np.random.Generator, centre: tuple[float, float], radius: float) -> _Body:
    """Return an irregular dark lesion, often spiculated, with a halo and often a shadow."""
    waves = tuple(
        (random.uniform(0.04, 0.16), number, random.uniform(0, 2 * np.pi)) for number in (2, 3, 5)
    )
    spiculated = random.random() < 0.6
    spikes = (random.uniform(0.2, 0.45), int(random.integers(7, 14)), random.uniform(0, 6.28))
    return _Body(
        centre=centre,
        semi_axes=(radius * random.uniform(0.7, 1.0), radius * random.uniform(0.7, 0.9)),
        angle=random.normal(0, 0.4),
        waves=waves,
        spikes=spikes if spiculated else (0.0, 1, 0.0),
        margin=random.uniform(0.06, 0.14),
        contrast_db=random.uniform(-16, -11),
        grain_db=3.0,
        through_db=random.uniform(-20, -6) if random.random() < 0.7 else 0.0,
        rim_db=random.uniform(2, 6),
        rim_width=0.25,
    )


def _distractors(random: np.random.Generator, grid: _Grid, label: Label) -> tuple[_Body, ...]:
    """Return fat lobules and ribs: dark, but no lesions. A normal breast holds at least one."""
    bodies = []
    if random.random() < 0.25:
        bodies.append(_rib(random, grid))
    lobules = random.integers(1 if label == "normal" and not bodies else 0, 3)
    bodies += [_fat_lobule(random, grid) for _ in range(lobules)]
    return tuple(bodies)


def _fat_lobule(random: np.random.Generator, grid: _Grid) -> _Body:
    return _Body(
        centre=(grid.height * random.uniform(0.2, 0.7), random.uniform(0.1, 0.9)),
        semi_axes=(random.uniform(0.025, 0.05), random.uniform(0.07, 0.14)),
        angle=random.normal(0, 0.2),
        margin=0.08,
        contrast_db=random.uniform(-6, -3),
        grain_db=2.5,
        rim_db=7.0,
    )


def _rib(random: np.random.Generator, grid: _Grid) -> _Body:
    return _Body(
        centre=(grid.height * random.uniform(0.85, 0.95), random.uniform(0.1, 0.9)),
        semi_axes=(0.05, random.uniform(0.08, 0.14)),
        contrast_db=8.0,
        through_db=-25.0,
        rim_db=10.0,
        rim_width=0.15,
    )


def _excess(grid: _Grid, body: _Body) -> _Map:
    """Return by how much of its radius each pixel lies inside the body's outline."""
    below, right = grid.depth - body.centre[0], grid.lateral - body.centre[1]
    cosine, sine = math.cos(body.angle), math.sin(body.angle)
    along_depth = (cosine * below + sine * right) / body.semi_axes[0]
    along_lateral = (cosine * right - sine * below) / body.semi_axes[1]
    return _outline(body, np.arctan2(along_depth, along_lateral)) - np.hypot(
        along_depth, along_lateral
    )


def _outline(body: _Body, angle: _Map) -> _Map:
    """Return the radius of the outline in that direction; about 1."""
    radius = np.ones_like(angle)
    for amplitude, number, phase in body.waves:
        radius += amplitude * np.cos(number * angle + phase)
    amplitude, number, phase = body.spikes
    if amplitude:
        uneven = 0.65 + 0.35 * np.cos(3 * angle - phase)
        radius += amplitude * uneven * np.square(np.square(np.cos(number / 2 * angle + phase)))
    return radius


def _with_body(grid: _Grid, echo_db: _Map, body: _Body, grain: _Map) -> _Map:
    """Return the echogenicity with a body in it, and with what it does to the echo behind it."""
    excess = _excess(grid, body)
    inside = _step(excess / (body.margin / 2))
    replaced_db = np.average(echo_db, weights=inside)
    level_db = replaced_db + body.contrast_db + body.grain_db * grain
    rim = np.exp(-np.square((excess + body.rim_width / 2) / body.rim_width))
    deeper = np.clip((grid.depth - body.centre[0]) / body.semi_axes[0], 0, 1)
    path = np.cumsum(inside, axis=0) / (2 * body.semi_axes[0] * grid.shape[1])
    behind = ndimage.gaussian_filter1d(path, 0.008 * grid.shape[1], axis=1, truncate=2.5)
    outside_db = echo_db + rim * (body.rim_db + body.back_db * deeper)
    changed_db: _Map = outside_db + inside * (level_db - outside_db) + body.through_db * behind
    return changed_db


def _scan(random: np.random.Generator, grid: _Grid, echo_db: _Map) -> Pixels:
    """Return the log-compressed envelope of scatterers of that echogenicity.

    Looks at independent scatterers are averaged, like the steered beams of a compound scan.
    """
    noise = random.standard_normal((_NUM_LOOKS, *grid.shape, 2), np.float32).view(np.complex64)
    amplitude = 10 ** (echo_db / 20) * math.sqrt(0.5)
    looks = _blur(random, grid, amplitude * noise[..., 0])
    envelope_db = 20 * np.log10(np.abs(looks).mean(axis=0) + 1e-6)
    gain_db = random.uniform(-5, 3)
    grey = 1 + (envelope_db + gain_db - _WHITE_DB) / _DYNAMIC_RANGE_DB
    pixels: Pixels = np.rint(255 * np.clip(grey, 0, 1)).astype(np.uint8)
    return pixels


def _blur(random: np.random.Generator, grid: _Grid, field: _Field) -> _Field:
    """Return the field at the scanner's resolution, finest laterally at the focal depth.

    White noise keeps its mean power: a Gaussian of sigma s weakens it by 2 s sqrt(pi).
    """
    axial, fine, coarse = (width * grid.shape[1] for width in _RESOLUTION)
    focus = grid.height * random.uniform(0.3, 0.6)
    defocus = np.clip(np.abs(grid.depth - focus) / grid.height, 0, 1)
    sharp = ndimage.gaussian_filter(field, (0, axial, fine), truncate=2.5)
    wider = math.sqrt(coarse**2 - fine**2)
    wide = ndimage.gaussian_filter1d(sharp, wider, axis=2, truncate=2.5)
    power = 4 * math.pi * axial * (fine + defocus * (coarse - fine))
    blurred: _Field = np.sqrt(power) * (sharp + defocus * (wide - sharp))
    return blurred
