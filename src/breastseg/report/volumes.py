"""What an inspection of volumes and masks found, in the terminal and as a page."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import rich.box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from breastseg.datasets.dicom_tree import LAYOUT as DICOM_LAYOUT
from breastseg.datasets.inspection.volume_geometry import position_in_words
from breastseg.datasets.inspection.volume_record import NIFTI_LAYOUT
from breastseg.report.inspection import findings_by_code, print_findings
from breastseg.report.rendering import percent, plural, render, require_local
from breastseg.report.volume_figures import block_histogram, tissue_shares, value_histogram

# Of a slice's thickness and the distance to the next.
_SAME_LENGTH = 0.01
_NUM_BLOCKS = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class VolumePicture:
    """Planes of a volume, as a data URI, with what they go through in words."""

    case_id: str
    url: str
    caption: str

    def __post_init__(self) -> None:
        require_local(self.case_id, self.url)


def volumes_page(
    document: Mapping[str, Any], pictures: Mapping[str, Sequence[VolumePicture]]
) -> str:
    """Return the page of an inspection of volumes.

    Args:
        document: inspection.json.
        pictures: by case id, of the volumes that could be read.
    """
    summary = document["summary"]
    cases = [
        {
            "case": case,
            "geometry": _described(case, document) | _breasts(case),
            "pictures": pictures.get(case["case"], ()),
            "histogram": None if case["geometry"] is None else value_histogram(case["geometry"]),
            "structures": list(_structures(case["masks"])),
        }
        for case in document["cases"]
    ]
    return render(
        "volumes.html",
        title=f"Inspection of {_volumes(summary)}",
        summary=summary,
        facts=dict(_facts(summary)),
        spoils=document["spoils"],
        by_code=findings_by_code(document),
        cases=cases,
    )


def print_volumes(document: Mapping[str, Any]) -> None:
    """Print an inspection of volumes on stdout: each series, its structures, the findings."""
    console = Console(highlight=False)
    summary = document["summary"]
    console.print(
        f"{summary['root']}: {_volumes(summary)}{_patients(summary)}",
        markup=False,
    )
    for note in summary["notes"]:
        console.print(note, markup=False)
    if facts := dict(_facts(summary)):
        grid = Table.grid(padding=(0, 2))
        for name, value in facts.items():
            grid.add_row("", name, Text(value))
        console.print(grid)
    for case in document["cases"]:
        _print_case(console, case, document)
    print_findings(console, document)


def _print_case(console: Console, case: Mapping[str, Any], document: Mapping[str, Any]) -> None:
    console.print(f"\n[bold]{case['case']}[/bold]  {case['patient'] or ''}")
    grid = Table.grid(padding=(0, 2))
    for name, value in _described(case, document).items():
        grid.add_row("", name, Text(value))
    for line in _histogram_lines(console, case["geometry"]):
        grid.add_row("", "", Text(line))
    for name, value in _breasts(case).items():
        grid.add_row("", name, Text(value))
    console.print(grid)
    if rows := list(_structures(case["masks"])):
        console.print(_table(rows))


def _volumes(summary: Mapping[str, Any]) -> str:
    number = summary["volumes"]
    if summary["layout"] == NIFTI_LAYOUT:
        return plural(number, "NIfTI volume")
    return (
        f"{number:,} CT series" if summary["layout"] == DICOM_LAYOUT else plural(number, "volume")
    )


def _patients(summary: Mapping[str, Any]) -> str:
    if summary["layout"] == NIFTI_LAYOUT:
        return ""
    patients = summary["patients"]
    whose = "unnamed patients" if patients is None else plural(patients, "patient")
    return f" of {whose}, {summary['with_mask']} with masks"


def _facts(summary: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Say what all volumes of a set are like; nothing of a single one."""
    if summary["readable"] < 2:
        return
    yield "voxels", f"{_by_axis(summary['shape'], 0)} (slices, rows, columns)"
    if summary["spacing_mm"]["slice"]:
        yield "spacing", f"{_by_axis(summary['spacing_mm'], 2)} mm"
    unit = "HU" if summary["in_hu"] else "values"
    yield unit, f"lowest {_range(summary['lowest'], 0)}, highest {_range(summary['highest'], 0)}"
    yield "lesions", _lesions_in_words(summary["lesions"], summary["volumes"])


def _by_axis(spreads: Mapping[str, Any], digits: int) -> str:
    return " x ".join(_range(each, digits) for each in spreads.values())


def _range(spread: Mapping[str, float], digits: int) -> str:
    low, middle, high = (f"{spread[key]:.{digits}f}" for key in ("min", "median", "max"))
    return low if low == high else f"{low} to {high} (median {middle})"


def _lesions_in_words(lesions: Mapping[str, Any], num_volumes: int) -> str:
    known = lesions["volumes_known"]
    if not known:
        return "nobody has said what is a lesion"
    told = f"{lesions['count']} in {known - lesions['lesion_free']} volumes"
    told += f", {lesions['lesion_free']} without any"
    if known < num_volumes:
        told += f", {num_volumes - known} not known"
    if lesions["diameter_mm"]:
        told += f"; {_range(lesions['diameter_mm'], 1)} mm across, as spheres of their volume"
    return told


