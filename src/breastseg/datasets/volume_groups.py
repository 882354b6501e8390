"""Groups of volumes: by patient where known, and by content; see there for what is not done."""

from collections.abc import Mapping, Sequence

from breastseg.datasets.cases import CaseFiles

BY_PATIENT = "patient"
BY_PATIENT_OR_VOLUME = "patient, or volume where none is named (no near duplicates looked for)"
BY_VOLUME = "volume (no patients named, no near duplicates looked for)"


def volume_groups(
    cases: Sequence[CaseFiles], content: Mapping[str, str] | None = None
) -> tuple[dict[str, str], str]:
    """Keep together volumes of one patient and volumes of the same content.

    Two scans of one patient that nobody names are not known again, and neither is a copy that was
    resampled or cropped: perceptual hashes are those of pictures. A data set without patients
    should name what belongs together in groups.json.

    Args:
        content: SHA-256 of each image by case id; where None, all files are read for it.

    Returns:
        Group by case id, and in words what the groups are. A group bears its patient, or the id
        of its first case.

    Raises:
        ImageFileError: a file cannot be read.
    """
    if content is None:
        content = {case.case_id: case.sha256() for case in cases}
    groups: dict[str, str] = {}
    by_content: dict[str, str] = {}
    same: dict[str, str] = {}
    for case in cases:
        group = case.patient_id or case.case_id
        groups[case.case_id] = group
        twin = _first(by_content.setdefault(content[case.case_id], group), same)
        if twin != (own := _first(group, same)):
            same[own] = twin
    joined = {case_id: _first(group, same) for case_id, group in groups.items()}
    return joined, _method(cases)


def _first(group: str, same: Mapping[str, str]) -> str:
    """Follow groups that were joined to the one that bears their name."""
    while group in same:
        group = same[group]
    return group


def _method(cases: Sequence[CaseFiles]) -> str:
    named = sum(case.patient_id is not None for case in cases)
    if named == len(cases):
        return BY_PATIENT
    return BY_PATIENT_OR_VOLUME if named else BY_VOLUME
