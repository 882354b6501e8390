"""A stand-in for the Imaging Data Commons that sends made-up CT series and masks."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from breastseg.core.errors import ArchiveError
from breastseg.datasets.public_ct import SeriesEntry
from tests.dicom_masks import square, uid_of, write_ct, write_rtstruct


def entry(name: str, modality: str = "CT", description: str = "", **more: object) -> SeriesEntry:
    """Return a series of the index; a mask of the CT of the same name by its modality."""
    known = {
        "series_uid": uid_of("series", name, name) if modality == "CT" else uid_of(modality, name),
        "patient_id": f"P-{name}",
        "num_files": 5 if modality == "CT" else 1,
        "size_mb": 40.0 if modality == "CT" else 1.5,
        "licence": "CC BY 4.0",
        "doi": "10.1/images" if modality == "CT" else "10.1/masks",
    }
    return SeriesEntry(modality=modality, description=description, **(known | more))  # type: ignore[arg-type]


@dataclass
class FakeArchive:
    """An archive of CT series by their names, each with a mask.

    fails_at: the number of the download, from 1, that does not arrive.
    sends_less: whether a file of each series is lost on the way.
    """

    names: Sequence[str] = ("a", "b", "c")
    descriptions: Mapping[str, str] = field(default_factory=dict)
    references: Mapping[str, str] | None = None
    others: Sequence[SeriesEntry] = ()
    fails_at: int | None = None
    sends_less: bool = False
    downloaded: list[str] = field(default_factory=list)
    version: str = "0.0.1"

    def masks(self, condition: str) -> list[SeriesEntry]:
        assert condition
        return [
            *(entry(n, "RTSTRUCT", self.descriptions.get(n, "breast")) for n in self.names),
            *(each for each in self.others if each.modality != "PT" and each.modality != "CT"),
        ]

    def series(self, uids: Sequence[str]) -> list[SeriesEntry]:
        known = [entry(name) for name in self.names]
        known += [each for each in self.others if each.modality in ("CT", "PT")]
        return [each for each in known if each.series_uid in uids]

    def drawn_on(self, masks: Sequence[SeriesEntry]) -> Mapping[str, str]:
        usual = {uid_of("RTSTRUCT", n): uid_of("series", n, n) for n in self.names}
        return usual | dict(self.references or {})

    def citations(self, dois: Sequence[str]) -> Mapping[str, str]:
        return {"10.1/masks": "Reader, A., &amp; B. (2026).\n<i>Masks</i>."}

    def download(self, wanted: SeriesEntry, folder: Path) -> None:
        assert not list(folder.iterdir())
        self.downloaded.append(wanted.series_uid)
        if self.fails_at == len(self.downloaded):
            (folder / "half.dcm").write_bytes(b"half")
            raise ArchiveError("the network is down")
        name = wanted.patient_id.removeprefix("P-")
        if wanted.modality == "CT":
            write_ct(folder, name=name, patient=name)
        else:
            with TemporaryDirectory() as scratch:
                series = write_ct(Path(scratch), name=name, patient=name)
                tumour = [square(place, 2.5, 7.5) for place in (1, 2, 3)]
                write_rtstruct(folder / "rt.dcm", series, {"tumour": tumour})
        if self.sends_less:
            next(folder.iterdir()).unlink()
