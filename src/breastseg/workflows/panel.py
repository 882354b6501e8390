"""Several contestants scored on the same images, beside the baselines that never look at them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from breastseg.core.errors import InputError, LayoutError
from breastseg.core.image import Case
from breastseg.datasets.cases import CaseFiles, read_case
from breastseg.evaluation.baselines import (
    ALL_BACKGROUND,
    ConstantMask,
    best_constant_mask,
    whole_region,
)
from breastseg.evaluation.case_score import CaseScore, score_case
from breastseg.evaluation.overlap import Mask
from breastseg.evaluation.scorecard import Contender
from breastseg.workflows.contestants import Answer, Contestant, GivenContestant
from breastseg.workflows.given_evidence import GivenEvidence
from breastseg.workflows.progress import Reading
from breastseg.workflows.volume_evidence import VolumeEvidence

_SHOWN_FAULTS = 5
CHOSEN_ON = "the scored images' own references"
IN_ITS_FAVOUR = (
    ": chosen on what it is scored on, in its own favour, since the masks that the model was "
    "trained on are not known here"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """Who is scored; first is the one whom the scorecard is about.

    groups: by case id. hashes: SHA-256 of each image by case id.
    """

    contestants: tuple[Contestant, ...]
    first: GivenContestant
    groups: dict[str, str]
    hashes: dict[str, str]

    def answers(self, case: Case) -> list[Answer]:
        """Return what each says of an image."""
        sha256 = self.hashes[case.case_id]
        return [each.answer(case, sha256=sha256) for each in self.contestants]

    def names(self) -> list[str]:
        """Return the names, numbered where several are the same."""
        names = [each.name for each in self.contestants]
        if len(set(names)) == len(names):
            return names
        return [f"{name} ({number})" for number, name in enumerate(names, start=1)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """What came of it. volumes: None of pictures."""

    contenders: list[Contender]
    evidence: GivenEvidence
    volumes: VolumeEvidence | None

    def warnings(self) -> tuple[str, ...]:
        """Return what does not fit together, and what was not found."""
        found = () if self.volumes is None else self.volumes.warnings()
        return (*self.evidence.warnings(), *found)


def judge(panel: Panel, cases: Sequence[CaseFiles], reading: Reading) -> Judged:
    """Score all on every image, one at a time.

    Raises:
        InputError: masks that cannot be used, told together at the end.
    """
    volumes = VolumeEvidence() if panel.first.are_volumes else None
    # A mask in relative coordinates says little of bodies that fill the picture differently.
    constants = [] if volumes else _constant_mask(cases, reading)
    evidence, faults = GivenEvidence(), []
    rows: list[list[CaseScore]] = []
    for done, files in enumerate(cases, start=1):
        case = read_case(files)
        reading("Scoring", done, len(cases))
        try:
            answers = panel.answers(case)
        except InputError as error:
            faults.append(str(error))
            continue
        if faults:
            continue
        group = panel.groups[files.case_id]
        masks = [*(answer.mask for answer in answers), ALL_BACKGROUND.on(case.image.pixels.shape)]
        masks += [constant.on(case.image.pixels.shape) for constant in constants]
        if volumes is not None:
            masks.append(volumes.look(case))
        rows.append([score_case(case, mask, group=group, label=files.label) for mask in masks])
        evidence.add(case, answers[0], threshold=panel.first.threshold, group=group, files=files)
    if faults:
        raise InputError(_told(faults, len(cases)))
    floor = [(each.name, each.description + IN_ITS_FAVOUR) for each in constants]
    if volumes is not None:
        floor.append((whole_region().name, whole_region().description))
    return Judged(
        contenders=_contenders(panel.names(), floor, list(zip(*rows, strict=True))),
        evidence=evidence,
        volumes=volumes,
    )


def _told(faults: Sequence[str], num_cases: int) -> str:
    if len(faults) == 1:
        return faults[0]
    more = len(faults) - _SHOWN_FAULTS
    lines = [f"{len(faults)} of {num_cases} images have a mask that cannot be used:"]
    lines += [f"  - {fault}" for fault in faults[:_SHOWN_FAULTS]]
    return "\n".join(lines + ([f"  ... and {more} more"] if more > 0 else []))


def _constant_mask(cases: Sequence[CaseFiles], reading: Reading) -> list[ConstantMask]:
    """Return the constant mask that fits the scored images best; none without a lesion."""

    def references() -> Iterable[Mask]:
        for done, files in enumerate(cases, start=1):
            reference = read_case(files).reference
            assert reference is not None
            reading("Choosing the best constant mask", done, len(cases))
            yield np.asarray(reference > 0)

    try:
        return [best_constant_mask(references(), chosen_on=CHOSEN_ON)]
    except InputError as error:
        if isinstance(error, LayoutError):
            raise
        return []


def _contenders(
    names: Sequence[str],
    floor: Sequence[tuple[str, str]],
    columns: Sequence[Sequence[CaseScore]],
) -> list[Contender]:
    scored = [
        Contender(name=name, scores=scores) for name, scores in zip(names, columns, strict=False)
    ]
    baselines = [(ALL_BACKGROUND.name, ALL_BACKGROUND.description), *floor]
    return scored + [
        Contender(name=name, scores=scores, role="baseline", description=description)
        for (name, description), scores in zip(baselines, columns[len(names) :], strict=True)
    ]
