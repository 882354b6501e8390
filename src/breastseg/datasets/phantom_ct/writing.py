"""Phantoms as files: a data set that `find_data_set` reads, and beside it the whole truth.

DICOM: DIR/<case>/ct/*.dcm and DIR/<case>/seg.dcm, with lesions.json where a scan has no lesion.
NIfTI: nnU-Net raw with groups.json. Both:
DIR/truth/<case>/{tissues,breasts,lesions}.nii.gz and truth.json.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from breastseg.core.image import Image
from breastseg.datasets.phantom_ct.anatomy import Tissue
from breastseg.datasets.phantom_ct.insertion import Inserted
from breastseg.datasets.phantom_ct.lesions import Lesion
from breastseg.datasets.phantom_ct.phantom import LEFT, RIGHT, PhantomCT
from breastseg.datasets.stated import write_groups, write_lesion_free
from breastseg.io.atomic import make_folder, write_json
from breastseg.io.dicom_ct_writer import Identity, write_ct_series, write_truth_seg
from breastseg.io.dicom_results import Laterality
from breastseg.io.nifti import write_nifti

Format = Literal["dicom", "nifti"]
TRUTH, TRUTH_FILE = "truth", "truth.json"
SIMULATED = (
    "Simulated: what a model scores on it says nothing about patients. Lesions are known by "
    "construction; a voxel is labelled where half of it or more lies inside."
)
_SIDES: dict[int, Laterality] = {RIGHT: "right", LEFT: "left"}


@dataclass(frozen=True, slots=True)
class Written:
    """What a data set must say of a case that was written. patient: of its scan."""

    case_id: str
    patient: str
    num_lesions: int


def write_phantom(output: Path, phantom: PhantomCT, case_id: str, seed: int, kind: Format) -> None:
    """Write one phantom and its truth.

    Raises:
        OutputError: a file cannot be written.
    """
    identity = identity_of(phantom, f"phantom-{seed}-{case_id}")
    scan = (phantom.image, phantom.labels, phantom.sides)
    write_scan(output, case_id, scan, kind, identity)
    folder = output / TRUTH / case_id
    write_maps(folder, phantom.image, {"breasts": phantom.breasts, "tissues": phantom.tissues})
    write_maps(folder, phantom.image, {"lesions": phantom.labels})
    truth = {"case_id": case_id, "patient": identity.patient_id, **truth_of(phantom)}
    write_json(folder / TRUTH_FILE, truth)


def write_inserted(
    output: Path,
    case_id: str,
    case: tuple[Inserted, np.ndarray, tuple[str, ...]],
    kind: Format,
    identity: Identity,
) -> None:
    """Write a scan with inserted lesions and its truth.

    Args:
        output: the folder of the set.
        case_id: names the files.
        case: the scan; its breasts, 1 right and 2 left; what was said where they were found.
        kind: of the files.
        identity: in DICOM.

    Raises:
        OutputError: a file cannot be written.
    """
    made, breasts, found = case
    write_scan(output, case_id, (made.image, made.labels, made.sides), kind, identity)
    folder = output / TRUTH / case_id
    write_maps(folder, made.image, {"breasts": breasts, "lesions": made.labels})
    truth = {
        "case_id": case_id,
        "patient": identity.patient_id,
        "note": SIMULATED,
        "breasts_found": list(found) or None,
        "lesions": lesion_list(made.lesions, made.sides, made.labels),
    }
    write_json(folder / TRUTH_FILE, truth)


def read_written(output: Path) -> list[Written]:
    """Return the cases of a folder that have all their files; the truth is written last."""
    documents = (
        json.loads(path.read_text(encoding="utf-8"))
        for path in sorted((output / TRUTH).glob(f"*/{TRUTH_FILE}"))
    )
    return [
        Written(
            case_id=truth["case_id"],
            patient=truth["patient"],
            num_lesions=sum(1 for lesion in truth["lesions"] if lesion["num_voxels"]),
        )
        for truth in documents
    ]


def identity_of(phantom: PhantomCT, patient_id: str) -> Identity:
    """Return who a phantom is in DICOM."""
    position = "HFP" if phantom.anatomy.pose == "prone" else "HFS"
    return Identity(
        patient_id=patient_id, description="Simulated chest CT", patient_position=position
    )


def write_scan(
    output: Path,
    case_id: str,
    scan: tuple[Image, np.ndarray, tuple[int, ...]],
    kind: Format,
    identity: Identity,
) -> None:
    """Write a scan with its lesions. scan: image, label map, and side of each lesion."""
    image, labels, sides = scan
    if kind == "dicom":
        series = write_ct_series(output / case_id / "ct", image, identity)
        laterality = tuple(_SIDES[side] for side in sides)
        write_truth_seg(output / case_id / "seg.dcm", series, labels, laterality, identity)
        return
    for folder in ("imagesTr", "labelsTr"):
        make_folder(output / folder)
    write_nifti(output / "imagesTr" / f"{case_id}_0000.nii.gz", image, dtype=np.int16)
    mask = Image(pixels=(labels > 0).astype(np.float32), affine=image.affine)
    write_nifti(output / "labelsTr" / f"{case_id}.nii.gz", mask, dtype=np.uint8)


def write_description(output: Path, cases: Sequence[Written], kind: Format) -> None:
    """Write what no image says: which scans are of one patient, and which have no lesion.

    nnU-Net raw: dataset.json, and groups.json. DICOM names patients and holds no empty
    Segmentation: lesions.json, where a scan has no lesion.

    Raises:
        OutputError: a file cannot be written.
    """
    if kind == "nifti":
        _write_nnunet(output, len(cases))
        write_groups(output, {case.case_id: case.patient for case in cases})
        return
    free = [case.case_id for case in cases if not case.num_lesions]
    if free:
        write_lesion_free(output, free)


def _write_nnunet(output: Path, num_cases: int) -> None:
    document = {
        "name": "breastseg CT phantoms",
        "description": SIMULATED,
        "channel_names": {"0": "CT"},
        "labels": {"background": 0, "lesion": 1},
        "numTraining": num_cases,
        "file_ending": ".nii.gz",
    }
    write_json(output / "dataset.json", document)


def write_maps(folder: Path, image: Image, maps: dict[str, np.ndarray]) -> None:
    """Write label maps on the grid of an image."""
    make_folder(folder)
    for name, values in maps.items():
        drawn = Image(pixels=values.astype(np.float32), affine=image.affine)
        write_nifti(folder / f"{name}.nii.gz", drawn, dtype=np.uint8)


def truth_of(phantom: PhantomCT) -> dict[str, Any]:
    """Return what is known of a phantom."""
    anatomy, scanner = phantom.anatomy, phantom.scanner
    return {
        "note": SIMULATED,
        "pose": anatomy.pose,
        "phase": anatomy.phase,
        "density": anatomy.density,
        "gland_share": round(anatomy.gland_share, 4),
        "spacing_mm": [round(length, 4) for length in phantom.image.spacing_mm or ()],
        "blur_mm": round(scanner.blur_mm, 3),
        "noise_hu": round(scanner.noise_hu, 2),
        "edge": round(scanner.edge, 3),
        "tissues": {tissue.name.lower(): int(tissue) for tissue in Tissue},
        "hu": {tissue.name.lower(): round(value, 1) for tissue, value in anatomy.hu.items()},
        "breasts": {name: number for number, name in _SIDES.items()},
        "lesions": lesion_list(phantom.lesions, phantom.sides, phantom.labels),
    }


def lesion_list(
    lesions: tuple[Lesion, ...], sides: tuple[int, ...], labels: np.ndarray
) -> list[dict[str, Any]]:
    """Return what is known of each lesion, in the order of their numbers."""
    counts = np.bincount(labels.ravel(), minlength=len(lesions) + 1)
    return [
        {
            "number": number,
            "side": _SIDES[side],
            "margin": lesion.margin,
            "volume_mm3": round(lesion.shape.volume_mm3, 2),
            "diameter_mm": round(lesion.shape.diameter_mm, 2),
            "hu": round(lesion.hu, 1),
            "contrast_hu": round(lesion.contrast_hu, 1),
            "centre_lps_mm": [round(float(at), 2) for at in lesion.centre],
            "num_voxels": int(counts[number]),
        }
        for number, (lesion, side) in enumerate(zip(lesions, sides, strict=True), start=1)
    ]
