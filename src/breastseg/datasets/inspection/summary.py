"""What is in a data set, in plain values."""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from breastseg.datasets.cases import CaseFiles, DataSet
from breastseg.datasets.inspection.findings import Finding
from breastseg.datasets.inspection.record import Record

_FEW = 10


def summarise(data_set: DataSet, records: Sequence[Record]) -> dict[str, Any]:
    """Return layout, counts, sizes, spacings, grey values and lesion sizes."""
    pictures = [record.picture for record in records if record.picture is not None]
    patients = Counter(case.patient_id for case in data_set.cases if case.patient_id is not None)
    spacings = {record.spacing_mm for record in records if record.spacing_mm is not None}
    folds = Counter(str(case.fold) for case in data_set.cases if case.fold is not None)
    return {
        "root": str(data_set.root),
        "layout": data_set.layout,
        "notes": list(data_set.notes),
        "images": len(records),
        "readable": len(pictures),
        "classes": dict(sorted(Counter(c.label for c in data_set.cases if c.label).items())),
        "patients": len(patients) or None,
        "images_without_patient": sum(case.patient_id is None for case in data_set.cases),
        "folds": dict(sorted(folds.items())),
        "rows": spread([each.num_rows for each in pictures]),
        "columns": spread([each.num_columns for each in pictures]),
        "spacings_mm": sorted(spacings)[:10],
        "lowest_grey": spread([each.lowest for each in pictures]),
        "highest_grey": spread([each.highest for each in pictures]),
        "brightness": spread([each.brightness for each in pictures]),
        **_lesions(records),
    }


def _lesions(records: Sequence[Record]) -> dict[str, Any]:
    masks = [record.mask for record in records if record.mask is not None]
    return {
        "with_mask": len(masks),
        "lesion_free": sum(not mask.areas_px for mask in masks),
        "lesions": sum(len(mask.areas_px) for mask in masks),
        "several_lesions": sum(len(mask.areas_px) > 1 for mask in masks),
        "lesion_area_px": spread([area for mask in masks for area in mask.areas_px]),
        "lesion_share": spread([mask.share for mask in masks if mask.areas_px]),
    }


def spread(values: Sequence[float]) -> dict[str, float] | None:
    """Return smallest, median and largest; None of no values."""
    if not values:
        return None
    low, middle, high = (round(float(v), 4) for v in np.quantile(values, (0, 0.5, 1)))
    return {"min": low, "median": middle, "max": high}


def few_cases(cases: Sequence[CaseFiles]) -> Iterator[Finding]:
    """Yield the classes of fewer than ten images: two would be tested."""
    for label, count in sorted(Counter(case.label for case in cases if case.label).items()):
        if count < _FEW:
            message = f"The class {label} has {count} image{'' if count == 1 else 's'}."
            yield Finding(code="few-cases", cases=(), message=message)
