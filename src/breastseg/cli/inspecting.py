"""The verb that looks at data before anything is trained on it."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from breastseg.cli.options import AsJson, FillGaps, SegmentThreshold, hint


def inspect(
    data: Annotated[
        Path,
        typer.Argument(
            metavar="DATA",
            help="Scans and masks: a folder, or a JSON file that names several; a volume; a SEG.",
        ),
    ],
    report: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Write inspection.html and inspection.json there.",
            show_default="none",
        ),
    ] = None,
    label: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PATTERN",
            help="DICOM masks: only segments or ROIs of such a name, as '*tumor*'; repeatable.",
            show_default="all",
        ),
    ] = None,
    threshold: SegmentThreshold = 0.5,
    fill_gaps: FillGaps = False,
    resample_tilt: Annotated[
        bool,
        typer.Option(
            "--resample-tilt",
            help="CT: straighten slices of a tilted gantry by interpolation; refused otherwise.",
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Say what is in a folder of scans and masks, and what is wrong with it.

    Pictures: looks for broken files, wrong masks, near duplicates and where they contradict each
    other, calipers, text, colour and Doppler, images unlike the rest, and tables that contradict
    the files. CT series in DICOM: how each lies in the patient, its values as a histogram, three
    planes, the masks that refer to it, and the volume of each segment or ROI; a NIfTI volume
    likewise. A SEG or RTSTRUCT file alone: its segments or ROIs. The exit code is 1
    when something would spoil a result.

        breastseg inspect Dataset_BUSI_with_GT --report inspection
        breastseg inspect studies --label "*tumor*" --report inspection
        breastseg inspect rtstruct.dcm
    """
    from breastseg.workflows import inspect_volumes as volumes
    from breastseg.workflows.progress import log_to_terminal

    log_to_terminal()
    choice = volumes.MaskChoice(tuple(label or ()), threshold, fill_gaps)
    if volumes.is_mask_file(data):
        return _mask_file(data, choice.labels, as_json=as_json)
    if volumes.holds_volumes(data):
        inspection, show = _volumes(data, choice, report, resample_tilt=resample_tilt)
    else:
        inspection, show = _pictures(data, report)
    document = inspection.to_document()
    if as_json:
        typer.echo(json.dumps(document, indent=2))
    else:
        show(document)
    if report is not None:
        hint(f"Look at {report / 'inspection.html'}")
    if inspection.spoils:
        hint("Something here would spoil a result: see the findings marked 'spoils'.")
        raise typer.Exit(1)


def _mask_file(path: Path, labels: tuple[str, ...], *, as_json: bool) -> None:
    from breastseg.report.volumes import print_structures
    from breastseg.workflows.inspect_volumes import list_structures

    document = list_structures(path, labels)
    if as_json:
        typer.echo(json.dumps(document, indent=2))
    else:
        print_structures(document)


def _volumes(
    data: Path, choice: Any, report: Path | None, *, resample_tilt: bool
) -> tuple[Any, Any]:
    from breastseg.io.worker_processes import num_cpus
    from breastseg.report.volumes import print_volumes
    from breastseg.workflows.inspect_volumes import inspect_volumes
    from breastseg.workflows.progress import WorkBar

    with WorkBar() as bar:
        inspection = inspect_volumes(
            data,
            choice=choice,
            resample_tilt=resample_tilt,
            workers=num_cpus(),
            report=report,
            reading=bar,
        )
    return inspection, print_volumes


def _pictures(data: Path, report: Path | None) -> tuple[Any, Any]:
    from breastseg.report.inspection import print_inspection
    from breastseg.workflows import inspect as workflow
    from breastseg.workflows.progress import WorkBar

    with WorkBar() as bar:
        return workflow.inspect(data, report=report, reading=bar), print_inspection
