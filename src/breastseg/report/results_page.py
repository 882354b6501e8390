"""The page of the lesions of one series: measures, and each lesion in three planes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import rich.box
from rich.console import Console
from rich.table import Table

from breastseg.report.rendering import plural, render, require_local

_Columns = tuple[tuple[str, str, int], ...]
_VOLUME_COLUMNS: _Columns = (
    ("lesion", "number", 0),
    ("mm3", "volume_mm3", 0),
    ("long mm", "long_axis_mm", 1),
    ("short mm", "short_axis_mm", 1),
    ("3D mm", "diameter_3d_mm", 1),
    ("mean HU", "mean_hu", 0),
    ("SD HU", "sd_hu", 0),
)
_PLANAR_COLUMNS: _Columns = (
    ("lesion", "number", 0),
    ("mm2", "area_mm2", 1),
    ("long mm", "long_axis_mm", 1),
    ("short mm", "short_axis_mm", 1),
    ("depth/width", "depth_to_width", 2),
)
_PIXEL_COLUMNS: _Columns = (
    ("lesion", "number", 0),
    ("px", "area_px", 0),
    ("long px", "long_axis_px", 1),
    ("short px", "short_axis_px", 1),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class LesionPictures:
    """Pictures of one lesion, as data URIs. more: name of the window and picture."""

    number: int
    picture: str
    more: tuple[tuple[str, str], ...] = ()

    def __post_init__(self) -> None:
        for url in (self.picture, *(url for _, url in self.more)):
            require_local(f"lesion {self.number}", url)


def results_page(
    document: Mapping[str, Any],
    pictures: Sequence[LesionPictures],
    *,
    overview: Sequence[tuple[str, str]],
    details: Mapping[str, str],
) -> str:
    """Return the page of lesions.json.

    Args:
        document: lesions.json, see workflows.results and workflows.predict_volume.
        pictures: of the first lesions; the others are in the table alone.
        overview: caption and data URI of pictures of the whole volume.
        details: how the results came to be, to be read by people.
    """
    lesions = document["lesions"]
    in_volume = document["dimensions"] == 3
    longest = max((lesion["long_axis_mm"] or 0 for lesion in lesions), default=0)
    tiles = [("lesions", f"{len(lesions):,}")]
    if longest:
        tiles.append(("longest long axis", f"{longest:.1f} mm"))
    if in_volume and lesions:
        total = sum(lesion["volume_mm3"] for lesion in lesions) / 1000
        tiles.append(("volume of all", f"{total:.2f} cm\N{SUPERSCRIPT THREE}"))
    return render(
        "results.html",
        title=f"{plural(len(lesions), 'lesion')} in {document['case_id']}"
        if lesions
        else f"No lesion marked in {document['case_id']}",
        tiles=tiles,
        lesions=lesions,
        in_volume=in_volume,
        located=any(lesion.get("position") for lesion in lesions),
        searched=document.get("searched", ()),
        notice=document.get("model", {}).get("notice"),
        notes=document["notes"],
        pictures=pictures,
        overview=overview,
        details=details,
    )


def print_results(document: Mapping[str, Any]) -> None:
    """Print the lesions of lesions.json on stdout, one a line."""
    console = Console(highlight=False)
    for note in document["notes"]:
        console.print(note, markup=False)
    if not document["lesions"]:
        console.print("No lesion is marked. That is no proof that there is none.")
        return
    table = Table(box=rich.box.SIMPLE_HEAD)
    columns = _VOLUME_COLUMNS if document["dimensions"] == 3 else _PLANAR_COLUMNS
    if document["dimensions"] == 2 and document["image"]["spacing_mm"] is None:
        columns = _PIXEL_COLUMNS
    for heading, *_ in columns:
        table.add_column(heading, justify="right", no_wrap=True)
    for lesion in document["lesions"]:
        values = ((lesion[field], digits) for _, field, digits in columns)
        table.add_row(*("-" if value is None else f"{value:,.{n}f}" for value, n in values))
    console.print(table)
