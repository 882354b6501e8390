"""What differs between phantoms: pose, sizes, breast density, contrast phase, HU of tissues.

Sources of the numbers:
- skin of the breast 1.44 +- 0.25 mm: Shi et al. 2013, Medical Physics 40(3):031913 (137 breast
  CT); Huang et al. 2008, Medical Physics 35(4):1199-1206.
- share of gland in the breast: mean 19 %, below 27 % in 80 % and below 45 % in 95 % of women:
  Yaffe et al. 2009, Medical Physics 36(12):5437-5443. The bounds between the four classes are a
  rule of thumb within that range; CT has no definition of them.
- shares of the classes a to d, 10, 40, 40 and 10 % of women: the BI-RADS atlas, 5th edition.
- HU of organs without contrast: textbook ranges (Prokop and Galanski 2003, Spiral and
  Multislice CT of the Body). Fat about -100, gland and skin 20 to 60, lymph nodes, cysts and
  fibroadenomas, what contrast adds, all sizes of bodies, breasts, bones and organs, and how
  gland spreads: rules of thumb, set beside real chest CT.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Literal, get_args

import numpy as np

Density = Literal["a", "b", "c", "d"]
Pose = Literal["supine", "prone"]
Phase = Literal["unenhanced", "venous"]

DENSITIES: tuple[Density, ...] = get_args(Density)
GLAND_SHARES: Mapping[Density, tuple[float, float]] = {
    "a": (0.02, 0.06),
    "b": (0.06, 0.13),
    "c": (0.13, 0.27),
    "d": (0.27, 0.45),
}
_DENSITY_ODDS = (0.1, 0.4, 0.4, 0.1)


class Tissue(IntEnum):
    """Values of the label map of tissues."""

    AIR = 0
    FAT = 1
    SKIN = 2
    MUSCLE = 3
    GLAND = 4
    NIPPLE = 5
    LUNG = 6
    MEDIASTINUM = 7
    HEART = 8
    VESSEL = 9
    LIVER = 10
    OTHER_ORGAN = 11
    CARTILAGE = 12
    CORTICAL_BONE = 13
    MARROW = 14
    TABLE = 15
    AIRWAY = 16
    LESION = 17
    LYMPH_NODE = 18
    CYST = 19
    FIBROADENOMA = 20


_PLAIN_HU: Mapping[Tissue, float] = {
    Tissue.AIR: -1000,
    Tissue.FAT: -103,
    Tissue.SKIN: 45,
    Tissue.MUSCLE: 55,
    Tissue.GLAND: 35,
    Tissue.NIPPLE: 40,
    Tissue.LUNG: -860,
    Tissue.MEDIASTINUM: -95,
    Tissue.HEART: 45,
    Tissue.VESSEL: 43,
    Tissue.LIVER: 57,
    Tissue.OTHER_ORGAN: 45,
    Tissue.CARTILAGE: 100,
    Tissue.CORTICAL_BONE: 620,
    Tissue.MARROW: 190,
    Tissue.TABLE: 150,
    Tissue.AIRWAY: -990,
    Tissue.LYMPH_NODE: 38,
    Tissue.CYST: 12,
    Tissue.FIBROADENOMA: 40,
}
_ADDED_BY_CONTRAST: Mapping[Tissue, float] = {
    Tissue.SKIN: 10,
    Tissue.MUSCLE: 10,
    Tissue.GLAND: 12,
    Tissue.NIPPLE: 25,
    Tissue.HEART: 60,
    Tissue.VESSEL: 115,
    Tissue.LIVER: 52,
    Tissue.OTHER_ORGAN: 45,
    Tissue.MARROW: 15,
    Tissue.LYMPH_NODE: 40,
    Tissue.FIBROADENOMA: 30,
}
_SPREAD_HU: Mapping[Tissue, float] = {
    Tissue.FAT: 6,
    Tissue.SKIN: 6,
    Tissue.MUSCLE: 4,
    Tissue.GLAND: 6,
    Tissue.LUNG: 25,
    Tissue.HEART: 4,
    Tissue.VESSEL: 4,
    Tissue.LIVER: 5,
    Tissue.CORTICAL_BONE: 80,
    Tissue.MARROW: 35,
    Tissue.LYMPH_NODE: 8,
    Tissue.CYST: 6,
    Tissue.FIBROADENOMA: 10,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class GlandHabit:
    """How gland spreads in a breast; all are shares without a unit.

    lateral, upward: where its middle lies, of the half axes of the breast.
    width: of its spread, 1 for the usual.
    flatness: 0 for a cone, 1 for a plate half-way between skin and chest wall.
    lobes, strands: how much it is broken up into lobes, and into strands towards the nipple.
    steepness: from the middle of gland to fat; a low one is a veil.
    """

    lateral: float
    upward: float
    width: float
    flatness: float
    lobes: float
    strands: float
    steepness: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Anatomy:
    """One woman's chest; lengths in mm.

    hu: of each tissue.
    gland_share: of the volume of the breast; the density class's range holds it.
    half_width, half_depth: of the rib cage's inside at its widest.
    fat: thickness of the fat under the skin.
    breast_axes: out from the chest wall, across it, and along the body.
    muscle, heart: sizes as a share of the usual.
    roll: by how many radians the body lies turned about its long axis.
    breath: by how many mm the diaphragm lies lower than usual.
    gland: how gland spreads in both breasts.
    """

    pose: Pose
    phase: Phase
    density: Density
    gland_share: float
    hu: Mapping[Tissue, float]
    half_width: float
    half_depth: float
    fat: float
    skin: float
    breast_axes: tuple[float, float, float]
    muscle: float
    heart: float
    roll: float
    breath: float
    gland: GlandHabit


def draw_anatomy(random: np.random.Generator, pose: Pose, density: Density | None) -> Anatomy:
    """Draw a chest; the density class is drawn by its share among women where none is given."""
    odds = random.choice(len(DENSITIES), p=_DENSITY_ODDS)
    drawn: Density = density or DENSITIES[int(odds)]
    phase: Phase = "venous" if random.random() < 0.5 else "unenhanced"
    # Thin women and very fat ones; the median is 15 mm.
    fat = float(np.clip(15 * np.exp(random.normal(0, 0.55)), 4, 48))
    stature = float(random.normal(0, 1))
    low, high = GLAND_SHARES[drawn]
    return Anatomy(
        pose=pose,
        phase=phase,
        density=drawn,
        gland_share=float(random.uniform(low, high)),
        hu=_draw_hu(random, phase),
        half_width=float(np.clip(119 + 6 * stature + random.normal(0, 4), 100, 138)),
        half_depth=float(np.clip(87 + 4 * stature + random.normal(0, 6), 70, 106)),
        fat=fat,
        skin=float(np.clip(random.normal(1.44, 0.25), 0.87, 2.34)),
        breast_axes=_draw_breast_axes(random, pose, fat, DENSITIES.index(drawn)),
        muscle=float(np.clip(random.normal(1, 0.2), 0.6, 1.5)),
        heart=float(random.uniform(0.9, 1.15)),
        roll=float(random.normal(0, 0.035)),
        breath=float(random.normal(0, 12)),
        gland=_draw_gland_habit(random, pose, DENSITIES.index(drawn)),
    )


def _draw_breast_axes(
    random: np.random.Generator, pose: Pose, fat: float, density: int
) -> tuple[float, float, float]:
    """Draw a breast's size: larger where there is more fat, smaller where it is dense.

    Both are rules of thumb; so is that a small breast is flat before it is narrow.
    """
    size = random.uniform(0.72, 1.15) * (0.8 + min(fat, 30) / 62) * (1.06 - 0.05 * density)
    out, across, along = (78.0, 58.0, 62.0) if pose == "prone" else (45.0, 78.0, 72.0)
    depth = size**1.4 * random.uniform(0.9, 1.1)
    return float(out * depth), float(across * size), float(along * size)


def _draw_gland_habit(random: np.random.Generator, pose: Pose, density: int) -> GlandHabit:
    # Dense gland is a plate with few gaps, sparse gland is strands: a rule of thumb.
    gaps = 1.15 - 0.2 * density
    return GlandHabit(
        lateral=float(random.normal(0.14, 0.12)),
        upward=float(random.normal(0.1, 0.1)),
        width=float(random.uniform(0.85, 1.3)),
        flatness=float(random.uniform(0.3, 1.0) if pose == "supine" else random.uniform(0, 0.3)),
        lobes=float(random.uniform(0.12, 0.34)),
        strands=float(random.uniform(0.2, 0.5) * gaps),
        steepness=float(random.uniform(0.8, 1.9)),
    )


def _draw_hu(random: np.random.Generator, phase: Phase) -> Mapping[Tissue, float]:
    strength = float(random.uniform(0.8, 1.2)) if phase == "venous" else 0.0
    return {
        tissue: plain
        + strength * _ADDED_BY_CONTRAST.get(tissue, 0)
        + float(random.normal(0, 1)) * _SPREAD_HU.get(tissue, 0)
        for tissue, plain in _PLAIN_HU.items()
    }
