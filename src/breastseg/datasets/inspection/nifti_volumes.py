"""Looking at NIfTI volumes and the label maps drawn on them."""

from typing import Any

import numpy as np

from breastseg.core.errors import InputError
from breastseg.core.image import Image, LabelMap
from breastseg.core.scan_faults import ScanError
from breastseg.core.structure import Structure
from breastseg.datasets.cases import CaseFiles, read_case
from breastseg.datasets.inspection.findings import Finding
from breastseg.datasets.inspection.volume_geometry import describe_geometry
from breastseg.datasets.inspection.volume_marks import Look, Marks, unmarked
from breastseg.datasets.inspection.volume_record import (
    VolumeRecord,
    part_volumes_mm3,
    refused,
    structure_row,
)
from breastseg.io.nifti import read_nifti

_LESION = Structure(number=1, name="lesion", kind=None, num_parts=None)


def inspect_nifti(files: CaseFiles, look: Look) -> VolumeRecord:
    """Inspect a volume, and the lesions of its label map where it has one."""
    try:
        image = read_nifti(files.image_path)
    except ScanError as error:
        return VolumeRecord(files=files, findings=(refused(files, error),))
    in_hu = files.modality == "CT"
    geometry = describe_geometry(image, in_hu=in_hu)
    labels, findings = _labels(files)
    if labels is None:
        look(unmarked(files.case_id, image, in_hu=in_hu))
        return VolumeRecord(files=files, geometry=geometry, findings=findings)
    marks = Marks(labels.shape)
    marks.add(_LESION, labels)
    look(marks.sight(files.case_id, image, in_hu=in_hu))
    masks = (_mask(files, labels, image),)
    return VolumeRecord(files=files, geometry=geometry, masks=masks, findings=findings)


def _labels(files: CaseFiles) -> tuple[LabelMap | None, tuple[Finding, ...]]:
    """Return the lesions, and what is wrong with the mask."""
    if files.mask_paths is None:
        return None, ()
    case = (files.case_id,)
    try:
        labels = read_case(files).reference
    except InputError as error:
        return None, (Finding(code="mask-refused", cases=case, message=str(error)),)
    if labels is None or labels.any():
        return labels, ()
    return labels, (Finding(code="mask-empty", cases=case, message="No voxel is marked."),)


def _mask(files: CaseFiles, labels: LabelMap, image: Image) -> dict[str, Any]:
    volumes = part_volumes_mm3(labels, image)
    row = {
        **structure_row(_LESION),
        "voxels": int(np.count_nonzero(labels)),
        "volume_mm3": None if volumes is None else round(sum(volumes), 1),
        "lesions": int(labels.max(initial=0)),
        "lesion_volumes_mm3": volumes,
    }
    path = (files.mask_paths or (files.image_path,))[0]
    return {"file": str(path), "modality": "NIfTI", "type": "LABELS", "structures": [row]}
