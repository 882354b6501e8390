import numpy as np
import pytest

from breastseg.core.errors import GeometryError, ImageFileError, ReferenceMaskError
from breastseg.core.image import Image
from breastseg.io.nifti import write_nifti
from breastseg.io.volume_mask_files import read_volume_mask, read_volume_probability

SHAPE = (3, 4, 5)


@pytest.fixture
def image():
    affine = np.eye(4)[[2, 1, 0, 3]] @ np.diag([2.5, 0.8, 0.8, 1.0])
    affine[:3, 3] = -10, 20, 30
    return Image(pixels=np.zeros(SHAPE, np.float32), affine=affine)


@pytest.fixture
def probability():
    return np.linspace(0, 1, 60, dtype=np.float32).reshape(SHAPE)


def test_a_map_is_read_however_its_axes_are_stored(image, probability, tmp_path):
    turned = Image(
        pixels=probability.transpose(2, 0, 1)[:, ::-1],
        affine=image.affine
        @ np.array([[0, -1, 0, SHAPE[0] - 1], [0, 0, 1, 0], [1, 0, 0, 0], [0, 0, 0, 1.0]]),
    )
    for number, stored in enumerate((Image(pixels=probability, affine=image.affine), turned)):
        path = tmp_path / f"{number}.nii.gz"
        write_nifti(path, stored)
        np.testing.assert_array_equal(read_volume_probability(path, image), probability)


def test_labels_are_all_lesion(image, tmp_path):
    labels = np.zeros(SHAPE, np.float32)
    labels[1, 1, 1:4] = 1, 2, 15
    write_nifti(tmp_path / "a.nii", Image(pixels=labels, affine=image.affine))
    np.testing.assert_array_equal(read_volume_mask(tmp_path / "a.nii", image), labels > 0)
    write_nifti(tmp_path / "b.nii", Image(pixels=255 * (labels > 0), affine=image.affine))
    np.testing.assert_array_equal(read_volume_mask(tmp_path / "b.nii", image), labels > 0)


@pytest.mark.parametrize(
    ("values", "told"), [(0.5, "fractions"), (-1, "from -1"), ((3, 99), "from 3 to 99")]
)
def test_what_is_no_mask_is_refused(image, tmp_path, values, told):
    pixels = np.zeros(SHAPE, np.float32)
    pixels[0, 0, : np.size(values)] = values
    write_nifti(tmp_path / "a.nii", Image(pixels=pixels, affine=image.affine))
    with pytest.raises(ReferenceMaskError, match=told):
        read_volume_mask(tmp_path / "a.nii", image)


def test_logits_are_no_probabilities(image, probability, tmp_path):
    write_nifti(tmp_path / "a.nii", Image(pixels=probability - 2, affine=image.affine))
    with pytest.raises(ReferenceMaskError, match="not the logits"):
        read_volume_probability(tmp_path / "a.nii", image)


def test_another_grid_is_refused(image, probability, tmp_path):
    moved = image.affine.copy()
    moved[0, 3] += 0.1
    write_nifti(tmp_path / "a.nii", Image(pixels=probability, affine=moved))
    with pytest.raises(GeometryError, match="apart"):
        read_volume_probability(tmp_path / "a.nii", image)
    with pytest.raises(GeometryError, match="millimetres"):
        read_volume_probability(tmp_path / "a.nii", Image(pixels=image.pixels))


def test_every_channel_of_nnunet_but_the_first_is_lesion(image, probability, tmp_path):
    path = tmp_path / "a.npz"
    np.savez(path, probabilities=np.stack([1 - probability, probability]).astype(np.float16))
    np.testing.assert_allclose(read_volume_probability(path, image), probability, atol=1e-3)
    np.savez(path, probabilities=probability[:2])
    with pytest.raises(GeometryError, match=r"\(channels, 3, 4, 5\)"):
        read_volume_probability(path, image)
    path.write_bytes(b"PK")
    with pytest.raises(ImageFileError):
        read_volume_probability(path, image)
