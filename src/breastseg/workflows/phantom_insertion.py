"""`breastseg phantom ct --into`: copies of a real CT with simulated lesions in its breasts."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from breastseg.core.errors import InputError
from breastseg.core.image import Image
from breastseg.datasets.phantom_ct.anatomy import Phase
from breastseg.datasets.phantom_ct.insertion import Inserted, insert_lesions
from breastseg.datasets.phantom_ct.phantom import PhantomSettings
from breastseg.datasets.phantom_ct.writing import (
    Format,
    read_written,
    write_description,
    write_inserted,
)
from breastseg.io.dicom_ct_writer import Identity
from breastseg.io.dicom_series import read_series
from breastseg.io.file_kinds import is_nifti
from breastseg.io.nifti import read_nifti
from breastseg.pipeline.breast_region import SIDES, find_breasts
from breastseg.workflows.phantom_folder import begin_folder, is_whole, require_numbers
from breastseg.workflows.progress import Reading, silent_reading

_GIVE_A_MASK = "Give a mask with --breasts, or take another scan."

Labels = UInt8[np.ndarray, "slices rows columns"]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Source:
    """A scan to put lesions into.

    breasts: 1 right, 2 left. found: what is said of breasts that were not given.
    patient_position: "" where it is not known, as for NIfTI.
    patient: what all copies of a scan share, whoever makes them, so that no split divides them.
    fingerprint: of its voxels, grid and breasts.
    """

    image: Image
    breasts: Labels
    found: tuple[str, ...]
    patient_position: str
    patient: str
    fingerprint: str


def insert_ct_lesions(
    scan: Path,
    output: Path,
    *,
    breasts: Path | None = None,
    num_cases: int = 1,
    seed: int = 0,
    kind: Format = "dicom",
    phase: Phase = "unenhanced",
    progress: Reading = silent_reading,
) -> Path:
    """Write copies of a lesion-free CT with simulated lesions in its breasts.

    Args:
        scan: a NIfTI file, or a folder or files of one CT series; without lesions.
        output: a new or empty folder, or one that the same call began: whole cases are kept.
        breasts: a NIfTI mask on its grid, 1 in the right breast and 2 in the left; None finds
            them by `find_breasts` and leaves out a side of skin and fat alone.
        num_cases: how many copies, each with one to three lesions of its own; all of them are of
            one patient, so that no split divides them.
        seed: the same seed gives the same files.
        kind: as of make_ct_phantoms.
        phase: whether the scan was made with contrast; it decides how bright lesions are.
        progress: is told how many are done, and of how many.

    Raises:
        InputError: num_cases or seed is out of range, no breast is found, or no lesion fits.
        GeometryError: the mask is not on the grid of the scan, or the scan is not axial.
        OutputError: the folder holds something else, or cannot be written.
    """
    require_numbers(num_cases, seed)
    source = _read(scan, breasts)
    request = {"kind": "insertion", "format": kind, "seed": seed, "phase": phase}
    begin_folder(output, {**request, "source": source.fingerprint})
    for index in range(num_cases):
        case_id = f"inserted-{index + 1:04d}"
        if not is_whole(output, case_id):
            made = _insert(source, (seed, index), phase)
            identity = Identity(
                patient_id=source.patient,
                description="CT with simulated lesions",
                patient_position=source.patient_position,
                copy=f"{source.fingerprint}-{phase}-{seed}-{index}",
            )
            write_inserted(output, case_id, (made, source.breasts, source.found), kind, identity)
        progress("insertions", index + 1, num_cases)
    write_description(output, read_written(output), kind)
    return output


def _insert(source: _Source, stream: tuple[int, int], phase: Phase) -> Inserted:
    random = np.random.default_rng([*stream, 3])
    made = insert_lesions(
        random,
        source.image,
        source.breasts,
        count=int(random.integers(1, 4)),
        diameters_mm=PhantomSettings().diameters_mm,
        phase=phase,
    )
    if not made.lesions:
        raise InputError(
            "no lesion fits into the breasts: expected 1 in the right breast and 2 in the left, "
            "at least 12 mm thick. Look at the mask beside the scan."
        )
    return made


def _read(scan: Path, breasts: Path | None) -> _Source:
    position = None
    if is_nifti(scan):
        image = read_nifti(scan)
    else:
        series = read_series(scan)
        image, position = series.image, series.patient_position
    found: tuple[str, ...] = ()
    if breasts is None:
        mask, found = _found_breasts(image)
    else:
        mask = np.rint(read_nifti(breasts).pixels).astype(np.uint8)
    return _Source(
        image=image,
        breasts=mask,
        found=found,
        patient_position=position or "",
        patient=f"scan-{hashlib.sha256(image.pixels.tobytes()).hexdigest()[:12]}",
        fingerprint=_fingerprint(image, mask),
    )


def _found_breasts(image: Image) -> tuple[Labels, tuple[str, ...]]:
    """Return the breasts that hold gland, and what was found in words."""
    region = find_breasts(image)
    if region.refusal is not None:
        raise InputError(f"{region.refusal} {_GIVE_A_MASK}")
    labels = region.labels.copy()
    for side in region.sides:
        if side.flat:
            labels[labels == SIDES[side.side]] = 0
    if not labels.any():
        raise InputError(
            f"no breast with gland was found. {' '.join(region.in_words())} {_GIVE_A_MASK}"
        )
    return labels, region.in_words()


def _fingerprint(image: Image, breasts: Labels) -> str:
    digest = hashlib.sha256(np.ascontiguousarray(image.pixels, np.float32).tobytes())
    digest.update(np.ascontiguousarray(image.affine, np.float64).tobytes())
    digest.update(np.ascontiguousarray(breasts).tobytes())
    return digest.hexdigest()[:12]
