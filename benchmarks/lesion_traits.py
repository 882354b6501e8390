"""How far what is measured of phantoms' lesions lies from their truth.

    breastseg phantom ct --format nifti --output phantoms
    python benchmarks/lesion_traits.py phantoms

Diameter of each lesion, its contrast to gland, and the share of gland in its breast.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np

from breastseg.core.image import Case
from breastseg.datasets.cases import read_case
from breastseg.datasets.layouts import find_data_set
from breastseg.evaluation.lesion_traits import LesionTraits, measure_traits
from breastseg.io.nifti import read_nifti
from breastseg.pipeline.breast_region import find_breasts

LINE = "{:14} {:>14} {:>16} {:>10} {:>16}  {}"


def truth_of(case: Case, folder: Path, traits: LesionTraits) -> dict[str, Any]:
    """Return the lesion of the truth that a measured one is."""
    document = json.loads((folder / "truth.json").read_text())
    numbers = np.rint(read_nifti(folder / "lesions.nii.gz").pixels).astype(int)
    number = int(np.bincount(numbers[case.reference == traits.label]).argmax())
    lesion: dict[str, Any] = document["lesions"][number - 1]
    return {**lesion, "gland_share": document["gland_share"]}


def told(value: float | None, digits: int) -> str:
    """Return a number, or that there is none."""
    return "-" if value is None else f"{value:.{digits}f}"


def main() -> None:
    """Print a line for each lesion: measured / truth."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    data = parser.parse_args().data
    print(LINE.format("case", "mm", "to gland, HU", "gland", "breast", "surroundings"))
    for files in find_data_set(data, volumes=True).cases:
        case = read_case(files)
        for traits in measure_traits(case, find_breasts(case.image).labels):
            truth = truth_of(case, data / "truth" / files.case_id, traits)
            diameter = np.cbrt(6 * truth["volume_mm3"] / np.pi)
            print(
                LINE.format(
                    files.case_id,
                    f"{traits.diameter_mm:.1f} / {diameter:.1f}",
                    f"{told(traits.gland_contrast_hu, 0)} / {truth['contrast_hu']:.0f}",
                    told(traits.gland_around, 2),
                    f"{told(traits.breast_density, 3)} / {truth['gland_share']:.3f}",
                    traits.surroundings,
                )
            )


if __name__ == "__main__":
    main()
