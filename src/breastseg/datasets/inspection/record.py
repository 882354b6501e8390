"""What is noted of one case. Its pixels are not kept, so that memory stays small."""

from dataclasses import dataclass, field
from typing import Any

from breastseg.core.errors import ImageFileError
from breastseg.datasets.cases import CaseFiles
from breastseg.datasets.inspection.findings import Finding
from breastseg.datasets.inspection.masks import MaskFacts, inspect_masks
from breastseg.datasets.inspection.pictures import PictureFacts, describe_picture
from breastseg.datasets.signatures import Signature, signature_of
from breastseg.io.raster import file_sha256, read_grey_and_colours


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One case. picture, signature, sha256: None where the image cannot be read.

    mask: None where there is none, or a wrong one. spacing_mm: of (row, column); picture
    files do not say it.
    """

    files: CaseFiles
    picture: PictureFacts | None = None
    spacing_mm: tuple[float, float] | None = None
    mask: MaskFacts | None = None
    signature: Signature | None = field(default=None, repr=False)
    sha256: str | None = None
    findings: tuple[Finding, ...] = ()

    @property
    def case_id(self) -> str:
        """Its case id."""
        return self.files.case_id

    def to_document(self) -> dict[str, Any]:
        """Return its row of inspection.json."""
        return {
            "case": self.case_id,
            "image": self.files.image_path.name,
            "class": self.files.label,
            "patient": self.files.patient_id,
            "fold": self.files.fold,
            "sha256": self.sha256,
            "spacing_mm": self.spacing_mm,
            "picture": None if self.picture is None else self.picture.to_document(),
            "lesion_areas_px": None if self.mask is None else list(self.mask.areas_px),
        }


def inspect_case(files: CaseFiles) -> Record:
    """Read a case and note what is wrong with it; nothing stops it."""
    try:
        grey, colours = read_grey_and_colours(files.image_path)
        sha256 = file_sha256(files.image_path)
    except ImageFileError as error:
        mask, findings = inspect_masks(files, None)
        unreadable = Finding(code="image-unreadable", cases=(files.case_id,), message=str(error))
        return Record(files=files, mask=mask, findings=(unreadable, *findings))
    picture = describe_picture(grey, colours)
    mask, findings = inspect_masks(files, (picture.num_rows, picture.num_columns))
    return Record(
        files=files,
        picture=picture,
        mask=mask,
        signature=signature_of(grey),
        sha256=sha256,
        findings=(*_of_picture(files.case_id, picture), *findings),
    )


def _of_picture(case_id: str, picture: PictureFacts) -> list[Finding]:
    """Return what is wrong with the picture itself or drawn into it."""
    marks = picture.marks
    found = {
        "image-blank": picture.lowest == picture.highest
        and f"All pixels have the value {picture.lowest:g}.",
        "doppler": marks.is_doppler and "A colour box or coloured flow.",
        "colour": marks.has_colour and f"{marks.coloured:.2%} of the pixels are coloured.",
        "calipers": marks.has_calipers and f"{marks.num_crosses} crosses.",
        "text": marks.has_text and f"A row of at least {marks.num_letters} letters.",
    }
    if found["doppler"]:
        found["colour"] = False
    return [
        Finding(code=code, cases=(case_id,), message=message)
        for code, message in found.items()
        if message
    ]
