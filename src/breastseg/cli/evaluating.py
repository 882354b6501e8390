"""Which of both workflows a call of `breastseg evaluate` means."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from breastseg.core.errors import InputError
from breastseg.workflows.evaluate import Evaluation, evaluate
from breastseg.workflows.evaluate_predictions import WhichImages, evaluate_predictions
from breastseg.workflows.judge import SearchedRegion


def evaluate_run_or_masks(
    places: Sequence[Path],
    *,
    predictions: Path | None,
    images: WhichImages,
    on: Sequence[Path] = (),
    show_leak: bool = False,
    region: SearchedRegion | None = None,
    **options: Any,
) -> Evaluation:
    """Score the run in `places`, or the masks in a folder, on the data that `places` ends with.

    Args:
        places: RUN and DATA; DATA alone where predictions are given.
        on: refused here: it compares data sets for a run.
        show_leak, region: of a run alone.
        options: what both workflows take.

    Raises:
        InputError: too few or too many places, or an option of the other workflow.
    """
    told = " ".join(map(str, places))
    if predictions is not None:
        _require_masks_alone(on, show_leak=show_leak, region=region)
        if len(places) != 1:
            raise InputError(
                f"evaluate --predictions takes the data alone, got {told}. Write "
                f"`breastseg evaluate --predictions {predictions} DATA`; a run to compare with is "
                "named by --against."
            )
        if images.split != "test" and images.split_of is None:
            raise InputError(
                f"--split {images.split} is a part of a run: name the run by --split-of RUN."
            )
        return evaluate_predictions(predictions, places[0], images=images, **options)
    if len(places) != 2:
        raise InputError(
            f"evaluate takes a run and the data, got {told}. Write `breastseg evaluate RUN DATA`, "
            "or `breastseg evaluate --predictions DIR DATA` for the masks of any model."
        )
    if images.split_of or images.cases or images.only_predicted:
        raise InputError(
            "--split-of, --cases and --only-predicted belong to --predictions DIR: a run is "
            "scored on the --split that it held out."
        )
    run, data = places
    return evaluate(run, data, split=images.split, show_leak=show_leak, region=region, **options)


def _require_masks_alone(
    on: Sequence[Path], *, show_leak: bool, region: SearchedRegion | None
) -> None:
    """Refuse what only a run can do."""
    if on:
        raise InputError("--on compares data sets for a run, and takes no --predictions.")
    if show_leak:
        raise InputError(
            "--show-leak needs to know what was trained on, and takes no --predictions."
        )
    if region is not None:
        raise InputError("--region says where a run looks, and takes no --predictions.")
