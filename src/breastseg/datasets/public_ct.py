"""Public breast CT with tumour masks in the Imaging Data Commons: what there is, what to fetch.

Source of the collections: portal.imaging.datacommons.cancer.gov, index version 25.
"""

import html
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from breastseg.core.errors import InputError, suggestion

_TAG = re.compile(r"<[^>]+>")


@dataclass(frozen=True, slots=True, kw_only=True)
class SeriesEntry:
    """One series of the archive's index. size_mb: in 10^6 bytes. doi: of its source."""

    series_uid: str
    patient_id: str
    modality: str
    description: str
    num_files: int
    size_mb: float
    licence: str
    doi: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Collection:
    """Some masks of a public collection.

    condition: chooses the series of the masks, as SQL over the archive's index.
    readers: words of the series description that tell who drew, the most trusted first; of
        several masks of one series only those of the most trusted are taken. Empty: all are.
    """

    name: str
    title: str
    content: str
    licence: str
    condition: str
    readers: tuple[str, ...] = ()


COLLECTIONS: dict[str, Collection] = {
    each.name: each
    for each in (
        Collection(
            name="eay131-breast",
            title="EAY131 (NCI-MATCH): breast tumours",
            content="66 outlines by radiologists of breast tumours of 55 patients, on diagnostic "
            "CT",
            licence="CC BY 4.0",
            condition="collection_id = 'eay131' AND Modality IN ('RTSTRUCT', 'SEG') "
            "AND upper(SeriesDescription) LIKE '%BREAST%' "
            # Seed points mark a tumour's place, not its outline.
            "AND upper(SeriesDescription) NOT LIKE '%SEED%'",
        ),
        Collection(
            name="qin-breast",
            title="QIN-Breast with BAMF-AIMI annotations: breast tumours on prone PET/CT",
            content="110 segmentations by a program of 43 patients, 7 of them corrected by a "
            "radiologist and 6 by a non-expert, who are preferred",
            licence="CC BY 3.0 (images), CC BY 4.0 (masks)",
            condition="collection_id = 'qin_breast' AND Modality = 'SEG' "
            "AND analysis_result_id = 'bamf_aimi_annotations'",
            readers=("radiologist", "non-expert"),
        ),
    )
}


