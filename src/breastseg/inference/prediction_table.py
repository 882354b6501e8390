"""predictions.csv: the lesions of all cases as a table."""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from breastseg.core.lesion import Lesion

if TYPE_CHECKING:
    from breastseg.inference.volume_finding import VolumeFinding

_EDGES = ("row_start", "column_start", "row_stop", "column_stop")
_MEASURES = (
    "probability",
    "area_px",
    "area_mm2",
    "long_axis_px",
    "long_axis_mm",
    "short_axis_px",
    "short_axis_mm",
)
_VOLUME_MEASURES = (
    "volume_mm3",
    "diameter_3d_mm",
    "width_3d_mm",
    "surface_mm2",
    "mean_hu",
    "sd_hu",
)
_POSITION = ("quadrant", "skin_mm", "chest_wall_mm", "nipple_mm")
_CENTROID = ("centroid_l_mm", "centroid_p_mm", "centroid_h_mm")
_SLICES = ("slice_start", "slice_stop")

Line = dict[str, Any]
Case = tuple[str, "Sequence[Lesion | VolumeFinding]", Mapping[str, float]]


def prediction_table(cases: Sequence[Case], failures: Iterable[tuple[str, str]]) -> str:
    """Return a line per lesion; a case without lesion and a failed case have one line each.

    The columns of volumes are there where a case is one; where classes of whole images are told,
    each line of a case has them in columns `class_` and the name.

    Args:
        cases: case id, lesions and probability of each class. failures: case id and reason.
    """
    volumes = any(not isinstance(each, Lesion) for _, lesions, _ in cases for each in lesions)
    told = dict.fromkeys(name for _, _, classes in cases for name in classes)
    more = ("laterality", *_POSITION, *_VOLUME_MEASURES, *_CENTROID, *_SLICES) if volumes else ()
    names = (
        "case_id",
        "status",
        "lesion",
        *_MEASURES,
        *more,
        *_EDGES,
        *map(_column, told),
        "reason",
    )
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, names, lineterminator="\n")
    writer.writeheader()
    for case_id, lesions, classes in cases:
        of_image = {_column(name): share for name, share in classes.items()}
        if not lesions:
            writer.writerow({"case_id": case_id, "status": "no lesion", **of_image})
        writer.writerows({**_line(case_id, lesion), **of_image} for lesion in lesions)
    for case_id, reason in failures:
        writer.writerow({"case_id": case_id, "status": "failed", "reason": reason})
    return buffer.getvalue()


def _column(class_name: str) -> str:
    return f"class_{class_name}"


def _line(case_id: str, lesion: "Lesion | VolumeFinding") -> Line:
    document = lesion.to_document()
    line = {"case_id": case_id, "status": "lesion", "lesion": lesion.number}
    if not isinstance(lesion, Lesion):
        return line | _volume_values(document)
    edges = dict(zip(_EDGES, document["bounding_box"], strict=True))
    return {**line, **{name: document[name] for name in _MEASURES}, **edges}


def _volume_values(document: Line) -> Line:
    box = document["bounding_box"]
    edges = ("slice_start", *_EDGES[:2], "slice_stop", *_EDGES[2:])
    position = document["position"] or {}
    return {
        **{name: document[name] for name in _MEASURES if name in document},
        **{name: document[name] for name in ("laterality", *_VOLUME_MEASURES)},
        **{name: position.get(name) for name in _POSITION},
        **dict(zip(_CENTROID, document["centroid"], strict=True)),
        **dict(zip(edges, box, strict=True)),
    }
