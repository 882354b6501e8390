"""The verb that writes results for a PACS and for people."""

import json
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from breastseg.cli.options import AsJson, FillGaps, Overwrite, SegmentThreshold, hint


class LateralityName(StrEnum):
    """Which breast."""

    RIGHT = "right"
    LEFT = "left"


def results(
    series: Annotated[
        Path,
        typer.Argument(
            metavar="SERIES",
            help="A CT series or an ultrasound image in DICOM: a folder or a file.",
        ),
    ],
    mask: Annotated[
        Path,
        typer.Argument(
            metavar="MASK",
            help="Its lesions, on its grid: NIfTI, DICOM SEG or RTSTRUCT; of ultrasound also PNG.",
        ),
    ],
    output: Annotated[
        Path, typer.Option(metavar="DIR", help="Folder of the results.", show_default=False)
    ],
    label: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PATTERN",
            help="Which segments or ROIs are lesions: a name or a pattern (`tumor*`); repeatable.",
            show_default="the only one",
        ),
    ] = None,
    threshold: SegmentThreshold = 0.5,
    fill_gaps: FillGaps = False,
    resample_mask: Annotated[
        bool,
        typer.Option(
            "--resample-mask", help="NIfTI on another grid: take the nearest label for each voxel."
        ),
    ] = False,
    algorithm: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="The program or model that marked the lesions, with its version after a blank.",
            show_default="a reader",
        ),
    ] = None,
    laterality: Annotated[
        LateralityName | None,
        typer.Option(help="The breast of all lesions.", show_default="not said"),
    ] = None,
    overwrite: Overwrite = False,
    as_json: AsJson = False,
) -> None:
    """Write a series' lesions for the PACS (SEG, SR, overlays) and for people (page, tables).

    The DICOM files belong to the study of the series: they carry its patient, as they must.
    No other file names the patient. Nothing is sent anywhere.

        breastseg results scans/ct mask.nii.gz --output results
        breastseg results ultrasound.dcm mask.png --laterality left --output results
    """
    from breastseg.io.worker_processes import num_cpus
    from breastseg.report.results_page import print_results
    from breastseg.workflows import results as workflow
    from breastseg.workflows.progress import WorkBar, log_to_terminal

    log_to_terminal()
    with WorkBar() as bar:
        made = workflow.results(
            series,
            mask,
            output=output,
            labels=label or (),
            threshold=threshold,
            fill_gaps=fill_gaps,
            resample_mask=resample_mask,
            algorithm=algorithm,
            laterality=None if laterality is None else laterality.value,
            overwrite=overwrite,
            workers=num_cpus(),
            reading=bar,
        )
    if as_json:
        typer.echo(json.dumps(made.document, indent=2))
    else:
        print_results(made.document)
    hint(f"Look at {made.report_path}")
