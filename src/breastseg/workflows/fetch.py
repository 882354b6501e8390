"""breastseg data: public CT with tumour masks, listed and fetched."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from breastseg.datasets.fetch import SOURCES, fetch, missing_series
from breastseg.datasets.public_ct import (
    COLLECTIONS,
    Archive,
    FetchPlan,
    find_collection,
    plan_fetch,
)
from breastseg.workflows.progress import Reading, silent_reading

__all__ = ["SOURCES", "Fetch", "list_collections", "prepare_fetch"]


def list_collections() -> list[dict[str, Any]]:
    """Return the collections that can be fetched, in plain values."""
    return [
        {
            "name": each.name,
            "title": each.title,
            "content": each.content,
            "licence": each.licence,
        }
        for each in COLLECTIONS.values()
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetch:
    """A download that is planned and not begun; run() does it."""

    plan: FetchPlan
    archive: Archive
    output: Path

    @property
    def missing_mb(self) -> float:
        """How much is still to be downloaded, in 10^6 bytes."""
        return sum(entry.size_mb for entry, _ in missing_series(self.plan, self.output))

    def to_document(self) -> dict[str, Any]:
        """Return what it would do, in plain values."""
        return {
            "collection": self.plan.collection.name,
            "index": self.plan.version,
            "cases": len(self.plan.items),
            "patients": self.plan.num_patients,
            "size_mb": round(self.plan.size_mb, 1),
            "missing_mb": round(self.missing_mb, 1),
            "licences": sorted({entry.licence for entry in self.plan.series}),
            "notes": list(self.plan.notes),
            "output": str(self.output),
        }

    def run(self, reading: Reading | None = None) -> int:
        """Download what is missing; return the number of series.

        Raises:
            ArchiveError: the archive cannot be reached; the same call goes on.
            OutputError: the folder cannot be written, or the disk is too small.
        """
        return fetch(self.plan, self.archive, self.output, reading or silent_reading)


def prepare_fetch(
    name: str, output: Path, *, limit: int | None = None, archive: Archive | None = None
) -> Fetch:
    """Plan the download of a collection; no image is downloaded yet.

    Args:
        name: eay131-breast or qin-breast.
        output: the folder; what it holds already is not downloaded again.
        limit: the most CT series.
        archive: the Imaging Data Commons by default.

    Raises:
        InputError: there is no such collection, or limit is below 1.
        MissingExtraError: idc-index is not installed.
        ArchiveError: the archive cannot be reached.
    """
    collection = find_collection(name)
    archive = archive or _archive()
    plan = plan_fetch(archive, collection, limit=limit)
    return Fetch(plan=plan, archive=archive, output=output)


def _archive() -> Archive:
    from breastseg.datasets.idc_archive import IdcArchive

    return IdcArchive()
