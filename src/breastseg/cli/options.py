"""What the verbs share: options, choices, and how results and hints are printed."""

import json
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer


class FrameworkName(StrEnum):
    """Where a network is trained."""

    PYTORCH = "pytorch"
    TENSORFLOW = "tensorflow"


class DeviceName(StrEnum):
    """What computes."""

    AUTO = "auto"
    CPU = "cpu"
    CUDA = "cuda"


class RegionName(StrEnum):
    """Where lesions of a CT are looked for."""

    SCAN = "scan"
    BREASTS = "breasts"


class ExportFormat(StrEnum):
    """What a run is handed on as."""

    ONNX = "onnx"
    MODEL = "model"


class PrecisionName(StrEnum):
    """How numbers are held while a network runs."""

    FLOAT32 = "float32"
    BFLOAT16 = "bfloat16"
    INT8 = "int8"


class SplitName(StrEnum):
    """Which part of a run's own data is scored."""

    TEST = "test"
    CALIBRATION = "calibration"
    VALIDATION = "validation"
    TRAIN = "train"
    ALL = "all"


Threads = Annotated[
    int | None,
    typer.Option(
        min=1,
        help="CPU threads. Weights differ in the last bits between numbers.",
        show_default="all",
    ),
]
Threshold = Annotated[
    float | None,
    typer.Option(
        help="How probable a lesion's most probable pixel must be for it to be shown.",
        show_default="the run's operating threshold",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON on stdout.")]
Settings = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Change a field of the recipe; repeatable."),
]
Data = Annotated[
    Path,
    typer.Argument(
        metavar="DATA", help="A folder of scans and masks, or a JSON file that names several."
    ),
]
SegmentThreshold = Annotated[
    float,
    typer.Option(
        "--threshold",
        help="Fractional DICOM segments: the share of the largest value to reach.",
    ),
]
FillGaps = Annotated[bool, typer.Option(help="RTSTRUCT: interpolate slices without a contour.")]
Overwrite = Annotated[bool, typer.Option(help="Replace what is already there.")]
RunFolder = Annotated[Path, typer.Argument(metavar="RUN", help="A run folder, made by `train`.")]


def show_values(values: dict[str, Any], *, as_json: bool) -> None:
    """Print names and values on stdout, as lines or as JSON."""
    if as_json:
        typer.echo(json.dumps(values, indent=2))
        return
    width = max(len(key) for key in values)
    for key, value in values.items():
        typer.echo(f"{key.replace('_', ' '):{width}}  {value}")


def hint(text: str) -> None:
    """Say something on stderr, where it does not get into results."""
    typer.echo(text, err=True)
