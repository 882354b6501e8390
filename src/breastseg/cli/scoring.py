"""The verbs that use runs: evaluate, compare, predict."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from breastseg.cli.options import (
    AsJson,
    DeviceName,
    Overwrite,
    PrecisionName,
    RegionName,
    SplitName,
    Threads,
    Threshold,
    hint,
)
from breastseg.cli.shifting import (
    SeveralDataSets,
    evaluate_shift,
    require_on_alone,
)
from breastseg.training.shipped import DEFAULT_MODEL


def evaluate(
    places: Annotated[
        list[Path],
        typer.Argument(
            metavar="[RUN] DATA",
            help="A run or the name of a model that ships, unless masks are given; and the data.",
        ),
    ],
    predictions: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Score the masks in this folder, whoever made them."),
    ] = None,
    split: Annotated[
        SplitName, typer.Option(help="Part of the run's own data; other data is scored whole.")
    ] = SplitName.TEST,
    on: SeveralDataSets = None,
    against: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="RUN",
            help="Another run or model, compared image by image; with --predictions also another "
            "folder of masks; repeatable.",
        ),
    ] = None,
    split_of: Annotated[
        Path | None,
        typer.Option(
            metavar="RUN", help="With --predictions: score the --split of this run, not all images."
        ),
    ] = None,
    cases: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="With --predictions: score the case ids in this file, one a line."
        ),
    ] = None,
    only_predicted: Annotated[
        bool,
        typer.Option(
            "--only-predicted",
            help="With --predictions: leave out images without a mask; the scorecard says so.",
        ),
    ] = False,
    output: Annotated[
        Path | None,
        typer.Option(
            help="Where the scorecard goes.",
            show_default="RUN/scorecard; DIR/scorecard; RUN/shift with --on",
        ),
    ] = None,
    allow_leakage: Annotated[
        bool, typer.Option(help="Score images that the run has seen; the scorecard says so.")
    ] = False,
    show_leak: Annotated[
        bool,
        typer.Option("--show-leak", help="Say how much scoring training images would flatter."),
    ] = False,
    region: Annotated[
        RegionName | None,
        typer.Option(
            help="Where lesions of a CT are looked for.", show_default="as the recipe says"
        ),
    ] = None,
    threshold: Threshold = None,
    threads: Threads = None,
    as_json: AsJson = False,
) -> None:
    """Score a run, or anyone's masks, beside the baselines that never look at the image.

    Per image at its original resolution; the mean with its 95 % interval over groups. Writes
    `scorecard.html`, `scorecard.json` and `cases.csv`; of CT volumes `lesions.csv`, too.

        breastseg evaluate runs/mine Dataset_BUSI_with_GT
        breastseg evaluate runs/torch BUSI --against runs/tensorflow
        breastseg evaluate --predictions nnunet-masks BUSI --split-of runs/mine
        breastseg evaluate runs/ct CT --region scan

    With --on twice or more, how far the run carries: one table over the data sets, with the drop
    of the Dice, what of it goes with brightness, size, class and scanner, calibration and
    guarantees. Writes `shift.html`, `shift.json` and the scorecard of each set in a folder.

        breastseg evaluate runs/mine --on Dataset_BUSI_with_GT --on BUSBRA
    """
    from breastseg.cli.evaluating import evaluate_run_or_masks
    from breastseg.workflows.evaluate_predictions import WhichImages
    from breastseg.workflows.progress import WorkBar, log_to_terminal

    log_to_terminal()
    if predictions is None and (on or len(places) == 1):
        require_on_alone(places[1] if len(places) > 1 else None, on, against, show_leak=show_leak)
        evaluate_shift(
            places[0],
            on or [],
            output=output,
            split=split.value,
            allow_leakage=allow_leakage,
            threshold=threshold,
            threads=threads,
            as_json=as_json,
        )
        return
    with WorkBar() as bar:
        result = evaluate_run_or_masks(
            places,
            predictions=predictions,
            images=WhichImages(
                cases=cases, split_of=split_of, split=split.value, only_predicted=only_predicted
            ),
            on=on or (),
            against=against or (),
            output=output,
            allow_leakage=allow_leakage,
            show_leak=show_leak,
            region=None if region is None else region.value,
            threshold=threshold,
            threads=threads,
            reading=bar,
        )
    _show(result.document, result.output / "scorecard.html", as_json=as_json)


def compare(
    runs: Annotated[
        list[Path], typer.Argument(metavar="RUN RUN... DATA", help="Runs, and last the data.")
    ],
    split: Annotated[
        SplitName, typer.Option(help="Part of the first run's own data; other data is whole.")
    ] = SplitName.TEST,
    output: Annotated[Path, typer.Option(help="Where the comparison goes.")] = Path("comparison"),
    allow_leakage: Annotated[
        bool, typer.Option(help="Compare on images that a run has seen; the page says so.")
    ] = False,
    threads: Threads = None,
    as_json: AsJson = False,
) -> None:
    """Rank runs by their Dice and compare every pair image by image.

    Each pair's difference comes with its interval over groups and a p-value adjusted for the
    number of pairs (Holm). Writes `comparison.html` and `comparison.json`.

        breastseg compare runs/a runs/b runs/c DATA --output abc
    """
    from breastseg.workflows import compare as workflow
    from breastseg.workflows.progress import WorkBar, log_to_terminal

    log_to_terminal()
    with WorkBar() as bar:
        result = workflow.compare(
            runs[:-1],
            runs[-1],
            output=output,
            split=split.value,
            allow_leakage=allow_leakage,
            threads=threads,
            reading=bar,
        )
    _show(result.document, result.output / "comparison.html", as_json=as_json)


def _show(document: dict[str, Any], page: Path, *, as_json: bool) -> None:
    """Print a scorecard or a comparison, and say where its page is."""
    from breastseg.report.terminal import print_scorecard

    if as_json:
        typer.echo(json.dumps(document, indent=2))
    else:
        print_scorecard(document)
    hint(f"Look at {page}")


def predict(
    scans: Annotated[
        list[Path],
        typer.Argument(
            metavar="SCAN...",
            help="Pictures and DICOM ultrasound, or CT series and NIfTI; or folders of them.",
        ),
    ],
    model: Annotated[
        Path,
        typer.Option(
            metavar="RUN|NAME",
            help="A run, the folds of one, or a model that ships (`breastseg models list`).",
        ),
    ] = Path(DEFAULT_MODEL),
    output: Annotated[Path, typer.Option(help="Where the results go.")] = Path("results"),
    threshold: Threshold = None,
    threads: Threads = None,
    device: Annotated[DeviceName, typer.Option(help="cuda needs ONNX Runtime.")] = DeviceName.CPU,
    probability: Annotated[
        bool, typer.Option("--probability", help="CT: also write probability.nii.gz.")
    ] = False,
    explain: Annotated[
        bool,
        typer.Option(
            "--explain",
            help="Pictures: also draw where the score for malignant comes from, for models that "
            "tell that class.",
        ),
    ] = False,
    precision: Annotated[
        PrecisionName | None,
        typer.Option(
            help="bfloat16 is faster on CPUs that have it.",
            show_default="float32; int8 of a model in 8 bits",
        ),
    ] = None,
    overwrite: Overwrite = False,
    as_json: AsJson = False,
) -> None:
    """Find lesions in scans: masks, overlays, measures and one page to look at.

    Of a CT: a label map, measures, side and quadrant, three planes through each lesion, and of
    DICOM a SEG, a structured report and captures for the PACS. Lesions are looked for in the
    breasts; where a scan has none, the results say so.

    Neither PyTorch nor TensorFlow is needed. A file that cannot be read fails alone, and the
    exit code is then 1. Repeat the command after an interruption: it goes on where it stopped.

        breastseg predict scan.png
        breastseg predict scans/ --model runs/mine --output results/mine
        breastseg predict CT-SERIES/ --model ct-demo --output results/ct
    """
    from breastseg.report.rendering import plural
    from breastseg.workflows import predict as workflow
    from breastseg.workflows.progress import WorkBar, log_to_terminal

    log_to_terminal()
    with WorkBar() as bar:
        result = workflow.predict(
            scans,
            model=model,
            output=output,
            threshold=threshold,
            threads=threads,
            overwrite=overwrite,
            device="cuda" if device is DeviceName.CUDA else "cpu",
            precision=None if precision is None else precision.value,
            with_probability=probability,
            explain=explain,
            reading=bar,
        )
    if result.notice:
        hint(result.notice)
    if as_json:
        typer.echo(result.index_path.read_text(encoding="utf-8"), nl=False)
    else:
        found = sum(len(case.lesions) for case in result.cases)
        for sentence in result.empty_searches():
            hint(sentence)
        kind = "scan" if any(case.in_volume for case in result.cases) else "image"
        counts = (plural(len(result.cases), kind), plural(found, "lesion"))
        typer.echo(f"{', '.join(counts)}, {result.num_failed} failed")
    hint(f"Look at {result.report_path}")
    if result.num_failed:
        raise typer.Exit(1)
