"""Whether anything that is scored had been seen in training: counted, not assumed."""

from collections.abc import Mapping
from typing import Any

from breastseg.datasets.splits import DataSplit
from breastseg.training.checkpoint import Run
from breastseg.training.model import Model

BY_PATIENT = (
    "Groups are the patients that the data set names: near duplicates of one image under two "
    "patients were not looked for."
)
BY_RESEMBLANCE = (
    "The data set names no patients: groups are near duplicates, found by the computer. Images of "
    "one patient that don't resemble each other may be on both sides."
)
OTHER_DATA = (
    "Images were compared by their files alone. Near duplicates between these images and the data "
    "that the run was trained on were not looked for, neither a picture that was saved anew nor "
    "other images of the same patient."
)


def leakage_certificate(
    model: Model, scored: Mapping[str, str], *, is_own_data: bool
) -> dict[str, Any]:
    """Return what of the scored images the model had seen, as plain values.

    Args:
        scored: SHA-256 of the file of each scored image, by case id.
        is_own_data: whether they are of the data set that the model was trained on.

    Returns:
        runs: for each run (several for a cross-validation) how it was split and what its test
            part shares with the others; all counted anew from the run folder.
        num_scored, num_known, num_seen: images; known by their content to the run, and those of
            them that were trained on or used to choose the epoch or the threshold.
        not_checked: in words.
    """
    home = model.home()
    known = [home[digest] for digest in scored.values() if digest in home]
    return {
        "runs": [_shared(run) for run in model.runs],
        "is_own_data": is_own_data,
        "num_scored": len(scored),
        "num_known": len(known),
        "num_seen": sum(part != "test" for part in known),
        "not_checked": _not_checked(model, num_unknown=len(scored) - len(known)),
    }


def _not_checked(model: Model, *, num_unknown: int) -> list[str]:
    by_resemblance = "near-duplicate" in model.runs[0].split.method
    within = BY_RESEMBLANCE if by_resemblance else BY_PATIENT
    return [OTHER_DATA] if num_unknown else [within]


def _shared(run: Run) -> dict[str, Any]:
    """Return the sizes of the parts of a run, and what its test part shares with the others."""
    test = run.split.parts.get("test", ())
    others = [each for part, ids in run.split.parts.items() if part != "test" for each in ids]
    content = run.content
    return {
        "name": run.path.name,
        "method": run.split.method,
        "parts": {
            part: {"images": len(ids), "groups": _num_groups(run.split, ids)}
            for part, ids in run.split.parts.items()
        },
        "groups_shared": len(run.split.shared_groups()),
        "images_shared": len({content[each] for each in test} & {content[each] for each in others}),
    }


def _num_groups(split: DataSplit, case_ids: tuple[str, ...]) -> int:
    return len({split.groups[each] for each in case_ids})
