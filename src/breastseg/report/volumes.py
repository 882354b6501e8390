"""What an inspection of CT series and masks found, in the terminal and as a page."""

from collections.abc import Iterator, Mapping
from typing import Any

import rich.box
from rich.console import Console
from rich.table import Table

from breastseg.report.inspection import findings_by_code, print_findings
from breastseg.report.rendering import render


def volumes_page(document: Mapping[str, Any]) -> str:
    """Return the page of an inspection of volumes; document: inspection.json."""
    summary = document["summary"]
    cases = [
        {
            "case": case,
            "geometry": _geometry(case["geometry"]),
            "structures": list(_structures(case["masks"])),
        }
        for case in document["cases"]
    ]
    return render(
        "volumes.html",
        title=f"Inspection of {summary['volumes']:,} CT series",
        summary=summary,
        spoils=document["spoils"],
        by_code=findings_by_code(document),
        cases=cases,
    )


def print_volumes(document: Mapping[str, Any]) -> None:
    """Print an inspection of volumes on stdout: each series, its structures, the findings."""
    console = Console(highlight=False)
    summary = document["summary"]
    console.print(
        f"{summary['root']}: {summary['volumes']} CT series of {summary['patients'] or 'unnamed'} "
        f"patients, {summary['with_mask']} with masks",
        markup=False,
    )
    for note in summary["notes"]:
        console.print(note, markup=False)
    for case in document["cases"]:
        console.print(f"\n[bold]{case['case']}[/bold]  {case['patient'] or 'patient not named'}")
        for name, value in _geometry(case["geometry"]).items():
            console.print(f"  {name:8} {value}", markup=False)
        if rows := list(_structures(case["masks"])):
            console.print(_table(rows))
    print_findings(console, document)


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


def _geometry(geometry: Mapping[str, Any] | None) -> dict[str, str]:
    if geometry is None:
        return {"volume": "refused: see the findings"}
    slices, rows, columns = geometry["shape"]
    described = {"voxels": f"{slices} slices of {rows} x {columns}"}
    if geometry["spacing_mm"]:
        spacing = " x ".join(f"{each:g}" for each in geometry["spacing_mm"])
        extent = " x ".join(f"{each:g}" for each in geometry["extent_mm"])
        described["spacing"] = f"{spacing} mm (slice, row, column); {extent} mm in all"
        leads = ", ".join(geometry["directions"])
        off = geometry["oblique_degrees"]
        described["axes to"] = leads + (f"; {off:g} degrees oblique" if off else "")
    hu = geometry["hu"]
    described["HU"] = f"{hu['min']:g} to {hu['max']:g}, median {hu['median']:g}"
    return described


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
