"""The Imaging Data Commons, by its package idc-index: the only module that sees it.

The index of series ships with the package. Which series a mask refers to stands in two small
tables, seg_index and rtstruct_index, that are downloaded once and kept where idc-index keeps
them.
"""

import logging
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from breastseg.core.errors import ArchiveError, MissingExtraError
from breastseg.datasets.public_ct import SeriesEntry

try:
    import duckdb
    import idc_index_data
except ImportError as error:
    raise MissingExtraError(
        f'idc-index is not installed ({error}). Install it with: pip install "breastseg[data]"'
    ) from None

_COLUMNS = (
    "SeriesInstanceUID, PatientID, Modality, coalesce(SeriesDescription, ''), instanceCount, "
    "series_size_MB, license_short_name, source_DOI"
)
# The table of each kind of mask, and its column with the series that the mask refers to.
_REFERENCES = {
    "SEG": ("seg_index", "segmented_SeriesInstanceUID"),
    "RTSTRUCT": ("rtstruct_index", "referenced_SeriesInstanceUID"),
}


class IdcArchive:
    """The archive as the installed index describes it; see public_ct.Archive."""

    def __init__(self) -> None:
        # Read by DuckDB from the file: idc-index itself would load it all, in 11 s and 1.7 GB.
        self._index = str(idc_index_data.IDC_INDEX_PARQUET_FILEPATH)
        self._connection = duckdb.connect()

    @property
    def version(self) -> str:
        """The version of the index, such as "25.0.5"."""
        return str(idc_index_data.__version__)

    def masks(self, condition: str) -> list[SeriesEntry]:
        """Return the series that an SQL condition chooses."""
        return self._entries(condition, [])

    def series(self, uids: Sequence[str]) -> list[SeriesEntry]:
        """Return the series of those UIDs, but for those that it does not have."""
        if not uids:
            return []
        places = ", ".join("?" for _ in uids)
        return self._entries(f"SeriesInstanceUID IN ({places})", [*uids])

    def _entries(self, condition: str, values: list[str]) -> list[SeriesEntry]:
        rows = self._connection.execute(
            f"SELECT {_COLUMNS} FROM read_parquet(?) WHERE {condition} ORDER BY SeriesInstanceUID",
            [self._index, *values],
        ).fetchall()
        return [_entry(row) for row in rows]

    def drawn_on(self, masks: Sequence[SeriesEntry]) -> dict[str, str]:
        """Return the UID of the series that each mask refers to, by the mask's series UID.

        Raises:
            ArchiveError: the table of the references cannot be downloaded.
        """
        found: dict[str, str] = {}
        for modality, (table, column) in _REFERENCES.items():
            uids = [mask.series_uid for mask in masks if mask.modality == modality]
            if not uids:
                continue
            rows = self._connection.execute(
                f"SELECT SeriesInstanceUID, {column} FROM read_parquet(?) WHERE {column} IS NOT "
                f"NULL AND SeriesInstanceUID IN ({', '.join('?' for _ in uids)})",
                [str(self._table(table)), *uids],
            ).fetchall()
            found |= {str(mask): str(image) for mask, image in rows}
        return found

    def _table(self, name: str) -> Path:
        try:
            self._client.fetch_index(name)
        except Exception as error:
            raise ArchiveError(_unreachable(f"its table {name}", error)) from None
        path = self._client.indices_overview[name]["file_path"]
        if not path or not Path(path).is_file():
            raise ArchiveError(_unreachable(f"its table {name}", None))
        return Path(path)

    @cached_property
    def _client(self) -> Any:
        """Return the client of idc-index, which reads the whole index."""
        root = logging.getLogger()
        handlers, level = list(root.handlers), root.level
        from idc_index.index import IDCClient

        # The import sets up the root logger, which would print our messages twice.
        root.handlers, root.level = handlers, level
        logging.getLogger("idc_index").setLevel(logging.ERROR)
        return IDCClient.client()

    def citations(self, dois: Sequence[str]) -> dict[str, str]:
        """Return how each DOI wants to be cited, but for those that it does not know."""
        path = idc_index_data.INDEX_METADATA["collections_index"]["parquet_filepath"]
        rows = self._connection.execute(
            "SELECT DISTINCT source.source_doi, source.citation FROM "
            "(SELECT unnest(sources) AS source FROM read_parquet(?))",
            [str(path)],
        ).fetchall()
        known = {str(doi).lower(): str(citation) for doi, citation in rows if citation}
        return {doi: known[doi.lower()] for doi in dois if doi.lower() in known}

    def download(self, entry: SeriesEntry, folder: Path) -> None:
        """Write the files of a series into an empty folder.

        Raises:
            ArchiveError: the archive cannot be reached.
        """
        try:
            self._client.download_from_selection(
                downloadDir=str(folder),
                seriesInstanceUID=[entry.series_uid],
                dirTemplate=None,
                show_progress_bar=False,
            )
        # idc-index, requests and s5cmd have errors of their own.
        except Exception as error:
            raise ArchiveError(_unreachable("a series", error)) from None


def _entry(row: tuple[Any, ...]) -> SeriesEntry:
    uid, patient, modality, description, count, size, licence, doi = row
    return SeriesEntry(
        series_uid=str(uid),
        patient_id=str(patient),
        modality=str(modality),
        description=str(description),
        num_files=int(count),
        size_mb=float(size),
        licence=str(licence),
        doi=str(doi),
    )


def _unreachable(what: str, error: Exception | None) -> str:
    reason = "it did not answer" if error is None else f"{type(error).__name__}: {error}"
    return (
        f"the Imaging Data Commons did not send {what} ({reason}). It needs access to "
        "github.com and s3.amazonaws.com; the same command goes on where it stopped."
    )
