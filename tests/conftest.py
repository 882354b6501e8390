"""Pinned threads, the real scans, and a tiny data set of every layout."""

import os

# Before any framework is imported: with two threads, weights differ in their last bits.
os.environ["OMP_NUM_THREADS"] = "1"
os.environ["OPENBLAS_NUM_THREADS"] = "1"
os.environ["MKL_NUM_THREADS"] = "1"
os.environ["TF_NUM_INTRAOP_THREADS"] = "1"
os.environ["TF_NUM_INTEROP_THREADS"] = "1"
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
os.environ["MPLBACKEND"] = "Agg"
# Tests must neither read nor fill the cache of whoever runs them.
os.environ["BREASTSEG_CACHE"] = "off"

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from breastseg.workflows.phantom import make_ultrasound_phantoms

ROWS, COLUMNS = 12, 16

WritePicture = Callable[..., Path]


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Return the folder of the real scans; skip the test where it is missing."""
    beside = Path(__file__).parents[2] / "shared" / "data"
    folder = Path(os.environ.get("BREASTSEG_DATA", beside))
    if not folder.is_dir():
        pytest.skip(f"no real scans in {folder}: set BREASTSEG_DATA to their folder")
    return folder


@pytest.fixture(scope="session")
def phantom_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return 24 ultrasound phantoms in the layout of BUSI, made once; leave them as they are."""
    folder = tmp_path_factory.mktemp("phantoms") / "data"
    return make_ultrasound_phantoms(folder, num_cases=24, seed=1)


@pytest.fixture
def write_picture() -> WritePicture:
    """Return a function that writes a grey ramp, or the pixels given, and makes the folder."""

    def write(path: Path, pixels: np.ndarray | None = None) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        if pixels is None:
            pixels = np.arange(ROWS * COLUMNS, dtype=np.uint8).reshape(ROWS, COLUMNS)
        Image.fromarray(pixels).save(path)
        return path

    return write


@pytest.fixture
def write_mask(write_picture: WritePicture) -> WritePicture:
    """Return a function that writes a mask with a lesion of 3 x 4 pixels at that row."""

    def write(path: Path, *, row: int | None = 2, value: int = 255) -> Path:
        mask = np.zeros((ROWS, COLUMNS), np.uint8)
        if row is not None:
            mask[row : row + 3, 4:8] = value
        return write_picture(path, mask)

    return write


@pytest.fixture
def busi_dir(tmp_path: Path, write_picture: WritePicture, write_mask: WritePicture) -> Path:
    """Return a BUSI of four images: benign (2) has two lesions, normal (1) none."""
    root = tmp_path / "Dataset_BUSI_with_GT"
    for stem in ("benign/benign (1)", "benign/benign (2)", "malignant/malignant (1)"):
        write_picture(root / f"{stem}.png")
        write_mask(root / f"{stem}_mask.png")
    write_mask(root / "benign/benign (2)_mask_1.png", row=7)
    write_picture(root / "normal/normal (1).png")
    write_mask(root / "normal/normal (1)_mask.png", row=None)
    return root


@pytest.fixture
def busbra_dir(tmp_path: Path, write_picture: WritePicture, write_mask: WritePicture) -> Path:
    """Return a BUS-BRA of three images of two patients, with the published folds."""
    root = tmp_path / "BUSBRA"
    data = ["ID,Case,Histology,Pathology,BIRADS,Device,Width,Height,Side,BBOX"]
    folds = ["ID,Pathology,kFold,valid_1"]
    for name, patient, pathology, fold in (
        ("0001-l", 1, "malignant", 3),
        ("0001-r", 1, "malignant", 3),
        ("0002-l", 2, "benign", 1),
    ):
        write_picture(root / "Images" / f"bus_{name}.png")
        write_mask(root / "Masks" / f"mask_{name}.png")
        data.append(f'bus_{name},{patient},cyst,{pathology},4,GE,{COLUMNS},{ROWS},left,"[4,2,4,3]"')
        folds.append(f"bus_{name},{pathology},{fold},1")
    (root / "bus_data.csv").write_text("\n".join(data) + "\n")
    (root / "5-fold-cv.csv").write_text("\n".join(folds) + "\n")
    return root


@pytest.fixture
def nnunet_dir(tmp_path: Path, write_picture: WritePicture, write_mask: WritePicture) -> Path:
    """Return an nnU-Net raw data set of two PNG cases with the labels 1 and 2."""
    root = tmp_path / "Dataset001_Breast"
    for case, value in (("breast_001", 1), ("breast_002", 2)):
        write_picture(root / "imagesTr" / f"{case}_0000.png")
        write_mask(root / "labelsTr" / f"{case}.png", value=value)
    description = {
        "channel_names": {"0": "ultrasound"},
        "labels": {"background": 0, "benign": 1, "malignant": 2},
        "numTraining": 2,
        "file_ending": ".png",
    }
    (root / "dataset.json").write_text(json.dumps(description))
    return root


@pytest.fixture
def folder_pairs_dir(tmp_path: Path, write_picture: WritePicture, write_mask: WritePicture) -> Path:
    """Return images/ and masks/: one of the same stem, one with _mask and another format."""
    root = tmp_path / "folders"
    write_picture(root / "images" / "a.png")
    write_mask(root / "masks" / "a.png")
    write_picture(root / "images" / "b.bmp")
    write_mask(root / "masks" / "b_mask.tif")
    return root


@pytest.fixture
def suffix_pairs_dir(tmp_path: Path, write_picture: WritePicture, write_mask: WritePicture) -> Path:
    """Return pairs side by side, one of them in a subfolder."""
    root = tmp_path / "pairs"
    write_picture(root / "a.png")
    write_mask(root / "a_mask.png")
    write_picture(root / "clinic" / "b.jpg")
    write_mask(root / "clinic" / "b_mask.png")
    return root
