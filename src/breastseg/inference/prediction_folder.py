"""The folder that predictions are written to: what is in it, and whose results they are.

DIR/<case>/mask.png      0 outside and 255 inside lesions, the size of the image
DIR/<case>/overlay.png   the picture to look at
DIR/<case>/malignancy.png  where the score for malignant comes from, on request
DIR/<case>/lesions.json  the measures; written last, so that a case with it is complete
           of a CT volume: mask.nii.gz, overlay-1.png and so on, lesions.csv, report.html, and for
           DICOM seg.dcm, sr.dcm and overlay-1.dcm; probability.nii.gz where asked for
DIR/predictions.json     all cases of the last call, and those that failed
DIR/predictions.csv      the same as a table, one line per lesion
DIR/report.html          the page to look at
DIR/breastseg.log        what was done when
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from breastseg import __version__
from breastseg.core.calibration import Bounds, ClassProbability
from breastseg.core.errors import InputError
from breastseg.core.lesion import Lesion
from breastseg.inference.prediction_table import prediction_table
from breastseg.inference.segment import Prediction
from breastseg.io.atomic import make_folder, remove_file, write_bytes, write_json, write_text
from breastseg.io.raster import encode_png

if TYPE_CHECKING:
    from breastseg.inference.volume_finding import VolumeFinding

SCHEMA_VERSION = 1
INDEX_NAME = "predictions.json"
TABLE_NAME = "predictions.csv"
REPORT_NAME = "report.html"
MASK_NAME = "mask.png"
OVERLAY_NAME = "overlay.png"
MALIGNANCY_NAME = "malignancy.png"
LESIONS_NAME = "lesions.json"
FIRST_OVERLAY_NAME = "overlay-1.png"
PROBABILITY_NAME = "probability.nii.gz"

_MAX_NAME_BYTES = 255
_RESERVED = (INDEX_NAME, TABLE_NAME, REPORT_NAME, "breastseg.log")
Document = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Maker:
    """What results were made with: results of different makers are never mixed.

    fingerprint: of the model. threshold: a lesion is shown whose most probable pixel reaches it.
    notice: what every reader of its results must know of the model; None where nothing.
    """

    fingerprint: str
    recipe: str
    framework: str
    threshold: float
    notice: str | None = None

    def to_document(self) -> Document:
        """Return the fields that lesions.json and predictions.json begin with."""
        return {
            "schema_version": SCHEMA_VERSION,
            "model": {
                "fingerprint": self.fingerprint,
                "recipe": self.recipe,
                "framework": self.framework,
                "notice": self.notice,
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
    in_volume: whether the image is a CT volume.
    searched: of a volume, where lesions were looked for, a sentence each.
    classes: probability of each class of the whole image, with 4 digits; empty where the model
        tells none.
    bounds: what is guaranteed of the image, see _bounds_document; None where nothing.
    malignancy: of MalignancyMap.to_document; None where its picture was not asked for, or the
        model tells no such class.
    """

    case_id: str
    lesions: "tuple[Lesion | VolumeFinding, ...]"
    notes: tuple[str, ...] = ()
    reused: bool = False
    in_volume: bool = False
    searched: tuple[str, ...] = ()
    classes: ClassProbability = field(default_factory=dict)
    bounds: Document | None = None
    malignancy: Document | None = None

    @classmethod
    def from_document(cls, document: Document, *, reused: bool = False) -> "CaseResult":
        """Read a lesions.json.

        Raises:
            KeyError, TypeError, ValueError: it is none.
        """
        in_volume = document.get("dimensions") == 3
        kind = _volume_finding() if in_volume else Lesion
        return cls(
            case_id=document["case_id"],
            lesions=tuple(kind.from_document(lesion) for lesion in document["lesions"]),
            notes=tuple(document.get("notes", ())),
            reused=reused,
            in_volume=in_volume,
            searched=tuple(document.get("searched", ())),
            classes=dict(document.get("classes", {})),
            bounds=document.get("bounds"),
            malignancy=document.get("malignancy"),
        )

    def to_document(self) -> Document:
        """Return its part of predictions.json."""
        document: Document = {
            "case_id": self.case_id,
            "lesions": [lesion.to_document() for lesion in self.lesions],
            "notes": list(self.notes),
        }
        if self.classes:
            document["classes"] = dict(self.classes)
        for name, told in (("bounds", self.bounds), ("malignancy", self.malignancy)):
            if told is not None:
                document[name] = told
        return {**document, "searched": list(self.searched)} if self.in_volume else document


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

    def finished(
        self, case_id: str, sha256: str, *, also: tuple[str, ...] = ()
    ) -> CaseResult | None:
        """Return the result of a case that needs no prediction any more.

        Args:
            sha256: of the image.
            also: files that are wanted beside those that every case has.

        Raises:
            InputError: the result is that of another image with the same case id.
        """
        folder = self.path / case_id
        document = _read(folder / LESIONS_NAME)
        if document is None or not self.maker.made(document):
            return None
        try:
            made_from = document["image"]["sha256"]
            files = list(document.get("files", (MASK_NAME, OVERLAY_NAME)))
            files += [MALIGNANCY_NAME] if "malignancy" in document else []
            result = CaseResult.from_document(document, reused=True)
            # Older results do not say what was searched, and it was not the same.
            is_current = result.in_volume or {"scan_area", "drawn_px"} <= document["image"].keys()
        except (KeyError, TypeError, ValueError):
            return None
        if made_from != sha256:
            raise InputError(
                f"case '{case_id}': the result in {folder} was made from another image of that "
                "name. Choose another --output, or replace it with --overwrite."
            )
        is_whole = all((folder / name).is_file() for name in (*files, *also))
        return result if is_current and is_whole else None

    def write_case(
        self,
        prediction: Prediction,
        *,
        overlay: bytes,
        sha256: str,
        malignancy: bytes | None = None,
        notes: tuple[str, ...] = (),
    ) -> CaseResult:
        """Write the files of one case.

        Args:
            overlay: a PNG file. malignancy: another, where that was asked for.
            sha256: of the image file.
            notes: what a reader should know of the image.

        Raises:
            InputError: the case id cannot name a folder.
            OutputError: a file cannot be written.
        """
        folder = self.folder_of(prediction.case_id)
        make_folder(folder)
        mask = prediction.mask[0].astype(np.uint8) * np.uint8(255)
        write_bytes(folder / MASK_NAME, encode_png(mask))
        write_bytes(folder / OVERLAY_NAME, overlay)
        told = [*notes, *prediction.image.in_words()]
        document = {**self._case_document(prediction, sha256), "notes": told}
        # What an earlier call drew of another model must not stay beside this one's.
        remove_file(folder / MALIGNANCY_NAME)
        if malignancy is not None and prediction.malignancy is not None:
            write_bytes(folder / MALIGNANCY_NAME, malignancy)
            document["malignancy"] = prediction.malignancy.to_document()
        write_json(folder / LESIONS_NAME, document)
        return CaseResult.from_document(document)

    def folder_of(self, case_id: str) -> Path:
        """Return the folder of the results of a case.

        Raises:
            InputError: the case id cannot name a folder.
        """
        if len(case_id.encode()) > _MAX_NAME_BYTES or case_id in _RESERVED:
            raise InputError(
                f"case '{case_id}': a case id names the folder of its results, so it must not be "
                f"{' or '.join(_RESERVED)} and have at most {_MAX_NAME_BYTES} bytes, it has "
                f"{len(case_id.encode())}. Rename the file, or predict a folder nearer to it."
            )
        return self.path / case_id

    def _case_document(self, prediction: Prediction, sha256: str) -> Document:
        _, rows, columns = prediction.image.pixels.shape
        spacing, bounds = prediction.image.spacing_mm, prediction.bounds
        area, drawn = prediction.image.scan_area, prediction.image.drawn
        classes = {name: round(share, 4) for name, share in prediction.classes.items()}
        return {
            **self.maker.to_document(),
            "breastseg_version": __version__,
            "case_id": prediction.case_id,
            "image": {
                "sha256": sha256,
                "rows": rows,
                "columns": columns,
                "spacing_mm": None if spacing is None else list(spacing[1:]),
                "scan_area": None if area is None else area._asdict(),
                "drawn_px": 0 if drawn is None else int(drawn.sum()),
            },
            "lesions": [lesion.to_document() for lesion in prediction.lesions],
            **({"classes": classes} if classes else {}),
            **({"bounds": _bounds_document(bounds)} if bounds else {}),
        }

    def write_index(self, cases: Sequence[CaseResult], failures: Sequence[Failure]) -> None:
        """Write predictions.json and predictions.csv.

        Raises:
            OutputError: a file cannot be written.
        """
        document = {
            **self.maker.to_document(),
            "breastseg_version": __version__,
            "cases": [case.to_document() for case in cases],
            "failures": [asdict(failure) for failure in failures],
        }
        write_json(self.path / INDEX_NAME, document)
        failed = [(failure.case_id, failure.reason) for failure in failures]
        lines = [(case.case_id, case.lesions, case.classes) for case in cases]
        write_text(self.path / TABLE_NAME, prediction_table(lines, failed))


def _read(path: Path) -> Document | None:
    """Read a result; None where there is none, or none that a reader could use."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return document if isinstance(document, dict) else None


def _bounds_document(bounds: Bounds) -> Document:
    """Return the pixels inside the outer and the inner contour, null where there is none."""
    masks = {"outer_px": bounds.outer, "inner_px": bounds.inner}
    pixels = {name: None if mask is None else int(mask.sum()) for name, mask in masks.items()}
    return {**pixels, "abstains": bounds.abstains}


def _volume_finding() -> "type[VolumeFinding]":
    # Whoever predicts pictures need not wait for what volumes need.
    from breastseg.inference.volume_finding import VolumeFinding

    return VolumeFinding


def _fingerprint(document: Document) -> str | None:
    model = document.get("model")
    return model.get("fingerprint") if isinstance(model, dict) else None
