"""Whether anything that is scored had been seen in training: counted, not assumed."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np

from breastseg.datasets import volume_groups
from breastseg.datasets.near_duplicates import BY_PATIENT_OR_RESEMBLANCE
from breastseg.datasets.sketches import ALIKE, SAME_PICTURE, nearest
from breastseg.datasets.splits import DataSplit
from breastseg.training.checkpoint import Run
from breastseg.training.model import Model
from breastseg.training.sketch_file import read_sketches
from breastseg.workflows.seen_before import Exposure

BY_PATIENT = "Groups are the patients that the data set names, and it is believed in this."
BY_RESEMBLANCE = (
    "The data set names no patients: groups are near duplicates, found by the computer. Images of "
    "one patient that don't resemble each other may be on both sides."
)
BY_BOTH = (
    "Groups join the patients that are named with near duplicates, found by the computer. Images "
    "of a patient whom no data set names, or whom two name, that don't resemble each other may be "
    "on both sides."
)
NO_SKETCHES = (
    "Near duplicates were not looked for: the run folder has no sketches.npz, as it was made by "
    "an older version or somebody took it out. Only identical files are known again."
)
NO_RECORD = (
    "The model keeps no record of the images that it was trained on: nothing could be compared."
)
BY_VOLUME = (
    "The data set does not name the patient of every volume: those without one are groups of their "
    "own, so that two scans of one patient may be on both sides."
)
NO_NEAR_VOLUMES = (
    "Near duplicates of volumes are not looked for. Only identical files are known again: not a "
    "scan that was cropped, resampled or saved anew."
)
OTHER_SCANS = "Other scans of the same patients can't be known again."
OTHER_DATA = (
    "Other images of the same patients can't be known again, nor pictures that were turned, padded "
    "or cropped by more than a twentieth of a side."
)


def leakage_certificate(
    model: Model, scored: Mapping[str, str], exposure: Exposure, *, is_own_data: bool
) -> dict[str, Any]:
    """Return what of the scored images the model had seen, as plain values.

    Args:
        scored: SHA-256 of the file of each scored image, by case id.
        exposure: what of them the model had seen.
        is_own_data: whether they are of the data set that the model was trained on.

    Returns:
        runs: for each run (several for a cross-validation) how it was split and what its test
            part shares with the others; all counted anew from the run folder.
        num_scored, num_known: images; those that the run knows by their content.
        num_seen, num_near_duplicates, num_group_seen: of the scored, those that were trained on
            or used to choose the epoch or the threshold; near duplicates of such; held out, but
            others of their group were not.
        num_compared, num_not_compared: images new to the run that were or were not compared with
            its sketches. num_alike: those less like than near duplicates.
        pairs: each image that had been seen, or is alike, and its twin.
        not_checked: in words.
    """
    home = model.home()
    counts = Counter(each.how for each in exposure.seen.values())
    pairs = sorted(
        (*exposure.seen.values(), *exposure.alike.values()),
        key=lambda each: (each.how, -(each.likeness or 0), each.case_id),
    )
    return {
        "runs": [_shared(run) for run in model.runs],
        "is_own_data": is_own_data,
        "num_scored": len(scored),
        "num_known": sum(digest in home for digest in scored.values()),
        "num_seen": counts["file"],
        "num_near_duplicates": counts["near duplicate"],
        "num_group_seen": counts["group"],
        "num_alike": len(exposure.alike),
        "num_compared": exposure.num_compared,
        "num_not_compared": exposure.num_not_compared,
        "near_duplicate_from": SAME_PICTURE,
        "alike_from": ALIKE,
        "pairs": [asdict(each) for each in pairs],
        "not_checked": _not_checked(model, exposure),
    }


def _not_checked(model: Model, exposure: Exposure) -> list[str]:
    told = []
    run = model.runs[0]
    if not run.content:
        return [NO_RECORD]
    if run.recipe.volume is not None:
        return _not_checked_of_volumes(run, exposure)
    if exposure.num_compared + exposure.num_not_compared:
        told.append(OTHER_DATA)
    else:
        told.append(_belief(run.split.method))
    if read_sketches(run.path, run.content) is None:
        told.append(NO_SKETCHES)
    return told


def _belief(method: str) -> str:
    """Say what must be believed of the groups of pictures that a split kept together."""
    if BY_PATIENT_OR_RESEMBLANCE in method:
        return BY_BOTH
    return BY_RESEMBLANCE if "near-duplicate" in method else BY_PATIENT


def _not_checked_of_volumes(run: Run, exposure: Exposure) -> list[str]:
    if exposure.num_compared + exposure.num_not_compared:
        return [OTHER_SCANS, NO_NEAR_VOLUMES]
    is_named = run.split.kind_of_groups == volume_groups.BY_PATIENT
    return [BY_PATIENT if is_named else BY_VOLUME, NO_NEAR_VOLUMES]


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
        "near_duplicates_shared": _near_duplicates(run, test, others),
    }


def _near_duplicates(run: Run, test: tuple[str, ...], others: list[str]) -> int | None:
    """Return how many test images have a near duplicate in another part; None if not known.

    Where patients are the groups, that is the data set's own doing.
    """
    pictures = read_sketches(run.path, run.content)
    if pictures is None:
        return None
    if not test or not others:
        return 0
    found = nearest(pictures.only(test).sketches, pictures.only(others).sketches)
    return int(np.count_nonzero(found.likeness >= SAME_PICTURE))


def _num_groups(split: DataSplit, case_ids: tuple[str, ...]) -> int:
    return len({split.groups[each] for each in case_ids})
