"""What can be wrong with the masks of one image."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool
from scipy import ndimage

from breastseg.core.errors import ImageFileError, ReferenceMaskError
from breastseg.datasets.cases import CaseFiles
from breastseg.datasets.inspection.findings import Finding
from breastseg.io.raster import read_mask

Mask = Bool[np.ndarray, "rows columns"]

_TINY_SHARE, _TINY_PIXELS = 2e-4, 16
_HUGE_SHARE = 0.7
_SPECK_SHARE = 0.01
_MAX_PARTS = 5
_MIN_HOLE = 4
_WITHOUT_LESION = "normal"
_EIGHT_NEIGHBOURS = np.ones((3, 3))


@dataclass(frozen=True, slots=True, kw_only=True)
class MaskFacts:
    """What is measured of the masks of an image.

    areas_px: of the lesions, as the layout counts them. share: of the image that is lesion.
    box: (left, top, width, height) of all lesions; None where there is none.
    """

    areas_px: tuple[int, ...]
    share: float
    box: tuple[int, int, int, int] | None


def inspect_masks(
    files: CaseFiles, size: tuple[int, int] | None
) -> tuple[MaskFacts | None, list[Finding]]:
    """Read and judge the masks of an image.

    Args:
        files: of the case.
        size: rows and columns of the image; None where it could not be read.

    Returns:
        Their measures, None where a mask is missing or wrong; and what was found.
    """
    if files.mask_paths is None:
        return None, []
    masks, findings = [], []
    for path in files.mask_paths:
        try:
            mask = read_mask(path, lesion_values=files.lesion_values)
        except (ImageFileError, ReferenceMaskError) as error:
            is_grey = isinstance(error, ReferenceMaskError)
            findings.append(_finding(files, "mask-grey" if is_grey else "mask-unreadable", error))
            continue
        if size is not None and mask.shape != size:
            message = f"{path}: the mask is {mask.shape}, its image {size} (rows, columns)."
            findings.append(_finding(files, "mask-size", message))
            continue
        masks.append(mask)
        findings += [_finding(files, *each) for each in _faults(mask, path.name, files)]
    if len(masks) < len(files.mask_paths) or (not masks and size is None):
        return None, findings
    union = np.any(masks, axis=0) if masks else np.zeros(size or (1, 1), bool)
    against = _against_class(union, files.label)
    if against:
        findings.append(_finding(files, "mask-against-class", against))
    elif files.label is None and not union.any():
        findings.append(_finding(files, "mask-empty", "No pixel is marked."))
    return _facts(masks, union, lesion_per_file=files.lesion_per_file), findings


def _finding(files: CaseFiles, code: str, message: object) -> Finding:
    return Finding(code=code, cases=(files.case_id,), message=str(message))


def _faults(mask: Mask, name: str, files: CaseFiles) -> Iterator[tuple[str, str]]:
    """Yield code and message of what should be looked at in one mask file."""
    labels, num_parts = ndimage.label(mask, structure=_EIGHT_NEIGHBOURS)
    if not num_parts:
        return
    areas = np.bincount(labels.ravel())[1:]
    if areas.sum() > _HUGE_SHARE * mask.size:
        yield "mask-huge", f"{name} covers {areas.sum() / mask.size:.0%} of the image."
    tiny = max(_TINY_PIXELS, _TINY_SHARE * mask.size)
    if areas.max() < tiny:
        yield "mask-tiny", f"{name}: the lesion has {areas.max()} of {mask.size:,} pixels."
    yield from _parts(areas, name, files)
    holes = _num_holes(mask)
    if holes:
        yield "mask-holes", f"{name} has {holes} hole{'s' if holes > 1 else ''}."
    if mask[[0, -1]].any() or mask[:, [0, -1]].any():
        yield "mask-border", f"{name} touches the border of the image."


def _parts(
    areas: np.ndarray[tuple[int], np.dtype[np.int64]], name: str, files: CaseFiles
) -> Iterator[tuple[str, str]]:
    specks = int(np.count_nonzero(areas < _SPECK_SHARE * areas.max()))
    if specks:
        yield (
            "mask-parts",
            (f"{name} has {len(areas)} parts, {specks} of them below a hundredth of the largest."),
        )
    elif len(areas) > (1 if files.lesion_per_file else _MAX_PARTS):
        expected = ", where one is expected" if files.lesion_per_file else ""
        yield "mask-parts", f"{name} has {len(areas)} parts{expected}."


def _num_holes(mask: Mask) -> int:
    """Count the holes of at least four pixels; smaller ones are the pen's."""
    outside, num_parts = ndimage.label(~np.pad(mask, 1))
    areas = np.bincount(outside.ravel(), minlength=num_parts + 1)[1:]
    return int(np.count_nonzero(areas >= _MIN_HOLE)) - 1


def _against_class(union: Mask, label: str | None) -> str | None:
    if label is None or union.any() == (label != _WITHOUT_LESION):
        return None
    found = "marks a lesion" if union.any() else "is empty"
    return f"The class is {label}, but the mask {found}."


def _facts(masks: Sequence[Mask], union: Mask, *, lesion_per_file: bool) -> MaskFacts:
    if lesion_per_file:
        areas = [int(mask.sum()) for mask in masks if mask.any()]
    else:
        areas = np.bincount(ndimage.label(union, structure=_EIGHT_NEIGHBOURS)[0].ravel())[
            1:
        ].tolist()
    box = None
    if union.any():
        rows, columns = (np.flatnonzero(union.any(axis=axis)) for axis in (1, 0))
        box = (
            int(columns[0]),
            int(rows[0]),
            int(np.ptp(columns)) + 1,
            int(np.ptp(rows)) + 1,
        )
    return MaskFacts(areas_px=tuple(areas), share=float(union.mean()), box=box)
