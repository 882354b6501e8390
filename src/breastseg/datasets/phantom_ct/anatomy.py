"""What differs between phantoms: pose, sizes, breast density, contrast phase, HU of tissues.

Sources of the numbers:
- skin of the breast 1.44 +- 0.25 mm: Shi et al. 2013, Medical Physics 40(3):031913 (137 breast
  CT); Huang et al. 2008, Medical Physics 35(4):1199-1206.
- share of gland in the breast: mean 19 %, below 27 % in 80 % and below 45 % in 95 % of women:
  Yaffe et al. 2009, Medical Physics 36(12):5437-5443. The bounds between the four classes are a
  rule of thumb within that range; CT has no definition of them.
- shares of the classes a to d, 10, 40, 40 and 10 % of women: the BI-RADS atlas, 5th edition.
- HU of organs without contrast: textbook ranges (Prokop and Galanski 2003, Spiral and
  Multislice CT of the Body). Fat about -100, gland and skin 20 to 60, what contrast adds,
  and all sizes of bones and organs: rules of thumb, set beside real chest CT.
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
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Anatomy:
    """One woman's chest; lengths in mm.

    hu: of each tissue.
    gland_share: of the volume of the breast; the density class's range holds it.
    half_width, half_depth: of the rib cage's inside at its widest.
    fat: thickness of the fat under the skin.
    breast_axes: out from the chest wall, across it, and along the body.
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


def draw_anatomy(random: np.random.Generator, pose: Pose, density: Density | None) -> Anatomy:
    """Draw a chest; the density class is drawn by its share among women where none is given."""
    odds = random.choice(len(DENSITIES), p=_DENSITY_ODDS)
    drawn: Density = density or DENSITIES[int(odds)]
    phase: Phase = "venous" if random.random() < 0.5 else "unenhanced"
    size, fat = random.uniform(0.85, 1.2), random.uniform(9, 24)
    # Large breasts hold more fat, and dense ones are smaller: a rule of thumb.
    breast = size * (0.92 + (fat - 9) / 60) * (1.06 - 0.05 * DENSITIES.index(drawn))
    axes = (78.0, 58.0, 62.0) if pose == "prone" else (47.0, 78.0, 72.0)
    low, high = GLAND_SHARES[drawn]
    return Anatomy(
        pose=pose,
        phase=phase,
        density=drawn,
        gland_share=float(random.uniform(low, high)),
        hu=_draw_hu(random, phase),
        half_width=float(random.uniform(112, 128)),
        half_depth=float(random.uniform(82, 95)),
        fat=float(fat),
        skin=float(np.clip(random.normal(1.44, 0.25), 0.87, 2.34)),
        breast_axes=(axes[0] * breast, axes[1] * breast, axes[2] * breast),
    )


def _draw_hu(random: np.random.Generator, phase: Phase) -> Mapping[Tissue, float]:
    strength = float(random.uniform(0.8, 1.2)) if phase == "venous" else 0.0
    return {
        tissue: plain
        + strength * _ADDED_BY_CONTRAST.get(tissue, 0)
        + float(random.normal(0, 1)) * _SPREAD_HU.get(tissue, 0)
        for tissue, plain in _PLAIN_HU.items()
    }
