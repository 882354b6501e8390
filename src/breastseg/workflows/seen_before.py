"""Which of the images to score a model had seen in training, in one way or another."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from breastseg.core.errors import SplitError
from breastseg.datasets.cases import CaseFiles
from breastseg.datasets.sketches import ALIKE, SAME_PICTURE, nearest, read_and_sketch
from breastseg.datasets.splits import PARTS
from breastseg.training.begun_from import ancestors, without_record_of_images
from breastseg.training.checkpoint import Run
from breastseg.training.model import Model
from breastseg.training.sketch_file import KnownPictures, read_sketches
from breastseg.workflows.progress import Reading

How = Literal["file", "near duplicate", "group"]
_TOLD: Mapping[How, str] = {
    "file": "were trained on, or used to choose the epoch or the threshold",
    "near duplicate": "are near duplicates of images that were trained on, or used to choose the "
    "epoch or the threshold",
    "group": "share a patient or a near duplicate with images that were trained on, since the run "
    "was split by image",
}
_MOST_NAMED = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """An image that flatters its score.

    how: file: the same content was in another part than test. near duplicate: of such an image,
        by its sketch. group: the image was held out, but another one of its group was not.
    twin: case id in the run of what was seen. part: that it is in; of a model that the run began
        from, with its name.
    likeness: of the two pictures; None where it was not looked at.
    """

    case_id: str
    how: How
    twin: str
    part: str
    likeness: float | None = None

    def __str__(self) -> str:
        """Name the image and its twin."""
        if self.twin == self.case_id:
            return f"'{self.case_id}' of {self.part}"
        if self.how == "file":
            return f"'{self.case_id}' ('{self.twin}' of {self.part})"
        told = "" if self.likeness is None else f", likeness {self.likeness:.2f}"
        return f"'{self.case_id}' (like '{self.twin}' of {self.part}{told})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Exposure:
    """What of some images a model had seen.

    seen: by case id; these are refused. alike: new images that resemble a seen one less than a
        near duplicate does: worth a look, and no more.
    num_compared, num_not_compared: new images that were compared with the run's sketches, and
        those that could not be since it has none.
    """

    seen: dict[str, Seen] = field(default_factory=dict)
    alike: dict[str, Seen] = field(default_factory=dict)
    num_compared: int = 0
    num_not_compared: int = 0


def exposures_of(
    models: Sequence[Model],
    cases: Sequence[CaseFiles],
    sha256: Mapping[str, str],
    reading: Reading,
) -> list[Exposure]:
    """Return what of some images each model had seen.

    Images that a model knows by their content are not read.

    Args:
        sha256: of the file of each image, by case id.
        reading: told of the progress.

    Raises:
        ImageFileError: an image cannot be read.
        RunFolderError: the sketches of a run are damaged.
    """
    past = [each for model in models for each in lineage(model)]
    homes = [each.home() for each in past if _trained_on(each) is not None]
    new = [case for case in cases if any(sha256[case.case_id] not in home for home in homes)]
    names = tuple(case.case_id for case in new)
    sketched = KnownPictures(names, read_and_sketch(new, reading))
    scored = {case.case_id: sha256[case.case_id] for case in cases}
    return [exposure_of(model, scored, sketched) for model in models]


def lineage(model: Model) -> list[Model]:
    """Return a model, and each model that one of its runs began from, directly or by others."""
    past = {
        (steps, each.path.name): each  # the folds of a cross-validation began from the same
        for run in model.runs
        for steps, each in enumerate(ancestors(run))
    }
    return [model, *(Model(path=each.path, runs=(each,)) for each in past.values())]


def exposure_of(model: Model, scored: Mapping[str, str], sketched: KnownPictures) -> Exposure:
    """Return what of some images a model had seen, or a model that it began from.

    Args:
        scored: SHA-256 of the file of each image, by case id.
        sketched: the sketches of these images, at least of those that the model does not know.
    """
    own = _exposure(model, scored, sketched, _trained_on(model))
    seen, alike = own.seen, own.alike
    for each in lineage(model)[1:]:
        found = _named(_exposure(each, scored, sketched, _trained_on(each)), each.path.name)
        seen, alike = found.seen | seen, found.alike | alike
    rest = {case_id: each for case_id, each in alike.items() if case_id not in seen}
    return replace(own, seen=seen, alike=rest)


def _named(exposure: Exposure, name: str) -> Exposure:
    """Say of which model the parts are."""
    seen, alike = (
        {case_id: replace(each, part=f"{each.part} of {name}") for case_id, each in found.items()}
        for found in (exposure.seen, exposure.alike)
    )
    return replace(exposure, seen=seen, alike=alike)


def _exposure(
    model: Model, scored: Mapping[str, str], sketched: KnownPictures, known: KnownPictures | None
) -> Exposure:
    home = model.home()
    unknown = [case_id for case_id, digest in scored.items() if digest not in home]
    certain = (*_same_files(model, scored), *_divided_groups(model, scored))
    seen = {each.case_id: each for each in certain}
    if known is None:
        return Exposure(seen=seen, num_not_compared=len(unknown))
    alike = {each.case_id: each for each in _alike(sketched.only(unknown), known, model)}
    twins = {case_id: each for case_id, each in alike.items() if _is_twin(each)}
    rest = {case_id: each for case_id, each in alike.items() if case_id not in twins}
    return Exposure(seen=seen | twins, alike=rest, num_compared=len(unknown))


def unknown_images(model: Model) -> str | None:
    """Say that it is not known what a model was trained on, where that is so; else None."""
    past = ", ".join(without_record_of_images(model.runs[0].environment))
    name, unknown = model.path.name, "whether these are among them is not known."
    if not model.runs[0].content:
        return f"{name} keeps no record of the images that it was trained on: {unknown}"
    if not past:
        return None
    return (
        f"{name} began from {past}: no record is left of the images trained on there, and {unknown}"
    )


def all_seen(exposures: Sequence[Exposure]) -> dict[str, Seen]:
    """Return what any of the models had seen, by case id; the first that had names the twin."""
    found: dict[str, Seen] = {}
    for exposure in exposures:
        found = exposure.seen | found
    return found


def _is_twin(seen: Seen) -> bool:
    return seen.likeness is not None and seen.likeness >= SAME_PICTURE


def _trained_on(model: Model) -> KnownPictures | None:
    """Return the pictures that new ones must not resemble; None where the run keeps none.

    Of several folds all, since new images are predicted by all of them.
    """
    run = model.runs[0]
    pictures = read_sketches(run.path, run.content)
    if pictures is None or model.is_ensemble:
        return pictures
    return pictures.only([case_id for case_id, _ in _not_test(run)])


def _not_test(run: Run) -> Iterator[tuple[str, str]]:
    """Yield each image outside the test part, and its part."""
    for part, case_ids in run.split.parts.items():
        yield from ((case_id, part) for case_id in case_ids if part != "test")


def _alike(new: KnownPictures, known: KnownPictures, model: Model) -> Iterator[Seen]:
    """Yield the new pictures that resemble one that was seen, each with the one most like it."""
    if not len(new) or not len(known):
        return
    parts = dict(_not_test(model.runs[0]))
    found = nearest(new.sketches, known.sketches)
    for case_id, likeness, place in zip(new.case_ids, found.likeness, found.place, strict=True):
        if likeness >= ALIKE:
            twin = known.case_ids[place]
            yield Seen(
                case_id=case_id,
                how="near duplicate",
                twin=twin,
                part="train" if model.is_ensemble else parts[twin],
                likeness=round(float(likeness), 3),
            )


def _same_files(model: Model, scored: Mapping[str, str]) -> Iterator[Seen]:
    home = model.home()
    names = {digest: case_id for run in model.runs for case_id, digest in run.content.items()}
    for case_id, digest in scored.items():
        part = home.get(digest, "test")
        if part != "test":
            yield Seen(case_id=case_id, how="file", twin=names[digest], part=part)


def _divided_groups(model: Model, scored: Mapping[str, str]) -> Iterator[Seen]:
    """Find the held out images of groups that a run has trained on, each in its own run."""
    testers = model.testers()
    twins = [_first_members(run) for run in model.runs]
    groups = [
        {run.content[each]: run.split.groups[each] for each in run.split.parts["test"]}
        for run in model.runs
    ]
    for case_id, digest in scored.items():
        place = testers.get(digest)
        if place is not None and (group := groups[place][digest]) in twins[place]:
            twin, part = twins[place][group]
            yield Seen(case_id=case_id, how="group", twin=twin, part=part)


def _first_members(run: Run) -> dict[str, tuple[str, str]]:
    """Return the first image outside the test part, and its part, of each group in both."""
    shared, split = run.split.shared_groups(), run.split
    members: dict[str, tuple[str, str]] = {}
    for case_id, part in _not_test(run):
        if split.groups[case_id] in shared:
            members.setdefault(split.groups[case_id], (case_id, part))
    return members


def warning_of(seen: Mapping[str, Seen], *, num_scored: int) -> str:
    """Say how many of the scored images had been seen, in which way, and name one of each."""
    told = []
    for how, count in Counter(each.how for each in seen.values()).items():
        first = next(each for each in seen.values() if each.how == how)
        told.append(f"{count} of {num_scored} images {_TOLD[how]}, such as {first}")
    return "; ".join(told)


def refusal_of(seen: Mapping[str, Seen], *, num_scored: int) -> SplitError:
    """Return the error for scoring images that had been seen without asking for it."""
    return SplitError(
        f"{warning_of(seen, num_scored=num_scored)}: their score would flatter. {_way_out(seen)}, "
        "or add --allow-leakage to see it marked as such."
    )


def _way_out(seen: Mapping[str, Seen]) -> str:
    hows = {each.how for each in seen.values()}
    if hows == {"group"}:
        return "Train with split.by=group"
    if "near duplicate" in hows:
        names = [f"'{each.case_id}'" for each in seen.values() if each.how == "near duplicate"]
        more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
        return (
            f"Take {', '.join(names[:_MOST_NAMED])}{more} out of the data (scorecard.json lists "
            "every one with its twin once leakage is allowed)"
        )
    if any(each.part not in PARTS for each in seen.values()):
        return "Take the images that the model which it began from had seen out of the data"
    return "Score --split test"
