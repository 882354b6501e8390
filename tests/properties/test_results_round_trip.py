"""Mask to SEG or NIfTI and back, in all orientations."""

import tempfile
from itertools import permutations, product
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from breastseg.core.errors import GeometryError
from breastseg.core.lesion_volume import measure_lesions
from breastseg.io.dicom_results import (
    Finding,
    Maker,
    make_dicom_results,
    new_uid,
    write_dicom_results,
)
from breastseg.io.dicom_series import read_series
from breastseg.io.nifti_mask import read_label_map, write_label_map
from breastseg.io.series_mask import read_series_mask
from tests.made_series import affine_of, write_ct

SHAPE = (3, 5, 4)
TURNS = [
    [np.array(order[axis]) * signs[axis] for axis in range(3)]
    for order in permutations(np.eye(3).tolist())
    for signs in product((1, -1), repeat=3)
]
RIGHT_HANDED = [turn for turn in TURNS if np.linalg.det(np.array(turn)[[2, 1, 0]]) > 0]
MASKS = arrays.arrays(np.int32, SHAPE, elements=st.integers(0, 2)).filter(lambda m: m.any())


@settings(max_examples=12, deadline=None)
@given(labels=MASKS, turn=st.sampled_from(RIGHT_HANDED))
def test_a_segmentation_gives_back_the_mask(labels, turn):
    with tempfile.TemporaryDirectory() as folder:
        affine = affine_of(directions=turn)
        write_ct(Path(folder) / "ct", np.zeros(SHAPE), affine)
        series = read_series(Path(folder) / "ct")
        # The reader may begin at the other end; the mask is given on its grid.
        findings = [
            Finding(lesion=lesion, tracking_uid=new_uid())
            for lesion in measure_lesions(series.image, labels, in_hu=True)
        ]
        results = make_dicom_results(series, labels, findings, Maker())
        write_dicom_results(Path(folder), results)
        for finding in findings:
            number = finding.lesion.number
            found, _ = read_series_mask(Path(folder) / "seg.dcm", series, [f"Lesion {number}"])
            np.testing.assert_array_equal(found > 0, labels == number)


@settings(max_examples=60, deadline=None)
@given(
    labels=arrays.arrays(np.int32, SHAPE, elements=st.integers(0, 300)),
    turn=st.sampled_from(TURNS),
    stored=st.sampled_from(TURNS),
)
def test_a_nifti_gives_back_the_labels_whatever_its_order_of_axes(labels, turn, stored):
    affine = affine_of(directions=turn)
    order = [int(np.abs(step).argmax()) for step in stored]
    flips = [int(step.sum()) for step in stored]
    other = np.transpose(labels, order)[tuple(slice(None, None, flip) for flip in flips)]
    turned = affine.copy()
    turned[:3, :3] = affine[:3, order] * flips
    last = [0 if flip > 0 else size - 1 for flip, size in zip(flips, other.shape, strict=True)]
    turned[:3, 3] = affine[:3, 3] - turned[:3, :3] @ last
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "mask.nii.gz"
        write_label_map(path, other, turned)
        again = read_label_map(path, shape=SHAPE, affine=affine)
    np.testing.assert_array_equal(again, labels)


@pytest.mark.parametrize("shift", [0.0009, 0.0011, 0.5])
def test_a_nifti_on_another_grid_is_refused(tmp_path, shift):
    affine, path = affine_of(), tmp_path / "mask.nii.gz"
    moved = affine.copy()
    moved[1, 3] += shift
    write_label_map(path, np.ones(SHAPE, np.int32), moved)
    if shift < 1e-3:
        assert read_label_map(path, shape=SHAPE, affine=affine).all()
        return
    with pytest.raises(GeometryError, match=r"within 0\.001 mm"):
        read_label_map(path, shape=SHAPE, affine=affine)
