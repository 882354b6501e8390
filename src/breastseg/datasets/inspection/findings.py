"""What an inspection can find: one table of codes, for the page, the terminal and the docs."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class Severity(StrEnum):
    """How bad a finding is.

    SPOILS: training refuses it, or a score would be wrong. LOOK: a person should decide.
    NOTE: good to know.
    """

    SPOILS = "spoils"
    LOOK = "look"
    NOTE = "note"


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of finding. meaning: of a headline. fix: what to do about it."""

    severity: Severity
    meaning: str
    fix: str


_SPOILS, _LOOK, _NOTE = Severity.SPOILS, Severity.LOOK, Severity.NOTE

KINDS: dict[str, Kind] = {
    # files and layout
    "image-unreadable": Kind(
        _SPOILS, "An image cannot be read", "Copy it again, or remove it with its mask."
    ),
    "image-blank": Kind(
        _SPOILS, "An image shows nothing: all pixels have one value", "Export it again."
    ),
    "file-name": Kind(
        _SPOILS, "A file's name does not fit the layout", "Rename, convert or remove it."
    ),
    "case-id-twice": Kind(_SPOILS, "Two images have the same case id", "Rename one."),
    "no-masks": Kind(
        _SPOILS,
        "The folder has pictures, but no masks in a known layout",
        "Lay it out as docs/how-to/bring-your-own-data.md says, to train on it.",
    ),
    # masks
    "mask-missing": Kind(
        _SPOILS, "An image has no mask", "Add one, all black where there is no lesion."
    ),
    "mask-without-image": Kind(_SPOILS, "A mask has no image", "Add the image or remove the mask."),
    "mask-ambiguous": Kind(
        _SPOILS,
        "It is not clear which mask belongs to which image",
        "Rename or merge, so that each image has its own.",
    ),
    "mask-unreadable": Kind(_SPOILS, "A mask cannot be read", "Copy or export it again."),
    "mask-grey": Kind(
        _SPOILS,
        "A mask has more than two values",
        "Cut it at a threshold and save it as PNG.",
    ),
    "mask-size": Kind(
        _SPOILS, "A mask has another size than its image", "Export it on the grid of the image."
    ),
    "mask-against-class": Kind(
        _SPOILS,
        "The class says lesion and the mask is empty, or the class says normal and it is not",
        "Mend the class or the mask.",
    ),
    "mask-empty": Kind(
        _NOTE, "A mask is empty", "Right if a reader found no lesion: it counts as lesion-free."
    ),
    "mask-tiny": Kind(
        _LOOK, "A lesion is a few pixels only", "Remove it if it is a slip of the pen."
    ),
    "mask-huge": Kind(
        _LOOK, "A mask covers most of the image", "See whether it is inverted or a box."
    ),
    "mask-holes": Kind(
        _LOOK, "A lesion has holes", "Fill them if the reader drew only the outline."
    ),
    "mask-parts": Kind(
        _LOOK,
        "A mask falls into more parts than expected, or has specks",
        "Remove specks; give each lesion a file or a part of its own.",
    ),
    "mask-border": Kind(
        _NOTE,
        "A lesion touches the border of the image",
        "Nothing to do if the scan was cut there: its size is then a lower bound.",
    ),
    # CT series and their masks
    "series-refused": Kind(
        _SPOILS, "A CT series cannot be read as a volume", "Do what the message says."
    ),
    "mask-refused": Kind(
        _SPOILS, "A mask file does not belong to its series", "Do what the message says."
    ),
    "structure-refused": Kind(
        _LOOK,
        "A segment or ROI cannot be brought onto its series",
        "Do what the message says; nothing, if it is no lesion: choose others by --label.",
    ),
    "lesions-unnamed": Kind(
        _LOOK,
        "Nothing says which segments or ROIs are lesions",
        "Name them in lesions.json beside the data, to train or score on it; see "
        "docs/how-to/bring-your-own-data.md.",
    ),
    "mask-note": Kind(
        _NOTE, "A mask was read, with a remark", "See docs/reference/masks.md for the rules."
    ),
    "series-note": Kind(_NOTE, "A series was read, with a remark", "Nothing, as a rule."),
    # near duplicates
    "near-duplicates": Kind(
        _LOOK,
        "Images show nearly the same picture",
        "breastseg never divides them between parts; a split at random would leak.",
    ),
    "duplicates-in-two-classes": Kind(
        _SPOILS, "The same picture is in two classes", "Find out which is right, and mend or drop."
    ),
    "duplicates-with-other-masks": Kind(
        _SPOILS,
        "The same picture has masks that disagree",
        "Keep the better mask: a model cannot be right on both.",
    ),
    "duplicates-across-patients": Kind(
        _SPOILS,
        "The same picture belongs to two patients",
        "Give them one patient, or drop one: a split by patient would leak.",
    ),
    "duplicates-across-folds": Kind(
        _SPOILS,
        "The same picture is in two published folds",
        "Do not use these folds: a score by them leaks.",
    ),
    # what is drawn into pictures
    "doppler": Kind(
        _LOOK,
        "Doppler: a colour box or coloured flow",
        "Decide whether such images belong to the data: the network may learn the box.",
    ),
    "colour": Kind(
        _LOOK,
        "Coloured marks in a grey image",
        "Colour becomes luminance: marks stay visible. Use the unmarked frame if there is one.",
    ),
    "calipers": Kind(
        _LOOK,
        "Calipers: crosses that a reader has set",
        "They give the lesion away: score images with and without them apart, or use the "
        "unmarked frame.",
    ),
    "text": Kind(
        _LOOK,
        "Burnt-in text",
        "See that it names nobody before you share images; crop it where it matters.",
    ),
    # not what the rest is
    "odd-size": Kind(_LOOK, "A size or shape unlike the rest", "See whether it is a whole scan."),
    "odd-brightness": Kind(_LOOK, "Much darker or brighter than the rest", "Look at it."),
    "odd-contrast": Kind(_LOOK, "Much flatter or harsher than the rest", "Look at it."),
    "odd-sharpness": Kind(_LOOK, "Much smoother or noisier than the rest", "Look at it."),
    "odd-range": Kind(
        _LOOK, "Another range of grey values than the rest", "Export all with the same depth."
    ),
    # tables
    "table-row-twice": Kind(_SPOILS, "Two rows of a table are of one image", "Remove one."),
    "table-no-row": Kind(
        _SPOILS, "An image has no row with its patient", "Add the row or remove the image."
    ),
    "table-no-fold": Kind(_SPOILS, "An image has no published fold", "Mend the row."),
    "table-fold-parts-patient": Kind(
        _SPOILS,
        "A published fold has one patient on both sides",
        "Do not split by this column: breastseg takes kFold, or patients.",
    ),
    "table-classes": Kind(_SPOILS, "Two tables give one image two classes", "Mend one."),
    "table-size": Kind(
        _LOOK, "A table gives another size than the image has", "Trust the image's own size."
    ),
    "table-box": Kind(
        _LOOK, "A table's bounding box is not that of the mask", "Trust the mask, or mend the row."
    ),
    "table-no-image": Kind(_NOTE, "Rows of a table have no image", "Nothing, if it is a part."),
    # the whole
    "no-patients": Kind(
        _NOTE,
        "No patient ids",
        "Views of one patient that do not resemble each other cannot be kept together.",
    ),
    "few-cases": Kind(
        _LOOK, "A class has too few images to be scored", "Add some, or read no figure by class."
    ),
}
"""Every kind of finding by its code, in the order in which they are shown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that was found.

    code: of KINDS. cases: ids; empty where it is about the whole. message: what was found,
        with the file where there is one.
    """

    code: str
    cases: tuple[str, ...]
    message: str

    @property
    def kind(self) -> Kind:
        """What its code means."""
        return KINDS[self.code]

    def to_document(self) -> dict[str, Any]:
        """Return what inspection.json says of it."""
        return {
            "severity": self.kind.severity.value,
            "code": self.code,
            "cases": list(self.cases),
            "meaning": self.kind.meaning,
            "message": self.message,
            "fix": self.kind.fix,
        }


def any_spoils(findings: Iterable[Finding]) -> bool:
    """Whether one of the findings would spoil a result."""
    return any(finding.kind.severity is Severity.SPOILS for finding in findings)


def in_order(findings: Iterable[Finding]) -> list[Finding]:
    """Sort findings: what spoils first, then by code as in KINDS; else they keep their order."""
    place = {code: number for number, code in enumerate(KINDS)}
    severities = list(Severity)

    def key(finding: Finding) -> tuple[int, int]:
        return severities.index(finding.kind.severity), place[finding.code]

    return sorted(findings, key=key)
