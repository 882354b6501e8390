"""What is noted of volumes and of a whole set of them, in plain values: no pixel is kept."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Int32

from breastseg.core.image import Image
from breastseg.core.scan_faults import ScanError
from breastseg.core.structure import Structure
from breastseg.datasets.cases import CaseFiles, DataSet
from breastseg.datasets.inspection.findings import Finding, any_spoils
from breastseg.datasets.inspection.summary import spread

NIFTI_LAYOUT = "NIfTI volume"
_AXES = ("slice", "row", "column")


@dataclass(frozen=True, slots=True, kw_only=True)
class VolumeRecord:
    """One volume and its masks, in plain values; geometry is None where it is refused.

    breasts: BreastRegion.to_document() of a CT; None where nobody has looked for them.
    """

    files: CaseFiles
    geometry: dict[str, Any] | None = None
    masks: tuple[dict[str, Any], ...] = ()
    breasts: dict[str, Any] | None = None
    findings: tuple[Finding, ...] = field(default=(), repr=False)

    def to_document(self) -> dict[str, Any]:
        """Return its row of inspection.json."""
        return {
            "case": self.files.case_id,
            "patient": self.files.patient_id,
            "first_file": str(self.files.image_path),
            "files": len(self.files.series_paths) or 1,
            "geometry": self.geometry,
            "breasts": self.breasts,
            "masks": list(self.masks),
        }

    @property
    def lesion_volumes_mm3(self) -> list[float] | None:
        """Volume of each lesion; None where nobody has said what is one."""
        found = [
            structure["lesion_volumes_mm3"]
            for mask in self.masks
            for structure in mask["structures"]
            if structure["lesion_volumes_mm3"] is not None
        ]
        if not found and self.files.mask_paths != ():
            return None
        return [volume for volumes in found for volume in volumes]


@dataclass(frozen=True, slots=True, kw_only=True)
class VolumeInspection:
    """What is in a set of volumes; findings are the worst first."""

    data_set: DataSet
    records: tuple[VolumeRecord, ...] = field(repr=False)
    findings: tuple[Finding, ...] = field(repr=False)

    @property
    def spoils(self) -> bool:
        """Whether something would spoil a result."""
        return any_spoils(self.findings)

    def to_document(self) -> dict[str, Any]:
        """Return inspection.json."""
        return {
            "schema_version": 1,
            "spoils": self.spoils,
            "summary": self.summary(),
            "findings": [finding.to_document() for finding in self.findings],
            "cases": [record.to_document() for record in self.records],
        }

    def summary(self) -> dict[str, Any]:
        """Return what is in the set, in plain values."""
        patients = {record.files.patient_id for record in self.records} - {None}
        return {
            "root": str(self.data_set.root),
            "layout": self.data_set.layout,
            "notes": list(self.data_set.notes),
            "volumes": len(self.records),
            "readable": sum(record.geometry is not None for record in self.records),
            "patients": len(patients) or None,
            "with_mask": sum(record.files.mask_paths is not None for record in self.records),
            "structures": sum(
                structure["voxels"] is not None
                for record in self.records
                for mask in record.masks
                for structure in mask["structures"]
            ),
            **_of_grids([each.geometry for each in self.records if each.geometry is not None]),
            "lesions": _of_lesions(self.records),
        }


def _of_grids(grids: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return the spread of sizes, spacings and lowest and highest values over the volumes."""
    spaced = [grid["spacing_mm"] for grid in grids if grid["spacing_mm"]]
    return {
        "shape": {axis: spread([g["shape"][n] for g in grids]) for n, axis in enumerate(_AXES)},
        "spacing_mm": {axis: spread([s[n] for s in spaced]) for n, axis in enumerate(_AXES)},
        "in_hu": all(grid["in_hu"] for grid in grids),
        "lowest": spread([grid["hu"]["min"] for grid in grids]),
        "highest": spread([grid["hu"]["max"] for grid in grids]),
    }


def _of_lesions(records: Sequence[VolumeRecord]) -> dict[str, Any]:
    """Return how many volumes have how many lesions, and how large they are.

    diameter_mm: of a sphere of the same volume.
    """
    known = [each for record in records if (each := record.lesion_volumes_mm3) is not None]
    volumes = np.array([volume for each in known for volume in each])
    diameters = np.cbrt(volumes * (6 / np.pi))
    return {
        "volumes_known": len(known),
        "lesion_free": sum(not each for each in known),
        "count": len(volumes),
        "volume_mm3": spread(volumes.tolist()),
        "diameter_mm": spread(diameters.tolist()),
    }


def refused(files: CaseFiles, error: ScanError) -> Finding:
    """Return the finding of a volume that cannot be read."""
    return Finding(code="series-refused", cases=(files.case_id,), message=str(error))


def structure_row(structure: Structure) -> dict[str, Any]:
    """Return what is said of a structure before its voxels are read.

    lesion_volumes_mm3: of each part, where the structure is a lesion; else None.
    """
    return {
        "number": structure.number,
        "name": structure.name,
        "kind": structure.kind,
        "parts": structure.num_parts,
        "closed": structure.is_closed,
        "voxels": None,
        "volume_mm3": None,
        "lesions": None,
        "lesion_volumes_mm3": None,
        "notes": [],
        "refused": None,
    }


def part_volumes_mm3(
    parts: Int32[np.ndarray, "slices rows columns"], image: Image
) -> list[float] | None:
    """Return the volume of each part, numbered from 1; None where millimetres are not known."""
    if image.affine is None:
        return None
    voxel_mm3 = abs(float(np.linalg.det(image.affine[:3, :3])))
    return [round(count * voxel_mm3, 1) for count in np.bincount(parts.ravel())[1:].tolist()]