def _histogram_lines(console: Console, geometry: Mapping[str, Any] | None) -> Iterator[str]:
    """Say how the values are spread: as blocks too, where the terminal can show them."""
    if geometry is None:
        return
    if not console.options.ascii_only:
        histogram = geometry["histogram"]
        end = histogram["start"] + histogram["width"] * len(histogram["counts"])
        blocks = block_histogram(histogram["counts"], _NUM_BLOCKS)
        yield f"{histogram['start']:g} {blocks} {end:g}"
    if geometry["tissues"]:
        yield tissue_shares(geometry)


def print_structures(document: Mapping[str, Any]) -> None:
    """Print what a SEG or RTSTRUCT file says of itself on stdout."""
    console = Console(highlight=False)
    console.print(
        f"{document['file']}: {document['modality']} ({document['type'].lower()}) of "
        f"{document['series_named']} series and {document['images_named']} images",
        markup=False,
    )
    table = _new_table("no.", "name", "kind", _parts(document["modality"]))
    for each in document["structures"]:
        parts = "-" if each["parts"] is None else str(each["parts"])
        closed = "" if each["closed"] else " (points or open lines: no mask)"
        table.add_row(str(each["number"]), each["name"], each["kind"] or "-", parts + closed)
    console.print(table)


def _parts(modality: str) -> str:
    return "frames" if modality == "SEG" else "contours"


def _new_table(*headings: str) -> Table:
    table = Table(box=rich.box.SIMPLE_HEAD)
    for heading in headings:
        table.add_column(heading, overflow="fold")
    return table


def _table(rows: list[dict[str, str]]) -> Table:
    table = _new_table(*rows[0])
    for row in rows:
        table.add_row(*row.values())
    return table


def _described(case: Mapping[str, Any], document: Mapping[str, Any]) -> dict[str, str]:
    """Say how a volume lies and what it holds, or why it was refused."""
    if case["geometry"] is not None:
        return dict(_geometry(case["geometry"]))
    reasons = [
        finding["message"]
        for finding in document["findings"]
        if finding["code"] == "series-refused" and case["case"] in finding["cases"]
    ]
    return {"refused": " ".join(reasons)}


def _geometry(geometry: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    slices, rows, columns = geometry["shape"]
    yield "voxels", f"{plural(slices, 'slice')} of {rows} x {columns}"
    if geometry["spacing_mm"]:
        spacing = " x ".join(f"{each:g}" for each in geometry["spacing_mm"])
        extent = " x ".join(f"{each:g}" for each in geometry["extent_mm"])
        yield "spacing", f"{spacing} mm (slice, row, column)"
        yield "extent", f"{extent} mm"
        off = geometry["oblique_degrees"]
        yield "lies", geometry["slices"] + (f"; {off:g} degrees oblique" if off else "")
    if "patient_position" in geometry:
        yield from _claims(geometry)
    values, unit = geometry["hu"], "" if geometry["in_hu"] else " (the file names no unit)"
    name = "HU" if geometry["in_hu"] else "values"
    text = f"{values['min']:g} to {values['max']:g}, median {values['median']:g}{unit}"
    yield name, text


def _breasts(case: Mapping[str, Any]) -> dict[str, str]:
    breasts = case["breasts"]
    return {} if breasts is None else {"breasts": "\n".join(breasts["sentences"])}


def _claims(geometry: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    position = geometry["patient_position"]
    if position is None:
        yield "position", "not in the files"
    else:
        yield "position", f"{position_in_words(position)}, as the files claim ({position})"
    yield "thickness", _thickness(geometry["slice_thickness_mm"], geometry)
    share = geometry["padded_share"]
    yield "padding", f"{percent(share)} of the voxels in the files" if share else "none"


def _thickness(thickness: float | None, geometry: Mapping[str, Any]) -> str:
    """Set SliceThickness against the distance of the slices."""
    if thickness is None:
        return "not in the files, or not the same for all slices"
    apart = geometry["spacing_mm"][0]
    if geometry["shape"][0] == 1 or math.isclose(thickness, apart, rel_tol=_SAME_LENGTH):
        return f"{thickness:g} mm"
    how = "they overlap" if thickness > apart else "between them lies what no slice shows"
    return f"{thickness:g} mm, for slices {apart:g} mm apart: {how}"


def _structures(masks: list[Mapping[str, Any]]) -> Iterator[dict[str, str]]:
    for mask in masks:
        for each in mask["structures"]:
            volume = each["volume_mm3"]
            yield {
                "mask": f"{mask['modality']} {mask['file'].rsplit('/', 1)[-1]}",
                "structure": each["name"],
                "kind": each["kind"] or "-",
                "ml": "-" if volume is None else f"{volume / 1000:.3f}",
                "parts": "-" if each["lesions"] is None else str(each["lesions"]),
                "": each["refused"] or "",
            }
