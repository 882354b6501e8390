from pathlib import Path

import nibabel
import numpy as np
import pytest
from PIL import Image as Pillow

from breastseg.core.errors import GeometryError, ImageFileError, ReferenceMaskError
from breastseg.io.mask_files import ending_of, read_given_mask, read_given_probability

SIZE = (12, 16)
MASK = np.zeros(SIZE, np.uint8)
MASK[2:5, 4:11] = 1
ITK = np.diag([-1.0, -1.0, 1.0, 1.0])
PLAIN = np.eye(4)


def save(path, pixels):
    Pillow.fromarray(pixels).save(path)
    return path


def save_nifti(path, stored, affine=ITK):
    nibabel.save(nibabel.Nifti1Image(stored, affine), path)
    return path


@pytest.mark.parametrize("values", [(0, 1), (0, 255), (0, 77)])
@pytest.mark.parametrize("ending", [".png", ".bmp", ".tif"])
def test_a_picture_of_two_values_is_a_mask(tmp_path, values, ending):
    path = save(tmp_path / f"x{ending}", np.array(values, np.uint8)[MASK])
    np.testing.assert_array_equal(read_given_mask(path, SIZE), MASK == 1)


def test_every_label_of_a_label_map_is_lesion(tmp_path):
    labels = MASK.copy()
    labels[8:10, 1:3] = 2
    path = save(tmp_path / "x.png", labels)
    np.testing.assert_array_equal(read_given_mask(path, SIZE), labels > 0)


@pytest.mark.parametrize("value", [0, 255])
def test_a_mask_may_be_empty_or_full(tmp_path, value):
    path = save(tmp_path / "x.png", np.full(SIZE, value, np.uint8))
    assert read_given_mask(path, SIZE).all() == bool(value)


@pytest.mark.parametrize(
    ("pixels", "told"),
    [
        (np.arange(192, dtype=np.uint8).reshape(SIZE), "found 192 values: 0, 1, 2, 3, 4, ..."),
        (MASK * np.uint8(128) + np.eye(*SIZE, dtype=np.uint8), "found 4 values|found 3 values"),
        (MASK.astype(np.float32) * 0.7, "name it after its case with _probability"),
        (MASK.astype(np.float32) * 3.5 - 1, "expected a mask"),
    ],
)
def test_what_is_no_mask_is_refused(tmp_path, pixels, told):
    path = save(tmp_path / "x.tif", pixels)
    with pytest.raises(ReferenceMaskError, match=told):
        read_given_mask(path, SIZE)


@pytest.mark.parametrize("name", ["x.png", "x.nii.gz", "x.nii"])
def test_another_size_is_refused(tmp_path, name):
    path = tmp_path / name
    small = MASK[:-1]
    save(path, small) if name == "x.png" else save_nifti(path, small.T[..., None])
    with pytest.raises(GeometryError, match="got"):
        read_given_mask(path, SIZE)


# --- NIfTI ------------------------------------------------------------------------------------


@pytest.mark.parametrize("ending", [".nii", ".nii.gz"])
def test_nnunet_stores_columns_first_with_one_slice(tmp_path, ending):
    path = save_nifti(tmp_path / f"x{ending}", MASK.T[..., None])
    np.testing.assert_array_equal(read_given_mask(path, SIZE), MASK == 1)


@pytest.mark.parametrize("stored", [MASK, MASK[..., None], MASK.T])
def test_the_shape_tells_the_axes_of_a_plain_array(tmp_path, stored):
    path = save_nifti(tmp_path / "x.nii.gz", stored, PLAIN)
    np.testing.assert_array_equal(read_given_mask(path, SIZE), MASK == 1)


def test_axes_that_contradict_the_affine_are_refused(tmp_path):
    path = save_nifti(tmp_path / "x.nii.gz", MASK[..., None], ITK)
    with pytest.raises(GeometryError, match=r"\(16, 12\)"):
        read_given_mask(path, SIZE)


def test_a_square_image_is_refused_unless_the_affine_or_symmetry_tells_its_axes(tmp_path):
    square = np.zeros((16, 16), np.uint8)
    square[2:5, 4:11] = 1
    itk = save_nifti(tmp_path / "itk.nii.gz", square.T[..., None], ITK)
    np.testing.assert_array_equal(read_given_mask(itk, square.shape), square == 1)
    plain = save_nifti(tmp_path / "plain.nii.gz", square, PLAIN)
    with pytest.raises(GeometryError, match="the image is square"):
        read_given_mask(plain, square.shape)
    empty = save_nifti(tmp_path / "empty.nii.gz", np.zeros_like(square), PLAIN)
    assert not read_given_mask(empty, square.shape).any()


@pytest.mark.parametrize(
    "affine", [np.diag([-1.0, 1, 1, 1]), np.array([[0, 1, 0, 0], [1, 0, 0, 0], *PLAIN[2:]])]
)
def test_an_affine_that_mirrors_or_turns_is_refused(tmp_path, affine):
    path = save_nifti(tmp_path / "x.nii.gz", MASK.T[..., None], affine)
    with pytest.raises(GeometryError, match="turns or mirrors"):
        read_given_mask(path, SIZE)


