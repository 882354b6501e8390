"""The folder that predictions are written to: what is in it, and whose results they are.

DIR/<case>/mask.png      0 outside and 255 inside lesions, the size of the image
DIR/<case>/overlay.png   the picture to look at
DIR/<case>/lesions.json  the measures; written last, so that a case with it is complete
DIR/predictions.json     all cases of the last call, and those that failed
DIR/predictions.csv      the same as a table, one line per lesion
DIR/report.html          the page to look at
DIR/breastseg.log        what was done when
"""

import csv
import io
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from breastseg import __version__
from breastseg.core.errors import InputError
from breastseg.core.lesion import Lesion
from breastseg.inference.segment import Prediction
from breastseg.io.atomic import make_folder, write_bytes, write_json, write_text
from breastseg.io.raster import encode_png

SCHEMA_VERSION = 1
INDEX_NAME = "predictions.json"
TABLE_NAME = "predictions.csv"
REPORT_NAME = "report.html"
MASK_NAME = "mask.png"
OVERLAY_NAME = "overlay.png"
LESIONS_NAME = "lesions.json"

_MAX_NAME_BYTES = 255
_RESERVED = (INDEX_NAME, TABLE_NAME, REPORT_NAME, "breastseg.log")
_EDGES = ("row_start", "column_start", "row_stop", "column_stop")
_MEASURES = (
    "probability",
    "area_px",
    "area_mm2",
    "long_axis_px",
    "long_axis_mm",
    "short_axis_px",
    "short_axis_mm",
)

