"""`breastseg phantom`: data sets of phantoms, to try and test with."""

import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np

from breastseg.core.errors import InputError, OutputError
from breastseg.core.image import Image
from breastseg.datasets.phantom_ct.anatomy import Phase
from breastseg.datasets.phantom_ct.insertion import insert_lesions
from breastseg.datasets.phantom_ct.phantom import PhantomSettings, make_phantom_ct
from breastseg.datasets.phantom_ct.writing import (
    SIMULATED,
    TRUTH,
    Format,
    Written,
    lesion_list,
    write_description,
    write_maps,
    write_phantom,
    write_scan,
)
from breastseg.datasets.phantom_ultrasound import write_phantoms
from breastseg.io.atomic import make_folder, write_json
from breastseg.io.dicom_ct_writer import Identity
from breastseg.io.dicom_series import read_series
from breastseg.io.file_kinds import is_nifti
from breastseg.io.nifti import read_nifti

Progress = Callable[[int, int], None]


def make_ultrasound_phantoms(output: Path, *, num_cases: int = 120, seed: int = 0) -> Path:
    """Write a data set of breast ultrasound phantoms in the layout of BUSI.

    Args:
        output: a new or empty folder.
        num_cases: half are benign, a third malignant, a sixth normal.
        seed: the same seed gives the same files; more cases leave the first ones as they are.

    Returns:
        The folder, ready for `find_data_set`.

    Raises:
        InputError: num_cases or seed is out of range.
        OutputError: the folder holds something already, or cannot be written.
    """
    _require_new(output, num_cases, seed)
    write_phantoms(output, num_cases=num_cases, seed=seed)
    return output


def make_ct_phantoms(
    output: Path,
    *,
    num_cases: int = 12,
    seed: int = 0,
    kind: Format = "dicom",
    settings: PhantomSettings | None = None,
    progress: Progress | None = None,
) -> Path:
    """Write a data set of chest CT phantoms with breasts, lesions and their truth.

    Args:
        output: a new or empty folder.
        num_cases: every fourth is prone, every sixth has no lesion.
        seed: the same seed gives the same files; more cases leave the first ones as they are.
        kind: "dicom" for series with a Segmentation, "nifti" for nnU-Net raw.
        settings: what is fixed of all phantoms.
        progress: is told how many are done, and of how many.

    Returns:
        The folder, ready for `find_data_set`; the truth lies in its folder truth/.

    Raises:
        InputError: num_cases or seed is out of range.
        OutputError: the folder holds something already, or cannot be written.
    """
    _require_new(output, num_cases, seed)
    cases = []
    for index in range(num_cases):
        phantom = make_phantom_ct(seed, index, settings)
        cases.append(write_phantom(output, phantom, f"phantom-{index + 1:04d}", seed, kind))
        if progress is not None:
            progress(index + 1, num_cases)
    write_description(output, cases, kind)
    return output


def insert_ct_lesions(
    scan: Path,
    breasts: Path,
    output: Path,
    *,
    num_cases: int = 1,
    seed: int = 0,
    kind: Format = "dicom",
    phase: Phase = "unenhanced",
    progress: Progress | None = None,
) -> Path:
    """Write copies of a lesion-free CT with simulated lesions in its breasts.

    Args:
        scan: a NIfTI file, or a folder or files of one CT series; without lesions.
        breasts: a NIfTI mask on its grid, 1 in the right breast and 2 in the left.
        output: a new or empty folder.
        num_cases: how many copies, each with one to three lesions of its own; all of them are of
            one patient, so that no split divides them.
        seed: the same seed gives the same files.
        kind: as of make_ct_phantoms.
        phase: whether the scan was made with contrast; it decides how bright lesions are.
        progress: is told how many are done, and of how many.

    Raises:
        InputError: num_cases or seed is out of range, or no lesion fits into the breasts.
        GeometryError: the mask is not on the grid of the scan, or the scan is not axial.
        OutputError: the folder holds something already, or cannot be written.
    """
    image = read_nifti(scan) if is_nifti(scan) else read_series(scan).image
    mask = np.rint(read_nifti(breasts).pixels).astype(np.uint8)
    _require_new(output, num_cases, seed)
    cases = []
    for index in range(num_cases):
        cases.append(_insert(output, (image, mask), (seed, index), kind, phase))
        if progress is not None:
            progress(index + 1, num_cases)
    write_description(output, cases, kind)
    return output


def _insert(
    output: Path,
    scan: tuple[Image, np.ndarray],
    stream: tuple[int, int],
    kind: Format,
    phase: Phase,
) -> Written:
    random = np.random.default_rng([*stream, 3])
    made = insert_lesions(
        random,
        *scan,
        count=int(random.integers(1, 4)),
        diameters_mm=PhantomSettings().diameters_mm,
        phase=phase,
    )
    if not made.lesions:
        raise InputError(
            "no lesion fits into the breast mask: expected 1 in the right breast and 2 in the "
            "left, at least 12 mm thick. Look at the mask beside the scan."
        )
    case_id = f"inserted-{stream[1] + 1:04d}"
    identity = Identity(
        patient_id=_patient_of(scan[0]),
        description="CT with simulated lesions",
        patient_position="HFS",
        copy=f"{stream[0]}-{case_id}",
    )
    written = write_scan(output, case_id, (made.image, made.labels, made.sides), kind, identity)
    folder = output / TRUTH / case_id
    write_maps(folder, made.image, {"breasts": scan[1], "lesions": made.labels})
    lesions = lesion_list(made.lesions, made.sides, made.labels)
    write_json(folder / "truth.json", {"case_id": case_id, "note": SIMULATED, "lesions": lesions})
    return written


def _patient_of(image: Image) -> str:
    """Return what all copies of a scan share, whoever makes them: 12 hex digits of its voxels."""
    return f"scan-{hashlib.sha256(image.pixels.tobytes()).hexdigest()[:12]}"


def _require_new(output: Path, num_cases: int, seed: int) -> None:
    if num_cases < 1:
        raise InputError(f"num_cases must be 1 or more, got {num_cases}.")
    if seed < 0:
        raise InputError(f"seed must be 0 or more, got {seed}.")
    make_folder(output)
    if any(output.iterdir()):
        raise OutputError(
            f"{output}: expected a new or empty folder for the phantoms, but it holds files. "
            "Choose another --output."
        )
