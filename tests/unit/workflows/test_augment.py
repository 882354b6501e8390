import numpy as np
import pytest
from PIL import Image

from breastseg.core.errors import InputError
from breastseg.core.recipes import smoke, ultrasound_scratch
from breastseg.workflows.augment import TILE_SIDE, preview_augmentation


def sheet(path):
    with Image.open(path) as picture:
        return np.asarray(picture)


def test_the_sheet_has_a_row_per_image_and_starts_with_the_image_itself(phantom_data, tmp_path):
    path = preview_augmentation(
        phantom_data, ultrasound_scratch(), tmp_path / "new" / "a.png", num_cases=3, num_variants=2
    )
    shown = sheet(path)
    assert shown.shape == (3 * TILE_SIDE + 12, 3 * TILE_SIDE + 12, 3)
    first, second = shown[:TILE_SIDE, :TILE_SIDE], shown[:TILE_SIDE, TILE_SIDE + 6 :][:, :TILE_SIDE]
    assert np.abs(first.astype(int) - second).mean() > 5


def test_without_augmentation_every_picture_of_a_row_is_the_image(phantom_data, tmp_path):
    recipe = smoke().with_settings(["augmentation={}"])
    path = preview_augmentation(
        phantom_data, recipe, tmp_path / "a.png", num_cases=1, num_variants=1
    )
    shown = sheet(path)
    np.testing.assert_array_equal(shown[:, :TILE_SIDE], shown[:, TILE_SIDE + 6 :])


def test_the_same_seed_gives_the_same_sheet(phantom_data, tmp_path):
    sheets = [
        preview_augmentation(phantom_data, recipe, tmp_path / name, num_cases=2, num_variants=2)
        for name, recipe in (
            ("a.png", smoke()),
            ("b.png", smoke()),
            ("c.png", smoke().with_settings(["seed=1"])),
        )
    ]
    first, second, other = (path.read_bytes() for path in sheets)
    assert first == second != other


def test_more_rows_than_images_are_all_images(busi_dir, tmp_path):
    path = preview_augmentation(busi_dir, smoke(), tmp_path / "a.png", num_cases=99, num_variants=1)
    assert (sheet(path).shape[0] + 6) % (TILE_SIDE + 6) == 0


def test_an_empty_sheet_is_refused(phantom_data, tmp_path):
    with pytest.raises(InputError, match="at least one case and one variant, got 0 and 1"):
        preview_augmentation(phantom_data, smoke(), tmp_path / "a.png", num_cases=0, num_variants=1)