Document = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Maker:
    """What results were made with: results of different makers are never mixed.

    fingerprint: of the model. threshold: pixels at or above it are lesion.
    """

    fingerprint: str
    recipe: str
    framework: str
    threshold: float

    def to_document(self) -> Document:
        """Return the fields that lesions.json and predictions.json begin with."""
        return {
            "schema_version": SCHEMA_VERSION,
            "model": {
                "fingerprint": self.fingerprint,
                "recipe": self.recipe,
                "framework": self.framework,
            },
            "threshold": self.threshold,
        }

    def made(self, document: Document) -> bool:
        """Whether a document says that this model and threshold made it."""
        ours = self.to_document()
        same_model = _fingerprint(document) == self.fingerprint
        return same_model and all(
            document.get(name) == ours[name] for name in ("schema_version", "threshold")
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseResult:
    """One case that is complete in the folder.

    lesions: as lesions.json has them, with 4 digits.
    notes: what a reader should know of the image, such as burnt-in text.
    reused: whether it was there already.
    """

    case_id: str
    lesions: tuple[Lesion, ...]
    notes: tuple[str, ...] = ()
    reused: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """One case without a result, and why."""

    case_id: str
    reason: str


@dataclass(frozen=True, slots=True)
class PredictionFolder:
    """A prediction folder, existing or to be made, for the results of one maker."""

    path: Path
    maker: Maker

    def refuse_others(self, case_ids: Iterable[str]) -> None:
        """Refuse to go on where results of another model or threshold would be replaced.

        Raises:
            InputError: it names the first such file.
        """
        files = [self.path / INDEX_NAME]
        files += [self.path / case_id / LESIONS_NAME for case_id in case_ids]
        for file in files:
            document = _read(file)
            if document is not None and not self.maker.made(document):
                raise InputError(
                    f"{file}: expected results of the model {self.maker.fingerprint} at the "
                    f"threshold {self.maker.threshold:g}, found those of {_fingerprint(document)} "
                    f"at {document.get('threshold')}. Choose another --output, or replace them "
                    "with --overwrite."
                )

    def finished(self, case_id: str, sha256: str) -> CaseResult | None:
        """Return the result of a case that needs no prediction any more.

        Args:
            sha256: of the image file.

        Raises:
            InputError: the result is that of another image with the same case id.
        """
        folder = self.path / case_id
        document = _read(folder / LESIONS_NAME)
        if document is None or not self.maker.made(document):
            return None
        try:
            made_from = document["image"]["sha256"]
            lesions = tuple(Lesion.from_document(lesion) for lesion in document["lesions"])
            notes = tuple(document.get("notes", ()))
        except (KeyError, TypeError):
            return None
        if made_from != sha256:
            raise InputError(
                f"case '{case_id}': the result in {folder} was made from another image of that "
                "name. Choose another --output, or replace it with --overwrite."
            )
        if not all((folder / name).is_file() for name in (MASK_NAME, OVERLAY_NAME)):
            return None
        return CaseResult(case_id=case_id, lesions=lesions, notes=notes, reused=True)

    def write_case(
        self, prediction: Prediction, *, overlay: bytes, sha256: str, notes: tuple[str, ...] = ()
    ) -> CaseResult:
        """Write the files of one case.

        Args:
            overlay: a PNG file.
            sha256: of the image file.
            notes: what a reader should know of the image.

        Raises:
            InputError: the case id cannot name a folder.
            OutputError: a file cannot be written.
        """
        folder = self._folder_of(prediction.case_id)
        make_folder(folder)
        mask = prediction.mask[0].astype(np.uint8) * np.uint8(255)
        write_bytes(folder / MASK_NAME, encode_png(mask))
        write_bytes(folder / OVERLAY_NAME, overlay)
        document = {**self._case_document(prediction, sha256), "notes": list(notes)}
        write_json(folder / LESIONS_NAME, document)
        lesions = tuple(Lesion.from_document(lesion) for lesion in document["lesions"])
        return CaseResult(case_id=prediction.case_id, lesions=lesions, notes=notes)

    def _folder_of(self, case_id: str) -> Path:
        if len(case_id.encode()) > _MAX_NAME_BYTES or case_id in _RESERVED:
            raise InputError(
                f"case '{case_id}': a case id names the folder of its results, so it must not be "
                f"{' or '.join(_RESERVED)} and have at most {_MAX_NAME_BYTES} bytes, it has "
                f"{len(case_id.encode())}. Rename the file, or predict a folder nearer to it."
            )
        return self.path / case_id

    def _case_document(self, prediction: Prediction, sha256: str) -> Document:
        _, rows, columns = prediction.image.pixels.shape
        spacing = prediction.image.spacing_mm
        return {
            **self.maker.to_document(),
            "breastseg_version": __version__,
            "case_id": prediction.case_id,
            "image": {
                "sha256": sha256,
                "rows": rows,
                "columns": columns,
                "spacing_mm": None if spacing is None else list(spacing[1:]),
            },
            "lesions": [lesion.to_document() for lesion in prediction.lesions],
        }

    def write_index(self, cases: Sequence[CaseResult], failures: Sequence[Failure]) -> None:
        """Write predictions.json and predictions.csv.

        Raises:
            OutputError: a file cannot be written.
        """
        document = {
            **self.maker.to_document(),
            "breastseg_version": __version__,
            "cases": [
                {
                    "case_id": case.case_id,
                    "lesions": [lesion.to_document() for lesion in case.lesions],
                    "notes": list(case.notes),
                }
                for case in cases
            ],
            "failures": [asdict(failure) for failure in failures],
        }
        write_json(self.path / INDEX_NAME, document)
        write_text(self.path / TABLE_NAME, _table(cases, failures))


def _read(path: Path) -> Document | None:
    """Read a result; None where there is none, or none that a reader could use."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return document if isinstance(document, dict) else None


def _fingerprint(document: Document) -> str | None:
    model = document.get("model")
    return model.get("fingerprint") if isinstance(model, dict) else None


def _table(cases: Sequence[CaseResult], failures: Sequence[Failure]) -> str:
    """One line per lesion; a case without lesion and a failed case have one line each."""
    buffer = io.StringIO()
    writer = csv.DictWriter(
        buffer, ("case_id", "status", "lesion", *_MEASURES, *_EDGES, "reason"), lineterminator="\n"
    )
    writer.writeheader()
    for case in cases:
        if not case.lesions:
            writer.writerow({"case_id": case.case_id, "status": "no lesion"})
        writer.writerows(_line(case.case_id, lesion) for lesion in case.lesions)
    for failure in failures:
        writer.writerow({"case_id": failure.case_id, "status": "failed", "reason": failure.reason})
    return buffer.getvalue()


def _line(case_id: str, lesion: Lesion) -> Document:
    document = lesion.to_document()
    measures = {name: document[name] for name in _MEASURES}
    edges = dict(zip(_EDGES, lesion.bounding_box, strict=True))
    return {
        "case_id": case_id,
        "status": "lesion",
        "lesion": lesion.number,
        **measures,
        **edges,
    }
