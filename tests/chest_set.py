"""A set of crude chest scans as nnU-Net raw, for trainings that need volumes in no time."""

import json
from pathlib import Path

import numpy as np

from breastseg.core.image import Image
from breastseg.io.nifti import write_nifti
from tests.crude_chest import IN_LEFT_BREAST, IN_RIGHT_BREAST, LESION, crude_chest, with_lesion

AT_THE_SPINE = (0.0, 90.0, 0.0)
CHEST = crude_chest(mm=6.0)
PLACES = ((IN_RIGHT_BREAST,), (IN_LEFT_BREAST,), (IN_RIGHT_BREAST, IN_LEFT_BREAST), ())


def chest_with(*centres: tuple[float, float, float], noise: int = 0) -> Image:
    """Return a chest with bright balls and noise of its own."""
    image = CHEST
    for centre in centres:
        image = with_lesion(image, centre, 12)
    grain = np.random.default_rng(noise).normal(0, 8, image.pixels.shape).round()
    values = np.where(image.pixels == LESION, LESION, image.pixels + grain)
    return Image(pixels=values.astype(np.float32), affine=image.affine)


def mask_of(image: Image) -> Image:
    """Return where the balls are."""
    return Image(pixels=(image.pixels == LESION).astype(np.float32), affine=image.affine)


def write_chest_set(folder: Path, count: int) -> Path:
    """Write scans with a lesion on the right, on the left, on both sides and nowhere, in turn."""
    for name in ("imagesTr", "labelsTr"):
        (folder / name).mkdir(parents=True)
    for number in range(count):
        image = chest_with(*PLACES[number % len(PLACES)], noise=number)
        write_nifti(folder / "imagesTr" / f"chest{number:02}_0000.nii", image, dtype=np.int16)
        write_nifti(folder / "labelsTr" / f"chest{number:02}.nii", mask_of(image), dtype=np.uint8)
    document = {
        "channel_names": {"0": "CT"},
        "labels": {"background": 0, "lesion": 1},
        "numTraining": count,
        "file_ending": ".nii",
    }
    (folder / "dataset.json").write_text(json.dumps(document))
    return folder
