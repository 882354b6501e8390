"""Which of the images to score a model had seen in training, in one way or another."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from breastseg.core.errors import SplitError
from breastseg.training.checkpoint import Run
from breastseg.training.model import Model

How = Literal["file", "group"]
_TOLD: Mapping[How, str] = {
    "file": "were trained on, or used to choose the epoch or the threshold",
    "group": "share a patient or a near duplicate with images that were, since the run was split "
    "by image",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """An image that flatters its score.

    how: file: the same content was in another part than test. group: the image was held out,
        but another one of its group was not.
    twin: case id in the run of what was seen. part: that it is in.
    """

    case_id: str
    how: How
    twin: str
    part: str


def find_seen(models: Sequence[Model], sha256: Mapping[str, str]) -> dict[str, Seen]:
    """Return what of some images any of the models had seen, by case id.

    Args:
        sha256: of the file of each image, by case id.
    """
    found: dict[str, Seen] = {}
    for model in models:
        for seen in (*_same_files(model, sha256), *_divided_groups(model, sha256)):
            found.setdefault(seen.case_id, seen)
    return found


def _same_files(model: Model, sha256: Mapping[str, str]) -> Iterator[Seen]:
    home = model.home()
    names = {digest: case_id for run in model.runs for case_id, digest in run.content.items()}
    for case_id, digest in sha256.items():
        part = home.get(digest, "test")
        if part != "test":
            yield Seen(case_id=case_id, how="file", twin=names[digest], part=part)


def _divided_groups(model: Model, sha256: Mapping[str, str]) -> Iterator[Seen]:
    """Find the held out images of groups that a run has trained on, each in its own run."""
    testers = model.testers()
    twins = [_first_members(run) for run in model.runs]
    groups = [
        {run.content[each]: run.split.groups[each] for each in run.split.parts["test"]}
        for run in model.runs
    ]
    for case_id, digest in sha256.items():
        place = testers.get(digest)
        if place is not None and (group := groups[place][digest]) in twins[place]:
            twin, part = twins[place][group]
            yield Seen(case_id=case_id, how="group", twin=twin, part=part)


def _first_members(run: Run) -> dict[str, tuple[str, str]]:
    """Return the first image outside the test part, and its part, of each group in both."""
    shared, split = run.split.shared_groups(), run.split
    members: dict[str, tuple[str, str]] = {}
    for part, case_ids in split.parts.items():
        for case_id in case_ids if part != "test" else ():
            if split.groups[case_id] in shared:
                members.setdefault(split.groups[case_id], (case_id, part))
    return members


def warning_of(seen: Mapping[str, Seen], *, num_scored: int) -> str:
    """Say how many of the scored images had been seen, in which way, and name one of each."""
    counts = Counter(each.how for each in seen.values())
    told = []
    for how, count in counts.items():
        first = next(each for each in seen.values() if each.how == how)
        twin = "" if first.twin == first.case_id else f" (like '{first.twin}' of {first.part})"
        told.append(f"{count} of {num_scored} images {_TOLD[how]}, such as '{first.case_id}'{twin}")
    return "; ".join(told)


def refusal_of(seen: Mapping[str, Seen], *, num_scored: int) -> SplitError:
    """Return the error for scoring images that had been seen without asking for it."""
    way_out = "Score --split test"
    if {each.how for each in seen.values()} == {"group"}:
        way_out = "Train with split.by=group"
    return SplitError(
        f"{warning_of(seen, num_scored=num_scored)}: their score would flatter. {way_out}, or add "
        "--allow-leakage to see it marked as such."
    )
