"""The index that idc-index ships, queried without a network; tables and downloads are stand-ins.

Skipped without the extra `data`: pip install "breastseg[data]".
"""

import inspect
import logging
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

duckdb = pytest.importorskip("duckdb", reason='needs pip install "breastseg[data]"')
pytest.importorskip("idc_index_data", reason='needs pip install "breastseg[data]"')

from breastseg.core.errors import ArchiveError  # noqa: E402
from breastseg.datasets.idc_archive import IdcArchive  # noqa: E402
from breastseg.datasets.public_ct import COLLECTIONS, plan_fetch  # noqa: E402


@pytest.fixture(scope="module")
def archive() -> IdcArchive:
    return IdcArchive()


def test_the_index_has_what_the_catalogue_says(archive: IdcArchive) -> None:
    """Index 25.0.5; later ones may have more."""
    eay131 = archive.masks(COLLECTIONS["eay131-breast"].condition)
    assert len(eay131) >= 66
    assert len({mask.patient_id for mask in eay131}) >= 55
    assert {mask.licence for mask in eay131} == {"CC BY 4.0"}
    assert not any("SEED" in mask.description.upper() for mask in eay131)
    qin = archive.masks(COLLECTIONS["qin-breast"].condition)
    assert len({mask.patient_id for mask in qin}) >= 43
    described = [mask.description for mask in qin]
    assert sum("radiologist" in each for each in described) >= 7
    assert sum("non-expert" in each for each in described) >= 6


def test_a_plan_over_the_shipped_index_with_a_table_of_references(
    archive: IdcArchive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    masks = archive.masks(COLLECTIONS["qin-breast"].condition)
    index = archive._index
    rows = duckdb.execute(
        "SELECT m.SeriesInstanceUID, min(i.SeriesInstanceUID) FROM read_parquet(?) m "
        "JOIN read_parquet(?) i USING (StudyInstanceUID) WHERE i.Modality = 'CT' AND "
        "m.collection_id = 'qin_breast' AND m.Modality = 'SEG' GROUP BY 1",
        [index, index],
    ).fetchall()
    path = tmp_path / "seg_index.parquet"
    connection = duckdb.connect()
    connection.execute(
        "CREATE TABLE t (SeriesInstanceUID VARCHAR, segmented_SeriesInstanceUID VARCHAR)"
    )
    connection.executemany("INSERT INTO t VALUES (?, ?)", rows)
    connection.execute(f"COPY t TO '{path}' (FORMAT PARQUET)")
    monkeypatch.setattr(archive, "_table", lambda name: {"seg_index": path}[name])
    plan = plan_fetch(archive, COLLECTIONS["qin-breast"], limit=9)
    assert len(plan.items) == 9
    assert all("radiologist" in item.masks[0].description for item in plan.items[:7])
    assert {item.image.modality for item in plan.items} == {"CT"}
    assert len(plan.citations) == 2
    assert any(text.startswith("Li, X., Abramson") for text in plan.citations.values())
    assert len(masks) >= 123


def test_downloads_call_idc_index_as_it_wants_to_be_called(
    archive: IdcArchive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from idc_index import IDCClient

    asked: dict[str, Any] = {}

    def download_from_selection(**arguments: Any) -> None:
        inspect.signature(IDCClient.download_from_selection).bind(None, **arguments)
        asked.update(arguments)

    fake = SimpleNamespace(download_from_selection=download_from_selection)
    monkeypatch.setattr(IdcArchive, "_client", fake)
    mask = archive.masks(COLLECTIONS["eay131-breast"].condition)[0]
    archive.download(mask, tmp_path)
    assert asked["seriesInstanceUID"] == [mask.series_uid]
    assert asked["downloadDir"] == str(tmp_path)


def test_an_archive_that_cannot_be_reached_is_said_so(
    archive: IdcArchive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unreachable(*names: str, **more: Any) -> None:
        raise ConnectionError("no route")

    fake = SimpleNamespace(fetch_index=unreachable, download_from_selection=unreachable)
    monkeypatch.setattr(IdcArchive, "_client", fake)
    masks = archive.masks(COLLECTIONS["eay131-breast"].condition)
    with pytest.raises(ArchiveError, match=r"seg_index.*no route"):
        archive.drawn_on(masks)
    with pytest.raises(ArchiveError, match=r"a series.*no route"):
        archive.download(masks[0], tmp_path)


def test_a_table_that_did_not_arrive_is_no_table(
    archive: IdcArchive, monkeypatch: pytest.MonkeyPatch
) -> None:
    overview = {"seg_index": {"file_path": None}}
    fake = SimpleNamespace(fetch_index=lambda name: None, indices_overview=overview)
    monkeypatch.setattr(IdcArchive, "_client", fake)
    with pytest.raises(ArchiveError, match="did not answer"):
        archive._table("seg_index")


def test_the_import_leaves_the_logging_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    import idc_index

    monkeypatch.setattr(idc_index.IDCClient, "client", classmethod(lambda cls: "client"))
    before = list(logging.getLogger().handlers)
    assert IdcArchive()._client == "client"
    assert logging.getLogger().handlers == before
