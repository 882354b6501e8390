"""evaluate --show-leak: what the score would have been had training images been scored."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from breastseg.core.errors import InputError
from breastseg.datasets.cases import CaseFiles, read_case
from breastseg.datasets.checked import content_of
from breastseg.datasets.layouts import find_data_set
from breastseg.evaluation.inflation import ScoredImage, estimate_inflation
from breastseg.evaluation.overlap import dice
from breastseg.inference.segment import find
from breastseg.training.model import Model, open_model
from breastseg.workflows.progress import Reading
from breastseg.workflows.scoring import Scored


def require_own_test_part(run: Path, data: Path, split: str) -> None:
    """Refuse to show the leak of anything but a run's own test part, before anything is scored.

    Raises:
        InputError: other data, or another part.
        RunFolderError, LayoutError: the run or the data.
    """
    model = open_model(run)
    if model.of_volumes:
        raise InputError(
            f"{run}: --show-leak is for pictures; of CT volumes all that were trained on would be "
            "predicted. Leave it out; volumes that the run has seen are refused anyway."
        )
    home = model.home()
    is_own = any(digest in home for digest in content_of(find_data_set(data).cases).values())
    if split != "test" or not is_own:
        found = f"--split {split}" if is_own else "data that the run does not know"
        raise InputError(
            "--show-leak compares the run's own test part with what it was trained on, but got "
            f"{found}. Give the data set of the run, and --split test."
        )


def inflation_of(scored: Scored, data: Path, reading: Reading) -> dict[str, Any]:
    """Return by how much the score of the first model would have been inflated, as plain values.

    Every training image is predicted: of several folds by one that was trained on it.

    Args:
        scored: the run's own test part.
        data: the run's data set.
        reading: told of the progress.
    """
    model, exposed = scored.models[0], scored.exposures[0].seen
    unseen = [
        ScoredImage(group=score.group, dice=score.dice)
        for score in scored.contenders[0].scores
        if score.dice is not None and score.case_id not in exposed
    ]
    data_set = find_data_set(data)
    content = scored.judge.sha256
    files = {content[case.case_id]: case for case in data_set.cases}
    trained = list(_trained_on(model, files))
    seen = []
    for done, (case_id, place, case) in enumerate(trained, start=1):
        score = _dice(scored, place, case)
        if score is not None:
            seen.append(ScoredImage(group=model.runs[place].split.groups[case_id], dice=score))
        reading("Scoring what was trained on", done, len(trained))
    split = model.runs[0].split
    return asdict(
        estimate_inflation(seen, unseen, split.groups, num_train=len(split.parts["train"]))
    )


def _trained_on(
    model: Model, files: Mapping[str, CaseFiles]
) -> Iterator[tuple[str, int, CaseFiles]]:
    """Yield each image that a network was trained on, once: its id, whose, and its files."""
    taken: set[str] = set()
    for place, run in enumerate(model.runs):
        for case_id in run.split.parts["train"]:
            digest = run.content[case_id]
            if digest in files and digest not in taken:
                taken.add(digest)
                yield case_id, place, files[digest]


def _dice(scored: Scored, place: int, files: CaseFiles) -> float | None:
    """Return the Dice of the network in that place on an image; None without a lesion."""
    case, network = read_case(files), scored.judge.models[0].members[place]
    if case.reference is None or not case.reference.any():
        return None
    threshold = scored.judge.threshold or scored.models[0].runs[place].operating_threshold
    found = find(case.case_id, case.image, network.probability(case.image), threshold)
    return dice(found.mask, case.reference > 0)
