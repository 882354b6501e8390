"""Masks of a real RTSTRUCT by an independent program, frozen in rtstruct_masks.json.

They were made by dcmrtstruct2nii 5 (SimpleITK 2.5.7, scikit-image 0.26.0: polygon2mask) from
4d-lung-113_HM10395: `dcmrtstruct2nii(rtstruct, series, folder, structures=[...])`. The runs of
marked voxels are (start, length), pair after pair, over the voxels in the order (slice, row,
column); each start is counted from the end of the run before.
"""

import json
from pathlib import Path

import numpy as np
import pytest

from breastseg.core.series import Series
from breastseg.io.dicom_masks import read_masks
from breastseg.io.dicom_series import read_series

GOLDEN = json.loads((Path(__file__).parent / "rtstruct_masks.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def series(shared_data: Path) -> Series:
    return read_series(shared_data / "ct" / "4d-lung-113_HM10395" / "ct")


def decoded(runs: list[int], shape: list[int]) -> np.ndarray:
    """Return the mask of runs of marked voxels."""
    flat = np.zeros(int(np.prod(shape)), bool)
    position = 0
    for skipped, length in zip(runs[::2], runs[1::2], strict=True):
        position += skipped
        flat[position : position + length] = True
        position += length
    return flat.reshape(shape)


@pytest.mark.data
def test_contours_of_a_real_tumour_agree_with_an_independent_program(
    shared_data: Path, series: Series
) -> None:
    folder = shared_data / "ct" / "4d-lung-113_HM10395"
    masks = read_masks(folder / "rtstruct.dcm", series, labels=[*GOLDEN["structures"]])
    assert len(masks) == len(GOLDEN["structures"]) == 2
    for read in masks:
        golden = decoded(GOLDEN["structures"][read.structure.name], GOLDEN["shape"])
        sizes = np.count_nonzero(read.mask), np.count_nonzero(golden)
        dice = 2 * np.count_nonzero(read.mask & golden) / sum(sizes)
        # Measured: 1 for the tumour, 0.9998 for the lymph nodes (one voxel).
        assert dice >= 0.999
        assert sizes[0] == pytest.approx(sizes[1], rel=0.002)


@pytest.mark.data
def test_a_real_volume_is_that_of_its_polygons(shared_data: Path, series: Series) -> None:
    """The areas of the tumour's polygons by the shoelace formula, times the distance of slices."""
    import pydicom

    folder = shared_data / "ct" / "4d-lung-113_HM10395"
    header = pydicom.dcmread(folder / "rtstruct.dcm")
    (roi,) = (each for each in header.ROIContourSequence if each.ReferencedROINumber == 17)
    volume = 0.0
    for contour in roi.ContourSequence:
        x, y, _ = np.array(contour.ContourData, float).reshape(-1, 3).T
        volume += abs(x @ np.roll(y, 1) - y @ np.roll(x, 1)) / 2 * 3.0
    (read,) = read_masks(folder / "rtstruct.dcm", series, labels=["Tumor*"])
    assert read.volume_mm3(series.image) == pytest.approx(volume, rel=0.005)
