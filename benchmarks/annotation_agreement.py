"""How far apart two drawings of one image lie: what a tolerance of the NSD can be measured by.

BUSI holds some images twice, drawn anew each time. Of each pair of near duplicates the second
is stretched to the size of the first, mirrored where that fits better, and kept where the
pixels correlate; its masks go along. What stretching leaves is in the figures, which are thus
too far apart rather than too close.
"""

import argparse
from collections import defaultdict
from itertools import combinations
from pathlib import Path

import cv2
import numpy as np

from breastseg.core.image import Case
from breastseg.datasets.cases import CaseFiles, read_case
from breastseg.datasets.layouts import find_data_set
from breastseg.datasets.near_duplicates import case_groups
from breastseg.evaluation.overlap import Mask, dice
from breastseg.evaluation.surface import surface_distances

TOLERANCES = (1, 2, 3, 4, 5, 6, 8, 10)


def masks_of(first: Case, second: Case, least: float) -> tuple[Mask, Mask] | None:
    """Return both masks on the grid of the first image; None where the images differ."""
    assert first.reference is not None
    assert second.reference is not None
    here = first.image.pixels[0]
    size = here.shape[::-1]
    there = cv2.resize(second.image.pixels[0], size, interpolation=cv2.INTER_AREA)
    drawn = (second.reference[0] > 0).astype(np.uint8)
    mask = cv2.resize(drawn, size, interpolation=cv2.INTER_NEAREST) > 0
    turned = ((there, mask), (there[:, ::-1], mask[:, ::-1]))
    found = [(np.corrcoef(here.ravel(), image.ravel())[0, 1], other) for image, other in turned]
    correlation, best = max(found, key=lambda pair: pair[0])
    if correlation < least:
        return None
    return first.reference > 0, np.ascontiguousarray(best[None])


def main() -> None:
    """Measure and print the medians over the pairs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--correlation", type=float, default=0.97)
    given = parser.parse_args()
    data_set = find_data_set(given.data)
    names, _ = case_groups(data_set.cases)
    groups: defaultdict[str, list[CaseFiles]] = defaultdict(list)
    for files in data_set.cases:
        groups[names[files.case_id]].append(files)
    rows = []
    for group in groups.values():
        cases = [read_case(files) for files in group] if len(group) > 1 else []
        lesions = [case for case in cases if case.reference is not None and case.reference.any()]
        for first, second in combinations(lesions, 2):
            masks = masks_of(first, second, given.correlation)
            found = masks and surface_distances(*masks)
            if masks is None or not found:
                continue
            shares = [found.share_within(tolerance) for tolerance in TOLERANCES]
            width = masks[0].shape[2]
            rows.append([dice(*masks), found.hausdorff(95), found.average(), width, *shares])
    names_of = ("Dice", "HD95 px", "ASSD px", "width px", *(f"NSD at {t} px" for t in TOLERANCES))
    print(f"{len(rows)} pairs of drawings of one image; medians:")
    for name, value in zip(names_of, np.median(rows, axis=0), strict=True):
        print(f"{name:>12}  {value:.3f}")


if __name__ == "__main__":
    main()
