"""Whatever the mask: what a program writes is what is read."""

import tempfile
from pathlib import Path

import hypothesis.extra.numpy as hnp
import nibabel
import numpy as np
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from PIL import Image as Pillow

from breastseg.core.image import Case, Image
from breastseg.evaluation.case_score import score_case
from breastseg.io.mask_files import read_given_mask, read_given_probability

SIZES = st.tuples(st.integers(1, 6), st.integers(1, 6))
masks = SIZES.flatmap(lambda size: hnp.arrays(np.bool_, size))


@given(masks, st.sampled_from([1, 2, 15, 255]), st.booleans())
@settings(max_examples=40, deadline=None)
def test_every_format_gives_back_the_mask(mask, value, as_nifti):
    with tempfile.TemporaryDirectory() as folder:
        if as_nifti:
            path = Path(folder, "x.nii.gz")
            stored = (mask * np.uint8(value)).T[..., None]
            nibabel.save(nibabel.Nifti1Image(stored, np.diag([-1.0, -1, 1, 1])), path)
        else:
            path = Path(folder, "x.png")
            Pillow.fromarray(mask * np.uint8(value)).save(path)
        np.testing.assert_array_equal(read_given_mask(path, mask.shape), mask)


@given(masks)
@settings(max_examples=40, deadline=None)
def test_an_array_saved_either_way_round_is_read_the_right_way_or_refused(mask):
    assume(mask.shape[0] != mask.shape[1])
    with tempfile.TemporaryDirectory() as folder:
        for name, stored in (("rows.nii", mask), ("columns.nii", mask.T)):
            nibabel.save(
                nibabel.Nifti1Image(stored.astype(np.uint8), np.eye(4)), Path(folder, name)
            )
            found = read_given_mask(Path(folder, name), mask.shape)
            np.testing.assert_array_equal(found, mask)


@given(SIZES.flatmap(lambda size: hnp.arrays(np.float32, size, elements=st.floats(0, 1, width=16))))
@settings(max_examples=40, deadline=None)
def test_nnunets_probabilities_are_those_of_the_lesion(lesion):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "x.npz")
        channels = np.stack([1 - lesion, lesion])[:, None].astype(np.float16)
        np.savez_compressed(path, probabilities=channels)
        found = read_given_probability(path, lesion.shape)
        np.testing.assert_allclose(found, lesion, atol=1e-3)


@given(masks, masks)
@settings(deadline=None)
def test_the_sizes_of_a_score_are_those_of_the_masks(mask, reference):
    rows = min(mask.shape[0], reference.shape[0])
    columns = min(mask.shape[1], reference.shape[1])
    mask, reference = (each[None, :rows, :columns] for each in (mask, reference))
    case = Case(
        case_id="c",
        image=Image(pixels=np.zeros(mask.shape, np.float32)),
        reference=reference.astype(np.int32),
    )
    found = score_case(case, mask, group="g")
    assert found.reference_size == reference.sum()
    assert found.reference_size + found.size_difference == mask.sum()