class Archive(Protocol):
    """Where series are looked up and fetched: the Imaging Data Commons, or a stand-in."""

    @property
    def version(self) -> str:
        """The version of its index."""

    def masks(self, condition: str) -> Sequence[SeriesEntry]:
        """Return the series that an SQL condition chooses."""

    def series(self, uids: Sequence[str]) -> Sequence[SeriesEntry]:
        """Return the series of those UIDs, but for those that it does not have."""

    def drawn_on(self, masks: Sequence[SeriesEntry]) -> Mapping[str, str]:
        """Return the UID of the series that each mask refers to, by the mask's series UID."""

    def citations(self, dois: Sequence[str]) -> Mapping[str, str]:
        """Return how each DOI wants to be cited, but for those that it does not know."""

    def download(self, entry: SeriesEntry, folder: Path) -> None:
        """Write the files of a series into an empty folder."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MaskedImage:
    """A CT series and the masks that refer to it."""

    image: SeriesEntry
    masks: tuple[SeriesEntry, ...]

    @property
    def series(self) -> tuple[SeriesEntry, ...]:
        """All series of it."""
        return (self.image, *self.masks)


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchPlan:
    """What will be fetched, decided before anything is.

    notes: what was left, and why.
    """

    collection: Collection
    version: str
    items: tuple[MaskedImage, ...] = field(repr=False)
    citations: Mapping[str, str] = field(repr=False)
    notes: tuple[str, ...] = ()

    @property
    def series(self) -> list[SeriesEntry]:
        """All series, image by image."""
        return [entry for item in self.items for entry in item.series]

    @property
    def size_mb(self) -> float:
        """The size of all files, in 10^6 bytes."""
        return sum(entry.size_mb for entry in self.series)

    @property
    def num_patients(self) -> int:
        """How many patients it shows."""
        return len({item.image.patient_id for item in self.items})


def find_collection(name: str) -> Collection:
    """Return a collection by its name.

    Raises:
        InputError: there is none of that name.
    """
    if name not in COLLECTIONS:
        raise InputError(f"no collection is called '{name}'.{suggestion(name, COLLECTIONS)}")
    return COLLECTIONS[name]


def plan_fetch(archive: Archive, collection: Collection, *, limit: int | None = None) -> FetchPlan:
    """Decide which CT series and masks are fetched; no image is downloaded.

    Masks are paired with the series that they refer to, never by patient or study.

    Args:
        limit: the most CT series; those whose masks are most trusted first, then by patient.

    Raises:
        InputError: limit is below 1, or the archive has no such masks.
        ArchiveError: the archive cannot be reached.
    """
    if limit is not None and limit < 1:
        raise InputError(f"--limit must be 1 or more, got {limit}.")
    masks = archive.masks(collection.condition)
    if not masks:
        raise InputError(
            f"the index {archive.version} has no masks of {collection.name}. Update idc-index: "
            'pip install --upgrade "breastseg[data]"'
        )
    items, notes = _pair(archive, collection, masks)
    items.sort(key=lambda item: (_trust(collection, item.masks[0]), *_order(item.image)))
    if limit is not None and len(items) > limit:
        notes.append(f"{len(items) - limit} more CT series were left: --limit {limit}.")
        items = items[:limit]
    dois = sorted({entry.doi for item in items for entry in item.series})
    return FetchPlan(
        collection=collection,
        version=archive.version,
        items=tuple(items),
        citations={doi: _plain(text) for doi, text in archive.citations(dois).items()},
        notes=tuple(notes),
    )


def _plain(citation: str) -> str:
    """Return a citation without the markup and line breaks of the index."""
    return " ".join(html.unescape(_TAG.sub("", citation)).split())


def _order(entry: SeriesEntry) -> tuple[str, str]:
    return entry.patient_id, entry.series_uid


def _trust(collection: Collection, mask: SeriesEntry) -> int:
    """Return how far from the most trusted reader a mask is."""
    description = mask.description.lower()
    places = [at for at, reader in enumerate(collection.readers) if reader in description]
    return places[0] if places else len(collection.readers)


def _pair(
    archive: Archive, collection: Collection, masks: Sequence[SeriesEntry]
) -> tuple[list[MaskedImage], list[str]]:
    drawn_on = archive.drawn_on(masks)
    images = {entry.series_uid: entry for entry in archive.series(sorted({*drawn_on.values()}))}
    masks_of: dict[str, list[SeriesEntry]] = defaultdict(list)
    lost = others = 0
    for mask in sorted(masks, key=_order):
        image = images.get(drawn_on.get(mask.series_uid, ""))
        if image is None:
            lost += 1
        elif image.modality != "CT":
            others += 1
        else:
            masks_of[image.series_uid].append(mask)
    kept = {uid: _most_trusted(collection, drawn) for uid, drawn in masks_of.items()}
    less = len(masks) - lost - others - sum(map(len, kept.values()))
    items = [MaskedImage(image=images[uid], masks=drawn) for uid, drawn in kept.items()]
    return items, list(_left(lost, others, less))


def _most_trusted(collection: Collection, masks: Sequence[SeriesEntry]) -> tuple[SeriesEntry, ...]:
    best = min(_trust(collection, mask) for mask in masks)
    return tuple(mask for mask in masks if _trust(collection, mask) == best)


def _left(lost: int, others: int, less: int) -> Iterable[str]:
    if lost:
        yield f"{lost} masks were left: the series that they refer to is not in the archive."
    if others:
        yield f"{others} masks were left: they were drawn on another modality than CT."
    if less:
        yield f"{less} masks were left: a more trusted reader has drawn on the same series."
