"""The files of a scorecard, and the pictures in it."""

import csv
import dataclasses
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from breastseg.core.calibration import Bounds
from breastseg.core.image import Case
from breastseg.core.lesion import Lesion
from breastseg.evaluation.case_score import CaseScore
from breastseg.evaluation.lesion_traits import LesionTraits
from breastseg.evaluation.overlap import Mask
from breastseg.evaluation.volume_detection import VolumeLesionRow
from breastseg.io.atomic import write_json, write_text
from breastseg.io.raster import encode_jpeg
from breastseg.report.bounds_overlays import bounds_jpeg
from breastseg.report.figures import Figure
from breastseg.report.overlays import JPEG_QUALITY, draw_overlay
from breastseg.report.rendering import data_uri
from breastseg.report.scorecard_page import Picture, scorecard_page

_PICTURE_SIDE = 512
_LESION_FIELDS = [
    field.name
    for kind in (VolumeLesionRow, LesionTraits)
    for field in dataclasses.fields(kind)
    if field.name != "traits"
]


def case_picture(
    case: Case,
    mask: Mask,
    score: CaseScore,
    *,
    role: str,
    lesions: Sequence[Lesion] = (),
    bounds: Bounds | None = None,
) -> Picture:
    """Return a case of the scorecard to look at.

    Args:
        case: with a reference.
        role: why it is shown, as Picture has it.
        bounds: what is guaranteed of the image, for a second picture.
    """
    assert case.reference is not None
    pixels, reference = case.image.pixels[0], case.reference[0] > 0
    overlay = draw_overlay(
        pixels, mask[0], reference, lesions=lesions, longer_side=_PICTURE_SIDE, legend=False
    )
    guaranteed = None
    if bounds is not None:
        picture = bounds_jpeg(pixels, mask[0], reference, bounds, longer_side=_PICTURE_SIDE)
        guaranteed = data_uri(picture, "jpeg")
    return Picture(
        case_id=score.case_id,
        picture=data_uri(encode_jpeg(overlay, quality=JPEG_QUALITY), "jpeg"),
        role=role,
        dice=score.dice,
        guaranteed=guaranteed,
        abstains=bounds is not None and bounds.abstains,
    )


def write_scorecard(
    folder: Path,
    document: dict[str, Any],
    pictures: Sequence[Picture],
    *,
    figures: Sequence[Figure] = (),
) -> None:
    """Write scorecard.json, cases.csv and scorecard.html; of volumes lesions.csv, too.

    Args:
        figures: further ones of the page.

    Raises:
        OutputError: a file cannot be written.
    """
    write_json(folder / "scorecard.json", document)
    fields = [field.name for field in dataclasses.fields(CaseScore)]
    write_text(folder / "cases.csv", _table(fields, document["cases"]))
    if document["volumes"] is not None:
        rows = [{**each, **each["traits"]} for each in document["volumes"]["lesions"]]
        write_text(folder / "lesions.csv", _table(_LESION_FIELDS, rows))
    write_text(folder / "scorecard.html", scorecard_page(document, pictures, figures=figures))


def _table(fields: Sequence[str], rows: Sequence[dict[str, Any]]) -> str:
    text = io.StringIO()
    table = csv.DictWriter(text, fields, extrasaction="ignore")
    table.writeheader()
    table.writerows(rows)
    return text.getvalue()