def test_a_volume_is_no_mask_of_an_image(tmp_path):
    path = save_nifti(tmp_path / "x.nii.gz", np.zeros((16, 12, 3), np.uint8))
    with pytest.raises(GeometryError, match="one slice"):
        read_given_mask(path, SIZE)


@pytest.mark.parametrize("name", ["x.png", "x.nii", "x.nii.gz", "x_probability.npz"])
@pytest.mark.parametrize("kept", [0, 0.6])
def test_half_written_files_are_refused_by_name(tmp_path, name, kept):
    path = tmp_path / name
    noise = np.random.default_rng(0).integers(0, 2, (160, 120)).astype(np.uint8)
    if name.endswith(".npz"):
        np.savez_compressed(path, probabilities=np.stack([1 - noise, noise])[:, None])
    else:
        save(path, noise) if name == "x.png" else save_nifti(path, noise.T[..., None])
    path.write_bytes(path.read_bytes()[: int(kept * path.stat().st_size)])
    read = read_given_probability if name.endswith(".npz") else read_given_mask
    with pytest.raises(ImageFileError, match=name):
        read(path, noise.shape)


def test_a_missing_file_is_told(tmp_path):
    for name in ("x.png", "x.nii.gz"):
        with pytest.raises(ImageFileError, match="no such file"):
            read_given_mask(tmp_path / name, SIZE)
    with pytest.raises(ImageFileError, match="missing"):
        read_given_probability(tmp_path / "x.npz", SIZE)


# --- probabilities ----------------------------------------------------------------------------

PROBABILITY = np.linspace(0, 1, 192, dtype=np.float32).reshape(SIZE)


@pytest.mark.parametrize("key", ["probabilities", "softmax"])
def test_nnunets_softmax_without_its_background(tmp_path, key):
    """Rounded to 16-bit floats, with three classes, and 0 throughout where it was cropped."""
    benign, malignant = 0.75 * PROBABILITY, 0.25 * PROBABILITY
    channels = np.stack([1 - PROBABILITY, benign, malignant])[:, None].astype(np.float16)
    channels[..., :2] = 0
    np.savez_compressed(tmp_path / "x.npz", **{key: channels})
    found = read_given_probability(tmp_path / "x.npz", SIZE)
    expected = PROBABILITY.copy()
    expected[:, :2] = 0
    np.testing.assert_allclose(found, expected, atol=2e-3)
    assert found.dtype == np.float32


def test_regions_have_no_background(tmp_path):
    regions = np.stack([PROBABILITY, 0.5 * PROBABILITY])[:, None]
    np.savez(tmp_path / "x.npz", probabilities=regions)
    np.testing.assert_allclose(read_given_probability(tmp_path / "x.npz", SIZE), PROBABILITY)
    np.savez(tmp_path / "y.npz", probability=PROBABILITY)
    np.testing.assert_allclose(read_given_probability(tmp_path / "y.npz", SIZE), PROBABILITY)


def test_floats_and_16_bit_pictures_are_probabilities(tmp_path):
    floats = save(tmp_path / "f.tif", PROBABILITY)
    np.testing.assert_array_equal(read_given_probability(floats, SIZE), PROBABILITY)
    whole = np.rint(PROBABILITY * 65535).astype(np.uint16)
    for name in ("x.png", "x.tif"):
        found = read_given_probability(save(tmp_path / name, whole), SIZE)
        np.testing.assert_allclose(found, PROBABILITY, atol=1e-5)
    volume = save_nifti(tmp_path / "x.nii.gz", PROBABILITY.T[..., None])
    np.testing.assert_array_equal(read_given_probability(volume, SIZE), PROBABILITY)
    volume = save_nifti(tmp_path / "y.nii.gz", whole.T[..., None])
    np.testing.assert_allclose(read_given_probability(volume, SIZE), PROBABILITY, atol=1e-5)


@pytest.mark.parametrize("pixels", [MASK, MASK * np.uint8(200)])
def test_8_bit_is_too_coarse_for_probabilities(tmp_path, pixels):
    with pytest.raises(ReferenceMaskError, match="8 bit"):
        read_given_probability(save(tmp_path / "x.png", pixels), SIZE)


def test_logits_are_refused(tmp_path):
    path = save(tmp_path / "x.tif", 8 * PROBABILITY - 4)
    with pytest.raises(ReferenceMaskError, match="not the logits"):
        read_given_probability(path, SIZE)


def test_an_npz_of_another_grid_or_key_is_refused(tmp_path):
    np.savez(tmp_path / "x.npz", probabilities=np.zeros((2, 1, *SIZE[::-1]), np.float32))
    with pytest.raises(GeometryError, match=r"\(channels, 1, 12, 16\)"):
        read_given_probability(tmp_path / "x.npz", SIZE)
    np.savez(tmp_path / "y.npz", logits=np.zeros((2, 1, *SIZE)))
    with pytest.raises(ImageFileError, match="found logits"):
        read_given_probability(tmp_path / "y.npz", SIZE)
    np.savez(tmp_path / "z.npz", probabilities=np.array([{"a": 1}], object))
    with pytest.raises(ImageFileError, match="damaged"):
        read_given_probability(tmp_path / "z.npz", SIZE)


def test_endings_are_known_in_any_case():
    assert ending_of(Path("a.NII.GZ")) == ".NII.GZ"
    assert ending_of(Path("a.json")) is None
